"""The bit-row silhouettes of the global search, against a plain point-in-triangle test."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform.meshes import icosphere
from monoform.projection.kernels import search

CAMERA = np.array([70.0, 70.0, 32.0, 32.0], np.float32)
FREE = np.ones(4, bool)


def inside_any_triangle(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(64, 64) bool: pixel centres inside a triangle, by signs of cross products in float64."""
    x, y = np.meshgrid(np.arange(search.SIDE) + 0.5, np.arange(search.SIDE) + 0.5)
    found = np.zeros(x.shape, bool)
    for corners in points[faces].astype(np.float64):
        (x0, y0), (x1, y1), (x2, y2) = corners
        sides = [
            (xb - xa) * (y - ya) - (yb - ya) * (x - xa)
            for xa, ya, xb, yb in ((x0, y0, x1, y1), (x1, y1, x2, y2), (x2, y2, x0, y0))
        ]
        found |= np.all(np.array(sides) > 0, axis=0) | np.all(np.array(sides) < 0, axis=0)
    return found


@given(st.integers(0, 10_000))
def test_filled_rows_equal_point_in_triangle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-20, 84, (30, 2)).astype(np.float32)
    faces = rng.integers(0, 30, (12, 3)).astype(np.int32)
    rows = np.empty(search.SIDE, np.uint64)
    search.fill_rows(points, faces, rows)
    assert (search.unpack_rows(rows) != inside_any_triangle(points, faces)).sum() <= 1  # a centre on an edge


def test_vertices_behind_the_camera_or_nan_leave_their_triangles_out() -> None:
    points = np.array([[10, 10], [50, 10], [30, 50], [np.nan, np.nan]], np.float32)
    rows = np.empty(search.SIDE, np.uint64)
    search.fill_rows(points, np.array([[0, 1, 3]], np.int32), rows)
    assert not rows.any()


@given(st.integers(0, 10_000))
def test_packing_rows_is_undone_by_unpacking(seed: int) -> None:
    mask = np.random.default_rng(seed).random((search.SIDE, search.SIDE)) < 0.5
    assert (search.unpack_rows(search.pack_rows(mask)) == mask).all()


def score(vertices, faces, rotations, target, box, free=FREE, excess=1.0):
    overlap, t = np.empty(len(rotations), np.float32), np.empty((len(rotations), 3), np.float32)
    everywhere = search.pack_rows(np.ones((search.SIDE, search.SIDE), bool))
    search.score_rotations(
        vertices,
        faces,
        rotations,
        CAMERA,
        target,
        everywhere,
        box,
        free,
        np.float32(1.7),
        np.float32(excess),
        overlap,
        t,
    )
    return overlap, t


def silhouette(vertices, faces, R, t):
    x = vertices @ R.T + t
    points = (x[:, :2] / x[:, 2:] * CAMERA[:2] + CAMERA[2:]).astype(np.float32)
    rows = np.empty(search.SIDE, np.uint64)
    search.fill_rows(points, faces, rows)
    return rows, points


def egg() -> tuple[np.ndarray, np.ndarray]:
    ball = icosphere(2)
    return (ball.vertices * [0.5, 0.3, 0.2] + [0.05, 0, 0]).astype(np.float32), ball.faces


@given(st.integers(0, 10_000))
def test_translation_is_solved_from_the_box(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices, faces = egg()
    R = Rotation.random(rng=rng).as_matrix()
    true = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), rng.uniform(1.5, 3.0)])
    rows, points = silhouette(vertices, faces, R, true)
    box = np.concatenate([points.min(0), points.max(0)])
    overlap, t = score(vertices, faces, R[None].astype(np.float32), rows, box)
    assert overlap[0] > 0.97
    np.testing.assert_allclose(t[0], true, atol=0.02 * true[2])


def test_a_side_cut_off_is_not_trusted() -> None:
    vertices, faces = egg()
    R, true = np.eye(3), np.array([0.0, 0.0, 2.0])
    rows, points = silhouette(vertices, faces, R, true)
    box = np.concatenate([points.min(0), points.max(0)])
    box[0] += 8  # the mask lost its left end
    all_sides = score(vertices, faces, R[None].astype(np.float32), rows, box)[0][0]
    three = score(vertices, faces, R[None].astype(np.float32), rows, box, np.array([False, True, True, True]))[0][0]
    assert three > 0.97 > all_sides
