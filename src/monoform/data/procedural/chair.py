"""Chairs from a few lengths in metres: a seat, something under it and mostly a back, from stools to office chairs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monoform.data.procedural.furniture import FABRICS, WOODS, leaned, pad, shaded, sided, tinted
from monoform.data.procedural.parts import (
    NOWHERE,
    Colour,
    Part,
    Shape,
    block,
    finish,
    loft,
    named,
    pair,
    pick,
    place,
    repeated,
    revolve,
    superellipse,
    tube,
    turned,
    uniform,
)
from monoform.data.procedural.table import METALS
from monoform.meshes import Mesh

KINDS = ("four-leg", "slat", "arm", "swivel", "stool", "bench")
WEIGHTS = (0.33, 0.3, 0.13, 0.18, 0.03, 0.03)
"""How common the kinds are: nearly every chair has a back to lean on."""
RANGES = {
    "width": (0.4, 0.5),
    "depth": (0.4, 0.48),
    "seat_height": (0.42, 0.48),
    "board": (0.02, 0.045),
    "roundness": (0.12, 0.4),
    "taper": (0.0, 0.2),
    "back_height": (0.36, 0.58),
    "back_from": (0.15, 0.6),
    "crown": (0.1, 0.6),
    "lean": (0.08, 0.24),
    "bow": (0.0, 0.045),
    "leg": (0.014, 0.026),
    "leg_taper": (0.5, 1.0),
    "splay": (0.0, 0.06),
    "rung": (0.3, 0.6),
    "arm_height": (0.18, 0.25),
}


@dataclass(frozen=True)
class Chair:
    """Metres; the back's heights are above the seat."""

    kind: str
    width: float
    depth: float
    seat_height: float
    board: float
    """Thickness of the seat's board."""
    pad: float
    """Thickness of the cushion on it; 0 is none."""
    roundness: float
    """Of the seat's outline: 0 is a square, 1 a circle."""
    taper: float
    """The part of its width that the seat loses towards the rear."""
    back_height: float
    back_from: float
    """Where the back's panel begins, as a fraction of the back's height."""
    crown: float
    """The part of its width that the back's panel loses at its top."""
    lean: float
    """How far the back's top lies behind its foot, per metre of height."""
    bow: float
    """How far the back's middle lies behind its sides."""
    posts: bool
    """Whether the back hangs between two posts, or else stands on the seat."""
    slats: int
    """Of the back; 0 is a panel."""
    across: bool
    """Whether the slats lie, or else stand."""
    hoop: bool
    """Whether one bent rod is both posts and the top."""
    leg: float
    """Radius."""
    leg_taper: float
    """The foot's radius as a fraction of the leg's."""
    square: bool
    """Whether legs are square or else round."""
    legs: int
    """One leg is a pedestal, or with casters a star."""
    splay: float
    rung: float
    """Height of the rungs as a fraction of the seat's; 0 is none."""
    arm_height: float
    """0 is no arms."""
    wood: Colour
    fabric: Colour


