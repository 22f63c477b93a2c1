"""Streets of procedural cars with known places, and finders that know them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from monoform.data.procedural.photographs import textured_background
from monoform.data.procedural.shapes import make_shape
from monoform.interfaces import Alignment, Mask, Photo, RankedPose
from monoform.masks import mask_from_array
from monoform.meshes import Mesh
from monoform.overlays import blend, draw, to_bytes
from monoform.rotation_grids import upright_grid
from monoform.scene import pictures
from monoform.scene.camera import seen_alike
from monoform.scene.records import Finder, Found, SceneObject, Shape, Wanted

CAMERA_HEIGHT, PITCH_DEG = 1.9, 6.0


@dataclass(frozen=True)
class Parked:
    """A car on the street."""

    mesh: Mesh
    """Metres."""
    x: float
    """To the right of the camera, metres."""
    z: float
    """Ahead of it."""
    yaw_deg: float


@dataclass(frozen=True, eq=False)
class Street:
    """A photo of cars, and the truth about it."""

    photo: Photo
    K: np.ndarray
    cars: tuple[Parked, ...]
    masks: tuple[Mask, ...]
    """Of what is seen of each."""
    poses: tuple[tuple[np.ndarray, np.ndarray], ...]

    def objects(self, *names: str) -> list[SceneObject]:
        """All cars where they stand."""
        return [
            SceneObject(name, mask, Shape(f"{name}.glb", car.mesh), (ranked(R, t),), False, "", "none", ())
            for name, mask, car, (R, t) in zip(names, self.masks, self.cars, self.poses, strict=True)
        ]

    def wanted(self, *names: str) -> list[Wanted]:
        """All cars, with finders that know where they stand."""
        return [
            Wanted(name, mask, knowing(Shape(f"{name}.glb", car.mesh), pose, self.K))
            for name, mask, car, pose in zip(names, self.masks, self.cars, self.poses, strict=True)
        ]


def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw what is not looked at at a fifth of its size."""
    monkeypatch.setattr(pictures, "VIEW_WH", (192, 128))
    monkeypatch.setattr(pictures, "CELL_WH", (84, 56))
    monkeypatch.setattr(pictures, "GROUND_CELLS", 40)


def car(kind: str, seed: int, length: float) -> Mesh:
    """A procedural car of a length in metres."""
    mesh = make_shape("car", seed, kind).mesh
    return replace(mesh, vertices=mesh.vertices * length / np.ptp(mesh.vertices, axis=0).max())


def ranked(R: np.ndarray, t: np.ndarray) -> RankedPose:
    return RankedPose(R, t, 0.9, 1.0, float("nan"), 1.0)


def street(cars: Sequence[Parked], size_wh: tuple[int, int] = (360, 240), fov_deg: float = 50.0) -> Street:
    """A photo of cars on level ground, the camera 1.9 m above it and 6 degrees down."""
    w, h = size_wh
    focal = w / 2 / np.tan(np.radians(fov_deg) / 2)
    K = np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])
    rng = np.random.default_rng(0)
    picture = textured_background(rng, size_wh)
    poses = [_pose(one) for one in cars]
    views = [draw(one.mesh, *pose, K, (h, w), samples=2) for one, pose in zip(cars, poses, strict=True)]
    for view, _ in sorted(zip(views, cars, strict=True), key=lambda pair: -pair[1].z):
        picture = blend(picture, 255.0 * view.colour, view.alpha)
    nearest = np.min([view.depth for view in views], axis=0)
    masks = [mask_from_array(np.where(view.depth <= nearest, view.alpha, 0.0), (h, w)) for view in views]
    photo = Photo(to_bytes(picture + rng.normal(0.0, 2.5, (h, w, 1))))
    return Street(photo, K, tuple(cars), tuple(masks), tuple(poses))


def _pose(one: Parked) -> tuple[np.ndarray, np.ndarray]:
    (R,) = upright_grid(np.radians([one.yaw_deg]), np.zeros(1), np.zeros(1))
    t = np.array([one.x, CAMERA_HEIGHT + one.mesh.vertices[:, 1].min(), one.z])
    cosine, sine = np.cos(np.radians(PITCH_DEG)), np.sin(np.radians(PITCH_DEG))
    pitch = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    return pitch @ R, pitch @ t


def knowing(shape: Shape, pose: tuple[np.ndarray, np.ndarray], K: np.ndarray) -> Finder:
    """A finder that knows the pose under K, and what looks like it under any other camera."""

    def find(photo: Photo, mask: Mask, camera: np.ndarray) -> Found:
        R, t = seen_alike(*pose, K, camera)
        h, w = photo.size_hw
        return Found(shape, Alignment((ranked(R, t),), camera, "given", (w, h), np.eye(3), False, "", "none"))

    return find
