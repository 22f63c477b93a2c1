"""A boat from a handful of lengths in metres: sailing boats, motorboats, rowing boats and cargo ships."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import (
    NOWHERE,
    Colour,
    Part,
    Shape,
    block,
    cylinder,
    finish,
    loft,
    named,
    pair,
    pick,
    place,
    plate,
    repeated,
    revolve,
    rounded_square,
    superellipse,
    tube,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("sailing boat", "motorboat", "rowing boat", "cargo ship")
GLASS, METAL, DARK, WHITE = (34, 42, 54), (176, 180, 186), (40, 42, 46), (236, 236, 232)
DECKS = {"sailing boat": (206, 178, 134), "motorboat": (226, 220, 204), "cargo ship": (122, 62, 50)}
PAINTS = {
    "sailing boat": (WHITE, (28, 48, 92), (120, 28, 34), (40, 84, 70)),
    "motorboat": (WHITE, (214, 218, 222), (24, 44, 86), (188, 36, 38)),
    "rowing boat": ((150, 98, 54), (178, 128, 76), (216, 220, 214), (46, 94, 130), (62, 110, 78)),
    "cargo ship": ((34, 52, 84), (46, 48, 54), (24, 88, 96), (128, 44, 40)),
}
TRIMS = ((188, 36, 38), (28, 66, 132), (232, 170, 48), (30, 110, 84), (64, 66, 72))
SAILS = (WHITE, (224, 216, 196), (168, 84, 54))
CONTAINERS = ((176, 62, 44), (44, 86, 140), (62, 120, 84), (206, 150, 56), (150, 154, 160), (112, 58, 92))
FORMS = {
    "sailing boat": (2.0, 0.85, 0.9),
    "motorboat": (1.5, 0.8, 0.1),
    "rowing boat": (2.3, 0.6, 0.45),
    "cargo ship": (7.0, 0.0, 0.35),
}
"""How boxy a cross-section is (1: a V, 2: an ellipse), and how far the keel rises in front and behind, in draughts."""
STATIONS = (0.0, 0.02, 0.05, 0.09, 0.14, 0.2, 0.27, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.93, 1.0)


@dataclass(frozen=True)
class Boat:
    """Metres; fractions are of the length, counted from the bow. The waterline is at height 0."""

    kind: str
    length: float
    beam: float
    freeboard: float
    """Height of the deck amidships."""
    draught: float
    """Depth of the hull, without a sailing boat's fin."""
    entry: float
    """Fraction at which the hull has its full width."""
    transom: float
    """Width of the stern as a fraction of the beam."""
    sheer: float
    """Rise of the deck towards the bow, in freeboards."""
    rake: float
    """How far the stem's foot lies behind its head."""
    cabin: float
    """Length of the cabin or of a ship's bridge, fraction."""
    tall: float
    """Height above the deck of the mast, of a deck's cabin or of a ship's bridge; how far the oars reach out."""
    rows: int
    """Thwarts of a rowing boat, layers of a ship's containers, decks of a motorboat's cabin."""
    sail: Colour
    paint: Colour
    trim: Colour


RANGES = {
    "length": ((6.5, 13.0), (5.0, 12.0), (3.0, 5.0), (90.0, 190.0)),
    "beam": ((0.29, 0.36), (0.3, 0.38), (0.3, 0.38), (0.14, 0.18)),
    "freeboard": ((0.085, 0.12), (0.1, 0.14), (0.08, 0.11), (0.045, 0.065)),
    "draught": ((0.05, 0.07), (0.05, 0.07), (0.035, 0.05), (0.03, 0.045)),
    "entry": ((0.5, 0.65), (0.42, 0.6), (0.5, 0.65), (0.12, 0.2)),
    "transom": ((0.5, 0.8), (0.85, 0.98), (0.45, 0.75), (0.75, 0.95)),
    "sheer": ((0.15, 0.45), (0.2, 0.6), (0.25, 0.6), (0.3, 0.6)),
    "rake": ((0.03, 0.14), (0.1, 0.2), (0.03, 0.1), (0.02, 0.05)),
    "cabin": ((0.26, 0.36), (0.28, 0.42), (0.1, 0.2), (0.09, 0.13)),
    "tall": ((1.15, 1.45), (0.1, 0.14), (0.3, 0.45), (0.13, 0.19)),
}
"""For each parameter one range a kind, in the order of `KINDS`; lengths but the first are in boat lengths."""
IN_LENGTHS = ("beam", "freeboard", "draught", "rake", "tall")


