"""A chair from a handful of lengths in metres: dining chairs with slats or a panel, with or without arms."""

from dataclasses import dataclass

import numpy as np

from monoform.data.procedural.parts import Colour, assemble, block, loft, mirrored, place, rod, superellipse
from monoform.meshes import Mesh

WOODS = ((150, 96, 52), (96, 60, 36), (206, 170, 120), (64, 66, 70))
FABRICS = ((176, 60, 54), (60, 98, 122), (214, 200, 172), (92, 118, 84))


@dataclass(frozen=True)
class Chair:
    """Metres; `lean` and `splay` are metres at the top of the back and at the feet."""

    width: float
    depth: float
    seat_height: float
    back_height: float
    """Above the seat."""
    leg_radius: float
    splay: float
    lean: float
    slats: int
    """Upright slats of the back; 0 is a full panel."""
    arms: bool
    wood: Colour
    fabric: Colour


def sample(rng: np.random.Generator) -> Chair:
    """A chair drawn from the family."""
    return Chair(
        width=rng.uniform(0.42, 0.56),
        depth=rng.uniform(0.42, 0.52),
        seat_height=rng.uniform(0.42, 0.48),
        back_height=rng.uniform(0.38, 0.58),
        leg_radius=rng.uniform(0.017, 0.026),
        splay=rng.uniform(0.0, 0.06),
        lean=rng.uniform(0.04, 0.12),
        slats=int(rng.integers(0, 6)),
        arms=bool(rng.random() < 0.35),
        wood=WOODS[int(rng.integers(len(WOODS)))],
        fabric=FABRICS[int(rng.integers(len(FABRICS)))],
    )


def build(chair: Chair) -> Mesh:
    """The chair as a mesh in the canonical frame: one sits looking along -z."""
    return assemble([*_seat(chair), *_legs(chair), *_back(chair), *(_arms(chair) if chair.arms else [])])


def _seat(chair: Chair) -> list[Mesh]:
    half = np.array([chair.width, chair.depth]) / 2.0
    outline, top = superellipse(32, 0.35), chair.seat_height
    board = [place(outline, "y", y, scale=half, centre=(0, 0)) for y in (top - 0.035, top)]
    heights, sizes = (0.0, 0.025, 0.042), (0.95, 0.94, 0.8)
    cushion = [place(outline, "y", top + y, scale=half * s, centre=(0, 0)) for y, s in zip(heights, sizes)]
    return [loft(board, chair.wood), loft(cushion, chair.fabric)]


def _legs(chair: Chair) -> list[Mesh]:
    x, z, r = chair.width / 2.0 - 0.035, chair.depth / 2.0 - 0.035, chair.leg_radius
    top = chair.seat_height - 0.02
    parts = []
    for side in (-1.0, 1.0):
        foot, head = (x + chair.splay, 0.0, side * (z + chair.splay)), (x, top, side * z)
        parts += mirrored(rod(foot, head, (0.7 * r, r), chair.wood))
    rung = 0.4 * chair.seat_height
    spread = x + 0.6 * chair.splay
    return [*parts, *mirrored(block((spread - 0.01, rung, -z), (spread + 0.01, rung + 0.025, z), chair.wood))]


def _back(chair: Chair) -> list[Mesh]:
    """Two posts, a top rail and between them slats or a panel, all leaning backwards (+z)."""
    x, z, r = chair.width / 2.0 - 0.03, chair.depth / 2.0 - 0.03, chair.leg_radius
    low, top = chair.seat_height - 0.02, chair.seat_height + chair.back_height
    posts = mirrored(rod((x, low, z), (x, top, z + chair.lean), (r, 0.8 * r), chair.wood))
    rail = block((-x, top - 0.09, z + chair.lean - 0.02), (x, top, z + chair.lean + 0.012), chair.wood)
    if chair.slats == 0:
        return [*posts, rail, _panel(chair, x, z)]
    columns = np.linspace(-x, x, chair.slats + 2)[1:-1]
    slats = [rod((c, low, z), (c, top - 0.05, z + 0.95 * chair.lean), (0.014, 0.014), chair.wood) for c in columns]
    return [*posts, rail, *slats]


def _panel(chair: Chair, x: float, z: float) -> Mesh:
    outline = superellipse(24, 0.2)
    fractions = (0.2, 0.9)
    rings = [
        place(
            outline,
            "y",
            chair.seat_height + f * chair.back_height,
            scale=(0.97 * x, 0.018),
            centre=(0.0, z + f * chair.lean - 0.012),
        )
        for f in fractions
    ]
    return loft(rings, chair.fabric)


def _arms(chair: Chair) -> list[Mesh]:
    x, z, height = chair.width / 2.0, chair.depth / 2.0, chair.seat_height + 0.22
    post = rod((x - 0.02, chair.seat_height - 0.02, -z + 0.08), (x, height, -z + 0.06), (0.017, 0.017), chair.wood)
    rest = block((x - 0.03, height, -z + 0.02), (x + 0.03, height + 0.03, z + 0.45 * chair.lean), chair.wood)
    return [*mirrored(post), *mirrored(rest)]
