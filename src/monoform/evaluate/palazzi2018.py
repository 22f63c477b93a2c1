"""How Palazzi 2018 is measured: class, silhouette and pose, as the encoder says them and as they are refined online."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from monoform import metrics
from monoform.errors import InputError, NumericError
from monoform.evaluate.batches import batches, resized
from monoform.evaluate.evaluation import Evaluation, Groups, whole
from monoform.interfaces import ImageSet, Method
from monoform.meshes import Mesh, pad
from monoform.methods.image_tensors import area_mean
from monoform.methods.raster_pose import RasterPose, rows
from monoform.methods.raster_pose.online import OPERATORS, Refined, refine_poses, refine_weights, silhouettes
from monoform.symmetry import SymmetryGroup, detect_symmetry
from monoform.voxels import surface

REFINES = ("none", "weights", "poses")
MESHES = ("predicted", "true_class", "wrong_class", "true_mesh")
DEFINITIONS = {
    "iou": "of the true mask and the silhouette, by coverage, of the mesh that was refined, both at mask_px",
    "refined": "on the true mask; of all steps whose soft IoU is not below the encoder's, the one of least loss",
    "rotation_error_deg": "every turn counts; modulo half-turns it is half_turn_error_deg",
    "units": "lengths (translation_error, add, add_s, mssd) in longest sides of the object; mspd in pixels at mask_px",
    "points": "add, add_s, mssd, mspd: the vertices of the true mesh, whichever mesh was refined",
    "symmetries": "mssd and mspd: the rotations that map the true mesh onto itself, found within symmetry_tolerance",
}
"""What the names of quantities mean, for the record."""


@dataclass(frozen=True)
class Palazzi2018Protocol:
    """How Palazzi 2018 is measured. What the paper leaves open is marked so."""

    threshold: float = 0.5
    """Open in the paper. At or above it a pixel is covered, of the rendered silhouette as of the mask."""
    mask_px: int = 128
    """Open. Side of the silhouettes that mIoU compares, whatever side they were refined at."""
    accuracy_deg: float = 30.0
    symmetry_tolerance: float = 0.01
    """Of `detect_symmetry`, in box diagonals."""
    batch_size: int = 20
    """Images at once, also of the refinement of weights: the paper's."""
    resamples: int = 1000
    """Of objects, for the intervals."""
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Way:
    """How a pose is come to. Raises InputError for what there is not."""

    refine: str = "none"
    """'none': the encoder alone; 'weights': a copy of it is tuned on the masks (the paper); 'poses': the poses alone."""
    operator: str = "coverage"
    """Through which the refinement sees the mesh, of OPERATORS."""
    mesh: str = "predicted"
    """Of MESHES: the representative of a class, or the photographed object's own mesh."""
    steps: int = 30
    px: int = 128
    """Side at which the refinement renders."""
    rate: float | None = None
    """Adam's, of the weights; None: a tenth of the training's, as the paper's 1e-6 is. The rest is as `online` has it."""

    def __post_init__(self) -> None:
        for value, choices in ((self.refine, REFINES), (self.operator, OPERATORS), (self.mesh, MESHES)):
            if value not in choices:
                raise InputError(f"no '{value}' among the ways to a pose; give {', '.join(choices)}")
        if self.steps < 1 or self.px < 8 or (self.rate is not None and self.rate <= 0):
            raise InputError(f"{self.steps} steps, {self.px} px, rate {self.rate}; give at least 1 and 8, and above 0")


@dataclass(frozen=True, eq=False)
class TrueObject:
    """What is known of an object of a test set."""

    mesh: Mesh
    """In the canonical frame, its longest box side 1."""
    symmetries: np.ndarray
    """(s, 4, 4) rigid transforms of the mesh onto itself, the identity among them."""


