"""What the inside of the photo says about a pose."""

import numpy as np
import pytest

from monoform.alignment import appearance
from monoform.alignment.model import prepare
from monoform.data.procedural import make
from monoform.data.procedural.photographs import Photograph, take_photograph
from monoform.meshes import Mesh, box
from monoform.target import Crop, crop_around


@pytest.fixture(scope="module")
def car() -> Mesh:
    return make("car", 2)


@pytest.fixture(scope="module")
def shot(car: Mesh) -> Photograph:
    return take_photograph(car, 3, (480, 360))


def looks(shot: Photograph, mesh: Mesh, R: np.ndarray, t: np.ndarray) -> tuple[float, float]:
    model, crop = prepare(mesh), crop_around(shot.mask)
    inside = appearance.inside(shot.photo.image, shot.mask, crop)
    return appearance.measure(inside, model, appearance.materials(model), *model.from_file(R, t), crop, shot.K)


def test_the_true_pose_looks_better_than_its_half_turn(car: Mesh, shot: Photograph) -> None:
    true = looks(shot, car, shot.R, shot.t)
    half_turn = looks(shot, car, shot.R @ np.diag([-1.0, 1.0, -1.0]), shot.t)
    assert true[0] > half_turn[0] + 0.1
    assert true[1] > half_turn[1]
    assert true[0] > 0.7


def test_the_mesh_needs_no_colours(car: Mesh, shot: Photograph) -> None:
    found = looks(shot, Mesh(car.vertices, car.faces), shot.R, shot.t)
    assert all(0 < one <= 1 for one in found)


@pytest.mark.parametrize("t", [[0.0, 0.0, -5.0], [100.0, 0.0, 5.0], [0.0, 0.0, 1e6]])
def test_a_pose_that_shows_nothing_measures_nothing(car: Mesh, shot: Photograph, t: list[float]) -> None:
    assert looks(shot, car, shot.R, np.array(t)) == (0.0, 0.0)


def test_a_vertex_in_the_cameras_plane_warns_of_nothing(shot: Photograph) -> None:
    found = looks(shot, box((1.0, 1.0, 1.0)), np.eye(3), np.array([0.0, 0.0, 0.5]))
    assert np.isfinite(found).all()


def test_a_flat_picture_prefers_no_pose(car: Mesh, shot: Photograph) -> None:
    model, crop = prepare(car), crop_around(shot.mask)
    inside = appearance.inside(np.full_like(shot.photo.image, 90), shot.mask, crop)
    kinds, found = appearance.materials(model), []
    for R_file in (shot.R, shot.R @ np.diag([-1.0, 1.0, -1.0])):
        R, t = model.from_file(R_file, shot.t)
        found.append(appearance.measure(inside, model, kinds, R, t, crop, shot.K))
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    assert found[0][1] == 0


def test_the_inside_is_the_photos_crop_in_linear_light() -> None:
    image = np.zeros((96, 192, 3), np.uint8)
    image[:, :96] = (255, 128, 0)
    mask = np.zeros((96, 192), np.float32)
    mask[:, 48:] = 1
    found = appearance.inside(image, mask, Crop(0.0, 0.0, 96.0))
    np.testing.assert_allclose(found.linear[50, 50], [1, (128 / 255) ** 2.2, 0], atol=1e-5)
    np.testing.assert_allclose(found.grey[50, 50], 383 / 765, atol=1e-5)
    np.testing.assert_array_equal(found.mask, mask[:, :96] > 0.5)


def test_materials_are_the_largest_colours_and_every_face_has_one() -> None:
    block = box((1.0, 1.0, 1.0))
    corners = block.vertices[block.faces].reshape(-1, 3)
    faces = np.arange(len(corners)).reshape(-1, 3)
    colours = np.tile(np.array([[200, 0, 0]], np.uint8), (len(corners), 1))
    colours[:6] = [0, 0, 255]  # two faces of the block's twelve or more
    kinds = appearance.materials(prepare(Mesh(corners, faces, colours)))
    np.testing.assert_allclose(kinds.albedo, (np.array([[200, 0, 0], [0, 0, 255]]) / 255) ** 2.2, atol=1e-9)
    np.testing.assert_array_equal(kinds.of_face, [1, 1] + [0] * (len(faces) - 2))
    plain = appearance.materials(prepare(Mesh(corners, faces)))
    assert (plain.of_face == 0).all()
    assert plain.albedo.shape == (1, 3)


def test_the_nine_harmonics_explain_any_quadratic_in_the_normal() -> None:
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(4000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    square = rng.normal(size=(3, 3))
    light = 0.5 + normals @ rng.normal(size=3) + np.einsum("pi,ij,pj->p", normals, square, normals)
    assert appearance._explained(light, appearance._harmonics(normals)) > 0.99
    assert appearance._explained(rng.normal(size=4000), appearance._harmonics(normals)) < 0.02
