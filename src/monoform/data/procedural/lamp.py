"""Lamps from a few lengths in centimetres: jointed desk lamps, floor lamps, table lamps with a vase, pendants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from monoform.data.procedural.furniture import WOODS, tinted
from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    finish,
    loft,
    named,
    pick,
    place,
    revolve,
    superellipse,
    tube,
    turned,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("desk", "floor", "table", "pendant")
METALS = ((40, 40, 44), (170, 172, 178), (184, 146, 70), (150, 40, 36), (44, 84, 96), (226, 226, 222))
CLOTHS = ((238, 226, 196), (226, 206, 160), (240, 238, 230), (150, 50, 46), (70, 84, 96), (206, 190, 170))
GLAZES = ((60, 96, 130), (206, 200, 188), (120, 60, 44), (66, 104, 84), (90, 88, 92), (214, 170, 80))
BULB: Colour = (255, 246, 206)
MEASURES = ("height", "base", "pole", "shade", "rise")
RANGES = {
    "desk": ((38.0, 56.0), (8.0, 12.0), (0.6, 1.1), (5.5, 9.0), (1.1, 1.7)),
    "floor": ((135.0, 180.0), (12.0, 20.0), (0.9, 1.8), (15.0, 27.0), (0.8, 1.5)),
    "table": ((36.0, 66.0), (3.2, 9.0), (0.7, 1.1), (12.0, 18.0), (0.9, 1.4)),
    "pendant": ((60.0, 120.0), (4.5, 7.0), (0.3, 0.7), (14.0, 26.0), (0.5, 1.2)),
}
SHARED = {
    "narrow": (0.3, 1.0),
    "dome": (0.0, 1.0),
    "lean": (0.25, 0.6),
    "reach": (0.35, 0.65),
    "nod": (0.3, 1.1),
    "belly": (0.0, 1.2),
}


@dataclass(frozen=True)
class Lamp:
    """Centimetres, fractions and radians."""

    kind: str
    height: float
    base: float
    """Radius of the foot, the vase or the plate at the ceiling."""
    pole: float
    """Radius."""
    shade: float
    """Radius of the shade's wide end."""
    rise: float
    """The shade's height as a fraction of that radius."""
    narrow: float
    """The shade's narrow end as a fraction of its wide one."""
    dome: float
    """0 is a cone's straight side, 1 a bowl's round one."""
    lean: float
    """How far a desk lamp's elbow lies behind its foot, as a fraction of the height."""
    reach: float
    """How far its head lies before the elbow, as a fraction of the height."""
    nod: float
    """How far its head looks forward instead of down."""
    belly: float
    """Where a vase is widest: near 0 low, near 1 high."""
    legs: int
    """Of a floor lamp: 0 is a disc, 3 a tripod."""
    up: bool
    """Whether a floor lamp's shade opens upwards."""
    facets: int
    """Sides of the shade: 4 is a square one, many are round."""
    metal: Colour
    cloth: Colour
    """Of the shade."""
    glaze: Colour
    """Of a vase."""


def sample(rng: np.random.Generator, kind: str | None = None) -> Lamp:
    """A lamp drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS)
    metal = tinted(rng, METALS)
    tripod = kind == "floor" and rng.random() < 0.35
    return Lamp(
        kind=kind,
        legs=3 if tripod else 0,
        up=kind == "floor" and not tripod and bool(rng.random() < 0.25),
        facets=4 if kind in ("floor", "table") and rng.random() < 0.2 else 32,
        metal=tinted(rng, WOODS) if tripod else metal,
        cloth=metal if kind == "desk" else tinted(rng, METALS if kind == "pendant" and rng.random() < 0.6 else CLOTHS),
        glaze=tinted(rng, GLAZES),
        **uniform(rng, {**dict(zip(MEASURES, RANGES[kind])), **SHARED}),
    )


def build(lamp: Lamp) -> Shape:
    """The lamp in the canonical frame; a desk lamp's head points to -z."""
    return {"desk": _desk, "floor": _floor, "table": _table, "pendant": _pendant}[lamp.kind](lamp)


