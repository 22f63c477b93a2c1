"""Outline and coverage refinement of a given pose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform.data.procedural import make
from monoform.errors import EmptyMaskError, FullMaskError, InputError, NumericError
from monoform.meshes import Mesh, box, normalise
from monoform.projection.kernels import contour, coverage, threads
from monoform.refinement import CoverageDescent, aim_at, polish, project, refine_outlines, refine_pose, soft_iou
from monoform.target import crop_around, level

K = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])
TRUE_R = Rotation.from_euler("ZXY", [3, 200, 35], degrees=True).as_matrix()
TRUE_T = np.array([0.05, -0.02, 1.8])


@pytest.fixture(scope="module")
def car() -> Mesh:
    return normalise(make("car", 4))[0]


@pytest.fixture(scope="module")
def mask(car: Mesh) -> np.ndarray:
    return silhouette(car, TRUE_R, TRUE_T)


def silhouette(mesh: Mesh, R: np.ndarray, t: np.ndarray) -> np.ndarray:
    x = mesh.vertices @ R.T + t
    points = np.column_stack([x[:, :2] / x[:, 2:] * 300 + [160, 120], x[:, 2]]).astype(np.float32)
    return coverage.forward(points[None], coverage.Topology(mesh.faces, mesh.vertices), 240, 320)[0][0]


def degrees_off(R: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(R @ TRUE_R.T).magnitude()))


def start(rng: np.random.Generator, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()
    return turn @ TRUE_R, TRUE_T + rng.uniform(-0.03, 0.03, 3)


SCALES, FINAL = (8.0, 8.0, 6.0, 5.0, 4.0, 3.0, 2.5, 2.5), 2.5


def test_outlines_draw_in_a_pose_ten_degrees_off(car: Mesh, mask: np.ndarray) -> None:
    crop = crop_around(mask)
    starts = [start(np.random.default_rng(seed), 10.0) for seed in range(12)]
    R, t = np.stack([r for r, _ in starts]), np.stack([t for _, t in starts])
    R, t, cost = refine_outlines(car, R, t, crop, K, level(mask, crop, 128), SCALES, FINAL)
    errors = np.array([degrees_off(one) for one in R])
    assert np.median(errors) < 1.0
    assert cost[errors < 1.0].max() < 0.1


def test_an_occluder_barely_moves_the_outlines(car: Mesh, mask: np.ndarray) -> None:
    columns = np.nonzero((mask > 0.5).any(0))[0]
    hidden = mask.copy()
    hidden[:, : columns[0] + (columns[-1] - columns[0]) // 5] = 0
    crop = crop_around(hidden)
    R, t = start(np.random.default_rng(1), 4.0)
    R, _, _ = refine_outlines(car, R[None], t[None], crop, K, level(hidden, crop, 128), SCALES, FINAL)
    assert degrees_off(R[0]) < 2.0


def test_results_do_not_depend_on_the_number_of_threads(car: Mesh, mask: np.ndarray) -> None:
    crop = crop_around(mask)
    R, t = start(np.random.default_rng(5), 6.0)
    R, t = np.stack([R] * 5), np.stack([t] * 5)
    found = []
    for count in (1, 3):
        threads.set_threads(count)
        found.append(refine_outlines(car, R, t, crop, K, level(mask, crop, 128), SCALES, FINAL))
    threads.set_threads(0)
    for one, many in zip(*found, strict=True):
        np.testing.assert_array_equal(one, many)


def test_no_scales_only_measures(car: Mesh, mask: np.ndarray) -> None:
    crop = crop_around(mask)
    R, t, cost = refine_outlines(car, TRUE_R[None], TRUE_T[None], crop, K, level(mask, crop, 128), (), 2.5)
    np.testing.assert_array_equal(R[0], TRUE_R)
    np.testing.assert_array_equal(t[0], TRUE_T)
    assert cost[0] < 0.05


@given(st.integers(0, 10_000))
def test_drawn_pixels_are_those_inside_a_triangle(seed: int) -> None:
    """Wide, tiny and sliver triangles against signs of cross products in float64."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([rng.uniform(-30, 94, (9, 2)), rng.uniform(0.2, 1, 9)]).astype(np.float32)
    points[5, :2] = points[3, :2] + 0.6 * (points[4, :2] - points[3, :2]) + rng.normal(size=2)
    points[7:, :2] = points[6, :2] + rng.uniform(-4, 4, (2, 2))
    image, faces = np.empty((64, 64), np.float32), np.arange(9, dtype=np.int32).reshape(3, 3)
    contour.draw_inverse_depth(points, faces, image)
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(64) + 0.5)
    inside = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1), (x2, y2) in points[faces][..., :2].astype(np.float64):
        ends = ((x0, y0, x1, y1), (x1, y1, x2, y2), (x2, y2, x0, y0))
        sides = np.array([(xb - xa) * (y - ya) - (yb - ya) * (x - xa) for xa, ya, xb, yb in ends])
        inside |= (sides > 0).all(0) | (sides < 0).all(0)
    assert ((image > 0) != inside).sum() <= 1  # a centre on an edge


