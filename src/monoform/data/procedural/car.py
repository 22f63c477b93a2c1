"""A car from a handful of lengths in metres: six kinds, each a range of the same continuous family."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    band,
    block,
    finish,
    hull,
    loft,
    named,
    paint,
    pair,
    pick,
    place,
    plate,
    ranges,
    repeated,
    rounded_square,
    superellipse,
    uniform,
)
from monoform.data.procedural.wheels import arc_strip, disc_wheel, wheel_arch
from monoform.meshes import Mesh

KINDS = ("sedan", "suv", "cargo", "sports", "hatchback", "pickup")
SHARES = (0.3, 0.2, 0.12, 0.12, 0.18, 0.08)
GLASS, RUBBER, STEEL, ARCH = (38, 46, 56), (28, 28, 30), (176, 180, 186), (18, 18, 20)
WHITE_LAMP, RED_LAMP, TRIM = (250, 244, 214), (188, 26, 24), (52, 54, 58)
CABIN, EAVES = rounded_square(0.24, 6), 0.84
"""The cabin's outline from above, and the share of its height at which its sides turn over into the roof."""
FRONT, REAR, FLANK = slice(15, 21), slice(3, 9), [23, 0]
"""The points of that outline in the windscreen, in the rear screen, and at both ends of the flat right flank."""
PAINTS = ((178, 28, 32), (32, 74, 148), (214, 216, 220), (226, 164, 34), (46, 110, 78), (92, 98, 108), (34, 36, 42))


@dataclass(frozen=True)
class Car:
    """Metres; fractions are of the car's length, counted from its nose."""

    kind: str
    length: float
    width: float
    belt: float
    """Height of the windows' lower edge above the road."""
    roof: float
    clearance: float
    wheel_radius: float
    axles: tuple[float, float]
    """Fractions."""
    windscreen: float
    """Where the windscreen's foot stands, a fraction."""
    rear_screen: float
    """Where the rear screen's foot stands: near 1 a hatchback, lower a saloon with a boot or a pickup with a bed."""
    front_lean: float
    """How far the windscreen runs back for each metre that it rises."""
    rear_lean: float
    hood_drop: float
    """How far the hood's front edge lies below the windows' lower edge."""
    deck_drop: float
    """The same of the boot's lid, or of a pickup's bed."""
    tumblehome: float
    """Width of the roof as a fraction of the car's."""
    paint: Colour


COMMON = ranges(width=(1.72, 1.9), front_axle=(0.175, 0.2), rear_axle=(0.79, 0.82), tumblehome=(0.68, 0.75))
RANGES = {
    "sedan": ranges(length=(4.3, 5.0), belt=(0.9, 0.98), roof=(1.4, 1.5), clearance=(0.19, 0.24), wheel_radius=(0.31, 0.35),
                  windscreen=(0.27, 0.32), rear_screen=(0.83, 0.89), front_lean=(1.2, 1.6), rear_lean=(1.1, 1.6),
                  hood_drop=(0.16, 0.24), deck_drop=(0.0, 0.06)),
    "suv": ranges(length=(4.3, 5.0), width=(1.84, 2.0), belt=(1.05, 1.18), roof=(1.65, 1.88), clearance=(0.27, 0.36),
                wheel_radius=(0.36, 0.41), windscreen=(0.25, 0.3), rear_screen=(0.965, 0.985), front_lean=(0.8, 1.15),
                rear_lean=(0.15, 0.45), hood_drop=(0.08, 0.16), deck_drop=(0.0, 0.02), tumblehome=(0.74, 0.8)),
    "cargo": ranges(length=(4.6, 5.8), width=(1.86, 2.05), belt=(1.1, 1.25), roof=(1.95, 2.5), clearance=(0.22, 0.3),
                  wheel_radius=(0.33, 0.37), front_axle=(0.15, 0.18), windscreen=(0.12, 0.19), rear_screen=(0.985, 0.992),
                  front_lean=(0.6, 0.95), rear_lean=(0.02, 0.08), hood_drop=(0.16, 0.28), deck_drop=(0.0, 0.01),
                  tumblehome=(0.84, 0.92)),
    "sports": ranges(length=(4.1, 4.7), width=(1.82, 1.98), belt=(0.82, 0.9), roof=(1.18, 1.28), clearance=(0.12, 0.17),
                   wheel_radius=(0.31, 0.335), front_axle=(0.19, 0.22), windscreen=(0.3, 0.38), rear_screen=(0.84, 0.93),
                   front_lean=(1.7, 2.2), rear_lean=(1.9, 2.6), hood_drop=(0.14, 0.22), deck_drop=(0.0, 0.05),
                   tumblehome=(0.6, 0.67)),
    "hatchback": ranges(length=(3.5, 4.2), width=(1.64, 1.8), belt=(0.9, 1.0), roof=(1.42, 1.58), clearance=(0.18, 0.24),
                      wheel_radius=(0.29, 0.33), windscreen=(0.24, 0.3), rear_screen=(0.955, 0.98), front_lean=(0.95, 1.35),
                      rear_lean=(0.35, 0.75), hood_drop=(0.14, 0.22), deck_drop=(0.0, 0.02)),
    "pickup": ranges(length=(4.9, 5.8), width=(1.84, 2.02), belt=(1.08, 1.2), roof=(1.7, 1.88), clearance=(0.3, 0.4),
                   wheel_radius=(0.37, 0.42), windscreen=(0.24, 0.28), rear_screen=(0.56, 0.66), front_lean=(0.75, 1.1),
                   rear_lean=(0.1, 0.25), hood_drop=(0.06, 0.14), deck_drop=(0.4, 0.5), tumblehome=(0.74, 0.8)),
}  # fmt: skip


