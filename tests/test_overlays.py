"""Pictures of meshes: against analytic spheres and boxes, and that every picture comes out whatever goes in."""

from dataclasses import replace

import numpy as np
import pytest

from monoform import overlays
from monoform.interfaces import Photo
from monoform.meshes import Mesh, box, icosphere
from monoform.results import PhotoMatch

K = np.array([[200.0, 0.0, 60.0], [0.0, 200.0, 40.0], [0.0, 0.0, 1.0]])
SIZE_HW = (80, 120)


def test_sphere_depth_and_normals_are_the_analytic_ones() -> None:
    view = overlays.draw(icosphere(4), np.eye(3), np.array([0.0, 0.0, 8.0]), K, SIZE_HW, samples=1)
    row, column = np.mgrid[0:80, 0:120] + 0.5
    rays = np.stack([(column - 60.0) / 200.0, (row - 40.0) / 200.0, np.ones_like(row)], axis=-1)
    a, b, c = (rays**2).sum(-1), -2.0 * 8.0 * rays[..., 2], 63.0
    discriminant = b**2 - 4.0 * a * c
    inside = discriminant > 1.0
    np.testing.assert_array_equal(view.alpha[inside], 1.0)
    assert not view.alpha[discriminant < -1.0].any()
    depth = (-b - np.sqrt(np.maximum(discriminant, 0.0))) / (2.0 * a)
    np.testing.assert_allclose(view.depth[inside], depth[inside], atol=0.01)
    normals = rays * depth[..., None] - (0.0, 0.0, 8.0)
    np.testing.assert_allclose((view.normals * normals).sum(-1)[inside], 1.0, atol=0.01)


def test_more_samples_antialias_the_edge() -> None:
    box_mesh, t = box((1.0, 1.0, 1.0)), np.array([0.013, 0.007, 5.0])
    views = [overlays.draw(box_mesh, np.eye(3), t, K, SIZE_HW, samples=n) for n in (1, 4)]
    # The near face at depth 4.5 spans 200 / 4.5 pixels on each side.
    areas = [float(view.alpha.sum()) for view in views]
    exact = (200.0 / 4.5) ** 2
    assert abs(areas[1] - exact) < abs(areas[0] - exact) + 1e-9
    assert areas[1] == pytest.approx(exact, rel=0.01)
    assert ((views[1].alpha > 0) & (views[1].alpha < 1)).any()


def test_window_does_not_change_the_picture() -> None:
    """The object's own window against a view in which a far speck stretches the window over the whole picture."""
    mesh = icosphere(2)
    speck = np.array([[-100.0, -100.0, 400.0], [-100.0, -99.9, 400.0], [-99.9, -100.0, 400.0]])
    wide = Mesh(np.concatenate([mesh.vertices, speck]), np.concatenate([mesh.faces, [[42 + 120, 163, 164]]]))
    assert len(mesh.vertices) == 162
    t = np.array([0.2, 0.1, 9.0])
    small, large = (overlays.draw(m, np.eye(3), t, K, SIZE_HW) for m in (mesh, wide))
    inside = small.alpha > 0
    np.testing.assert_allclose(small.alpha[inside], large.alpha[inside], atol=1e-6)
    np.testing.assert_allclose(small.colour[inside], large.colour[inside], atol=2e-3)


@pytest.mark.parametrize("t", [(0.0, 0.0, -5.0), (0.0, 0.0, 0.0), (50.0, 0.0, 5.0), (0.0, 0.0, 1.0), (0.0, 0.0, 1e9)])
def test_any_place_gives_a_finite_picture(t: tuple[float, float, float]) -> None:
    view = overlays.draw(box(), np.eye(3), np.array(t), K, SIZE_HW)
    assert np.isfinite(view.colour).all()
    assert np.isfinite(view.normals).all()
    assert view.colour.min() >= 0.0
    assert view.colour.max() <= 1.0
    assert (view.depth > 0).all()


def test_vertex_colours_are_kept() -> None:
    red = box()
    red = Mesh(red.vertices, red.faces, np.tile(np.array([200, 10, 10], np.uint8), (8, 1)))
    colour = overlays.draw(red, np.eye(3), np.array([0.0, 0.0, 5.0]), K, SIZE_HW).colour[40, 60]
    assert colour[0] > 4 * colour[1]


