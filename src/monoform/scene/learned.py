"""Class and pose of a scene's objects by a trained `raster_pose` method; the only file of the scene that imports torch.

A scene's photo is not what the method has learnt to look at: there, one object stands before a lens of 35 mm and fills
about half of the picture. So a virtual camera stands where the photo's camera is, is turned to the object and zoomed until
the object is that large; what the method says of its picture is carried back to the photo's camera and refined there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from monoform.checkpoints import load_with_weights
from monoform.errors import InputError
from monoform.files.atomic import printable_name
from monoform.interfaces import Mask, Photo
from monoform.meshes import Mesh
from monoform.methods.raster_pose import RasterPose
from monoform.methods.raster_pose.rows import intrinsics
from monoform.metrics import HALF_TURN
from monoform.scene.camera import turn_between
from monoform.scene.fitting import make_fit, refit
from monoform.scene.records import Candidate, Finder, Found, Shape

LENGTHS_M: Mapping[str, float] = {"sedan": 4.6, "suv": 4.7, "cargo": 6.0}
"""Longest side of a class's objects, metres, where the caller does not tell."""
SHOWN = (0.45, 0.6, 0.75)
"""Longest side of the object's mask as a share of the virtual picture's: the paper's posts show a car at 0.4 to 0.9."""
NEAREST = 0.05
"""Depth in longest sides below which an answer cannot be meant."""
MOST_SAMPLES = 8
"""Rays along a side of the virtual picture's pixels, at most: a photo has more pixels than the method sees."""


@dataclass(frozen=True, eq=False)
class Look:
    """A virtual camera at the photo camera's place: x_virtual = turn @ x_photo."""

    turn: np.ndarray
    """(3, 3)"""
    K: np.ndarray
    """(3, 3) pixels of its picture."""


def load_raster_pose(run: Path, *, device: str = "cpu") -> tuple[RasterPose, list[str]]:
    """A trained method with representatives, and warnings about it. Raises InputError for another method's weights."""
    method, weights = load_with_weights(run, device)
    if not isinstance(method, RasterPose):
        raise InputError(f"{printable_name(run)}: holds the method {weights.record['method']}; give one of raster_pose")
    if not bool((method.faces >= 0).any(dim=(1, 2)).all()):
        raise InputError(f"{printable_name(run)}: its classes have no representative meshes; train it again")
    return method, [] if weights.finished else [f"weights: {weights}"]


def from_method(method: RasterPose, *, up_axis: str, length: float | None) -> Finder:
    """A finder that asks a method; `length` is the object's longest side in metres, else its class's of LENGTHS_M.

    Every zoom of SHOWN gives a pose, and the half-turn of it; all are refined in the photo with the representative of the
    class that is likeliest over the zooms, and ranked by outlines and appearance.
    """

    def find(photo: Photo, mask: Mask, K: np.ndarray) -> Found:
        config = method.config
        looks = [look_at(mask.coverage, K, share, config.image_size) for share in SHOWN]
        pictures = np.stack([seen(photo, mask, look, K, config.image_size, config.input) for look in looks])
        with torch.inference_mode():
            said = method.say(torch.from_numpy(pictures).to(method.vertices.device))
        probability = said.class_logits.softmax(1).mean(0).cpu().numpy()
        shapes = [_representative(method, number, length) for number in range(len(config.categories))]
        order = np.argsort(-probability, kind="stable")
        shape = shapes[order[0]]
        own = intrinsics(config.focal, config.image_size).astype(np.float64)
        answers = zip(said.R.double().cpu().numpy(), said.t.double().cpu().numpy(), looks, strict=True)
        poses = [in_photo(R, t * _longest(shape.sized), look, own) for R, t, look in answers if t[2] > NEAREST]
        if not poses:
            raise InputError(
                "the method sees the object behind the camera in every view; train it longer, or give --mesh"
            )
        R = np.stack([R for R, _ in poses] + [R @ HALF_TURN for R, _ in poses])
        t = np.stack([t for _, t in poses] * 2)
        alignment = refit(make_fit(photo, mask, shape.sized, K, up_axis), R, t, K, "given")
        best = alignment.poses[0]
        fits = {shape.name: (best.iou, best.contour_px)}
        candidates = tuple(
            Candidate(shapes[i].name, *fits.get(shapes[i].name, (np.nan, np.nan)), float(probability[i])) for i in order
        )
        return Found(shape, alignment, candidates)

    return find


