"""The pose of a mesh in a photo, end to end."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from monoform.alignment import align, align_library
from monoform.alignment.ambiguity import AMBIGUOUS, kind_of, relation, weights
from monoform.alignment.model import prepare, up_rotation
from monoform.alignment.search import distinct, rotations
from monoform.data.procedural import make
from monoform.data.procedural.photographs import Photograph, take_photograph
from monoform.errors import EmptyMaskError, FullMaskError, InputError
from monoform.interfaces import Alignment, Mask, Photo
from monoform.meshes import Mesh, box
from monoform.symmetry import SymmetryGroup, detect_symmetry, rotation_error


@pytest.fixture(scope="module")
def car() -> Mesh:
    return make("car", 2)


@pytest.fixture(scope="module")
def shot(car: Mesh) -> Photograph:
    return take_photograph(car, 3, (480, 360))


def error_deg(found: Alignment, mesh: Mesh, R: np.ndarray) -> float:
    return float(np.degrees(rotation_error(found.poses[0].R, R, detect_symmetry(mesh))))


@pytest.mark.parametrize("category", ["car", "chair", "aeroplane"])
@pytest.mark.parametrize("upright", [True, False])
def test_finds_the_hidden_pose(category: str, upright: bool) -> None:
    mesh = make(category, 5)
    hidden = take_photograph(mesh, 7, (480, 360))
    found = align(hidden.photo, mesh, mask=hidden.mask, K=hidden.K, upright=upright)
    first = found.poses[0]
    assert error_deg(found, mesh, hidden.R) < 1.5
    np.testing.assert_allclose(first.t, hidden.t, atol=0.02 * hidden.t[2])
    assert first.iou > 0.95
    assert first.contour_px < 1.0
    assert sum(pose.weight for pose in found.poses) == pytest.approx(1)
    assert not found.K_assumed


def test_the_model_frame_is_the_files_own(car: Mesh, shot: Photograph) -> None:
    """The same car in millimetres, z up and off its origin: same picture, so its own frame's pose draws the same pixels."""
    Z = up_rotation("z").T  # y up to z up
    offset, scale = np.array([300.0, 40.0, -70.0]), 4000.0
    moved = Mesh(scale * car.vertices @ Z.T + offset, car.faces, car.colours)
    found = align(shot.photo, moved, mask=shot.mask, K=shot.K, upright=True, up_axis="z")
    R, t = found.poses[0].R, found.poses[0].t
    seen, true = moved.vertices @ R.T + t, scale * (car.vertices @ shot.R.T + shot.t)
    assert np.linalg.norm(seen[:, :2] / seen[:, 2:] - true[:, :2] / true[:, 2:], axis=1).max() * shot.K[0, 0] < 3.0
    assert np.linalg.norm(seen - true, axis=1).max() < 0.03 * scale


def test_same_inputs_give_the_same_bits_and_another_seed_the_same_pose(car: Mesh, shot: Photograph) -> None:
    one, two, other = (align(shot.photo, car, mask=shot.mask, K=shot.K, upright=True, seed=seed) for seed in (0, 0, 1))
    for a, b in zip(one.poses, two.poses, strict=True):
        np.testing.assert_array_equal(a.R, b.R)
        np.testing.assert_array_equal(a.t, b.t)
        assert a.weight == b.weight
    assert error_deg(other, car, one.poses[0].R) < 0.5


def test_an_unknown_focal_length_is_searched_and_said(car: Mesh, shot: Photograph) -> None:
    found = align(shot.photo, car, mask=shot.mask, upright=True)
    assert found.K_assumed
    assert any("focal length is not known" in note for note in found.warnings)
    assert found.K[0, 0] == found.K[1, 1]
    np.testing.assert_array_equal(found.K[:2, 2], [240, 180])
    assert error_deg(found, car, shot.R) < 12


