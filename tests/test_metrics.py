"""Metrics against brute force, SciPy, roma and, where it is installed, scikit-learn; their defined values at the edges."""

import itertools

import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.transform import Rotation

from monoform import metrics
from monoform.errors import InputError, NumericError
from monoform.meshes import box, icosphere
from monoform.rotations import matrix_to_viewpoint, viewpoint_to_matrix

GRIDS = arrays(bool, (2, 3, 3, 3))
SCORES = arrays(np.float64, 20, elements=st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0]))
TRUTHS = arrays(bool, 20)
POINTS = arrays(np.float64, st.tuples(st.integers(1, 8), st.just(3)), elements=st.floats(-2, 2))
TURNS = st.integers(0, 2**32 - 1).map(lambda seed: Rotation.random(rng=np.random.default_rng(seed)))


def turned(turn: Rotation, degrees: float) -> np.ndarray:
    """The rotation followed by one of that angle about some axis."""
    axis = np.array([0.36, -0.48, 0.8])
    return (Rotation.from_rotvec(np.radians(degrees) * axis) * turn).as_matrix()


# --- overlap


@given(GRIDS, GRIDS)
def test_iou_is_counted(a, b):
    found = metrics.voxel_iou(a, b)
    for i in range(2):
        pairs = list(zip(a[i].ravel(), b[i].ravel()))
        union = sum(x or y for x, y in pairs)
        assert found[i] == pytest.approx(sum(x and y for x, y in pairs) / union if union else 1.0)
    assert np.array_equal(found, metrics.voxel_iou(b, a))
    assert ((found >= 0) & (found <= 1)).all()
    assert (metrics.voxel_iou(a, a) == 1).all()


def test_masks_overlap_like_grids_and_two_empty_ones_agree():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert metrics.mask_iou(a, b) == 1
    a[:2], b[:, :2] = True, True
    assert metrics.mask_iou(a, b) == pytest.approx(4 / 12)
    assert metrics.mask_iou(a, 0 * a) == 0


@given(GRIDS, arrays(np.float64, (2, 3, 3, 3), elements=st.floats(0, 1)))
def test_the_sweep_is_iou_at_each_threshold(truth, probability):
    swept = metrics.iou_by_threshold(truth, probability)
    for k in (0, 24, 49, 98):
        predicted = metrics.filled(probability, metrics.THRESHOLDS[k])
        assert np.allclose(swept[k], metrics.voxel_iou(truth, predicted), atol=1e-12)
    best = metrics.best_threshold(swept)
    assert swept.mean(1).max() == pytest.approx(metrics.voxel_iou(truth, probability >= best).mean())


def test_a_value_equal_to_the_threshold_is_filled_in_single_precision_too():
    for k in (6, 49, 69):
        probability = np.full((1, 2, 2, 2), metrics.THRESHOLDS[k], np.float32)
        assert metrics.filled(probability, float(metrics.THRESHOLDS[k])).all()
        assert metrics.iou_by_threshold(np.ones((1, 2, 2, 2), bool), probability)[: k + 2, 0].tolist() == [1.0] * (
            k + 1
        ) + [0]


def test_of_equally_good_thresholds_the_one_nearest_a_half_is_taken():
    truth = np.random.default_rng(0).random((3, 4, 4, 4)) > 0.5
    assert metrics.best_threshold(metrics.iou_by_threshold(truth, truth.astype(float))) == 0.5
    assert metrics.best_threshold(metrics.iou_by_threshold(truth, 0.2 * truth)) == 0.2


# --- average precision


def stepwise(truth: np.ndarray, score: np.ndarray) -> float:
    """The definition word by word: precision and recall at each distinct score."""
    total, before = 0.0, 0.0
    for limit in sorted(set(score.tolist()), reverse=True):
        claimed = score >= limit
        recall = (truth & claimed).sum() / truth.sum()
        total += (recall - before) * (truth & claimed).sum() / claimed.sum()
        before = recall
    return total


@given(TRUTHS.filter(np.any), SCORES)
def test_average_precision_is_its_definition_with_ties(truth, score):
    found = metrics.average_precision(truth, score)
    assert found == pytest.approx(stepwise(truth, score), abs=1e-12)
    assert 0 <= found <= 1
    assert metrics.average_precision(truth, truth.astype(float)) == 1
    order = np.random.default_rng(0).permutation(20)
    assert metrics.average_precision(truth[order], score[order]) == pytest.approx(found, abs=1e-12)
    assert metrics.average_precision(truth, 3 * score + 1) == pytest.approx(found, abs=1e-12)


