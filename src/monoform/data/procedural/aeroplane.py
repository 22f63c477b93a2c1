"""An airliner from a handful of lengths in metres: narrow to wide bodies with two engines under the wings."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import Colour, assemble, block, loft, mirrored, place, superellipse
from monoform.meshes import Mesh

WHITE, GLASS, METAL, DARK = (236, 238, 240), (34, 42, 54), (168, 172, 178), (40, 42, 46)
APART = 0.05
"""Metres between a half and the middle plane, so that the two halves are closed solids that do not touch."""
LIVERIES = ((24, 62, 132), (190, 36, 40), (20, 116, 96), (232, 148, 30), (88, 44, 116))


@dataclass(frozen=True)
class Aeroplane:
    """Metres; wing shapes as ratios to their root."""

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
    fin: float
    """Height of the fin above the fuselage."""
    engine: float
    """Radius of an engine."""
    livery: Colour


def sample(rng: np.random.Generator) -> Aeroplane:
    """An aeroplane drawn from the family."""
    return Aeroplane(
        length=rng.uniform(32.0, 48.0),
        radius=rng.uniform(1.9, 2.5),
        span=rng.uniform(30.0, 44.0),
        chord=rng.uniform(6.0, 7.5),
        taper=rng.uniform(0.24, 0.38),
        sweep=rng.uniform(0.42, 0.62),
        dihedral=rng.uniform(0.06, 0.13),
        fin=rng.uniform(4.6, 6.2),
        engine=rng.uniform(1.05, 1.45),
        livery=LIVERIES[int(rng.integers(len(LIVERIES)))],
    )


def build(plane: Aeroplane) -> Mesh:
    """The aeroplane as a mesh in the canonical frame."""
    return assemble([_fuselage(plane), *_windows(plane), *_wings(plane), *_tail(plane), *_engines(plane)])


def _z(plane: Aeroplane, fraction: float) -> float:
    return (fraction - 0.5) * plane.length


def _fuselage(plane: Aeroplane) -> Mesh:
    """Circles from nose to tail: (fraction of the length, radius, height of the centre), both in fuselage radii."""
    stations = (
        (0.0, 0.06, -0.18),
        (0.012, 0.36, -0.15),
        (0.035, 0.63, -0.1),
        (0.07, 0.86, -0.04),
        (0.12, 1.0, 0.0),
        (0.62, 1.0, 0.0),
        (0.74, 0.9, 0.08),
        (0.86, 0.6, 0.32),
        (0.95, 0.3, 0.56),
        (1.0, 0.1, 0.66),
    )
    circle, r = superellipse(28), plane.radius
    rings = [place(circle, "z", _z(plane, f), scale=(r * s, r * s), centre=(0.0, r * y)) for f, s, y in stations]
    return loft(rings, WHITE)


def _windows(plane: Aeroplane) -> list[Mesh]:
    """A dark strip of cabin windows on each side, a livery line below it, and the cockpit's panes."""
    r = plane.radius
    side, front, rear = r * 0.985, _z(plane, 0.13), _z(plane, 0.66)
    pitch = (rear - front) / 16
    cabin = [
        block(
            (side - 0.3, 0.2 * r, front + (i + 0.22) * pitch),
            (side + 0.02, 0.38 * r, front + (i + 0.78) * pitch),
            GLASS,
        )
        for i in range(16)
    ]
    line = block((side - 0.4, -0.14 * r, front), (side + 0.04, 0.04 * r, rear), plane.livery)
    pane = block((APART, 0.3 * r, _z(plane, 0.038)), (0.66 * r, 0.56 * r, _z(plane, 0.075)), GLASS)
    return [half for part in (*cabin, line, pane) for half in mirrored(part)]


def _foil(chord: float, thickness: float) -> np.ndarray:
    """(24, 2) closed outline of a wing section: columns thickness and z, leading edge at z = 0, trailing at `chord`."""
    t = np.linspace(0.0, 1.0, 13)
    # Half-thickness of the symmetric four-digit NACA section, closed at the trailing edge.
    half = 5.0 * (0.2969 * np.sqrt(t) - 0.126 * t - 0.3516 * t**2 + 0.2843 * t**3 - 0.1036 * t**4)
    upper, lower = (
        np.stack([half * thickness * chord, t * chord], 1),
        np.stack([-half * thickness * chord, t * chord], 1),
    )
    return np.concatenate([upper, lower[-2:0:-1]])


def _wings(plane: Aeroplane) -> list[Mesh]:
    half, root = plane.span / 2.0, _z(plane, 0.38)
    rings = []
    for f in (0.0, 0.35, 1.0):
        # The inner third tapers faster than the rest: the kink in an airliner's trailing edge.
        chord = plane.chord * np.interp(f, (0.0, 0.35, 1.0), (1.0, 0.62, plane.taper))
        centre = (-0.45 * plane.radius + f * plane.dihedral * half, root + f * plane.sweep * half)
        rings.append(place(_foil(chord, 0.12), "x", max(f * half, APART), scale=(1, 1), centre=centre))
    tip = half * np.array([1.0, plane.dihedral, plane.sweep]) + (0.0, -0.45 * plane.radius, root)
    chord = plane.chord * plane.taper
    heights, behind, chords = (0.0, 0.055 * half), (0.0, 0.05 * half), (chord, 0.45 * chord)
    winglet = [
        place(_foil(c, 0.08), "y", tip[1] + h, scale=(1, 1), centre=(tip[0] + 0.3 * h, tip[2] + b))
        for h, b, c in zip(heights, behind, chords)
    ]
    return [*mirrored(loft(rings, METAL)), *mirrored(loft(winglet, plane.livery))]


def _tail(plane: Aeroplane) -> list[Mesh]:
    r, root, chord = plane.radius, _z(plane, 0.86), 0.62 * plane.chord
    half = 0.19 * plane.span
    stabiliser = [
        place(_foil(c, 0.1), "x", x, scale=(1, 1), centre=(0.42 * r + y, root + z))
        for x, y, z, c in ((APART, 0.0, 0.2, chord), (half, 0.1 * half, 0.55 * half, 0.4 * chord))
    ]
    base = 0.6 * r
    fin = [
        place(_foil(c, 0.1), "y", base + h, scale=(1, 1), centre=(0.0, _z(plane, 0.82) + back))
        for h, back, c in ((0.0, 0.0, 1.25 * chord), (plane.fin, 0.72 * plane.fin, 0.5 * chord))
    ]
    return [*mirrored(loft(stabiliser, METAL)), loft(fin, plane.livery)]


def _engines(plane: Aeroplane) -> list[Mesh]:
    r, half = plane.engine, plane.span / 2.0
    x, front = 0.33 * half, _z(plane, 0.38) + 0.33 * plane.sweep * half - 2.0 * r
    y = -0.45 * plane.radius + 0.33 * plane.dihedral * half - 1.05 * r
    circle = superellipse(20)
    stations = ((0.0, 0.88), (0.25, 1.0), (1.6, 0.98), (3.2, 0.62))
    nacelle = [place(circle, "z", front + z * r, scale=(s * r, s * r), centre=(x, y)) for z, s in stations]
    intake = [place(circle, "z", front + z * r, scale=(0.78 * r, 0.78 * r), centre=(x, y)) for z in (-0.01, 0.2)]
    pylon = block((x - 0.15, y + 0.6 * r, front + 0.9 * r), (x + 0.15, y + 1.25 * r, front + 3.4 * r), WHITE)
    return [*mirrored(loft(nacelle, plane.livery)), *mirrored(loft(intake, DARK)), *mirrored(pylon)]
