"""An aeroplane from a handful of lengths in metres: airliners, propeller aeroplanes, fighter jets and gliders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from monoform.data.procedural.parts import (
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
    turned,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("airliner", "prop", "jet", "glider")
GLASS, METAL, DARK, RUBBER = (34, 42, 54), (168, 172, 178), (40, 42, 46), (28, 28, 30)
LIVERIES = ((24, 62, 132), (190, 36, 40), (20, 116, 96), (232, 148, 30), (88, 44, 116))
WHITES = ((236, 238, 240), (226, 228, 224), (204, 210, 216))
PAINTS = {
    "airliner": WHITES,
    "prop": (*WHITES, (226, 186, 60), (176, 44, 40), (60, 96, 150), (92, 104, 70)),
    "jet": ((128, 138, 148), (96, 108, 118), (88, 98, 72), (150, 134, 100), (74, 84, 104)),
    "glider": WHITES,
}
PROFILES = {
    "airliner": ((0, 0.06, -0.18), (0.012, 0.36, -0.15), (0.035, 0.63, -0.1), (0.07, 0.86, -0.04), (0.12, 1, 0), (0.62, 1, 0),
                 (0.74, 0.9, 0.08), (0.86, 0.6, 0.32), (0.95, 0.3, 0.56), (1, 0.1, 0.66)),
    "prop": ((0.03, 0.56, 0), (0.05, 0.7, 0), (0.1, 0.8, 0), (0.24, 0.92, 0.02), (0.4, 1, 0.05), (0.52, 0.88, 0.08),
             (0.7, 0.58, 0.18), (0.9, 0.3, 0.32), (1, 0.1, 0.4)),
    "jet": ((0, 0.02, -0.15), (0.05, 0.2, -0.13), (0.12, 0.42, -0.1), (0.22, 0.68, -0.05), (0.35, 0.9, 0), (0.6, 1, 0),
            (0.82, 0.9, 0.02), (0.95, 0.7, 0.04)),
    "glider": ((0, 0.08, -0.25), (0.02, 0.4, -0.2), (0.07, 0.72, -0.1), (0.16, 0.96, 0), (0.27, 1, 0.05), (0.38, 0.74, 0.22),
               (0.5, 0.44, 0.36), (0.75, 0.3, 0.4), (1, 0.2, 0.42)),
}  # fmt: skip
"""Circles from nose to tail: fraction of the length, radius and height of the centre in fuselage radii."""
CANOPIES = {"prop": (0.23, 0.56, 0.72, 0.8), "jet": (0.13, 0.4, 0.55, 0.62), "glider": (0.04, 0.27, 0.84, 0.55)}
"""First and last fraction of the length, half width and height in fuselage radii there."""
SPINNER = 0.45
"""Length of the propeller's cone in fuselage radii."""


@dataclass(frozen=True)
class Aeroplane:
    """Metres; wing shapes as ratios to their root."""

    kind: str
    length: float
    radius: float
    """Of the fuselage."""
    span: float
    chord: float
    """Of the wing at its root."""
    taper: float
    sweep: float
    """How far the wing tip's leading edge lies behind the root's, as a fraction of the half span."""
    dihedral: float
    """Rise of the wing tip as a fraction of the half span."""
    wing_at: float
    """Where the root's leading edge is, as a fraction of the length."""
    wing_height: float
    """Of the root above the fuselage's axis, in fuselage radii."""
    fin: float
    """Height of the fin above the fuselage."""
    fin_sweep: float
    """How far the fin's tip lies behind its foot, as a fraction of its height."""
    stabiliser: float
    """Span of the tailplane as a fraction of the wing's."""
    stabiliser_height: float
    """0 on the fuselage, near 1 on top of the fin."""
    engine: float
    """Radius of an airliner's engine."""
    engines: int
    """Pairs of engines under an airliner's wings; 0 has them at the tail."""
    twin: bool
    """A jet with two fins and two nozzles."""
    blades: int
    wheels: bool
    """Whether a propeller aeroplane has a fixed undercarriage."""
    paint: Colour
    livery: Colour


