"""Photos of cars under known poses, and starts that are as wrong as a trained encoder's (Palazzi 2018, section 4.1).

Everything is centred on its box, its longest side is 6 long, y is up and the nose points to -z. A pose is the camera's in the
object's frame, as in the paper's Eq. 4: ``x_object = R x_camera + c``; R (n, 3, 3), c (n, 3).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import optimize
from skimage.feature import hog

from monoform.cameras import look_at
from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh, bounds, decimate
from monoform.projection.hard_raster import hard_raster
from monoform.rotations import rotation_angle, twist_to_matrix

MODELS = Path(__file__).resolve().parents[2] / "shared" / "data" / "models"
LENGTH = 6.0
MAX_FACES = 2000
FOCAL = 35 / 32
"""Focal length in widths of the photo: 35 mm on a 32 mm sensor, Blender's own until 2019."""
HEIGHT = 1.5
STANDS = np.linspace(-8, 8, 10)
"""The camera's places along either axis of the ground."""
AIMS = np.linspace(-1, 1, 3)
"""The places it looks at, at the height of the box's centre."""
CLEARANCE = 1.5
"""Least distance, along the ground, from the camera to the car's box."""
FIGURE_PX = 256
"""Size of the photo in which IoU is measured."""

CLUSTERS = {
    "sedan": """quaternius_packs__BasicCar quaternius_packs__CopCar quaternius_packs__SimpleCarHigh
        quaternius_packs__NormalCar1 quaternius_packs__Taxi_2 quaternius_packs__Taxi_3 kaykit_city__car_sedan
        minimike_metro__veh_cab1 minimike_metro__veh_car1 minimike_metro__veh_car4 pascal_editor__tesla
        gazebo_models__Hybrid raylib__old_car_new retro3d__Car2 retro3d__Car5 retro3d__Car6""",
    "suv": """quaternius_packs__SUV pmndrs_market__suv kaykit_city__car_hatchback kaykit_city__car_stationwagon
        minimike_metro__veh_mini1 minimike_metro__veh_suv1 minimike_metro__veh_wagon1 gazebo_models__hatchback
        gazebo_models__suv pmndrs_market__hatchback retro3d__Car retro3d__Car3 retro3d__Car4""",
    "cargo": """van/quaternius_packs__Ambulance van/pmndrs_market__ambulance van/pmndrs_market__van
        van/minimike_metro__veh_ambulance van/minimike_metro__veh_lunch1 van/gazebo_models__ambulance""",
}
"""Names of the models, by eye from their pictures; 'car/' where no category is named."""


@dataclass(frozen=True, eq=False)
class Car:
    """A mesh at its standard size, as the operators want it."""

    name: str
    mesh: Mesh
    vertices: torch.Tensor
    faces: torch.Tensor


@dataclass(frozen=True, eq=False)
class Poses:
    """Cameras in the object's frame."""

    R: torch.Tensor
    c: torch.Tensor

    def __len__(self) -> int:
        return len(self.R)

    def __getitem__(self, rows) -> "Poses":
        return Poses(self.R[rows], self.c[rows])

    def to_camera(self, vertices: torch.Tensor) -> torch.Tensor:
        """(v, 3) of the object to (n, v, 3) of the OpenCV camera."""
        return (vertices - self.c[:, None]) @ self.R


@dataclass(frozen=True, eq=False)
class Pairs:
    """Photos of targets and the wrong poses from which a representative mesh shall find the true ones."""

    targets: list[Car]
    drawn: list[Car]
    """What is rendered in place of the target: its cluster's medoid."""
    true: Poses
    start: Poses

    def __len__(self) -> int:
        return len(self.targets)


def intrinsics(side: int) -> torch.Tensor:
    return torch.tensor([[[FOCAL * side, 0, side / 2], [0, FOCAL * side, side / 2], [0, 0, 1]]])


def fewer_faces(mesh: Mesh, most: int) -> Mesh:
    """The mesh, by vertex clustering if it has more faces than `most`: the finest grid that gives few enough."""
    if len(mesh.faces) <= most:
        return mesh
    for cells in range(96, 4, -4):
        smaller = decimate(mesh, cells)
        if len(smaller.faces) <= most:
            return smaller
    raise ValueError(f"no grid brings a mesh of {len(mesh.faces)} faces below {most}")


def as_car(name: str, mesh: Mesh) -> Car:
    """The mesh centred on its box, its longest side 6 long."""
    low, high = bounds(mesh.vertices)
    vertices = (mesh.vertices - (low + high) / 2) * (LENGTH / (high - low).max())
    mesh = Mesh(vertices, mesh.faces)
    return Car(name, mesh, torch.tensor(vertices, dtype=torch.float32), torch.tensor(mesh.faces))


@dataclass(frozen=True, eq=False)
class Cluster:
    """Cars of one kind; the medoid is rendered in place of the others."""

    medoid: Car
    tuning: list[Car]
    """Targets on which the learning rates are sought: every third."""
    targets: list[Car]
    """Targets of the figures."""