def sample(rng: np.random.Generator, kind: str | None = None) -> Boat:
    """A boat of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.35, 0.3, 0.15, 0.2))
    values = uniform(rng, {name: ranges[KINDS.index(kind)] for name, ranges in RANGES.items()})
    values |= {name: values[name] * values["length"] for name in IN_LENGTHS}
    rows = pick(rng, {"motorboat": (0, 1, 1, 2), "rowing boat": (2, 3), "cargo ship": (0, 2, 3, 4)}.get(kind, (1,)))
    colours = {"sail": pick(rng, SAILS), "paint": pick(rng, PAINTS[kind]), "trim": pick(rng, TRIMS)}
    return Boat(kind=kind, rows=rows, **values, **colours)


def build(boat: Boat) -> Shape:
    """The boat as a shape in the canonical frame."""
    if boat.kind == "rowing boat":
        parts = _rowing(boat)
    else:
        own = {"sailing boat": _sailing, "motorboat": _motor, "cargo ship": _cargo}[boat.kind]
        parts = [*_decked_hull(boat), *own(boat)]
    return finish(boat.kind, parts, _keypoints(boat))


def _z(boat: Boat, fraction: float) -> float:
    return (fraction - 0.5) * boat.length


def _plan(boat: Boat, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the width and the height of the deck at fractions."""
    bow, aft = 1.0 - np.maximum(0.0, 1.0 - f / boat.entry) ** 2, np.maximum(0.0, (f - 0.6) / 0.4)
    half = boat.beam / 2.0 * np.maximum(0.03, bow) * (1.0 - (1.0 - boat.transom) * aft**2)
    return half, boat.freeboard * (1.0 + boat.sheer * ((1.0 - f) ** 2 + 0.25 * f**4))


def _half(boat: Boat, f: float) -> float:
    return float(_plan(boat, np.array(f))[0])


def _deck(boat: Boat, f: float) -> float:
    return float(_plan(boat, np.array(f))[1])


def _skin(boat: Boat, fractions: Sequence[float] | np.ndarray, top: float = np.inf) -> np.ndarray:
    """(k, 21, 3) cross-sections of the hull from right to left under the keel, as far up as `top`."""
    power, bow, stern = FORMS[boat.kind]
    f = np.asarray(fractions)[:, None]
    fore, aft = np.maximum(0.0, 1.0 - f / boat.entry), np.maximum(0.0, (f - 0.6) / 0.4)
    half, deck = _plan(boat, f)
    depth = deck + boat.draught * (1.0 - bow * fore**2 - stern * aft**2)
    start = np.arcsin((np.maximum(0.0, deck - top) / depth) ** (power / 2.0))
    angle = start + (np.pi / 2.0 - start) * np.linspace(0.0, 1.0, 11)
    down, across = np.sin(angle) ** (2.0 / power), np.maximum(np.cos(angle), 0.0) ** (2.0 / power)
    across[:, -1] = 0.0
    right = np.stack([half * across, deck - depth * down, (f - 0.5) * boat.length + boat.rake * fore * down], 2)
    return np.concatenate([right, right[:, -2::-1] * (-1.0, 1.0, 1.0)], axis=1)