def sample(rng: np.random.Generator, kind: str | None = None) -> Chair:
    """A chair drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS, WEIGHTS)
    metal, soft = bool(rng.random() < 0.2), bool(rng.random() < 0.6)
    wood, fabric = tinted(rng, METALS if metal or kind == "swivel" else WOODS), tinted(rng, FABRICS)
    chair = Chair(
        kind=kind,
        pad=rng.uniform(0.02, 0.06) if soft else 0.0,
        posts=bool(rng.random() < 0.6),
        slats=0,
        across=bool(rng.random() < 0.4),
        hoop=False,
        square=bool(rng.random() < 0.5),
        legs=4,
        wood=wood,
        fabric=fabric if soft or rng.random() < 0.3 else shaded(rng, wood),
        **uniform(rng, RANGES),
    )
    return _of_kind(rng, chair)


def _of_kind(rng: np.random.Generator, chair: Chair) -> Chair:
    """A four-legged chair turned into one of its kind."""
    slats = int(rng.integers(2, 4)) if chair.across else int(rng.integers(3, 8))
    rung = chair.rung if rng.random() < 0.5 else 0.0
    match chair.kind:
        case "four-leg":
            return replace(chair, arm_height=0.0, rung=rung, crown=chair.crown * (0.2 if chair.posts else 1.0))
        case "slat":
            hoop = not chair.across and rng.random() < 0.35
            square = not hoop and (chair.square or chair.across)
            return replace(chair, posts=not hoop, hoop=hoop, slats=slats, crown=0.0, arm_height=0.0, square=square)
        case "arm":
            slats = slats if rng.random() < 0.4 else 0
            return replace(chair, posts=True, slats=slats, crown=0.05, rung=rung, width=chair.width + 0.08, taper=0.0)
        case "swivel":
            sizes = uniform(rng, {"pad": (0.05, 0.1), "back_from": (0.05, 0.3), "width": (0.45, 0.54)})
            arms = chair.arm_height if rng.random() < 0.65 else 0.0
            return replace(chair, **sizes, posts=False, legs=1, rung=0.0, taper=0.0, arm_height=arms)
        case "stool":
            sizes = uniform(rng, {"width": (0.3, 0.42), "seat_height": (0.42, 0.8), "splay": (0.02, 0.1)})
            round_ = rng.random() < 0.65
            legs = pick(rng, (1, 3, 4)) if round_ else 4
            shape = replace(chair, **sizes, taper=0.0, legs=legs, arm_height=0.0, back_height=0.0)
            return replace(shape, depth=shape.width, roundness=1.0 if round_ else chair.roundness)
        case _:
            sizes = uniform(rng, {"width": (1.1, 1.7), "splay": (0.0, 0.03), "leg": (0.022, 0.036)})
            back = chair.back_height if rng.random() < 0.7 else 0.0
            arms = chair.arm_height if back and rng.random() < 0.6 else 0.0
            slats = slats if chair.across else 4 * slats
            plain = replace(chair, roundness=0.08, taper=0.0, pad=0.0, crown=0.0, bow=0.0, posts=True, slats=slats)
            return replace(plain, **sizes, back_height=back, arm_height=arms, fabric=shaded(rng, chair.wood))


def build(chair: Chair) -> Shape:
    """The chair in the canonical frame: one sits looking along -z."""
    if chair.kind == "swivel":
        under = _star(chair)
    else:
        under = _pedestal(chair) if chair.legs == 1 else _legs(chair)
    parts = [*_seat(chair), *under]
    if chair.back_height > 0.0:
        parts += _back(chair)
    if chair.arm_height > 0.0:
        parts += _arms(chair)
    return finish(chair.kind, parts, _keypoints(chair))


def _corner(chair: Chair, z_side: float, inset: float = 0.02) -> tuple[float, float]:
    """x and z of a place `inset` within the seat's corner at +x: in front (-1) or behind (+1)."""
    # Where the seat's outline crosses the diagonal.
    corner = 2.0 ** (-chair.roundness / 2.0)
    half = corner * chair.width / 2.0 * (1.0 - chair.taper * (z_side > 0))
    return half - inset, z_side * (corner * chair.depth / 2.0 - inset)


def _seat(chair: Chair) -> list[Part]:
    outline = superellipse(28, chair.roundness)
    outline = outline * np.stack([1.0 - chair.taper * (1.0 + outline[:, 1]) / 2.0, np.ones(28)], 1)
    half, top = np.array([chair.width, chair.depth]) / 2.0, chair.seat_height

    def solid(heights: Sequence[float], sizes: Sequence[float], colour: Colour) -> Mesh:
        return loft([place(outline, "y", y, scale=half * s, centre=(0, 0)) for y, s in zip(heights, sizes)], colour)

    board = chair.wood if chair.pad > 0.0 else chair.fabric
    parts = named("seat", solid((top - chair.board, top - 0.3 * chair.board, top), (0.97, 1.0, 0.98), board))
    if chair.pad > 0.0:
        heights = top - 0.002 + chair.pad * np.array((0.0, 0.25, 0.7, 0.93, 1.0))
        parts += named("seat", solid(heights.tolist(), (0.95, 0.985, 0.975, 0.92, 0.8), chair.fabric))
    return parts