def sample(rng: np.random.Generator, kind: str | None = None) -> Car:
    """A car of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, SHARES)
    values = uniform(rng, COMMON | RANGES[kind])
    axles = values.pop("front_axle"), values.pop("rear_axle")
    return Car(kind=kind, axles=axles, paint=paint(rng, PAINTS), **values)


def build(car: Car) -> Shape:
    """The car as a shape in the canonical frame."""
    cabin, corners = _cabin(car)
    bed = _bed(car) if car.kind == "pickup" else []
    lines = _lines(car)
    parts = [*named("body", _body(car, lines), *bed), *cabin, *_wheels(car), *_details(car, lines)]
    return finish(car.kind, parts, _keypoints(car) | corners)


def _z(car: Car, fraction: float) -> float:
    return (fraction - 0.5) * car.length


def _lines(car: Car) -> np.ndarray:
    """(n, 4) the body's stations from nose to tail: z, half width, lowest and highest y, along smooth curves."""
    end = max(0.985, 0.4 * car.rear_screen + 0.6)
    # A pickup falls to its bed at once, a boot's lid bit by bit.
    behind = (0.5 * (car.rear_screen + end), 0.5 * car.deck_drop, 0.98, 0.0)
    if car.kind == "pickup":
        behind = (car.rear_screen + 0.01, car.deck_drop, 0.99, 0.0)
    stations = (  # fraction of the length, top below the belt, half width, bottom lift
        (0.0, car.hood_drop + 0.16, 0.74, 0.1),
        (0.012, car.hood_drop + 0.075, 0.86, 0.03),
        (0.05, car.hood_drop, 0.95, 0.0),
        (0.5 * car.windscreen, 0.45 * car.hood_drop, 0.99, 0.0),
        (car.windscreen, 0.0, 1.0, 0.0),
        (0.55, -0.015, 1.0, 0.0),
        (car.rear_screen, 0.0, 0.99, 0.0),
        behind,
        (end, car.deck_drop + 0.025, 0.92, 0.03),
        (1.0, car.deck_drop + 0.11, 0.82, 0.1),
    )
    at, drop, wide, lift = np.array(stations).T
    knots = np.stack([_z(car, at), 0.5 * car.width * wide, car.clearance + lift, car.belt - drop], axis=1)
    between = np.interp(np.arange(2 * len(knots) - 1) / 2.0, np.arange(len(knots)), knots[:, 0])
    return np.column_stack([between, PchipInterpolator(knots[:, 0], knots[:, 1:])(between)])


def _body(car: Car, lines: np.ndarray) -> Mesh:
    return hull(lines, superellipse(24, 0.36), car.paint)


