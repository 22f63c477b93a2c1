"""Online refinement: a pose corrected by the silhouette that a mesh has in it (Palazzi 2018, sections 3.2 and 4.2).

The mesh of the predicted class is drawn in the predicted pose through a differentiable operator and compared with the object's
mask. What differs goes back to the encoder's weights (`refine_weights`, the paper) or to the pose alone (`refine_poses`).

Paper: "the alignment error", no formula. Here: 1 - sum(min) / sum(max) of silhouette and mask (`jaccard_loss`) of each image.
Paper: the pose after the last step. Here: of the steps whose IoU is not below the start's, the one with the least loss.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import ExponentialLR

from monoform.errors import InputError
from monoform.methods.raster_pose import RasterPose
from monoform.methods.raster_pose.rows import intrinsics
from monoform.projection.coverage import coverage
from monoform.projection.edge_product import edge_product
from monoform.projection.soft_raster import soft_raster
from monoform.rotations import project_to_rotation, twist_to_matrix

OPERATORS = ("edge_product", "soft_raster", "coverage")
"""The paper's, SoftRas's, and the antialiased silhouette."""
BLUR = 0.15
"""Pixels, the root of `soft_raster`'s sigma: its own default is 0.3 pixels at a side of 64 and swells the silhouette."""
IMAGES_AT_ONCE = 20
"""Images that one copy of the encoder is refined on (section 4.2, training details)."""

# How far Adam goes in a first step, and how it remembers: sought on 60 views of procedural cars.
TURN = 0.06
"""Radians."""
SHIFT = 0.02
"""Across, as a share of the depth."""
DEPTH = 0.06
"""Of the depth's logarithm: a change of size shows less than a shift."""
PACE = {"edge_product": 1 / 3, "soft_raster": 1.0, "coverage": 1.0}
"""Share of these by operator: edge products' gradients are rough, and long steps lose the mask."""
LAST = 0.1
"""Share of these that is left after the last step."""
MEMORY = (0.7, 0.99)
"""Adam's betas; with the usual 0.9 and 0.999, 30 steps end before the swinging does."""


@dataclass(frozen=True, eq=False)
class Refined:
    """What a refinement came to; by the IoU of `iou_steps` never worse than its start, which is step 0."""

    R: Float[Tensor, "b 3 3"]
    t: Float[Tensor, "b 3"]
    R_steps: Float[Tensor, "n b 3 3"]
    """After each of the n - 1 steps."""
    t_steps: Float[Tensor, "n b 3"]
    loss_steps: Float[Tensor, "n b"]
    """Of each image."""
    iou_steps: Float[Tensor, "n b"]
    """Of the mask and the silhouette by `coverage`, both antialiased: sum of minima over sum of maxima."""


def silhouettes(
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
    R: Float[Tensor, "b 3 3"],
    t: Float[Tensor, "b 3"],
    K: Float[Tensor, "b 3 3"],
    size: int,
    operator: str,
) -> Float[Tensor, "b {size} {size}"]:
    """Silhouettes in [0, 1] of meshes in poses ``x_camera = R x + t``, differentiable with respect to all but the faces.

    Meshes may differ from row to row (`meshes.pad`); K in pixels of the square image. operator: of OPERATORS.
    """
    _check_operator(operator)
    draw = {
        "edge_product": edge_product,
        "soft_raster": partial(soft_raster, sigma=(2 * BLUR / size) ** 2),
        "coverage": coverage,
    }[operator]
    return draw(vertices.to(R) @ R.mT + t[:, None], faces.to(R.device), K.to(R), (size, size))


# --- the pose alone ------------------------------------------------------------------------------------------------


