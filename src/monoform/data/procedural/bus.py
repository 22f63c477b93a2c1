"""A bus from a handful of lengths in metres: city bus, coach and double-decker."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    block,
    creased_square,
    finish,
    loft,
    named,
    paint,
    pair,
    pick,
    place,
    plate,
    ranges,
    repeated,
    uniform,
)
from monoform.data.procedural.wheels import disc_wheel, wheel_arch
from monoform.meshes import Mesh

KINDS = ("city", "coach", "double-decker")
GLASS, RUBBER, STEEL, ARCH, TRIM = (36, 44, 54), (28, 28, 30), (176, 180, 186), (18, 18, 20), (52, 54, 58)
WHITE_LAMP, RED_LAMP, SIGN = (250, 244, 214), (188, 26, 24), (236, 150, 32)
PAINTS = ((196, 34, 36), (30, 88, 156), (228, 230, 232), (236, 182, 40), (40, 120, 84), (224, 120, 36), (120, 126, 136))


@dataclass(frozen=True)
class Bus:
    """Metres; fractions are of the bus's length, counted from its nose."""

    kind: str
    length: float
    width: float
    height: float
    clearance: float
    rake: float
    """How far the front's upper edge lies behind its foot."""
    corner: float
    """Radius of the roof's edges."""
    sill: float
    """Height of the windows' lower edge."""
    window: float
    """Height of the windows."""
    pane: float
    """Length of a window with its post."""
    wheel_radius: float
    front_axle: float
    """Fraction."""
    rear_axle: float
    paint: Colour
    stripe: Colour


COMMON = ranges(width=(2.4, 2.55), wheel_radius=(0.46, 0.52), rear_axle=(0.7, 0.76), pane=(1.2, 1.7))
RANGES = {
    "city": ranges(length=(9.0, 12.5), height=(2.85, 3.15), clearance=(0.28, 0.36), rake=(0.02, 0.2), corner=(0.12, 0.3),
                 sill=(1.15, 1.4), window=(0.95, 1.15), front_axle=(0.2, 0.24)),
    "coach": ranges(length=(10.5, 13.5), height=(3.3, 3.75), clearance=(0.3, 0.4), rake=(0.25, 0.7), corner=(0.25, 0.45),
                  sill=(1.75, 2.0), window=(0.95, 1.15), front_axle=(0.19, 0.23)),
    "double-decker": ranges(length=(9.2, 11.2), height=(4.1, 4.45), clearance=(0.26, 0.34), rake=(0.0, 0.3),
                          corner=(0.15, 0.35), sill=(1.15, 1.3), window=(0.8, 0.95), front_axle=(0.22, 0.26)),
}  # fmt: skip


def sample(rng: np.random.Generator, kind: str | None = None) -> Bus:
    """A bus of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.5, 0.3, 0.2))
    values = uniform(rng, COMMON | RANGES[kind])
    return Bus(kind=kind, paint=paint(rng, PAINTS), stripe=paint(rng, PAINTS), **values)


def build(bus: Bus) -> Shape:
    """The bus as a shape in the canonical frame."""
    panes = [*_side_windows(bus), *_screens(bus)]
    parts = [*named("body", _body(bus)), *named("windows", *panes), *_doors(bus), *_wheels(bus), *_details(bus)]
    return finish(bus.kind, parts, _keypoints(bus))


def _z(bus: Bus, fraction: float) -> float:
    return (fraction - 0.5) * bus.length


def _front(bus: Bus, y: float) -> float:
    """z of the front at a height: upright below the windscreen, leaning back above."""
    return _z(bus, 0.0) + bus.rake * max(0.0, (y - _crease(bus)) / (bus.height - _crease(bus)))


def _crease(bus: Bus) -> float:
    return bus.sill - 0.25


def _body(bus: Bus) -> Mesh:
    """Cross-sections from nose to tail; the first two lean back with the front."""
    half, middle = (bus.height - bus.clearance) / 2.0, (bus.height + bus.clearance) / 2.0
    section = creased_square(2.0 * bus.corner / bus.width, (_crease(bus) - middle) / half)
    rings = []
    for at, shrink in ((0.0, 0.94), (0.06, 0.985), (0.2, 1.0), (bus.length - 0.1, 1.0), (bus.length, 0.97)):
        ring = place(section, "z", _z(bus, 0.0) + at, scale=(shrink * bus.width / 2.0, half), centre=(0.0, middle))
        if at <= 0.2:
            ring[:, 2] = [at + _front(bus, y) for y in ring[:, 1]]
        rings.append(ring)
    return loft(rings, bus.paint, tips=((0.0, _crease(bus), _z(bus, 0.0)), None))


def _decks(bus: Bus) -> list[float]:
    """Heights of the windows' lower edges, one a deck."""
    upper = [bus.height - 0.35 - bus.window] if bus.kind == "double-decker" else []
    return [bus.sill, *upper]


def _side_windows(bus: Bus) -> list[Mesh]:
    """A row of panes on each deck, and the stripe below."""
    half, first, last = bus.width / 2.0, _front(bus, bus.height) + 0.35, _z(bus, 1.0) - 0.3
    count = max(3, round((last - first) / bus.pane))
    pitch = (last - first) / count
    rows = []
    for low in _decks(bus):
        pane = block((half - 0.06, low, first), (half + 0.012, low + bus.window, first + pitch - 0.1), GLASS, 0.0)
        rows.append(pair(repeated(pane, np.outer(np.arange(count) * pitch, (0.0, 0.0, 1.0)))))
    return rows


