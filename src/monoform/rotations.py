"""Rotations in three dimensions: every way the papers and tools write them, to and from 3x3 matrices.

Pure batched functions; dtype and device come from the arguments, angles are radians, `R @ x` turns column vectors and
positive angles turn counter-clockwise when the axis points at the reader: ``R_z(pi / 2) @ e_x = e_y``.
Values and gradients are finite for every rotation, at angle 0 and at pi too.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError

# ---------------------------------------------------------------------------------------------------------------------
# Twist: axis times angle


def hat(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Skew matrix of a vector: ``hat(a) @ b = a x b``."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def vee(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Vector of the skew part of a matrix, the inverse of `hat`; of a rotation: axis times sine of the angle."""
    skew = (matrix - matrix.mT) / 2
    return torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1)


def twist_to_matrix(twist: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Exponential map of so(3). `twist` is axis times angle, radians, of any length. Zhu 2017, section 3.3."""
    square = (twist * twist).sum(-1, keepdim=True)
    small = square < 1e-6
    # The unused branch of `where` still gets a gradient, so it must be given an argument at which it is finite.
    angle = torch.where(small, 1.0, square).sqrt()
    half_sine = torch.sin(angle / 2) / (angle / 2)
    sine = torch.where(small, 1 - square / 6 + square**2 / 120, torch.sin(angle) / angle)
    cosine = torch.where(small, 0.5 - square / 24 + square**2 / 720, half_sine**2 / 2)
    skew = hat(twist)
    eye = torch.eye(3, dtype=twist.dtype, device=twist.device)
    return eye + sine[..., None] * skew + cosine[..., None] * (skew @ skew)


def matrix_to_twist(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Logarithm of a rotation: axis times angle, radians, of length at most pi.

    At exactly pi both axes are right; the one whose first non-zero component is positive is returned.
    """
    quaternion = matrix_to_quaternion(R)
    w, xyz = quaternion[..., :1], quaternion[..., 1:]
    square = (xyz * xyz).sum(-1, keepdim=True)
    small = square < 1e-6
    sine = torch.where(small, 1.0, square).sqrt()
    # Series of atan2(s, w) / s for small s, with w = sqrt(1 - s^2).
    factor = torch.where(small, 2 + square / 3 + 3 * square**2 / 20, 2 * torch.atan2(sine, w) / sine)
    return factor * xyz


def limit_twist(raw: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Map any vector to a twist shorter than pi: ``w = pi tanh(|a|) a / |a|``. Zhu 2017, section 3.3.

    The norm is limited, not each component: component by component the corners would reach pi sqrt(3).
    """
    square = (raw * raw).sum(-1, keepdim=True)
    small = square < 1e-6
    norm = torch.where(small, 1.0, square).sqrt()
    factor = torch.where(small, 1 - square / 3 + 2 * square**2 / 15, torch.tanh(norm) / norm)
    return math.pi * factor * raw


# ---------------------------------------------------------------------------------------------------------------------
# Quaternions, scalar first


def normalise_quaternion(quaternion_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion of the same rotation with w >= 0; q and -q give the same result.

    Where w is 0 the first non-zero component is made positive. Zero, NaN or infinite quaternions raise `InputError`.
    """
    largest = quaternion_wxyz.abs().amax(-1, keepdim=True)
    if not bool((torch.isfinite(largest) & (largest > 0)).all()):
        raise InputError("quaternion: zero, NaN or infinite, which is no rotation; give four finite numbers w, x, y, z")
    # Divide by the largest component first, so that the squares neither overflow nor vanish.
    scaled = quaternion_wxyz / largest.detach()
    unit = scaled / torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
    first = (unit != 0).to(torch.int8).argmax(-1, keepdim=True)
    return unit * unit.gather(-1, first).sign().detach() + 0.0  # no -0.0


def quaternion_to_matrix(quaternion_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of a quaternion (w, x, y, z), which need not have unit length; zero or NaN raises `InputError`."""
    w, x, y, z = normalise_quaternion(quaternion_wxyz).unbind(-1)
    entries = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(entries, -1).unflatten(-1, (3, 3))


def matrix_to_quaternion(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (w, x, y, z) with w >= 0 of a rotation.

    The rows of ``4 q q^T`` are linear in R; the one with the largest diagonal entry (>= 1) is normalised, so that
    neither a root nor a division comes near zero (Shepperd 1978).
    """
    (a, b, c), (d, e, f), (g, h, i) = (row.unbind(-1) for row in R.unbind(-2))
    outer = torch.stack(
        [
            *(1 + a + e + i, h - f, c - g, d - b),
            *(h - f, 1 + a - e - i, b + d, c + g),
            *(c - g, b + d, 1 - a + e - i, f + h),
            *(d - b, c + g, f + h, 1 - a - e + i),
        ],
        -1,
    ).unflatten(-1, (4, 4))
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    row = outer.gather(-2, best[..., None, None].expand(*best.shape, 1, 4)).squeeze(-2)
    return normalise_quaternion(row)


def multiply_quaternions(
    a_wxyz: Float[Tensor, "*#batch 4"], b_wxyz: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """Hamilton product: the rotation by b, then the rotation by a, ``R(a b) = R(a) @ R(b)``; batch axes broadcast."""
    aw, ax, ay, az = a_wxyz.unbind(-1)
    bw, bx, by, bz = b_wxyz.unbind(-1)
    product = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return torch.stack(product, -1)


def conjugate_quaternion(quaternion_wxyz: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Quaternion of the inverse rotation (for unit quaternions)."""
    return quaternion_wxyz * quaternion_wxyz.new_tensor([1.0, -1.0, -1.0, -1.0])


# ---------------------------------------------------------------------------------------------------------------------
# Euler angles, camera angles, six numbers


def axis_rotation(axis: str, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation about one coordinate axis, 'x', 'y' or 'z'; ``R_z(pi / 2) @ e_x = e_y``."""
    i = "xyz".index(axis)
    j, k = (i + 1) % 3, (i + 2) % 3
    cosine, sine, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    entries = {(i, i): one, (j, j): cosine, (k, k): cosine, (j, k): -sine, (k, j): sine}
    return torch.stack([entries.get((r, c), zero) for r in range(3) for c in range(3)], -1).unflatten(-1, (3, 3))


def euler_to_matrix(angles: Float[Tensor, "*batch 3"], product: str) -> Float[Tensor, "*batch 3 3"]:
    """Rotation from three angles; `product` spells the matrix product from left to right.

    ``euler_to_matrix([a, b, c], "zyx") = R_z(a) @ R_y(b) @ R_x(c)``: SciPy's intrinsic "ZYX". All twelve orders work.
    Palazzi 2018's code names its orders the other way round, with angles given as (x, y, z): its 'XYZ' is
    ``R_z(z) @ R_y(y) @ R_x(x) = euler_to_matrix(angles_xyz.flip(-1), "zyx")`` and its 'ZYX' is
    ``R_x(x) @ R_y(y) @ R_z(z) = euler_to_matrix(angles_xyz, "xyz")``.
    """
    _check_product(product)
    first, second, third = (axis_rotation(axis, angle) for axis, angle in zip(product, angles.unbind(-1), strict=True))
    return first @ second @ third


def matrix_to_euler(R: Float[Tensor, "*batch 3 3"], product: str) -> Float[Tensor, "*batch 3"]:
    """Angles with ``euler_to_matrix(angles, product) == R``; the first and third in [-pi, pi].

    The second is in [-pi/2, pi/2] for orders of three axes and in [0, pi] for those like "zxz". In gimbal lock, where
    only the sum or difference of first and third is defined, the first is 0.
    """
    _check_product(product)
    i, j = "xyz".index(product[0]), "xyz".index(product[1])
    k = 3 - i - j
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    if product[0] == product[2]:
        first = _angle(R[..., j, i], -sign * R[..., k, i])
    else:
        first = _angle(-sign * R[..., j, k], R[..., k, k])
    # What is left after taking the first rotation off depends on two angles only, also near gimbal lock.
    rest = axis_rotation(product[0], -first) @ R
    if product[0] == product[2]:
        second = _angle(-sign * rest[..., k, i], rest[..., i, i])
        third = _angle(-sign * rest[..., j, k], rest[..., j, j])
    else:
        second = _angle(sign * rest[..., i, k], rest[..., k, k])
        third = _angle(sign * rest[..., j, i], rest[..., j, j])
    return torch.stack([first, second, third], -1)


def _check_product(product: str) -> None:
    axes_known = len(product) == 3 and set(product) <= set("xyz")
    if not axes_known or product[0] == product[1] or product[1] == product[2]:
        raise InputError(f"Euler order {product!r}: give three of x, y, z without equal neighbours, such as 'zyx'")


def _angle(sine: Float[Tensor, "*batch"], cosine: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """atan2 that is 0, with a zero gradient, where both arguments vanish up to rounding."""
    undefined = sine**2 + cosine**2 < (8 * torch.finfo(sine.dtype).eps) ** 2
    return torch.atan2(torch.where(undefined, 0.0, sine), torch.where(undefined, 1.0, cosine))


def viewpoint_to_matrix(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"], tilt: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """R_camera_object of a camera that looks at the object: ``R_z(pi - tilt) @ R_x(-elevation) @ R_y(-azimuth)``.

    The object is y up, front -z; the camera is OpenCV's. At azimuth 0 the camera stands before the object's front; it
    goes counter-clockwise seen from above (at pi/2 it sees the object's left side, the nose points to image left);
    elevation lifts it; tilt turns the object's picture counter-clockwise. These are PASCAL3D+'s own angles:
    camera centre = distance * (-cos el sin az, sin el, -cos el cos az).
    """
    angles = torch.stack([math.pi - tilt, -elevation, -azimuth], -1)
    return euler_to_matrix(angles, "zxy")


def matrix_to_viewpoint(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """(azimuth, elevation, tilt) of R_camera_object, the inverse of `viewpoint_to_matrix`.

    Azimuth and tilt in [-pi, pi], elevation in [-pi/2, pi/2]; seen from straight above or below, tilt is 0.
    """
    half_turn = R.new_tensor([-1.0, -1.0, 1.0])
    angles = matrix_to_euler(half_turn[:, None] * R, "zxy")
    return -angles.flip(-1)


def matrix_to_sixd(R: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """First column, then second column, of a rotation. Zhou et al. 2019, "On the Continuity of Rotation..."."""
    return R[..., :2].mT.flatten(-2)


def sixd_to_matrix(sixd: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation whose first two columns are Gram-Schmidt's of the two given vectors. Zhou et al. 2019, equation 11.

    Vectors that are zero or parallel, which a network may emit, give a valid rotation with zero gradient.
    """
    first = _unit_or(sixd[..., :3], sixd.new_tensor([1.0, 0.0, 0.0]))
    given = _unit_or(sixd[..., 3:], first)
    upright = given - (first * given).sum(-1, keepdim=True) * first
    # Any direction square to the first will do: the axis it has least of, made square to it.
    least = torch.nn.functional.one_hot(first.abs().argmin(-1), 3).to(sixd.dtype)
    spare = torch.linalg.cross(torch.linalg.cross(first, least), first)
    second = _unit_or(upright, spare / torch.linalg.vector_norm(spare, dim=-1, keepdim=True))
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def _unit_or(vector: Tensor, fallback: Tensor) -> Tensor:
    """Unit vector, or the fallback where the vector is too short to have a direction."""
    norm = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    known = norm > 16 * torch.finfo(vector.dtype).eps
    return torch.where(known, vector / torch.where(known, norm, 1.0), fallback)


# ---------------------------------------------------------------------------------------------------------------------
# Distance, projection, anchors


def rotation_angle(R_a: Float[Tensor, "*#batch 3 3"], R_b: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch"]:
    """Geodesic distance of two rotations, radians in [0, pi]; batch axes broadcast.

    ``atan2(sine, cosine)`` keeps full accuracy where the usual arccos of the trace loses half its digits (near 0 and
    pi); the gradient is finite everywhere and 0 where the angle is 0 or pi. Palazzi 2018, equation 6; Lin 2018,
    equation 4.
    """
    relative = R_a.mT @ R_b
    sine = torch.linalg.vector_norm(vee(relative), dim=-1)
    cosine = (relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.atan2(sine, cosine)


def project_to_rotation(matrix: Float[Tensor, "*batch 3 3"], tolerance: float = 1e-3) -> Float[Tensor, "*batch 3 3"]:
    """Nearest rotation of a matrix that is one up to rounding: ``||M^T M - I||_F < tolerance``, det > 0.

    Scale, shear, a reflection (det -1), NaN and infinity raise `InputError`. Differentiable.
    """
    eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    error = torch.linalg.matrix_norm(matrix.mT @ matrix - eye)
    if not bool((error < tolerance).all()):
        raise InputError(
            f"rotation matrix: ||R^T R - I|| is {float(error.max()):.3g}, not orthonormal; divide the scale out "
            "and pass a rotation, rows or columns of length 1"
        )
    if bool((torch.linalg.det(matrix.detach()) < 0).any()):
        raise InputError("rotation matrix: determinant is -1, a mirror image; negate one axis of the mesh and the pose")
    # Newton-Schulz steps towards the polar factor, each squaring the error: no singular vectors in the gradient.
    for _ in range(4):
        matrix = matrix @ (1.5 * eye - 0.5 * matrix.mT @ matrix)
    return matrix


def shoemake_anchors(n: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "anchors 4"]:
    """Grid of distinct rotations as unit quaternions (w, x, y, z), w >= 0. Lin 2018, section 3.3; Shoemake 1992.

    u1 takes n values in [0, 1], both ends included; u2 and u3 take n values of a period, end excluded;
    ``(x, y, z, w) = (sqrt(1-u1) sin 2 pi u2, sqrt(1-u1) cos 2 pi u2, sqrt(u1) sin 2 pi u3, sqrt(u1) cos 2 pi u3)``.
    At the ends of u1 one of the angles has no effect and is not repeated: n = 7 gives 5 * 49 + 7 + 7 = 259.
    For even n the grid holds q and -q of each rotation and only one is kept: n = 4 gives 20.
    """
    if n < 1:
        raise InputError(f"rotation anchors: {n} values per axis; give at least 1")
    levels = [0.0] if n == 1 else [k / (n - 1) for k in range(n)]
    half = n // 2 if n % 2 == 0 else n  # -q is the point half a period on in both angles
    grid = []
    for u1 in levels:
        first = range(1) if u1 == 1 else range(half)
        second = range(1) if u1 == 0 else range(half if u1 == 1 else n)
        grid += [(u1, j / n, k / n) for j in first for k in second]
    u1, u2, u3 = torch.tensor(grid, dtype=torch.float64).unbind(-1)
    low, high, p, q = (1 - u1).sqrt(), u1.sqrt(), 2 * math.pi * u2, 2 * math.pi * u3
    wxyz = torch.stack([high * q.cos(), low * p.sin(), low * p.cos(), high * q.sin()], -1)
    # Multiples of a quarter turn must give exact zeros, or rounding would decide the sign.
    return normalise_quaternion(torch.where(wxyz.abs() < 1e-12, 0.0, wxyz)).to(dtype)