RANGES = {
    "length": ((30.0, 62.0), (7.0, 9.5), (12.0, 19.0), (6.6, 8.6)),
    "radius": ((1.8, 2.6), (0.58, 0.72), (0.8, 1.05), (0.36, 0.44)),
    "span": ((29.0, 56.0), (9.0, 12.5), (8.5, 12.0), (12.5, 17.5)),
    "chord": ((6.0, 8.0), (1.4, 1.9), (4.2, 6.2), (0.8, 1.1)),
    "taper": ((0.22, 0.38), (0.5, 0.95), (0.12, 0.35), (0.35, 0.6)),
    "sweep": ((0.42, 0.62), (0.0, 0.1), (0.5, 1.0), (0.0, 0.06)),
    "dihedral": ((0.06, 0.13), (0.02, 0.1), (-0.05, 0.04), (0.03, 0.09)),
    "wing_at": ((0.34, 0.41), (0.24, 0.3), (0.36, 0.46), (0.26, 0.31)),
    "wing_height": ((-0.5, -0.4), (-0.75, -0.5), (-0.2, 0.35), (0.5, 0.75)),
    "fin": ((4.6, 6.6), (1.0, 1.4), (1.7, 2.5), (1.0, 1.35)),
    "fin_sweep": ((0.6, 0.8), (0.25, 0.7), (0.5, 0.9), (0.15, 0.35)),
    "stabiliser": ((0.34, 0.42), (0.3, 0.38), (0.46, 0.62), (0.16, 0.22)),
}
"""For each parameter one range a kind, in the order of `KINDS`."""


def sample(rng: np.random.Generator, kind: str | None = None) -> Aeroplane:
    """An aeroplane of a kind, or of any by how common they are."""
    kind = kind or pick(rng, KINDS, (0.4, 0.25, 0.25, 0.1))
    values = uniform(rng, {name: ranges[KINDS.index(kind)] for name, ranges in RANGES.items()})
    engines = pick(rng, (1, 2, 0), (0.6, 0.2, 0.2))
    if kind == "prop" and rng.random() < 0.45:
        values["wing_height"] = rng.uniform(1.25, 1.4)
    high_tail = kind == "glider" or (kind == "airliner" and engines == 0)
    return Aeroplane(
        kind=kind,
        **values,
        stabiliser_height=rng.uniform(0.86, 0.96) if high_tail else 0.0,
        engine=rng.uniform(0.55, 0.72) * values["radius"] * (0.8, 1.0, 0.85)[engines],
        engines=engines,
        twin=rng.random() < 0.4,
        blades=pick(rng, (2, 3, 4)),
        wheels=values["wing_height"] > 0.0 or rng.random() < 0.5,
        paint=pick(rng, PAINTS[kind]),
        livery=pick(rng, LIVERIES),
    )


def build(plane: Aeroplane) -> Shape:
    """The aeroplane as a shape in the canonical frame."""
    rings = [_ring(plane, f, r, y) for f, r, y in PROFILES[plane.kind]]
    own = {"airliner": _airliner, "prop": _prop, "jet": _jet, "glider": _canopy}[plane.kind]
    parts = [*named("fuselage", loft(rings, plane.paint)), *_wings(plane), *_tail(plane), *own(plane)]
    return finish(plane.kind, parts, _keypoints(plane))


def _z(plane: Aeroplane, fraction: float) -> float:
    return (fraction - 0.5) * plane.length


def _ring(plane: Aeroplane, fraction: float, radius: float, y: float) -> np.ndarray:
    """A circle of the fuselage; radius and height in fuselage radii."""
    r = plane.radius
    return place(superellipse(28), "z", _z(plane, fraction), scale=(radius * r, radius * r), centre=(0.0, y * r))


def _section(plane: Aeroplane, fraction: float) -> tuple[float, float]:
    """Radius of the fuselage and height of its axis."""
    at, radius, height = np.transpose(PROFILES[plane.kind])
    return plane.radius * float(np.interp(fraction, at, radius)), plane.radius * float(np.interp(fraction, at, height))


@cache
def _foil(thickness: float) -> np.ndarray:
    """(18, 2) outline of a symmetric four-digit NACA section of chord 1: thickness and z, leading edge at z = 0."""
    t = np.linspace(0.0, 1.0, 10) ** 1.5
    half = 5.0 * thickness * (0.2969 * np.sqrt(t) - 0.126 * t - 0.3516 * t**2 + 0.2843 * t**3 - 0.1036 * t**4)
    outline = np.concatenate([np.stack([half, t], 1), np.stack([-half, t], 1)[-2:0:-1]])
    outline.flags.writeable = False
    return outline


