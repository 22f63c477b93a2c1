"""The one building block of the procedural shapes: outlines joined to a closed solid, and a coat of paint.

Frame of every shape: right-handed, y up, front -z, so +x is the object's own right-hand side. Lengths are in any unit,
as each finished shape is normalised to a centred box with diagonal 1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from monoform.meshes import Mesh, concatenate, normalise, signed_volume

Colour = tuple[int, int, int]


def loft(outlines: Sequence[np.ndarray], colour: Colour) -> Mesh:
    """A closed solid through outlines of n points each, (k, n, 3); both ends are closed with a fan from their middle.

    Ends must be star-shaped as seen from their middle; faces are turned so that they look outwards.
    """
    rings = np.asarray(outlines, dtype=np.float64)
    sections, points, _ = rings.shape
    here = np.arange(points)
    there = (here + 1) % points
    sides = [
        np.concatenate([np.stack([a + here, a + there, b + there], 1), np.stack([a + here, b + there, b + here], 1)])
        for a, b in ((s * points, (s + 1) * points) for s in range(sections - 1))
    ]
    first, last = sections * points, sections * points + 1
    start = np.stack([np.full(points, first), there, here], 1)
    end = np.stack([np.full(points, last), (sections - 1) * points + here, (sections - 1) * points + there], 1)
    vertices = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)])
    faces = np.concatenate([*sides, start, end])
    solid = Mesh(vertices, faces, np.tile(np.array(colour, np.uint8), (len(vertices), 1)))
    return solid if signed_volume(solid) > 0 else Mesh(vertices, faces[:, ::-1], solid.colours)


def superellipse(points: int, roundness: float = 1.0) -> np.ndarray:
    """(points, 2) outline of |u|^p + |v|^p = 1: roundness 1 is the circle, towards 0 the square of side 2."""
    angle = (np.arange(points) + 0.5) * (2.0 * np.pi / points)
    u, v = np.cos(angle), np.sin(angle)
    exponent = 2.0 / max(roundness, 0.05)
    return np.stack([u, v], 1) / (np.abs(u) ** exponent + np.abs(v) ** exponent)[:, None] ** (1.0 / exponent)


def place(outline: np.ndarray, axis: str, at: float, *, scale: ArrayLike, centre: ArrayLike) -> np.ndarray:
    """(n, 3) outline in the plane `axis` = `at`; its two columns become the other two axes in the order x, y, z."""
    flat = outline * np.asarray(scale) + np.asarray(centre)
    return np.insert(flat, "xyz".index(axis), at, axis=1)


def cylinder(axis: str, ends: Sequence[float], radius: float, centre: Sequence[float], colour: Colour) -> Mesh:
    """A 24-sided cylinder along x, y or z; `centre` holds its other two coordinates in the order x, y, z."""
    circle = superellipse(24)
    return loft([place(circle, axis, at, scale=(radius, radius), centre=centre) for at in ends], colour)


def rod(start: Sequence[float], end: Sequence[float], radii: Sequence[float], colour: Colour) -> Mesh:
    """An upright round rod from a point to a higher one, with a radius at each end."""
    circle = superellipse(12)
    ends = [place(circle, "y", p[1], scale=(r, r), centre=(p[0], p[2])) for p, r in zip((start, end), radii)]
    return loft(ends, colour)


def block(low: Sequence[float], high: Sequence[float], colour: Colour, roundness: float = 0.15) -> Mesh:
    """A box between two corners, its upright edges a little rounded."""
    low_xyz, high_xyz = np.asarray(low), np.asarray(high)
    half, middle = (high_xyz - low_xyz) / 2.0, (high_xyz + low_xyz) / 2.0
    outline = superellipse(20, roundness)
    rings = [place(outline, "y", at, scale=half[[0, 2]], centre=middle[[0, 2]]) for at in (low_xyz[1], high_xyz[1])]
    return loft(rings, colour)


def mirrored(part: Mesh) -> list[Mesh]:
    """A part and its mirror image in the plane x = 0."""
    return [part, Mesh(part.vertices * (-1.0, 1.0, 1.0), part.faces[:, ::-1], part.colours)]


def assemble(parts: Sequence[Mesh]) -> Mesh:
    """All parts in one mesh, box centred, box diagonal 1."""
    return normalise(concatenate(parts))[0]
