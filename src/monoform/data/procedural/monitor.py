"""Monitors from a few lengths in centimetres: flat ones on a stand, tubes in their boxes, all-in-one computers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.furniture import leaned, pad, sided, tinted
from monoform.data.procedural.parts import (
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
    revolve,
    rounded_square,
    tube,
    uniform,
)

KINDS = ("flat", "crt", "all-in-one")
CASES = {
    "flat": ((24, 24, 26), (40, 42, 46), (170, 174, 180), (232, 232, 234)),
    "crt": ((206, 198, 176), (190, 190, 186), (60, 60, 64), (120, 82, 50)),
    "all-in-one": ((200, 204, 208), (30, 30, 32), (236, 236, 238)),
}
STANDS = {"flat": ("plate", "disc", "legs"), "crt": ("disc", "none"), "all-in-one": ("bent", "keyboard")}
SCREENS = ((20, 24, 32), (28, 34, 44), (46, 92, 150), (60, 120, 110), (110, 140, 170))
KEYS: Colour = (44, 44, 48)
MEASURES = ("width", "aspect", "depth", "bezel", "chin")
RANGES = {
    "flat": ((42.0, 75.0), (0.5, 0.66), (2.5, 6.0), (0.6, 2.6), (0.0, 2.0)),
    "crt": ((34.0, 52.0), (0.76, 0.9), (34.0, 46.0), (2.0, 4.5), (0.0, 6.0)),
    "all-in-one": ((46.0, 62.0), (0.54, 0.64), (1.4, 3.5), (0.8, 2.6), (2.0, 7.0)),
}
SHARED = {"tilt": (-0.02, 0.16), "lift": (4.0, 14.0), "foot": (0.3, 0.55), "reach": (14.0, 24.0), "corner": (0.4, 2.0)}


@dataclass(frozen=True)
class Monitor:
    """Centimetres."""

    kind: str
    width: float
    """Of the case's front."""
    aspect: float
    """The front's height as a fraction of its width."""
    depth: float
    bezel: float
    """Width of the frame around the screen."""
    chin: float
    """What the frame is wider at its foot."""
    tilt: float
    """How far the top leans back, per unit of height."""
    lift: float
    """From the table to the case."""
    foot: float
    """Width of the stand's foot as a fraction of the case's."""
    reach: float
    """Depth of the foot."""
    corner: float
    """Radius of the case's corners."""
    stand: str
    """'plate', 'disc' or 'legs' under a flat one; 'bent' or 'keyboard' under an all-in-one."""
    case: Colour
    screen: Colour


def sample(rng: np.random.Generator, kind: str | None = None) -> Monitor:
    """A monitor drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS)
    stand = pick(rng, STANDS[kind])
    ranges = SHARED | dict(zip(MEASURES, RANGES[kind])) | ({"tilt": (0.1, 0.5)} if stand == "keyboard" else {})
    return Monitor(
        kind=kind,
        stand=stand,
        case=tinted(rng, CASES[kind]),
        screen=tinted(rng, SCREENS),
        **uniform(rng, ranges),
    )


def build(monitor: Monitor) -> Shape:
    """The monitor in the canonical frame: its screen is in front."""
    head = [*_case(monitor), *_screen(monitor)]
    slope = 0.3 * monitor.tilt if monitor.kind == "crt" else monitor.tilt
    head = [Part(part.name, leaned(part.mesh, _bottom(monitor), slope)) for part in head]
    return finish(monitor.kind, [*head, *_stand(monitor)], _keypoints(monitor, slope))


def _bottom(monitor: Monitor) -> float:
    """Height of the case's lower edge."""
    if monitor.kind == "crt":
        return 4.0 if monitor.stand == "disc" else 1.0
    return {"legs": 0.5 * monitor.lift, "keyboard": 1.2}.get(monitor.stand, monitor.lift)


def _height(monitor: Monitor) -> float:
    """Of the case's front."""
    return monitor.aspect * monitor.width + monitor.chin