def _shade(lamp: Lamp) -> list[Part]:
    """A hollow shade that opens downwards at y = 0, its closed narrow end above, and the bulb in it."""
    r, high = lamp.shade, lamp.rise * lamp.shade
    dome = lamp.dome if lamp.kind in ("desk", "pendant") else 0.0
    step = np.linspace(0.0, 1.0, 9)
    end = min(lamp.narrow, 0.45) if dome > 0.5 else lamp.narrow
    straight, bowl = 1.0 - (1.0 - end) * step, end + (1.0 - end) * np.sqrt(1.0 - step**2)
    radius, wall = r * ((1.0 - dome) * straight + dome * bowl), 0.035 * r
    outer = list(zip(radius, high * step))
    inner = [(a - wall, b) for a, b in zip(radius[:-1], high * step[:-1])]
    profile = [*reversed(inner), *outer]
    if lamp.facets == 4:
        outline = superellipse(20, 0.1)
        shade = loft([place(outline, "y", y, scale=(a, a), centre=(0, 0)) for a, y in profile], lamp.cloth)
    else:
        shade = revolve(profile, "y", lamp.cloth, sides=lamp.facets)
    b = min(0.3 * r, 4.5)
    turn = np.linspace(0.0, np.pi, 7)
    ball = [(b * np.sin(a), 0.45 * high - b * np.cos(a)) for a in turn[1:-1]]
    bulb = revolve([(0.0, 0.45 * high - b), *ball, (0.4 * b, 0.9 * high)], "y", BULB, sides=12)
    return [*named("shade", shade), *named("bulb", bulb)]


def _moved(parts: list[Part], to: ArrayLike, turn: np.ndarray | None = None) -> list[Part]:
    """Parts turned about the origin, then shifted."""
    turn = np.eye(3) if turn is None else turn
    return [Part(p.name, Mesh(p.mesh.vertices @ turn.T + np.asarray(to), p.mesh.faces, p.mesh.colours)) for p in parts]


def _foot(lamp: Lamp, radius: float) -> Mesh:
    profile = (
        (radius, 0.0),
        (radius, 0.05 * radius),
        (0.9 * radius, 0.14 * radius),
        (0.25 * radius, 0.2 * radius),
        (lamp.pole, 0.4 * radius),
    )
    return revolve(profile, "y", lamp.metal, sides=28)


def _points(
    base: float, middle: Sequence[float], top: Sequence[float], bottom: Sequence[float]
) -> dict[str, Sequence[float]]:
    return {"base": (0.0, base, 0.0), "stem": middle, "shade_top": top, "shade_bottom": bottom}


def _desk(lamp: Lamp) -> Shape:
    """Two arms with joints between the foot and a head that looks forward and down."""
    h, low, r = lamp.height, 0.2 * lamp.base, lamp.pole
    elbow = np.array([0.0, 0.62 * h, lamp.lean * 0.45 * h])
    head = np.array([0.0, h, elbow[2] - lamp.reach * h])
    arms = [tube([(0.0, low, 0.0), elbow], r, lamp.metal), tube([elbow, head], 0.85 * r, lamp.metal)]
    joints = [
        revolve(((1.8 * r, -1.3 * r), (1.8 * r, 1.3 * r)), "x", lamp.metal, centre=at, sides=14) for at in (elbow, head)
    ]
    # The shade opens along -y; turned about x by the nod it looks forward, towards -z, as well.
    cos, sin = np.cos(lamp.nod), np.sin(lamp.nod)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    high = lamp.rise * lamp.shade
    to = head - turn @ (0.0, high + 0.5 * r, 0.0)
    parts = [*named("base", _foot(lamp, lamp.base)), *named("stem", *arms, *joints), *_moved(_shade(lamp), to, turn)]
    return finish(lamp.kind, parts, _points(0.0, elbow.tolist(), (to + turn @ (0.0, high, 0.0)).tolist(), to.tolist()))


