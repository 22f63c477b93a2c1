"""Draws the pictures of conventions.md with the library's own cameras, so that they show what the code does.

Run `python docs/draw_conventions.py [folder]`; matplotlib is needed for this alone.
"""

import itertools
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monoform import cameras
from monoform.poses import Pose

matplotlib.use("Agg")

COLOURS = ("#d62728", "#2a9134", "#1f5fbf")  # x, y, z
INK = "#333333"
SIZE_HW = (240, 320)
CAMERA_ANGLES = (math.radians(40), math.radians(22), 0.0, 2.3)  # azimuth, elevation, tilt, distance
CAMERA = cameras.pinhole_from_fov(math.radians(34), SIZE_HW, torch.float64)
OUTLINE_ZY = [  # side view of a car whose nose is at -z: hood, windscreen, roof, tail
    *[(-0.43, -0.14), (-0.43, 0.0), (-0.14, 0.03), (-0.02, 0.15), (0.27, 0.15), (0.41, 0.02), (0.43, -0.14)],
]
WIDTH = 0.19  # half
SAME_WORLD = np.eye(3)
LAMP, DOOR = DECALS = ("#ffd23f", "#d1495b")  # painted on the body


def tensor(values) -> torch.Tensor:
    return torch.tensor(np.array(values), dtype=torch.float64)


@dataclass(frozen=True)
class View:
    """A camera at a place: draws points of its world."""

    camera: cameras.Pinhole
    pose: Pose

    def pixels(self, points) -> np.ndarray:
        return self.camera.project(self.pose.apply(tensor(points))).numpy()

    def depth(self, points) -> np.ndarray:
        return self.pose.apply(tensor(points))[..., 2].numpy()


# --- the scene


def car() -> list[tuple[np.ndarray, str]]:
    """Polygons of a car in the canonical object frame (y up, front -z), seen from outside counter-clockwise."""
    left = np.array([(-WIDTH, y, z) for z, y in OUTLINE_ZY])
    right = left * [-1, 1, 1]
    polygons = [(left[::-1], "#9aa7b8"), (right, "#9aa7b8")]
    for i in range(len(left)):
        j = (i + 1) % len(left)
        glass = i in (2, 4)
        polygons.append((np.stack([left[i], left[j], right[j], right[i]]), "#7fb2d9" if glass else "#c3ccd6"))
    for x in (-0.12, 0.12):  # headlights, to tell the front
        lamp = np.array([(x - 0.04, -0.08, -0.431), (x - 0.04, -0.03, -0.431), (x + 0.04, -0.03, -0.431)])
        polygons.append((np.vstack([lamp, [(x + 0.04, -0.08, -0.431)]]), LAMP))
    # A red door on the object's left side (-x) tells left from right.
    door = np.array([(-WIDTH - 0.001, y, z) for z, y in [(-0.1, -0.11), (-0.1, 0.02), (0.1, 0.02), (0.1, -0.11)]])
    polygons.append((door[::-1], DOOR))
    return polygons


def draw_polygons(ax: Axes, view: View, polygons: list[tuple[np.ndarray, str]]) -> None:
    """Back to front, without the faces that look away; good for shapes close to convex."""
    painted_last = sorted(polygons, key=lambda p: (p[1] in DECALS, -view.depth(p[0]).mean()))
    for order, (points, colour) in enumerate(painted_last):
        xy = view.pixels(points)
        area = np.cross(np.append(xy[1] - xy[0], 0), np.append(xy[2] - xy[1], 0))[2]
        if area < 0:  # counter-clockwise to the eye where y points down
            ax.fill(*xy.T, facecolor=colour, edgecolor=INK, linewidth=0.6, zorder=2 + order / 100)


def draw_arrow(ax: Axes, start_xy, end_xy, colour: str, label: str) -> None:
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.0, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 14}
    ax.annotate("", end_xy, start_xy, arrowprops=style, zorder=5, annotation_clip=False)
    direction = np.subtract(end_xy, start_xy)
    direction = direction / max(float(np.hypot(*direction)), 1e-9)
    ax.annotate(
        label, end_xy, 9 * direction * [1, -1], textcoords="offset points", color=colour, fontsize=11, zorder=6,
        ha="center", va="center", fontweight="bold", annotation_clip=False,
    )  # fmt: skip


