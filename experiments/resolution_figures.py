"""Fidelity and time of mesh and voxel silhouettes over the resolution, and the pictures (Palazzi 2018, Fig. 6)."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from resolution_gradients import DEPTHS, DISTANCE, Draw, camera, max_draw, mesh_draw, ray_draw
from resolution_refine import Operator
from resolution_scenes import Car, iou

from monoform.meshes import Mesh, normalise
from monoform.projection.hard_raster import hard_raster
from monoform.projection.voxel_max import sample
from monoform.rotations import viewpoint_to_matrix
from monoform.voxels import voxelise_solid

matplotlib.use("Agg")

REFERENCE_PX = 512
PTN_SIDE = 32
COLOURS = {
    "edge_product": "#d1495b", "soft_raster": "#e59500", "coverage": "#1f5fbf", "paper": "#333333",
    "voxel_max_perspective": "#2a9134", "ray_silhouette": "#7a5195",
}  # fmt: skip

# --- fidelity ----------------------------------------------------------------------------------------------------


def views(count: int, seed: int) -> torch.Tensor:
    """(n, 3, 3): any azimuth, elevation 0 to 30 degrees."""
    rng = np.random.default_rng([seed, 4])
    angles = np.stack([rng.uniform(0, 2 * np.pi, count), np.radians(rng.uniform(0, 30, count)), np.zeros(count)])
    return viewpoint_to_matrix(*torch.tensor(angles, dtype=torch.float32))


def solid(mesh: Mesh, side: int) -> torch.Tensor:
    return torch.tensor(voxelise_solid(mesh, side), dtype=torch.float32)[None]


def fixed_grid_draw(mesh: Mesh, side: int) -> Draw:
    """Perspective Transformer Nets' own 32^3 grid and 32 depths, seen by an image of any size."""
    grid, K = solid(mesh, PTN_SIDE), camera(side)
    pixels = torch.arange(side) + 0.5
    v, u = torch.meshgrid(pixels, pixels, indexing="ij")
    rays = torch.stack([u, v, torch.ones_like(u)], dim=-1) @ torch.linalg.inv(K)[0].mT
    depths = DEPTHS[0] + (torch.arange(PTN_SIDE) + 0.5) / PTN_SIDE
    points = (rays * depths[:, None, None, None])[None]
    return lambda R, t: sample(grid, R, t, points).max(dim=1).values


def fidelity(cars: list[Car], coverage: Operator, sizes: tuple[int, ...], finest_grid: int, seed: int) -> list[dict]:
    """Mean IoU of silhouettes above 0.5, each pixel blown up, with the z-buffer's mask at 512 px; one view a car."""
    meshes, turns = [normalise(car.mesh)[0] for car in cars], views(len(cars), seed)
    away = torch.tensor([[0.0, 0.0, DISTANCE]])
    kinds: dict[str, Callable[[Mesh, int], Draw]] = {
        "mesh (coverage)": lambda mesh, side: mesh_draw(coverage, mesh, side),
        "voxels, r^3": lambda mesh, side: max_draw(solid(mesh, side)),
        "voxels, 32^3": fixed_grid_draw,
    }
    found: dict[tuple[str, int], list[float]] = {}
    for mesh, R in zip(meshes, turns, strict=True):
        vertices = torch.tensor(mesh.vertices, dtype=torch.float32) @ R.mT + away
        seen = hard_raster(vertices[None], torch.tensor(mesh.faces), camera(REFERENCE_PX), (REFERENCE_PX, REFERENCE_PX))
        for kind, make in kinds.items():
            for side in sizes if kind != "voxels, r^3" else [s for s in sizes if s <= finest_grid]:
                small = (make(mesh, side)(R[None], away) > 0.5).float()
                large = torch.nn.functional.interpolate(small[:, None], scale_factor=REFERENCE_PX // side)[:, 0] > 0.5
                found.setdefault((kind, side), []).append(float(iou(large, seen.face_id >= 0)[0]))
    return [{"kind": kind, "px": side, "iou": float(np.mean(values))} for (kind, side), values in found.items()]


# --- time --------------------------------------------------------------------------------------------------------


def times(
    car: Car, operators: dict[str, Operator], sizes: tuple[int, ...], finest_grid: int, seconds: float
) -> list[dict]:
    """Median milliseconds of one image, forward and backward, to the pose; all rows take turns for `seconds` each."""
    mesh, R = normalise(car.mesh)[0], views(1, 0)
    tasks: dict[tuple[str, int], Callable[[], None]] = {}
    for side in sizes:
        draws = {name: mesh_draw(operator, mesh, side) for name, operator in operators.items()}
        draws["ray_silhouette"] = ray_draw(solid(mesh, PTN_SIDE), side)
        if side <= finest_grid:
            draws["voxel_max_perspective"] = max_draw(solid(mesh, side))
        for name, draw in draws.items():
            tasks[name, side] = lambda draw=draw: _forward_backward(draw, R)
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in tasks}
    for task in tasks.values():
        task()  # compiles
    while open_rows := [key for key, spent in taken.items() if sum(spent) < seconds or len(spent) < 5]:
        for key in open_rows:
            start = time.perf_counter()
            tasks[key]()
            taken[key].append(time.perf_counter() - start)
    return [{"operator": name, "px": side, "ms": 1e3 * float(np.median(spent)), "best_ms": 1e3 * min(spent),
             "runs": len(spent)} for (name, side), spent in taken.items()]  # fmt: skip