def _decked_hull(boat: Boat) -> list[Part]:
    """Topsides, the painted bottom around them up to the waterline, a rail in another colour, and the deck."""
    topsides = loft(_skin(boat, STATIONS), boat.paint)
    bottom = loft(1.006 * _skin(boat, STATIONS, 0.12 * boat.freeboard), boat.trim)
    f = np.array(STATIONS)
    half, deck = _plan(boat, f)
    slabs = []
    for wide, low, high in ((1.02, -0.16, 0.02), (0.93, -0.1, 0.045)):
        y = deck[:, None] + boat.freeboard * np.array([low, high, high, low])
        z = (0.9 + 0.1 * wide) * np.repeat((f - 0.5)[:, None] * boat.length, 4, axis=1)
        slabs.append(np.stack([wide * half[:, None] * np.array([1, 1, -1, -1]), y, z], 2))
    rail = loft(slabs[0], boat.trim if boat.paint == WHITE else WHITE)
    return [*named("hull", topsides, bottom, rail), *named("deck", loft(slabs[1], DECKS[boat.kind]))]


def _house(boat: Boat, ends: tuple[float, float], base: float, top: float, wide: float, colour: Colour) -> Mesh:
    """A cabin between two fractions, drawn in towards its top; `wide` is in half beams."""
    z0, z1, x = _z(boat, ends[0]), _z(boat, ends[1]), wide * boat.beam / 2.0
    rings, tall = [], top - base
    for y, narrow, lean in ((base, 1.0, 0.0), (base + 0.9 * tall, 0.86, 0.9 * tall), (top, 0.78, 1.1 * tall)):
        scale, middle = (narrow * x, (z1 - z0 - lean - 0.2 * tall) / 2.0), (z0 + z1 + lean - 0.2 * tall) / 2.0
        rings.append(place(rounded_square(0.4), "y", y, scale=scale, centre=(0.0, middle)))
    return loft(rings, colour)


def _sailing(boat: Boat) -> list[Part]:
    """Cabin, mast, boom, two sails in the middle plane, fin keel and rudder."""
    size, deck, foot = boat.length, _deck(boat, 0.5), _z(boat, 0.4)
    thick, head, clew = 0.004 * size, 0.95 * boat.tall + deck, _z(boat, 0.84)
    cabin = _house(boat, (0.32, 0.32 + boat.cabin), deck - 0.02 * size, deck + 0.05 * size, 0.58, WHITE)
    pane = block((0.5 * boat.beam / 2.0, deck + 0.012 * size, _z(boat, 0.42)),
                 (0.565 * boat.beam / 2.0, deck + 0.032 * size, _z(boat, 0.24 + boat.cabin)), GLASS, 0.0)  # fmt: skip
    cockpit = block((-0.24 * boat.beam, deck - 0.06 * size, _z(boat, 0.36 + boat.cabin)),
                    (0.24 * boat.beam, deck + 0.02 * size, _z(boat, 0.92)), DARK, 0.3)  # fmt: skip
    mast = tube([(0.0, y, foot) for y in (deck - 0.02 * size, boat.tall + deck)], (0.009 * size, 0.006 * size), METAL)
    low = deck + 0.1 * size
    boom = tube([(0.0, low, foot), (0.0, low, clew + 0.01 * size)], 0.007 * size, METAL)
    leech = [
        (0.0, low + u * (head - low), foot + (clew - foot) * (1.0 - u) ** 0.85) for u in (0.03, 0.25, 0.5, 0.75, 1.0)
    ]
    main = plate([(0.0, low + 0.02 * size, foot), *leech], thick, boat.sail)
    tack = (0.0, _deck(boat, 0.0) + 0.03 * size, _z(boat, 0.02))
    jib = plate([tack, (0.0, low, _z(boat, 0.46)), (0.0, 0.82 * head, foot - 0.01 * size)], 0.7 * thick, boat.sail)
    fin = [place(superellipse(16), "y", y, scale=(0.012 * size, c * size), centre=(0.0, z))
           for y, c, z in ((-0.5 * boat.draught, 0.13, 0.02 * size), (-0.17 * size, 0.07, 0.05 * size))]  # fmt: skip
    rudder = block(
        (-0.006 * size, -0.12 * size, _z(boat, 0.92)), (0.006 * size, 0.02 * size, _z(boat, 0.98)), boat.trim, 0.3
    )
    return [
        *named("cabin", cabin, pair(pane), cockpit),
        *named("mast", mast, boom),
        *named("sails", main, jib),
        *named("keel", loft(fin, boat.trim), rudder),
    ]