def _surface(stations: list[tuple[float, float, float, float]], thickness: float, colour: Colour) -> Mesh:
    """A wing from tip to tip through sections (x, y, z of the leading edge, chord) of its right half, root first."""
    both = [(-x, y, z, c) for x, y, z, c in stations[:0:-1]] + stations
    return loft([place(_foil(thickness), "x", x, scale=(c, c), centre=(y, z)) for x, y, z, c in both], colour)


def _upright(x: float, lead: Sequence[tuple[float, float]], chords: Sequence[float], colour: Colour) -> Mesh:
    """A fin between two sections; `lead` holds y and z of their leading edges."""
    ends = zip(lead, chords)
    return loft([place(_foil(0.1), "y", y, scale=(c, c), centre=(x, z)) for (y, z), c in ends], colour)


def _wing_station(plane: Aeroplane, f: float) -> tuple[float, float, float, float]:
    """x, y, z of the leading edge and chord at a fraction of the half span."""
    half = plane.span / 2.0
    # The inner third of an airliner's wing tapers faster: the kink in its trailing edge.
    kink = 0.62 if plane.kind == "airliner" else 1.0 - 0.35 * (1.0 - plane.taper)
    chord = plane.chord * float(np.interp(f, (0.0, 0.35, 1.0), (1.0, kink, plane.taper)))
    y = plane.wing_height * plane.radius + f * plane.dihedral * half
    return f * half, y, _z(plane, plane.wing_at) + f * plane.sweep * half, chord


def _wings(plane: Aeroplane) -> list[Part]:
    colour = METAL if plane.kind == "airliner" else plane.paint
    thickness = {"airliner": 0.12, "prop": 0.14, "jet": 0.05, "glider": 0.15}[plane.kind]
    wing = _surface([_wing_station(plane, f) for f in (0.0, 0.35, 1.0)], thickness, colour)
    x, y, z, chord = _wing_station(plane, 1.0)
    rise = {"airliner": 0.055, "prop": 0.012, "jet": 0.01, "glider": 0.035}[plane.kind] * plane.span / 2.0
    lead = (y - 0.04 * chord, z + 0.1 * chord), (y + rise, z + 0.1 * chord + 0.8 * rise)
    winglet = _upright(x - 0.02 * chord, lead, (0.8 * chord, 0.45 * chord), plane.livery)
    return [*named("wings", wing), *named("winglets", pair(winglet))]


def _fin(plane: Aeroplane) -> tuple[float, tuple[tuple[float, float], ...], float]:
    """x of the (right) fin, y and z of its leading edge's foot and tip, and its chord at the foot."""
    chord = {"airliner": 0.78, "prop": 0.72, "jet": 0.6, "glider": 0.95}[plane.kind] * plane.chord
    z = _z(plane, 0.96) - chord
    radius, y = _section(plane, z / plane.length + 0.5)
    twin = plane.kind == "jet" and plane.twin
    foot = (y + (0.35 if twin else 0.6) * radius, z)
    return 0.62 * plane.radius * twin, (foot, (y + plane.fin, z + plane.fin_sweep * plane.fin)), chord


def _stabiliser(plane: Aeroplane) -> list[tuple[float, float, float, float]]:
    """Sections of the tailplane's right half, as `_surface` takes them."""
    _, ((y, z), (top, back)), chord = _fin(plane)
    f, half = plane.stabiliser_height, plane.stabiliser * plane.span / 2.0
    if f > 0.0:
        root = (0.0, y + f * (top - y), z + f * (back - z), 0.52 * chord)
    else:
        root = (0.0, y - 0.6 * _section(plane, 0.9)[0], z + 0.25 * chord, 0.72 * chord)
    return [root, (half, root[1] + 0.06 * half, root[2] + min(0.55, plane.sweep + 0.1) * half, 0.55 * root[3])]


def _tail(plane: Aeroplane) -> list[Part]:
    x, lead, chord = _fin(plane)
    fin = _upright(x, lead, (chord, 0.5 * chord), plane.paint if plane.kind == "jet" else plane.livery)
    stabiliser = _surface(_stabiliser(plane), 0.1, METAL if plane.kind == "airliner" else plane.paint)
    return [*named("fin", pair(fin) if x > 0.0 else fin), *named("stabiliser", stabiliser)]


