"""A car from a handful of lengths in metres: six kinds, each a range of the same continuous family."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    block,
    disc_wheel,
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
    rounded_square,
    uniform,
    wheel_arch,
)
from monoform.meshes import Mesh

KINDS = ("sedan", "suv", "cargo", "sports", "hatchback", "pickup")
SHARES = (0.3, 0.2, 0.12, 0.12, 0.18, 0.08)
GLASS, RUBBER, STEEL, ARCH = (38, 46, 56), (28, 28, 30), (176, 180, 186), (18, 18, 20)
WHITE_LAMP, RED_LAMP, TRIM = (250, 244, 214), (188, 26, 24), (52, 54, 58)
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
    parts = [*named("body", _body(car), *bed), *cabin, *_wheels(car), *_details(car)]
    return finish(car.kind, parts, _keypoints(car) | corners)


def _z(car: Car, fraction: float) -> float:
    return (fraction - 0.5) * car.length


def _body(car: Car) -> Mesh:
    """Rounded cross-sections from nose to tail: (fraction of length, top below the belt, half width, bottom lift)."""
    deck = car.rear_screen + 0.01
    # A pickup falls to its bed at once, a boot's lid bit by bit.
    half_way = 0.5 * (deck + 0.985)
    behind = (deck, car.deck_drop, 0.99, 0.0) if car.kind == "pickup" else (half_way, 0.5 * car.deck_drop, 0.97, 0.0)
    stations = (
        (0.0, car.hood_drop + 0.2, 0.8, 0.1),
        (0.012, car.hood_drop + 0.1, 0.88, 0.03),
        (0.05, car.hood_drop, 0.95, 0.0),
        (0.5 * car.windscreen, 0.5 * car.hood_drop, 0.99, 0.0),
        (car.windscreen, 0.0, 1.0, 0.0),
        (0.55, -0.015, 1.0, 0.0),
        (car.rear_screen, 0.0, 0.99, 0.0),
        behind,
        (max(0.985, deck + 0.002), car.deck_drop + 0.015, 0.93, 0.03),
        (1.0, car.deck_drop + 0.12, 0.86, 0.1),
    )
    half = car.width / 2.0
    rows = [(_z(car, at), wide * half, car.clearance + lift, car.belt - drop) for at, drop, wide, lift in stations]
    return hull(rows, rounded_square(0.22, 5), car.paint)


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

    def side(height: float, along: float) -> np.ndarray:
        """A point of the right flank: `height` 0 at the belt, 1 at the roof; `along` 0 at the front, 1 at the rear."""
        front, rear = foot + height * rise * car.front_lean, heel - height * rise * car.rear_lean
        x = car.width / 2.0 * (0.94 + height * (car.tumblehome - 0.94))
        return np.array([x, car.belt + height * rise, front + along * (rear - front)])

    rings = []
    for height, shrink in ((-0.1, 1.0), (0.93, 1.0), (1.0, 0.9)):
        low, high = side(height, 0.0), side(height, 1.0)
        scale, centre = (shrink * high[0], shrink * (high[2] - low[2]) / 2.0), (0.0, (high[2] + low[2]) / 2.0)
        rings.append(place(rounded_square(0.1, 4), "y", low[1], scale=scale, centre=centre))
    flip = np.array([-1.0, 1.0, 1.0])

    def screen(along: float) -> np.ndarray:
        low, high = (side(h, along) * (0.9, 1.0, 1.0) for h in (0.08, 0.86))
        return np.stack([low, high, high * flip, low * flip])

    splits = {"cargo": ((0.1, 0.3),), "sports": ((0.16, 0.78),), "pickup": ((0.12, 0.5), (0.56, 0.92))}
    splits["suv"] = ((0.1, 0.36), (0.4, 0.66), (0.7, 0.93))
    panes = [
        plate([side(0.08, a), side(0.86, a), side(0.86, b), side(0.08, b)], 0.03, GLASS)
        for a, b in splits.get(car.kind, ((0.12, 0.5), (0.54, 0.88)))
    ]
    front, rear = screen(0.0), screen(1.0)
    glass = [*map(pair, panes), plate(front, 0.03, GLASS), plate(rear, 0.03, GLASS)]
    corners = {"upper_right_windshield": front[1], "upper_left_windshield": front[2]}
    corners |= {"upper_right_rearwindow": rear[1], "upper_left_rearwindow": rear[2]}
    return [*named("cabin", loft(rings, car.paint)), *named("windows", *glass)], corners


def _wheels(car: Car) -> list[Part]:
    half, r = car.width / 2.0, car.wheel_radius
    parts = []
    for fraction in car.axles:
        z = _z(car, fraction)
        room = car.belt - 0.5 * car.hood_drop - 0.08 - r
        arch = wheel_arch(half + 0.006, 1.02 * r, z, min(1.16 * r, room), ARCH)
        wheel = disc_wheel((half - 0.09, r, z), r, 0.22, RUBBER, STEEL)
        parts += [*named("arches", pair(arch)), *named("wheels", *map(pair, wheel))]
    return parts


def _details(car: Car) -> list[Part]:
    """Lamps, grille, bumpers, plate, mirrors, and what marks the kind: roof rails or a spoiler."""
    half, nose, tail = car.width / 2.0, _z(car, 0.0), _z(car, 1.0)
    hood, deck, sill = car.belt - car.hood_drop, car.belt - 0.12 * (car.kind == "sedan"), car.clearance
    front = block((0.5 * half, hood - 0.2, nose - 0.012), (0.86 * half, hood - 0.08, nose + 0.2), WHITE_LAMP, 0.0)
    rear = block((0.56 * half, deck - 0.28, tail - 0.08), (0.86 * half, deck - 0.12, tail + 0.012), RED_LAMP, 0.0)
    grille = block((-0.42 * half, hood - 0.24, nose - 0.01), (0.42 * half, hood - 0.13, nose + 0.2), TRIM, 0.0)
    bumpers = [
        block((-0.88 * half, sill + 0.08, z - 0.06), (0.88 * half, sill + 0.24, z + 0.06), TRIM, 0.3)
        for z in (nose, tail)
    ]
    at = _z(car, car.windscreen) + 0.25 * (car.roof - car.belt) * car.front_lean + 0.1
    mirror = block((0.9 * half, car.belt + 0.01, at), (half + 0.15, car.belt + 0.13, at + 0.1), car.paint, 0.3)
    badge = block((-0.26, sill + 0.28, tail - 0.1), (0.26, sill + 0.39, tail + 0.008), STEEL, 0.0)
    sill_strip = block((half - 0.1, sill - 0.02, _z(car, 0.3)), (half + 0.008, sill + 0.07, _z(car, 0.7)), TRIM, 0.0)
    handle = block((half - 0.05, car.belt - 0.16, 0.0), (half + 0.02, car.belt - 0.13, 0.16), TRIM, 0.0)
    extras = []
    if car.kind == "suv":
        low, high = (0.56 * half, car.roof - 0.02, -0.06 * car.length), (0.6 * half, car.roof + 0.05, 0.36 * car.length)
        extras = [pair(block(low, high, TRIM, 0.0))]
    elif car.kind == "sports":
        post = block((0.5 * half, car.belt - 0.05, tail - 0.25), (0.56 * half, car.belt + 0.1, tail - 0.15), TRIM, 0.0)
        wing = block((-0.8 * half, car.belt + 0.09, tail - 0.3), (0.8 * half, car.belt + 0.13, tail - 0.05), car.paint)
        extras = [pair(post), wing]
    trim = named("trim", grille, *bumpers, badge, pair(sill_strip), pair(handle), *extras)
    return [*named("headlights", pair(front)), *named("taillights", pair(rear)), *named("mirrors", pair(mirror)), *trim]


def _keypoints(car: Car) -> dict[str, tuple[float, float, float]]:
    half, nose, tail = car.width / 2.0, _z(car, 0.0), _z(car, 1.0)
    points = {}
    for side, x in (("left", -half), ("right", half)):
        for end, fraction in zip(("front", "back"), car.axles):
            points[f"{side}_{end}_wheel"] = (x, car.wheel_radius, _z(car, fraction))
        points[f"{side}_front_light"] = (0.68 * x, car.belt - car.hood_drop - 0.14, nose)
        points[f"{side}_back_trunk"] = (0.86 * x, car.belt - 0.05, tail)
    return points
