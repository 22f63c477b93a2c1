"""PASCAL3D+'s viewpoints: azimuth, elevation, in-plane theta and distance around a z-up CAD model.

The camera stands at ``d (cos el sin az, -cos el cos az, sin el)`` and its axes are OpenGL's; the rotation world ->
camera is ``W = R_z(theta) @ R_x(el - pi/2) @ R_z(-az)``. Angles here are radians, in the files they are degrees.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.cameras.pinhole import Pinhole
from monoform.poses import Pose
from monoform.rotations import euler_to_matrix, matrix_to_viewpoint


def pascal3d_pose(
    azimuth: Float[Tensor, "*batch"],
    elevation: Float[Tensor, "*batch"],
    theta: Float[Tensor, "*batch"],
    distance: Float[Tensor, "*batch"],
) -> Pose:
    """CAD model (z up, front -y) -> OpenCV camera pose: ``R = diag(1, -1, -1) @ W``, ``t = (0, 0, distance)``."""
    zero = torch.zeros_like(distance)
    signs = distance.new_tensor([1.0, -1.0, -1.0])
    return Pose(signs[:, None] * _opengl_rotation(azimuth, elevation, theta), torch.stack([zero, zero, distance], -1))


def pascal3d_viewpoint(pose_camera_model: Pose) -> Float[Tensor, "*batch 4"]:
    """(azimuth, elevation, theta, distance) of a pose, the inverse of `pascal3d_pose`; distance is along the axis.

    Azimuth and theta in [-pi, pi], elevation in [-pi/2, pi/2]; seen from straight above or below, theta is 0.
    """
    # R = R_canonical @ C with C from the CAD frame to the canonical one; C is symmetric and so acts on R's rows.
    angles = matrix_to_viewpoint(canonical_from_pascal3d(pose_camera_model.R))
    return torch.cat([angles, pose_camera_model.t[..., 2:]], -1)


def viewpoints_and_keypoints_rotation(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"], theta: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """The matrix that Viewpoints & Keypoints stores: ``W^T``, camera -> world (MATLAB's passive angle2dcm 'ZXZ')."""
    return _opengl_rotation(azimuth, elevation, theta).mT


def pascal3d_pinhole(
    principal_xy: tuple[float, float], size_hw: tuple[int, int], focal: float = 1.0, viewport: float = 3000.0
) -> Pinhole:
    """Camera, float64, of an annotation's focal, viewport and principal point (px, py).

    MATLAB's first pixel is centred at (1, 1), ours at (0.5, 0.5); the annotated point is moved by that half pixel.
    """
    (x, y), f = principal_xy, focal * viewport
    K = [[f, 0.0, x - 0.5], [0.0, f, y - 0.5], [0.0, 0.0, 1.0]]
    return Pinhole(torch.tensor(K, dtype=torch.float64), size_hw)


def canonical_from_pascal3d(vertices: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """CAD coordinates (z up, front -y) in the canonical object frame (y up, front -z): ``(-x, z, y)``, a rotation.

    Azimuth, elevation and theta are the same angles in both frames (`rotations.viewpoint_to_matrix`).
    """
    x, y, z = vertices.unbind(-1)
    return torch.stack([-x, z, y], -1)


def _opengl_rotation(azimuth: Tensor, elevation: Tensor, theta: Tensor) -> Float[Tensor, "*batch 3 3"]:
    return euler_to_matrix(torch.stack([theta, elevation - math.pi / 2, -azimuth], -1), "zxz")
