"""Rotations against SciPy and RoMa, their gradients against finite differences, and their edges."""

import math

import numpy as np
import pytest
import roma
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform import rotations
from monoform.errors import InputError

ORDERS = ["xyz", "xzy", "yxz", "yzx", "zxy", "zyx", "xyx", "xzx", "yxy", "yzy", "zxz", "zyz"]
seeds = st.integers(0, 2**32 - 1)


def tensor(values) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def random_rotations(n: int, seed: int = 0) -> tuple[torch.Tensor, Rotation]:
    scipy = Rotation.random(n, rng=np.random.default_rng(seed))
    return tensor(scipy.as_matrix()), scipy


def assert_rotation(R: torch.Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(R.mT @ R, torch.eye(3, dtype=R.dtype).expand_as(R), atol=tolerance, rtol=0)
    assert (torch.linalg.det(R) > 0).all()


# --- twist


def test_twist_turns_counter_clockwise():
    R = rotations.twist_to_matrix(tensor([0, 0, math.pi / 2]))
    torch.testing.assert_close(R @ tensor([1, 0, 0]), tensor([0, 1, 0]), atol=1e-15, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-5, 0.9e-3, 1.1e-3, 0.05, 0.5, 3.0, math.pi, 5.0, 20.0])
def test_exponential_equals_scipy(angle):
    axis = np.random.default_rng(1).normal(size=(200, 3))
    twist = angle * axis / np.linalg.norm(axis, axis=1, keepdims=True)
    R = rotations.twist_to_matrix(tensor(twist))
    np.testing.assert_allclose(R.numpy(), Rotation.from_rotvec(twist).as_matrix(), atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-5, 0.9e-3, 1.1e-3, 0.05, 0.5, 3.0, math.pi - 1e-3, math.pi - 1e-9])
def test_logarithm_inverts_the_exponential(angle):
    axis = np.random.default_rng(2).normal(size=(200, 3))
    twist = tensor(angle * axis / np.linalg.norm(axis, axis=1, keepdims=True))
    back = rotations.matrix_to_twist(rotations.twist_to_matrix(twist))
    torch.testing.assert_close(back, twist, atol=1e-13, rtol=1e-13)


def test_logarithm_equals_scipy_and_roma():
    R, scipy = random_rotations(500)
    twist = rotations.matrix_to_twist(R)
    np.testing.assert_allclose(twist.numpy(), scipy.as_rotvec(), atol=1e-12)
    torch.testing.assert_close(twist, roma.rotmat_to_rotvec(R), atol=1e-12, rtol=0)