def true_objects(
    test: ImageSet,
    meshes: Mapping[str, Mesh] | None = None,
    protocol: Palazzi2018Protocol = Palazzi2018Protocol(),
) -> dict[str, TrueObject]:
    """Of every object of a set by its id. meshes: in the set's grids, as far as there are any; of the others, the surface of
    their voxels by marching cubes, as a set holds no meshes. Raises InputError for objects without either.
    """
    found = {}
    for name, grid in zip(test.object_ids, test.voxels, strict=True):
        mesh = (meshes or {}).get(name) or (surface(grid).mesh if grid.any() else None)
        if mesh is None:
            raise InputError(f"the object '{name}' has no voxels and no mesh; render the set with voxels")
        found[name] = TrueObject(mesh, transforms(detect_symmetry(mesh, protocol.symmetry_tolerance)))
    return found


def transforms(group: SymmetryGroup) -> np.ndarray:
    """(s, 4, 4) the group's maps ``x -> S (x - centre) + centre``. InputError for a round object, with no end of them."""
    if group.continuous:
        raise InputError("a round object has no end of symmetries, which MSSD cannot try; leave it out of the set")
    found = np.tile(np.eye(4), (len(group.rotations), 1, 1))
    found[:, :3, :3] = group.rotations
    found[:, :3, 3] = group.centre - group.rotations @ group.centre
    return found


def evaluate_palazzi2018(
    method: Method,
    test: ImageSet,
    way: Way = Way(),
    protocol: Palazzi2018Protocol = Palazzi2018Protocol(),
    objects: Mapping[str, TrueObject] | None = None,
    groups: Groups | None = None,
) -> Evaluation:
    """Accuracy of class, mIoU, rotation and translation errors, ADD, ADD-S, MSSD and MSPD of one way to a pose.

    test: a set of `render_posts`, whose images may be larger than the method's: the encoder is given their area means, the
    refinement their masks. objects: of `true_objects`, which are looked for if they are not given. groups: of near-duplicates
    among the test objects, which the intervals then draw. Raises InputError for a set that does not fit the method, and
    NumericError if that predicts NaN.
    """
    method = _raster_pose(method)
    small = for_encoder(method, test)
    largest = max(protocol.mask_px, way.px if way.refine != "none" else 0)
    if test.images.shape[1] < largest:
        raise InputError(
            f"masks of {test.images.shape[1]} px to compare at {largest}; render the set at that side or above"
        )
    objects = true_objects(test, None, protocol) if objects is None else objects
    found = []
    for span in batches(test, protocol.batch_size):
        posed = pose(method, small, test, span, way, objects)
        true = rows.classes_of(test, span, method.config)
        found.append(_numbers(posed, true, test, span, protocol, objects))
    choices = {"name": "palazzi2018", **asdict(protocol), **DEFINITIONS, "way": asdict(way)}
    return whole(choices, found, test, protocol, groups)


def evaluate_steps(
    method: Method,
    test: ImageSet,
    way: Way,
    protocol: Palazzi2018Protocol = Palazzi2018Protocol(),
    groups: Groups | None = None,
) -> Evaluation:
    """Errors over the steps of a refinement: 'rotation_error_deg.<step>', 'translation_error.<step>' and 'iou.<step>', from 0.

    The poses are those of the steps themselves, not the best so far; the IoU is the refinement's own. As for the rest, see
    `evaluate_palazzi2018`. Raises InputError for a way that refines nothing, or one with the true mesh.
    """
    if way.refine == "none" or way.mesh == "true_mesh":
        raise InputError(
            f"no steps to follow with refine '{way.refine}' and mesh '{way.mesh}'; refine a representative"
        )
    method = _raster_pose(method)
    small, found = for_encoder(method, test), []
    for span in batches(test, protocol.batch_size):
        path = pose(method, small, test, span, way, {}).path
        assert path is not None
        numbers = {}
        for step in range(way.steps + 1):
            R, t = (values[step].cpu().numpy() for values in (path.R_steps, path.t_steps))
            numbers[f"rotation_error_deg.{step}"] = metrics.rotation_angle_deg(R, test.R[span])
            numbers[f"translation_error.{step}"] = metrics.translation_error(t, test.t[span])
            numbers[f"iou.{step}"] = path.iou_steps[step].cpu().numpy()
        found.append(numbers)
    choices = {"name": "palazzi2018", **asdict(protocol), **DEFINITIONS, "way": asdict(way)}
    return whole(choices, found, test, protocol, groups)


