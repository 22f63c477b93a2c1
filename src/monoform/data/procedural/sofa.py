"""Sofas and armchairs from a few lengths in metres: how many seats, how thick and how round the stuffing is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.furniture import FABRICS, WOODS, leaned, pad, sided, tinted
from monoform.data.procedural.parts import Colour, Part, Shape, finish, mirrored, named, pair, pick, rod, uniform
from monoform.meshes import Mesh

KINDS = ("two-seat", "three-seat", "corner", "armchair")
GAP = 0.004
"""Between neighbouring cushions, so that each stays a solid of its own."""
RANGES = {
    "seat_width": (0.55, 0.72),
    "depth": (0.8, 0.98),
    "feet": (0.04, 0.18),
    "seat_height": (0.38, 0.46),
    "back_height": (0.72, 0.98),
    "back": (0.12, 0.22),
    "lean": (0.02, 0.2),
    "arm_width": (0.09, 0.26),
    "arm_height": (0.52, 0.68),
    "softness": (0.02, 0.075),
    "stuffing": (0.1, 0.18),
    "extension": (0.55, 0.95),
}


@dataclass(frozen=True)
class Sofa:
    """Metres; heights are above the floor."""

    kind: str
    seats: int
    seat_width: float
    """Of one seat."""
    depth: float
    feet: float
    seat_height: float
    back_height: float
    back: float
    """Thickness of the back's frame."""
    lean: float
    """How far the back's top lies behind its foot, per metre of height."""
    arm_width: float
    arm_height: float
    rolled: bool
    """Whether a roll of stuffing lies on each arm."""
    softness: float
    """Radius of the cushions' edges."""
    stuffing: float
    """Thickness of the loose cushions before the back; 0 is none."""
    extension: float
    """How far a corner sofa's end reaches forward."""
    side: float
    """The sign of the x of that end."""
    walled: bool
    """Whether the back goes on along that end."""
    fabric: Colour
    accent: Colour
    """Of the loose cushions."""
    wood: Colour


def sample(rng: np.random.Generator, kind: str | None = None) -> Sofa:
    """A sofa drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS)
    seats = {"two-seat": 2, "three-seat": 3, "corner": pick(rng, (2, 3)), "armchair": 1}[kind]
    fabric, accent, values = tinted(rng, FABRICS), tinted(rng, FABRICS), uniform(rng, RANGES)
    values["stuffing"] *= rng.random() < 0.7
    return Sofa(
        kind=kind,
        seats=seats,
        walled=kind == "corner" and bool(rng.random() < 0.5),
        rolled=bool(rng.random() < 0.3),
        side=pick(rng, (-1.0, 1.0)),
        fabric=fabric,
        accent=accent if rng.random() < 0.35 else fabric,
        wood=tinted(rng, WOODS),
        **values,
    )


def build(sofa: Sofa) -> Shape:
    """The sofa in the canonical frame: one sits looking along -z."""
    return finish(sofa.kind, [*_frame(sofa), *_cushions(sofa), *_arms(sofa), *_feet(sofa)], _keypoints(sofa))


def _half(sofa: Sofa) -> float:
    """Half the width between the arms."""
    return sofa.seats * sofa.seat_width / 2.0


def _cushion_heights(sofa: Sofa) -> tuple[float, float]:
    return sofa.seat_height - min(0.16, 0.5 * (sofa.seat_height - sofa.feet)), sofa.seat_height


def _frame(sofa: Sofa) -> list[Part]:
    """The box under the cushions and the back; a corner sofa's box reaches forward at one end."""
    edge, rear, low = _half(sofa) + 0.02, sofa.depth / 2.0, _cushion_heights(sofa)[0]
    soft, fabric = min(sofa.softness, 0.03), sofa.fabric
    base = [pad((-edge, sofa.feet, -rear + 0.02), (edge, low - GAP, rear - 0.02), fabric, soft)]
    if sofa.kind == "corner":
        near, far = sorted((sofa.side * (edge - 0.02), sofa.side * (edge - 0.02 - sofa.seat_width)))
        front = -rear - sofa.extension + 0.02
        base.append(pad((near, sofa.feet, front), (far, low - 1.5 * GAP, -rear + 0.1), fabric, soft))
    back = pad((-edge, sofa.feet + 0.02, rear - sofa.back), (edge, sofa.back_height, rear), fabric, sofa.softness)
    return [*named("base", *base), *named("back", leaned(back, sofa.feet, sofa.lean))]