def draw_axes(ax: Axes, view: View, origin, directions: np.ndarray, length: float, labels="xyz") -> None:
    """Arrows along the rows of `directions`, red, green, blue."""
    for direction, colour, label in zip(directions, COLOURS, labels, strict=True):
        start, end = view.pixels(np.stack([origin, origin + length * direction]))
        draw_arrow(ax, start, end, colour, label)


def draw_frustum(ax: Axes, view: View, seen_by: View, to_world: np.ndarray) -> None:
    """The pyramid of what a camera sees, cut at its image plane."""
    height, width = seen_by.camera.size_hw
    corners = seen_by.camera.unproject(tensor([[0, 0], [width, 0], [width, height], [0, height]]), tensor([0.75] * 4))
    canonical = seen_by.pose.invert().apply(torch.cat([corners, torch.zeros(1, 3)])).numpy()
    xy = view.pixels(canonical @ to_world.T)
    for corner in xy[:4]:
        ax.plot(*np.stack([xy[4], corner]).T, color="#888888", linewidth=0.8, zorder=3)
    ax.fill(*xy[:4].T, facecolor="#f3e9c8", alpha=0.45, edgecolor="#888888", linewidth=1, zorder=3)
    ax.plot(*xy[4], "o", color=INK, markersize=4, zorder=5)


# --- pictures


def new_figure(title: str, caption: str, columns: tuple[float, float]) -> tuple[Figure, Axes, Axes]:
    figure = Figure(figsize=(9.0, 4.2), dpi=100)
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": columns})
    figure.subplots_adjust(0.015, 0.14, 0.985, 0.86, wspace=0.06)
    figure.suptitle(title, fontsize=13, fontweight="bold", color=INK, y=0.965)
    figure.text(0.5, 0.045, caption, ha="center", va="center", fontsize=10, color=INK, family="monospace")
    for ax in (left, right):
        ax.set_aspect("equal")
        ax.axis("off")
    return figure, left, right


def save(figure: Figure, folder: Path, name: str) -> Path:
    path = folder / f"conventions_{name}.png"
    figure.savefig(path, metadata={"Software": None})
    return path


def observer(to_world, up) -> View:
    """Somebody who stands beside the camera and sees it and the car."""
    target = np.array([-0.55, 0.3, -0.75])
    eye = target + 5 * np.array([-0.79, 0.6, -0.1])
    pose = cameras.look_at(tensor(to_world(eye)), tensor(to_world(target)), tensor(up))
    return View(cameras.pinhole_from_fov(math.radians(30), (300, 400), torch.float64), pose)


def draw_camera_frame(
    folder: Path, name: str, title: str, caption: str, camera_axes: np.ndarray, to_world: np.ndarray = SAME_WORLD
) -> Path:
    """Left: the camera, its axes (rows, in the tool's world) and the object. Right: its picture, with the same axes.

    `to_world` takes canonical coordinates to the tool's; where it is a reflection, the tool's world is mirrored.
    """
    figure, left, right = new_figure(title, caption, (1.3, 1.0))
    mirror = np.linalg.det(to_world) < 0
    pose = cameras.orbit_pose(*map(tensor, CAMERA_ANGLES))
    # A mirrored polygon has to be read backwards to keep its outside outside.
    world = [(points[:: -1 if mirror else 1] @ to_world.T, colour) for points, colour in car()]
    view = observer(lambda points: points @ to_world.T, to_world @ [0, 1, 0])
    draw_polygons(left, view, world)
    draw_axes(left, view, np.zeros(3), np.eye(3), 0.62)
    draw_frustum(left, view, View(CAMERA, pose), to_world)
    eye = to_world @ pose.invert().t.numpy()
    draw_axes(left, view, eye, camera_axes, 0.5)
    frame_panel(
        left, view.pixels(np.vstack([eye + 0.6 * to_world, eye - 0.6 * to_world, 0.62 * to_world, -0.5 * to_world]))
    )
    draw_picture(right, View(CAMERA, pose), camera_axes @ to_world)
    return save(figure, folder, name)


def frame_panel(ax: Axes, points_xy: np.ndarray) -> None:
    """Show all the points, with y down."""
    (left, top), (right, bottom) = points_xy.min(0) - 6, points_xy.max(0) + 6
    ax.set(xlim=(left, right), ylim=(bottom, top))


