"""Bottles from the radii and heights of their profile in centimetres: wine, water, beer, spray bottles and jars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.furniture import sided, tinted
from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    block,
    finish,
    loft,
    named,
    pick,
    place,
    revolve,
    superellipse,
    tube,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("wine", "water", "beer", "spray", "jar")
PAPERS = ((236, 228, 206), (200, 44, 40), (30, 84, 150), (238, 190, 60), (40, 110, 70), (24, 24, 26))
CAPS = ((120, 20, 30), (190, 160, 80), (40, 60, 130), (230, 230, 232), (28, 28, 30), (150, 152, 156))
BODIES = {
    "wine": ((30, 52, 34), (22, 36, 28), (96, 112, 60), (206, 212, 190)),
    "water": ((172, 210, 232), (150, 206, 190), (206, 226, 236)),
    "beer": ((92, 50, 22), (52, 96, 48), (70, 36, 18), (196, 160, 60)),
    "spray": ((232, 234, 238), (60, 120, 190), (230, 120, 40), (90, 170, 90)),
    "jar": ((176, 60, 40), (206, 150, 50), (120, 80, 40), (210, 214, 206), (90, 120, 60)),
}
MEASURES = ("height", "radius", "shoulder", "neck", "slope")
RANGES = {
    "wine": ((27.0, 33.0), (3.5, 4.2), (0.54, 0.68), (0.34, 0.42), (0.3, 1.0)),
    "water": ((20.0, 32.0), (3.1, 4.4), (0.66, 0.78), (0.34, 0.44), (0.5, 1.0)),
    "beer": ((19.0, 25.0), (2.9, 3.4), (0.52, 0.64), (0.38, 0.46), (0.4, 1.0)),
    "spray": ((20.0, 27.0), (3.6, 4.8), (0.55, 0.68), (0.28, 0.38), (0.3, 0.9)),
    "jar": ((8.0, 17.0), (3.4, 5.0), (0.76, 0.84), (0.72, 0.9), (0.2, 0.7)),
}
LABEL = {"label_low": (0.08, 0.26), "label_high": (0.7, 0.96), "label_turn": (60.0, 150.0)}


@dataclass(frozen=True)
class Bottle:
    """Centimetres and fractions."""

    kind: str
    height: float
    radius: float
    shoulder: float
    """Height at which the body ends, as a fraction of the whole."""
    neck: float
    """The neck's radius as a fraction of the body's."""
    slope: float
    """How long the shoulder is: near 0 it is square, near 1 it slopes."""
    flat: float
    """Depth of the body as a fraction of its width: 1 is round."""
    ribs: int
    """Grooves around a water bottle."""
    label_low: float
    """Where the label begins, as a fraction of the body's height."""
    label_high: float
    label_turn: float
    """How far the label reaches to either side of the front, degrees."""
    body: Colour
    cap: Colour
    label: Colour