def _floor(lamp: Lamp) -> Shape:
    """A pole on a disc, or a tripod, with a shade on top that opens down or up."""
    high = lamp.rise * lamp.shade
    top = lamp.height - 0.3 * high
    if lamp.legs:
        spread = 0.16 * lamp.height
        leg = tube(
            [(0.0, 0.0, spread), (0.0, top - 0.5 * high, 1.5 * lamp.pole)], np.array([0.9, 1.4]) * lamp.pole, lamp.metal
        )
        under = [
            turned(leg, "y", (0, 0, 0), 3),
            revolve(((3.0 * lamp.pole, top - 0.6 * high), (2.0 * lamp.pole, top)), "y", lamp.metal),
        ]
    else:
        under = [
            _foot(lamp, lamp.base),
            revolve(((lamp.pole, 0.1 * lamp.base), (0.8 * lamp.pole, top)), "y", lamp.metal, sides=14),
        ]
    shade = _shade(lamp)
    if lamp.up:
        shade = _moved(shade, (0.0, lamp.height, 0.0), np.diag([1.0, -1.0, -1.0]))
        ends = lamp.height, lamp.height - high
    else:
        shade = _moved(shade, (0.0, lamp.height - high, 0.0))
        ends = lamp.height - high, lamp.height
    names = ("stem", "stem") if lamp.legs else ("base", "stem")
    parts = [*(Part(n, m) for n, m in zip(names, under)), *shade]
    return finish(lamp.kind, parts, _points(0.0, (0.0, 0.5 * top, 0.0), (0.0, ends[1], 0.0), (0.0, ends[0], 0.0)))


def _table(lamp: Lamp) -> Shape:
    """A vase or a turned stick under a shade."""
    high = lamp.rise * lamp.shade
    vase = lamp.height - 0.85 * high
    t = np.linspace(0.0, 1.0, 14)
    # A wave whose crest is the belly, on a neck and between a narrow foot and a narrow top.
    swell = np.sin(np.pi * t ** (0.45 + lamp.belly)) ** 1.3
    radius = lamp.base * (0.28 + 0.3 * (1.0 - t) ** 3 + 0.62 * swell * (1.0 - 0.25 * t))
    body = revolve([*zip(radius, 1.2 + (vase - 1.2) * t)], "y", lamp.glaze, sides=28)
    reach = max(0.75 * lamp.base, 0.32 * lamp.shade)
    plate = revolve(((reach, 0.0), (reach, 1.0), (0.6 * reach, 1.8)), "y", lamp.metal)
    stick = revolve(((lamp.pole, vase - 0.5), (lamp.pole, lamp.height - 0.2 * high)), "y", lamp.metal, sides=12)
    parts = [*named("base", plate, body), *named("stem", stick), *_moved(_shade(lamp), (0.0, lamp.height - high, 0.0))]
    points = _points(0.0, (0.0, vase, 0.0), (0.0, lamp.height, 0.0), (0.0, lamp.height - high, 0.0))
    return finish(lamp.kind, parts, points)


def _pendant(lamp: Lamp) -> Shape:
    """A plate at the ceiling, a cord and a shade that hangs from it; the keypoint 'base' is the plate."""
    high, h, r = lamp.rise * lamp.shade, lamp.height, lamp.pole
    plate = revolve(
        ((r, h - 0.45 * lamp.base), (0.8 * lamp.base, h - 0.3 * lamp.base), (lamp.base, h)), "y", lamp.metal
    )
    cord = revolve(((r, high - 1.0), (r, h - 0.2 * lamp.base)), "y", (30, 30, 32), sides=10)
    cap = revolve(
        ((0.2 * lamp.shade, high - 0.6), (0.16 * lamp.shade, high + 2.0), (1.5 * r, high + 4.0)), "y", lamp.metal
    )
    parts = [*named("base", plate), *named("stem", cord, cap), *_shade(lamp)]
    return finish(lamp.kind, parts, _points(h, (0.0, (high + h) / 2.0, 0.0), (0.0, high, 0.0), (0.0, 0.0, 0.0)))