@given(TRUTHS.filter(np.any), SCORES)
def test_average_precision_is_scikit_learns(truth, score):
    theirs = pytest.importorskip("sklearn.metrics", reason="scikit-learn, the oracle, is not installed")
    assert metrics.average_precision(truth, score) == pytest.approx(theirs.average_precision_score(truth, score))


def test_average_precision_by_hand():
    # Ranks of the truths are 1 and 3: precisions 1 and 2/3, each with half of the recall.
    assert metrics.average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(5 / 6)
    assert metrics.average_precision(np.array([1, 0, 0, 0]), np.full(4, 0.3)) == 0.25
    several = metrics.average_precisions(np.array([[[1, 0]], [[0, 1]]]), np.array([[[0.9, 0.1]], [[0.9, 0.1]]]))
    assert several.tolist() == [1.0, 0.5]


def test_average_precision_with_nothing_to_find():
    nothing = np.zeros(4, bool)
    assert metrics.average_precision(nothing, np.zeros(4)) == 1
    assert metrics.average_precision(nothing, np.array([0, 0, 0.1, 0])) == 0


# --- angles


@given(TURNS, TURNS)
def test_rotation_angle_is_scipys_and_romas(a, b):
    found = metrics.rotation_angle_deg(a.as_matrix(), b.as_matrix())
    assert found == pytest.approx(np.degrees((a.inv() * b).magnitude()), abs=1e-6)
    theirs = roma.rotmat_geodesic_distance(torch.from_numpy(a.as_matrix()), torch.from_numpy(b.as_matrix()))
    assert found == pytest.approx(np.degrees(float(theirs)), abs=1e-4)
    assert metrics.rotation_angle_deg(b.as_matrix(), a.as_matrix()) == pytest.approx(found, abs=1e-9)


@given(TURNS, st.sampled_from([0.0, 1e-6, 1e-3, 30.0, 90.0, 179.999, 179.999999, 180.0]))
def test_rotation_angle_is_exact_at_both_ends(turn, degrees):
    assert metrics.rotation_angle_deg(turn.as_matrix(), turned(turn, degrees)) == pytest.approx(degrees, abs=1e-8)


def test_a_half_turn_about_the_up_axis_is_no_error_modulo_half_turns():
    R = Rotation.random(20, rng=np.random.default_rng(3)).as_matrix()
    flipped = R @ metrics.HALF_TURN
    assert metrics.rotation_angle_deg(flipped, R) == pytest.approx(180)
    assert metrics.half_turn_error_deg(flipped, R) == pytest.approx(0, abs=1e-6)
    assert metrics.is_flipped(flipped, R).all()
    assert not metrics.is_flipped(R, R).any()
    # About another axis a half-turn stays one, and a quarter-turn about the up axis is nearer to neither.
    assert metrics.half_turn_error_deg(R @ np.diag([1.0, -1, -1]), R) == pytest.approx(180)
    assert not metrics.is_flipped(R @ Rotation.from_euler("y", 90, degrees=True).as_matrix(), R).any()


@given(st.floats(-179, 179), st.floats(-85, 85), st.floats(-179, 179))
def test_viewpoints_are_those_of_rotations(azimuth, elevation, tilt):
    angles = torch.tensor([azimuth, elevation, tilt], dtype=torch.float64).deg2rad()
    R = viewpoint_to_matrix(*angles)
    theirs = matrix_to_viewpoint(R).rad2deg().tolist()
    assert metrics.viewpoint_deg(R.numpy()) == pytest.approx(theirs[:2], abs=1e-7)
    assert metrics.viewpoint_deg(R.numpy()) == pytest.approx([azimuth, elevation], abs=1e-7)


def test_azimuths_differ_the_short_way_round():
    turns = [viewpoint_to_matrix(*torch.tensor([a, 30.0, 0.0]).double().deg2rad()).numpy() for a in (-175.0, 170.0)]
    assert metrics.azimuth_error_deg(turns[0], turns[1]) == pytest.approx(15)
    assert metrics.elevation_error_deg(turns[0], turns[1]) == pytest.approx(0, abs=1e-9)


