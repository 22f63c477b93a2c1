"""Antialiased silhouettes: the area of each pixel that the mesh covers, and its gradient, from contour edges alone.

- *closed* (closed, consistently wound mesh, all of it in front of the camera): the contour edges of the faces of one screen
  orientation. The signed areas to the right of them, summed along each row, are the covered area of each pixel, as font
  rasterisers do it; where layers overlap the sum is clamped to 1. Moving an edge changes exactly the pixels it crosses.
- *open* (everything else): `union.py` finds the outline of the union of all faces by sweeping the image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
from numba import njit

from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import FAST, _drawable, checked
from monoform.projection.kernels.union import add_union, add_union_gradient


class Topology:
    """Which faces meet at which edge; made once per mesh.

    faces: (f, 3) int. vertices: (v, 3), optional; vertices at the same place are then one (the first of them moves the
    edge), which closes meshes whose faces share no vertices. `edges` (e, 2) vertex pairs; `incidence` (n,) signed face numbers
    (face + 1, negative where the face runs through the edge backwards), edge by edge; `first` (e + 1,) where each edge's
    begin. `closed`: every edge has two faces that run through it in opposite directions.
    """

    def __init__(self, faces: np.ndarray, vertices: np.ndarray | None = None):
        faces = np.ascontiguousarray(faces, dtype=np.int32).reshape(-1, 3)
        if faces.size and faces.min() < 0:
            raise ValueError("a face holds a negative vertex number")
        if vertices is not None:
            faces = _weld(vertices)[faces]
        a, b, c = faces.T
        self.faces = np.ascontiguousarray(faces[(a != b) & (b != c) & (c != a)])
        self.vertices_needed = int(faces.max()) + 1 if faces.size else 0
        half = self.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
        owner = np.repeat(np.arange(1, len(self.faces) + 1, dtype=np.int32), 3)
        forward = half[:, 0] < half[:, 1]
        low, high = half.min(1).astype(np.int64), half.max(1).astype(np.int64)
        key = low * (self.vertices_needed + 1) + high
        order = np.argsort(key, kind="stable")
        key, forward = key[order], forward[order]
        new = np.ones(len(key), bool)
        new[1:] = key[1:] != key[:-1]
        start = np.flatnonzero(new)
        self.edges = np.ascontiguousarray(np.stack([low[order[start]], high[order[start]]], 1).astype(np.int32))
        self.first = np.append(start, len(key)).astype(np.int32)
        self.incidence = np.where(forward, owner[order], -owner[order]).astype(np.int32)
        signs = np.add.reduceat(np.where(forward, 1, -1), start) if len(start) else np.zeros(0, int)
        self.closed = bool(len(start)) and bool((np.diff(self.first) == 2).all() and (signs == 0).all())


def _weld(vertices: np.ndarray) -> np.ndarray:
    """For every vertex the first one at its place (to a millionth of the mesh's extent)."""
    vertices = np.nan_to_num(np.asarray(vertices, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    extent = np.ptp(vertices, axis=0).max() if len(vertices) else 0.0
    cell = np.rint(vertices / (1e-6 * extent or 1.0))
    _, first, place = np.unique(cell, axis=0, return_index=True, return_inverse=True)
    return first[place.reshape(-1)].astype(np.int32)


@dataclass(frozen=True, eq=False)
class Saved:
    """What `backward` needs from `forward`."""

    points: np.ndarray
    topologies: Sequence[Topology]
    closed: np.ndarray
    alpha: np.ndarray
    contour: np.ndarray
    layers: np.ndarray
    count: np.ndarray
    outlines: list[tuple[int, int, np.ndarray, np.ndarray, np.ndarray]]
    """(first image, end, outline edges, their lines, where each image's start) for every task of `forward`."""


# ------------------------------------------------------------------------------------------------ contour edges


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _orient(points, faces, side):
    """side[face] = -1 or +1, its orientation on the screen; 0 if it can not be drawn. Returns whether all can."""
    complete = True
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        xa, ya, za = points[a, 0], points[a, 1], points[a, 2]
        xb, yb, zb = points[b, 0], points[b, 1], points[b, 2]
        xc, yc, zc = points[c, 0], points[c, 1], points[c, 2]
        double_area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
        side[face] = -1 if double_area < 0 else 1
        if not _drawable(xa, ya, za, xb, yb, zb, xc, yc, zc):
            side[face] = 0
            complete = False
    return complete


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _find_contour(edges, first, incidence, side, contour, layers):
    """List the edges that have more faces on one side than on the other, and how many more (signed). Returns their number.

    Every edge is written and most are overwritten by the next: a branch would be mispredicted too often.
    """
    count = 0
    for edge in range(edges.shape[0]):
        total = 0
        for i in range(first[edge], first[edge + 1]):
            orientation = side[abs(incidence[i]) - 1]
            total += orientation if incidence[i] > 0 else -orientation
        contour[count] = edge
        layers[count] = total
        count += 1 if total != 0 else 0
    return count


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _cut_into_pixels(xa, ya, xb, yb, height, width, row, column, until):
    """Cut an edge at the pixel lines it crosses; returns the number of pieces and where along the edge the first begins.

    Piece i lies in pixel (row[i], column[i]) and ends at the fraction until[i]. What is above or below the image is left
    out; all that is left of it has column -1, all that is right of it column `width`.
    """
    dx, dy = xb - xa, yb - ya
    begin, end = 0.0, 1.0
    if dx == 0.0 and dy == 0.0:
        return 0, 0.0
    if dy != 0.0:
        t_top, t_bottom = -ya / dy, (height - ya) / dy
        begin = max(begin, min(t_top, t_bottom))
        end = min(end, max(t_top, t_bottom))
    elif ya < 0.0 or ya >= height:
        return 0, 0.0
    if not begin < end:
        return 0, 0.0
    x, y = xa + begin * dx, ya + begin * dy
    c = int(np.floor(min(max(x, -1.0), float(width))))
    r = int(np.floor(min(max(y, 0.0), float(height))))
    r = min(r, height - 1)
    step_c = 1 if dx > 0.0 else -1
    step_r = 1 if dy > 0.0 else -1
    line_c = c + 1 if dx > 0.0 else c
    line_r = r + 1 if dy > 0.0 else r
    per_x = 1.0 / dx if dx != 0.0 else 0.0
    per_y = 1.0 / dy if dy != 0.0 else 0.0
    count = 0
    t = begin
    while t < end:
        t_c = (line_c - xa) * per_x if dx != 0.0 and 0 <= line_c <= width else 2.0
        t_r = (line_r - ya) * per_y if dy != 0.0 and 0 < line_r < height else 2.0
        t = max(t, min(t_c, t_r, end))
        row[count] = r
        column[count] = c
        until[count] = t
        count += 1
        if t_c <= t_r:
            if t_c > 1.0:
                break
            c += step_c
            line_c += step_c
        else:
            r += step_r
            line_r += step_r
    return count, begin


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _ends(points, edges, edge, layers):
    """Vertices and coordinates of a contour edge, in the direction that keeps its faces on the right-hand side (y down)."""
    a, b = edges[edge, 0], edges[edge, 1]
    if layers < 0:
        a, b = b, a
    return a, b, float(points[a, 0]), float(points[a, 1]), float(points[b, 0]), float(points[b, 1])


# ------------------------------------------------------------------------------------------------ forward


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _add_areas(points, edges, contour, layers, count, area, row, column, until):
    """Add the signed area right of each contour edge to `area` (h, w + 2), as differences along the rows."""
    height, width = area.shape[0], area.shape[1] - 2
    for n in range(count):
        _, _, xa, ya, xb, yb = _ends(points, edges, contour[n], layers[n])
        dx, dy = xb - xa, yb - ya
        pieces, t0 = _cut_into_pixels(xa, ya, xb, yb, height, width, row, column, until)
        for i in range(pieces):
            r, c, t1 = row[i], max(column[i], 0), until[i]
            if c < width:
                weight = (t0 - t1) * dy
                inside = min(max(xa + 0.5 * (t0 + t1) * dx - c, 0.0), 1.0)
                area[r, c] += np.float32(weight * (1.0 - inside))
                area[r, c + 1] += np.float32(weight * inside)
            t0 = t1


@njit(inline="always", error_model="numpy")
def _share(total):
    return min(max(total, np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _sum_rows(area, alpha):
    """Sums along the rows, clamped; four rows at a time, as each sum waits for the one before."""
    height, width = alpha.shape
    for row in range(0, height - height % 4, 4):
        a, b, c, d = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
        for column in range(width):
            a += area[row, column]
            b += area[row + 1, column]
            c += area[row + 2, column]
            d += area[row + 3, column]
            alpha[row, column] = _share(a)
            alpha[row + 1, column] = _share(b)
            alpha[row + 2, column] = _share(c)
            alpha[row + 3, column] = _share(d)
    for row in range(height - height % 4, height):
        total = np.float32(0.0)
        for column in range(width):
            total += area[row, column]
            alpha[row, column] = _share(total)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_images(
    points, faces, edges, first, incidence, mesh_closed, start, stop, closed, alpha, contour, layers, count
):
    height, width = alpha.shape[1], alpha.shape[2]
    side = np.empty(faces.shape[0], np.int8)
    area = np.empty((height, width + 2), np.float32)
    row = np.empty(height + width + 8, np.int32)
    column = np.empty(height + width + 8, np.int32)
    until = np.empty(height + width + 8, np.float64)
    outline, line, known = np.empty(1024, np.int32), np.empty(1024, np.int32), 0
    known_before = np.zeros(stop - start + 1, np.int64)
    for image in range(start, stop):
        seen, edge_list, layer_list = points[image], contour[image], layers[image]
        closed[image] = _orient(seen, faces, side) and mesh_closed
        if closed[image]:  # the faces of one orientation have the same contour
            np.minimum(side, 0, side)
        n = _find_contour(edges, first, incidence, side, edge_list, layer_list)
        count[image] = n
        area[:] = 0.0
        if closed[image]:
            _add_areas(seen, edges, edge_list, layer_list, n, area, row, column, until)
        else:
            outline, line, known = add_union(seen, edges, edge_list, layer_list, n, area, outline, line, known)
        known_before[image - start + 1] = known
        _sum_rows(area, alpha[image])
    return start, stop, outline[:known].copy(), line[:known].copy(), known_before


def forward(points: np.ndarray, topology: Topology | Sequence[Topology], h: int, w: int) -> tuple[np.ndarray, Saved]:
    """Covered share of every pixel.

    points: (b, v, 3) [x_px, y_px, depth], centre of pixel (i, j) at (j + 0.5, i + 0.5). topology: one, or one an image.
    Faces with a vertex at depth <= 0 or not finite are left out: clip before. Returns alpha (b, h, w) float32 in [0, 1] and
    what `backward` needs.
    """
    topologies = [topology] if isinstance(topology, Topology) else topology
    points, _ = checked(points, topologies[0].faces[:0])  # a topology knows its extent: no need to look at every face
    if max(mesh.vertices_needed for mesh in topologies) > points.shape[1]:
        raise ValueError(f"a face names a vertex outside 0..{points.shape[1] - 1}")
    if len(topologies) not in (1, len(points)):
        raise ValueError(f"{len(topologies)} meshes for {len(points)} images; give one, or one an image")
    batch, edges = len(points), max(len(mesh.edges) for mesh in topologies)
    alpha = np.empty((batch, h, w), np.float32)
    closed = np.empty(batch, bool)
    contour = np.empty((batch, edges), np.int32)
    layers = np.empty((batch, edges), np.int16)
    count = np.empty(batch, np.int32)
    out = (closed, alpha, contour, layers, count)
    meshes = [(mesh.faces, mesh.edges, mesh.first, mesh.incidence, mesh.closed) for mesh in topologies]
    if len(meshes) == 1:
        tasks = [partial(_forward_images, points, *meshes[0], *part, *out) for part in threads.spans(batch)]
        outlines = threads.run(tasks)
    else:
        outlines = _in_spans([partial(_forward_images, points, *meshes[i], i, i + 1, *out) for i in range(batch)])
    return alpha, Saved(points, topologies, closed, alpha, contour, layers, count, outlines)


def _in_spans(tasks: list[Callable]) -> list:
    """What many small tasks return, in order; each thread does an equal share of them."""
    shares = threads.run([partial(_do_all, tasks[start:stop]) for start, stop in threads.spans(len(tasks))])
    return list(chain.from_iterable(shares))


def _do_all(tasks: list[Callable]) -> list:
    return [task() for task in tasks]


# ------------------------------------------------------------------------------------------------ backward


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _add_gradients(points, edges, contour, layers, count, alpha, grad_alpha, grad_points, row, column, until):
    """A piece that moves by (ux, uy) uncovers (ux dy - uy dx) of its pixel: integrate that along every contour edge."""
    height, width = alpha.shape
    for n in range(count):
        a, b, xa, ya, xb, yb = _ends(points, edges, contour[n], layers[n])
        dx, dy = xb - xa, yb - ya
        pieces, t0 = _cut_into_pixels(xa, ya, xb, yb, height, width, row, column, until)
        whole, late = 0.0, 0.0
        for i in range(pieces):
            r, c, t1 = row[i], column[i], until[i]
            if 0 <= c < width and 1e-6 < alpha[r, c] < 1.0 - 1e-6:
                change = float(grad_alpha[r, c]) * (t1 - t0)
                whole += change
                late += change * 0.5 * (t0 + t1)
            t0 = t1
        grad_points[a, 0] += np.float32((whole - late) * dy)
        grad_points[a, 1] -= np.float32((whole - late) * dx)
        grad_points[b, 0] += np.float32(late * dy)
        grad_points[b, 1] -= np.float32(late * dx)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_images(
    points,
    edges,
    closed,
    alpha,
    contour,
    layers,
    count,
    grad_alpha,
    grad_points,
    start,
    stop,
    outline,
    line,
    known_before,
):
    height, width = alpha.shape[1], alpha.shape[2]
    row = np.empty(height + width + 8, np.int32)
    column = np.empty(height + width + 8, np.int32)
    until = np.empty(height + width + 8, np.float64)
    for image in range(start, stop):
        seen, covered, g, out = points[image], alpha[image], grad_alpha[image], grad_points[image]
        out[:] = 0.0
        if closed[image]:
            _add_gradients(
                seen, edges, contour[image], layers[image], count[image], covered, g, out, row, column, until
            )  # fmt: skip
        else:
            known, known_then = known_before[image - start], known_before[image - start + 1]
            add_union_gradient(seen, edges, outline, line, known, known_then, covered, g, out)


def backward(saved: Saved, grad_alpha: np.ndarray) -> np.ndarray:
    """Gradient (b, v, 2) float32 with respect to the points' x_px and y_px of a loss whose gradient by alpha is given."""
    grad_alpha = np.ascontiguousarray(grad_alpha, dtype=np.float32)
    batch, vertices = saved.points.shape[:2]
    grad_points = np.empty((batch, vertices, 2), np.float32)
    state = (saved.closed, saved.alpha, saved.contour, saved.layers, saved.count, grad_alpha, grad_points)
    edges = [mesh.edges for mesh in saved.topologies]
    tasks = [
        partial(_backward_images, saved.points, edges[task[0] % len(edges)], *state, *task) for task in saved.outlines
    ]
    _in_spans(tasks)
    return grad_points