def _representative(method: RasterPose, number: int, length: float | None) -> Shape:
    """The mesh of a class in its own frame (longest side 1) with its scale to metres."""
    name = method.config.categories[number]
    if length is None and name not in LENGTHS_M:
        raise InputError(f"the length of the class '{name}' is not known; give it with --lengths, in metres")
    faces = method.faces[number].cpu().numpy()
    faces = faces[(faces >= 0).all(axis=1)]
    used, faces = np.unique(faces, return_inverse=True)
    mesh = Mesh(method.vertices[number].double().cpu().numpy()[used], faces.reshape(-1, 3))
    return Shape(name, mesh, (LENGTHS_M[name] if length is None else length) / _longest(mesh))


def _longest(mesh: Mesh) -> float:
    return float(np.ptp(mesh.vertices, axis=0).max())


# --- the virtual camera ------------------------------------------------------------------------------------------


def look_at(coverage: np.ndarray, K: np.ndarray, share: float, size: int) -> Look:
    """The virtual camera that shows a mask (h, w) in the middle, its longest side `share` of the picture's `size` pixels."""
    rows, columns = (np.flatnonzero((coverage > 0.5).any(axis)) for axis in (1, 0))
    corners = np.array([[x, y, 1.0] for x in (columns[0], columns[-1] + 1) for y in (rows[0], rows[-1] + 1)])
    rays = corners @ np.linalg.inv(K).T
    middle = (rays.min(axis=0) + rays.max(axis=0)) / 2
    turn = turn_between(middle, np.array([0.0, 0.0, 1.0]))
    turned = rays @ turn.T
    plane = turned[:, :2] / turned[:, 2:]
    low, high = plane.min(axis=0), plane.max(axis=0)
    focal = share * size / max(float((high - low).max()), 1e-9)
    cx, cy = size / 2 - focal * (low + high) / 2
    return Look(turn, np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]]))


def seen(photo: Photo, mask: Mask, look: Look, K: np.ndarray, size: int, what: str) -> np.ndarray:
    """(3, size, size) float32 in [0, 1]: the virtual camera's picture, or with `what` 'mask' the mask three times.

    Beyond the photo its outermost pixels go on; a mask ends there.
    """
    from scipy.ndimage import map_coordinates

    samples = int(np.clip(np.ceil(K[0, 0] / look.K[0, 0]), 1, MOST_SAMPLES))
    place = (np.arange(size * samples) + 0.5) / samples
    x, y = np.meshgrid(place, place)
    pixels = np.stack([x, y, np.ones_like(x)], axis=-1) @ (K @ look.turn.T @ np.linalg.inv(look.K)).T
    at = np.stack([pixels[..., 1], pixels[..., 0]]) / pixels[..., 2] - 0.5

    def sampled(channel: np.ndarray, mode: str) -> np.ndarray:
        fine = map_coordinates(channel, at, np.float32, order=1, mode=mode)
        return fine.reshape(size, samples, size, samples).mean(axis=(1, 3))

    if what == "mask":
        return np.repeat(sampled(mask.coverage, "constant")[None], 3, axis=0)
    channels = [sampled(photo.image[..., c].astype(np.float32), "nearest") / np.float32(255) for c in range(3)]
    return np.stack(channels)


def in_photo(R: np.ndarray, t: np.ndarray, look: Look, own: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A pose that was said of the virtual picture, (3, 3) and (3,), in the photo's camera.

    `own` (3, 3): the intrinsics that the method believes in. The zoom makes up for distance, and the principal point for a
    turn, so that the object keeps its place and size in the picture and the side that it shows.
    """
    # Where the method sees the object in its picture is a ray; the virtual camera's ray through the same pixel is another.
    pixel = own @ t / t[2]
    ray = np.linalg.inv(look.K) @ pixel
    place = ray * t[2] * look.K[0, 0] / own[0, 0]
    turned = turn_between(t, place) @ R
    return look.turn.T @ turned, look.turn.T @ place
