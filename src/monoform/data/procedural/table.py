"""Tables from a few lengths in metres: dining tables, round ones, desks with drawers, pedestal and coffee tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.furniture import LEFT, WOODS, pad, shaded, sided, tinted
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
    revolve,
    superellipse,
    tube,
    turned,
    uniform,
)
from monoform.meshes import Mesh

KINDS = ("rectangular", "round", "desk", "pedestal", "coffee")
METALS = ((60, 62, 66), (150, 154, 160), (36, 36, 38))
GLASS: Colour = (150, 186, 186)
BASE = {
    "top": (0.02, 0.05),
    "corner": (0.008, 0.08),
    "overhang": (0.02, 0.12),
    "leg": (0.022, 0.042),
    "taper": (0.5, 1.0),
    "splay": (0.0, 0.09),
    "apron": (0.05, 0.11),
    "shelf": (0.2, 0.45),
    "column": (0.03, 0.055),
    "foot": (0.5, 0.8),
}
SIZES = {
    "rectangular": {"width": (1.1, 2.0), "depth": (0.7, 0.95), "height": (0.7, 0.78)},
    "round": {"width": (0.6, 1.3), "depth": (0.9, 1.0), "height": (0.5, 0.78)},
    "desk": {"width": (1.1, 1.7), "depth": (0.55, 0.8), "height": (0.7, 0.78)},
    "pedestal": {"width": (0.55, 1.2), "depth": (0.9, 1.0), "height": (0.68, 1.05)},
    "coffee": {"width": (0.8, 1.3), "depth": (0.45, 0.75), "height": (0.32, 0.5)},
}


@dataclass(frozen=True)
class Table:
    """Metres."""

    kind: str
    width: float
    depth: float
    height: float
    top: float
    """Thickness of the top."""
    corner: float
    """Radius of the top's corners."""
    overhang: float
    """From the top's edge to the legs."""
    leg: float
    """Radius."""
    taper: float
    """The foot's radius as a fraction of the leg's."""
    splay: float
    square: bool
    """Whether legs are square or else round."""
    legs: int
    apron: float
    """Height of the frame under the top; 0 is none."""
    shelf: float
    """Height of a lower board as a fraction of the table's; 0 is none."""
    column: float
    """Radius of a pedestal."""
    foot: float
    """Reach of a pedestal's foot as a fraction of the top's."""
    feet: int
    """Of a pedestal; 0 is a disc."""
    drawers: int
    """Of each of a desk's chests."""
    chests: int
    """1 or 2; opposite a single one there are legs."""
    top_colour: Colour
    frame: Colour


def sample(rng: np.random.Generator, kind: str | None = None) -> Table:
    """A table drawn from the family, of the given kind or of any."""
    kind = kind or pick(rng, KINDS)
    values = uniform(rng, {**BASE, **SIZES[kind]})
    if kind in ("round", "pedestal"):
        # Of these `depth` is drawn as a fraction of the width; a pedestal's top may also be square.
        values["depth"] = values["width"] * (1.0 if rng.random() < 0.7 else values["depth"])
        values["corner"] = values["corner"] if kind == "pedestal" and rng.random() < 0.3 else values["width"]
    wood, metal = tinted(rng, WOODS), rng.random() < 0.25
    glass = kind != "desk" and rng.random() < 0.15
    values["apron"] *= kind != "pedestal" and not glass and rng.random() < 0.75
    values["shelf"] *= kind == "coffee" and rng.random() < 0.5
    return Table(
        kind=kind,
        square=bool(rng.random() < 0.6) and kind != "round",
        legs=pick(rng, (3, 4)) if kind == "round" else 4,
        feet=pick(rng, (0, 3, 4)),
        drawers=int(rng.integers(2, 5)),
        chests=pick(rng, (1, 2)),
        top_colour=GLASS if glass else tinted(rng, WOODS) if rng.random() < 0.3 else wood,
        frame=tinted(rng, METALS) if metal else shaded(rng, wood),
        **values,
    )


