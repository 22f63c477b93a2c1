"""A train from a handful of lengths in metres: a locomotive, a high-speed train of one car or two, passenger carriages."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.diesel import Diesel, hood_unit
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
    bogies: float
    """Where the bogies' middles stand, a fraction of the car's length from either end."""
    tank_start: float
    tank_length: float
    """Of the boxes under the floor: fractions of the room between the bogies."""
    hood_start: float
    hood_length: float
    """Of the hood on the roof: fractions of the roof behind the nose."""
    cab: float
    """Where a hooded locomotive's cab begins, a fraction of its length."""
    narrow: float
    """Width of its hoods, a fraction of the locomotive's."""
    hooded: bool
    """Whether the locomotive is a diesel whose engine stands under a narrow hood, with walkways beside it."""
    paint: Colour
    stripe: Colour


# What stands under the floor and on the roof varies most: at equal proportions long bodies are alike.
COMMON = ranges(width=(2.6, 3.35), floor=(0.75, 1.1), wheel_radius=(0.42, 0.56), bogies=(0.16, 0.25), tank_start=(0.0, 0.55),
                tank_length=(0.15, 0.45), hood_start=(0.0, 0.5), hood_length=(0.12, 0.48), cab=(0.12, 0.28),
                narrow=(0.55, 0.7))  # fmt: skip
RANGES = {
    "locomotive": ranges(length=(11.5, 18.5), height=(3.7, 4.7), nose=(0.2, 1.6), nose_height=(0.45, 0.72), corner=(0.2, 0.6)),
    "high-speed": ranges(length=(13.5, 23.0), height=(3.4, 4.1), nose=(2.5, 8.0), nose_height=(0.1, 0.32), corner=(0.45, 0.95)),
    "carriage": ranges(length=(10.5, 23.0), height=(3.5, 4.8), nose=(0.05, 0.15), nose_height=(0.4, 0.5), corner=(0.25, 0.9)),
}  # fmt: skip
CARS = {"locomotive": (1, 1, 1, 2), "high-speed": (1, 1, 2), "carriage": (1, 1, 2)}