def _bar(start: Sequence[float], end: Sequence[float], radii: Sequence[float], chair: Chair) -> Mesh:
    """A leg or post between two points at different heights, its ends level."""
    outline = superellipse(12, 0.12 if chair.square else 1.0)
    ends = [place(outline, "y", p[1], scale=(r, r), centre=(p[0], p[2])) for p, r in zip((start, end), radii)]
    return loft(ends, chair.wood)


def _legs(chair: Chair) -> list[Part]:
    top, foot = chair.seat_height - 0.5 * chair.board, chair.leg * chair.leg_taper
    if chair.legs == 3:
        reach = chair.width / 2.0 - 0.05
        leg = _bar((0.0, 0.0, reach + chair.splay), (0.0, top, reach), (foot, chair.leg), chair)
        parts = named("leg", turned(leg, "y", (0, 0, 0), 3))
    else:
        corners = [_corner(chair, side) for side in (-1.0, 1.0)]
        feet = [(x + chair.splay, 0.0, z + np.sign(z) * chair.splay) for x, z in corners]
        heads = [(x, top, z) for x, z in corners]
        parts = named("leg", *(pair(_bar(a, b, (foot, chair.leg), chair)) for a, b in zip(feet, heads)))
    return [*parts, *(_rungs(chair) if chair.rung > 0.0 else [])]


def _rungs(chair: Chair) -> list[Part]:
    """A ring between three legs; else one rung on each side and one across behind."""
    height, out = chair.rung * chair.seat_height, chair.splay * (1.0 - chair.rung)
    if chair.legs == 3:
        radius = chair.width / 2.0 - 0.05 + out
        section = (
            (radius - 0.009, height),
            (radius, height - 0.009),
            (radius + 0.009, height),
            (radius, height + 0.009),
        )
        return named("leg", revolve(section, "y", chair.wood, sides=30, closed=True))
    (front_x, front_z), (rear_x, rear_z) = _corner(chair, -1.0), _corner(chair, 1.0)
    side = tube(
        [(front_x + out, height, front_z - out), (rear_x + out, height, rear_z + out)], 0.6 * chair.leg, chair.wood
    )
    x, z = rear_x + out, rear_z + out
    behind = tube([(-x, height + 0.04, z), (x, height + 0.04, z)], 0.6 * chair.leg, chair.wood)
    return named("leg", pair(side), behind)


def _pedestal(chair: Chair) -> list[Part]:
    """A disc, a column and, on a bar stool, a ring for the feet."""
    reach, top = 0.42 * chair.width + 0.05, chair.seat_height - 0.01
    profile = ((reach, 0.0), (reach, 0.012), (0.3 * reach, 0.03), (chair.leg, 0.06), (chair.leg, top))
    column = revolve(profile, "y", chair.wood)
    if chair.seat_height < 0.6:
        return named("base", column)
    radius, y = 0.8 * reach, 0.36 * chair.seat_height
    ring = ((radius - 0.01, y), (radius, y - 0.01), (radius + 0.01, y), (radius, y + 0.01))
    spoke = tube([(-radius, y, 0.0), (radius, y, 0.0)], 0.009, chair.wood, sides=8)
    return named("base", column, revolve(ring, "y", chair.wood, closed=True), spoke)


