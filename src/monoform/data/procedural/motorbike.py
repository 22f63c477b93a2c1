"""A motorbike from a handful of lengths in metres: a naked road machine, a faired sport machine, a scooter."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    Colour,
    Part,
    Shape,
    block,
    cylinder,
    finish,
    hull,
    loft,
    named,
    paint,
    pair,
    pick,
    plate,
    ranges,
    repeated,
    revolve,
    rounded_square,
    superellipse,
    tube,
    turned,
    uniform,
)
from monoform.data.procedural.wheels import arc_strip, rim, tyre

KINDS = ("naked", "sport", "scooter")
RUBBER, STEEL, DARK, LEATHER, GLASS = (28, 28, 30), (176, 180, 186), (52, 54, 58), (38, 34, 34), (70, 82, 94)
WHITE_LAMP, RED_LAMP = (250, 244, 214), (188, 26, 24)
PAINTS = ((186, 28, 30), (26, 70, 150), (40, 40, 44), (226, 228, 230), (232, 150, 28), (36, 122, 70), (92, 150, 160))


@dataclass(frozen=True)
class Motorbike:
    """Metres and radians; the rear axle stands at z = 0, the front one at -`wheelbase`."""

    kind: str
    wheelbase: float
    front_radius: float
    rear_radius: float
    tyre: float
    """Half the width of the rear tyre."""
    rake: float
    """Of the fork against the upright."""
    head: float
    """Height of the steering head."""
    seat: float
    """Height of the rider's seat."""
    seat_length: float
    tail_rise: float
    """Of the pillion's seat above the rider's."""
    bar_width: float
    bar_rise: float
    bulk: float
    """Half the width of the tank or the scooter's body."""
    muffler: float
    """Length."""
    paint: Colour


RANGES = {
    "naked": ranges(wheelbase=(1.34, 1.52), front_radius=(0.3, 0.33), rear_radius=(0.3, 0.33), tyre=(0.06, 0.09),
                  rake=(0.42, 0.52), head=(0.86, 0.95), seat=(0.74, 0.83), seat_length=(0.55, 0.72), tail_rise=(0.0, 0.05),
                  bar_width=(0.7, 0.85), bar_rise=(0.1, 0.24), bulk=(0.13, 0.18), muffler=(0.45, 0.65)),
    "sport": ranges(wheelbase=(1.34, 1.44), front_radius=(0.29, 0.31), rear_radius=(0.3, 0.33), tyre=(0.08, 0.1),
                  rake=(0.39, 0.44), head=(0.84, 0.9), seat=(0.79, 0.85), seat_length=(0.5, 0.6), tail_rise=(0.08, 0.17),
                  bar_width=(0.62, 0.7), bar_rise=(-0.02, 0.04), bulk=(0.15, 0.19), muffler=(0.35, 0.5)),
    "scooter": ranges(wheelbase=(1.2, 1.38), front_radius=(0.2, 0.26), rear_radius=(0.2, 0.25), tyre=(0.045, 0.065),
                    rake=(0.42, 0.48), head=(0.82, 0.92), seat=(0.74, 0.8), seat_length=(0.6, 0.72), tail_rise=(0.0, 0.05),
                    bar_width=(0.6, 0.7), bar_rise=(0.08, 0.14), bulk=(0.14, 0.2), muffler=(0.3, 0.4)),
}  # fmt: skip