def _motor(boat: Boat) -> list[Part]:
    """An open cockpit behind a windscreen, or a glazed cabin of one or two decks; an outboard engine on small boats."""
    size, deck, half = boat.length, _deck(boat, 0.5), boat.beam / 2.0
    first, last = 0.3, 0.34 + boat.cabin
    cockpit = block(
        (-0.72 * half, deck - 0.04 * size, _z(boat, last)), (0.72 * half, deck + 0.01 * size, _z(boat, 0.95)), DARK
    )
    parts = named("cockpit", cockpit)
    for floor in range(boat.rows):
        base, ends = deck + (floor - 0.2) * boat.tall, (first + 0.06 * floor, last - 0.04 * floor)
        wide = 0.8 - 0.1 * floor
        house = _house(boat, ends, base, deck + (floor + 1.0) * boat.tall, wide, WHITE)
        glass = _house(
            boat, (ends[0] - 0.006, ends[1] + 0.006), base + 0.45 * boat.tall, base + 1.05 * boat.tall, wide, GLASS
        )
        parts += named("cabin", house, glass)
    if boat.rows == 0:
        y0, y1, z0, z1 = deck, deck + 0.75 * boat.tall, _z(boat, 0.4), _z(boat, 0.44)
        screen = plate(
            [(0.7 * half, y0, z0), (0.58 * half, y1, z1), (-0.58 * half, y1, z1), (-0.7 * half, y0, z0)], 0.03, GLASS
        )
        side = plate([(0.7 * half, y0, z0), (0.58 * half, y1, z1), (0.72 * half, y0, _z(boat, 0.6))], 0.03, GLASS)
        seat = block((0.12 * half, deck, 0.06 * size), (0.6 * half, deck + 0.05 * size, 0.14 * size), boat.trim, 0.3)
        back = block((0.12 * half, deck, 0.13 * size), (0.6 * half, deck + 0.11 * size, 0.16 * size), boat.trim, 0.3)
        parts += [*named("windscreen", screen, pair(side)), *named("seats", pair(seat), pair(back))]
    if boat.length < 8.0 or boat.rows == 0:
        stern = _z(boat, 1.0)
        cowl = block((-0.05 * size, deck, stern), (0.05 * size, deck + 0.12 * size, stern + 0.1 * size), boat.trim, 0.5)
        leg = block(
            (-0.02 * size, -0.1 * size, stern + 0.02 * size),
            (0.02 * size, deck + 0.02 * size, stern + 0.08 * size),
            DARK,
        )
        parts += named("engine", cowl, leg)
    posts = [(max(0.004 * size, x * _half(boat, f)), _deck(boat, f) + h * size, _z(boat, f))
             for x, f, h in ((0.86, 0.36, 0.0), (0.86, 0.32, 0.06), (0.8, 0.05, 0.075), (0.0, 0.015, 0.08))]  # fmt: skip
    return [*parts, *named("rail", pair(tube(posts, 0.005 * size, METAL, sides=6)))]