def test_fov_and_exif_are_taken(car: Mesh, shot: Photograph) -> None:
    by_fov = align(shot.photo, car, mask=shot.mask, fov_deg=50.0, upright=True)
    np.testing.assert_allclose(by_fov.K, shot.K)
    assert by_fov.K_source == "fov"
    with_exif = Photo(shot.photo.image, focal_px=float(shot.K[0, 0]))
    assert align(with_exif, car, mask=shot.mask, upright=True).K_source == "exif"


def test_an_object_cut_by_the_border_is_found_and_flagged(car: Mesh, shot: Photograph) -> None:
    columns = np.nonzero((shot.mask > 0.5).any(0))[0]
    cut = int(columns[0] + 0.25 * (columns[-1] - columns[0]))
    K = shot.K.copy()
    K[0, 2] -= cut
    found = align(shot.photo.image[:, cut:], car, mask=shot.mask[:, cut:], K=K, upright=True)
    assert any("border" in note for note in found.warnings)
    assert error_deg(found, car, shot.R) < 3


def test_a_wrong_mask_is_survived(car: Mesh, shot: Photograph) -> None:
    """A fifth of the object is missing from the mask."""
    rows, columns = np.nonzero(shot.mask > 0.5)
    mask = shot.mask.copy()
    middle = int(np.median(columns))
    mask[: int(np.quantile(rows, 0.4)), middle:] = 0
    found = align(shot.photo, car, mask=mask, K=shot.K, upright=True)
    assert error_deg(found, car, shot.R) < 5


def test_the_right_mesh_of_a_library_comes_first(car: Mesh, shot: Photograph) -> None:
    library = [
        ("chair", make("chair", 1)),
        ("other car", make("car", 9)),
        ("car", car),
        ("plane", make("aeroplane", 1)),
    ]
    ranked = align_library(shot.photo, library, mask=shot.mask, K=shot.K, upright=True)
    assert ranked[0][0] == "car"
    assert len(ranked) == 4


def test_a_box_is_ambiguous_and_says_so() -> None:
    """A plain block looks the same after half a turn: the answer names the symmetry instead of one confident pose."""
    block = box((0.8, 0.4, 0.3))
    hidden = take_photograph(block, 2, (320, 240))
    found = align(hidden.photo, block, mask=hidden.mask, K=hidden.K)
    assert found.symmetry == "D2"
    assert found.ambiguous
    assert error_deg(found, block, hidden.R) < 2


def test_a_bottle_turns_about_its_axis() -> None:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rings = [(-0.5, 0.2), (0.1, 0.2), (0.3, 0.07), (0.5, 0.07)]
    ring = np.stack([np.cos(angles), np.zeros(48), np.sin(angles)], axis=1)
    vertices = np.concatenate([ring * r + [0, y, 0] for y, r in rings] + [[[0, -0.5, 0], [0, 0.5, 0]]])
    i, j = np.arange(48), np.roll(np.arange(48), -1)
    sides = [np.stack([i + 48 * k, j + 48 * k, j + 48 * (k + 1)], 1) for k in range(3)]
    sides += [np.stack([i + 48 * k, j + 48 * (k + 1), i + 48 * (k + 1)], 1) for k in range(3)]
    caps = [np.stack([i, j, np.full(48, 192)], 1), np.stack([i + 144, j + 144, np.full(48, 193)], 1)]
    bottle = Mesh(vertices, np.concatenate(sides + caps))
    hidden = take_photograph(bottle, 4, (320, 240))
    found = align(hidden.photo, bottle, mask=hidden.mask, K=hidden.K)
    assert found.symmetry == "axis"
    assert (found.ambiguous, found.ambiguity) == (True, "symmetry axis")
    assert error_deg(found, bottle, hidden.R) < 3


def test_the_trace_ends_at_a_good_fit(car: Mesh, shot: Photograph) -> None:
    found = align(shot.photo, car, mask=shot.mask, K=shot.K, upright=True)
    assert len(found.trace) > 10
    assert found.trace[-1].iou > found.trace[0].iou
    assert found.trace[-1].iou > 0.9
    np.testing.assert_array_equal(found.trace[-1].R, found.poses[0].R)
    np.testing.assert_array_equal(found.trace[-1].t, found.poses[0].t)