def test_outline_runs_along_the_edge_with_the_width_asked_for() -> None:
    row, column = np.mgrid[0:100, 0:100] + 0.5
    radius = np.hypot(row - 50.0, column - 50.0)
    coverage = np.clip(30.5 - radius, 0.0, 1.0)
    for width in (1.6, 2.0, 2.2):
        line = overlays.outline(coverage, width)
        assert line.sum() == pytest.approx(width * 2.0 * np.pi * 30.0, rel=0.05)
        assert not line[np.abs(radius - 30.0) > width].any()
    assert not overlays.outline(np.zeros((10, 10))).any()


def test_depth_and_normal_pictures() -> None:
    depth = np.array([[np.inf, 1.0], [2.0, 3.0]], np.float32)
    np.testing.assert_array_equal(overlays.depth_picture(depth), [[0, 255], [155, 55]])
    np.testing.assert_array_equal(overlays.depth_picture(np.full((2, 2), np.inf)), 0)
    normals = np.array([[[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, -1.0, 0.0]]])
    np.testing.assert_array_equal(overlays.normal_picture(normals)[0], [[128, 128, 255], [0, 0, 0], [128, 255, 128]])


def test_overlay_shows_photo_pose_and_alternative(car_match: PhotoMatch) -> None:
    picture = overlays.overlay_picture(car_match.photo, car_match.mask, car_match.mesh, car_match.alignment, name="car")
    certain = replace(car_match.alignment, ambiguous=False)
    narrow = overlays.overlay_picture(car_match.photo, car_match.mask, car_match.mesh, certain, name="car")
    assert picture.dtype == np.uint8
    assert picture.shape[1] == 3 * 192 + 2 * 4
    assert narrow.shape[1] == 2 * 192 + 4
    background = car_match.mask.coverage < 0.01
    far = background & (overlays.outline(car_match.mask.coverage, 4.0) == 0)
    np.testing.assert_array_equal(narrow[:144, :192][far], car_match.photo.image[far])
    # In the second panel the model's outline is drawn in its colour over the object's edge.
    orange = np.abs(narrow[:144, 196:].astype(int) - overlays.MODEL_COLOUR).sum(-1) < 60
    assert orange.sum() > 50


def test_large_photos_are_shown_smaller(car_match: PhotoMatch) -> None:
    big = Photo(np.zeros((1500, 2500, 3), np.uint8))
    mask = replace(car_match.mask, coverage=np.zeros((1500, 2500), np.float32))
    certain = replace(car_match.alignment, ambiguous=False)
    picture = overlays.overlay_picture(big, mask, car_match.mesh, certain)
    assert picture.shape[1] == 2 * overlays.PANEL_PX + 4


def test_hostile_and_long_names_fit(car_match: PhotoMatch) -> None:
    for name in ("x" * 5000, "a\nb\x1b[31m", "車 \udcff <b>"):
        picture = overlays.overlay_picture(
            car_match.photo, car_match.mask, car_match.mesh, car_match.alignment, name=name
        )
        assert picture.shape[2] == 3


def test_contact_sheet_has_a_cell_for_each_picture() -> None:
    pictures = [np.full((30, 50, 3), 40 * i, np.uint8) for i in range(5)]
    sheet = overlays.contact_sheet(pictures, list("abcde"), columns=3, cell=100)
    assert sheet.shape == (2 * 126, 300, 3)
    assert sheet[50, 150].tolist() == [40, 40, 40]


def test_drawing_twice_gives_the_same_picture(car_match: PhotoMatch) -> None:
    pictures = [
        overlays.overlay_picture(car_match.photo, car_match.mask, car_match.mesh, car_match.alignment) for _ in range(2)
    ]
    np.testing.assert_array_equal(*pictures)


def test_small_objects_are_shown_close_up(car_match: PhotoMatch) -> None:
    coverage = np.zeros((300, 400), np.float32)
    coverage[40:70, 100:160] = 1.0
    left, top, right, bottom = overlays._close_up(coverage)
    assert (right - left) / (bottom - top) == pytest.approx(400 / 300)
    assert left < 100 < 160 < right < 400
    assert top < 40 < 70 < bottom < 300
    assert (left + right) / 2 == pytest.approx(130.0)
    for rows in (slice(0, 300), slice(0, 0)):
        coverage[:] = 0.0
        coverage[rows] = 1.0
        assert overlays._close_up(coverage) == (0.0, 0.0, 400.0, 300.0)