# --- poses ---------------------------------------------------------------------------------------------------------


class Posed(NamedTuple):
    """What a way says of images."""

    scores: np.ndarray
    """(b, k) of the classes, before any refinement."""
    vertices: Tensor
    """(b, v, 3) of the mesh that stands in each pose."""
    faces: Tensor
    """(b, f, 3), rows of -1 as padding."""
    R: Tensor
    t: Tensor
    path: Refined | None
    """Of a refinement, all that lies between the encoder's pose and this one."""


def _raster_pose(method: Method) -> RasterPose:
    if not isinstance(method, RasterPose):
        raise InputError("the protocol palazzi2018 measures raster_pose; use liao2019 or zhu2017 for other methods")
    return method


def for_encoder(method: RasterPose, test: ImageSet) -> ImageSet:
    """The set at the side of the method's images, by area means. Raises InputError if it does not fit the method."""
    size = method.config.image_size
    if len(test) == 0 or test.images.shape[1] < size:
        raise InputError(f"the set to evaluate has no images of {size} px or more; make or choose another")
    if not test.voxel_kind:
        raise InputError("the set knows masks alone, no shapes and poses; give a rendered set")
    small = test if test.images.shape[1] == size else _smaller(test, size)
    rows.check(small, "test", method.config)
    return small


def pose(
    method: RasterPose,
    small: ImageSet,
    test: ImageSet,
    span: np.ndarray,
    way: Way,
    objects: Mapping[str, TrueObject],
) -> Posed:
    """Where the objects of these rows stand. small: `test` as `for_encoder` gives it."""
    device = method.vertices.device
    method.eval()
    images = rows.seen(small, span, method.config).to(device)
    with torch.no_grad():
        said = method.say(images)
    if not all(bool(torch.isfinite(part).all()) for part in said):
        raise NumericError("the method predicts NaN or infinity; its training has diverged")
    scores = said.class_logits.cpu().numpy()
    vertices, faces = _meshes(method, test, span, way, scores, objects)
    if way.refine == "none":
        return Posed(scores, vertices, faces, said.R, said.t, None)
    # Rounding may carry the mean of covered pixels over 1.
    masks = torch.from_numpy(resized(test.masks[span], way.px).clip(max=1.0)).to(device)
    how = {"operator": way.operator, "steps": way.steps}
    if way.refine == "weights":
        rate = method.config.rate / 10 if way.rate is None else way.rate
        path = refine_weights(method, images, masks, meshes=(vertices, faces), rate=rate, **how)
    else:
        K = torch.from_numpy(_K_at(test, span, way.px)).to(device)
        path = refine_poses(vertices, faces, said.R, said.t, masks, K, **how)
    return Posed(scores, vertices, faces, path.R, path.t, path)


def silhouettes_at(posed: Posed, R: Tensor, t: Tensor, test: ImageSet, span: np.ndarray, px: int) -> np.ndarray:
    """(b, px, px) coverage of the posed meshes in other poses."""
    K = torch.from_numpy(_K_at(test, span, px)).to(R.device)
    with torch.no_grad():
        return silhouettes(posed.vertices, posed.faces, R, t, K, px, "coverage").cpu().numpy()


