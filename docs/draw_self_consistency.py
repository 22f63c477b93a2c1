"""Draws the picture of papers/self_consistency.md: how a silhouette alone picks and teaches one of eight poses.

Run `python docs/draw_self_consistency.py [folder]`; matplotlib is needed for this alone.
"""

import math
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from monoform.data.image_sets import DrawnObjects, render_turntable, shapes_for
from monoform.interfaces import ImageSet
from monoform.methods import self_consistency as liao
from monoform.methods.image_tensors import small_masks
from monoform.methods.pictures import solid
from monoform.rotations import matrix_to_viewpoint, viewpoint_to_matrix

matplotlib.use("Agg")

CONFIG = replace(liao.LAPTOP, explored=0.5)
STEPS = 150
INK, MASK, PROJECTION, WINNER = "#333333", "#1f5fbf", "#e0862a", "#2a9134"


def loss_over_azimuth(voxels: Tensor, mask: Tensor, elevation: float) -> tuple[np.ndarray, np.ndarray]:
    """Degrees, and L_sc there."""
    degrees = torch.arange(0, 360, 3.0)
    flat = torch.zeros_like(degrees)
    R = viewpoint_to_matrix(torch.deg2rad(degrees), flat + elevation, flat)
    count = len(degrees)
    shown = liao.project(voxels.expand(count, -1, -1, -1), R, CONFIG.mask_size, CONFIG)
    return degrees.numpy(), liao.consistency_loss(shown, grown(mask).expand(count, -1, -1), CONFIG).numpy()


def grown(mask: Tensor) -> Tensor:
    reach = CONFIG.mask_growth
    return torch.nn.functional.max_pool2d(mask[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]


def descend(voxels: Tensor, mask: Tensor) -> tuple[liao.Angles, liao.Angles]:
    """The hypotheses at the start and after the steps, each free to move by itself."""
    torch.manual_seed(0)
    network, raw = liao.PoseAwareNetwork(CONFIG), torch.zeros(1, 3 * CONFIG.hypotheses, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(liao.pose_loss(network.angles_of(raw), voxels, mask, CONFIG)).backward()
        optimizer.step()
    with torch.no_grad():
        return network.angles_of(torch.zeros_like(raw)), network.angles_of(raw)


def bare(axes: Axes, title: str, colour: str = "#cccccc", width: float = 0.8) -> None:
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(width)


def overlaid(projection: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """White, blue where the mask is alone, orange where the projection is alone, dark where both are."""
    blue, orange = (np.array(matplotlib.colors.to_rgb(colour)) for colour in (MASK, PROJECTION))
    return (1 - mask[..., None] * (1 - blue)) * (1 - projection[..., None] * (1 - orange))


def draw(chair: ImageSet) -> Figure:
    voxels = torch.from_numpy(chair.voxels).float()
    mask = torch.from_numpy(small_masks(chair.masks, CONFIG.mask_size)).float()
    azimuth, elevation, _ = matrix_to_viewpoint(torch.from_numpy(chair.R[0])).tolist()
    start, end = descend(voxels, mask)
    best = int(end.choice.argmax())
    figure = Figure(figsize=(11, 5.4), dpi=110, layout="constrained")
    grid = figure.add_gridspec(3, 8, height_ratios=[1.35, 1, 1])
    pictures = (chair.images[0], 1 - mask[0].numpy(), solid(chair.voxels[0].astype(np.float32), R_side()))
    for column, (picture, title) in enumerate(zip(pictures, ("image", "mask", "true voxels"), strict=True)):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(picture, cmap="gray", vmin=0)
        bare(axes, title)
    curve = figure.add_subplot(grid[0, 3:])
    curve.plot(*loss_over_azimuth(voxels, mask, elevation), color=INK, linewidth=1.2)
    curve.axvline(math.degrees(azimuth) % 360, color=WINNER, linestyle=":", label="true azimuth, never told")
    curve.set_xlabel("azimuth, degrees (at the true elevation)", fontsize=8)
    curve.set_ylabel("$L_{sc}$", fontsize=9)
    curve.tick_params(labelsize=8)
    curve.legend(fontsize=8, loc="upper center")
    for row, (angles, word) in enumerate(((start, "start"), (end, f"after {STEPS} steps")), start=1):
        R = viewpoint_to_matrix(angles.azimuth[0], angles.elevation[0], torch.zeros(CONFIG.hypotheses))
        count = CONFIG.hypotheses
        shown = liao.project(voxels.expand(count, -1, -1, -1), R, CONFIG.mask_size, CONFIG)
        fits = liao.consistency_loss(shown, grown(mask).expand(count, -1, -1), CONFIG)
        for p in range(count):
            axes = figure.add_subplot(grid[row, p])
            axes.imshow(overlaid(shown[p].numpy(), mask[0].numpy()))
            turned = round(math.degrees(float(angles.azimuth[0, p])))
            chosen = row == 2 and p == best
            bare(axes, f"{turned}°  $L_{{sc}}$ {float(fits[p]):.2f}", *((WINNER, 2.5) if chosen else ()))
            if p == 0:
                axes.set_ylabel(word, fontsize=9, color=INK)
    return figure


def R_side() -> np.ndarray:
    return viewpoint_to_matrix(*torch.deg2rad(torch.tensor([35.0, 20.0, 0.0]))).numpy()


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    entries, ids = shapes_for("chair", 1, 4)
    chair = render_turntable(DrawnObjects(entries, ["chair"], ids), size=CONFIG.image_size, views=1, seed=3)
    draw(chair).savefig(folder / "self_consistency.png")


if __name__ == "__main__":
    main()