def build(table: Table) -> Shape:
    """The table in the canonical frame; drawers open towards -z."""
    match table.kind:
        case "desk":
            under = _desk(table)
        case "pedestal":
            under = _pedestal(table)
        case _:
            under = _legs(table)
    return finish(table.kind, [*_top(table), *under], _keypoints(table))


def _is_round(table: Table) -> bool:
    return table.corner >= table.width


def _slab(table: Table, low: float, high: float, inset: float, colour: Colour) -> Mesh:
    """A board of the top's shape between two heights."""
    half = np.array([table.width, table.depth]) / 2.0 - inset
    edge = 0.3 * (high - low)
    if not _is_round(table):
        x, z = half
        return pad((-x, low, -z), (x, high, z), colour, edge, corner=max(table.corner, 1.2 * edge))
    outline, heights = superellipse(40), (low, low + edge, high - edge, high)
    return loft(
        [place(outline, "y", y, scale=half - i, centre=(0, 0)) for y, i in zip(heights, (edge, 0, 0, edge))], colour
    )


def _top(table: Table) -> list[Part]:
    low = table.height - table.top
    parts = named("top", _slab(table, low, table.height, 0.0, table.top_colour))
    if table.apron == 0.0:
        return parts
    high, inset = low + 0.002, table.overhang + 0.3 * table.leg
    if _is_round(table):
        inset += 0.1 * table.width
        return parts + named("apron", _slab(table, low - table.apron, high, inset, table.frame))
    x, z, thick = table.width / 2.0 - inset, table.depth / 2.0 - inset, 0.02
    side = block((x - thick, low - table.apron, -z), (x, high, z), table.frame, 0.0)
    rails = [
        block((-x, low - table.apron + 0.001, e), (x, high - 0.001, e + thick), table.frame, 0.0)
        for e in (-z, z - thick)
    ]
    return parts + named("apron", pair(side), *rails)


def _corner(table: Table) -> tuple[float, float]:
    """x and z of the leg at +x and +z, where it meets the top."""
    inset = table.overhang + table.leg
    if _is_round(table):
        return (0.36 * table.width - 0.5 * inset, 0.36 * table.depth - 0.5 * inset)
    return table.width / 2.0 - inset, table.depth / 2.0 - inset


def _leg(table: Table, foot: tuple[float, float], head: tuple[float, float]) -> Mesh:
    outline = superellipse(12, 0.1 if table.square else 1.0)
    spots = ((0.0, foot, table.taper), (table.height - table.top + 0.004, head, 1.0))
    scale = [(table.leg * size, table.leg * size) for _, _, size in spots]
    return loft([place(outline, "y", y, scale=s, centre=at) for (y, at, _), s in zip(spots, scale)], table.frame)


def _legs(table: Table) -> list[Part]:
    (x, z), out = _corner(table), table.splay * table.height
    if table.legs == 3:
        reach = float(np.hypot(x, z))
        parts = named("leg", turned(_leg(table, (0.0, reach + out), (0.0, reach)), "y", (0, 0, 0), 3))
    else:
        parts = named("leg", *(pair(_leg(table, (x + out, s * (z + out)), (x, s * z))) for s in (-1.0, 1.0)))
    if table.shelf > 0.0:
        y = table.shelf * table.height
        parts += named("shelf", block((-x, y, -z), (x, y + 0.02, z), table.top_colour, 0.0))
    return parts