def _skirt(lines: np.ndarray, reach: float, heights: tuple[float, float], out: float, colour: Colour) -> Mesh:
    """What lies on the body's front: a band between two heights, `out` before it, back to `reach` behind the nose.

    With the stations reversed and a negative `reach` it lies on the tail.
    """
    near = lines[np.abs(lines[:, 0] - lines[0, 0]) <= abs(reach)]
    z = near[:, 0] - np.sign(reach) * out * np.linspace(1.0, 0.0, len(near))
    low = np.full(len(near), heights[0])
    high = np.clip(near[:, 3] - 0.02, heights[0] + 0.02, heights[1])
    return hull(np.stack([z, near[:, 1] + out, low, high], axis=1), rounded_square(0.3, 4), colour)


def _bed(car: Car) -> list[Mesh]:
    """A pickup's side walls and tailgate."""
    half, front, tail = car.width / 2.0, _z(car, car.rear_screen) - 0.05, _z(car, 1.0)
    floor, rim = car.belt - car.deck_drop - 0.1, car.belt - 0.03
    wall = block((0.88 * half, floor, front), (0.985 * half, rim, tail - 0.02), car.paint, 0.0)
    well_z, r = _z(car, car.axles[1]), 1.2 * car.wheel_radius
    well = block((0.66 * half, floor, well_z - r), (0.9 * half, 1.9 * r, well_z + r), car.paint, 0.0)
    gate = block((-0.9 * half, floor, tail - 0.1), (0.9 * half, rim - 0.01, tail - 0.01), car.paint, 0.0)
    return [pair(wall), pair(well), gate]


def _cabin(car: Car) -> tuple[list[Part], dict[str, np.ndarray]]:
    """The painted cabin, its panes, and the corners of the front and rear screens."""
    rise = car.roof - car.belt
    foot, heel = _z(car, car.windscreen), _z(car, car.rear_screen)

    def ring(height: float, shrink: float = 1.0) -> np.ndarray:
        """The outline at a height: 0 at the belt, 1 at the roof."""
        front, rear = foot + height * rise * car.front_lean, heel - height * rise * car.rear_lean
        half = car.width / 2.0 * (0.94 + height * (car.tumblehome - 0.94))
        scale = shrink * half, (0.5 + 0.5 * shrink) * (rear - front) / 2.0
        return place(CABIN, "y", car.belt + height * rise, scale=scale, centre=(0.0, (front + rear) / 2.0))

    # Straight up to the panes' upper edges, above them a quarter of an ellipse over to the roof.
    turn = np.linspace(0.0, 0.45 * np.pi, 5)
    over = [ring(EAVES + (1.0 - EAVES) * np.sin(a), 0.8 + 0.2 * np.cos(a)) for a in turn]
    crown = (0.0, car.roof + 0.012, float(over[-1][:, 2].mean()))
    body = loft([ring(-0.1), *over], car.paint, tips=(None, crown))

    low, high = ring(0.08), ring(EAVES - 0.03)
    front, rear = (band(low[k], high[k], 0.03, GLASS) for k in (FRONT, REAR))
    splits = {"cargo": ((0.0, 0.24),), "sports": ((0.04, 0.84),), "pickup": ((0.0, 0.46), (0.54, 1.0))}
    splits["suv"] = ((0.0, 0.31), (0.36, 0.66), (0.71, 1.0))

    def pane(start: float, end: float) -> Mesh:
        """Between two fractions of the flat part of the right flank, from the front."""
        (l0, l1), (h0, h1) = low[FLANK], high[FLANK]
        corners = [l0 + start * (l1 - l0), h0 + start * (h1 - h0), h0 + end * (h1 - h0), l0 + end * (l1 - l0)]
        return plate(corners, 0.03, GLASS)

    sides = [pair(pane(*ends)) for ends in splits.get(car.kind, ((0.0, 0.48), (0.54, 1.0)))]
    corners = {"upper_left_windshield": high[FRONT][0], "upper_right_windshield": high[FRONT][-1]}
    corners |= {"upper_right_rearwindow": high[REAR][0], "upper_left_rearwindow": high[REAR][-1]}
    return [*named("cabin", body), *named("windows", *sides, front, rear)], corners


