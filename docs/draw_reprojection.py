"""Draws the picture of papers/reprojection.md: the loop from image to shape, pose, silhouette and back to the mask.

Run `python docs/draw_reprojection.py [folder]`; matplotlib is needed for this alone. True values stand where predictions would.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monoform.data.procedural import make
from monoform.data.rendering import CLEAN, Camera, RenderSettings, prepare, render_batch
from monoform.overlays import draw
from monoform.projection.voxel_max import voxel_max
from monoform.projection.warping import warp
from monoform.rotations import viewpoint_to_matrix
from monoform.voxels import surface, voxelise_solid

matplotlib.use("Agg")

SIDE, SIZE = 30, 128
FAR = 6.0
"""Distance of the camera in grid sides: so far that rays are nearly parallel."""
INK, LEARNT, FIXED = "#333333", "#d9822b", "#5b7fa6"


def view(voxels: torch.Tensor, R: np.ndarray) -> np.ndarray:
    """The grid's surface on white, through the far camera."""
    mesh = surface(voxels.numpy()).mesh
    assert mesh is not None
    K = np.array([[FAR * SIZE, 0, SIZE / 2], [0, FAR * SIZE, SIZE / 2], [0, 0, 1]])
    seen = draw(mesh, R, np.array([0.0, 0.0, FAR]), K, (SIZE, SIZE))
    return 1 + seen.alpha[..., None] * (seen.colour - 1)


def panels() -> list[tuple[str, np.ndarray, str]]:
    """Title, picture and the colour of its frame."""
    model = prepare(make("car", 2))
    R = viewpoint_to_matrix(*torch.tensor([40.0, 18.0, 4.0]).deg2rad())
    t = torch.tensor([0.03, -0.02, 0.0])
    K = np.array([[FAR * SIZE, 0, SIZE / 2], [0, FAR * SIZE, SIZE / 2], [0, 0, 1]])
    place = Camera(R.double().numpy(), np.array([0.03, -0.02, FAR]), K)
    (shot,) = render_batch([model], [(3, 1)], RenderSettings(size_hw=(SIZE, SIZE), augment=CLEAN), cameras=[place])
    aligned = torch.tensor(voxelise_solid(model.mesh, SIDE)).float()[None]
    posed = warp(aligned, R[None], t[None])
    silhouette = voxel_max(aligned, R[None], t[None])[0]
    aside = viewpoint_to_matrix(*torch.tensor([-30.0, 25.0, 0.0]).deg2rad()).numpy()
    return [
        ("image", shot.image / 255, INK),
        ("aligned shape\n$V(s)$", view(aligned[0], aside), FIXED),
        ("pose-aware shape\n$V(s, p)$", view(posed[0], np.eye(3)), INK),
        ("silhouette\n$M = \\max_z V(s, p)$", silhouette.numpy(), INK),
        ("mask\n$M_{gt}$", shot.mask, INK),
    ]


def show(axes: Axes, title: str, picture: np.ndarray, colour: str) -> None:
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(1.5)


def arrow(figure: Figure, start: Axes, end: Axes, text: str, colour: str) -> None:
    """From one panel's right to the next one's left."""
    left, right = start.get_position(), end.get_position()
    y = (left.y0 + left.y1) / 2
    blank = figure.add_axes((0, 0, 1, 1))
    blank.set_axis_off()
    blank.set_xlim(0, 1)
    blank.set_ylim(0, 1)
    ends = {"xy": (right.x0 - 0.004, y), "xytext": (left.x1 + 0.004, y)}
    blank.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.6})
    blank.text((left.x1 + right.x0) / 2, y + 0.045, text, ha="center", va="bottom", fontsize=8.5, color=colour)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    figure = Figure(figsize=(12.4, 2.9), dpi=110)
    row = figure.subplots(1, 5, gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.14, "top": 0.8, "wspace": 0.62})
    for axes, panel in zip(row, panels(), strict=True):
        show(axes, *panel)
    steps = [
        ("style $s$\nregressor,\ngenerator", LEARNT),
        ("pose $p$\nregressor,\nwarp", LEARNT),
        ("largest\nalong $z$", INK),
        ("cross-\nentropy", INK),
    ]
    for (text, colour), start, end in zip(steps, row[:-1], row[1:], strict=True):
        arrow(figure, start, end, text, colour)
    caption = "The loss on natural images reaches both regressors (orange); the generator (blue) stays as it is."
    figure.text(0.5, 0.04, caption, ha="center", fontsize=9, color=INK)
    figure.savefig(folder / "reprojection.png")


if __name__ == "__main__":
    main()
