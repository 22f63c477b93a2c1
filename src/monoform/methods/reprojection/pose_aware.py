"""Stages 2 and 3: the pose regressor on rendered images, then style and pose together through the silhouette."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from monoform.interfaces import Update
from monoform.methods.precision import single_precision
from monoform.methods.reprojection import rows
from monoform.methods.reprojection.poses import best_rotation, pose_loss, read_poses
from monoform.methods.reprojection.shapes import voxel_loss
from monoform.methods.reprojection.stages import Task, Training, adam, picked
from monoform.methods.reprojection.validation import pose_aware_precision, rotation_errors, validation_sheet
from monoform.projection.voxel_max import voxel_max
from monoform.rotations import rotation_angle

NEVER_SURE = 1e-6
"""How near a silhouette comes to 0 and 1 in the loss: outside the grid it is 0, whose logarithm is not finite."""


def pose_regression(task: Task) -> Training:
    """An image's pose from rendered images (Figure 2, parts 1.b and 2.b)."""
    config, networks = task.config, picked(task.networks, "pose")
    optimizer = adam(networks.values(), config.rate)

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        numbers = networks["pose"](batch["image"]).float()
        with single_precision(numbers):
            poses = read_poses(numbers, config.anchors)
            loss = pose_loss(poses, batch["R"], batch["t"], config)
            off = rotation_angle(best_rotation(poses).detach(), batch["R"]).rad2deg()
        update(loss, optimizer)
        return {"pose": loss.detach(), "rotation_deg": off.mean()}

    return Training(
        "pose", config.pose_steps, networks, {"all": optimizer},
        lambda rng: rows.draw(task.train, config.batch_size, rng, config.mirrored), learn,
        lambda: rotation_errors(task), lambda: validation_sheet(task),
    )  # fmt: skip


def reprojection_loss(mask: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Binary cross-entropy between predicted and true silhouette, mean over the pixels. Eq. 4."""
    return functional.binary_cross_entropy(mask.clamp(NEVER_SURE, 1 - NEVER_SURE), truth)


def fine_tuning(task: Task) -> Training:
    """Style and pose regressors on natural silhouettes; the generator, a prior of what shapes there are, stays as it is.

    Half of a batch is rendered, to keep the poses from collapsing. The paper does not say what that half is compared with: here
    with its silhouette, its pose and its aligned voxels.
    """
    config, natural = task.config, task.natural
    assert natural is not None, "fine-tuning needs natural images"
    networks = picked(task.networks, "style", "pose")
    optimizer = adam(networks.values(), config.tune_rate)
    generator = task.networks["generator"].requires_grad_(False)
    half = config.batch_size // 2

    def draw(rng: np.random.Generator) -> Mapping[str, Tensor]:
        rendered = rows.draw(task.train, half, rng, config.mirrored)
        real = rows.draw_natural(natural, config.batch_size - half, rng)
        return {**rendered, **{name: torch.cat([rendered[name], real[name]]) for name in real}}

    def learn(batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        generator.eval()  # its batch statistics are a part of the prior too
        logits = generator(networks["style"](batch["image"])[:, : config.latent]).float()
        numbers = networks["pose"](batch["image"]).float()
        with single_precision(logits):
            poses = read_poses(numbers, config.anchors)
            mask = voxel_max(logits.sigmoid(), best_rotation(poses), poses.t)
            silhouettes = reprojection_loss(mask, batch["mask"])
            cells = voxel_loss(logits[:half], batch["voxels"])
            pose = pose_loss(read_poses(numbers[:half], config.anchors), batch["R"], batch["t"], config)
        update(config.reprojection_weight * silhouettes + cells + pose, optimizer)
        return {"silhouettes": silhouettes.detach(), "voxels": cells.detach(), "pose": pose.detach()}

    return Training(
        "fine_tuning", config.tune_steps, networks, {"all": optimizer}, draw, learn,
        lambda: pose_aware_precision(task), lambda: validation_sheet(task),
    )  # fmt: skip
