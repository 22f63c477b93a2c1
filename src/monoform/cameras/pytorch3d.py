"""PyTorch3D's camera: +x left, +y up, +z forward; row vectors ``x_view = x_world @ R + T``; intrinsics in NDC.

NDC spans [-1, 1] along the shorter side of the image, +x left and +y up, which is `in_ndc=True`, PyTorch3D's default.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.cameras.pinhole import Pinhole
from monoform.errors import InputError
from monoform.poses import Pose
from monoform.rotations import project_to_rotation


@dataclass(frozen=True, eq=False)
class PyTorch3DCamera:
    """Arguments of `pytorch3d.renderer.PerspectiveCameras`, by name; leading batch axes as given."""

    R: Float[Tensor, "*batch 3 3"]
    """Acts on row vectors from the right: the transpose of ours, with two axes turned."""
    T: Float[Tensor, "*batch 3"]
    focal_length: Float[Tensor, "*batch 2"]
    """In NDC: 2 f / min(height, width)."""
    principal_point: Float[Tensor, "*batch 2"]
    """In NDC, +x left, +y up, from the image centre."""
    image_size_hw: tuple[int, int]


def pytorch3d_camera(camera: Pinhole, pose_camera_world: Pose) -> PyTorch3DCamera:
    """PyTorch3D's arguments for a camera and its world -> camera pose; skew raises `InputError`."""
    if bool((camera.K[..., 0, 1] != 0).any()):
        raise InputError("PyTorch3D camera: it has no skew; give a K with K[0, 1] = 0")
    half_side = min(camera.size_hw) / 2
    signs = _axis_signs(pose_camera_world.t)
    return PyTorch3DCamera(
        R=(signs[:, None] * pose_camera_world.R).mT,
        T=signs * pose_camera_world.t,
        focal_length=camera.K.diagonal(dim1=-2, dim2=-1)[..., :2] / half_side,
        principal_point=(_centre(camera.size_hw, camera.K) - camera.K[..., :2, 2]) / half_side,
        image_size_hw=camera.size_hw,
    )


def parse_pytorch3d_camera(record: PyTorch3DCamera) -> tuple[Pinhole, Pose]:
    """Camera and world -> camera pose of PyTorch3D's arguments, the inverse of `pytorch3d_camera`."""
    half_side = min(record.image_size_hw) / 2
    focal = record.focal_length * half_side
    centre = _centre(record.image_size_hw, focal) - record.principal_point * half_side
    zero, one = torch.zeros_like(focal[..., 0]), torch.ones_like(focal[..., 0])
    (fx, fy), (cx, cy) = focal.unbind(-1), centre.unbind(-1)
    K = torch.stack([fx, zero, cx, zero, fy, cy, zero, zero, one], -1).unflatten(-1, (3, 3))
    signs = _axis_signs(record.T)
    pose = Pose(project_to_rotation(signs[:, None] * record.R.mT), signs * record.T)
    return Pinhole(K, record.image_size_hw), pose


def _axis_signs(like: Tensor) -> Float[Tensor, "3"]:
    """OpenCV's camera axes in PyTorch3D's: x and y turned round."""
    return like.new_tensor([-1.0, -1.0, 1.0])


def _centre(size_hw: tuple[int, int], like: Tensor) -> Float[Tensor, "2"]:
    return like.new_tensor([size_hw[1] / 2, size_hw[0] / 2])
