"""Zhu, Kiani Galoogahi, Lucey 2017, "Rethinking Reprojection: Closing the Loop for Pose-aware Shape Reconstruction from a
Single Image" (ICCV): p-TL, p-3D-VAE-GAN, and the baselines of Table 2.

An image becomes a style and a pose p = (w, t_x, t_y). The generator turns the style into an aligned shape of 30 cells a side,
the pose moves it in front of an orthographic camera, and the largest occupancy behind each pixel is the silhouette, which
is compared with a mask. So natural images, of which masks alone are known, train both regressors.

Read on in `shapes` (stage 1), `poses` and `pose_aware` (stages 2 and 3). Departures: docs/papers/reprojection.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monoform.errors import InputError
from monoform.interfaces import ImageSet, Prediction
from monoform.methods.reprojection.config import LAPTOP, SMOKE, Config
from monoform.methods.reprojection.inference import coupled, decoupled, shape_again, without_pose
from monoform.methods.reprojection.pose_aware import fine_tuning, pose_regression
from monoform.methods.reprojection.poses import pose_numbers
from monoform.methods.reprojection.rows import aligned, check, check_natural, posed
from monoform.methods.reprojection.shapes import autoencoder, joint, style_regression, variational_gan
from monoform.methods.reprojection.stages import Reconstruct, Target, Task, Training
from monoform.networks.image_nets import ImageEncoder
from monoform.networks.voxel_nets import VoxelDiscriminator, VoxelEncoder, VoxelGenerator

__all__ = ["LAPTOP", "SMOKE", "SYSTEMS", "Config", "Reprojection", "System"]


# --- the systems ---------------------------------------------------------------------------------------------------

NETWORKS: dict[str, Callable[[Config], nn.Module]] = {
    "shape_encoder": lambda c: VoxelEncoder(2 * c.latent, c.width),
    "generator": lambda c: VoxelGenerator(c.latent, c.width),
    "discriminator": lambda c: VoxelDiscriminator(c.width),
    "style": lambda c: ImageEncoder(c.latent, c.image_width),
    "variational_style": lambda c: ImageEncoder(2 * c.latent, c.image_width),
    "pose": lambda c: ImageEncoder(pose_numbers(c.anchors), c.image_width),
}
"""The parts. 'variational_style' takes the place of 'style' where the image itself gives a distribution."""


@dataclass(frozen=True)
class System:
    """What a system is made of and how it learns, in order."""

    networks: tuple[str, ...]
    """Of NETWORKS."""
    stages: tuple[Callable[[Task], Training], ...]
    target: Target
    reconstruct: Reconstruct


_TL = ("shape_encoder", "generator", "style")
_GAN = ("variational_style", "generator", "discriminator")
_VAE = ("shape_encoder", "generator")
_TL_STAGES = (autoencoder, style_regression, joint)
_POSE_AWARE = (pose_regression, fine_tuning)
SYSTEMS: dict[str, System] = {
    "p-TL": System((*_TL, "pose"), (*_TL_STAGES, *_POSE_AWARE), aligned, decoupled),
    "p-3D-VAE-GAN": System((*_GAN, "pose"), (variational_gan, *_POSE_AWARE), aligned, decoupled),
    "TL": System(_TL, _TL_STAGES, aligned, without_pose),
    "3D-VAE-GAN": System(_GAN, (variational_gan,), aligned, without_pose),
    "coupled-3D-VAE-GAN": System(_GAN, (variational_gan,), posed, coupled),
    "3D-VAE": System(_VAE, (autoencoder,), aligned, without_pose),
    "coupled-3D-VAE": System(_VAE, (autoencoder,), posed, coupled),
}
"""By the name that `Config.system` gives."""


# --- method --------------------------------------------------------------------------------------------------------


class Reprojection(nn.Module):
    """Zhu 2017's system named in the config. An aligned baseline's prediction has nan for the pose and all that needs one."""

    def __init__(self, config: Config):
        super().__init__()
        if config.system not in SYSTEMS:
            raise InputError(f"no system {config.system!r}; give one of {', '.join(SYSTEMS)}")
        self.config = config
        self.system = SYSTEMS[config.system]
        built = {name.removeprefix("variational_"): NETWORKS[name](config) for name in self.system.networks}
        self.networks = nn.ModuleDict(built)

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None) -> Iterator[Training]:
        """Stage by stage; fine-tuning only where there are natural images."""
        check(train, "training", self.config.image_size)
        check(val, "validation", self.config.image_size)
        if natural is not None:
            check_natural(natural, self.config.image_size)
        system = self.system
        task = Task(self.config, self.networks, system.target, system.reconstruct, train, val, natural)
        for stage in system.stages:
            if stage is not fine_tuning or natural is not None:
                yield stage(task)

    def predict(self, images: Float[Tensor, "b c h w"]) -> Prediction:
        """The shape with the mean style and the pose with the highest score; the mask is Eq. 3's, a pixel a cell."""
        size = self.config.image_size
        if "style" not in self.networks:
            raise InputError(f"{self.config.system} has no image input: give voxels to `reconstruct`")
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size) or len(images) == 0:
            raise InputError(f"images of shape {tuple(images.shape)}; give (b, 3, {size}, {size}), at least one")
        if not bool(torch.isfinite(images).all()):
            raise InputError("the images hold NaN or infinity; give sRGB in [0, 1]")
        self.eval()
        with torch.inference_mode():
            found = self.system.reconstruct(self.networks, self.config, images)
        return Prediction(*(part.float().cpu().numpy() for part in found))

    def reconstruct(self, voxels: Float[Tensor, "b 30 30 30"]) -> Float[Tensor, "b 30 30 30"]:
        """Shapes through the autoencoder of a system that has one: V2V of Table 2. Probabilities, in evaluation mode."""
        if "shape_encoder" not in self.networks:
            raise InputError(f"{self.config.system} has no shape input: give images to `predict`")
        self.eval()
        with torch.inference_mode():
            return shape_again(self.networks, self.config, voxels)