def test_the_rims_motion_is_the_derivative_of_its_pixel() -> None:
    """`_motion` against finite differences of the projection of the 3D point that the rim pixel carries."""
    t, camera = np.array([0.1, -0.2, 2.0]), np.array([150, 150, 64, 64], np.float32)
    point, normal = np.array([0.2, 0.1, -0.3]), np.array([0.6, 0.8])

    def pixel(w: np.ndarray, shift: np.ndarray) -> np.ndarray:
        x = Rotation.from_rotvec(w).as_matrix() @ point + t + shift
        return x[:2] / x[2] * 150 + 64

    x = point + t
    rim = np.array([[*pixel(np.zeros(3), np.zeros(3)), *normal, 1 / x[2]]], np.float32).T
    row = np.empty(6)
    contour._motion(rim, 0, np.float32(0.6), np.float32(0.8), t, camera, row)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-5
        change = (pixel(step[:3], step[3:]) - pixel(-step[:3], -step[3:])) / 2e-5
        assert row[k] == pytest.approx(normal @ change, rel=1e-3, abs=0.05)


def test_the_pose_gradient_is_that_of_the_loss(car: Mesh, mask: np.ndarray) -> None:
    crop = crop_around(mask)
    R, t = start(np.random.default_rng(2), 1.0)
    topology, aim = coverage.Topology(car.faces, car.vertices), aim_at(mask, crop, K, 64)

    def loss(change: np.ndarray) -> float:
        turned = Rotation.from_rotvec(change[:3]).as_matrix() @ R
        return float(CoverageDescent(car, topology, turned[None], (t + change[3:])[None], aim).loss[0])

    gradient = CoverageDescent(car, topology, R[None], t[None], aim).gradient[0]
    numeric = np.array([(loss(h) - loss(-h)) / 2e-3 for h in 1e-3 * np.eye(6)])
    assert gradient @ numeric / np.linalg.norm(gradient) / np.linalg.norm(numeric) > 0.98


def test_polishing_reaches_a_tenth_of_a_degree(car: Mesh, mask: np.ndarray) -> None:
    crop = crop_around(mask)
    R, t = start(np.random.default_rng(3), 0.8)
    R, t = polish(car, R[None], (TRUE_T + [0.002, 0, 0.01])[None], crop, K, mask, 256, 12)
    assert degrees_off(R[0]) < 0.15
    np.testing.assert_allclose(t[0], TRUE_T, atol=0.01)


def test_refine_pose_improves_a_start_of_five_degrees_and_tells_its_steps(car: Mesh, mask: np.ndarray) -> None:
    R, t = start(np.random.default_rng(4), 4.0)
    found = refine_pose(mask, car, R, t, K)
    assert len(found.trace) == 30
    assert [step.resolution for step in found.trace[::10]] == [64, 128, 256]
    assert found.iou > 0.98
    assert degrees_off(found.R) < 0.3 * degrees_off(R)
    assert found.status in ("converged", "stopped")