def test_median_and_accuracy():
    errors = np.array([5.0, 30.0, 29.999, 170.0])
    assert metrics.median_error(errors) == pytest.approx((30 + 29.999) / 2)
    assert metrics.accuracy(errors, 30.0) == 0.5, "an error of exactly 30 degrees is outside"


# --- surfaces


@given(POINTS, POINTS)
def test_chamfer_is_brute_force(a, b):
    apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
    found = metrics.chamfer(a, b)
    assert found.l1 == pytest.approx(apart.min(1).mean() + apart.min(0).mean())
    assert found.squared == pytest.approx((apart.min(1) ** 2).mean() + (apart.min(0) ** 2).mean())
    assert metrics.chamfer(b, a).l1 == pytest.approx(found.l1)
    assert metrics.chamfer(a[::-1], b).squared == pytest.approx(found.squared)
    assert metrics.chamfer(a, a) == metrics.Chamfer(0, 0)


def test_chamfer_of_two_spheres_is_the_difference_of_their_radii():
    rng = np.random.default_rng(0)
    found = metrics.mesh_chamfer(icosphere(4, 1.0), icosphere(4, 1.5), 20000, rng)
    assert found.l1 == pytest.approx(2 * 0.5, rel=0.01)
    assert found.squared == pytest.approx(2 * 0.25, rel=0.01)
    assert metrics.mesh_chamfer(box(), box(), 4000, rng).l1 < 2 * 0.9 / np.sqrt(4000 / 6)


# --- intervals


def test_bootstrap_draws_whole_groups():
    # Ten objects of one value each: 100 images of an object must not make the mean look surer than 10 objects do.
    rng = np.random.default_rng(1)
    by_object = rng.normal(size=10)
    values, groups = np.repeat(by_object, 100), np.repeat(np.arange(10), 100)
    means = metrics.bootstrap(values, groups, resamples=4000)
    assert means.mean() == pytest.approx(by_object.mean(), abs=0.03)
    assert means.std() == pytest.approx(by_object.std() / np.sqrt(10), rel=0.05)
    assert np.array_equal(means, metrics.bootstrap(values, groups, resamples=4000))
    assert not np.array_equal(means, metrics.bootstrap(values, groups, resamples=4000, seed=1))


def test_bootstraps_are_those_of_written_out_samples():
    rng = np.random.default_rng(2)
    values, groups = rng.random(12), np.array([0, 0, 0, 5, 5, 1, 1, 1, 1, 7, 7, 2])
    names = np.unique(groups)
    draws = np.random.default_rng(4).multinomial(5, np.full(5, 0.2), size=20)
    written = [np.concatenate([np.tile(values[groups == g], n) for g, n in zip(names, draw)]) for draw in draws]
    assert metrics.bootstrap(values, groups, resamples=20, seed=4) == pytest.approx([w.mean() for w in written])
    medians = metrics.bootstrap_median(values, groups, resamples=20, seed=4)
    assert medians == pytest.approx([np.median(w) for w in written])


def test_intervals_cover_the_true_mean_as_often_as_they_say():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        values = rng.normal(size=60)
        low, high = metrics.interval(metrics.bootstrap(values, np.arange(60), resamples=300, seed=seed))
        hits += low <= 0 <= high
    assert 0.88 <= hits / 200 <= 0.99


# --- bad input


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error(bad):
    broken = np.full((1, 2, 2, 2), bad)
    truth = np.ones((1, 2, 2, 2), bool)
    calls = [
        lambda: metrics.filled(broken, 0.5),
        lambda: metrics.iou_by_threshold(truth, broken),
        lambda: metrics.average_precision(truth, broken),
        lambda: metrics.rotation_angle_deg(np.full((3, 3), bad), np.eye(3)),
        lambda: metrics.median_error(np.array([1.0, bad])),
        lambda: metrics.accuracy(np.array([1.0, bad]), 30),
        lambda: metrics.chamfer(np.full((1, 3), bad), np.zeros((1, 3))),
        lambda: metrics.bootstrap(np.array([1.0, bad]), np.arange(2)),
    ]
    for call in calls:
        with pytest.raises(NumericError, match="NaN or infinity"):
            call()