def _case(monitor: Monitor) -> list[Part]:
    """The frame around the screen (front face at z = 0) and what lies behind it."""
    x, low, high = monitor.width / 2.0, _bottom(monitor), _bottom(monitor) + _height(monitor)
    thick = 0.18 * monitor.depth if monitor.kind == "crt" else min(1.8, 0.6 * monitor.depth)
    frame = pad((-x, low, 0.0), (x, high, thick), monitor.case, 0.25 * thick, corner=monitor.corner, axis="z")
    outline, middle, half = rounded_square(0.15), (low + high) / 2.0, (high - low) / 2.0
    if monitor.kind == "crt":
        # Wide at the screen, then drawn in to the neck of the tube.
        spots = ((0.1, 0.94, 0.94), (0.45, 0.92, 0.9), (0.55, 0.86, 0.84), (0.9, 0.62, 0.6), (1.0, 0.52, 0.5))
    else:
        spots = ((0.2, 0.93, 0.93), (0.75, 0.8, 0.75), (1.0, 0.7, 0.6))
    back = [
        place(outline, "z", f * monitor.depth, scale=(w * x, h * half), centre=(0.0, middle - 0.2 * (1.0 - h) * half))
        for f, w, h in spots
    ]
    return named("case", frame, loft(back, monitor.case))


def _screen(monitor: Monitor) -> list[Part]:
    """The glass, a little proud of the frame; a tube's bulges."""
    b, low, high = monitor.bezel, _bottom(monitor), _bottom(monitor) + _height(monitor)
    x, foot, top = monitor.width / 2.0 - b, low + b + monitor.chin, high - b
    half, middle = (top - foot) / 2.0, (foot + top) / 2.0
    if monitor.kind == "crt":
        outline, bulge = rounded_square(0.16), 0.035 * monitor.width
        spots = ((1.0, 0.5), (1.0, -0.05), (0.9, -0.4 * bulge), (0.65, -0.75 * bulge), (0.3, -0.95 * bulge))
        glass = loft(
            [place(outline, "z", z, scale=(x * s, half * s), centre=(0, middle)) for s, z in spots], monitor.screen
        )
        knobs = [(0.75 * x - 3.0 * i, low + 0.5 * (b + monitor.chin)) for i in range(3)]
        radius = 0.16 * (b + monitor.chin)
        buttons = [revolve(((radius, -0.5), (radius, 0.5)), "z", KEYS, centre=(u, v, 0.0), sides=12) for u, v in knobs]
        return [*named("screen", glass), *named("case", *buttons)]
    glass = block((-x, foot, -0.08), (x, top, 0.4), monitor.screen, 0.0, axis="z")
    return named("screen", glass)


def _stand(monitor: Monitor) -> list[Part]:
    match monitor.stand:
        case "plate" | "disc":
            return _column(monitor)
        case "legs":
            return _two_legs(monitor)
        case "bent":
            return _bent(monitor)
        case "keyboard":
            return _keyboard(monitor)
        case _:
            x, z = 0.4 * monitor.width, (0.06 * monitor.depth, 0.35 * monitor.depth)
            return named("stand", *(pair(block((x - 2.0, 0.0, at), (x, 3.0, at + 3.0), KEYS)) for at in z))


