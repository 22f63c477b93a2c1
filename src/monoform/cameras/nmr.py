"""The camera of Neural Mesh Renderer and SoftRas, which mirrors the world.

They put the eye at ``d (cos el sin az, sin el, -cos el cos az)``, take ``x = up x forward`` as the image's right, which
points left, and store the mirrored shape, so that the pictures come out right. Here the mirror is undone: negate x of
the mesh (`mirror_nmr_mesh`), then their azimuth is our azimuth. Views k of their data set are at azimuth -15 k degrees.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monoform.cameras.pinhole import Pinhole, pinhole_from_fov
from monoform.cameras.viewpoints import orbit_pose
from monoform.poses import Pose
from monoform.rotations import matrix_to_viewpoint

DISTANCE = 2.732
ELEVATION = math.radians(30)
HALF_ANGLE = math.radians(15)


def nmr_pinhole(side: int, viewing_angle: float = HALF_ANGLE, dtype: torch.dtype = torch.float32) -> Pinhole:
    """Camera of a square image; their `viewing_angle` is HALF the angle of view, here in radians."""
    return pinhole_from_fov(2 * viewing_angle, (side, side), dtype)


def nmr_pose(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"], distance: Float[Tensor, "*batch"]
) -> Pose:
    """Pose that shows the mesh of `mirror_nmr_mesh` as they show theirs, for their angles, in radians."""
    return orbit_pose(azimuth, elevation, torch.zeros_like(azimuth), distance)


def nmr_viewpoint(pose_camera_object: Pose) -> Float[Tensor, "*batch 3"]:
    """(azimuth, elevation, distance) in their convention of a pose without tilt; the inverse of `nmr_pose`."""
    azimuth, elevation, _ = matrix_to_viewpoint(pose_camera_object.R).unbind(-1)
    return torch.stack([azimuth, elevation, pose_camera_object.t[..., 2]], -1)


def nmr_view_pose(view: Int[Tensor, "*batch"], dtype: torch.dtype = torch.float32) -> Pose:
    """Pose of the ShapeNet OBJ itself (not their mirrored mesh) in view k = 0..23 of their data set.

    The true camera is at ``d (cos a cos e, sin e, sin a cos e)`` of the OBJ's axes with a = 15 k degrees, e = 30.
    """
    azimuth = -torch.deg2rad(15.0 * view.to(dtype)) - math.pi / 2
    return nmr_pose(azimuth, torch.full_like(azimuth, ELEVATION), torch.full_like(azimuth, DISTANCE))


def mirror_nmr_mesh(
    vertices: Float[Tensor, "*batch v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "*batch v 3"], Int[Tensor, "f 3"]]:
    """Their mesh unmirrored, or ours mirrored into theirs: x negated and the winding reversed; its own inverse."""
    return vertices * vertices.new_tensor([-1.0, 1.0, 1.0]), faces.flip(-1)