THIN = np.zeros((360, 480), np.float32)
THIN[100, 20:460] = 1
DOT = np.zeros((360, 480), np.float32)
DOT[50, 60] = 1
ALL_BUT_A_CORNER = np.ones((360, 480), np.float32)
ALL_BUT_A_CORNER[:3, :3] = 0


@pytest.mark.parametrize("coverage", [THIN, DOT, ALL_BUT_A_CORNER], ids=["wire", "dot", "larger than the picture"])
def test_masks_that_no_pose_fits_still_get_a_finite_answer(car: Mesh, shot: Photograph, coverage: np.ndarray) -> None:
    found = align(shot.photo, car, mask=Mask(coverage, "array"), K=shot.K, upright=True)
    for pose in found.poses:
        assert np.isfinite([*pose.R.ravel(), *pose.t, pose.iou, pose.contour_px, pose.appearance, pose.weight]).all()


@pytest.mark.parametrize("corners", [3, 4])
def test_a_single_triangle_and_a_flat_plate_are_placed(shot: Photograph, corners: int) -> None:
    flat = Mesh(
        np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])[:corners],
        np.array([[0, 1, 2], [0, 2, 3]])[: corners - 2],
    )
    found = align(shot.photo, flat, mask=shot.mask, K=shot.K)
    assert found.poses[0].iou > 0.5
    assert all(np.isfinite(pose.t).all() for pose in found.poses)


def test_pixels_that_are_not_square_are_taken_as_they_are(car: Mesh, shot: Photograph) -> None:
    """The photo squeezed to half its height, fy and cy with it: the same pose."""
    K = np.diag([1.0, 0.5, 1.0]) @ shot.K
    image, mask = shot.photo.image[::2], shot.mask.reshape(-1, 2, shot.mask.shape[1]).mean(1)
    found = align(image, car, mask=mask, K=K, upright=True)
    assert error_deg(found, car, shot.R) < 2
    np.testing.assert_allclose(found.poses[0].t, shot.t, atol=0.03 * shot.t[2])


def test_max_poses_is_kept(car: Mesh, shot: Photograph) -> None:
    found = align(shot.photo, car, mask=shot.mask, K=shot.K, upright=True, max_poses=1)
    assert len(found.poses) == 1
    assert found.poses[0].weight == 1


def test_bad_arguments_are_named(car: Mesh, shot: Photograph) -> None:
    with pytest.raises(InputError, match="another shape"):
        align(shot.photo, car, mask=shot.mask[:100])
    with pytest.raises(EmptyMaskError):
        align(shot.photo, car, mask=np.zeros_like(shot.mask))
    with pytest.raises(InputError, match="no faces"):
        align(shot.photo, Mesh(car.vertices, np.zeros((0, 3), int)), mask=shot.mask)
    with pytest.raises(InputError, match="0 and 180"):
        align(shot.photo, car, mask=shot.mask, fov_deg=180.0)
    with pytest.raises(InputError, match="positive focal"):
        align(shot.photo, car, mask=shot.mask, K=np.diag([-1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="up axis"):
        align(shot.photo, car, mask=shot.mask, up_axis="up")
    with pytest.raises(InputError, match="skew"):
        align(shot.photo, car, mask=shot.mask, K=np.array([[300.0, 40, 160], [0, 300, 120], [0, 0, 1]]))
    with pytest.raises(InputError, match="max_poses"):
        align(shot.photo, car, mask=shot.mask, max_poses=0)
    with pytest.raises(InputError, match="seed"):
        align(shot.photo, car, mask=shot.mask, seed=-1)
    with pytest.raises(InputError, match="area"):
        align(shot.photo, Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]])), mask=shot.mask)
    with pytest.raises(EmptyMaskError):
        align(shot.photo, car, mask=Mask(np.zeros_like(shot.mask), "array"))
    with pytest.raises(FullMaskError):
        align(shot.photo, car, mask=Mask(np.ones_like(shot.mask), "array"))
    with pytest.raises(InputError, match="no mesh"):
        align_library(shot.photo, [], mask=shot.mask)


