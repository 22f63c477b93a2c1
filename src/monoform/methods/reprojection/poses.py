"""The pose p = (w, t_x, t_y) of an image, w the twist of its rotation, and the loss of its regression (section 3.3).

Paper: one twist, by its Euclidean distance. That jumps at half a turn: twists of 179 and -179 degrees about one axis are two
degrees apart as rotations and 358 as vectors. Here a twist is counted from the front view, so that the jump lies at the
back, and both twists of the truth are tried. With several `anchors` a classifier first picks an azimuth, and the twist,
counted from there, never comes near the jump.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from monoform.methods.reprojection.config import Config
from monoform.rotations import limit_twist, matrix_to_twist, rotation_angle, twist_to_matrix, viewpoint_to_matrix


class Poses(NamedTuple):
    """What the pose regressor says."""

    scores: Float[Tensor, "b k"]
    """Logits of the anchors."""
    twists: Float[Tensor, "b k 3"]
    """From each anchor, shorter than pi."""
    anchors: Float[Tensor, "k 3 3"]
    t: Float[Tensor, "b 3"]
    """In grid sides, t_z 0."""


def pose_numbers(anchors: int) -> int:
    """How many numbers the regressor gives."""
    return 4 * anchors + 2


def read_poses(numbers: Float[Tensor, "b n"], anchors: int) -> Poses:
    """The regressor's numbers as poses. Eq. 5 and the text about it: the twist's norm is limited by tanh."""
    azimuths = 2 * math.pi * torch.arange(anchors, device=numbers.device, dtype=numbers.dtype) / anchors
    level = torch.zeros_like(azimuths)
    scores, raw, t = numbers.split([anchors, 3 * anchors, 2], dim=1)
    twists = limit_twist(raw.unflatten(1, (anchors, 3)))
    return Poses(scores, twists, viewpoint_to_matrix(azimuths, level, level), functional.pad(t, (0, 1)))


def all_rotations(poses: Poses) -> Float[Tensor, "b k 3 3"]:
    """The rotations counted from each anchor: ``R = exp(w) A``."""
    return twist_to_matrix(poses.twists) @ poses.anchors


def best_rotation(poses: Poses) -> Float[Tensor, "b 3 3"]:
    """The rotation counted from the anchor with the highest score."""
    return _of(all_rotations(poses), poses.scores.argmax(1))


def turns_about(spread_deg: float, like: Tensor) -> Float[Tensor, "k 3 3"]:
    """Rotations whose mean stands for that over an isotropic normal distribution of twists; the identity where it is a point.

    The cubature rule of third degree (Stroud 1971, E_3^{r^2} 3-1): both ways about each axis by sqrt(3) standard deviations.
    """
    if spread_deg == 0.0:
        return torch.eye(3, dtype=like.dtype, device=like.device)[None]
    axes = torch.eye(3, dtype=like.dtype, device=like.device)
    return twist_to_matrix(math.sqrt(3.0) * math.radians(spread_deg) * torch.cat([axes, -axes]))


def pose_loss(poses: Poses, R: Float[Tensor, "b 3 3"], t: Float[Tensor, "b 3"], config: Config) -> Tensor:
    """Distance to the true pose from the nearest anchor, and the classifier's cross-entropy (0 with one anchor)."""
    from_anchors = R[:, None] @ poses.anchors.mT
    eye = torch.eye(3, device=R.device, dtype=R.dtype)
    nearest = rotation_angle(from_anchors, eye).argmin(1)
    rotation = ROTATION_LOSSES[config.rotation_loss](_of(poses.twists, nearest), _of(from_anchors, nearest))
    away = (poses.t - t).square().sum(1)
    shift = {"twist": away, "geodesic": (away + 1e-8).sqrt()}[config.rotation_loss]
    return (rotation + config.translation_weight * shift).mean() + functional.cross_entropy(poses.scores, nearest)


def twist_loss(twist: Float[Tensor, "b 3"], R: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b"]:
    """Squared Euclidean distance to the nearer of the two twists within 2 pi that turn by R.

    Paper: to the one shorter than pi. Here: the nearer, because the other jumps where the angle passes pi.
    """
    short = matrix_to_twist(R)
    angle = torch.linalg.vector_norm(short, dim=-1, keepdim=True).clamp(min=1e-6)
    long = short * (1 - 2 * math.pi / angle)
    return torch.minimum((twist - short).square().sum(-1), (twist - long).square().sum(-1))


def geodesic_loss(twist: Float[Tensor, "b 3"], R: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b"]:
    """The angle between the rotations, radians."""
    return rotation_angle(twist_to_matrix(twist), R)


ROTATION_LOSSES = {"twist": twist_loss, "geodesic": geodesic_loss}


def _of(values: Tensor, choice: Tensor) -> Tensor:
    """Of (b, k, ...), row i's entry choice[i]."""
    return values[torch.arange(len(choice), device=choice.device), choice]