def _wheels(car: Car) -> list[Part]:
    half, r = car.width / 2.0, car.wheel_radius
    radius = min(1.14 * r, car.belt - 0.5 * car.hood_drop - 0.08 - r)
    arch = wheel_arch(half + 0.004, 1.02 * r, 0.0, radius, ARCH, 0.2)
    flare = arc_strip((half - 0.05, 1.02 * r, 0.0), radius + 0.015, (-1.5, 1.5), 0.065, 0.025, car.paint, 10)
    wheel = disc_wheel((half - 0.09, r, 0.0), r, 0.22, RUBBER, STEEL)
    axles = np.outer([_z(car, fraction) for fraction in car.axles], (0.0, 0.0, 1.0))
    arches, flares, *wheels = (repeated(pair(piece), axles) for piece in (arch, flare, *wheel))
    return [*named("arches", arches), *named("body", flares), *named("wheels", *wheels)]


def _details(car: Car, lines: np.ndarray) -> list[Part]:
    """Lamps, grille, bumpers, plate, mirrors, and what marks the kind: roof rails or a spoiler."""
    half, nose, tail = car.width / 2.0, _z(car, 0.0), _z(car, 1.0)
    hood, deck, sill = car.belt - car.hood_drop, car.belt - 0.12 * (car.kind == "sedan"), car.clearance
    length, back = 0.035 * car.length, lines[::-1]
    front = _skirt(lines, length, (hood - 0.21, hood - 0.08), 0.006, WHITE_LAMP)
    rear = _skirt(back, -0.8 * length, (deck - 0.28, deck - 0.13), 0.006, RED_LAMP)
    if car.kind == "pickup":
        rear = pair(
            block((0.62 * half, deck - 0.3, tail - 0.08), (0.86 * half, deck - 0.12, tail + 0.012), RED_LAMP, 0.0)
        )
    lid = block((-0.5 * half, deck - 0.3, tail - 0.1), (0.5 * half, deck - 0.12, tail + 0.014), car.paint, 0.0)
    grille = block((-0.4 * half, hood - 0.25, nose - 0.02), (0.4 * half, hood - 0.1, nose + 0.2), TRIM, 0.0)
    bumpers = [
        _skirt(rows, reach, (sill + 0.06, sill + 0.22), 0.04, TRIM)
        for rows, reach in ((lines, length), (back, -length))
    ]
    at = _z(car, car.windscreen) + 0.25 * (car.roof - car.belt) * car.front_lean + 0.1
    mirror = block((0.9 * half, car.belt + 0.01, at), (half + 0.15, car.belt + 0.13, at + 0.1), car.paint, 0.3)
    badge = block((-0.26, sill + 0.28, tail - 0.1), (0.26, sill + 0.39, tail + 0.008), STEEL, 0.0)
    sill_strip = block((half - 0.3, sill - 0.02, _z(car, 0.3)), (half + 0.008, sill + 0.07, _z(car, 0.7)), TRIM, 0.0)
    handle = block((half - 0.05, car.belt - 0.16, 0.0), (half + 0.02, car.belt - 0.13, 0.16), TRIM, 0.0)
    extras = []
    if car.kind == "suv":
        low, high = (0.56 * half, car.roof - 0.02, -0.06 * car.length), (0.6 * half, car.roof + 0.05, 0.36 * car.length)
        extras = [pair(block(low, high, TRIM, 0.0))]
    elif car.kind == "sports":
        post = block((0.5 * half, car.belt - 0.05, tail - 0.25), (0.56 * half, car.belt + 0.1, tail - 0.15), TRIM, 0.0)
        wing = block((-0.8 * half, car.belt + 0.09, tail - 0.3), (0.8 * half, car.belt + 0.13, tail - 0.05), car.paint)
        extras = [pair(post), wing]
    trim = named("trim", lid, grille, *bumpers, badge, pair(sill_strip), pair(handle), *extras)
    return [*named("headlights", front), *named("taillights", rear), *named("mirrors", pair(mirror)), *trim]


def _keypoints(car: Car) -> dict[str, tuple[float, float, float]]:
    half, nose, tail = car.width / 2.0, _z(car, 0.0), _z(car, 1.0)
    points = {}
    for side, x in (("left", -half), ("right", half)):
        for end, fraction in zip(("front", "back"), car.axles):
            points[f"{side}_{end}_wheel"] = (x, car.wheel_radius, _z(car, fraction))
        points[f"{side}_front_light"] = (0.68 * x, car.belt - car.hood_drop - 0.14, nose)
        points[f"{side}_back_trunk"] = (0.86 * x, car.belt - 0.05, tail)
    return points