def sample(rng: np.random.Generator, kind: str | None = None) -> Motorbike:
    """A motorbike of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.4, 0.3, 0.3))
    return Motorbike(kind=kind, paint=paint(rng, PAINTS), **uniform(rng, RANGES[kind]))


def build(bike: Motorbike) -> Shape:
    """The motorbike as a shape in the canonical frame."""
    middle = _scooter_body(bike) if bike.kind == "scooter" else _machine(bike)
    fairing = _fairing(bike) if bike.kind == "sport" else []
    wheels = _wheel(bike, _front(bike), bike.front_radius, 0.8 * bike.tyre)
    wheels += _wheel(bike, _rear(bike), bike.rear_radius, bike.tyre)
    parts = [*wheels, *_steering(bike), *middle, *fairing, *_seat(bike), *_lamps(bike), *_exhaust(bike)]
    return finish(bike.kind, parts, _keypoints(bike))


def _front(bike: Motorbike) -> np.ndarray:
    return np.array([0.0, bike.front_radius, -bike.wheelbase])


def _rear(bike: Motorbike) -> np.ndarray:
    return np.array([0.0, bike.rear_radius, 0.0])


def _yoke(bike: Motorbike) -> np.ndarray:
    """The top of the fork, which leans back from the front axle."""
    rise = bike.head - bike.front_radius
    return _front(bike) + (0.0, rise, rise * np.tan(bike.rake))


def _bar(bike: Motorbike) -> np.ndarray:
    """The right end of the handlebar."""
    return _yoke(bike) + (bike.bar_width / 2.0, bike.bar_rise, 0.1 if bike.kind != "sport" else 0.06)


def _wheel(bike: Motorbike, centre: np.ndarray, radius: float, half: float) -> list[Part]:
    inner = radius - 1.3 * half
    spoke = block(centre + (-0.3 * half, 0.02, -0.022), centre + (0.3 * half, inner - 0.015, 0.022), STEEL, 0.0)
    axle = 1.0 * half + 0.035
    metal = [
        rim(centre, inner + 0.005, 0.85 * half, 0.035, STEEL),
        turned(spoke, "x", centre, 6 if bike.kind != "scooter" else 5),
        cylinder("x", (-axle, axle), 0.03, centre[1:], DARK, sides=12),
        cylinder("x", (-0.6 * half - 0.01, -0.6 * half), 0.55 * inner, centre[1:], DARK, sides=20),
    ]
    return [*named("tyres", tyre(centre, radius, 0.7 * half, half, RUBBER, sides=28)), *named("rims", *metal)]


def _steering(bike: Motorbike) -> list[Part]:
    """Fork, front mudguard, handlebar, grips and mirrors."""
    front, yoke, end = _front(bike), _yoke(bike), _bar(bike)
    x = 0.8 * bike.tyre + 0.03
    side, across = np.array([x, 0.0, 0.0]), np.array([x + 0.02, 0.0, 0.0])
    leg = tube((front + side, front + side + 0.55 * (yoke - front), yoke + side), (0.028, 0.024, 0.02), STEEL)
    bridges = [tube((p - across, p + across), 0.025, DARK) for p in (yoke, yoke - 0.3 * (yoke - front))]
    guard = arc_strip(front, bike.front_radius + 0.02, (-0.9, 0.9), 0.8 * bike.tyre + 0.012, 0.008, bike.paint)
    lift = np.array([0.25, 1.0, 0.2])
    half = np.stack([yoke + (0.06, 0.02, 0), yoke + (end - yoke) * lift, end])
    bar = tube(np.concatenate([half[::-1] * (-1.0, 1.0, 1.0), half]), 0.013, DARK, sides=8)
    grip = tube((end + (half[1] - end) * 0.35, end + (0.01, 0.0, 0.0)), 0.02, RUBBER, sides=8)
    foot, glass = half[1] + (0.4 * (end - half[1])[0], 0.0, 0.0), end + (-0.02, 0.17, -0.06)
    arm = tube((foot, glass), 0.007, DARK, sides=6)
    mirror = block(glass - (0.06, 0.03, 0.01), glass + (0.06, 0.035, 0.01), DARK, 0.4, "z")
    parts = [*named("fork", pair(leg), *bridges), *named("guards", guard), *named("handlebar", bar)]
    return [*parts, *named("grips", pair(grip)), *named("mirrors", pair(arm), pair(mirror))]


def _machine(bike: Motorbike) -> list[Part]:
    """Tank, frame, engine and swing arm between the wheels."""
    yoke, rear, b = _yoke(bike), _rear(bike), bike.bulk
    start, stop, low = yoke[2] + 0.08, yoke[2] + 0.58, bike.seat - 0.05
    stations = ((0.0, 0.5, 0.18), (0.05, 0.75, 0.21), (0.2, 1.0, 0.22), (0.4, 0.95, 0.2), (0.5, 0.6, 0.12))
    tank = [(start + at, wide * b, low, low + tall) for at, wide, tall in stations]
    pivot = np.array([0.09, bike.rear_radius + 0.1, -0.38 * bike.wheelbase])
    head = yoke - (0.0, 0.06, 0.0)
    beams = [
        tube((head + (0.04, 0, 0.03), (b + 0.01, bike.seat - 0.02, start + 0.35), pivot), (0.03, 0.032, 0.035), DARK),
        tube(
            (head + (0.03, -0.08, 0.02), (0.1, 0.28, start + 0.1), (0.1, 0.22, pivot[2]), pivot), 0.018, DARK, sides=8
        ),
        tube((pivot, rear + (bike.tyre + 0.04, 0, 0)), (0.034, 0.024), DARK),
        tube(((b * 0.7, bike.seat - 0.06, pivot[2]), (0.08, bike.seat - 0.02, 0.05)), 0.018, DARK, sides=8),
    ]
    shock = tube(((0.0, bike.seat - 0.06, -0.3), (0.0, bike.rear_radius + 0.06, -0.32)), 0.032, STEEL)
    z = (start + 0.02, pivot[2] + 0.02)
    case = block((-0.17, 0.2, z[0]), (0.17, 0.44, z[1]), STEEL, 0.5, "x")
    leaning = [(0.0, 0.4, start + 0.24), (0.0, bike.seat - 0.08, start + 0.17)]
    barrel = tube(leaning, 0.15, DARK, sides=8, squash=0.75)
    at = [(0.0, y, start + 0.24 - 0.2 * (y - 0.4)) for y in (0.46, 0.51, 0.56)]
    fins = repeated(cylinder("y", (0.0, 0.014), 0.165, (0.0, 0.0), STEEL, sides=14), at)
    covers = cylinder("x", (-0.2, 0.2), 0.1, (0.31, z[1] - 0.15), STEEL, sides=18)
    panel = block((-0.8 * b, bike.seat - 0.2, stop - 0.05), (0.8 * b, bike.seat - 0.03, stop + 0.22), bike.paint, 0.4)
    parts = [*named("tank", hull(tank, superellipse(16, 0.75), bike.paint)), *named("frame", *map(pair, beams), shock)]
    return [*parts, *named("engine", case, barrel, fins, covers), *named("panels", panel)]


def _fairing(bike: Motorbike) -> list[Part]:
    """The sport machine's shell: a nose before the fork, flanks down to the belly, a screen."""
    yoke, b = _yoke(bike), bike.bulk
    nose = yoke[2] - 0.3
    stations = ((0.0, 0.25, 0.02, 0.05), (0.05, 0.6, 0.1, 0.1), (0.18, 1.0, 0.17, 0.2), (0.34, 1.2, 0.14, 0.26))
    y = yoke[1] - 0.06
    shell = [(nose + at, wide * b, y - below, y + above) for at, wide, above, below in stations]
    side = ((nose + 0.22, yoke[1] - 0.1), (nose + 0.36, 0.42), (nose + 0.5, 0.2), (-0.42, 0.2), (-0.42, 0.34),
            (nose + 0.66, bike.seat - 0.12), (nose + 0.45, yoke[1] - 0.04))  # fmt: skip
    # The flanks draw in towards the belly.
    flank = plate([(b * (0.5 + 0.65 * y), y, z) for z, y in side], 0.03, bike.paint)
    belly = block((-0.65 * b, 0.17, nose + 0.52), (0.65 * b, 0.24, -0.44), bike.paint, 0.3, "z")
    w, low, high = 0.75 * b, (yoke[1] + 0.06, nose + 0.12), (yoke[1] + 0.24, nose + 0.36)
    screen = plate(((w, *low), (0.7 * w, *high), (-0.7 * w, *high), (-w, *low)), 0.012, GLASS)
    return [
        *named("fairing", hull(shell, rounded_square(0.6), bike.paint), pair(flank), belly),
        *named("screen", screen),
    ]