def _column(monitor: Monitor) -> list[Part]:
    """A foot and a neck up to the case."""
    wide, deep, low = monitor.foot * monitor.width / 2.0, monitor.reach / 2.0, _bottom(monitor)
    behind = 0.35 * monitor.depth if monitor.kind == "crt" else 0.7 * monitor.depth
    if monitor.kind == "crt":
        r = 0.36 * monitor.width
        profile = ((r, 0.0), (r, 1.2), (0.75 * r, 2.0), (0.7 * r, low + 1.5))
        return named("stand", revolve(profile, "y", monitor.case, centre=(0.0, 0.0, behind)))
    if monitor.stand == "disc":
        outline, rise = rounded_square(0.999), ((1.0, 0.0), (1.0, 0.6), (0.85, 1.2), (0.2, 1.6))
        plate = loft(
            [place(outline, "y", y, scale=(wide * s, deep * s), centre=(0, behind)) for s, y in rise], monitor.case
        )
    else:
        plate = pad((-wide, 0.0, behind - deep), (wide, 1.2, behind + deep), monitor.case, 0.4, corner=1.5)
    neck = 0.09 * monitor.width
    top = low + 0.45 * _height(monitor)
    shift = monitor.tilt * (top - low)
    bar = block((-neck / 2.0, 0.6, behind), (neck / 2.0, top, behind + 2.5), monitor.case)
    return named("stand", plate, leaned(bar, 0.0, shift / top))


def _two_legs(monitor: Monitor) -> list[Part]:
    """Slim feet near both ends, as televisions have them."""
    x, low, half = 0.36 * monitor.width, _bottom(monitor), monitor.reach / 2.0
    middle = 0.5 * monitor.depth
    path = [(x + 2.0, 0.5, middle - half), (x, low + 0.8, middle), (x + 2.0, 0.5, middle + half)]
    return named("stand", pair(tube(path, 0.6, monitor.case, sides=8)))


def _bent(monitor: Monitor) -> list[Part]:
    """One sheet bent to a foot and a sloping support behind the case."""
    wide, low, z = monitor.foot * monitor.width / 2.4, _bottom(monitor), monitor.depth
    top = low + 0.4 * _height(monitor)
    support = z + monitor.tilt * (top - low)
    line = [(-0.45 * monitor.reach, 0.4), (z + 5.0, 0.4), (z + 6.0, 1.2), (support - 0.3, top)]
    sheet = []
    for i, (at, y) in enumerate(line):
        # Mitred by hand: the sheet is thin along y on the table and along z where it stands.
        lie, rise = (0.4, 0.0) if i < 2 else (0.2, 0.5)
        ring = [
            (-wide, y - lie, at + rise),
            (wide, y - lie, at + rise),
            (wide, y + lie, at - rise),
            (-wide, y + lie, at - rise),
        ]
        sheet.append(np.array(ring))
    return named("stand", loft(sheet, monitor.case))


def _keyboard(monitor: Monitor) -> list[Part]:
    """A laptop's deck in front of the screen with its keys and touchpad."""
    x, deep = monitor.width / 2.0, 0.62 * monitor.width
    deck = pad((-x, 0.0, -deep), (x, 1.6, monitor.depth), monitor.case, 0.5, corner=monitor.corner + 0.5)
    keys = block((-0.88 * x, 1.2, -0.6 * deep), (0.88 * x, 1.75, -0.1 * deep), KEYS, 0.0)
    touchpad = block((-0.3 * x, 1.2, -0.94 * deep), (0.3 * x, 1.68, -0.66 * deep), KEYS, 0.0)
    return named("stand", deck, keys, touchpad)


def _keypoints(monitor: Monitor, slope: float) -> dict[str, Sequence[float]]:
    """PASCAL3D+'s: the corners of the case's front and of its back."""
    x, low, height = monitor.width / 2.0, _bottom(monitor), _height(monitor)
    wide, high = (0.52, 0.5) if monitor.kind == "crt" else (0.7, 0.6)
    middle = low + height / 2.0 - 0.1 * (1.0 - high) * height

    def corner(u: float, y: float, z: float) -> tuple[float, float, float]:
        return u, y, z + slope * (y - low)

    return sided(
        {
            "front_bottom_{}": corner(x, low, 0.0),
            "front_top_{}": corner(x, low + height, 0.0),
            "back_bottom_{}": corner(wide * x, middle - high * height / 2.0, monitor.depth),
            "back_top_{}": corner(wide * x, middle + high * height / 2.0, monitor.depth),
        }
    )