@settings(max_examples=12)
@given(st.integers(0, 1000))
def test_refine_pose_never_ends_worse_than_it_started(car: Mesh, mask: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    R, t = start(rng, rng.uniform(0, 60))
    found = refine_pose(mask, car, R, t, K, steps=9, resolution=64)
    crop = crop_around(mask)
    aim = aim_at(mask, crop, K, 64)
    alpha, _ = coverage.forward(
        project(car.vertices, R[None], t[None], aim.camera), coverage.Topology(car.faces, car.vertices), 64, 64
    )
    assert found.iou >= soft_iou(alpha, aim.at)[0] - 1e-3  # measured about the mesh's centre, so not to the last bit
    assert np.isfinite(found.R).all()


def test_refine_pose_keeps_the_files_frame_and_unit(car: Mesh, mask: np.ndarray) -> None:
    """A mesh in millimetres, far from its origin, gives the same picture."""
    offset, scale = np.array([5.0, -3.0, 2.0]), 1000.0
    moved = Mesh(car.vertices * scale + offset, car.faces)
    R, t = start(np.random.default_rng(6), 3.0)
    found = refine_pose(mask, moved, R, scale * t - R @ offset, K)
    assert degrees_off(found.R) < 1.0
    np.testing.assert_allclose(found.R @ offset + found.t, scale * TRUE_T, atol=0.02 * scale)


@pytest.mark.parametrize("t", [[0.0, 0.0, -2.0], [50.0, 0.0, 2.0], [0.0, 0.0, 0.2], [0.0, 0.0, 0.0]])
def test_a_start_that_shows_nothing_of_the_object_stays_finite(car: Mesh, mask: np.ndarray, t: list[float]) -> None:
    found = refine_pose(mask, car, TRUE_R, np.array(t), K, steps=6)
    assert np.isfinite(found.R).all()
    assert np.isfinite(found.t).all()
    assert np.isfinite([step.loss for step in found.trace]).all()
    if t in ([0.0, 0.0, -2.0], [50.0, 0.0, 2.0]):
        assert found.status == "no overlap"


@pytest.mark.parametrize("t", [[0.0, 0.0, 0.5], [0.0, 0.0, 1e200], [1e30, 0.0, 1.0]])
def test_vertices_in_the_cameras_plane_or_beyond_float32_warn_of_nothing(mask: np.ndarray, t: list[float]) -> None:
    found = refine_pose(mask, box((1.0, 1.0, 1.0)), np.eye(3), np.array(t), K, steps=6)
    assert np.isfinite([*found.R.ravel(), *found.t, found.iou]).all()


def test_no_steps_only_measure(car: Mesh, mask: np.ndarray) -> None:
    found = refine_pose(mask, car, TRUE_R, TRUE_T, K, steps=0)
    assert found.trace == ()
    assert found.iou > 0.98
    np.testing.assert_allclose(found.R, TRUE_R, atol=1e-9)
    np.testing.assert_allclose(found.t, TRUE_T, atol=1e-9)


def test_bad_arguments_are_named(car: Mesh, mask: np.ndarray) -> None:
    with pytest.raises(EmptyMaskError):
        refine_pose(np.zeros((50, 50)), car, TRUE_R, TRUE_T, K)
    with pytest.raises(FullMaskError):
        refine_pose(np.ones((50, 50)), car, TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="rotation"):
        refine_pose(mask, car, TRUE_R * 1.1, TRUE_T, K)
    with pytest.raises(InputError, match="rotation"):
        refine_pose(mask, car, -TRUE_R, TRUE_T, K)
    with pytest.raises(NumericError, match="t holds NaN"):
        refine_pose(mask, car, TRUE_R, np.array([0, np.nan, 1]), K)
    with pytest.raises(InputError, match="channel"):
        refine_pose(np.zeros((50, 50, 3)), car, TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="no faces"):
        refine_pose(mask, Mesh(np.zeros((3, 3)), np.zeros((0, 3), int)), TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="one place"):
        refine_pose(mask, Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="positive focal"):
        refine_pose(mask, car, TRUE_R, TRUE_T, np.diag([0.0, 1.0, 1.0]))
    with pytest.raises(NumericError, match="mask holds NaN"):
        refine_pose(np.where(mask > 0.5, 1.0, np.nan), car, TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="divide"):
        refine_pose(mask * 255, car, TRUE_R, TRUE_T, K)
    with pytest.raises(InputError, match="resolution"):
        refine_pose(mask, car, TRUE_R, TRUE_T, K, resolution=2)
    with pytest.raises(InputError, match="steps"):
        refine_pose(mask, car, TRUE_R, TRUE_T, K, steps=-1)
