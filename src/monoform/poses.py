"""Rigid poses: where one frame stands in another."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError
from monoform.rotations import project_to_rotation


@dataclass(frozen=True, eq=False)
class Pose:
    """Rigid map from a source to a target frame: ``x_target = R @ x_source + t``.

    Name a variable after both frames, target first: ``pose_camera_object.apply(x_object)`` is in the camera frame.
    """

    R: Float[Tensor, "*batch 3 3"]
    t: Float[Tensor, "*batch 3"]

    def apply(self, points: Float[Tensor, "*#points n 3"]) -> Float[Tensor, "*batch n 3"]:
        """Points of the source frame in the target frame; batch axes broadcast."""
        return points @ self.R.mT + self.t[..., None, :]

    def compose(self, inner: "Pose") -> "Pose":
        """The map that does `inner` first: ``pose_a_b.compose(pose_b_c)`` is pose_a_c; batch axes broadcast."""
        R = self.R @ inner.R
        t = (self.R @ inner.t[..., None]).squeeze(-1) + self.t
        return Pose(R, t.expand(R.shape[:-1]))

    def invert(self) -> "Pose":
        """The map back: ``pose_a_b.invert()`` is pose_b_a."""
        return Pose(self.R.mT, -(self.R.mT @ self.t[..., None]).squeeze(-1))

    def to_matrix(self) -> Float[Tensor, "*batch 4 4"]:
        """Homogeneous 4x4 matrix that acts on columns (x, y, z, 1)."""
        bottom = self.t.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(*self.t.shape[:-1], 1, 4)
        return torch.cat([torch.cat([self.R, self.t[..., None]], -1), bottom], -2)


def pose_from_matrix(matrix: Float[Tensor, "*batch 4 4"]) -> Pose:
    """Pose of a homogeneous 4x4 matrix.

    A rotation that is one up to rounding is made exact; scale, a reflection, NaN or another last row than
    (0, 0, 0, 1) raise `InputError`.
    """
    if not bool(torch.isfinite(matrix).all()):
        raise InputError("pose matrix: holds NaN or infinity; give finite numbers")
    if not torch.allclose(matrix[..., 3, :], matrix.new_tensor([0.0, 0.0, 0.0, 1.0]), atol=1e-6):
        raise InputError(
            "pose matrix: the last row is not 0 0 0 1; pass the matrix that acts on columns, not its transpose"
        )
    return Pose(project_to_rotation(matrix[..., :3, :3]), matrix[..., :3, 3])