def test_logarithm_of_half_turns():
    axes = torch.nn.functional.normalize(tensor([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, -2, 3]]), dim=-1)
    half_turns = 2 * axes[:, :, None] * axes[:, None, :] - torch.eye(3, dtype=torch.float64)
    twist = rotations.matrix_to_twist(half_turns)
    torch.testing.assert_close(torch.linalg.vector_norm(twist, dim=-1), tensor([math.pi] * 5))
    torch.testing.assert_close(rotations.twist_to_matrix(twist), half_turns, atol=1e-14, rtol=0)


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.9e-3, 1.0, math.pi, 4.0])
def test_exponential_gradient(length):
    axis = torch.nn.functional.normalize(tensor([[1, -2, 0.5], [0, 0, 1]]), dim=-1)
    assert torch.autograd.gradcheck(rotations.twist_to_matrix, (length * axis).requires_grad_())


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.9e-3, 1.0, math.pi - 1e-3])
def test_logarithm_gradient(length):
    R = rotations.twist_to_matrix(length * torch.nn.functional.normalize(tensor([[1, -2, 0.5]]), dim=-1))
    assert torch.autograd.gradcheck(rotations.matrix_to_twist, R.requires_grad_())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("diagonal", [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
@pytest.mark.parametrize(
    "function",
    [
        rotations.matrix_to_twist,
        rotations.matrix_to_quaternion,
        rotations.matrix_to_viewpoint,
        rotations.project_to_rotation,
        lambda R: rotations.matrix_to_euler(R, "zyx"),
        lambda R: rotations.matrix_to_euler(R, "zxz"),
        lambda R: rotations.rotation_angle(R, torch.eye(3, dtype=R.dtype)),
        lambda R: rotations.rotation_angle(R, R),
    ],
)
def test_values_and_gradients_are_finite_at_zero_and_at_half_turns(function, diagonal, dtype):
    R = torch.diag(torch.tensor(diagonal, dtype=dtype)).requires_grad_()
    value = function(R)
    (gradient,) = torch.autograd.grad(value.sum(), R)
    assert torch.isfinite(value).all()
    assert torch.isfinite(gradient).all()


@given(seeds, st.floats(-12, 6))
def test_limited_twist_is_shorter_than_pi_and_keeps_its_direction(seed, exponent):
    raw = torch.randn(3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 10**exponent
    twist = rotations.limit_twist(raw)
    norm = torch.linalg.vector_norm(raw)
    expected = math.pi * torch.tanh(norm) * raw / norm
    torch.testing.assert_close(twist, expected, atol=0, rtol=1e-12)
    assert torch.linalg.vector_norm(twist) <= math.pi * (1 + 1e-15)


@pytest.mark.parametrize("length", [1e-4, 0.999e-3, 1.001e-3, 0.01])
def test_limited_twist_keeps_its_digits_where_the_series_ends(length):
    twist = rotations.limit_twist(tensor([length, 0, 0]))
    assert float(twist[0]) == pytest.approx(math.pi * math.tanh(length), rel=4e-16, abs=0)


@pytest.mark.parametrize("length", [0.0, 0.9e-3, 1.0, 4.0])
def test_limited_twist_gradient(length):
    raw = (length * torch.nn.functional.normalize(tensor([[1, -2, 0.5]]), dim=-1)).requires_grad_()
    assert torch.autograd.gradcheck(rotations.limit_twist, raw)


# --- quaternions


def test_quaternions_equal_scipy():
    R, scipy = random_rotations(500)
    wxyz = rotations.matrix_to_quaternion(R)
    np.testing.assert_allclose(wxyz.numpy(), scipy.as_quat(canonical=True, scalar_first=True), atol=1e-14)
    torch.testing.assert_close(rotations.quaternion_to_matrix(wxyz), R, atol=1e-14, rtol=0)


@given(seeds, st.floats(-150, 150))
def test_quaternion_of_any_length_and_sign(seed, exponent):
    wxyz = torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    scaled = wxyz * 10**exponent
    R = rotations.quaternion_to_matrix(scaled)
    assert torch.equal(R, rotations.quaternion_to_matrix(-scaled))
    np.testing.assert_allclose(R.numpy(), Rotation.from_quat(wxyz.numpy(), scalar_first=True).as_matrix(), atol=1e-14)


def test_minus_q_is_q_where_w_is_zero():
    wxyz = tensor([[0, -1, 0, 0], [0, 0, 2, -3], [0, 0, 0, -1]])
    unit = rotations.normalise_quaternion(wxyz)
    assert torch.equal(unit, rotations.normalise_quaternion(-wxyz))
    assert (unit.sum(-1) != 0).all()
    assert (unit[0] == tensor([0, 1, 0, 0])).all()


@pytest.mark.parametrize("bad", [[0, 0, 0, 0], [math.nan, 0, 0, 1], [math.inf, 0, 0, 1]])
def test_impossible_quaternions_are_refused(bad):
    with pytest.raises(InputError, match="quaternion"):
        rotations.quaternion_to_matrix(tensor([[1, 0, 0, 0], bad]))


def test_quaternion_product_and_conjugate_equal_matrices():
    (a, _), (b, _) = random_rotations(50, 1), random_rotations(50, 2)
    qa, qb = rotations.matrix_to_quaternion(a), rotations.matrix_to_quaternion(b)
    product = rotations.quaternion_to_matrix(rotations.multiply_quaternions(qa, qb))
    torch.testing.assert_close(product, a @ b, atol=1e-14, rtol=0)
    inverse = rotations.quaternion_to_matrix(rotations.conjugate_quaternion(qa))
    torch.testing.assert_close(inverse, a.mT, atol=1e-14, rtol=0)


def test_quaternion_gradients():
    R, _ = random_rotations(4)
    # One rotation for each of the four rows that may be picked.
    R = torch.cat([R, torch.diag_embed(tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])) @ R[:1]])
    assert torch.autograd.gradcheck(rotations.matrix_to_quaternion, R.requires_grad_())
    wxyz = rotations.matrix_to_quaternion(R).detach() * 3
    assert torch.autograd.gradcheck(rotations.quaternion_to_matrix, wxyz.requires_grad_())


# --- Euler angles, viewpoints, six numbers


@pytest.mark.parametrize("product", ORDERS)
def test_euler_angles_equal_scipy_both_ways(product):
    R, scipy = random_rotations(200)
    angles = rotations.matrix_to_euler(R, product)
    np.testing.assert_allclose(angles.numpy(), scipy.as_euler(product.upper()), atol=1e-7)
    torch.testing.assert_close(rotations.euler_to_matrix(angles, product), R, atol=1e-14, rtol=0)


@pytest.mark.parametrize("offset", [0.0, 1e-14, 1e-9, 1e-4])
@pytest.mark.parametrize("product", ORDERS)
def test_euler_angles_near_gimbal_lock_give_the_rotation_back(product, offset):
    lock = 0.0 if product[0] == product[2] else math.pi / 2
    for middle in (lock + offset, math.pi - lock + offset, -lock + offset):
        R = rotations.euler_to_matrix(tensor([0.7, middle, -1.9]), product)
        angles = rotations.matrix_to_euler(R, product)
        torch.testing.assert_close(rotations.euler_to_matrix(angles, product), R, atol=1e-13, rtol=0)


def test_palazzi_orders_are_the_stated_products():
    x, y, z = 0.3, -0.8, 1.1
    cx, sx, cy, sy, cz, sz = math.cos(x), math.sin(x), math.cos(y), math.sin(y), math.cos(z), math.sin(z)
    Rx = tensor([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    Ry = tensor([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    Rz = tensor([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    angles_xyz = tensor([x, y, z])
    torch.testing.assert_close(rotations.euler_to_matrix(angles_xyz.flip(-1), "zyx"), Rz @ Ry @ Rx)
    torch.testing.assert_close(rotations.euler_to_matrix(angles_xyz, "xyz"), Rx @ Ry @ Rz)


@pytest.mark.parametrize("product", ["", "xy", "xxy", "xyy", "XYZ", "abc", "xyzx"])
def test_impossible_euler_orders_are_refused(product):
    with pytest.raises(InputError, match="Euler"):
        rotations.euler_to_matrix(torch.zeros(3), product)


def test_euler_and_viewpoint_gradients():
    R, _ = random_rotations(3)
    for product in ("zyx", "zxz"):
        assert torch.autograd.gradcheck(lambda R, p=product: rotations.matrix_to_euler(R, p), R.requires_grad_())
    angles = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a: rotations.euler_to_matrix(a, "zxz"), angles)
    assert torch.autograd.gradcheck(lambda a: rotations.viewpoint_to_matrix(*a.unbind(-1)), angles)


@given(st.floats(-math.pi, math.pi), st.floats(-1.57, 1.57), st.floats(-math.pi, math.pi))
def test_viewpoint_puts_the_camera_where_it_says(azimuth, elevation, tilt):
    R = rotations.viewpoint_to_matrix(tensor(azimuth), tensor(elevation), tensor(tilt)).numpy()
    centre = R.T @ [0, 0, -1]  # the camera looks along its z at the origin from distance 1
    expected = [
        -math.cos(elevation) * math.sin(azimuth),
        math.sin(elevation),
        -math.cos(elevation) * math.cos(azimuth),
    ]
    np.testing.assert_allclose(centre, expected, atol=1e-14)
    up = R @ [0, 1, 0]  # tilt turns the picture counter-clockwise: image up goes to image left, -x
    np.testing.assert_allclose(up[:2], np.cos(elevation) * np.array([-math.sin(tilt), -math.cos(tilt)]), atol=1e-14)
    back = rotations.matrix_to_viewpoint(tensor(R))
    torch.testing.assert_close(rotations.viewpoint_to_matrix(*back), tensor(R), atol=1e-12, rtol=0)
    np.testing.assert_allclose(np.exp(1j * back.numpy()), np.exp([1j * azimuth, 1j * elevation, 1j * tilt]), atol=1e-9)


def test_nose_points_to_image_left_at_quarter_azimuth():
    zero = tensor(0.0)
    nose = tensor([0, 0, -1])
    torch.testing.assert_close(rotations.viewpoint_to_matrix(zero, zero, zero) @ nose, tensor([0, 0, -1]))
    R = rotations.viewpoint_to_matrix(tensor(math.pi / 2), zero, zero)
    torch.testing.assert_close(R @ nose, tensor([-1, 0, 0]), atol=1e-15, rtol=0)


@pytest.mark.parametrize("elevation", [-math.pi / 2, math.pi / 2])
def test_viewpoint_from_straight_above_has_no_tilt(elevation):
    R = rotations.viewpoint_to_matrix(tensor(0.4), tensor(elevation), tensor(0.3))
    back = rotations.matrix_to_viewpoint(R)
    assert float(back[2]) == 0
    torch.testing.assert_close(rotations.viewpoint_to_matrix(*back), R, atol=1e-14, rtol=0)


def test_six_numbers_equal_roma_and_round_trip():
    R, _ = random_rotations(100)
    assert torch.equal(rotations.matrix_to_sixd(R), torch.cat([R[:, :, 0], R[:, :, 1]], -1))
    torch.testing.assert_close(rotations.sixd_to_matrix(rotations.matrix_to_sixd(R)), R, atol=1e-14, rtol=0)
    raw = torch.randn(100, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = roma.special_gramschmidt(torch.stack([raw[:, :3], raw[:, 3:]], -1))
    torch.testing.assert_close(rotations.sixd_to_matrix(raw), expected, atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(rotations.sixd_to_matrix, raw[:3].requires_grad_())


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e12])
@pytest.mark.parametrize(
    "sixd", [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0], [1, 2, 3, 2, 4, 6], [1, 0, 0, -1, 0, 0]]
)
def test_six_numbers_without_a_rotation_give_a_valid_one(sixd, scale):
    sixd = (scale * tensor(sixd)).requires_grad_()
    R = rotations.sixd_to_matrix(sixd)
    assert_rotation(R)
    (gradient,) = torch.autograd.grad((R * tensor(np.arange(9)).view(3, 3)).sum(), sixd)
    assert torch.isfinite(gradient).all()


# --- angle, nearest rotation, anchors


@pytest.mark.parametrize("offset", [0.0, 1e-15, 1e-10, 1e-5, 0.1, 1.5])
def test_angle_keeps_its_digits_near_zero_and_pi(offset):
    axis = torch.nn.functional.normalize(tensor([0.2, -1.0, 0.7]), dim=-1)
    for angle in (offset, math.pi - offset):
        R = rotations.twist_to_matrix(angle * axis)
        found = float(rotations.rotation_angle(torch.eye(3, dtype=torch.float64), R))
        assert found == pytest.approx(angle, abs=4e-16 * (1 + angle), rel=1e-9)


def test_angle_equals_scipy_and_broadcasts():
    (a, scipy_a), (b, scipy_b) = random_rotations(40, 3), random_rotations(40, 4)
    np.testing.assert_allclose(rotations.rotation_angle(a, b), (scipy_a.inv() * scipy_b).magnitude(), atol=1e-14)
    table = rotations.rotation_angle(a[:, None], b[None, :])
    assert table.shape == (40, 40)
    torch.testing.assert_close(table, rotations.rotation_angle(b[None, :], a[:, None]))
    torch.testing.assert_close(table.diagonal(), roma.rotmat_geodesic_distance(a, b), atol=1e-7, rtol=0)


@pytest.mark.parametrize("angle", [1e-3, 1.0, math.pi - 1e-3])
def test_angle_gradient(angle):
    R = rotations.twist_to_matrix(angle * torch.nn.functional.normalize(tensor([0.2, -1.0, 0.7]), dim=-1))
    eye = torch.eye(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda R: rotations.rotation_angle(eye, R), R.requires_grad_())


@given(seeds, st.floats(0, 2e-4))
def test_nearest_rotation_equals_the_singular_value_one(seed, noise):
    rng = np.random.default_rng(seed)
    matrix = Rotation.random(rng=rng).as_matrix() + noise * rng.uniform(-1, 1, (3, 3))
    u, _, v = np.linalg.svd(matrix)
    R = rotations.project_to_rotation(tensor(matrix))
    np.testing.assert_allclose(R.numpy(), u @ v, atol=1e-14)


def test_nearest_rotation_gradient():
    R, _ = random_rotations(2)
    assert torch.autograd.gradcheck(rotations.project_to_rotation, R.requires_grad_())


@pytest.mark.parametrize(
    "matrix",
    [
        np.diag([-1, 1, 1]),
        -np.eye(3),
        1.001 * np.eye(3),
        np.zeros((3, 3)),
        np.full((3, 3), np.nan),
        np.diag([1, 1, np.inf]),
        np.eye(3) + 1e-3,
    ],
)
def test_what_is_no_rotation_is_refused(matrix):
    with pytest.raises(InputError, match="rotation matrix"):
        rotations.project_to_rotation(tensor(np.stack([np.eye(3), matrix])))


@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 2), (3, 15), (4, 20), (5, 85), (7, 259), (9, 585)])
def test_anchors_are_distinct_rotations_of_the_grid(n, count):
    anchors = rotations.shoemake_anchors(n, torch.float64)
    assert anchors.shape == (count, 4)
    assert (anchors[:, 0] >= 0).all()
    overlap = (anchors @ anchors.T).abs()
    torch.testing.assert_close(overlap.diagonal(), torch.ones(count, dtype=torch.float64))
    assert float((overlap - 2 * torch.eye(count)).max()) < 1 - 1e-6
    # By brute force: every point of the full grid is one of the anchors, up to sign.
    u1, u2, u3 = np.meshgrid(np.linspace(0, 1, n), np.arange(n) / n, np.arange(n) / n)
    a, b = np.sqrt(1 - u1), np.sqrt(u1)
    p, q = 2 * np.pi * u2, 2 * np.pi * u3
    wxyz = np.stack([b * np.cos(q), a * np.sin(p), a * np.cos(p), b * np.sin(q)], -1).reshape(-1, 4)
    nearest = np.abs(wxyz @ anchors.numpy().T)
    np.testing.assert_allclose(nearest.max(1), 1, atol=1e-12)
    assert len(set(nearest.argmax(1))) == count


def test_seven_anchors_lie_as_close_as_published():
    anchors = rotations.shoemake_anchors(7, torch.float64).numpy()
    wxyz = Rotation.random(20_000, rng=np.random.default_rng(0)).as_quat(scalar_first=True)
    degrees = np.degrees(2 * np.arccos(np.abs(wxyz @ anchors.T).max(1).clip(max=1)))
    assert degrees.max() <= 35.45
    assert degrees.mean() == pytest.approx(20.2, abs=0.2)


def test_no_anchors_are_refused():
    with pytest.raises(InputError, match="at least 1"):
        rotations.shoemake_anchors(0)


def test_dtype_and_batch_axes_are_kept():
    twist = torch.zeros(2, 0, 3, dtype=torch.float32)
    assert rotations.twist_to_matrix(twist).shape == (2, 0, 3, 3)
    R = rotations.twist_to_matrix(torch.ones(2, 4, 3))
    for function in (rotations.matrix_to_twist, rotations.matrix_to_quaternion, rotations.matrix_to_sixd):
        assert function(R).dtype == torch.float32
        assert function(R).shape[:2] == (2, 4)