def _rowing(boat: Boat) -> list[Part]:
    """An open shell that is solid at both ends, thwarts, and a pair of oars held out level."""
    size, wall = boat.length, 0.05 * boat.beam
    f = np.array((*STATIONS[:4], 0.1, *STATIONS[4:-1], 0.975, 0.985, 1.0))
    skin, (half, deck) = _skin(boat, f), _plan(boat, f)
    # Only between the ends is there a hollow; elsewhere the inner skin lies just under the deck's level.
    depth = np.where((f > 0.095) & (f < 0.98), 0.88, 0.04)
    inner = skin * np.stack([np.maximum(0.3, 1.0 - wall / half), depth, np.ones(len(f))], 1)[:, None]
    inner[:, :, 1] += ((1.0 - depth) * deck - 0.004 * size * (depth > 0.5))[:, None]
    parts = named("hull", loft(np.concatenate([skin, inner[:, ::-1]], axis=1), boat.paint))
    for i in range(boat.rows):
        f = 0.3 + 0.5 * i / (boat.rows - 1)
        x, y, z = 0.9 * _half(boat, f), 0.66 * _deck(boat, f), _z(boat, f)
        parts += named(
            "thwarts", block((-x, y, z - 0.03 * size), (x, y + 0.012 * size, z + 0.03 * size), boat.trim, 0.0)
        )
    x, y, z = _half(boat, 0.5), _deck(boat, 0.5) + 0.03 * size, _z(boat, 0.5)
    reach, back = 0.5 * boat.tall + 0.25 * size, 0.1 * size
    oar = tube([(0.3 * x, y + 0.02 * size, z - 0.04 * size), (x, y, z), (x + reach, y - 0.06 * size, z + back)], 0.011 * size,
               DECKS["sailing boat"], sides=8)  # fmt: skip
    tip, end = x + reach, z + back
    corners = [(tip - 0.03 * size, end - 0.04 * size), (tip + 0.14 * size, end - 0.03 * size),
               (tip + 0.14 * size, end + 0.06 * size), (tip - 0.03 * size, end + 0.03 * size)]  # fmt: skip
    blade = plate([(u, y - 0.062 * size, w) for u, w in corners], 0.008 * size, boat.trim)
    lock = block(
        (0.92 * x, y - 0.05 * size, z - 0.01 * size), (1.02 * x, y + 0.012 * size, z + 0.01 * size), METAL, 0.0
    )
    return [*parts, *named("oars", pair(oar), pair(blade)), *named("rowlocks", pair(lock))]


def _cargo(boat: Boat) -> list[Part]:
    """A bridge aft with its funnel, containers in bays or hatches with cranes, a mast in front, and a bulb at the bow."""
    half, deck = boat.beam / 2.0, _deck(boat, 0.6)
    first, last, top = _z(boat, 0.97 - boat.cabin), _z(boat, 0.95), deck + boat.tall
    floor = boat.tall / 5.0
    tower = block(
        (-0.8 * half, deck - floor, first), (0.8 * half, top - floor, last - 0.35 * (last - first)), WHITE, 0.0
    )
    bridge = block(
        (-0.98 * half, top - 1.2 * floor, first - 0.1 * floor), (0.98 * half, top, first + 1.6 * floor), WHITE, 0.0
    )
    panes = [block((-x, y, first + z), (x, y + 0.35 * floor, first + floor), GLASS, 0.0)
             for x, y, z in [(0.94 * half, top - 0.6 * floor, -0.16 * floor)]
             + [(0.7 * half, deck + (k + 0.4) * floor, -0.06 * floor) for k in range(3)]]  # fmt: skip
    stack = (0.5 * half, last - 0.2 * (last - first))
    funnel = cylinder("y", (deck, top + 0.3 * floor), 0.24 * half, (0.0, stack[1]), boat.trim, 16)
    mast = tube([(0.0, _deck(boat, 0.06), _z(boat, 0.06)), (0.0, _deck(boat, 0.06) + 0.6 * boat.tall, _z(boat, 0.06))],
                (0.05 * half, 0.02 * half), WHITE)  # fmt: skip
    radius = 0.75 * boat.draught
    bulb = [
        (0.5 * radius * s, z * radius) for s, z in ((0.0, -1.9), (0.5, -1.75), (0.85, -1.2), (1.0, 0.0), (1.0, 2.5))
    ]
    nose = revolve(bulb, "z", boat.trim, centre=(0.0, -0.45 * boat.draught, _z(boat, 0.0) + 0.9 * boat.rake), sides=16)
    load = _containers(boat, first) if boat.rows else _cranes(boat, first)
    tower_parts = named("bridge", tower, bridge, *panes)
    return [*tower_parts, *named("funnel", funnel), *named("mast", mast), *named("hull", nose), *load]


