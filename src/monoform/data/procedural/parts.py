"""The building blocks of the procedural shapes: closed solids with a coat of paint, and what puts them together.

Frame of every shape: right-handed, y up, front -z, so +x is the object's own right-hand side. Lengths are in any unit,
as each finished shape is normalised to a centred box with diagonal 1. Every block is closed and looks outwards; solids
may run into each other, but two of them must not share an edge exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from monoform.meshes import Mesh, concatenate, normalise

Colour = tuple[int, int, int]
Point = Sequence[float] | np.ndarray
Points = Sequence[Point] | np.ndarray
T = TypeVar("T")

NOWHERE = (np.nan, np.nan, np.nan)
"""The keypoint that this kind of the category does not have."""
SQUARE = np.array([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
_OTHERS = {"x": [1, 2], "y": [0, 2], "z": [0, 1]}


@dataclass(frozen=True, eq=False)
class Part:
    """A named piece of a shape; pieces of one name (four wheels) are one part."""

    name: str
    mesh: Mesh


@dataclass(frozen=True, eq=False)
class Shape:
    """A finished shape in the canonical frame."""

    mesh: Mesh
    kind: str
    """Which of its category's kinds: 'sedan', 'swivel', ..."""
    part_names: tuple[str, ...]
    part_of_face: np.ndarray
    """(f,) int32 indices into `part_names`."""
    keypoints: dict[str, np.ndarray]
    """Name to (3,), the same names for every shape of a category; nan where this one has none."""


# --- parameters --------------------------------------------------------------------------------------------------