def sample(rng: np.random.Generator, kind: str | None = None) -> Bottle:
    """A bottle drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS)
    return Bottle(
        kind=kind,
        flat=rng.uniform(0.55, 0.8) if kind == "spray" else 1.0,
        ribs=int(rng.integers(3, 8)),
        body=tinted(rng, BODIES[kind]),
        cap=tinted(rng, CAPS),
        label=tinted(rng, PAPERS),
        **uniform(rng, dict(zip(MEASURES, RANGES[kind]))),
        **uniform(rng, LABEL),
    )


def build(bottle: Bottle) -> Shape:
    """The bottle in the canonical frame: its label is in front."""
    closure = {"wine": _capsule, "water": _screw_cap, "beer": _crown_cap, "spray": _trigger, "jar": _lid}[bottle.kind]
    parts = [*named("body", _body(bottle)), *named("label", _label(bottle)), *closure(bottle)]
    return finish(bottle.kind, parts, _keypoints(bottle))


def _neck_foot(bottle: Bottle) -> float:
    """Height at which the shoulder has become the neck."""
    free = {"wine": 0.2, "water": 0.09, "beer": 0.14, "spray": 0.24, "jar": 0.12}[bottle.kind]
    gap = 1.0 - free - bottle.shoulder
    return bottle.height * (bottle.shoulder + gap * (0.35 + 0.65 * bottle.slope))


def _top(bottle: Bottle) -> float:
    """Height of the mouth."""
    return bottle.height * {"spray": 0.8}.get(bottle.kind, 0.985)


def _body(bottle: Bottle) -> Mesh:
    r, top, foot, end = bottle.radius, bottle.shoulder * bottle.height, _neck_foot(bottle), _top(bottle)
    neck = bottle.neck * r
    turn = np.linspace(0.0, 1.0, 7)[1:]
    # Half a cosine wave from the body to the neck, steeper below for a round shoulder.
    shoulder = neck + (r - neck) * (0.5 + 0.5 * np.cos(np.pi * turn ** (1.0 + 0.5 * bottle.slope)))
    profile = [(0.82 * r, 0.0), (0.95 * r, 0.02 * r), (r, 0.22 * r), *_sides(bottle), (r, top)]
    profile += list(zip(shoulder, top + turn * (foot - top)))
    profile += [(0.92 * neck, end)]
    if bottle.flat == 1.0:
        return revolve(profile, "y", bottle.body, sides=28)
    # A flattened body becomes round again towards its neck.
    outline = superellipse(28, 0.7)
    rings = []
    for radius, y in profile:
        round_ = np.clip((r - radius) / (r - neck), 0.0, 1.0) * (y > 0.5 * top)
        depth = bottle.flat + (1.0 - bottle.flat) * round_
        rings.append(place(outline, "y", y, scale=(radius, radius * depth), centre=(0.0, 0.0)))
    return loft(rings, bottle.body)


def _sides(bottle: Bottle) -> list[tuple[float, float]]:
    """Grooves of a water bottle, above and below its label."""
    if bottle.kind != "water":
        return []
    r, top = bottle.radius, bottle.shoulder * bottle.height
    low, high = bottle.label_low * top, bottle.label_high * top
    ends = [(0.25 * r, low)] if bottle.ribs < 5 else [(0.25 * r, low), (high, top)]
    spots = []
    for start, stop in ends:
        count = max(1, round((stop - start) / (1.1 * r / np.sqrt(bottle.ribs))))
        pitch = (stop - start) / count
        for i in range(count):
            middle = start + (i + 0.5) * pitch
            spots += [(r, middle - 0.3 * pitch), (0.94 * r, middle), (r, middle + 0.3 * pitch)]
    return spots


def _label(bottle: Bottle) -> Mesh:
    """Paper around the front: a solid whose outline is the arc a little outside the body and the chord within it."""
    limit, top = np.radians(bottle.label_turn), bottle.shoulder * bottle.height
    angle = np.linspace(-limit, limit, 25)
    reach = 1.015 * bottle.radius
    if bottle.flat == 1.0:
        arc = reach * np.stack([np.sin(angle), -np.cos(angle)], 1)
    else:
        width = 0.7 * bottle.radius
        across = np.linspace(-width, width, 25)
        power = 2.0 / 0.7
        depth = bottle.flat * reach * (1.0 - np.abs(across / reach) ** power) ** (1.0 / power)
        arc = np.stack([across, -depth], 1)
    heights = bottle.label_low * top, bottle.label_high * top
    return loft([place(arc, "y", y, scale=(1, 1), centre=(0, 0)) for y in heights], bottle.label)


def _capsule(bottle: Bottle) -> list[Part]:
    """Foil over the mouth and half of the neck."""
    neck, top, h = bottle.neck * bottle.radius, _top(bottle), bottle.height
    low = _neck_foot(bottle) + 0.35 * (top - _neck_foot(bottle))
    profile = (
        (1.03 * neck, low),
        (1.0 * neck, top - 0.035 * h),
        (1.13 * neck, top - 0.03 * h),
        (1.13 * neck, top - 0.008 * h),
    )
    return named("cap", revolve((*profile, (0.98 * neck, top), (0.9 * neck, h)), "y", bottle.cap))


def _screw_cap(bottle: Bottle) -> list[Part]:
    neck, h = bottle.neck * bottle.radius, bottle.height
    collar = ((1.0 * neck, 0.918 * h), (1.28 * neck, 0.922 * h), (1.28 * neck, 0.93 * h), (1.0 * neck, 0.934 * h))
    cap = ((1.12 * neck, 0.938 * h), (1.12 * neck, 0.995 * h), (1.04 * neck, h))
    return [*named("body", revolve(collar, "y", bottle.body)), *named("cap", revolve(cap, "y", bottle.cap))]


def _crown_cap(bottle: Bottle) -> list[Part]:
    neck, h = bottle.neck * bottle.radius, bottle.height
    lip = ((0.9 * neck, 0.945 * h), (1.08 * neck, 0.95 * h), (1.08 * neck, 0.968 * h), (0.9 * neck, 0.974 * h))
    cap = ((1.16 * neck, 0.974 * h), (1.05 * neck, 0.992 * h), (0.85 * neck, h))
    return [*named("body", revolve(lip, "y", bottle.body)), *named("cap", revolve(cap, "y", bottle.cap))]


def _trigger(bottle: Bottle) -> list[Part]:
    """A collar, a head with its nozzle in front (-z), and the trigger under it."""
    r, neck, low, h = bottle.radius, bottle.neck * bottle.radius, _top(bottle) - 0.02 * bottle.height, bottle.height
    collar = revolve(((1.25 * neck, low - 0.06 * h), (1.25 * neck, low), (0.9 * neck, low + 0.02 * h)), "y", bottle.cap)
    half, base, front = 0.62 * neck, low + 0.1 * h, -1.25 * r
    outline = superellipse(20, 0.3)
    spots = (
        (0.75 * r, 0.5, 0.6),
        (0.6 * r, 0.9, 0.9),
        (-0.6 * r, 1.0, 1.0),
        (0.9 * front, 0.8, 0.75),
        (front, 0.75, 0.6),
    )
    top = low + 0.02 * h
    depth = (h - base) / 2.0
    head = [place(outline, "z", z, scale=(half * w, depth * t), centre=(0.0, h - depth)) for z, w, t in spots]
    column = block((-0.8 * half, top - 0.01 * h, -0.5 * r), (0.8 * half, base + 0.02 * h, 0.4 * r), bottle.cap)
    nozzle = revolve(
        ((0.5 * half, front - 0.12 * r), (0.5 * half, front + 0.1 * r)), "z", bottle.label, centre=(0, h - depth, 0)
    )
    path = [(0, base + 0.01 * h, -0.8 * r), (0, base - 0.06 * h, -0.95 * r), (0, base - 0.14 * h, -0.8 * r)]
    return named("cap", collar, column, loft(head, bottle.cap), nozzle, tube(path, 0.4 * half, bottle.label, sides=8))


def _lid(bottle: Bottle) -> list[Part]:
    neck, h = bottle.neck * bottle.radius, bottle.height
    return named(
        "cap", revolve(((1.06 * neck, 0.87 * h), (1.06 * neck, 0.985 * h), (0.98 * neck, h)), "y", bottle.cap, sides=28)
    )


def _keypoints(bottle: Bottle) -> dict[str, Sequence[float]]:
    """PASCAL3D+'s names."""
    r, middle = bottle.radius, 0.5 * bottle.shoulder * bottle.height
    spots = {"mouth": (0.0, _top(bottle), 0.0), "body": (0.0, middle, 0.0), "bottom": (0.0, 0.0, 0.0)}
    return {**spots, **sided({"body_{}": (r, middle, 0.0), "bottom_{}": (0.82 * r, 0.0, 0.0)})}
