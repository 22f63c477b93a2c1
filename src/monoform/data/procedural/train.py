"""A train from a handful of lengths in metres: a locomotive, a high-speed train of several cars, passenger carriages."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    block,
    creased_square,
    cylinder,
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
    tube,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("locomotive", "high-speed", "carriage")
GLASS, STEEL, DARK, ROOF = (36, 44, 54), (138, 142, 148), (38, 40, 44), (120, 124, 130)
WHITE_LAMP, RED_LAMP = (250, 244, 214), (188, 26, 24)
PAINTS = ((176, 32, 36), (28, 66, 132), (226, 228, 232), (228, 176, 48), (44, 104, 78), (210, 96, 32), (96, 102, 112))


@dataclass(frozen=True)
class Train:
    """Metres. The first car leads; the others follow without gaps that show."""

    kind: str
    cars: int
    length: float
    """Of one car."""
    width: float
    height: float
    """Of the roof above the rails."""
    floor: float
    """Height of the body's lower edge."""
    nose: float
    """Length of the part in front that narrows."""
    nose_height: float
    """Height of the nose's tip, a fraction of the body's."""
    corner: float
    """Radius of the roof's edges."""
    wheel_radius: float
    paint: Colour
    stripe: Colour


COMMON = ranges(width=(2.7, 3.1), floor=(0.75, 0.95), wheel_radius=(0.42, 0.5))
RANGES = {
    "locomotive": ranges(length=(15.0, 20.0), height=(3.7, 4.2), nose=(0.3, 1.5), nose_height=(0.55, 0.8), corner=(0.2, 0.5)),
    "high-speed": ranges(length=(17.0, 24.0), height=(3.5, 3.9), nose=(3.5, 8.0), nose_height=(0.12, 0.26), corner=(0.5, 0.9)),
    "carriage": ranges(length=(16.0, 24.0), height=(3.6, 4.1), nose=(0.05, 0.15), nose_height=(0.4, 0.5), corner=(0.35, 0.8)),
}  # fmt: skip
CARS = {"locomotive": (1, 1, 2), "high-speed": (1, 2, 3), "carriage": (1, 1, 2)}


def sample(rng: np.random.Generator, kind: str | None = None) -> Train:
    """A train of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.4, 0.35, 0.25))
    values = uniform(rng, COMMON | RANGES[kind])
    return Train(kind=kind, cars=pick(rng, CARS[kind]), paint=paint(rng, PAINTS), stripe=paint(rng, PAINTS), **values)


def build(train: Train) -> Shape:
    """The train as a shape in the canonical frame."""
    parts: list[Part] = []
    for car in range(train.cars):
        start = car * (train.length + 0.5)
        parts += [*named("body", _body(train, start)), *_flanks(train, start), *_running_gear(train, start)]
        parts += _roof(train, start)
        if car > 0:
            bellows = (0.78 * train.width / 2.0, 0.9 * train.height, start + 0.2)
            parts += named("gangway", block((-bellows[0], train.floor + 0.1, start - 0.7), bellows, DARK, 0.0))
    return finish(train.kind, [*parts, *_front(train), *_rear(train)], _keypoints(train))


def _profile(train: Train, depth: float) -> tuple[float, float, float]:
    """Top, bottom and half width of a high-speed nose `depth` metres behind its tip: near a quarter of an ellipse."""
    f = min(depth / train.nose, 1.0)
    grown = float(np.sqrt(1.0 - (1.0 - f) ** 2))
    tip = _sill(train)
    top = tip + (train.height - tip) * (0.45 * grown + 0.55 * f * f * (3.0 - 2.0 * f))
    return top, train.floor - 0.4 + 0.25 * (1.0 - grown), (0.25 + 0.75 * grown) * train.width / 2.0


def _lean(train: Train, y: float) -> float:
    """z of an upright front: straight up to the windscreen, leaning back above."""
    return train.nose * max(0.0, (y - _sill(train)) / (train.height - _sill(train)))


def _sill(train: Train) -> float:
    """Height of the windscreen's lower edge, and of the tip of a long nose."""
    return train.floor + train.nose_height * (train.height - train.floor)