def draw_picture(ax: Axes, seen_by: View, camera_axes: np.ndarray) -> None:
    """What the camera sees, with the directions of its axes (rows, in the canonical frame) in the picture."""
    height, width = seen_by.camera.size_hw
    ax.fill([0, width, width, 0], [0, 0, height, height], facecolor="#fbf7e9", edgecolor=INK, linewidth=1)
    draw_polygons(ax, seen_by, car())
    centre = np.array([width / 2, height / 2])
    for direction, colour, label in zip(camera_axes @ seen_by.pose.R.numpy().T, COLOURS, "xyz", strict=True):
        if np.hypot(*direction[:2]) > 0.5:
            draw_arrow(ax, centre, centre + 62 * direction[:2], colour, label)
        else:
            sense = "z into the picture" if direction[2] > 0 else "z out of the picture"
            ax.text(width - 8, height - 8, sense, color=colour, fontsize=9.5, ha="right", va="bottom")
    ax.set(xlim=(-14, width + 8), ylim=(height + 12, -22))
    ax.text(0, -6, "picture: pixel (0, 0) is this corner", fontsize=9, color=INK, va="bottom")


def draw_camera_frames(folder: Path) -> list[Path]:
    """One picture a tool, with axes taken from that tool's own record."""
    angles = tuple(map(tensor, CAMERA_ANGLES))
    pose = cameras.orbit_pose(*angles)
    opengl = cameras.opengl_camera_to_world(pose)[:3, :3].numpy()
    pytorch3d = cameras.pytorch3d_camera(CAMERA, pose)
    bop = np.reshape(cameras.bop_pose(pose, 1.0)["cam_R_m2c"], (3, 3))
    nerfstudio = np.array(cameras.nerfstudio_frame(CAMERA, pose)["transform_matrix"])[:3, :3]
    pascal3d = cameras.viewpoints_and_keypoints_rotation(*angles[:3]).numpy()
    mirrored_canonical, _ = cameras.mirror_nmr_mesh(
        torch.eye(3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.int64)
    )
    forward = mirrored_canonical.numpy() @ pose.R[2].numpy()
    image_right = np.cross([0, 1, 0], forward) / np.hypot(forward[0], forward[2])
    nmr = np.stack([image_right, np.cross(forward, image_right), forward])
    return [
        draw_camera_frame(
            folder, "opencv", "OpenCV, COLMAP and monoform: x right, y down, z forward",
            "x_camera = R @ x_object + t      pixel = K @ (x/z, y/z, 1)", pose.R.numpy(),
        ),
        draw_camera_frame(
            folder, "opengl", "OpenGL, Blender, three.js: x right, y up, z backward",
            "camera-to-world:  x_world = R @ x_camera + eye", opengl.T,
        ),
        draw_camera_frame(
            folder, "pytorch3d", "PyTorch3D: x left, y up, z forward",
            "row vectors:  x_view = x_world @ R + T      NDC: +x left, +y up, shorter side is [-1, 1]",
            pytorch3d.R.mT.numpy(),
        ),
        draw_camera_frame(
            folder, "bop", "BOP: OpenCV's axes, nine floats row by row, millimetres",
            "cam_R_m2c = [r11 r12 r13 r21 ... r33]      cam_t_m2c in mm", bop,
        ),
        draw_camera_frame(
            folder, "nerfstudio", "nerfstudio: OpenGL's axes, transform_matrix is camera-to-world",
            "x_world = transform_matrix @ x_camera      fl_x fl_y cx cy w h in pixels", nerfstudio.T,
        ),
        draw_camera_frame(
            folder, "pascal3d", "PASCAL3D+: z-up model with front -y, OpenGL's camera axes",
            "W = Rz(theta) Rx(el - 90) Rz(-az)      eye = d (cos el sin az, -cos el cos az, sin el)", pascal3d.T,
            # The axis change is its own inverse.
            cameras.canonical_from_pascal3d(torch.eye(3, dtype=torch.float64)).numpy(),
        ),
        draw_camera_frame(
            folder, "nmr", "NMR and SoftRas: a mirrored world (the red door is on the other side)",
            "eye = d (cos el sin az, sin el, -cos el cos az)      image right = up x forward", nmr,
            mirrored_canonical.numpy(),
        ),
    ]  # fmt: skip


