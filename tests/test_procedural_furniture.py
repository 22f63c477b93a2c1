"""The procedural furniture: fronts that are in front, keypoints where their names say, and what is symmetric."""

from types import ModuleType

import numpy as np
import pytest

from monoform.data.procedural import bottle, chair, lamp, monitor, sofa, table
from monoform.data.procedural.parts import Shape

RECIPES = (bottle, chair, lamp, monitor, sofa, table)
EVERY_KIND = [
    pytest.param(recipe, kind, id=f"{recipe.__name__.rsplit('.', 1)[-1]}-{kind}")
    for recipe in RECIPES
    for kind in recipe.KINDS
]
NAMES = {
    bottle: {"mouth", "body", "body_left", "body_right", "bottom", "bottom_left", "bottom_right"},
    chair: {f"{part}_{side}" for part in ("seat_upper", "seat_lower", "leg_upper", "leg_lower") for side in ("left", "right")}
    | {"back_upper_left", "back_upper_right"},
    lamp: {"base", "stem", "shade_top", "shade_bottom"},
    monitor: {f"{a}_{b}_{c}" for a in ("front", "back") for b in ("top", "bottom") for c in ("left", "right")},
    sofa: {f"{part}_{side}" for part in ("front_bottom", "seat_bottom", "seat_top") for side in ("left", "right")}
    | {"left_bottom_back", "right_bottom_back", "top_left_corner", "top_right_corner"},
    table: {f"{part}_{place}_{side}" for part in ("top", "leg") for place in ("upper", "lower") for side in ("left", "right")}
    | {"top_up", "top_down", "top_left", "top_right"},
}  # fmt: skip


def made(recipe: ModuleType, kind: str | None, seed: int) -> Shape:
    return recipe.build(recipe.sample(np.random.default_rng(seed), kind))


def vertices_of(shape: Shape, part: str) -> np.ndarray:
    chosen = shape.part_of_face == shape.part_names.index(part)
    assert chosen.any()
    return shape.mesh.vertices[np.unique(shape.mesh.faces[chosen])]


@pytest.mark.parametrize(("recipe", "kind"), EVERY_KIND)
def test_keypoints_have_their_names_and_sides(recipe: ModuleType, kind: str) -> None:
    for seed in range(6):
        shape = made(recipe, kind, seed)
        assert shape.kind == kind
        assert 300 < len(shape.mesh.faces) <= 5000
        assert set(shape.keypoints) == NAMES[recipe]
        for name, point in shape.keypoints.items():
            # 'left' is the object's own: it faces -z, so its right-hand side is +x.
            if np.isfinite(point[0]) and ("left" in name or "right" in name):
                assert point[0] < 0.0 if "left" in name else point[0] > 0.0, name


def test_corner_keypoints_lie_on_the_shape() -> None:
    """Feet, mouths and corners are at most 4 % of the diagonal from the nearest vertex."""
    marks = {
        chair: ("back_upper_left", "leg_lower_left", "leg_upper_right", "seat_lower_left"),
        sofa: ("front_bottom_left", "right_bottom_back"),
        table: ("top_upper_left", "top_lower_right", "leg_lower_left", "leg_upper_right", "top_up", "top_left"),
        monitor: ("front_top_left", "front_bottom_right", "back_top_left"),
        bottle: ("mouth", "bottom_left"),
    }
    for recipe, names in marks.items():
        for kind in recipe.KINDS:
            for seed in range(6):
                shape = made(recipe, kind, seed)
                for name in names:
                    point = shape.keypoints[name]
                    if np.isfinite(point).all():
                        gap = np.linalg.norm(shape.mesh.vertices - point, axis=1).min()
                        # The feet of a sofa stand a little within its corners.
                        assert gap < (0.12 if recipe is sofa else 0.04), (recipe.__name__, kind, seed, name, gap)


@pytest.mark.parametrize("seed", range(6))
def test_fronts_are_in_front(seed: int) -> None:
    for kind in ("four-leg", "slat", "arm", "swivel"):
        shape = made(chair, kind, seed)
        back, seat = vertices_of(shape, "back"), vertices_of(shape, "seat")
        assert back[:, 2].mean() > seat[:, 2].max() - 0.25 * np.ptp(seat[:, 2])
        assert back[:, 1].max() > seat[:, 1].max()
        assert shape.keypoints["seat_lower_left"][2] < shape.keypoints["seat_upper_left"][2]
    for kind in sofa.KINDS:
        shape = made(sofa, kind, seed)
        assert vertices_of(shape, "back")[:, 2].mean() > vertices_of(shape, "seat")[:, 2].max() - 0.1
    for kind in monitor.KINDS:
        shape = made(monitor, kind, seed)
        assert vertices_of(shape, "screen")[:, 2].min() < vertices_of(shape, "case")[:, 2].mean()
    for kind in bottle.KINDS:
        assert vertices_of(made(bottle, kind, seed), "label")[:, 2].mean() < -0.01
    desk = made(table, "desk", seed)
    assert vertices_of(desk, "drawers")[:, 2].min() == pytest.approx(desk.mesh.vertices[:, 2].min(), abs=0.03)
    head = made(lamp, "desk", seed)
    assert vertices_of(head, "bulb")[:, 2].mean() < vertices_of(head, "base")[:, 2].mean() - 0.05


def test_stools_have_no_back_and_pedestals_no_legs() -> None:
    for seed in range(20):
        stool = made(chair, "stool", seed)
        assert "back" not in stool.part_names
        assert np.isnan(stool.keypoints["back_upper_left"]).all()
        # Legs are marked where there are four of them.
        legs = chair.sample(np.random.default_rng(seed), "stool").legs
        assert np.isnan(stool.keypoints["leg_lower_left"]).all() == (legs != 4)
        assert np.isnan(made(table, "pedestal", seed).keypoints["leg_lower_left"]).all()


def test_nearly_every_chair_has_a_back() -> None:
    backs = ["back" in made(chair, None, seed).part_names for seed in range(200)]
    assert 0.9 < np.mean(backs) < 1.0


MIRRORED = [p for p in EVERY_KIND if p.id not in ("sofa-corner", "table-desk", "monitor-crt")]
"""A chaise, a single chest of drawers and the knobs of a television stand on one side."""


@pytest.mark.parametrize(("recipe", "kind"), MIRRORED)
def test_the_others_are_their_own_mirror_image(recipe: ModuleType, kind: str) -> None:
    vertices = made(recipe, kind, 1).mesh.vertices
    flipped = vertices * (-1.0, 1.0, 1.0)
    order = [np.lexsort(np.round(v, 6).T) for v in (vertices, flipped)]
    np.testing.assert_allclose(vertices[order[0]], flipped[order[1]], atol=2e-6)