def _canopy(plane: Aeroplane) -> list[Part]:
    """A bubble of glass on the fuselage."""
    first, last, wide, tall = CANOPIES[plane.kind]
    rings = []
    for u, s in ((0.0, 0.1), (0.1, 0.5), (0.28, 0.88), (0.5, 1.0), (0.75, 0.72), (1.0, 0.12)):
        fraction = first + u * (last - first)
        radius, y = _section(plane, fraction)
        scale, top = (wide * plane.radius * s, tall * plane.radius * s), y + 0.62 * radius
        rings.append(place(superellipse(20), "z", _z(plane, fraction), scale=scale, centre=(0.0, top)))
    return named("canopy", loft(rings, GLASS))


def _airliner(plane: Aeroplane) -> list[Part]:
    """Cabin windows on each side above a line in the livery, the cockpit's panes, and the engines."""
    r, front, rear = plane.radius, _z(plane, 0.13), _z(plane, 0.66)
    pitch = (rear - front) / 16
    pane = block((0.985 * r - 0.3, 0.2 * r, front), (0.985 * r + 0.02, 0.38 * r, front + 0.56 * pitch), GLASS, 0.0)
    cabin = repeated(pane, np.outer(np.arange(16) * pitch, (0.0, 0.0, 1.0)))
    line = block((0.985 * r - 0.4, -0.14 * r, front), (0.985 * r + 0.04, 0.04 * r, rear), plane.livery, 0.0)
    cockpit = block((0.05, 0.3 * r, _z(plane, 0.038)), (0.66 * r, 0.56 * r, _z(plane, 0.075)), GLASS)
    parts = [*named("windows", pair(cabin), pair(cockpit)), *named("stripe", pair(line))]
    e = plane.engine
    if plane.engines == 0:
        return parts + _engine(plane, plane.radius + 0.95 * e, 0.25 * plane.radius, _z(plane, 0.68), (-1.4 * e, 0.0))
    for f in (0.33, 0.6)[: plane.engines]:
        x, y, z, _ = _wing_station(plane, f)
        parts += _engine(plane, x, y - 1.05 * e, z - 2.0 * e, (0.0, 1.25 * e))
    return parts


def _engine(plane: Aeroplane, x: float, y: float, front: float, hold: tuple[float, float]) -> list[Part]:
    """A nacelle with its intake and the pylon that reaches to `hold` (x, y from the nacelle's axis), on both sides."""
    e = plane.engine
    nacelle = revolve([(s * e, z * e) for z, s in ((0.0, 0.88), (0.25, 1.0), (1.6, 0.98), (3.2, 0.62))], "z", plane.livery,
                      centre=(x, y, front), sides=20)  # fmt: skip
    intake = cylinder("z", (front - 0.01 * e, front + 0.2 * e), 0.78 * e, (x, y), DARK, 20)
    h, v = hold
    corners = [(x + s * h, y + s * v, front + z * e) for s, z in ((1.0, 3.3), (0.4, 3.0), (0.4, 0.9), (1.0, 1.3))]
    return named("engines", *map(pair, (nacelle, intake, plate(corners, 0.25 * e, WHITES[0]))))


def _prop(plane: Aeroplane) -> list[Part]:
    """Spinner and blades, struts under a high wing, and the undercarriage."""
    r, nose, disc = plane.radius, _z(plane, 0.03), 0.115 * plane.length
    spinner = revolve(((0.0, -SPINNER * r), (0.16 * r, -0.3 * r), (0.27 * r, 0.0), (0.27 * r, 0.1 * r)), "z", plane.livery,
                      centre=(0.0, 0.0, nose), sides=16)  # fmt: skip
    outline = ((0.05, 0.02), (0.06, 0.1 * disc), (0.09, 0.6 * disc), (0.05, disc))
    blade = plate([(x, y, nose - 0.12 * r) for x, y in (*outline, *((-x, y) for x, y in outline[::-1]))], 0.04, DARK)
    propeller = turned(blade, "z", (0.0, 0.0, 0.0), plane.blades)
    parts = [*named("propeller", spinner, propeller), *(_cabin(plane) if plane.wing_height > 0.0 else _canopy(plane))]
    return parts + (_undercarriage(plane) if plane.wheels else [])