def sample(rng: np.random.Generator, kind: str | None = None) -> Train:
    """A train of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.4, 0.35, 0.25))
    values = uniform(rng, COMMON | RANGES[kind])
    return Train(
        kind=kind,
        cars=pick(rng, CARS[kind]),
        hooded=kind == "locomotive" and bool(rng.random() < 0.5),
        paint=paint(rng, PAINTS),
        stripe=paint(rng, PAINTS),
        **values,
    )


def build(train: Train) -> Shape:
    """The train as a shape in the canonical frame."""
    parts: list[Part] = []
    for car in range(train.cars):
        start = car * (train.length + 0.5)
        parts += _running_gear(train, start)
        if train.hooded and car == 0:
            sizes = train.length, train.width, train.height, train.floor, train.cab, train.narrow
            parts += hood_unit(Diesel(*sizes, train.paint, train.stripe))
        else:
            parts += [*named("body", _body(train, start)), *_flanks(train, start), *_roof(train, start)]
        if car > 0:
            bellows = (0.78 * train.width / 2.0, 0.9 * train.height, start + 0.2)
            parts += named("gangway", block((-bellows[0], train.floor + 0.1, start - 0.7), bellows, DARK, 0.0))
    front = named("buffers", *_buffers(train, 0.0, -1.0)) if train.hooded else _front(train)
    return finish(train.kind, [*parts, *front, *_rear(train)], _keypoints(train))


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
    """Stripe, doors and windows along a car; a locomotive has cabs at both ends and louvres between them."""
    half, tall = train.width / 2.0, train.height - train.floor
    engine = train.kind == "locomotive" and start == 0.0
    first = start + (1.9 if engine else 0.5) + (train.nose if start == 0.0 else 0.0)
    last = start + train.length - (2.6 if engine else 1.4)
    y = [train.floor + f * tall for f in (0.14, 0.28, 0.48, 0.76)]
    stripe = block((half - 0.1, y[0], start + train.nose + 0.2), (half + 0.008, y[1], last + 1.2), train.stripe, 0.0)
    door = block((half - 0.08, train.floor + 0.05, first), (half + 0.014, y[3], first + 0.75), STEEL, 0.0)
    doors = repeated(door, ((0.0, 0.0, 0.0), (0.0, 0.0, last - first)))
    parts = [*named("stripe", pair(stripe)), *named("doors", pair(doors))]
    if engine:
        return parts + _louvres(train, first + 1.2, last - 0.4)
    count = max(2, round((last - first - 1.4) / 1.9))
    pitch = (last - first - 1.4) / count
    pane = block((half - 0.08, y[2], first + 1.3), (half + 0.012, y[3], first + 1.3 + 0.72 * pitch), GLASS, 0.0)
    return [*parts, *named("windows", pair(repeated(pane, np.outer(np.arange(count) * pitch, (0.0, 0.0, 1.0)))))]


def _louvres(train: Train, first: float, last: float) -> list[Part]:
    """Of a box-shaped locomotive: a high row of grilles, and the side windows of its cabs."""
    half, top = train.width / 2.0, train.height - max(train.corner, 0.3)
    count = max(3, round((last - first) / 1.5))
    pitch = (last - first) / count
    slat = block((half - 0.08, top - 0.75, first), (half + 0.02, top - 0.66, first + 0.8 * pitch), DARK, 0.0)
    steps = [(0.0, 0.17 * row, i * pitch) for i in range(count) for row in range(4)]
    low = train.floor + 0.5 * (train.height - train.floor)
    front = train.nose + 0.55
    pane = block((half - 0.08, low, front), (half + 0.012, top - 0.1, front + 0.9), GLASS, 0.0)
    panes = repeated(pane, ((0.0, 0.0, 0.0), (0.0, 0.0, train.length - front - 1.5)))
    return [*named("louvres", pair(repeated(slat, steps))), *named("windows", pair(panes))]


def _running_gear(train: Train, start: float) -> list[Part]:
    """Two bogies of two axles and the boxes hung between them."""
    r, half, low = train.wheel_radius, train.width / 2.0, train.floor + 0.06
    frame = block((0.64 * half, 0.7 * r, -1.8), (0.78 * half, low, 1.8), DARK, 0.0)
    bolster = block((-0.6 * half, 0.9 * r, -0.5), (0.6 * half, low, 0.5), DARK, 0.0)
    wheel = pair(cylinder("x", (0.5 * half, 0.62 * half), r, (r, -1.25), STEEL, sides=16))
    axle = cylinder("x", (-0.55 * half, 0.55 * half), 0.2 * r, (r, -1.25), DARK, sides=8)
    bogies = np.array([[0.0, 0.0, start + f * train.length] for f in (train.bogies, 1.0 - train.bogies)])
    axles = np.concatenate([bogies, bogies + (0.0, 0.0, 2.5)])
    room = (1.0 - 2.0 * train.bogies) * train.length - 4.0
    front = start + train.bogies * train.length + 2.0 + train.tank_start * room
    tank = (0.8 * half, low, front + max(train.tank_length * room, 0.6))
    return [
        *named("bogies", repeated(pair(frame), bogies), repeated(bolster, bogies), repeated(axle, axles)),
        *named("wheels", repeated(wheel, axles)),
        *named("tanks", block((-0.8 * half, 0.9 * r, front), tank, DARK, 0.3, "z")),
    ]


def _roof(train: Train, start: float) -> list[Part]:
    """A hood on every car; on a box-shaped locomotive also one raised pantograph and one folded."""
    half, top = train.width / 2.0, train.height
    if train.kind != "locomotive" or start > 0.0:
        nose = train.nose if start == 0.0 else 0.0
        room = train.length - nose - 1.0
        front = start + nose + 0.5 + train.hood_start * room
        end = front + train.hood_length * room
        hood = block((-0.4 * half, top - 0.1, front), (0.4 * half, top + 0.14, end), ROOF, 0.4)
        return named("roof", hood)
    box = block(
        (-0.55 * half, top - 0.1, 0.34 * train.length), (0.55 * half, top + 0.22, 0.7 * train.length), ROOF, 0.3
    )
    z = 0.74 * train.length
    arm = [(0.0, top - 0.02, z), (0.0, top + 0.7, z + 1.5), (0.0, top + 1.0, z + 0.3)]
    bow = block((-0.5 * half, top + 0.97, z + 0.2), (0.5 * half, top + 1.05, z + 0.4), DARK, 0.0)
    # The other one lies folded.
    z = 0.16 * train.length
    rest = [(0.0, top + 0.08, z), (0.0, top + 0.16, z + 1.5), (0.0, top + 0.22, z + 0.2)]
    lower = block((-0.5 * half, top + 0.2, z + 0.1), (0.5 * half, top + 0.28, z + 0.3), DARK, 0.0)
    arms = [tube(arm, 0.06, DARK, sides=8), bow, tube(rest, 0.06, DARK, sides=8), lower]
    return [*named("roof", box), *named("pantograph", *arms)]


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
    """Red lamps, buffers, and the door to a next car or a locomotive's second windscreen."""
    half, tail = train.width / 2.0, train.cars * (train.length + 0.5) - 0.5
    lamp = block(
        (0.66 * half, train.floor + 0.4, tail - 0.2), (0.84 * half, train.floor + 0.62, tail + 0.04), RED_LAMP, 0.0
    )
    parts = [*named("taillights", pair(lamp)), *named("buffers", *_buffers(train, tail, 1.0))]
    tall = train.height - train.floor
    if train.hooded and train.cars == 1:
        return parts
    if train.kind == "locomotive" and train.cars == 1:
        low, high = train.floor + 0.55 * tall, train.height - 0.45
        pane = block((0.06, low, tail - 0.1), (0.78 * half, high, tail + 0.015), GLASS, 0.0)
        return [*parts, *named("windscreen", pair(pane))]
    door = block((-0.45, train.floor + 0.1, tail - 0.3), (0.45, train.floor + 0.75 * tall, tail + 0.1), DARK, 0.0)
    return [*parts, *named("gangway", door)]


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
