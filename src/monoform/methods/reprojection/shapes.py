"""Stage 1: the style of a shape, from voxels (TL) or straight from images (3D-VAE-GAN), and the generator.

Whether aligned or pose-aware shapes are learnt is the task's `target`; a pose-aware one couples style and pose.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from monoform.interfaces import Update
from monoform.methods.reprojection import rows
from monoform.methods.reprojection.stages import Task, Training, adam, picked
from monoform.methods.reprojection.validation import reconstruction_precision, shape_precision, validation_sheet
from monoform.networks.voxel_nets import SIDE

CELLS = SIDE**3
INITIAL_LOG_VARIANCE = -5.0
"""Logarithm of a style's variance where the encoder says 0, as it does before anything is learnt.

With a variance of 1 the first styles are noise, the generator learns to do without them, and the encoder gets no gradient.
"""
SUFFICIENT = 0.8
"""The discriminator rests while it is right more often than this (3D-GAN)."""


# --- the style's distribution --------------------------------------------------------------------------------------


def posterior(numbers: Float[Tensor, "b two_latent"]) -> tuple[Float[Tensor, "b latent"], Float[Tensor, "b latent"]]:
    """Mean and logarithm of the variance of a style, from an encoder's numbers."""
    mean, log_variance = numbers.float().chunk(2, dim=1)
    return mean, (log_variance + INITIAL_LOG_VARIANCE).clamp(-10, 10)


def sample_style(mean: Float[Tensor, "b d"], log_variance: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """A draw from the posterior, differentiable in both."""
    return mean + torch.randn_like(mean) * (0.5 * log_variance).exp()


def divergence(mean: Float[Tensor, "b d"], log_variance: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of the posterior from the standard normal, mean over the batch, per cell of the grid.

    Per cell, as the reconstruction is a mean over cells: with weight 1 their sum is the evidence bound.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / CELLS


def voxel_loss(logits: Float[Tensor, "b q q q"], voxels: Float[Tensor, "b q q q"]) -> Float[Tensor, ""]:
    """Binary cross-entropy, mean over the cells."""
    return functional.binary_cross_entropy_with_logits(logits.float(), voxels)


# --- p-TL: autoencoder, then image to style, then both (Figure 2, part 1.a) ----------------------------------------


def autoencoder(task: Task) -> Training:
    """The volumetric VAE: shape to style to shape."""
    networks = picked(task.networks, "shape_encoder", "generator")
    optimizer = adam(networks.values(), task.config.rate)

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        voxels = task.target(batch)
        style = posterior(networks["shape_encoder"](voxels))
        cells, kl = voxel_loss(networks["generator"](sample_style(*style)), voxels), divergence(*style)
        update(cells + task.config.kl_weight * kl, optimizer)
        return {"voxels": cells.detach(), "kl": kl.detach()}

    return Training(
        "autoencoder", task.config.shape_steps, networks, {"all": optimizer}, _rendered(task), learn,
        lambda: reconstruction_precision(task), lambda: None,
    )  # fmt: skip


def style_regression(task: Task) -> Training:
    """An image's style by the Euclidean loss to that of its shape, the autoencoder fixed."""
    networks = picked(task.networks, "style")
    optimizer = adam(networks.values(), task.config.rate)

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        encoder = task.networks["shape_encoder"].eval()
        with torch.no_grad():
            style, _ = posterior(encoder(task.target(batch)))
        loss = (networks["style"](batch["image"]).float() - style).square().sum(1).mean()
        update(loss, optimizer)
        return {"style": loss.detach()}

    return Training(
        "style", task.config.style_steps, networks, {"all": optimizer}, _rendered(task), learn,
        lambda: shape_precision(task), lambda: validation_sheet(task),
    )  # fmt: skip


def joint(task: Task) -> Training:
    """Autoencoder and regressor together, from images and shapes (Girdhar 2016's third stage)."""
    networks = picked(task.networks, "shape_encoder", "style", "generator")
    optimizer = adam(networks.values(), task.config.joint_rate)

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        voxels = task.target(batch)
        style = posterior(networks["shape_encoder"](voxels))
        seen = networks["style"](batch["image"]).float()
        own, from_image = networks["generator"](torch.cat([sample_style(*style), seen])).chunk(2)
        apart = (seen - style[0]).square().sum(1).mean() / CELLS
        cells, through = voxel_loss(own, voxels), voxel_loss(from_image, voxels)
        loss = cells + task.config.kl_weight * divergence(*style) + apart + task.config.voxel_weight * through
        update(loss, optimizer)
        return {"voxels": cells.detach(), "style": apart.detach(), "image_voxels": through.detach()}

    return Training(
        "joint", task.config.joint_steps, networks, {"all": optimizer}, _rendered(task), learn,
        lambda: shape_precision(task), lambda: validation_sheet(task),
    )  # fmt: skip


# --- p-3D-VAE-GAN: image to style to shape at once (Figure 2, part 2.a) --------------------------------------------


def variational_gan(task: Task) -> Training:
    """Image encoder, generator and discriminator, the image's shape held by the discriminator's features (Larsen 2016)."""
    config = task.config
    networks = picked(task.networks, "style", "generator", "discriminator")
    # 3D-GAN's momentum; with more the two chase each other.
    makers = adam([networks["style"], networks["generator"]], config.rate, momentum=0.5)
    critic = adam([networks["discriminator"]], config.discriminator_rate, momentum=0.5)

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        voxels = task.target(batch)
        style = posterior(networks["style"](batch["image"]))
        invented = torch.randn_like(style[0][: (len(voxels) + 1) // 2])
        logits = networks["generator"](torch.cat([sample_style(*style), invented]))
        fakes = logits.sigmoid()
        critic_loss, right = tell_apart(networks["discriminator"], voxels, fakes.detach())
        # A weight of 0 rather than no step, so that several processes do the same.
        update(critic_loss * (right <= SUFFICIENT), critic)

        with torch.no_grad():
            _, features = networks["discriminator"](voxels)
        verdict, made = networks["discriminator"](fakes)
        parts = {
            "features": (made[: len(voxels)].float() - features.float()).square().mean(),
            "adversarial": functional.softplus(-verdict.float()).mean(),
            "voxels": voxel_loss(logits[: len(voxels)], voxels),
            "kl": divergence(*style),
        }
        weights = (config.feature_weight, config.adversarial_weight, config.voxel_weight, config.kl_weight)
        loss = torch.stack([w * part for w, part in zip(weights, parts.values(), strict=True)]).sum()
        update(loss, makers)
        return {**{name: part.detach() for name, part in parts.items()}, "critic": critic_loss.detach(), "right": right}

    return Training(
        "vae_gan", config.shape_steps, networks, {"makers": makers, "critic": critic}, _rendered(task), learn,
        lambda: shape_precision(task), lambda: validation_sheet(task),
    )  # fmt: skip


def tell_apart(discriminator: nn.Module, real: Tensor, fakes: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's loss, and the share of shapes that it judges rightly."""
    on_real, on_fakes = discriminator(real)[0].float(), discriminator(fakes)[0].float()
    right = ((on_real > 0).float().mean() + (on_fakes < 0).float().mean()) / 2
    return functional.softplus(-on_real).mean() + functional.softplus(on_fakes).mean(), right


def _rendered(task: Task) -> Callable[[np.random.Generator], Mapping[str, Tensor]]:
    return lambda rng: rows.draw(task.train, task.config.batch_size, rng, task.config.mirrored)