def _body(train: Train, start: float) -> Mesh:
    """Cross-sections from front to rear; only the first car has a nose."""
    bend = 2.0 * train.nose_height - 1.0 if train.kind != "high-speed" else 0.0
    section = creased_square(2.0 * train.corner / train.width, bend)
    fast = train.kind == "high-speed"
    ends = [(train.height, train.floor - 0.4 * fast, s * train.width / 2.0) for s in (0.96, 1.0, 1.0, 0.96)]
    stations = list(zip((0.0, 0.1, train.length - 0.1, train.length), ends))
    if fast and start == 0.0:
        depths = [f * train.nose for f in (0.0, 0.015, 0.05, 0.12, 0.22, 0.35, 0.5, 0.7, 1.0)]
        stations = [*((depth, _profile(train, depth)) for depth in depths), *stations[2:]]
    rings = []
    for at, (top, bottom, half) in stations:
        ring = place(section, "z", start + at, scale=(half, (top - bottom) / 2.0), centre=(0.0, (top + bottom) / 2.0))
        if not fast and start == 0.0 and at < 1.0:
            ring[:, 2] = [at + _lean(train, y) for y in ring[:, 1]]
        rings.append(ring)
    leads = start == 0.0 and not fast
    return loft(rings, train.paint, tips=((0.0, _sill(train), 0.0) if leads else None, None))


def _flanks(train: Train, start: float) -> list[Part]:
    """Stripe, doors and windows along a car; a locomotive has louvres where carriages have windows."""
    half, tall = train.width / 2.0, train.height - train.floor
    engine = train.kind == "locomotive" and start == 0.0
    first = start + 0.5 + (train.nose if start == 0.0 else 0.0)
    last = start + train.length - 1.4
    y = [train.floor + f * tall for f in (0.14, 0.28, 0.36, 0.48, 0.76)]
    stripe = block((half - 0.1, y[0], first - 0.3), (half + 0.008, y[1], last + 1.2), train.stripe, 0.0)
    door = block((half - 0.08, train.floor + 0.05, first), (half + 0.014, y[4], first + 0.9), STEEL, 0.0)
    doors = repeated(door, ((0.0, 0.0, 0.0), (0.0, 0.0, last - first)))
    low, high, colour, wanted = (y[2], y[4] - 0.25, DARK, 2.5) if engine else (y[3], y[4], GLASS, 1.9)
    count = max(2, round((last - first - 1.4) / wanted))
    pitch = (last - first - 1.4) / count
    pane = block((half - 0.08, low, first + 1.3), (half + 0.012, high, first + 1.3 + 0.72 * pitch), colour, 0.0)
    row = repeated(pane, np.outer(np.arange(count) * pitch, (0.0, 0.0, 1.0)))
    windows = named("louvres" if engine else "windows", pair(row))
    return [*named("stripe", pair(stripe)), *named("doors", pair(doors)), *windows]


def _running_gear(train: Train, start: float) -> list[Part]:
    """Two bogies of two axles and the boxes hung between them."""
    r, half, low = train.wheel_radius, train.width / 2.0, train.floor + 0.06
    frame = block((0.64 * half, 0.7 * r, -1.8), (0.78 * half, low, 1.8), DARK, 0.0)
    bolster = block((-0.6 * half, 0.9 * r, -0.5), (0.6 * half, low, 0.5), DARK, 0.0)
    wheel = pair(cylinder("x", (0.5 * half, 0.62 * half), r, (r, -1.25), STEEL, sides=16))
    axle = cylinder("x", (-0.55 * half, 0.55 * half), 0.2 * r, (r, -1.25), DARK, sides=8)
    bogies = np.array([[0.0, 0.0, start + f * train.length] for f in (0.2, 0.8)])
    axles = np.concatenate([bogies, bogies + (0.0, 0.0, 2.5)])
    tank = (0.8 * half, low, start + 0.64 * train.length)
    return [
        *named("bogies", repeated(pair(frame), bogies), repeated(bolster, bogies), repeated(axle, axles)),
        *named("wheels", repeated(wheel, axles)),
        *named("tanks", block((-0.8 * half, 0.9 * r, start + 0.36 * train.length), tank, DARK, 0.3, "z")),
    ]


def _roof(train: Train, start: float) -> list[Part]:
    """Fans on a locomotive's roof and a folded pantograph; one flat hood on every other car."""
    half, top, middle = train.width / 2.0, train.height, start + 0.55 * train.length
    if train.kind != "locomotive" or start > 0.0:
        hood = block((-0.4 * half, top - 0.1, middle - 2.5), (0.4 * half, top + 0.14, middle + 2.5), ROOF, 0.4)
        return named("roof", hood)
    box = block((-0.55 * half, top - 0.1, middle - 4.0), (0.55 * half, top + 0.22, middle + 3.0), ROOF, 0.3)
    z = (middle + 3.4, middle + 5.2)
    arm = [(0.0, top - 0.02, z[0]), (0.0, top + 0.75, z[1]), (0.0, top + 1.05, z[0] + 0.3)]
    bow = block((-0.5 * half, top + 1.02, z[0] + 0.2), (0.5 * half, top + 1.1, z[0] + 0.4), DARK, 0.0)
    return [*named("roof", box), *named("pantograph", tube(arm, 0.06, DARK, sides=8), bow)]