def _scooter_body(bike: Motorbike) -> list[Part]:
    """Leg shield, floor, and the body over the engine and the rear wheel."""
    yoke, b = _yoke(bike), bike.bulk
    foot = (0.27, yoke[2] + 0.02)
    wide = ((0.14, yoke[1] - 0.02, yoke[2] + 0.05), (b + 0.06, 0.62, yoke[2] - 0.02), (b + 0.04, foot[0], foot[1]))
    outline = [*wide, *[(-x, y, z) for x, y, z in wide[::-1]]]
    shield = loft([np.array(outline) + (0, 0, s) for s in (-0.035, 0.035)], bike.paint)
    floor = block((-b - 0.02, 0.22, foot[1] - 0.02), (b + 0.02, 0.29, -0.4), DARK, 0.2)
    apron = tube((yoke, yoke + 0.45 * (_front(bike) - yoke)), (0.1, 0.075), bike.paint)
    column = tube((yoke - (0.0, 0.02, 0.0), yoke + (0.0, bike.bar_rise + 0.02, 0.04)), (0.07, 0.06), bike.paint)
    hood = block(yoke + (-0.13, bike.bar_rise - 0.06, -0.06), yoke + (0.13, bike.bar_rise + 0.06, 0.1), bike.paint, 0.5)
    stations = ((-0.52, 0.5, 0.23, 0.6), (-0.44, 0.8, 0.22, 0.98), (-0.2, 1.0, 0.28, 1.0), (0.06, 0.95, 0.42, 1.0),
                (0.27, 0.5, 0.58, 0.98))  # fmt: skip
    rear = [(at, wide * b, low, tall * (bike.seat - 0.03)) for at, wide, low, tall in stations]
    arm = block((-0.12, bike.rear_radius - 0.05, -0.42), (-0.05, bike.rear_radius + 0.08, 0.04), STEEL, 0.3, "x")
    body = named("body", shield, apron, column, hood, hull(rear, superellipse(18, 0.6), bike.paint))
    return [*body, *named("floor", floor), *named("engine", arm)]