def draw_object_frame(folder: Path) -> Path:
    """Left: the axes on the object. Right: how it looks from the four quarters, from above and tilted."""
    caption = "y up, front -z, right-handed; bounding box centred, its diagonal 1"
    figure, left, right = new_figure("The canonical object frame and its viewpoints", caption, (1.0, 1.35))
    pose = cameras.orbit_pose(*map(tensor, (math.radians(50), math.radians(25), 0.0, 4.0)))
    view = View(cameras.pinhole_from_fov(math.radians(20), (300, 300), torch.float64), pose)
    draw_polygons(left, view, car())
    draw_axes(left, view, np.zeros(3), np.eye(3), 0.6)
    for text, at in (("front", (0, -0.05, -0.62)), ("left", (-0.42, -0.16, 0.05))):
        left.text(*view.pixels([at])[0], text, fontsize=10, color=INK, ha="center", style="italic")
    left.set(xlim=(0, 300), ylim=(285, 15))
    views = [(0, 0, 0), (90, 0, 0), (180, 0, 0), (-90, 0, 0), (0, 45, 0), (40, 20, 25)]
    lens = cameras.pinhole_from_fov(math.radians(26), (100, 140), torch.float64)
    for k, (azimuth, elevation, tilt) in enumerate(views):
        place = np.array([150 * (k % 3), 135 * (k // 3)])
        angles = map(tensor, (*np.radians([azimuth, elevation, tilt]), 3.2))
        shown = cameras.pad(lens, int(place[0]), int(place[1]), 0, 0)
        draw_polygons(right, View(shown, cameras.orbit_pose(*angles)), car())
        right.add_patch(Rectangle(place, 140, 100, fill=False, edgecolor="#aaaaaa"))
        text = (
            f"azimuth {azimuth}°, elev. {elevation}°" if not tilt else f"az. {azimuth}°, el. {elevation}°, tilt {tilt}°"
        )
        right.text(*(place + [70, 106]), text, fontsize=8, color=INK, ha="center", va="top")
    right.set(xlim=(-4, 446), ylim=(262, -4))
    return save(figure, folder, "object")


def draw_voxel_order(folder: Path) -> Path:
    """A grid of 4 cells a side, with one cell marked and its index spelled out."""
    caption = "grid[z, y, x]      centre of a cell = (index + 0.5) / q - 0.5      last index runs fastest"
    figure, left, right = new_figure("Voxel grids are indexed [z, y, x]", caption, (1.0, 1.0))
    pose = cameras.orbit_pose(*map(tensor, (math.radians(-145), math.radians(24), 0.0, 5.0)))
    view = View(cameras.pinhole_from_fov(math.radians(23), (300, 300), torch.float64), pose)
    q, (z, y, x) = 4, (3, 2, 1)
    for line in grid_lines(q):
        left.plot(*view.pixels(line).T, color="#c5c9cf", linewidth=0.8, zorder=1)
    draw_polygons(left, view, box(np.array([x, y, z]) / q - 0.5, 1 / q, "#f4a259"))
    draw_axes(left, view, np.full(3, -0.5), np.eye(3), 1.25)
    marked = view.pixels([np.array([x + 0.5, y + 1, z + 0.5]) / q - 0.5])[0]
    pointer = {"arrowstyle": "-", "color": INK}
    left.annotate(
        f"grid[{z}, {y}, {x}]", marked, (205, 30), fontsize=11, color=INK, fontweight="bold", arrowprops=pointer
    )
    left.set(xlim=(20, 280), ylim=(290, 5))
    lines = [
        f"The marked cell of a {q} x {q} x {q} grid:",
        "",
        f"  z index {z},  y index {y},  x index {x}",
        f"  its centre: x = ({x} + 0.5) / {q} - 0.5 = {(x + 0.5) / q - 0.5:+.3f}",
        f"              y = ({y} + 0.5) / {q} - 0.5 = {(y + 0.5) / q - 0.5:+.3f}",
        f"              z = ({z} + 0.5) / {q} - 0.5 = {(z + 0.5) / q - 0.5:+.3f}",
        f"  its place in memory: ({z} * {q} + {y}) * {q} + {x} = {(z * q + y) * q + x}",
        "",
        "torch's grid_sample takes points as (x, y, z):",
        "x runs along the last axis of the grid.",
    ]
    right.text(0.0, 0.5, "\n".join(lines), fontsize=9.5, family="monospace", color=INK, va="center", linespacing=1.5)
    right.set(xlim=(0, 1), ylim=(0, 1), aspect="auto")
    return save(figure, folder, "voxels")


def grid_lines(q: int) -> list[np.ndarray]:
    """Lines of the cells on the three lower faces of the unit cube, and its other edges."""
    steps = np.arange(q + 1) / q - 0.5
    lines = []
    for axis in range(3):
        for a, b in itertools.product(steps, steps):
            if min(a, b) == -0.5 or a == b == 0.5:
                lines.append(np.insert(np.array([[a, b], [a, b]]), axis, [-0.5, 0.5], axis=1))
    return lines


def box(corner: np.ndarray, side: float, colour: str) -> list[tuple[np.ndarray, str]]:
    """Polygons of a cube, seen from outside counter-clockwise."""
    polygons = []
    for axis in range(3):
        u, v = np.eye(3)[(axis + 1) % 3], np.eye(3)[(axis + 2) % 3]
        square = np.stack([0 * u, u, u + v, v])
        polygons += [(corner + side * (square + np.eye(3)[axis]), colour), (corner + side * square[::-1], colour)]
    return polygons


def draw_pixel_centres(folder: Path) -> Path:
    """Left: a small image and its coordinates. Right: the same after a crop and a doubling, by the camera's own map."""
    caption = "pixel (row i, column j) is centred at (x, y) = (j + 0.5, i + 0.5)      resize is a pure scale"
    figure, left, right = new_figure("Pixel centres and crops", caption, (1.0, 1.0))
    size_hw, window, marked = (4, 6), (1, 1, 4, 3), (1, 2)
    pixel_map = cameras.window_map(window, (4, 6)).numpy()
    centres = cameras.pixel_centres(size_hw, torch.float64, torch.device("cpu")).numpy()
    centre = centres[marked]
    draw_pixels(left, size_hw, marked)
    left.plot(*centres.reshape(-1, 2).T, ".", color=INK, markersize=3)
    left.annotate(
        f"({centre[0]:g}, {centre[1]:g})", centre, (0, 6), textcoords="offset points", ha="center", fontsize=10
    )
    corners = np.array([(1, 1), (4, 1), (4, 3), (1, 3), (1, 1)])
    left.plot(*corners.T, color=COLOURS[0], linewidth=2)
    left.text(4.05, 3.05, "crop (1, 1, 4, 3)", color=COLOURS[0], fontsize=9, va="top", ha="right")
    draw_pixels(right, (4, 6), None)
    moved = (pixel_map @ [*centre, 1])[:2]
    cell = np.array([(2, 1), (3, 1), (3, 2), (2, 2)])
    right.fill(*(np.c_[cell, np.ones(4)] @ pixel_map.T)[:, :2].T, facecolor="#f4a259", alpha=0.8, zorder=1)
    right.plot(*moved, ".", color=INK, markersize=6)
    right.annotate(f"({moved[0]:g}, {moved[1]:g})", moved, (0, 6), textcoords="offset points", ha="center", fontsize=10)
    left.set_title("6 x 4 image", fontsize=10, color=INK)
    right.set_title("the crop, resized to 6 x 4:  x' = 2 (x - 1)", fontsize=10, color=INK)
    return save(figure, folder, "pixels")


def draw_pixels(ax: Axes, size_hw: tuple[int, int], marked: tuple[int, int] | None) -> None:
    height, width = size_hw
    for x in range(width + 1):
        ax.plot([x, x], [0, height], color="#b8bcc2", linewidth=0.8, zorder=2)
        ax.text(x, -0.12, str(x), ha="center", va="bottom", fontsize=9, color=INK)
    for y in range(height + 1):
        ax.plot([0, width], [y, y], color="#b8bcc2", linewidth=0.8, zorder=2)
        ax.text(-0.12, y, str(y), ha="right", va="center", fontsize=9, color=INK)
    ax.text(width + 0.3, -0.12, "x", ha="center", va="bottom", fontsize=10, color=COLOURS[0], fontweight="bold")
    ax.text(-0.12, height + 0.35, "y", ha="right", va="center", fontsize=10, color=COLOURS[1], fontweight="bold")
    if marked is not None:
        i, j = marked
        ax.fill([j, j + 1, j + 1, j], [i, i, i + 1, i + 1], facecolor="#f4a259", alpha=0.8, zorder=1)
    ax.set(xlim=(-0.6, width + 0.6), ylim=(height + 0.5, -0.6))


def draw_all(folder: Path) -> list[Path]:
    """All pictures of conventions.md, as PNG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = (draw_object_frame, draw_voxel_order, draw_pixel_centres)
    return draw_camera_frames(folder) + [draw(folder) for draw in drawings]


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images")