def _front(train: Train) -> list[Part]:
    """Windscreen and lamps; buffers, or on a carriage the door to the next one."""
    half, tall = train.width / 2.0, train.height - train.floor
    if train.kind == "high-speed":
        (y0, _, x0), (y1, _, x1) = (_profile(train, f * train.nose) for f in (0.42, 0.66))
        z0, z1, x = 0.42 * train.nose, 0.66 * train.nose, 0.5 * min(x0, x1) - 0.3 * train.corner
        screen = plate(((x, y0, z0), (x, y1, z1), (-x, y1, z1), (-x, y0, z0)), 0.2, GLASS)
        top, bottom, wide = _profile(train, 0.06 * train.nose)
        y, z = 0.5 * (top + bottom), 0.05 * train.nose
        lamp = block((0.55 * wide, y, z - 0.1), (0.8 * wide, y + 0.16, z + 0.4), WHITE_LAMP, 0.0)
        return [*named("windscreen", screen), *named("headlights", pair(lamp))]
    lamp = block((0.6 * half, train.floor + 0.3, -0.04), (0.8 * half, train.floor + 0.5, 0.2), WHITE_LAMP, 0.0)
    parts = [*named("headlights", pair(lamp)), *named("buffers", *_buffers(train, 0.0, -1.0))]
    if train.kind == "carriage":
        door = block((-0.45, train.floor + 0.1, -0.12), (0.45, train.floor + 0.75 * tall, 0.3), DARK, 0.0)
        return [*parts, *named("gangway", door)]
    low, high = train.floor + train.nose_height * tall + 0.05, train.height - 0.22
    ends = [(y, _lean(train, y)) for y in (low, high)]
    (y0, z0), (y1, z1) = ends
    pane = plate(((0.06, y0, z0), (0.06, y1, z1), (0.8 * half, y1, z1), (0.8 * half, y0, z0)), 0.05, GLASS)
    bar = block((-0.97 * half, train.floor - 0.25, -0.06), (0.97 * half, train.floor + 0.08, 0.2), train.stripe, 0.0)
    return [*parts, *named("windscreen", pair(pane)), *named("bumper", bar)]


def _rear(train: Train) -> list[Part]:
    """Red lamps, the door to a next car, buffers."""
    half, tail = train.width / 2.0, train.cars * (train.length + 0.5) - 0.5
    lamp = block(
        (0.66 * half, train.floor + 0.4, tail - 0.2), (0.84 * half, train.floor + 0.62, tail + 0.04), RED_LAMP, 0.0
    )
    high = train.floor + 0.75 * (train.height - train.floor)
    door = block((-0.45, train.floor + 0.1, tail - 0.3), (0.45, high, tail + 0.1), DARK, 0.0)
    return [*named("taillights", pair(lamp)), *named("gangway", door), *named("buffers", *_buffers(train, tail, 1.0))]


def _buffers(train: Train, z: float, outwards: float) -> list[Mesh]:
    """A shaft and a plate on both sides."""
    centre = (0.58 * train.width / 2.0, train.floor + 0.12)
    shaft, face = ((z - 0.1 * outwards, z + 0.5 * outwards), (z + 0.45 * outwards, z + 0.53 * outwards))
    return [pair(cylinder("z", ends, r, centre, DARK, sides=12)) for ends, r in ((shaft, 0.1), (face, 0.24))]


def _keypoints(train: Train) -> dict[str, tuple[float, float, float]]:
    """Corners of four cross-sections: the head, a third and two thirds of the length, the tail."""
    half, total = train.width / 2.0, train.cars * (train.length + 0.5) - 0.5
    points = {"head_top": (0.0, train.height, train.nose)}
    for name, z in (("head", 0.0), ("mid1", total / 3.0), ("mid2", 2.0 * total / 3.0), ("tail", total)):
        top, bottom, x = train.height, train.floor, half
        if name == "head" and train.kind == "high-speed":
            z = 0.35 * train.nose
            top, bottom, x = _profile(train, z)
        for side, sign in (("left", -1.0), ("right", 1.0)):
            points[f"{name}_{side}_bottom"] = (sign * x, bottom, z)
            points[f"{name}_{side}_top"] = (
                sign * x,
                top,
                z + (_lean(train, top) if name == "head" and z == 0.0 else 0.0),
            )
    return points