def load_clusters() -> dict[str, Cluster]:
    files = {item["id"]: item["file"] for item in json.loads((MODELS / "manifest.json").read_text())["models"]}
    clusters = {}
    for cluster, names in CLUSTERS.items():
        ids = [name if "/" in name else f"car/{name}" for name in names.split()]
        cars = [as_car(i, fewer_faces(load_mesh(MODELS / files[i]), MAX_FACES)) for i in ids]
        medoid = cars.pop(find_medoid(cars))
        clusters[cluster] = Cluster(medoid, cars[::3], [car for i, car in enumerate(cars) if i % 3])
    return clusters


def masks(car: Car, poses: Poses, side: int) -> torch.Tensor:
    """(n, side, side) bool: the pixels whose centres the car covers."""
    return hard_raster(poses.to_camera(car.vertices), car.faces, intrinsics(side), (side, side)).face_id >= 0


def find_medoid(cars: list[Car]) -> int:
    """The car with the least mean distance to the others: L2 of HOGs of a front and a side view, as in the paper."""
    eyes = torch.tensor([[0.0, 0.0, -12.0], [12.0, 0.0, 0.0]])
    view = look_at(eyes, torch.zeros(2, 3), torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1))
    poses = Poses(view.R.mT, eyes)
    features = np.stack(
        [np.concatenate([hog(image.numpy().astype(float)) for image in masks(car, poses, 128)]) for car in cars]
    )
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    return int(distances.sum(1).argmin())


def true_poses(cars: list[Car], rng: np.random.Generator) -> Poses:
    """A random place of the grid for each car, outside it, looking at a random place of the small grid."""
    eyes, aims = [], []
    for car in cars:
        half = bounds(car.mesh.vertices)[1][[0, 2]]
        while True:
            stand = rng.choice(STANDS, 2)
            if np.linalg.norm(np.maximum(np.abs(stand) - half, 0)) >= CLEARANCE:
                break
        aim = rng.choice(AIMS, 2)
        eyes.append([stand[0], HEIGHT, stand[1]])
        aims.append([aim[0], 0, aim[1]])
    eyes, aims = torch.tensor(eyes, dtype=torch.float32), torch.tensor(aims, dtype=torch.float32)
    view = look_at(eyes, aims, torch.tensor([[0.0, 1.0, 0.0]]).expand(len(cars), -1))
    return Poses(view.R.mT.contiguous(), eyes)


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(n,) of bool masks (n, h, w); 0 where both are empty."""
    either = (a | b).sum((1, 2))
    return (a & b).sum((1, 2)) / either.clamp(min=1)


def drawn_masks(drawn: list[Car], poses: Poses, side: int = FIGURE_PX) -> torch.Tensor:
    """(n, side, side) bool of each car under its pose; equal cars share a batch."""
    found = torch.empty(len(drawn), side, side, dtype=torch.bool)
    for car, rows in by_car(drawn):
        found[rows] = masks(car, poses[rows], side)
    return found


def by_car(cars: list[Car]) -> list[tuple[Car, torch.Tensor]]:
    """Every different car and the rows that show it."""
    different = {id(car): car for car in cars}
    return [(car, torch.tensor([i for i, other in enumerate(cars) if other is car])) for car in different.values()]


def disturb(true: Poses, turn: torch.Tensor, move: torch.Tensor, frame: str) -> Poses:
    """Wrong poses. turn (n, 3): rotation vectors, move (n, 3): lengths, both in the camera's frame.

    frame 'camera': the camera turns about itself and moves, as errors of a regressed [R c] do; 'object': the object turns about
    its own centre and moves. The angle is the same.
    """
    rotation = twist_to_matrix(turn)
    R = true.R @ rotation
    if frame == "camera":
        return Poses(R, true.c + (R @ move[..., None])[..., 0])
    t = -(true.c[:, None] @ true.R)[:, 0] + move
    return Poses(R, -(R @ t[..., None])[..., 0])


def starts(
    drawn: list[Car], target: torch.Tensor, true: Poses, frame: str, seed: list[int], aim: tuple[float, float]
) -> tuple[Poses, float, float]:
    """Gaussian turns and moves whose spreads give the median angle (degrees) and the mean IoU of `aim`.

    Returns the poses and both spreads (degrees, lengths) an axis.
    """
    rng = np.random.default_rng([*seed, 1])
    turn = torch.tensor(rng.normal(size=(len(true), 3)), dtype=torch.float32)
    move = torch.tensor(rng.normal(size=(len(true), 3)), dtype=torch.float32)
    turn_spread = float(np.radians(aim[0]) / np.median(turn.norm(dim=1)))

    def excess(spread: float) -> float:
        poses = disturb(true, turn_spread * turn, spread * move, frame)
        return float(iou(drawn_masks(drawn, poses), target).mean()) - aim[1]

    low, high = 0.0, 2.0
    if excess(low) < 0:
        raise ValueError(f"turning alone brings the mean IoU to {excess(low) + aim[1]:.3f}, below {aim[1]}")
    move_spread = optimize.brentq(excess, low, high, xtol=1e-3)
    return disturb(true, turn_spread * turn, move_spread * move, frame), np.degrees(turn_spread), move_spread


def angles_deg(a: Poses, b: Poses) -> torch.Tensor:
    return torch.rad2deg(rotation_angle(a.R, b.R))