def _seat(bike: Motorbike) -> list[Part]:
    """Rider's and pillion's places, and the tail below."""
    y, start = bike.seat, _keypoints(bike)["front_seat"][2] - 0.2
    end, rise = start + bike.seat_length, bike.tail_rise
    stations = ((0.0, 0.5, 0.02), (0.08, 0.8, 0.0), (0.45, 1.0, 0.0), (0.6, 0.85, rise), (1.0, 0.5, rise + 0.02))
    wide = 0.15 if bike.kind != "sport" else 0.13
    rows = [(start + f * (end - start), w * wide, y + up - 0.045, y + up + 0.045) for f, w, up in stations]
    parts = named("seat", hull(rows, superellipse(16, 0.6), LEATHER))
    if bike.kind != "scooter":
        tail = [(0.0, y - 0.03, start + 0.3), (0.0, y - 0.04 + 0.9 * rise, end), (0.0, y - 0.01 + rise, end + 0.12)]
        parts += named("tail", tube(tail, (0.1, 0.085, 0.05), bike.paint, squash=0.6))
    guard = arc_strip(_rear(bike), bike.rear_radius + 0.03, (-0.9, 0.3), bike.tyre + 0.01, 0.008, DARK, steps=10)
    return [*parts, *named("guards", guard)]


def _lamps(bike: Motorbike) -> list[Part]:
    """Round headlight (two slits on a fairing), red lamp."""
    lamp = _keypoints(bike)["headlight_center"]
    dome = ((0.0, -0.02), (0.07, -0.01), (0.085, 0.02), (0.075, 0.08), (0.0, 0.11))
    if bike.kind == "sport":
        slit = block(lamp + (0.03, -0.03, -0.02), lamp + (0.11, 0.03, 0.12), WHITE_LAMP, 0.0)
        front = named("headlight", pair(slit))
    else:
        glass = cylinder("z", (lamp[2] - 0.025, lamp[2] + 0.02), 0.07, lamp[:2], WHITE_LAMP, sides=18)
        shell = revolve(dome, "z", DARK, centre=lamp, sides=18)
        front = [*named("headlight", glass), *named("lamp shell", shell)]
    y, end = bike.seat + bike.tail_rise, _keypoints(bike)["back_seat"][2] + 0.24
    red = block((-0.06, y - 0.08, end - 0.12), (0.06, y - 0.02, end), RED_LAMP, 0.0)
    return [*front, *named("taillight", red)]


def _exhaust(bike: Motorbike) -> list[Part]:
    """A pipe from the engine to a muffler on the right."""
    x, y, z = bike.bulk + 0.03, bike.rear_radius, -0.1
    if bike.kind == "scooter":
        pipe = [(0.09, y - 0.04, -0.4), (x, y - 0.05, -0.25)]
    else:
        first = _yoke(bike)[2] + 0.12
        bend = [(0.06, 0.52, first + 0.05), (0.1, 0.4, first - 0.06), (0.1, 0.18, first), (x, 0.2, -0.4)]
        pipe = [*bend, (x, y - 0.02, z - 0.1)]
    lift = 0.22 if bike.kind == "sport" else 0.06
    end = (x + 0.02, y + lift, z - 0.08 + bike.muffler)
    return named("exhaust", tube(pipe, 0.026, STEEL, sides=8), tube((pipe[-1], end), (0.045, 0.058), STEEL))


def _keypoints(bike: Motorbike) -> dict[str, np.ndarray]:
    yoke, end = _yoke(bike), _bar(bike)
    rider = -0.32 - 0.05 * (bike.kind != "scooter")
    before = {"naked": (0, -0.05, -0.12), "sport": (0, -0.06, -0.25), "scooter": (0, bike.bar_rise, -0.08)}
    lamp = yoke + before[bike.kind]
    points = {"headlight_center": lamp, "head_center": yoke, "front_seat": np.array([0.0, bike.seat + 0.045, rider])}
    back = rider - 0.2 + 0.8 * bike.seat_length
    points["back_seat"] = np.array([0.0, bike.seat + bike.tail_rise + 0.045, back])
    for side, sign in (("left", -1.0), ("right", 1.0)):
        points[f"{side}_handle_center"] = end * (sign, 1.0, 1.0)
        points[f"{side}_front_wheel"] = _front(bike) + (sign * 0.8 * bike.tyre, 0.0, 0.0)
        points[f"{side}_back_wheel"] = _rear(bike) + (sign * bike.tyre, 0.0, 0.0)
    return points