def _star(chair: Chair) -> list[Part]:
    """Five feet on casters, a column and the plate under the seat."""
    reach, under = 0.26 + 0.5 * chair.splay, chair.seat_height - chair.board
    section = superellipse(8, 0.4)
    spots = ((0.02, 0.13, 0.03, 0.022), (0.6 * reach, 0.1, 0.024, 0.016), (reach, 0.075, 0.02, 0.013))
    foot = [place(section, "z", z, scale=(w, h), centre=(0.0, y)) for z, y, w, h in spots]
    caster = block((-0.022, 0.0, reach - 0.03), (0.022, 0.055, reach + 0.026), (40, 40, 42), 1.0, axis="x")
    column = (
        (0.04, 0.09),
        (0.04, 0.16),
        (0.025, 0.17),
        (0.025, under - 0.03),
        (0.09, under - 0.02),
        (0.1, under + 0.005),
    )
    feet = [turned(mesh, "y", (0, 0, 0), 5) for mesh in (loft(foot, chair.wood), caster)]
    return named("base", *feet, revolve(column, "y", chair.wood, sides=20))


def _panel(chair: Chair, half: float, low: float, high: float, thickness: float, colour: Colour) -> Mesh:
    """A bowed board across the back between two heights above the seat; towards the back's top it narrows."""
    outline = superellipse(20, 0.25)
    bowed = chair.bow * (1.0 - outline[:, :1] ** 2) * (0.0, 0.0, 1.0)
    rear, rings = _corner(chair, 1.0)[1], []
    for step, thin in (
        (0.0, 0.6),
        (0.04, 1.0),
        (0.5, 1.0),
        (0.75, 1.0),
        (0.87, 1.0),
        (0.95, 0.95),
        (0.99, 0.85),
        (1.0, 0.6),
    ):
        y = low + step * (high - low)
        # A quarter ellipse over the last third.
        narrow = 1.0 - chair.crown * (1.0 - np.sqrt(1.0 - np.clip(3.0 * y / chair.back_height - 2.0, 0.0, 1.0) ** 2))
        scale = (half * narrow, thin * thickness / 2.0)
        rings.append(place(outline, "y", chair.seat_height + y, scale=scale, centre=(0.0, rear)) + bowed)
    return loft(rings, colour)


def _back(chair: Chair) -> list[Part]:
    """A panel, or slats between rails, mostly hung between two posts; all of it leans backwards."""
    (x, rear), seat, top = _corner(chair, 1.0), chair.seat_height, chair.back_height
    low = 0.0 if chair.legs == 4 and not chair.posts else chair.back_from * top
    meshes = []
    if chair.posts:
        heights = (seat - 0.5 * chair.board, seat + top * (1.0 if chair.slats else 0.96))
        post = _bar((x, heights[0], rear), (x, heights[1], rear), (chair.leg, 0.75 * chair.leg), chair)
        meshes.append(pair(post))
    if chair.hoop:
        meshes += _hoop(chair, x, rear)
    elif chair.slats == 0:
        thick = 0.03 if chair.posts else 0.03 + 0.5 * chair.pad
        meshes.append(_panel(chair, x + (0.0 if chair.posts else 0.025), low, top, thick, chair.fabric))
        if chair.kind == "swivel":
            meshes.append(
                tube(
                    [(0, seat - 0.04, 0), (0, seat - 0.045, rear + 0.06), (0, seat + 0.55 * top, rear + 0.03)],
                    0.022,
                    chair.wood,
                )
            )
    elif chair.across:
        pitch = (top - low) / chair.slats
        for i in range(chair.slats):
            meshes.append(_panel(chair, x, low + (i + 0.25) * pitch, low + (i + 1) * pitch, 0.02, chair.wood))
    else:
        meshes += [_panel(chair, x, a * top, b * top, 0.024, chair.wood) for a, b in ((0.08, 0.16), (0.82, 1.0))]
        at = np.linspace(-x, x, chair.slats + 2)[1:-1]
        offsets = np.stack([at, 0.0 * at, rear + chair.bow * (1.0 - (at / x) ** 2)], 1)
        width = min(0.02, 0.3 * (at[1] - at[0]))
        slat = block((-width, seat + 0.12 * top, -0.007), (width, seat + 0.9 * top, 0.007), chair.wood)
        meshes.append(repeated(slat, offsets))
    return named("back", *(leaned(mesh, seat, chair.lean) for mesh in meshes))


