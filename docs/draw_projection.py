"""Draws the pictures of projection.md: the value of every operator, and what its gradient sees.

Run `python docs/draw_projection.py [folder]`; matplotlib is needed for this alone.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from monoform.data.procedural import make
from monoform.meshes import Mesh, icosphere, normalise
from monoform.projection.coverage import coverage
from monoform.projection.edge_product import edge_product
from monoform.projection.hard_raster import hard_raster
from monoform.projection.rays import ray_silhouette
from monoform.projection.soft_raster import soft_raster
from monoform.projection.voxel_max import voxel_max_perspective
from monoform.rotations import viewpoint_to_matrix
from monoform.voxels import voxelise_solid

matplotlib.use("Agg")

SIZE = 32
TIMES = 16
"""The truth is a hard mask this many times as fine."""
FOCAL = 1.55 * SIZE
DISTANCE = FOCAL / SIZE + 0.5
"""Where the perspective grid of the voxels is centred."""
K = torch.tensor([[[FOCAL, 0, SIZE / 2], [0, FOCAL, SIZE / 2], [0, 0, 1]]])
INK = "#333333"
Draw = Callable[[Tensor, Tensor], Tensor]
"""Image (h, w) of the car turned by R (3, 3) and moved by t (3,)."""


def operators(car: Mesh) -> dict[str, Draw]:
    vertices = torch.tensor(car.vertices).float()
    faces = torch.tensor(car.faces)
    grid = torch.tensor(voxelise_solid(car, SIZE)).float()[None]
    sight = (DISTANCE - 0.6, DISTANCE + 0.6)

    def mesh_operator(draw: Callable) -> Draw:
        return lambda R, t: draw((vertices @ R.T + t)[None], faces, K, (SIZE, SIZE))[0]

    rays = partial(ray_silhouette, K=K, size_hw=(SIZE, SIZE), near_far=sight)
    perspective = partial(voxel_max_perspective, focal=FOCAL / SIZE)
    return {
        "coverage": mesh_operator(coverage),
        "soft_raster": mesh_operator(soft_raster),
        "edge_product": mesh_operator(edge_product),
        "ray_silhouette": lambda R, t: rays(grid, R[None], t[None])[0],
        "voxel_max_perspective": lambda R, t: perspective(grid, R[None], t[None])[0],
    }


def truth(car: Mesh, R: Tensor, t: Tensor) -> Tensor:
    """The share of each pixel that the car covers, from a fine z-buffer."""
    vertices = torch.tensor(car.vertices).float() @ R.T + t
    fine = K * torch.tensor([[[TIMES], [TIMES], [1]]])
    hit = hard_raster(vertices[None], torch.tensor(car.faces), fine, (SIZE * TIMES, SIZE * TIMES)).face_id[0] >= 0
    return hit.float().reshape(SIZE, TIMES, SIZE, TIMES).mean((1, 3))


def change_to_the_right(draw: Draw, R: Tensor, t: Tensor) -> Tensor:
    """How every pixel changes, by the operator's own gradient, when the car moves right by one pixel."""
    place = t.clone().requires_grad_()
    pixels = draw(R, place).reshape(-1)
    changes = [torch.autograd.grad(pixel, place, retain_graph=True)[0][0] for pixel in pixels]
    return torch.stack(changes).reshape(SIZE, SIZE) * DISTANCE / FOCAL


def show(axes: Axes, image: Tensor, reach: float | None = None) -> None:
    kind = (
        {"cmap": "gray", "vmin": 0, "vmax": 1} if reach is None else {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}
    )
    axes.imshow(image.detach().numpy(), interpolation="nearest", **kind)
    axes.set_xlim(SIZE * 0.12, SIZE * 0.92)
    axes.set_ylim(SIZE * 0.88, SIZE * 0.24)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color("#cccccc")


def draw_values(folder: Path, car: Mesh, R: Tensor, t: Tensor) -> None:
    """One column an operator: its value, and how each pixel changes when the car moves to the right."""
    columns = operators(car)
    figure = Figure(figsize=(2.05 * (len(columns) + 1), 3.8), dpi=110, layout="constrained")
    axes = figure.subplots(2, len(columns) + 1)
    pixel = torch.tensor([DISTANCE / FOCAL / 2, 0, 0])
    show(axes[0, 0], truth(car, R, t))
    show(axes[1, 0], truth(car, R, t + pixel) - truth(car, R, t - pixel), 1)
    axes[0, 0].set_title("truth", fontsize=10, color=INK)
    for (name, draw), column in zip(columns.items(), axes[:, 1:].T, strict=True):
        show(column[0], draw(R, t))
        show(column[1], change_to_the_right(draw, R, t), 1)
        column[0].set_title(name, fontsize=10, color=INK)
    axes[0, 0].set_ylabel("value", fontsize=10, color=INK)
    axes[1, 0].set_ylabel("change a pixel to the right", fontsize=10, color=INK)
    figure.savefig(folder / "projection_values.png")


def draw_pulls(folder: Path, R: Tensor, t: Tensor) -> None:
    """How a loss pulls at the vertices: an egg stands two pixels left of its target."""
    egg = icosphere(2, 0.5)
    turned = torch.tensor(egg.vertices * [0.6, 0.6, 1.0]).float() @ R.T
    faces = torch.tensor(egg.faces)
    start = t - torch.tensor([2 * DISTANCE / FOCAL, 0, 0])
    figure = Figure(figsize=(10.5, 3.3), dpi=110, layout="constrained")
    pictures = {"coverage": coverage, "soft_raster": soft_raster, "edge_product": edge_product}
    for axes, (name, draw) in zip(figure.subplots(1, 3), pictures.items(), strict=True):
        place = (turned + start)[None].requires_grad_()
        with torch.no_grad():
            target = draw((turned + t)[None], faces, K, (SIZE, SIZE))
        ((draw(place, faces, K, (SIZE, SIZE)) - target) ** 2).sum().backward()
        assert place.grad is not None
        pull = -place.grad[0, :, :2].numpy()
        seen = place.detach()[0] @ K[0].T
        seen = (seen[:, :2] / seen[:, 2:]).numpy()
        axes.imshow(1 - 0.35 * target[0].numpy(), cmap="gray", vmin=0, vmax=1, extent=(0, SIZE, SIZE, 0))
        axes.triplot(*seen.T, egg.faces, color="#8aa4cf", linewidth=0.4)
        pull = 3.5 * pull / np.linalg.norm(pull, axis=1).max()
        axes.quiver(*seen.T, *pull.T, angles="xy", scale_units="xy", scale=1, color="#d62728", width=0.006)
        axes.set_title(name, fontsize=10, color=INK)
        axes.set_xlim(SIZE * 0.08, SIZE * 0.88)
        axes.set_ylim(SIZE * 0.8, SIZE * 0.2)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.savefig(folder / "projection_pulls.png")


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    car, _ = normalise(make("car", 2))
    R = viewpoint_to_matrix(*torch.tensor([35.0, 12.0, 0.0]).deg2rad())
    t = torch.tensor([0.0, 0.0, DISTANCE])
    draw_values(folder, car, R, t)
    draw_pulls(folder, R, t)


if __name__ == "__main__":
    main()