def _forward_backward(draw: Draw, R: torch.Tensor) -> None:
    R, t = R.clone().requires_grad_(), torch.tensor([[0.0, 0.0, DISTANCE]], requires_grad=True)
    draw(R, t).sum().backward()


# --- tables and pictures -----------------------------------------------------------------------------------------


def print_by_size(title: str, rows: list[dict], name: str, value: str, form: str) -> None:
    print(f"\n{title}")
    sizes = sorted({row["px"] for row in rows})
    print(f"{'':>34s}" + "".join(f"{f'{side} px':>10s}" for side in sizes))
    for kind in dict.fromkeys(row[name] for row in rows):
        cells = {row["px"]: format(row[value], form) for row in rows if row[name] == kind}
        print(f"{kind:>34s}" + "".join(f"{cells.get(side, '-'):>10s}" for side in sizes))


def draw_figure6(
    fidelities: list[dict], timings: list[dict], steps: dict[str, list[dict]], sizes: tuple[int, ...], path: Path
) -> None:
    """steps: of each operator the mean IoU, median angle and median position error before and after each step."""
    figure = pyplot.figure(figsize=(13, 4.6), layout="constrained")
    left, middle, right = figure.subfigures(1, 3)
    a, b = left.subplots(), middle.subplots()
    looks = {"mesh (coverage)": ("#1f5fbf", "-"), "voxels, r^3": ("#2a9134", "-"),
             "voxels, 32^3": ("#2a9134", "--")}  # fmt: skip
    for kind, (colour, dashes) in looks.items():
        mine = sorted((row for row in fidelities if row["kind"] == kind), key=lambda row: row["px"])
        label = kind.replace("^3", "³")
        a.plot([r["px"] for r in mine], [r["iou"] for r in mine], dashes, marker="o", ms=4, color=colour, label=label)
    a.set(title="(a) fidelity", ylabel="IoU with the 512 px silhouette")
    for name in dict.fromkeys(row["operator"] for row in timings):
        mine = sorted((row for row in timings if row["operator"] == name), key=lambda row: row["px"])
        b.plot([r["px"] for r in mine], [r["ms"] for r in mine], marker="o", ms=4, color=COLOURS[name], label=name)
    b.set(title="(b) time, forward and backward", ylabel="ms an image", yscale="log")
    for axes in (a, b):
        _size_axis(axes, sizes)
        axes.legend(fontsize=8, frameon=False)
    panels = right.subplots(3, 1, sharex=True)
    quantities = (("angle_deg", "angle, °"), ("iou", "IoU"), ("position", "position"))
    for axes, (key, label) in zip(panels, quantities, strict=True):
        for name, path_of in steps.items():
            axes.plot([at[key] for at in path_of], color=COLOURS[name], label=name)
        axes.axvline(30, color="0.8", lw=1, zorder=0)
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    panels[0].set_title(f"(c) error over the steps, at {sizes[-1]} px")
    panels[0].legend(fontsize=8, frameon=False, ncols=3, handlelength=1, columnspacing=0.8)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    panels[2].set_xlabel("step")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def draw_gains(rows: list[dict], printed: dict[int, tuple[float, float, float]], path: Path) -> None:
    figure, panels = pyplot.subplots(1, 3, figsize=(13, 4.5), layout="constrained")
    titles = ("gain of mean IoU", "change of the median angle, °", "change of the median position error")
    single = [row for row in rows if row["px"].isdigit()]
    for j, (axes, key, title) in enumerate(zip(panels, ("iou", "angle_deg", "position"), titles, strict=True)):
        axes.plot(list(printed), [values[j] for values in printed.values()], "s--", ms=5, color=COLOURS["paper"],
                  label="as printed in the paper")  # fmt: skip
        for name, mesh in dict.fromkeys((row["operator"], row["mesh"]) for row in single):
            if "object" in mesh:
                continue
            mine = [row for row in single if (row["operator"], row["mesh"]) == (name, mesh)]
            px, values = [int(row["px"]) for row in mine], [row[key] for row in mine]
            errors = [row[f"{key}_se"] for row in mine]
            axes.errorbar(px, values, errors, fmt="o-" if mesh == "other car" else "o:", ms=4, capsize=2, color=COLOURS[name],
                          label=name if mesh == "other car" else f"{name}, the car itself")  # fmt: skip
        axes.axhline(0, color="0.6", lw=1, zorder=0)
        axes.set_title(title)
        _size_axis(axes, sorted({int(row["px"]) for row in single}))
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=5, frameon=False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _size_axis(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(side) for side in sizes])
    axes.set_xlabel("resolution, px")
    axes.grid(alpha=0.3)