# --- the parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", ["x", "-x", "y", "-y", "z", "-z"])
def test_up_rotation_turns_the_axis_up(axis: str) -> None:
    vector = np.eye(3)["xyz".index(axis[-1])] * (-1 if axis[0] == "-" else 1)
    np.testing.assert_allclose(up_rotation(axis) @ vector, [0, 1, 0], atol=1e-12)
    assert np.linalg.det(up_rotation(axis)) == pytest.approx(1)


def test_search_frame_and_file_frame_are_inverse_and_draw_the_same_points() -> None:
    mesh = Mesh(make("chair", 3).vertices * 7 + [1, 2, 3], make("chair", 3).faces)
    model = prepare(mesh, "z")
    R, t = Rotation.random(rng=0).as_matrix(), np.array([0.1, 0.2, 2.0])
    R_file, t_file = model.to_file(R, t)
    searched = (mesh.vertices @ model.up.T - model.centre) / model.size
    np.testing.assert_allclose(mesh.vertices @ R_file.T + t_file, model.size * (searched @ R.T + t), atol=1e-9)
    back = model.from_file(R_file, t_file)
    np.testing.assert_allclose(back[0], R, atol=1e-12)
    np.testing.assert_allclose(back[1], t, atol=1e-12)


def test_distinct_keeps_the_best_and_their_distance() -> None:
    R = rotations(upright=False, seed=0)[:500]
    score = np.random.default_rng(0).random(500)
    kept = distinct(R, score, 10, np.radians(20))
    assert kept[0] == np.argmax(score)
    assert (np.diff(score[kept]) <= 0).all()
    angles = Rotation.from_matrix(R[kept][:, None].reshape(-1, 3, 3)).as_matrix()
    traces = np.einsum("aij,bij->ab", angles, angles)
    assert traces[~np.eye(len(kept), dtype=bool)].max() < 1 + 2 * np.cos(np.radians(20)) + 1e-9


def test_relations_between_poses() -> None:
    first = Rotation.from_euler("ZXY", [2, 195, 30], degrees=True).as_matrix()
    group = SymmetryGroup("none", mirror_normals=np.array([[1.0, 0, 0]]))
    assert relation(first @ Rotation.from_euler("y", 3, degrees=True).as_matrix(), first, group) == "symmetry"
    assert relation(first @ Rotation.from_euler("y", 178, degrees=True).as_matrix(), first, group) == "half-turn"
    assert relation(first @ Rotation.from_euler("y", 80, degrees=True).as_matrix(), first, group) == ""
    twin = np.diag([1.0, 1, -1]) @ first @ np.diag([-1.0, 1, 1])
    assert np.linalg.det(twin) == pytest.approx(1)
    assert relation(twin, first, group) in ("mirror", "half-turn")


def test_weights_and_ambiguity() -> None:
    np.testing.assert_allclose(weights(np.log([3.0, 1.0])), [0.75, 0.25])
    none = SymmetryGroup("none")
    assert kind_of(["", "half-turn"], np.array([0.9, 0.1]), none) == (False, "")
    share = np.array([1.0, AMBIGUOUS]) / (1 + AMBIGUOUS)
    assert kind_of(["", "half-turn"], share, none) == (True, "half-turn")
    assert kind_of(["", ""], np.array([0.5, 0.5]), none) == (True, "other")
    assert kind_of(["", "symmetry"], np.array([0.5, 0.5]), none) == (False, "")
    assert kind_of([""], np.array([1.0]), SymmetryGroup("axis", axis=np.eye(3)[1])) == (True, "symmetry axis")
