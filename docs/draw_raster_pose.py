"""Draws the picture of papers/raster_pose.md: from image to class and pose, and the refinement of the pose on the mask.

Run `python docs/draw_raster_pose.py [folder]`; matplotlib is needed for this alone. The true class and a pose that is off by
TURN, SHIFT and FARTHER stand where an encoder's prediction would; the refinement is computed.
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from monoform.data.image_sets import DrawnObjects, render_posts, shapes_for
from monoform.data.representatives import choose_representatives
from monoform.data.vehicle_classes import CLASSES
from monoform.meshes import Mesh, pad
from monoform.methods.raster_pose.online import Refined, refine_poses, silhouettes
from monoform.overlays import draw
from monoform.rotations import rotation_angle, twist_to_matrix, viewpoint_to_matrix

matplotlib.use("Agg")

SIZE, WINDOW = 256, 144
"""Sides in pixels of the pictures, and of what is shown of them."""
CLASS, SHAPE, VIEW = "sedan", 8, 5
MEDOIDS_FROM, COMPARED = 100, 8
TURN = (0.02, 0.26, -0.03)
"""Radians, about the object's axes."""
SHIFT, FARTHER = (-0.03, 0.02), 1.12
"""Across, as a share of the depth; and the depth's factor."""
INK, LEARNT, FIXED, BACK = "#333333", "#d9822b", "#5b7fa6", "#b03a3a"
TOO_MUCH, MISSING, BOTH = np.array([0.85, 0.2, 0.2]), np.array([0.25, 0.55, 0.9]), np.array([0.82, 0.82, 0.82])
"""Of a silhouette: what lies outside the mask, what of the mask it leaves out, and where they agree."""


def shaded(mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray, ground: np.ndarray | float = 1.0) -> np.ndarray:
    seen = draw(mesh, R, t, K, (SIZE, SIZE))
    return ground + seen.alpha[..., None] * (seen.colour - ground)


def representatives(meshes: tuple[Mesh, ...], chosen: int) -> np.ndarray:
    """The class's own mesh above, the others small and faint below."""
    aside, t = viewpoint_to_matrix(*torch.tensor([-35.0, 18.0, 0.0]).deg2rad()).numpy(), np.array([0.0, 0.0, 3.0])
    canvas, small = np.ones((SIZE, SIZE, 3)), SIZE // 2
    wide = np.array([[2.5 * SIZE, 0, SIZE / 2], [0, 2.5 * SIZE, 0.33 * SIZE], [0, 0, 1]])
    canvas = shaded(meshes[chosen], aside, t, wide, canvas)
    for place, other in enumerate(number for number in range(len(meshes)) if number != chosen):
        K = np.array([[1.3 * SIZE, 0, (0.5 + place) * small], [0, 1.3 * SIZE, 0.8 * SIZE], [0, 0, 1]])
        seen = draw(meshes[other], aside, t, K, (SIZE, SIZE))
        canvas += 0.45 * seen.alpha[..., None] * (seen.colour - canvas)
    return canvas


def compared(silhouette: np.ndarray, mask: np.ndarray) -> np.ndarray:
    agree, more, less = (np.minimum(silhouette, mask), silhouette - mask, mask - silhouette)
    parts = ((agree, BOTH), (more.clip(0), TOO_MUCH), (less.clip(0), MISSING))
    return np.clip(sum(share[..., None] * (colour - 1.0) for share, colour in parts) + 1.0, 0, 1)