def refine_poses(
    vertices: Float[Tensor, "b v 3"],
    faces: Int[Tensor, "b f 3"],
    R: Float[Tensor, "b 3 3"],
    t: Float[Tensor, "b 3"],
    masks: Float[Tensor, "b s s"],
    K: Float[Tensor, "b 3 3"],
    *,
    operator: str,
    steps: int = 30,
) -> Refined:
    """Refine each pose by itself: Adam on a turn about the mesh's origin, a shift across, and the logarithm of the depth.

    masks: coverage in [0, 1]; K in their pixels. A row comes out the same alone and in a batch.
    A row whose silhouette does not meet its mask, or that stands behind the camera, stays where it is. Raises InputError for
    shapes that do not fit, numbers that are not finite, masks that leave [0, 1], and matrices that are no rotations.
    """
    aim = _Aim(vertices, faces, masks, K, operator)
    _check(aim, steps)
    _check_poses(R, t, len(masks))
    start_R, start_t = R.detach(), t.detach()
    turn, across, depth = (start_t.new_zeros(len(t), n, requires_grad=True) for n in (3, 2, 1))
    rates = ((turn, TURN), (across, SHIFT), (depth, DEPTH))

    def pose() -> tuple[Tensor, Tensor]:
        shift = start_t[:, 2:].abs() * torch.nn.functional.pad(across, (0, 1))
        return twist_to_matrix(turn) @ start_R, (start_t + shift) * depth.exp()

    adam = Adam([{"params": [tensor], "lr": PACE[operator] * rate} for tensor, rate in rates], betas=MEMORY)
    return _follow(pose, adam, LAST, aim, steps)


# --- the encoder's weights (the paper) -----------------------------------------------------------------------------


def refine_weights(
    method: RasterPose,
    images: Float[Tensor, "b 3 s s"],
    masks: Float[Tensor, "b r r"],
    *,
    operator: str,
    steps: int = 30,
    rate: float = 1e-6,
    classes: Int[Tensor, "b"] | None = None,
    meshes: tuple[Float[Tensor, "b v 3"], Int[Tensor, "b f 3"]] | None = None,
) -> Refined:
    """Refine poses by refining the network that says them, the trunk and the pose branch, on IMAGES_AT_ONCE images at a time.

    The method stays as it is: copies learn, each from the method's own weights, in evaluation mode. masks: coverage in [0, 1]
    of the whole images, of any side. classes: whose representatives are drawn, None: the likeliest. meshes: what is drawn
    instead. rate: Adam's. Raises InputError as `refine_poses` does.
    """
    if images.ndim != 4 or images.shape[1] != 3 or len(images) != len(masks) or not bool(torch.isfinite(images).all()):
        raise InputError(
            f"images of shape {tuple(images.shape)} for {len(masks)} masks; give finite (b, 3, s, s), one a mask"
        )
    if rate <= 0:
        raise InputError(f"Adam's rate is {rate:g}; give one above 0")
    if meshes is None:
        chosen = _likeliest(method, images) if classes is None else classes.to(method.faces.device)
        meshes = method.vertices[chosen], method.faces[chosen]
    aim = _Aim(*meshes, masks, _whole_image(method, masks), operator)
    _check(aim, steps)
    parts = []
    for rows in torch.arange(len(images)).split(IMAGES_AT_ONCE):
        copy = deepcopy(method).eval()
        weights = [*copy.encoder.parameters(), *copy.pose_branch.parameters()]

        def pose(copy: RasterPose = copy, seen: Tensor = images[rows]) -> tuple[Tensor, Tensor]:
            said = copy.say(seen)
            return said.R, said.t

        parts.append(_follow(pose, Adam(weights, lr=rate), 1.0, aim.of(rows), steps))
    return _joined(parts)


def _likeliest(method: RasterPose, images: Tensor) -> Int[Tensor, "b"]:
    was_training = method.training
    method.eval()
    with torch.no_grad():
        chosen = method.say(images).class_logits.argmax(1)
    method.train(was_training)
    return chosen


def _whole_image(method: RasterPose, masks: Tensor) -> Float[Tensor, "b 3 3"]:
    """The method's lens in pixels of the masks."""
    K = torch.from_numpy(intrinsics(method.config.focal, masks.shape[-1]))
    return K.to(masks.device).expand(len(masks), 3, 3)