def _pedestal(table: Table) -> list[Part]:
    """A turned column on a disc or on arched feet."""
    r, top, low = table.column, table.height - table.top + 0.003, 0.03 if table.feet == 0 else 0.12
    reach = table.foot * table.width / 2.0
    height = top - low
    turns = ((1.4, 0.0), (1.5, 0.05), (0.9, 0.12), (1.25, 0.3), (0.8, 0.6), (0.75, 0.85), (1.8, 0.95), (3.0, 1.0))
    column = revolve([(r * size, low + height * at) for size, at in turns], "y", table.frame)
    if table.feet == 0:
        disc = ((reach, 0.0), (reach, 0.012), (0.85 * reach, 0.028), (1.4 * r, 0.045))
        return [*named("column", column), *named("leg", revolve(disc, "y", table.frame, sides=32))]
    path = [
        (0, 0.2, 0.5 * r),
        (0, 0.19, 0.3 * reach),
        (0, 0.1, 0.7 * reach),
        (0, 0.022, 0.95 * reach),
        (0, 0.02, 1.1 * reach),
    ]
    foot = tube(path, np.array([0.03, 0.03, 0.025, 0.02, 0.018]), table.frame, sides=8)
    # Half a step round, so that four feet point to the corners of a square top.
    feet = turned(foot, "y", (0, 0, 0), table.feet)
    if table.feet == 4:
        cos = np.sqrt(0.5)
        turn = np.array([[cos, 0.0, cos], [0.0, 1.0, 0.0], [-cos, 0.0, cos]])
        feet = Mesh(feet.vertices @ turn.T, feet.faces, feet.colours)
    return [*named("column", column), *named("leg", feet)]


def _desk(table: Table) -> list[Part]:
    """Chests of drawers at one or both ends, a board behind the knees and legs where there is no chest."""
    x, z, top = table.width / 2.0 - 0.02, table.depth / 2.0 - 0.02, table.height - table.top + 0.002
    inner, feet = x - min(0.42, 0.3 * table.width), 0.06
    pitch = (top - 0.02 - feet) / table.drawers
    meshes, fronts = [block((inner, feet, -z + 0.012), (x, top, z), table.frame, 0.05)], []
    for i in range(table.drawers):
        low, high = feet + i * pitch + 0.012, feet + (i + 1) * pitch - 0.004
        fronts.append(block((inner + 0.014, low, -z), (x - 0.014, high, -z + 0.04), table.top_colour, 0.0))
        middle, y = (inner + x) / 2.0, (low + high) / 2.0
        fronts.append(
            block((middle - 0.06, y - 0.008, -z - 0.022), (middle + 0.06, y + 0.008, -z + 0.02), METALS[1], 0.1)
        )
    stub = [
        block((x - 0.05, 0.0, e), (x - 0.01, feet + 0.01, e + 0.04), table.frame, 0.0) for e in (-z + 0.03, z - 0.06)
    ]
    stub += [
        block((inner + 0.01, 0.0, e), (inner + 0.05, feet + 0.01, e + 0.04), table.frame, 0.0)
        for e in (-z + 0.03, z - 0.06)
    ]
    board = block((-x + 0.02, 0.35 * top, z - 0.05), (x - 0.05, top - 0.003, z - 0.03), table.frame, 0.0)
    if table.chests == 2:
        return named("drawers", *map(pair, meshes), *map(pair, fronts)) + named("leg", *map(pair, stub), board)
    legs = [_leg(table, (-x + table.leg, s * (z - table.leg)), (-x + table.leg, s * (z - table.leg))) for s in (-1, 1)]
    return named("drawers", *meshes, *fronts) + named("leg", *stub, *legs, board)


def _keypoints(table: Table) -> dict[str, Sequence[float]]:
    """PASCAL3D+'s: 'upper' is behind and 'lower' in front; a round top has edges, any other has corners."""
    (x, z), out = _corner(table), table.splay * table.height
    half_x, half_z, y = table.width / 2.0, table.depth / 2.0, table.height
    round_, legs = _is_round(table), table.kind != "pedestal" and table.legs == 4
    if table.kind == "desk":
        x, z, out = half_x - 0.04, half_z - 0.05, 0.0
    corners = {
        "top_upper_{}": NOWHERE if round_ else (half_x, y, half_z),
        "top_lower_{}": NOWHERE if round_ else (half_x, y, -half_z),
        "leg_upper_{}": (x + out, 0.0, z + out) if legs else NOWHERE,
        "leg_lower_{}": (x + out, 0.0, -z - out) if legs else NOWHERE,
    }
    edges = {
        "up": (0, y, half_z),
        "down": (0, y, -half_z),
        "left": (LEFT * half_x, y, 0),
        "right": (-LEFT * half_x, y, 0),
    }
    return {**sided(corners), **{f"top_{word}": at if round_ else NOWHERE for word, at in edges.items()}}
