"""Wheels and what stands around them: tyres, rims, mudguards, arches in a body's flank."""

import numpy as np

from monoform.data.procedural.parts import (
    SQUARE,
    Colour,
    Point,
    block,
    cylinder,
    loft,
    place,
    revolve,
    superellipse,
    turned,
)
from monoform.meshes import Mesh


def disc_wheel(centre: Point, radius: float, width: float, rubber: Colour, rim: Colour) -> list[Mesh]:
    """A road wheel on an axle along x, its outside towards +x: a tyre, a dished rim with five spokes, a hub."""
    w, r = width / 2.0, radius
    shoulders = (
        (0.0, -w),
        (0.86 * r, -w),
        (r, -0.7 * w),
        (r, 0.7 * w),
        (0.88 * r, w),
        (0.64 * r, w),
        (0.6 * r, 0.6 * w),
    )
    tyre = revolve((*shoulders, (0.0, 0.6 * w)), "x", rubber, centre=centre, sides=24)
    x, y, z = centre
    ring = ((0.56 * r, 0.5 * w), (0.68 * r, 0.5 * w), (0.66 * r, 1.05 * w), (0.6 * r, 1.05 * w))
    spoke = block((x + 0.5 * w, y + 0.06 * r, z - 0.1 * r), (x + 0.95 * w, y + 0.62 * r, z + 0.1 * r), rim, 0.0)
    hub = cylinder("x", (x + 0.5 * w, x + 1.02 * w), 0.16 * r, (y, z), rim, sides=10)
    return [tyre, revolve(ring, "x", rim, centre=centre, closed=True), turned(spoke, "x", centre, 5), hub]


def tyre(centre: Point, radius: float, tall: float, wide: float, colour: Colour, sides: int = 28) -> Mesh:
    """A ring about an axle along x; its section is an ellipse of half-axes `tall` (radially) and `wide`."""
    section = superellipse(8) * np.array([tall, wide]) + np.array([radius - tall, 0.0])
    return revolve(section, "x", colour, centre=centre, sides=sides, closed=True)


def rim(centre: Point, radius: float, half_width: float, depth: float, colour: Colour, sides: int = 28) -> Mesh:
    """A ring about an axle along x with its outer side at `radius`, `depth` deep and a little narrower inside."""
    outer, inner = radius - depth, 0.75 * half_width
    loop = ((outer, -inner), (radius, -half_width), (radius, half_width), (outer, inner))
    return revolve(loop, "x", colour, centre=centre, sides=sides, closed=True)


def arc_strip(
    centre: Point,
    radius: float,
    angles: tuple[float, float],
    half_width: float,
    thickness: float,
    colour: Colour,
    steps: int = 12,
) -> Mesh:
    """A bent band about an axle along x, a mudguard: from one angle to another, 0 straight up, positive backwards."""
    angle = np.linspace(*angles, steps)
    out = np.stack([np.zeros(steps), np.cos(angle), np.sin(angle)], axis=1)
    across = SQUARE[:, :1] * np.array([half_width, 0.0, 0.0])
    return loft((radius + thickness * SQUARE[:, 1:]) * out[:, None] + across + np.asarray(centre), colour)


def wheel_arch(x: float, axle: float, z: float, radius: float, colour: Colour, depth: float = 0.1) -> Mesh:
    """A dark disc in a body's flank around a wheel, cut off below the axle so that it stays in the body."""
    outline = superellipse(24) * radius
    outline = np.stack([np.maximum(outline[:, 0], -0.45 * radius), outline[:, 1]], axis=1)
    return loft([place(outline, "x", at, scale=(1, 1), centre=(axle, z)) for at in (x - depth, x)], colour)