def _screens(bus: Bus) -> list[Mesh]:
    """Windscreen, rear window and, on two decks, the upper front window."""
    half, tail, panes = 0.86 * bus.width / 2.0, _z(bus, 1.0), []
    for deck, low in enumerate(_decks(bus)):
        bottom = low - (0.2 if deck == 0 else 0.0)
        top = low + bus.window + (0.12 if bus.kind == "coach" else 0.0)
        corners = [(x, y, _front(bus, y)) for x, y in ((half, bottom), (half, top), (-half, top), (-half, bottom))]
        panes.append(plate(corners, 0.04, GLASS))
        back = (0.85 * half, low + bus.window - 0.05, tail + 0.012)
        panes.append(block((-0.85 * half, low + 0.15, tail - 0.1), back, GLASS, 0.0))
    return panes


def _doors(bus: Bus) -> list[Part]:
    """Glazed doors on the right: one in front, on buses in town a second one amid."""
    half, low, high = bus.width / 2.0, bus.clearance + 0.05, bus.sill + bus.window
    width = 0.85 if bus.kind == "coach" else 1.2
    starts = [_front(bus, high) + 0.3] + ([_z(bus, 0.45)] if bus.kind == "city" else [])
    meshes = []
    for z in starts:
        meshes.append(block((half - 0.06, low, z), (half + 0.016, high, z + width), TRIM, 0.0))
        leaf = block(
            (half - 0.04, low + 0.12, z + 0.05), (half + 0.022, high - 0.08, z + width / 2.0 - 0.03), GLASS, 0.0
        )
        meshes.append(repeated(leaf, ((0.0, 0.0, 0.0), (0.0, 0.0, width / 2.0 - 0.02))))
    return named("doors", *meshes)


def _axles(bus: Bus) -> list[float]:
    """z of every axle: long coaches have a third."""
    third = [_z(bus, bus.rear_axle) + 1.3] if bus.kind == "coach" and bus.length > 12.0 else []
    return [_z(bus, bus.front_axle), _z(bus, bus.rear_axle), *third]


def _wheels(bus: Bus) -> list[Part]:
    half, r, parts = bus.width / 2.0, bus.wheel_radius, []
    for z in _axles(bus):
        arch = wheel_arch(half + 0.008, 1.05 * r, z, 1.16 * r, ARCH)
        wheel = disc_wheel((half - 0.13, r, z), r, 0.29, RUBBER, STEEL)
        parts += [*named("arches", pair(arch)), *named("wheels", *map(pair, wheel))]
    return parts


def _details(bus: Bus) -> list[Part]:
    half, nose, tail, low = bus.width / 2.0, _z(bus, 0.0), _z(bus, 1.0), bus.clearance
    lamp = block((0.62 * half, low + 0.3, nose - 0.02), (0.88 * half, low + 0.5, nose + 0.2), WHITE_LAMP, 0.0)
    rear = block((0.78 * half, low + 0.45, tail - 0.1), (0.92 * half, low + 0.95, tail + 0.015), RED_LAMP, 0.0)
    bumper = block((-0.95 * half, low - 0.02, nose - 0.05), (0.95 * half, low + 0.22, nose + 0.1), TRIM, 0.2)
    engine = block((-0.6 * half, low + 0.3, tail - 0.1), (0.6 * half, low + 0.75, tail + 0.012), TRIM, 0.0)
    stripe = block(
        (half - 0.1, bus.sill - 0.4, nose + 0.4), (half + 0.006, bus.sill - 0.16, tail - 0.2), bus.stripe, 0.0
    )
    pod = _front(bus, 0.9 * bus.height)
    top = bus.sill + bus.window + 0.1 if bus.kind != "coach" else 0.92 * bus.height
    arm = block((half - 0.1, top, pod - 0.22), (half + 0.16, top + 0.06, pod + 0.12), TRIM, 0.0)
    mirror = block((half + 0.04, top - 0.42, pod - 0.26), (half + 0.22, top + 0.04, pod - 0.14), TRIM, 0.3)
    trim = named("trim", bumper, engine, pair(stripe))
    parts = [*named("headlights", pair(lamp)), *named("taillights", pair(rear)), *trim]
    if bus.kind != "coach":
        y = bus.sill + bus.window + 0.05
        z = min(_front(bus, y), _front(bus, y + 0.28))
        parts += named("sign", block((-0.6 * half, y, z - 0.02), (0.6 * half, y + 0.26, z + 0.4), SIGN, 0.0))
    if bus.kind != "double-decker":
        cooler = (0.62 * half, bus.height + 0.2, _z(bus, 0.45))
        parts += named("roof", block((-0.62 * half, bus.height - 0.05, _z(bus, 0.2)), cooler, bus.paint, 0.3))
    return [*parts, *named("mirrors", pair(arm), pair(mirror))]


def _keypoints(bus: Bus) -> dict[str, tuple[float, float, float]]:
    half, points = bus.width / 2.0, {}
    for side, x in (("left", -half), ("right", half)):
        for end, axle in zip(("front", "back"), _axles(bus)):
            points[f"{side}_{end}_wheel"] = (x, bus.wheel_radius, axle)
            for name, y in (("lower", bus.clearance), ("upper", bus.height)):
                z = _front(bus, y) if end == "front" else _z(bus, 1.0)
                points[f"body_{end}_{side}_{name}"] = (x, y, z)
    return points