def ranges(**named_ranges: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of each parameter, by name."""
    return named_ranges


def uniform(rng: np.random.Generator, bounds: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """A value for each name, uniform in its range."""
    return {name: float(rng.uniform(low, high)) for name, (low, high) in bounds.items()}


def pick(rng: np.random.Generator, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
    """One of the options; `weights` (summing to 1) where they are not equally likely."""
    return options[int(rng.choice(len(options), p=weights))]


def paint(rng: np.random.Generator, palette: Sequence[Colour]) -> Colour:
    """A colour of the palette, a little lighter or darker and a shade off."""
    moved = np.array(pick(rng, palette)) + rng.integers(-12, 13) + rng.integers(-4, 5, 3)
    red, green, blue = np.clip(moved, 0, 255).tolist()
    return red, green, blue


# --- outlines ----------------------------------------------------------------------------------------------------


@cache
def superellipse(points: int, roundness: float = 1.0) -> np.ndarray:
    """(points, 2) outline of |u|^p + |v|^p = 1: roundness 1 is the circle, towards 0 the square of side 2."""
    angle = (np.arange(points) + 0.5) * (2.0 * np.pi / points)
    u, v = np.cos(angle), np.sin(angle)
    exponent = 2.0 / max(roundness, 0.05)
    outline = np.stack([u, v], 1) / (np.abs(u) ** exponent + np.abs(v) ** exponent)[:, None] ** (1.0 / exponent)
    outline.flags.writeable = False
    return outline


@cache
def rounded_square(corner: float, steps: int = 4) -> np.ndarray:
    """(4 * steps, 2) outline of the square of side 2 with flat sides and round corners of radius `corner`, 0 to 1."""
    angle = np.linspace(0.0, np.pi / 2.0, steps) + np.pi / 2.0 * np.arange(4)[:, None]
    arcs = corner * np.stack([np.cos(angle), np.sin(angle)], 2) + (1.0 - corner) * SQUARE[:, None]
    outline = arcs.reshape(-1, 2)
    outline.flags.writeable = False
    return outline


def creased_square(corner: float, at: float, steps: int = 5) -> np.ndarray:
    """(4 * steps + 2, 2) `rounded_square` with one more point on both upright sides, at height `at`: where it may bend."""
    outline = rounded_square(corner, steps)
    return np.concatenate([outline[: 2 * steps], [(-1.0, at)], outline[2 * steps :], [(1.0, at)]])


def place(outline: np.ndarray, axis: str, at: float, *, scale: ArrayLike, centre: ArrayLike) -> np.ndarray:
    """(n, 3) outline in the plane `axis` = `at`; its two columns become the other two axes in the order x, y, z."""
    placed = np.full((len(outline), 3), float(at))
    placed[:, _OTHERS[axis]] = outline * np.asarray(scale) + np.asarray(centre)
    return placed


# --- solids ------------------------------------------------------------------------------------------------------


def loft(
    outlines: Sequence[np.ndarray] | np.ndarray,
    colour: Colour,
    *,
    closed: bool = False,
    tips: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
) -> Mesh:
    """A closed solid through outlines of n points each, (k, n, 3).

    Both ends are closed with a fan from their middle, or from a point of `tips` (a cone's); they must be star-shaped as
    seen from there. `closed` joins the last outline to the first instead (a ring). Faces are turned to look outwards.
    """
    rings = np.asarray(outlines, dtype=np.float64)
    sections, points, _ = rings.shape
    faces, vertices = _loft_faces(sections, points, closed), rings.reshape(-1, 3)
    if not closed:
        ends = rings[[0, -1]].mean(axis=1)
        for end, tip in zip(ends, tips):
            if tip is not None:
                end[:] = tip
        vertices = np.concatenate([vertices, ends])
    # Six times the volume: the cones from the first vertex to every face.
    x, y, z = (vertices - vertices[0]).T[:, faces.T]
    volume = x[0] @ (y[1] * z[2] - z[1] * y[2]) + y[0] @ (z[1] * x[2] - x[1] * z[2])
    volume += z[0] @ (x[1] * y[2] - y[1] * x[2])
    return Mesh(vertices, faces if volume > 0 else faces[:, ::-1], np.full(vertices.shape, colour, np.uint8))


@cache
def _loft_faces(sections: int, points: int, closed: bool) -> np.ndarray:
    """(f, 3): bands between neighbouring outlines and, unless closed, fans to the two vertices after the last one."""
    here = np.arange(points)
    there = (here + 1) % points
    starts = points * np.arange(sections + closed)
    starts[-1] %= sections * points
    fans = []
    for a, b in pairwise(starts):
        fans += [np.stack([a + here, a + there, b + there], 1), np.stack([a + here, b + there, b + here], 1)]
    if not closed:
        first, last, end = sections * points, sections * points + 1, (sections - 1) * points
        fans += [np.stack([np.full(points, first), there, here], 1)]
        fans += [np.stack([np.full(points, last), end + here, end + there], 1)]
    faces = np.concatenate(fans).astype(np.int32)
    faces.flags.writeable = False
    return faces


def hull(stations: Iterable[Sequence[float]], section: np.ndarray, colour: Colour) -> Mesh:
    """A body along z: at each station (z, half width, lowest y, highest y) the section, an outline in a square of side 2."""
    rows = np.array(list(stations), dtype=np.float64)
    z, half_width, low, high = rows.T[:, :, None]
    x, y = half_width * section[:, 0], 0.5 * (high + low) + 0.5 * (high - low) * section[:, 1]
    return loft(np.stack([x, y, np.broadcast_to(z, x.shape)], axis=2), colour)


def revolve(
    profile: Points,
    axis: str,
    colour: Colour,
    *,
    centre: Point = (0.0, 0.0, 0.0),
    sides: int = 24,
    closed: bool = False,
) -> Mesh:
    """A solid of revolution about a line along x, y or z through `centre`.

    `profile` (k, 2) holds radius and position along the axis, counted from `centre`. An end with radius 0 is a point,
    any other is closed with a disc; in between radii are positive. `closed` takes the profile as a loop (a tyre).
    """
    rows = np.asarray(profile, dtype=np.float64)
    tips: list[np.ndarray | None] = [None, None]
    for end in (0, -1):
        if not closed and rows[end, 0] == 0.0:
            tips[end] = np.asarray(centre) + rows[end, 1] * np.eye(3)["xyz".index(axis)]
    rows = rows[tips[0] is not None : len(rows) - (tips[1] is not None)]
    rings = np.empty((len(rows), sides, 3))
    rings[:, :, "xyz".index(axis)] = rows[:, 1:]
    rings[:, :, _OTHERS[axis]] = rows[:, :1, None] * superellipse(sides)
    return loft(rings + np.asarray(centre), colour, closed=closed, tips=(tips[0], tips[1]))


def tube(
    points: Points, radius: ArrayLike, colour: Colour, *, sides: int = 10, squash: float = 1.0, closed: bool = False
) -> Mesh:
    """A round tube along a polyline (k, 3), mitred at its bends; `closed` joins the last point to the first.

    `radius` is one number or one a point; `squash` flattens the section across the bends' common normal (1 is round).
    """
    line = np.asarray(points, dtype=np.float64)
    steps = (np.roll(line, -1, axis=0) - line)[: None if closed else -1]
    steps = steps / np.sqrt((steps * steps).sum(axis=1, keepdims=True))
    before, after = (np.roll(steps, 1, axis=0), steps) if closed else (steps[[0, *range(len(steps))]], steps)
    if not closed:
        after = steps[[*range(len(steps)), -1]]
    along, bend = before + after, after - before
    half_cosine = np.sqrt((along * along).sum(axis=1, keepdims=True)) / 2.0
    along = along / (2.0 * half_cosine)
    # One direction along which no piece and no bend runs serves all sections, which keeps them from twisting.
    up = _DIRECTIONS[np.abs(np.concatenate([steps, along]) @ _DIRECTIONS.T).max(axis=0).argmin()]
    side = _cross(along, up)
    side /= np.sqrt((side * side).sum(axis=1, keepdims=True))
    circle = superellipse(sides) * np.array([1.0, squash])
    offsets = circle[:, :1] * side[:, None] + circle[:, 1:] * _cross(side, along)[:, None]
    # In the plane between two pieces their common section is an ellipse, longer towards the bend.
    stretch = (1.0 / np.maximum(half_cosine, 0.5) - 1.0) / np.maximum((bend * bend).sum(axis=1, keepdims=True), 1e-12)
    offsets += (offsets * bend[:, None]).sum(axis=2, keepdims=True) * (stretch * bend)[:, None]
    return loft(line[:, None] + np.reshape(radius, (-1, 1, 1)) * offsets, colour, closed=closed)


_DIRECTIONS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], float)
_DIRECTIONS /= np.linalg.norm(_DIRECTIONS, axis=1, keepdims=True)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Row by row, for rows too few for NumPy's own to be fast."""
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]


def plate(corners: Points, thickness: float, colour: Colour) -> Mesh:
    """A flat solid under a convex polygon (n, 3), half of its thickness to either side: panes, panels, fins."""
    polygon = np.asarray(corners, dtype=np.float64)
    normal = _cross(polygon[1] - polygon[0], polygon[2] - polygon[0])
    half = normal * (thickness / 2.0 / np.sqrt(normal @ normal))
    return loft([polygon - half, polygon + half], colour)


def band(lower: Points, upper: Points, thickness: float, colour: Colour) -> Mesh:
    """A thin solid between two polylines (n, 3), half of its thickness to either side: panes that go round a corner."""
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    steps = np.concatenate([low[1:2] - low[:1], low[2:] - low[:-2], low[-1:] - low[-2:-1]])
    normal = _cross(steps, high - low)
    half = normal * (thickness / 2.0 / np.sqrt((normal * normal).sum(axis=1, keepdims=True)))
    return loft(np.stack([low - half, low + half, high + half, high - half], axis=1), colour)


def cylinder(axis: str, ends: Sequence[float], radius: float, centre: Point, colour: Colour, sides: int = 24) -> Mesh:
    """A cylinder along x, y or z; `centre` holds its other two coordinates in the order x, y, z."""
    circle = superellipse(sides)
    return loft([place(circle, axis, at, scale=(radius, radius), centre=centre) for at in ends], colour)


def rod(start: Point, end: Point, radii: Sequence[float], colour: Colour) -> Mesh:
    """An upright round rod from a point to a higher one, with a radius at each end and level ends."""
    circle = superellipse(12)
    ends = [place(circle, "y", p[1], scale=(r, r), centre=(p[0], p[2])) for p, r in zip((start, end), radii)]
    return loft(ends, colour)


def block(low: Point, high: Point, colour: Colour, roundness: float = 0.15, axis: str = "y") -> Mesh:
    """A box between two corners, its edges along `axis` a little rounded; with roundness 0 it is sharp and light."""
    low_xyz, high_xyz = np.asarray(low), np.asarray(high)
    half, middle = (high_xyz - low_xyz) / 2.0, (high_xyz + low_xyz) / 2.0
    outline = superellipse(20, roundness) if roundness > 0.0 else SQUARE
    along, across = "xyz".index(axis), _OTHERS[axis]
    rings = [place(outline, axis, p[along], scale=half[across], centre=middle[across]) for p in (low_xyz, high_xyz)]
    return loft(rings, colour)


# --- copies ------------------------------------------------------------------------------------------------------


def repeated(part: Mesh, offsets: ArrayLike) -> Mesh:
    """A copy of a part at each of the (n, 3) offsets: windows, slats."""
    return _copies(part, part.vertices + np.asarray(offsets, dtype=np.float64)[:, None])


def turned(part: Mesh, axis: str, centre: Point, count: int) -> Mesh:
    """`count` copies of a part at equal angles about a line along x, y or z through `centre`: spokes, a star base."""
    angle = np.arange(count) * (2.0 * np.pi / count)
    turns = np.zeros((count, 3, 3)) + np.eye(3)
    u, v = _OTHERS[axis]
    turns[:, u, u], turns[:, v, v] = np.cos(angle), np.cos(angle)
    turns[:, u, v], turns[:, v, u] = -np.sin(angle), np.sin(angle)
    middle = np.asarray(centre)
    return _copies(part, (part.vertices - middle) @ turns.transpose(0, 2, 1) + middle)


def _copies(part: Mesh, vertices: np.ndarray) -> Mesh:
    """One mesh of n copies, their vertices (n, v, 3)."""
    count, size, _ = vertices.shape
    faces = (part.faces + (size * np.arange(count, dtype=np.int32))[:, None, None]).reshape(-1, 3)
    colours = None if part.colours is None else np.concatenate([part.colours] * count)
    return Mesh(vertices.reshape(-1, 3), faces, colours)


def mirrored(part: Mesh) -> list[Mesh]:
    """A part and its mirror image in the plane x = 0."""
    return [part, Mesh(part.vertices * (-1.0, 1.0, 1.0), part.faces[:, ::-1], part.colours)]


def pair(part: Mesh) -> Mesh:
    """A part and its mirror image in the plane x = 0, as one mesh."""
    return concatenate(mirrored(part))


# --- the whole ---------------------------------------------------------------------------------------------------


def named(name: str, *meshes: Mesh) -> list[Part]:
    """Pieces that make one part."""
    return [Part(name, mesh) for mesh in meshes]


def finish(kind: str, parts: Sequence[Part], keypoints: Mapping[str, ArrayLike]) -> Shape:
    """All parts in one shape, box centred, box diagonal 1; the keypoints go with them."""
    mesh, moved = normalise(concatenate([part.mesh for part in parts]))
    names = tuple(dict.fromkeys(part.name for part in parts))
    counts = [len(part.mesh.faces) for part in parts]
    part_of_face = np.repeat(np.array([names.index(part.name) for part in parts], np.int32), counts)
    points = {name: moved.scale * np.asarray(point) + moved.offset for name, point in keypoints.items()}
    return Shape(mesh, kind, names, part_of_face, points)
