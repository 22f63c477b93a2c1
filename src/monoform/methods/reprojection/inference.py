"""What the trained networks say of images: a style's shape, a pose, and the one placed in the other (Figure 2, part 3)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monoform.methods.reprojection.config import Config
from monoform.methods.reprojection.poses import Poses, all_rotations, best_rotation, read_poses, turns_about
from monoform.projection.voxel_max import voxel_max
from monoform.projection.warping import warp

NEGLIGIBLE = 1e-3
"""An anchor no likelier is left out of a mixture: most images have one or two of eight, and each costs a pose's time."""


class Reconstruction(NamedTuple):
    """A pose-aware shape."""

    voxels: Float[Tensor, "b 30 30 30"]
    """Probability of occupancy, as the generator gives it."""
    R: Float[Tensor, "b 3 3"]
    t: Float[Tensor, "b 3"]
    posed: Float[Tensor, "b 30 30 30"]
    """Eq. 2."""
    mask: Float[Tensor, "b 30 30"]
    """Eq. 3."""


# --- from images ---------------------------------------------------------------------------------------------------


def shape_of(networks: nn.ModuleDict, config: Config, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b q q q"]:
    """The shape with the mean of the image's style. A variational style's second half is not used."""
    style = networks["style"](images)[:, : config.latent]
    return networks["generator"](style).sigmoid()


def shape_again(networks: nn.ModuleDict, config: Config, voxels: Float[Tensor, "b q q q"]) -> Float[Tensor, "b q q q"]:
    """A shape through the autoencoder."""
    style = networks["shape_encoder"](voxels)[:, : config.latent]
    return networks["generator"](style).sigmoid()


def pose_of(networks: nn.ModuleDict, config: Config, images: Tensor) -> tuple[Tensor, Tensor]:
    """R (b, 3, 3) and t (b, 3)."""
    poses = read_poses(networks["pose"](images), config.anchors)
    return best_rotation(poses), poses.t


def placed(voxels: Tensor, R: Tensor, t: Tensor) -> Reconstruction:
    """A shape in its pose, and its silhouette."""
    return Reconstruction(voxels, R, t, warp(voxels, R, t), voxel_max(voxels, R, t))


def placed_best(voxels: Tensor, poses: Poses) -> Reconstruction:
    """The shape in its likeliest pose."""
    return placed(voxels, best_rotation(poses), poses.t)


def placed_mixture(voxels: Tensor, poses: Poses, spread_deg: float) -> Reconstruction:
    """The mean of the shape in the poses from all anchors, each as likely as its score says; R is the likeliest.

    Paper: one pose. Here, as an option: a cell's probability over the poses too, as a coupled network's output is, so that an
    image that may show a front or a back is answered with both. spread_deg: how far about each the true one lies.
    """
    best, turns = placed_best(voxels, poses), turns_about(spread_deg, voxels)
    weights = poses.scores.softmax(1)
    weights = weights * ((weights > NEGLIGIBLE) | (weights == weights.amax(1, keepdim=True)))
    weights = weights / (weights.sum(1, keepdim=True) * len(turns))
    posed, mask = torch.zeros_like(best.posed), torch.zeros_like(best.mask)
    for weight, R in zip(weights.unbind(1), all_rotations(poses).unbind(1), strict=True):
        rows = weight.nonzero()[:, 0]
        for turn in turns if len(rows) else ():
            found = placed(voxels[rows], turn @ R[rows], poses.t[rows])
            posed[rows] += weight[rows, None, None, None] * found.posed
            mask[rows] += weight[rows, None, None] * found.mask
    return best._replace(posed=posed, mask=mask)


def decoupled(networks: nn.ModuleDict, config: Config, images: Tensor) -> Reconstruction:
    """Style and pose apart: the paper's systems."""
    voxels, poses = shape_of(networks, config, images), read_poses(networks["pose"](images), config.anchors)
    return placed_best(voxels, poses) if config.placing == "best" else placed_mixture(voxels, poses, config.pose_spread)


def coupled(networks: nn.ModuleDict, config: Config, images: Tensor) -> Reconstruction:
    """The shape comes out as the camera sees it: the aligned one and the pose are nan."""
    posed = shape_of(networks, config, images)
    unknown = posed.new_full((len(posed), 3, 3), torch.nan)
    still = torch.eye(3, device=posed.device).expand(len(posed), 3, 3)
    return Reconstruction(torch.full_like(posed, torch.nan), unknown, unknown[:, 0], posed, voxel_max(posed, still))


def without_pose(networks: nn.ModuleDict, config: Config, images: Tensor) -> Reconstruction:
    """The aligned shape alone; all else is nan."""
    voxels = shape_of(networks, config, images)
    unknown = voxels.new_full((len(voxels), 3, 3), torch.nan)
    nowhere = torch.full_like(voxels, torch.nan)
    return Reconstruction(voxels, unknown, unknown[:, 0], nowhere, nowhere[:, 0])