def _bays(boat: Boat, rear: float, pitch: float) -> np.ndarray:
    """z of the middles of as many bays as fit between the foredeck and the bridge."""
    front = _z(boat, 0.14)
    count = max(3, int((rear - 0.02 * boat.length - front) / pitch))
    return front + (np.arange(count) + 0.5) * (rear - 0.02 * boat.length - front) / count


def _containers(boat: Boat, rear: float) -> list[Part]:
    """Layers of containers, one colour a layer of a bay; fewer layers near the bow."""
    tall, wide = 0.12 * boat.beam, 0.188 * boat.beam
    bays = _bays(boat, rear, 0.085 * boat.length)
    size = 0.46 * (bays[1] - bays[0])
    spots: list[list[tuple[float, float, float]]] = [[] for _ in CONTAINERS]
    for i, z in enumerate(bays):
        across, base = 5 if i > 0 else 3, _deck(boat, z / boat.length + 0.5) - 0.2 * tall
        for level in range(max(1, boat.rows - (i < 2))):
            row = [((k - (across - 1) / 2.0) * wide, base + level * tall, z) for k in range(across)]
            spots[(5 * i + 3 * level) % len(CONTAINERS)] += row
    boxes = [block((-0.47 * wide, 0.0, -size), (0.47 * wide, 0.96 * tall, size), colour, 0.0) for colour in CONTAINERS]
    return named("containers", *(repeated(box, at) for box, at in zip(boxes, spots) if at))


def _cranes(boat: Boat, rear: float) -> list[Part]:
    """Hatch covers with a crane between each two, its jib laid forward."""
    deck, half, tall = _deck(boat, 0.5), boat.beam / 2.0, 0.9 * boat.tall
    bays = _bays(boat, rear, 0.15 * boat.length)
    pitch = bays[1] - bays[0]
    hatch = block(
        (-0.62 * half, deck - 0.1 * half, -0.38 * pitch), (0.62 * half, deck + 0.2 * half, 0.38 * pitch), boat.trim, 0.0
    )
    post = cylinder("y", (deck - 0.1 * half, deck + 0.75 * tall), 0.12 * half, (0.0, 0.0), (226, 180, 60), 14)
    cab = block(
        (-0.2 * half, deck + 0.55 * tall, -0.3 * half), (0.2 * half, deck + 0.8 * tall, 0.2 * half), (226, 180, 60), 0.0
    )
    jib = tube(
        [(0.0, deck + 0.6 * tall, 0.0), (0.0, deck + 0.85 * tall, -0.8 * pitch)],
        (0.07 * half, 0.04 * half),
        METAL,
        sides=6,
    )
    between = np.outer(bays[1:] - pitch / 2.0, (0.0, 0.0, 1.0))
    cranes = [repeated(part, between) for part in (post, cab, jib)]
    return [*named("hatches", repeated(hatch, np.outer(bays, (0.0, 0.0, 1.0)))), *named("cranes", *cranes)]


def _keypoints(boat: Boat) -> dict[str, tuple[float, float, float]]:
    """PASCAL3D+'s seven: the stem's head and foot, the deck's edges where the bow ends and at the stern; and the mast's top."""
    (stem,), full = _skin(boat, (0.0,)), 0.6 * boat.entry
    tail, bow = _half(boat, 1.0), _half(boat, full)
    top = {
        "sailing boat": (0.0, boat.tall + _deck(boat, 0.5), _z(boat, 0.4)),
        "cargo ship": (0.0, _deck(boat, 0.06) + 0.6 * boat.tall, _z(boat, 0.06)),
    }
    return {
        "head": (0.0, stem[0, 1], stem[0, 2]),
        "head_down": (0.0, stem[10, 1], stem[10, 2]),
        "head_left": (-bow, _deck(boat, full), _z(boat, full)),
        "head_right": (bow, _deck(boat, full), _z(boat, full)),
        "tail": (0.0, _deck(boat, 1.0), _z(boat, 1.0)),
        "tail_left": (-tail, _deck(boat, 1.0), _z(boat, 1.0)),
        "tail_right": (tail, _deck(boat, 1.0), _z(boat, 1.0)),
        "mast": top.get(boat.kind, NOWHERE),
    }
