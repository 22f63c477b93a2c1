"""What stands on the wheels of a diesel locomotive with a narrow hood: a recipe's part, used by the trains."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    Colour,
    Part,
    block,
    cylinder,
    hull,
    named,
    pair,
    repeated,
    rounded_square,
    superellipse,
    tube,
)
from monoform.meshes import Mesh

GLASS, STEEL, DARK, WHITE_LAMP = (36, 44, 54), (138, 142, 148), (38, 40, 44), (250, 244, 214)
CAB_LENGTH, HOOD = 0.17, 0.94
"""Of the cab, and where the long hood ends: fractions of the length."""


@dataclass(frozen=True)
class Diesel:
    """Metres; the front is at z 0, the rails at y 0."""

    length: float
    width: float
    height: float
    floor: float
    """Height of the frame's lower edge."""
    cab: float
    """Where the cab begins, a fraction of the length."""
    hood_width: float
    """Of the hoods, a fraction of the width."""
    paint: Colour
    stripe: Colour
    """Of the frame."""


def hood_unit(diesel: Diesel) -> list[Part]:
    """All but bogies, tank, buffers and tail lamps."""
    return [*_bodies(diesel), *_details(diesel)]


def _bodies(diesel: Diesel) -> list[Part]:
    """The frame with its walkways, a low hood in front, the cab, and the long hood over engine and radiator."""
    half, length, deck, top = diesel.width / 2.0, diesel.length, diesel.floor + 0.4, diesel.height
    outline = superellipse(20, 0.3)

    def box(ends: tuple[float, float], wide: float, high: float, slope: float = 0.0) -> Mesh:
        """A rounded body between two fractions of the length; its front end is lower by `slope`."""
        z0, z1 = (f * length for f in ends)
        rows = [(z0, 0.93 * wide, deck - 0.1, high - slope - 0.06), (z0 + 0.12, wide, deck - 0.1, high - slope)]
        return hull(
            [*rows, (z1 - 0.1, wide, deck - 0.1, high), (z1, 0.95 * wide, deck - 0.1, high - 0.05)],
            outline,
            diesel.paint,
        )

    nose, wide = deck + 0.52 * (top - deck), diesel.hood_width * half
    front, back = diesel.cab, diesel.cab + CAB_LENGTH
    frame = block((-0.99 * half, diesel.floor, 0.1), (0.99 * half, deck, length - 0.1), diesel.stripe, 0.0)
    hoods = box((0.035, front + 0.02), wide, nose, 0.12), box((back - 0.02, HOOD), wide, top - 0.32)
    cab = hull([(f * length + d, w * half, deck - 0.15, h) for f, d, w, h in (
        (front, 0.0, 0.95, top - 0.1), (front, 0.12, 1.0, top), (back, -0.12, 1.0, top), (back, 0.0, 0.95, top - 0.1))],
        rounded_square(0.22, 5), diesel.paint)  # fmt: skip
    radiator = block(
        (-0.72 * half, top - 0.8, 0.76 * length), (0.72 * half, top - 0.28, 0.92 * length), diesel.paint, 0.0
    )
    return [*named("body", frame, *hoods, radiator), *named("cab", cab)]


def _details(diesel: Diesel) -> list[Part]:
    """The cab's panes, the engine's louvres, fans and exhaust, railings, steps, and the plough above the rails."""
    half, length, deck, top = diesel.width / 2.0, diesel.length, diesel.floor + 0.4, diesel.height
    front, back = diesel.cab * length, (diesel.cab + CAB_LENGTH) * length
    sill = deck + 0.56 * (top - deck)
    screen = block((0.1 * half, sill, front - 0.015), (0.82 * half, top - 0.32, front + 0.1), GLASS, 0.0)
    rear = block((0.72 * half, sill, back - 0.1), (0.88 * half, top - 0.32, back + 0.015), GLASS, 0.0)
    side = block((half - 0.1, sill, front + 0.3), (half + 0.012, top - 0.32, back - 0.3), GLASS, 0.0)
    first, last = back + 0.3, HOOD * length - 0.4
    grille = block(
        (0.5 * half, deck + 0.25, first), (diesel.hood_width * half + 0.02, top - 0.9, first + 0.75), DARK, 0.0
    )
    count = max(3, round((last - first) / 1.15))
    grilles = repeated(grille, np.outer(np.arange(count) * (last - first - 0.75) / (count - 1), (0.0, 0.0, 1.0)))
    fans = [cylinder("y", (top - 0.4, top - 0.2), 0.52, (0.0, f * length), DARK, sides=16) for f in (0.8, 0.88)]
    stack = block((-0.16, top - 0.4, 0.52 * length), (0.16, top - 0.06, 0.52 * length + 0.5), DARK, 0.0)
    rail, posts = 0.94 * half, np.linspace(back + 0.3, 0.97 * length, 7)
    bar = tube(((rail, deck + 0.95, back - 0.05), (rail, deck + 0.95, 0.97 * length + 0.05)), 0.035, STEEL, sides=6)
    post = cylinder("y", (deck - 0.05, deck + 0.93), 0.03, (rail, 0.0), STEEL, sides=6)
    ladder = block((0.8 * half, 0.45, 0.12), (1.0 * half, diesel.floor + 0.05, 0.5), DARK, 0.0)
    ladders = repeated(ladder, ((0.0, 0.0, 0.0), (0.0, 0.0, length - 0.62)))
    plough = block((-0.9 * half, 0.22, 0.05), (0.9 * half, diesel.floor + 0.05, 0.3), diesel.stripe, 0.0)
    lamp = block(
        (0.3 * half, deck + 0.8, 0.035 * length - 0.03),
        (0.44 * half, deck + 0.98, 0.035 * length + 0.2),
        WHITE_LAMP,
        0.0,
    )
    return [
        *named("windscreen", pair(screen)),
        *named("windows", pair(rear), pair(side)),
        *named("louvres", pair(grilles)),
        *named("roof", *fans, stack),
        *named("railing", pair(bar), pair(repeated(post, np.outer(posts, (0.0, 0.0, 1.0))))),
        *named("steps", pair(ladders)),
        *named("headlights", pair(lamp)),
        *named("bumper", plough),
    ]