def _cabin(plane: Aeroplane) -> list[Part]:
    """The glazed cabin that carries a high wing, its windscreen leaning back, and one strut on each side."""
    r, c, (x, y, z, chord) = plane.radius, plane.chord, _wing_station(plane, 0.45)
    root = _z(plane, plane.wing_at)
    foot = (0.8 * r, -0.45 * r, root + 0.35 * c)
    strut = tube((foot, (x, y, z + 0.4 * chord)), 0.05, plane.paint, sides=8)
    levels = ((0.2 * r, 0.8 * r, -0.4 * c, 1.15 * c), (plane.wing_height * r, 0.6 * r, 0.05 * c, 0.8 * c))
    rings = []
    for height, wide, first, last in levels:
        scale, middle = (wide, (last - first) / 2.0), (0.0, root + (first + last) / 2.0)
        rings.append(place(rounded_square(0.2), "y", height, scale=scale, centre=middle))
    return [*named("struts", pair(strut)), *named("canopy", loft(rings, GLASS))]


def _undercarriage(plane: Aeroplane) -> list[Part]:
    """Two main wheels and one under the nose, each on its leg."""
    r, low = plane.radius, -1.75 * plane.radius
    main, size = _z(plane, plane.wing_at) + 0.65 * plane.chord, 0.34 * r
    wheel = cylinder("x", (1.35 * r, 1.58 * r), size, (low, main), RUBBER, 16)
    leg = tube(((0.4 * r, -0.6 * r, main), (1.4 * r, low, main)), 0.06, plane.paint, sides=8)
    nose_z = _z(plane, 0.09)
    nose = cylinder("x", (-0.1 * r, 0.1 * r), 0.8 * size, (low + 0.2 * size, nose_z), RUBBER, 16)
    nose_leg = block((-0.14 * r, low, nose_z - 0.06), (0.14 * r, -0.5 * r, nose_z + 0.06), plane.paint, 0.0)
    return named("wheels", pair(wheel), pair(leg), nose, nose_leg)


def _jet(plane: Aeroplane) -> list[Part]:
    """Canopy, intakes on the flanks, nozzles, and a missile on each wing tip."""
    r, front, rear = plane.radius, _z(plane, 0.3), _z(plane, 0.78)
    stations = ((front, 0.46, 0.55), (front + 0.8, 0.5, 0.62), (0.5 * (front + rear), 0.52, 0.62), (rear, 0.2, 0.4))
    boxes = [
        place(superellipse(16, 0.5), "z", z, scale=(w * r, h * r), centre=(0.85 * r, -0.2 * r)) for z, w, h in stations
    ]
    mouth = block((0.47 * r, -0.68 * r, front - 0.03), (1.24 * r, 0.28 * r, front + 0.3), DARK, 0.5, "z")
    tail = _z(plane, 0.95)
    x, size = (0.5 * r, 0.46) if plane.twin else (0.0, 0.68)
    profile = ((size * r, -0.6 * r), (size * r, 0.1 * r), (0.8 * size * r, 0.7 * r), (0.66 * size * r, 0.62 * r))
    nozzle = revolve((*profile, (0.5 * size * r, 0.1 * r)), "z", DARK, centre=(x, 0.0, tail), sides=20)
    tip_x, tip_y, tip_z, _ = _wing_station(plane, 1.0)
    missile = revolve(((0.0, -1.0), (0.08, -0.75), (0.08, 1.4)), "z", WHITES[2], centre=(tip_x, tip_y, tip_z), sides=10)
    return [
        *_canopy(plane),
        *named("intakes", pair(loft(boxes, plane.paint)), pair(mouth)),
        *named("nozzles", pair(nozzle) if plane.twin else nozzle),
        *named("missiles", pair(missile)),
    ]


def _keypoints(plane: Aeroplane) -> dict[str, tuple[float, float, float]]:
    """PASCAL3D+'s eight and the nose; of two fins the right one's."""
    x, ((low, foot), (top, back)), chord = _fin(plane)
    wing, elevator = _wing_station(plane, 1.0)[:3], _stabiliser(plane)[-1][:3]
    (first, _, nose), (last, _, tail) = PROFILES[plane.kind][0], PROFILES[plane.kind][-1]
    radius, axis = _section(plane, 0.12)
    spinner = SPINNER * plane.radius * (plane.kind == "prop")
    return {
        "nose": (0.0, nose * plane.radius, _z(plane, first) - spinner),
        "noselanding": (0.0, axis - 0.98 * radius, _z(plane, 0.12)),
        "left_wing": (-wing[0], *wing[1:]),
        "right_wing": wing,
        "left_elevator": (-elevator[0], *elevator[1:]),
        "right_elevator": elevator,
        "rudder_lower": (x, low, foot + chord),
        "rudder_upper": (x, top, back + 0.5 * chord),
        "tail": (0.0, tail * plane.radius, _z(plane, last)),
    }
