"""Does minus the gradient of a silhouette loss point to the true pose? Cosines for all operators, by faces and pixels.

The mesh is a car-like icosphere; the camera is that of Perspective Transformer Nets (Yan 2016) for all rows, because
`voxel_max_perspective` has no other: focal length sqrt(3)/2 image widths, the object at sqrt(3)/2 + 1/2 box diagonals.
"""

from collections.abc import Callable

import numpy as np
import torch
from resolution_refine import Operator

from monoform.meshes import Mesh, icosphere, normalise
from monoform.projection.rays import ray_silhouette
from monoform.projection.voxel_max import PTN_FOCAL, voxel_max_perspective
from monoform.rotations import twist_to_matrix, viewpoint_to_matrix
from monoform.voxels import voxelise_closed

LEVELS = {20: 0, 80: 1, 320: 2, 1280: 3}
GRID = 32
"""Cells along each axis of the grid for `ray_silhouette`; that of `voxel_max_perspective` is as fine as its image."""
DISTANCE = PTN_FOCAL + 0.5
DEPTHS = (PTN_FOCAL, PTN_FOCAL + 1)
PRINTED = {  # as measured on the paper's released code, and on SoftRas, with a mesh and a camera of their own
    "edge_product": {
        20: (0.40, 0.70, 0.72),
        80: (0.36, 0.63, 0.66),
        320: (-0.01, 0.22, 0.55),
        1280: (0.11, 0.10, -0.26),
    },
    "soft_raster": {20: (0.73, 0.83, 0.81), 80: (0.80, 0.83, 0.82), 320: (0.71, 0.78, 0.84), 1280: (0.78, 0.75, 0.80)},
}
SIZES = (32, 64, 128)


def car_like(faces: int) -> Mesh:
    """A squared-off ellipsoid with a cabin, y up, nose to -z, its box's diagonal 1; of an icosphere's 20, 80, ... faces."""
    ball = icosphere(LEVELS[faces])
    squared = np.sign(ball.vertices) * np.abs(ball.vertices) ** 0.7
    x, y, z = (squared / np.linalg.norm(squared, axis=1).max()).T
    cabin = 1 + 0.9 * np.exp(-(((z - 0.15) / 0.45) ** 2)) * (y > 0)
    body = np.column_stack([0.42 * x * (1 - 0.25 * np.clip(y, 0, None)), 0.22 * y * cabin, z])
    return normalise(Mesh(body, ball.faces))[0]


def trials(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """True rotations (n, 3, 3): any azimuth, elevation 5-35 degrees; and the wrong pose's turn and move (n, 3).

    The turn is 3-10 degrees about any axis. The move, 0.025-0.085 box diagonals any way, is as long at the car's ends.
    """
    rng = np.random.default_rng([seed, 3])
    azimuth, elevation = rng.uniform(0, 2 * np.pi, count), np.radians(rng.uniform(5, 35, count))
    R = viewpoint_to_matrix(*torch.tensor(np.stack([azimuth, elevation, np.zeros(count)]), dtype=torch.float32))
    unit = rng.normal(size=(2, count, 3))
    unit /= np.linalg.norm(unit, axis=-1, keepdims=True)
    turn = unit[0] * np.radians(rng.uniform(3, 10, (count, 1)))
    move = unit[1] * rng.uniform(0.025, 0.085, (count, 1))
    return R, torch.tensor(turn, dtype=torch.float32), torch.tensor(move, dtype=torch.float32)


Draw = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From R (1, 3, 3) and t (1, 3), in box diagonals, to an image (1, h, w)."""


def camera(side: int) -> torch.Tensor:
    return torch.tensor([[[PTN_FOCAL * side, 0, side / 2], [0, PTN_FOCAL * side, side / 2], [0, 0, 1]]])


def closed(mesh: Mesh, side: int) -> torch.Tensor:
    return torch.tensor(voxelise_closed(mesh, side), dtype=torch.float32)[None]


def mesh_draw(operator: Operator, mesh: Mesh, side: int) -> Draw:
    vertices, faces, K = torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces), camera(side)
    return lambda R, t: operator(vertices @ R.mT + t[:, None], faces, K, (side, side))


def max_draw(grid: torch.Tensor) -> Draw:
    """The image is as fine as the grid (1, q, q, q)."""
    return lambda R, t: voxel_max_perspective(grid, R, t)


def ray_draw(grid: torch.Tensor, side: int) -> Draw:
    K = camera(side)
    return lambda R, t: ray_silhouette(grid, R, t, K=K, size_hw=(side, side), near_far=DEPTHS)


def cosines(draw: Draw, count: int, seed: int) -> tuple[float, float, float]:
    """Mean cosine between minus the gradient and the way back: of the whole pose, of the turn, of the move.

    The loss is the mean squared difference to the operator's own image of the true pose. In the whole pose, turns are
    measured by the way of a point half a box diagonal off.
    """
    R, turn, move = trials(count, seed)
    away = torch.tensor([[0.0, 0.0, DISTANCE]])
    slopes = []
    for i in range(count):
        here = torch.cat([turn[i : i + 1] / 2, move[i : i + 1]], dim=1).requires_grad_()
        with torch.no_grad():
            goal = draw(R[i : i + 1], away)
        image = draw(twist_to_matrix(2 * here[:, :3]) @ R[i : i + 1], away + here[:, 3:])
        slopes.append(torch.autograd.grad(((image - goal) ** 2).mean(), here)[0])
    slope, wrong = torch.cat(slopes), torch.cat([turn / 2, move], dim=1)
    agree = torch.nn.functional.cosine_similarity
    parts = (slice(0, 6), slice(0, 3), slice(3, 6))
    return tuple(round(float(agree(slope[:, p], wrong[:, p]).mean()), 3) for p in parts)


def gradient_quality(
    operators: dict[str, Operator], faces: tuple[int, ...], sizes: tuple[int, ...], count: int, seed: int
) -> list[dict]:
    rows = []
    for n in faces:
        mesh = car_like(n)
        for j, side in enumerate(sizes):
            draws = {name: mesh_draw(operator, mesh, side) for name, operator in operators.items()}
            draws |= {
                "voxel_max_perspective": max_draw(closed(mesh, side)),
                "ray_silhouette": ray_draw(closed(mesh, GRID), side),
            }
            for name, draw in draws.items():
                pose, turn, move = cosines(draw, count, seed)
                printed = PRINTED[name][n][j] if name in PRINTED and sizes == SIZES else None
                rows.append(
                    {
                        "operator": name,
                        "faces": n,
                        "px": side,
                        "pose": pose,
                        "turn": turn,
                        "move": move,
                        "printed": printed,
                    }
                )
    return rows


def print_gradients(rows: list[dict], count: int) -> None:
    print(
        f"\nGradient quality: cosine of minus the gradient and the way back, mean of {count} poses; as once measured in ()"
    )
    sizes = sorted({row["px"] for row in rows})
    print(f"{'operator':>22s} {'faces':>6s}" + "".join(f"{f'{side} px':>15s}" for side in sizes))
    names = list(dict.fromkeys(row["operator"] for row in rows))
    for name in names:
        for faces in LEVELS:
            mine = [row for row in rows if row["operator"] == name and row["faces"] == faces]
            if mine:
                cells = [
                    f"{r['pose']:5.2f}" + (f" ({r['printed']:5.2f})" if r["printed"] is not None else "") for r in mine
                ]
                print(f"{name:>22s} {faces:6d}" + "".join(f"{cell:>15s}" for cell in cells))