def test_nothing_to_average_is_an_error():
    none = np.zeros(0)
    for call in (metrics.median_error, metrics.interval, lambda e: metrics.bootstrap(e, none.astype(int))):
        with pytest.raises(NumericError, match="at least one"):
            call(none)
    with pytest.raises(NumericError, match="at least one point"):
        metrics.chamfer(np.zeros((0, 3)), np.zeros((1, 3)))
    with pytest.raises(NumericError):
        metrics.best_threshold(np.zeros((99, 0)))


def test_wrong_shapes_and_matrices_are_named():
    with pytest.raises(InputError, match="same shape"):
        metrics.voxel_iou(np.zeros((2, 2, 2), bool), np.zeros((3, 3, 3), bool))
    with pytest.raises(InputError, match="cut it at a threshold"):
        metrics.mask_iou(np.full((2, 2), 0.4), np.zeros((2, 2), bool))
    for matrix in (2 * np.eye(3), np.diag([1.0, 1.0, -1.0])):
        with pytest.raises(InputError, match="no rotation"):
            metrics.rotation_angle_deg(matrix, np.eye(3))
    with pytest.raises(InputError, match="level 2"):
        metrics.interval(np.zeros(3), 2)


def test_every_half_turned_pose_is_flipped_or_not_but_never_both():
    turns = Rotation.random(6, rng=np.random.default_rng(0)).as_matrix()
    for R, S in itertools.product(turns, turns):
        assert not (metrics.is_flipped(R, S) and metrics.is_flipped(R @ metrics.HALF_TURN, S))


# --- poses


POSES = st.integers(0, 2**32 - 1).map(
    lambda seed: (
        Rotation.random(2, rng=np.random.default_rng(seed)).as_matrix(),
        np.random.default_rng(seed).normal(size=(2, 3)) * 0.5 + [0, 0, 6],
    )
)
CAMERA = np.array([[70.0, 0, 32], [0, 80, 30], [0, 0, 1]])


def placed(R: np.ndarray, t: np.ndarray, points: np.ndarray) -> list[np.ndarray]:
    """Point by point, as the definition has it."""
    return [np.array([R[i] @ p + t[i] for i in range(3)]) for p in points]


def seen(points: list[np.ndarray]) -> list[np.ndarray]:
    return [np.array([70 * p[0] / p[2] + 32, 80 * p[1] / p[2] + 30]) for p in points]


