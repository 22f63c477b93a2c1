"""A bicycle from a handful of lengths in metres: a diamond frame, a step-through frame, a mountain bike."""

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
    named,
    paint,
    pair,
    pick,
    ranges,
    superellipse,
    tube,
    turned,
    uniform,
)
from monoform.data.procedural.wheels import arc_strip, rim, tyre

KINDS = ("diamond", "step-through", "mountain")
RUBBER, STEEL, DARK, LEATHER = (30, 30, 32), (182, 186, 192), (48, 50, 54), (88, 58, 40)
PAINTS = ((176, 30, 34), (30, 84, 156), (40, 118, 82), (226, 228, 230), (232, 168, 40), (44, 46, 52), (108, 60, 124))


@dataclass(frozen=True)
class Bicycle:
    """Metres and radians; the bottom bracket (the cranks' axle) stands above the origin."""

    kind: str
    wheel_radius: float
    tyre: float
    """Radius of the tyre's section."""
    wheelbase: float
    chain_stay: float
    """From the bottom bracket to the rear axle."""
    bracket: float
    """Height of the bottom bracket."""
    seat_angle: float
    """Of the seat tube against the road."""
    head_angle: float
    seat_tube: float
    head_tube: float
    seat_post: float
    """How far the saddle stands above the seat tube."""
    bar_width: float
    bar_rise: float
    """Of the handlebar above the head tube."""
    pipe: float
    """Radius of the frame's tubes."""
    crank_angle: float
    paint: Colour
    saddle: Colour


COMMON = ranges(chain_stay=(0.415, 0.46), bracket=(0.265, 0.3), seat_angle=(1.24, 1.31), crank_angle=(0.0, np.pi))
RANGES = {
    "diamond": ranges(wheel_radius=(0.325, 0.345), tyre=(0.012, 0.019), wheelbase=(0.97, 1.06), head_angle=(1.23, 1.29),
                    seat_tube=(0.5, 0.6), head_tube=(0.11, 0.19), seat_post=(0.1, 0.22), bar_width=(0.4, 0.46),
                    bar_rise=(0.02, 0.06), pipe=(0.014, 0.019)),
    "step-through": ranges(wheel_radius=(0.315, 0.355), tyre=(0.016, 0.024), wheelbase=(1.04, 1.15), head_angle=(1.17, 1.24),
                         seat_tube=(0.4, 0.5), head_tube=(0.14, 0.22), seat_post=(0.1, 0.2), bar_width=(0.54, 0.64),
                         bar_rise=(0.08, 0.2), pipe=(0.016, 0.022)),
    "mountain": ranges(wheel_radius=(0.335, 0.37), tyre=(0.025, 0.034), wheelbase=(1.08, 1.22), head_angle=(1.13, 1.22),
                     seat_tube=(0.4, 0.47), head_tube=(0.1, 0.13), seat_post=(0.18, 0.32), bar_width=(0.66, 0.8),
                     bar_rise=(0.03, 0.07), pipe=(0.019, 0.026)),
}  # fmt: skip


