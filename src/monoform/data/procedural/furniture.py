"""What the furniture recipes share: palettes, rounded boxes, and which side is left."""

from collections.abc import Sequence

import numpy as np

from monoform.data.procedural.parts import Colour, loft, pick
from monoform.meshes import Mesh

WOODS = ((150, 96, 52), (96, 60, 36), (206, 170, 120), (122, 74, 44), (226, 214, 196), (52, 46, 44))
FABRICS = ((176, 60, 54), (60, 98, 122), (214, 200, 172), (92, 118, 84), (72, 74, 80), (128, 86, 62), (190, 150, 70))
LEFT = -1.0
"""The sign of x on the side that keypoints call left: the object's own."""


def tinted(rng: np.random.Generator, palette: Sequence[Colour]) -> Colour:
    """A colour of the palette, a little changed."""
    colour = np.array(pick(rng, palette)) + rng.uniform(-14.0, 14.0) + rng.uniform(-8.0, 8.0, 3)
    red, green, blue = np.clip(colour, 8, 247).astype(int)
    return int(red), int(green), int(blue)


def shaded(rng: np.random.Generator, colour: Colour) -> Colour:
    """A little darker: two pieces of one wood are never quite alike."""
    red, green, blue = (np.array(colour) * rng.uniform(0.78, 0.93)).astype(int)
    return int(red), int(green), int(blue)


def pad(
    low: Sequence[float],
    high: Sequence[float],
    colour: Colour,
    bevel: float,
    *,
    corner: float | None = None,
    axis: str = "y",
) -> Mesh:
    """A box between two corners, all its edges rounded with the radius `bevel`; those along `axis` with `corner`."""
    along = "xyz".index(axis)
    across = [i for i in range(3) if i != along]
    low_xyz, high_xyz = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    half, middle = (high_xyz - low_xyz) / 2.0, (high_xyz + low_xyz) / 2.0
    corner = min(bevel if corner is None else corner, 0.95 * float(half[across].min()))
    bevel = min(bevel, corner, 0.95 * float(half[along]))
    angle = (np.linspace(0.0, np.pi / 2.0, 4) + np.arange(4)[:, None] * np.pi / 2.0).ravel()
    direction = np.stack([np.cos(angle), np.sin(angle)], 1)
    pivot = np.repeat([(1.0, 1.0), (-1.0, 1.0), (-1.0, -1.0), (1.0, -1.0)], 4, axis=0) * (half[across] - corner)
    # Each edge's quarter circle begins a little late: a ring shrunk onto the corners' centres would fold its faces.
    turn = np.array((0.3, 0.8, np.pi / 2.0))
    rise, inset = bevel * (np.cos(0.3) - np.cos(turn)), bevel * (1.0 - np.sin(turn))
    rings = np.empty((6, 16, 3))
    rings[:, :, along] = np.concatenate([low_xyz[along] + rise, (high_xyz[along] - rise)[::-1]])[:, None]
    radius = corner - np.concatenate([inset, inset[::-1]])
    rings[:, :, across] = middle[across] + pivot + radius[:, None, None] * direction
    return loft(rings, colour)


def leaned(part: Mesh, foot: float, slope: float) -> Mesh:
    """A part pushed backwards (+z) in proportion to its height above `foot`."""
    shift = np.zeros_like(part.vertices)
    shift[:, 2] = slope * (part.vertices[:, 1] - foot)
    return Mesh(part.vertices + shift, part.faces, part.colours)


def sided(spots: dict[str, tuple[float, float, float]]) -> dict[str, Sequence[float]]:
    """Keypoints on both sides from points of the one at +x; their names have {} where the side's goes."""
    sides = (("left", LEFT), ("right", -LEFT))
    return {name.format(word): (side * x, y, z) for name, (x, y, z) in spots.items() for word, side in sides}