# --- both ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Aim:
    """What poses are refined on, as it was given; `_check` looks at the shapes."""

    vertices: Tensor
    faces: Tensor
    masks: Tensor
    K: Tensor
    operator: str

    def of(self, rows: Int[Tensor, "c"]) -> "_Aim":
        vertices, faces, masks, K = (x[rows.to(x.device)] for x in (self.vertices, self.faces, self.masks, self.K))
        return _Aim(vertices, faces, masks, K, self.operator)

    def draw(self, R: Tensor, t: Tensor, operator: str) -> Float[Tensor, "b s s"]:
        return silhouettes(self.vertices, self.faces, R, t, self.K, self.masks.shape[-1], operator)


def _follow(
    pose: Callable[[], tuple[Tensor, Tensor]], optimizer: Optimizer, last: float, aim: _Aim, steps: int
) -> Refined:
    """Step down the loss of the poses that `pose` says, the optimiser's rates falling to the share `last`."""
    rates = ExponentialLR(optimizer, last ** (1 / max(steps, 1)))
    path: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    with torch.enable_grad():
        for step in range(steps + 1):
            R, t = pose()
            drawn = aim.draw(R, t, aim.operator)
            masks = aim.masks.to(drawn)
            loss = 1 - overlap(drawn, masks)
            with torch.no_grad():
                covered = drawn if aim.operator == "coverage" else aim.draw(R, t, "coverage")
                path.append((R.detach(), t.detach(), loss.detach(), overlap(covered, masks)))
            if step < steps:
                optimizer.zero_grad()
                loss.sum().backward()
                optimizer.step()
                rates.step()
    R, t, losses, ious = (torch.stack(values) for values in zip(*path, strict=True))
    allowed = (ious >= ious[0]) & torch.isfinite(losses)
    best = torch.where(allowed, losses, torch.inf).argmin(0)
    row = torch.arange(len(best), device=best.device)
    return Refined(R[best, row], t[best, row], R, t, losses, ious)


def overlap(a: Float[Tensor, "b s s"], b: Float[Tensor, "b s s"]) -> Float[Tensor, "b"]:
    """IoU of antialiased images, sum of minima over sum of maxima; 1 where both are empty."""
    union = torch.maximum(a, b).sum((1, 2))
    empty = union <= 0
    return (torch.minimum(a, b).sum((1, 2)) + empty) / (union + empty)


def _joined(parts: list[Refined]) -> Refined:
    """All rows; they are the first axis of R and t, the second of the steps."""
    values = (
        torch.cat([getattr(part, field.name) for part in parts], dim=1 if field.name.endswith("_steps") else 0)
        for field in fields(Refined)
    )
    return Refined(*values)


def _check(aim: _Aim, steps: int) -> None:
    masks, count = aim.masks, len(aim.masks)
    if masks.ndim != 3 or masks.shape[1] != masks.shape[2] or count == 0:
        raise InputError(f"masks of shape {tuple(masks.shape)}; give (b, s, s), at least one")
    if not bool(((masks >= 0) & (masks <= 1)).all()):
        raise InputError("the masks leave [0, 1] or hold NaN; give coverage, 1 on the object (divide 0..255 by 255)")
    if steps < 0:
        raise InputError(f"{steps} steps; give none below 0")
    _check_operator(aim.operator)
    meshes = (("vertices", aim.vertices), ("faces", aim.faces))
    for name, value in (*meshes, ("K", aim.K)):
        if value.ndim != 3 or len(value) != count or value.shape[2] != 3:
            raise InputError(f"{name} of shape {tuple(value.shape)} for {count} masks; give one of each a mask")
    for name, value in (("vertices", aim.vertices), ("K", aim.K)):
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{name} hold NaN or infinity; give finite numbers")


def _check_operator(operator: str) -> None:
    if operator not in OPERATORS:
        raise InputError(f"no silhouette operator {operator!r}; give one of {', '.join(OPERATORS)}")


def _check_poses(R: Tensor, t: Tensor, count: int) -> None:
    if tuple(R.shape) != (count, 3, 3) or tuple(t.shape) != (count, 3):
        raise InputError(
            f"R of shape {tuple(R.shape)} and t of {tuple(t.shape)} for {count} masks; give one of each a mask"
        )
    if not bool(torch.isfinite(t).all()):
        raise InputError("t holds NaN or infinity; give finite numbers")
    project_to_rotation(R.detach())