def _cushions(sofa: Sofa) -> list[Part]:
    """Seat cushions, and loose ones that stand on them before the back."""
    half, front, (low, top) = _half(sofa), -sofa.depth / 2.0, _cushion_heights(sofa)
    wall, crest = sofa.depth / 2.0 - sofa.back, sofa.back_height - 0.02
    seats, loose = [], []
    for i in range(sofa.seats):
        left, right = -half + i * sofa.seat_width + GAP, -half + (i + 1) * sofa.seat_width - GAP
        long = sofa.kind == "corner" and i == (sofa.seats - 1 if sofa.side > 0 else 0)
        seats.append(
            pad((left, low, front - sofa.extension * long), (right, top, wall + 0.02), sofa.fabric, sofa.softness)
        )
        if sofa.stuffing > 0.0:
            low_xyz, high_xyz = (left, top + GAP, wall - sofa.stuffing), (right, crest, wall - GAP)
            loose.append(leaned(pad(low_xyz, high_xyz, sofa.accent, 1.4 * sofa.softness), sofa.feet, sofa.lean))
    return [*named("seat", *seats), *named("back", *loose)]


def _arms(sofa: Sofa) -> list[Part]:
    half, rear = _half(sofa), sofa.depth / 2.0
    inner, outer, top = half + GAP, half + sofa.arm_width, sofa.arm_height - 0.05 * sofa.rolled
    arm = pad((inner, sofa.feet, -rear), (outer, top, rear + 0.01), sofa.fabric, sofa.softness)
    if sofa.walled:
        low, high = (inner, sofa.feet, -rear - sofa.extension), (outer, sofa.back_height - 0.01, rear + 0.01)
        wall = pad(low, high, sofa.fabric, sofa.softness)
        return named("arm", *mirrored(arm)[sofa.side > 0 :][:1], *mirrored(wall)[sofa.side < 0 :][:1])
    arms = [pair(arm)]
    if sofa.rolled:
        low, high = (inner - 0.02, top - 0.06, -rear - 0.015), (outer + 0.05, top + 0.08, rear)
        arms.append(pair(pad(low, high, sofa.fabric, 0.02, corner=0.09, axis="z")))
    return named("arm", *arms)


def _feet(sofa: Sofa) -> list[Part]:
    half, rear = _half(sofa) + sofa.arm_width - 0.07, sofa.depth / 2.0 - 0.07

    def foot(x: float, z: float) -> Mesh:
        return rod((x, 0.0, z), (x, sofa.feet + 0.03, z), (0.02, 0.032), sofa.wood)

    feet = [pair(foot(half, z)) for z in (-rear, rear)]
    if sofa.kind == "corner":
        ends = _half(sofa) - 0.08, _half(sofa) - sofa.seat_width + 0.08
        feet += [foot(sofa.side * x, -rear - sofa.extension) for x in ends]
    return named("leg", *feet)


def _keypoints(sofa: Sofa) -> dict[str, Sequence[float]]:
    """PASCAL3D+'s: of the seat, 'bottom' is its front edge and 'top' where it meets the back."""
    inner, outer, rear = _half(sofa), _half(sofa) + sofa.arm_width, sofa.depth / 2.0
    spots = {
        "front_bottom_{}": (outer, 0.0, -rear),
        "seat_bottom_{}": (inner, sofa.seat_height, -rear),
        "seat_top_{}": (inner, sofa.seat_height, rear - sofa.back - sofa.stuffing),
        "{}_bottom_back": (outer, 0.0, rear),
        "top_{}_corner": (inner, sofa.back_height, rear + sofa.lean * (sofa.back_height - sofa.feet)),
    }
    return sided(spots)
