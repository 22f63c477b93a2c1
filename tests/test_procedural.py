"""The procedural shapes: closed parts, the canonical frame, one continuous family, and that each looks like itself."""

import numpy as np
import pytest

from monoform.data.procedural import CATEGORIES, make
from monoform.data.procedural.parts import block, cylinder, loft, mirrored, place, superellipse
from monoform.data.procedural.photographs import take_photograph
from monoform.meshes import bounds, is_watertight, signed_volume


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("seed", range(8))
def test_shapes_stand_in_the_canonical_frame(category: str, seed: int) -> None:
    mesh = make(category, seed)
    low, high = bounds(mesh.vertices)
    np.testing.assert_allclose(low + high, 0.0, atol=1e-12)
    assert np.linalg.norm(high - low) == pytest.approx(1.0)
    assert is_watertight(mesh)
    assert mesh.colours is not None
    assert len(np.unique(mesh.colours, axis=0)) >= 2
    assert 300 < len(mesh.faces) < 8000


@pytest.mark.parametrize("category", CATEGORIES)
def test_seed_decides(category: str) -> None:
    first, again, other = make(category, 4), make(category, 4), make(category, 5)
    np.testing.assert_array_equal(first.vertices, again.vertices)
    assert first.vertices.shape != other.vertices.shape or not np.allclose(first.vertices, other.vertices)


def coloured(mesh, test) -> np.ndarray:
    """Mean position of the vertices whose colour passes the test."""
    chosen = test(mesh.colours.astype(int))
    assert chosen.any()
    return mesh.vertices[chosen].mean(axis=0)


def test_car_has_white_lamps_in_front_and_red_ones_behind() -> None:
    for seed in range(5):
        car = make("car", seed)
        assert coloured(car, lambda c: (c == (250, 244, 214)).all(1))[2] < -0.3
        assert coloured(car, lambda c: (c == (188, 26, 24)).all(1))[2] > 0.3
        extent = np.ptp(car.vertices, axis=0)
        assert extent[2] > extent[0] > extent[1]


def test_chair_has_its_back_behind_and_above_the_seat() -> None:
    for seed in range(5):
        chair = make("chair", seed)
        top = chair.vertices[chair.vertices[:, 1] > 0.3]
        assert top[:, 2].min() > 0.1


def test_aeroplane_has_its_fin_behind_and_wings_to_both_sides() -> None:
    for seed in range(5):
        plane = make("aeroplane", seed)
        highest = plane.vertices[plane.vertices[:, 1].argmax()]
        assert highest[2] > 0.2
        extent = np.ptp(plane.vertices, axis=0)
        assert min(extent[0], extent[2]) > 2.0 * extent[1]


@pytest.mark.parametrize("category", CATEGORIES)
def test_shapes_are_their_own_mirror_image(category: str) -> None:
    vertices = make(category, 1).vertices
    flipped = vertices * (-1.0, 1.0, 1.0)
    order = [np.lexsort(np.round(v, 6).T) for v in (vertices, flipped)]
    np.testing.assert_allclose(vertices[order[0]], flipped[order[1]], atol=2e-6)


def test_parts_are_closed_and_look_outwards() -> None:
    parts = [
        block((-1, -1, -1), (1, 1, 1), (0, 0, 0)),
        cylinder("x", (0.0, 2.0), 0.5, (0, 0), (0, 0, 0)),
        cylinder("z", (3.0, 1.0), 0.5, (0, 0), (0, 0, 0)),
        mirrored(block((1, 1, 1), (2, 2, 2), (0, 0, 0)))[1],
        loft([place(superellipse(9, 0.4), "y", y, scale=(1, 1), centre=(0, 0)) for y in (0, 1, 2)], (1, 2, 3)),
    ]
    for part in parts:
        assert is_watertight(part)
        assert signed_volume(part) > 0
    circle_area = 0.5 * 24 * np.sin(2 * np.pi / 24) * 0.25
    assert signed_volume(parts[1]) == pytest.approx(2.0 * circle_area)


def test_photographs_look_from_above_at_an_upright_object() -> None:
    up = np.array([0.0, 1.0, 0.0])
    for seed in range(10):
        shot = take_photograph(make("car", 0), seed, size_wh=(64, 48))
        np.testing.assert_allclose(shot.R @ shot.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(shot.R) == pytest.approx(1.0)
        # The model's top points up in the picture (-y) and leans towards the camera (-z), which looks down on it.
        assert (shot.R @ up)[1] < -0.7
        assert (shot.R @ up)[2] < 0.0


def test_photographs_are_true_and_repeatable() -> None:
    mesh = make("chair", 0)
    shot, again = (take_photograph(mesh, seed=7, size_wh=(160, 120)) for _ in range(2))
    np.testing.assert_array_equal(shot.photo.image, again.photo.image)
    np.testing.assert_array_equal(shot.R, again.R)
    pixels = (mesh.vertices @ shot.R.T + shot.t) @ shot.K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    row, column = np.nonzero(shot.mask > 0.5)
    assert column.min() == pytest.approx(pixels[:, 0].min(), abs=1.5)
    assert row.max() == pytest.approx(pixels[:, 1].max(), abs=1.5)
    # A background that could be taken for the object's own plain colour would be no test.
    assert shot.photo.image[shot.mask == 0].std() > 8
