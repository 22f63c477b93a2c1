"""A car from a handful of lengths in metres: hatchbacks to saloons, one continuous family."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import Colour, assemble, block, cylinder, loft, mirrored, place, superellipse
from monoform.meshes import Mesh

GLASS, RUBBER, STEEL, ARCH = (38, 46, 56), (28, 28, 30), (176, 180, 186), (18, 18, 20)
WHITE_LAMP, RED_LAMP, TRIM = (250, 244, 214), (188, 26, 24), (52, 54, 58)
PAINTS = ((178, 28, 32), (32, 74, 148), (214, 216, 220), (226, 164, 34), (46, 110, 78), (92, 98, 108))


@dataclass(frozen=True)
class Car:
    """Metres; fractions are of the car's length, counted from its nose."""

    length: float
    width: float
    belt: float
    """Height of the windows' lower edge above the road."""
    roof: float
    clearance: float
    wheel_radius: float
    windscreen: float
    """Where the windscreen's foot stands, fraction of the length."""
    rear_screen: float
    """Where the rear screen's foot stands: near 1 a hatchback, lower a saloon with a boot."""
    hood_drop: float
    """How far the hood's front edge lies below the windows' lower edge."""
    paint: Colour


def sample(rng: np.random.Generator) -> Car:
    """A car drawn from the family."""
    return Car(
        length=rng.uniform(3.8, 4.8),
        width=rng.uniform(1.7, 1.88),
        belt=rng.uniform(0.88, 0.98),
        roof=rng.uniform(1.38, 1.55),
        clearance=rng.uniform(0.2, 0.26),
        wheel_radius=rng.uniform(0.3, 0.35),
        windscreen=rng.uniform(0.27, 0.34),
        rear_screen=rng.uniform(0.82, 0.97),
        hood_drop=rng.uniform(0.14, 0.24),
        paint=PAINTS[int(rng.integers(len(PAINTS)))],
    )


def build(car: Car) -> Mesh:
    """The car as a mesh in the canonical frame."""
    return assemble([_body(car), *_cabin(car), *_wheels(car), *_lamps(car)])


def _z(car: Car, fraction: float) -> float:
    return (fraction - 0.5) * car.length


def _body(car: Car) -> Mesh:
    """Rounded cross-sections from nose to tail: (fraction of length, top below the belt, half width, bottom lift)."""
    stations = (
        (0.0, car.hood_drop + 0.18, 0.84, 0.14),
        (0.012, car.hood_drop + 0.08, 0.9, 0.06),
        (0.05, car.hood_drop, 0.96, 0.0),
        (0.16, car.hood_drop * 0.55, 1.0, 0.0),
        (car.windscreen, 0.0, 1.0, 0.0),
        (0.62, -0.02, 1.0, 0.0),
        (car.rear_screen - 0.02, 0.0, 0.99, 0.0),
        (0.985, 0.02, 0.93, 0.03),
        (1.0, 0.12, 0.86, 0.12),
    )
    outline = superellipse(28, 0.34)
    rings = []
    for fraction, drop, half_width, lift in stations:
        top, bottom = car.belt - drop, car.clearance + lift
        scale = (half_width * car.width / 2.0, (top - bottom) / 2.0)
        rings.append(place(outline, "z", _z(car, fraction), scale=scale, centre=(0.0, (top + bottom) / 2.0)))
    return loft(rings, car.paint)


def _cabin(car: Car) -> list[Mesh]:
    """Glass narrowing to the roof, the roof itself, and the pillars between the side windows."""
    foot, heel = _z(car, car.windscreen), _z(car, car.rear_screen)
    rise = car.roof - car.belt
    front_edge, rear_edge = foot + 0.95 * rise, heel - (0.35 + 2.0 * (0.97 - car.rear_screen)) * rise
    outline = superellipse(28, 0.2)

    def ring(height: float, half_width: float, lean: float) -> np.ndarray:
        front, rear = foot + lean * (front_edge - foot), heel + lean * (rear_edge - heel)
        scale, centre = (half_width * car.width / 2.0, (rear - front) / 2.0), (0.0, (rear + front) / 2.0)
        return place(outline, "y", car.belt + height * rise, scale=scale, centre=centre)

    glass = loft([ring(-0.08, 0.93, -0.05), ring(0.86, 0.74, 0.88)], GLASS)
    roof = loft([ring(0.84, 0.755, 0.85), ring(0.93, 0.71, 0.95), ring(1.0, 0.6, 1.12)], car.paint)
    middle = 0.5 * (front_edge + rear_edge)
    return [glass, roof, *mirrored(_pillar(car, middle + 0.05)), *mirrored(_pillar(car, rear_edge - 0.05))]


def _pillar(car: Car, z: float) -> Mesh:
    """A thin upright strip that leans inwards with the side window."""
    outline, rise = superellipse(12, 0.2), car.roof - car.belt
    heights, insets = (-0.05, 0.9), (0.93, 0.735)
    rings = [
        place(outline, "y", car.belt + h * rise, scale=(0.025, 0.05), centre=(inset * car.width / 2.0 - 0.012, z))
        for h, inset in zip(heights, insets)
    ]
    return loft(rings, car.paint)


def _wheels(car: Car) -> list[Mesh]:
    half, r = car.width / 2.0, car.wheel_radius
    parts = []
    for fraction in (0.185, 0.81):
        hub = (r, _z(car, fraction))
        parts += mirrored(cylinder("x", (half - 0.26, half + 0.012), r * 1.16, (hub[0] + 0.02, hub[1]), ARCH))
        parts += mirrored(cylinder("x", (half - 0.22, half + 0.03), r, hub, RUBBER))
        parts += mirrored(cylinder("x", (half - 0.05, half + 0.045), r * 0.62, hub, STEEL))
        parts += mirrored(cylinder("x", (half - 0.05, half + 0.055), r * 0.18, hub, TRIM))
    return parts


def _lamps(car: Car) -> list[Mesh]:
    half, nose, tail = car.width / 2.0, _z(car, 0.0), _z(car, 1.0)
    hood = car.belt - car.hood_drop
    front = block((0.52 * half, hood - 0.2, nose - 0.012), (0.86 * half, hood - 0.08, nose + 0.25), WHITE_LAMP)
    rear = block((0.52 * half, car.belt - 0.26, tail - 0.2), (0.86 * half, car.belt - 0.12, tail + 0.012), RED_LAMP)
    grille = block((-0.4 * half, hood - 0.34, nose - 0.012), (0.4 * half, hood - 0.2, nose + 0.2), TRIM)
    mirror = block(
        (half * 0.92, car.belt - 0.02, _z(car, car.windscreen) + 0.3),
        (half + 0.16, car.belt + 0.12, _z(car, car.windscreen) + 0.42),
        car.paint,
    )
    plate = block((-0.26, car.clearance + 0.24, tail - 0.1), (0.26, car.clearance + 0.35, tail + 0.008), STEEL)
    return [*mirrored(front), *mirrored(rear), *mirrored(mirror), grille, plate]
