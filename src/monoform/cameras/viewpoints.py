"""Where a camera stands: poses from an eye point or from angles."""

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError
from monoform.poses import Pose
from monoform.rotations import viewpoint_to_matrix


def look_at(eye: Float[Tensor, "*batch 3"], target: Float[Tensor, "*batch 3"], up: Float[Tensor, "*batch 3"]) -> Pose:
    """World -> camera pose (OpenCV axes) of a camera at `eye` that looks at `target`, with `up` upright in the image.

    `InputError` if eye and target coincide, or the camera looks along `up`.
    """
    forward = _direction(target - eye, "eye and target are the same point; move one of them")
    down = -_direction(up, "the up vector is zero; give a direction")
    right = _direction(torch.linalg.cross(down, forward), "the camera looks along the up vector; give another up")
    R = torch.stack([right, torch.linalg.cross(forward, right), forward], -2)
    return Pose(R, -(R @ eye[..., None]).squeeze(-1))


def orbit_pose(
    azimuth: Float[Tensor, "*batch"],
    elevation: Float[Tensor, "*batch"],
    tilt: Float[Tensor, "*batch"],
    distance: Float[Tensor, "*batch"],
) -> Pose:
    """Object -> camera pose of a camera that looks at the object's origin from `distance`; angles in radians.

    The angles mean what they mean in `rotations.viewpoint_to_matrix` (object y up, front -z).
    """
    zero = torch.zeros_like(distance)
    return Pose(viewpoint_to_matrix(azimuth, elevation, tilt), torch.stack([zero, zero, distance], -1))


def _direction(vector: Float[Tensor, "*batch 3"], problem: str) -> Float[Tensor, "*batch 3"]:
    norm = torch.linalg.vector_norm(vector, dim=-1, keepdim=True)
    # `not >` also refuses NaN.
    if not bool((norm > 16 * torch.finfo(vector.dtype).eps).all() and torch.isfinite(norm).all()):
        raise InputError(f"look-at camera: {problem}")
    return vector / norm