def about(mask: np.ndarray) -> tuple[slice, slice]:
    """The window of WINDOW pixels around the object, inside the picture."""
    middle = np.argwhere(mask > 0.5).mean(axis=0).round().astype(int)
    top, left = np.clip(middle - WINDOW // 2, 0, SIZE - WINDOW)
    return slice(top, top + WINDOW), slice(left, left + WINDOW)


def refined(mesh: Mesh, R: Tensor, t: Tensor, mask: Tensor, K: Tensor) -> tuple[Refined, np.ndarray]:
    """All steps, and the silhouettes at each."""
    vertices, faces = (torch.from_numpy(x) for x in pad([mesh]))
    start_R = R @ twist_to_matrix(torch.tensor([TURN]))
    start_t = (t + t[:, 2:] * torch.tensor([[*SHIFT, 0.0]])) * FARTHER
    found = refine_poses(vertices.float(), faces, start_R, start_t, mask, K, operator="coverage")
    shown = [
        silhouettes(vertices.float(), faces, R, t, K, SIZE, "coverage")[0].numpy()
        for R, t in zip(found.R_steps, found.t_steps, strict=True)
    ]
    return found, np.stack(shown)


def panels() -> list[tuple[str, np.ndarray, str]]:
    """Title, picture and the colour of its frame."""
    chosen = {name: shapes_for("car", COMPARED, MEDOIDS_FROM, name) for name in CLASSES}
    meshes = choose_representatives(chosen)[0].meshes
    own = CLASSES.index(CLASS)
    entries, ids = shapes_for("car", 1, SHAPE, CLASS)
    test = render_posts(DrawnObjects(entries, [CLASS], ids), size=SIZE, views=VIEW + 1, seed=0)
    image, mask = test.images[VIEW] / 255, torch.from_numpy(test.masks[VIEW : VIEW + 1] / np.float32(255))
    R, t, K = (torch.from_numpy(x[VIEW : VIEW + 1]) for x in (test.R, test.t, test.K))
    found, drawn = refined(meshes[own], R, t, mask, K)
    off = [float(rotation_angle(pose, R).rad2deg()) for pose in found.R_steps]
    first, last = (found.R_steps[0][0].numpy(), found.t_steps[0][0].numpy()), (found.R[0].numpy(), found.t[0].numpy())
    best, seen = int(found.loss_steps[:, 0].argmin()), about(mask[0].numpy())
    return [
        ("image", image[seen], INK),
        ("representative\nof the class", representatives(meshes, own), FIXED),
        (f"in the said pose\n{off[0]:.0f}° off", shaded(meshes[own], *first, K[0].numpy())[seen], INK),
        (
            f"silhouette and mask\nIoU {float(found.iou_steps[0, 0]):.2f}",
            compared(drawn[0], mask[0].numpy())[seen],
            INK,
        ),
        (
            f"after 30 steps\nIoU {float(found.iou_steps[best, 0]):.2f}",
            compared(drawn[best], mask[0].numpy())[seen],
            INK,
        ),
        (f"on the image\n{off[best]:.1f}° off", shaded(meshes[own], *last, K[0].numpy(), image)[seen], INK),
    ]


def show(axes: Axes, title: str, picture: np.ndarray, colour: str) -> None:
    axes.imshow(picture, vmin=0, vmax=1)
    axes.set_title(title, fontsize=10, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_color(colour)
        side.set_linewidth(1.5)


def arrows(blank: Axes, row: list[Axes]) -> None:
    """Between the panels, and from the difference back to the pose."""
    steps = [
        ("encoder,\nclass", LEARNT),
        ("encoder,\nR and t", LEARNT),
        ("raster-\nisation", INK),
        ("30 steps\nof Adam", BACK),
        ("R and t", INK),
    ]
    boxes = [axes.get_position() for axes in row]
    y = (boxes[0].y0 + boxes[0].y1) / 2
    for (text, colour), left, right in zip(steps, boxes[:-1], boxes[1:], strict=True):
        ends = {"xy": (right.x0 - 0.003, y), "xytext": (left.x1 + 0.003, y)}
        blank.annotate("", **ends, arrowprops={"arrowstyle": "->", "color": colour, "linewidth": 1.6})
        blank.text((left.x1 + right.x0) / 2, y + 0.04, text, ha="center", va="bottom", fontsize=8.5, color=colour)
    middle, low = [(box.x0 + box.x1) / 2 for box in boxes], boxes[0].y0 - 0.01
    bent = {"arrowstyle": "->", "color": BACK, "linewidth": 1.6, "connectionstyle": "bar,angle=180,fraction=-0.1"}
    blank.annotate("", xy=(middle[2], low), xytext=(middle[3], low), arrowprops=bent)
    where = ((middle[2] + middle[3]) / 2, low - 0.115)
    blank.text(*where, "gradient through the rasteriser", ha="center", va="top", fontsize=8.5, color=BACK)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images"
    figure = Figure(figsize=(13.4, 3.2), dpi=110)
    row = figure.subplots(1, 6, gridspec_kw={"left": 0.01, "right": 0.99, "bottom": 0.3, "top": 0.83, "wspace": 0.5})
    for axes, panel in zip(row, panels(), strict=True):
        show(axes, *panel)
    blank = figure.add_axes((0, 0, 1, 1))
    blank.set_axis_off()
    blank.set_xlim(0, 1)
    blank.set_ylim(0, 1)
    arrows(blank, list(row))
    caption = "Red: outside the mask. Blue: of the mask, not covered. The encoder (orange) is learnt, meshes (blue) are given."
    figure.text(0.5, 0.02, caption, ha="center", fontsize=9, color=INK)
    figure.savefig(folder / "raster_pose.png")


if __name__ == "__main__":
    main()