def farthest(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    return max(np.linalg.norm(p - q) for p, q in zip(a, b))


@given(POSES, POINTS, st.integers(0, 2**32 - 1))
def test_pose_errors_are_brute_force(pose, points, seed):
    (R, true_R), (t, true_t) = pose
    found, true = placed(R, t, points), placed(true_R, true_t, points)
    apart = [np.linalg.norm(p - q) for p, q in zip(found, true)]
    assert metrics.add(R, t, true_R, true_t, points) == pytest.approx(np.mean(apart))
    nearest = [min(np.linalg.norm(p - q) for p in found) for q in true]
    assert metrics.add_s(R, t, true_R, true_t, points) == pytest.approx(np.mean(nearest))
    turns = Rotation.random(3, rng=np.random.default_rng(seed)).as_matrix()
    turns[0] = np.eye(3)
    moves = np.array([[0, 0, 0], [0.1, 0, 0.2], [0, -0.3, 0]])
    symmetries = np.tile(np.eye(4), (3, 1, 1))
    symmetries[:, :3, :3], symmetries[:, :3, 3] = turns, moves
    # As the toolkit composes them: R_true S and R_true s + t_true.
    alike = [placed(true_R @ S, true_R @ s + true_t, points) for S, s in zip(turns, moves)]
    assert metrics.mssd(R, t, true_R, true_t, points, symmetries) == pytest.approx(
        min(farthest(found, other) for other in alike)
    )
    pixels = metrics.mspd(R, t, true_R, true_t, CAMERA, points, symmetries)
    assert pixels == pytest.approx(min(farthest(seen(found), seen(other)) for other in alike))


@given(POSES, POINTS)
def test_pose_errors_keep_their_order_and_are_none_of_equal_poses(pose, points):
    (R, true_R), (t, true_t) = pose
    args = R, t, true_R, true_t, points
    small, mean, largest = metrics.add_s(*args), metrics.add(*args), metrics.mssd(*args)
    assert 0 <= small <= mean + 1e-9 <= largest + 2e-9
    for call in (metrics.add, metrics.add_s, metrics.mssd):
        assert call(R, t, R, t, points) == pytest.approx(0, abs=1e-9)
        # Moved along with the camera, nothing changes.
        assert call(true_R @ R, true_R @ t, true_R @ true_R, true_R @ true_t, points) == pytest.approx(call(*args))
    assert metrics.add(R, t, R, true_t, points) == pytest.approx(metrics.translation_error(t, true_t))
    assert metrics.mspd(R, t, R, t, CAMERA, points) == pytest.approx(0, abs=1e-9)


def test_a_symmetry_of_the_object_is_no_error():
    """A box turned half round its up axis: its corners come to lie on one another, the error without the symmetry is large."""
    points = box((1.0, 0.4, 0.6)).vertices + [0.2, 0.0, 0.0]
    half = np.eye(4)
    half[:3, :3], half[:3, 3] = metrics.HALF_TURN, [0.4, 0, 0]
    symmetries, t = np.stack([np.eye(4), half]), np.array([0.1, 0.2, 5.0])
    R = Rotation.random(rng=np.random.default_rng(2)).as_matrix()
    turned, moved = R @ metrics.HALF_TURN, R @ half[:3, 3] + t
    assert metrics.mssd(turned, moved, R, t, points, symmetries) == pytest.approx(0, abs=1e-12)
    assert metrics.mspd(turned, moved, R, t, CAMERA, points, symmetries) == pytest.approx(0, abs=1e-9)
    assert metrics.add_s(turned, moved, R, t, points) == pytest.approx(0, abs=1e-9)
    assert metrics.mssd(turned, moved, R, t, points) == pytest.approx(np.hypot(1.0, 0.6))
    assert metrics.add(turned, moved, R, t, points) == pytest.approx(np.hypot(1.0, 0.6))


def test_poses_are_measured_in_batches_as_one_by_one():
    rng = np.random.default_rng(7)
    R, true_R = (Rotation.random(4, rng=rng).as_matrix().reshape(2, 2, 3, 3) for _ in range(2))
    t, true_t = (rng.normal(size=(2, 2, 3)) + [0, 0, 8] for _ in range(2))
    points, K = rng.normal(size=(9, 3)), np.tile(CAMERA, (2, 2, 1, 1))
    for call, extra in ((metrics.add, ()), (metrics.add_s, ()), (metrics.mssd, ()), (metrics.mspd, (K,))):
        found = call(R, t, true_R, true_t, *extra, points)
        assert found.shape == (2, 2)
        one = call(R[1, 0], t[1, 0], true_R[1, 0], true_t[1, 0], *(e[1, 0] for e in extra), points)
        assert found[1, 0] == pytest.approx(one)


def test_a_class_counts_where_it_alone_is_highest():
    scores = np.array([[0.1, 0.7, 0.2], [0.4, 0.4, 0.2], [3.0, 1.0, 2.0]])
    assert metrics.top_1(scores, np.array([1, 0, 2])).tolist() == [True, False, False]
    with pytest.raises(InputError, match="below k"):
        metrics.top_1(scores, np.array([1, 0, 3]))


def test_poses_that_cannot_be_measured_are_named():
    eye, nothing, points = np.eye(3), np.zeros(3), np.zeros((2, 3))
    with pytest.raises(NumericError, match="NaN or infinity"):
        metrics.add(eye, np.full(3, np.nan), eye, nothing, points)
    with pytest.raises(InputError, match="no rotation"):
        metrics.mssd(2 * eye, nothing, eye, nothing, points)
    with pytest.raises(InputError, match="translations of shape"):
        metrics.translation_error(np.zeros(2), np.zeros(2))
    with pytest.raises(NumericError, match="at least one point"):
        metrics.add_s(eye, nothing, eye, nothing, points[:0])
    with pytest.raises(InputError, match="the identity among them"):
        metrics.mssd(eye, nothing, eye, nothing, points, np.zeros((0, 4, 4)))
    at_camera = metrics.mspd(eye, nothing, eye, np.array([0, 0, 1.0]), CAMERA, np.ones((1, 3)) * [0.1, 0, 0])
    assert np.isfinite(at_camera)
