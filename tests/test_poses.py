"""Poses as homogeneous matrices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform.errors import InputError
from monoform.poses import Pose, pose_from_matrix


def random_pose(seed: int, *batch: int) -> Pose:
    rng = np.random.default_rng(seed)
    R = Rotation.random(int(np.prod(batch)), rng=rng).as_matrix().reshape(*batch, 3, 3)
    return Pose(torch.tensor(R), torch.tensor(rng.normal(size=(*batch, 3))))


@given(st.integers(0, 2**32 - 1))
def test_composition_and_inverse_are_matrix_algebra(seed):
    a, b = random_pose(seed, 5), random_pose(seed + 1, 5)
    torch.testing.assert_close(a.compose(b).to_matrix(), a.to_matrix() @ b.to_matrix(), atol=1e-13, rtol=0)
    torch.testing.assert_close(a.invert().to_matrix(), torch.linalg.inv(a.to_matrix()), atol=1e-12, rtol=0)
    points = torch.tensor(np.random.default_rng(seed).normal(size=(5, 7, 3)))
    columns = torch.cat([points, torch.ones(5, 7, 1, dtype=points.dtype)], -1).mT
    torch.testing.assert_close(a.apply(points), (a.to_matrix() @ columns).mT[..., :3], atol=1e-13, rtol=0)
    torch.testing.assert_close(a.invert().apply(a.apply(points)), points, atol=1e-12, rtol=0)


def test_one_set_of_points_and_one_pose_broadcast_over_a_batch():
    many, one = random_pose(0, 4), random_pose(1)
    points = torch.rand(6, 3, dtype=torch.float64)
    assert many.apply(points).shape == (4, 6, 3)
    for pose in (many.compose(one), one.compose(many)):
        assert pose.R.shape == (4, 3, 3)
        assert pose.t.shape == (4, 3)
    torch.testing.assert_close(one.compose(many).apply(points), one.apply(many.apply(points)))


def test_matrix_round_trip_mends_rounding_only():
    pose = random_pose(3, 2)
    back = pose_from_matrix(pose.to_matrix() + 1e-8)
    torch.testing.assert_close(back.R, pose.R, atol=1e-7, rtol=0)
    torch.testing.assert_close(
        back.R.mT @ back.R, torch.eye(3, dtype=torch.float64).expand(2, 3, 3), atol=1e-14, rtol=0
    )


@pytest.mark.parametrize(
    "matrix",
    [
        2 * np.eye(4),
        np.diag([1.0, 1, -1, 1]),
        np.full((4, 4), np.nan),
        np.block([[np.eye(3), np.zeros((3, 1))], [np.ones((1, 3)), 1]]),
        np.block([[1.1 * np.eye(3), np.zeros((3, 1))], [np.zeros((1, 3)), 1]]),
    ],
)
def test_matrices_that_are_no_pose_are_refused(matrix):
    with pytest.raises(InputError):
        pose_from_matrix(torch.tensor(matrix))


def test_gradients():
    pose = random_pose(4, 2)
    points = torch.rand(2, 3, 3, dtype=torch.float64)
    inputs = tuple(value.clone().requires_grad_() for value in (pose.R, pose.t, points))
    assert torch.autograd.gradcheck(lambda R, t, x: Pose(R, t).invert().compose(Pose(R, t)).apply(x), inputs)