def sample(rng: np.random.Generator, kind: str | None = None) -> Bicycle:
    """A bicycle of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.4, 0.3, 0.3))
    values = uniform(rng, COMMON | RANGES[kind])
    return Bicycle(kind=kind, paint=paint(rng, PAINTS), saddle=pick(rng, (DARK, LEATHER)), **values)


def build(bike: Bicycle) -> Shape:
    """The bicycle as a shape in the canonical frame."""
    at = _joints(bike)
    bar, hands = _handlebar(bike, at)
    parts = [*_frame(bike, at), *_wheel(bike, at["rear"]), *_wheel(bike, at["front"]), *bar]
    parts += [*_saddle(bike, at), *_drive(bike, at), *(_guards(bike, at) if bike.kind == "step-through" else [])]
    return finish(bike.kind, parts, _keypoints(bike, at) | hands)


def _joints(bike: Bicycle) -> dict[str, np.ndarray]:
    """Where the tubes of the frame meet, in the plane x = 0."""
    bracket = np.array([0.0, bike.bracket, 0.0])
    drop = bike.wheel_radius - bike.bracket
    rear = bracket + (0.0, drop, np.sqrt(bike.chain_stay**2 - drop**2))
    front = rear - (0.0, 0.0, bike.wheelbase)
    up_seat = np.array([0.0, np.sin(bike.seat_angle), np.cos(bike.seat_angle)])
    up_head = np.array([0.0, np.sin(bike.head_angle), np.cos(bike.head_angle)])
    # The fork is bent forwards: its axle lies 45 mm before the steering axis.
    room = bike.wheel_radius + bike.tyre + (0.09 if bike.kind == "mountain" else 0.03)
    crown = front + (0.0, 0.0, 0.045) + room * up_head
    top = crown + bike.head_tube * up_head
    seat = bracket + bike.seat_tube * up_seat
    joints = {"bracket": bracket, "rear": rear, "front": front, "crown": crown, "top": top, "seat": seat}
    joints["saddle"] = seat + bike.seat_post * up_seat
    return joints | {"clamp": top + bike.bar_rise * up_head - (0.0, 0.0, 0.09 if bike.kind != "step-through" else 0.03)}


def _frame(bike: Bicycle, at: dict[str, np.ndarray]) -> list[Part]:
    """Main tubes, stays and fork."""
    r, colour, axle = bike.pipe, bike.paint, np.array([0.055, 0.0, 0.0])
    low = {"diamond": 0.93, "mountain": 0.82, "step-through": 0.35}[bike.kind]
    joint = at["bracket"] + low * (at["seat"] - at["bracket"])
    head = at["top"] + (0.2 if bike.kind != "step-through" else 0.55) * (at["crown"] - at["top"])
    main = [
        tube((at["bracket"], at["seat"]), r, colour, sides=8),
        tube((joint, head), r * (0.95 if bike.kind != "step-through" else 1.2), colour, sides=8),
        tube((at["bracket"], at["top"] + 0.75 * (at["crown"] - at["top"])), 1.2 * r, colour, sides=8),
        tube((at["crown"], at["top"]), 1.25 * r, colour, sides=10),
        cylinder("x", (-0.035, 0.035), 1.4 * r, at["bracket"][1:], colour, sides=12),
    ]
    near = np.array([0.018, 0.0, 0.0])
    high = joint if bike.kind == "mountain" else at["seat"] - (0.0, 0.03, 0.0)
    stays = [
        tube((at["bracket"] + near, at["rear"] + axle), 0.55 * r, colour, sides=6),
        tube((high + near, at["rear"] + axle), 0.5 * r, colour, sides=6),
    ]
    shoulder = at["crown"] + (0.05, -0.01, 0.0)
    thick = 0.9 if bike.kind == "mountain" else 0.6
    bend = shoulder + 0.6 * (at["front"] + axle - shoulder) + (0.0, 0.0, 0.015)
    blade = tube((shoulder, bend, at["front"] + axle), (thick * r, thick * r, 0.5 * r), colour, sides=6)
    bridge = tube((at["crown"] + (-0.055, 0, 0), at["crown"] + (0.055, 0, 0)), 0.8 * r, colour, sides=6)
    return [*named("frame", *main, *map(pair, stays)), *named("fork", pair(blade), bridge)]


def _wheel(bike: Bicycle, centre: np.ndarray) -> list[Part]:
    r, wide = bike.wheel_radius, bike.tyre
    inner = r - 2.0 * wide
    spoke = tube((centre + (0.02, 0.015, 0.0), centre + (0.002, inner - 0.008, 0.03)), 0.0022, STEEL, sides=4)
    hub = cylinder("x", (-0.045, 0.045), 0.02, centre[1:], STEEL, sides=10)
    rubber = tyre(centre, r, wide, wide, RUBBER, sides=36)
    spokes = pair(turned(spoke, "x", centre, 10))
    metal = rim(centre, inner + 0.004, 0.8 * wide, 0.02, STEEL, sides=36)
    return [*named("tyres", rubber), *named("rims", metal, hub), *named("spokes", spokes)]


def _handlebar(bike: Bicycle, at: dict[str, np.ndarray]) -> tuple[list[Part], dict[str, np.ndarray]]:
    """Stem, bar and grips: dropped, swept back or straight; and where the hands are."""
    w, clamp = bike.bar_width / 2.0, at["clamp"]
    bends = {
        "diamond": ((0.85, 0, 0), (1, 0, -0.03), (1, -0.01, -0.1), (1, -0.06, -0.12), (1, -0.12, -0.07), (1, -0.13, 0.02)),
        "step-through": ((0.3, 0.01, -0.01), (0.65, 0.05, 0.0), (0.95, 0.06, 0.1), (1.0, 0.05, 0.22)),
        "mountain": ((0.3, 0.0, 0.0), (0.5, 0.02, 0.0), (1.0, 0.025, 0.04)),
    }[bike.kind]  # fmt: skip
    half = np.array([(w * x, y, z) for x, y, z in bends]) + clamp
    bar = tube(np.concatenate([half[::-1] * (-1.0, 1.0, 1.0), half]), 0.012, STEEL, sides=8)
    end = half[-1] - half[-2]
    grip = tube((half[-1] - min(0.12 / np.linalg.norm(end), 0.95) * end, half[-1] + 0.02 * end), 0.017, DARK, sides=8)
    stem = tube((at["top"] - (0.0, 0.02, 0.0), at["top"] + (0.0, 0.03, 0.0), clamp), 0.016, STEEL, sides=8)
    flip = np.array([-1.0, 1.0, 1.0])
    hands = {"right_handle": half[-1], "left_handle": half[-1] * flip}
    return named("handlebar", bar, stem) + named("grips", pair(grip)), hands


def _saddle(bike: Bicycle, at: dict[str, np.ndarray]) -> list[Part]:
    """A nose that widens to the rear, on its post."""
    wide = 0.1 if bike.kind == "step-through" else 0.075
    _, y, z = at["saddle"]
    stations = (
        (-0.15, 0.012, 0.008),
        (-0.13, 0.02, 0.015),
        (0, 0.035, 0.02),
        (0.08, wide, 0.026),
        (0.13, 0.9 * wide, 0.02),
    )
    rows = [(z + back, w, y + 0.03 - 1.4 * tall, y + 0.03 + 0.6 * tall) for back, w, tall in stations]
    foot = at["seat"] - 0.04 * (at["seat"] - at["bracket"])
    post = tube((foot, at["saddle"] + (0, 0.02, 0)), 0.8 * bike.pipe, STEEL, sides=8)
    return [*named("saddle", hull(rows, superellipse(12, 0.7), bike.saddle)), *named("seat post", post)]


def _pedal(bike: Bicycle, side: float) -> np.ndarray:
    """Middle of a pedal; the two stand opposite each other."""
    turn = bike.crank_angle + np.pi * (side < 0.0)
    return np.array([side * 0.13, bike.bracket + 0.17 * np.sin(turn), -0.17 * np.cos(turn)])


def _drive(bike: Bicycle, at: dict[str, np.ndarray]) -> list[Part]:
    """Chainring and chain on the right, cranks and pedals."""
    (_, y, z), rear, x = at["bracket"], at["rear"], 0.048
    big, small = (0.075 if bike.kind == "mountain" else 0.095), 0.042
    rings = [
        cylinder("x", (x - 0.004, x + 0.004), big, (y, z), STEEL, sides=24),
        cylinder("x", (x - 0.01, x + 0.006), small, rear[1:], DARK, sides=16),
    ]
    runs = [tube(((x, y + s * big, z), (x, rear[1] + s * small, rear[2])), 0.005, DARK, sides=4) for s in (-1.0, 1.0)]
    pedals, cranks = [], []
    for side in (-1.0, 1.0):
        middle = _pedal(bike, side)
        cranks.append(tube(((side * 0.03, y, z), (side * 0.075, y, z), middle * (0.6, 1, 1)), 0.011, STEEL, sides=6))
        pedals.append(block(middle - (0.045, 0.01, 0.035), middle + (0.045, 0.01, 0.035), DARK, 0.0))
    return [*named("chain", *rings, *runs), *named("cranks", *cranks), *named("pedals", *pedals)]


def _guards(bike: Bicycle, at: dict[str, np.ndarray]) -> list[Part]:
    """Mudguards and a carrier."""
    r = bike.wheel_radius + bike.tyre + 0.012
    guards = [
        arc_strip(at["front"], r, (-0.6, 1.6), 0.028, 0.004, bike.paint, steps=12),
        arc_strip(at["rear"], r, (-1.3, 1.4), 0.028, 0.004, bike.paint, steps=14),
    ]
    top, (_, y, z) = at["rear"][1] + r + 0.03, at["rear"]
    deck = block((-0.06, top, z - 0.16), (0.06, top + 0.012, z + 0.2), DARK, 0.0)
    leg = tube(((0.05, top, z + 0.05), (0.075, y, z)), 0.006, DARK, sides=6)
    return [*named("guards", *guards), *named("carrier", deck, pair(leg))]


def _keypoints(bike: Bicycle, at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    points = {"head_center": at["top"]}
    for side, x in (("left", -0.05), ("right", 0.05)):
        points[f"{side}_front_wheel"] = at["front"] + (x, 0.0, 0.0)
        points[f"{side}_back_wheel"] = at["rear"] + (x, 0.0, 0.0)
        points[f"{side}_pedal_center"] = _pedal(bike, np.sign(x))
    points["seat_front"], points["seat_back"] = at["saddle"] + (0, 0.03, -0.15), at["saddle"] + (0, 0.03, 0.13)
    return points