def _meshes(
    method: RasterPose,
    test: ImageSet,
    span: np.ndarray,
    way: Way,
    scores: np.ndarray,
    objects: Mapping[str, TrueObject],
) -> tuple[Tensor, Tensor]:
    device = method.vertices.device
    if way.mesh == "true_mesh":
        vertices, faces = pad([objects[test.object_ids[i]].mesh for i in test.objects[span]])
        return torch.from_numpy(vertices).float().to(device), torch.from_numpy(faces).to(device)
    count, true = scores.shape[1], rows.classes_of(test, span, method.config)
    classes = {
        "predicted": scores.argmax(axis=1),
        "true_class": true,
        # The other classes take turns, so that none of them decides.
        "wrong_class": (true + 1 + span % (count - 1)) % count,
    }[way.mesh]
    chosen = torch.from_numpy(classes).to(device)
    return method.vertices[chosen], method.faces[chosen]


def _smaller(test: ImageSet, size: int) -> ImageSet:
    images = np.empty((len(test), size, size, 3), np.uint8)
    masks = np.empty((len(test), size, size), np.uint8)
    for span in batches(test, 256):
        colours = np.moveaxis(test.images[span], -1, 1).reshape(-1, *test.images.shape[1:3])
        reduced = area_mean(colours, size).reshape(len(span), 3, size, size)
        images[span] = np.rint(np.moveaxis(reduced, 1, -1))
        masks[span] = np.rint(area_mean(test.masks[span], size))
    return replace(test, images=images, masks=masks, K=_K_at(test, np.arange(len(test)), size))


def _K_at(test: ImageSet, span: np.ndarray, px: int) -> np.ndarray:
    """(b, 3, 3) float32 intrinsics in pixels of an image of side px."""
    scale = px / test.images.shape[1]
    return test.K[span] * np.array([[scale], [scale], [1.0]], np.float32)


# --- numbers -------------------------------------------------------------------------------------------------------


def _numbers(
    posed: Posed,
    classes: np.ndarray,
    test: ImageSet,
    span: np.ndarray,
    protocol: Palazzi2018Protocol,
    objects: Mapping[str, TrueObject],
) -> dict[str, np.ndarray]:
    """One number an image of a batch for every quantity. classes: the true ones, as the scores count them."""
    px, true_R, true_t = protocol.mask_px, test.R[span], test.t[span]
    R, t = posed.R.cpu().numpy(), posed.t.cpu().numpy()
    mask = resized(test.masks[span], px)
    drawn = silhouettes_at(posed, posed.R, posed.t, test, span, px)
    rotation, moved = metrics.rotation_angle_deg(R, true_R), metrics.translation_error(t, true_t)
    numbers = {
        "class_accuracy": metrics.top_1(posed.scores, classes).astype(np.float64),
        "iou": metrics.mask_iou(metrics.filled(mask, protocol.threshold), metrics.filled(drawn, protocol.threshold)),
        "rotation_error_deg": rotation,
        "half_turn_error_deg": metrics.half_turn_error_deg(R, true_R),
        "flipped": metrics.is_flipped(R, true_R).astype(np.float64),
        "accuracy": (rotation < protocol.accuracy_deg).astype(np.float64),
        "translation_error": moved,
        "translation_error.relative": moved / np.linalg.norm(true_t, axis=1),
    }
    K = _K_at(test, span, px)
    errors = [
        _point_errors(objects[test.object_ids[number]], (R[i], t[i], true_R[i], true_t[i]), K[i])
        for i, number in enumerate(test.objects[span])
    ]
    return numbers | {name: np.array([each[name] for each in errors]) for name in errors[0]}


def _point_errors(known: TrueObject, poses: tuple[np.ndarray, ...], K: np.ndarray) -> dict[str, float]:
    """poses: R, t and the true ones."""
    (R, t, true_R, true_t), points, symmetries = poses, known.mesh.vertices, known.symmetries
    return {
        "add": float(metrics.add(R, t, true_R, true_t, points)),
        "add_s": float(metrics.add_s(R, t, true_R, true_t, points)),
        "mssd": float(metrics.mssd(R, t, true_R, true_t, points, symmetries)),
        "mspd": float(metrics.mspd(R, t, true_R, true_t, K, points, symmetries)),
    }