def _hoop(chair: Chair, x: float, rear: float) -> list[Mesh]:
    """A rod bent to an arch over slats."""
    low, seat, top = 0.5 * chair.board, chair.seat_height, chair.back_height

    def spot(angle: float) -> tuple[float, float, float]:
        u = np.cos(angle)
        return x * u, seat + top * (0.5 + 0.5 * np.sin(angle)), rear + chair.bow * (1.0 - u * u)

    arch = [spot(angle) for angle in np.linspace(0.0, np.pi, 13)]
    meshes = [tube([(x, seat - low, rear), *arch, (-x, seat - low, rear)], 0.9 * chair.leg, chair.wood, sides=8)]
    for u in np.linspace(-1.0, 1.0, chair.slats + 2)[1:-1]:
        head, z = spot(float(np.arccos(u))), rear + 0.5 * chair.bow * (1.0 - u * u)
        foot = (0.85 * head[0], seat - low, z)
        meshes.append(tube([foot, head], 0.007, chair.wood, sides=8))
    return meshes


def _arms(chair: Chair) -> list[Part]:
    (x, front), (_, rear), seat = _corner(chair, -1.0), _corner(chair, 1.0), chair.seat_height
    height, back = seat + chair.arm_height, rear + chair.lean * chair.arm_height
    if chair.kind == "swivel":
        out, under = x + 0.07, seat - chair.board
        path = [(0.5 * x, under, 0.0), (out, under, 0.0), (out + 0.01, height, 0.03)]
        rest = pad(
            (out - 0.03, height - 0.005, -0.13), (out + 0.04, height + 0.03, 0.15), METALS[2], 0.015, corner=0.03
        )
        return named("arm", pair(tube(path, 0.018, chair.wood)), pair(rest))
    post = _bar(
        (x, seat - 0.5 * chair.board, front + 0.06), (x, height, front + 0.05), (chair.leg, 0.8 * chair.leg), chair
    )
    low, high = (x - 0.028, height - 0.002, front), (x + 0.028, height + 0.026, back + 0.004)
    return named("arm", pair(post), pair(pad(low, high, chair.wood, 0.01, corner=0.024)))


def _crest(chair: Chair) -> tuple[float, float, float]:
    """The back's upper corner; where it is round, the middle of the round."""
    (x, rear), top, cut = _corner(chair, 1.0), chair.back_height, 1.0 - np.sqrt(0.5)
    if chair.hoop:
        x, top = (1.0 - cut) * x, (1.0 - 0.5 * cut) * top
    elif not chair.posts:
        x, top = (x + 0.025) * (1.0 - chair.crown * cut), (1.0 - cut / 3.0) * top
    return x, chair.seat_height + top, rear + chair.lean * top


def _keypoints(chair: Chair) -> dict[str, Sequence[float]]:
    """PASCAL3D+'s: of seat and legs, 'upper' are the rear ones and 'lower' the front ones."""
    (front_x, front), (rear_x, rear) = _corner(chair, -1.0), _corner(chair, 1.0)
    seat = chair.seat_height + chair.pad
    legs = chair.legs == 4
    return sided(
        {
            "back_upper_{}": _crest(chair) if chair.back_height > 0.0 else NOWHERE,
            "seat_upper_{}": (rear_x + 0.02, seat, rear + 0.02),
            "seat_lower_{}": (front_x + 0.02, seat, front - 0.02),
            "leg_upper_{}": (rear_x + chair.splay, 0.0, rear + chair.splay) if legs else NOWHERE,
            "leg_lower_{}": (front_x + chair.splay, 0.0, front - chair.splay) if legs else NOWHERE,
        }
    )
