"""Liao et al. 2019 (ICASSP): pose-aware 3D reconstruction from one image through 2D-3D self-consistency.

One image to a shape in a canonical frame and the pose in which the camera sees it. The shape is learnt from true voxels, the
pose from no pose at all: the true voxels, rendered in the predicted pose, must cover the mask.

Departures: misprinted Eq. 2, 3, 5 and 9 stand corrected (`projection.rays`, `iou_loss`); the pose is chosen among several
hypotheses, because one start leads into a wrong minimum. Reasons and results: docs/papers/self_consistency.md.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from monoform import metrics
from monoform.data.image_sets import subset
from monoform.errors import InputError
from monoform.interfaces import ImageSet, Prediction, Update
from monoform.methods import image_tensors, pictures
from monoform.methods.precision import single_precision
from monoform.methods.self_consistency.config import LAPTOP, SMOKE, Config
from monoform.networks.residual import ResNet, last_stage
from monoform.networks.tube import MaskDecoder, VoxelTube
from monoform.overlays import contact_sheet
from monoform.projection.rays import ray_silhouette
from monoform.projection.warping import warp
from monoform.rotations import viewpoint_to_matrix

__all__ = ["LAPTOP", "SMOKE", "Angles", "Config", "Output", "PoseAwareNetwork", "SelfConsistency", "Training"]


# --- network (Fig. 1) ----------------------------------------------------------------------------------------------


class Angles(NamedTuple):
    """What the pose code says: m hypotheses, radians, and a logit for each of being the right one."""

    azimuth: Float[Tensor, "b m"]
    elevation: Float[Tensor, "b m"]
    choice: Float[Tensor, "b m"]


class Output(NamedTuple):
    """What the network says of a batch; no angles without a pose branch."""

    shape_mean: Float[Tensor, "b d"]
    shape_log_variance: Float[Tensor, "b d"]
    voxel_logits: Float[Tensor, "b q q q"]
    mask_logits: Float[Tensor, "b s s"]
    angles: Angles | None


class PoseAwareNetwork(nn.Module):
    """Encoder E, voxel decoder D_v, mask decoder D_m and the layer that makes angles of the pose code."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width, posed = config.width, config.pose != "none"
        pose_code = config.pose_code if posed else 0
        self.encoder = ResNet(config.depth, width, reduction=2)
        features = self.encoder.channels
        self.shape_code = nn.Linear(features[-1], 2 * config.shape_code)
        self.pose_code = nn.Linear(features[-1], pose_code) if posed else None
        self.angles = nn.Linear(pose_code, 3 * config.hypotheses) if posed else None
        self.voxel_decoder = VoxelTube(config.shape_code, config.voxel_side, width)
        channels = (4 * width, 2 * width, width, max(width // 2, 1))
        self.mask_decoder = MaskDecoder(config.shape_code + pose_code, config.mask_size, channels, features[-2::-1])
        self.pose_stage = last_stage(config.depth, width) if posed and config.pose_stage == "own" else None
        self.to(memory_format=torch.channels_last)  # faster on a CPU  # pyright: ignore[reportCallIssue]

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Output:
        maps = self.encoder(images.contiguous(memory_format=torch.channels_last))
        code = maps[-1].mean((2, 3))
        mean, log_variance = self.shape_code(code).chunk(2, dim=1)
        shape = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean) if self.training else mean
        # Paper: by its layout Eq. 12 halves L_m too. Here: L_Dv alone, because its inner brackets are idle otherwise (docs).
        voxels = self.voxel_decoder(0.5 * shape + 0.5 * shape.detach())
        # Only the mean goes to the mask decoder, for the mask leaves no doubt to model.
        if self.pose_code is None or self.angles is None:
            return Output(mean, log_variance, voxels, self.mask_decoder(mean, maps[-2::-1]), None)
        common = code if self.pose_stage is None else maps[-2]
        common = torch.lerp(common.detach(), common, self.config.pose_gradient)
        pose = self.pose_code(common if self.pose_stage is None else self.pose_stage(common).mean((2, 3)))
        mask = self.mask_decoder(torch.cat([mean, pose], dim=1), maps[-2::-1])
        return Output(mean, log_variance, voxels, mask, self.angles_of(self.angles(pose)))

    def angles_of(self, raw: Float[Tensor, "b n"]) -> Angles:
        """Hypothesis p of m stays within 1.5 / (2m) turns of p / m turns: neighbours overlap by half."""
        shift, lift, choice = raw.float().chunk(3, dim=1)
        count, low = self.config.hypotheses, np.radians(self.config.low_elevation_deg)
        centre = torch.arange(count, device=raw.device) * (2 * np.pi / count)
        azimuth = centre + 1.5 * np.pi / count * torch.tanh(shift)
        elevation = low + (np.radians(self.config.high_elevation_deg) - low) * torch.sigmoid(lift)
        return Angles(azimuth, elevation, choice)


# --- losses (section 2) --------------------------------------------------------------------------------------------


def project(
    voxels: Float[Tensor, "b q q q"], R: Float[Tensor, "b 3 3"], size: int, config: Config
) -> Float[Tensor, "b s s"]:
    """P(y, p), 1 - q_pen of Eq. 3 (corrected): the grid's silhouette in an image of `size` pixels a side.

    Paper: depths i / N, for which no ray meets the object, and a translation added before the rotation. Here: the depths of
    Tulsiani 2018, one grid side before and behind the centre, and ``x_camera = R x_grid + t``.
    """
    K = voxels.new_tensor([[config.focal * size, 0, size / 2], [0, config.focal * size, size / 2], [0, 0, 1]])
    near_far = (config.distance - 1, config.distance + 1)
    return ray_silhouette(voxels, R, K=K[None], size_hw=(size, size), near_far=near_far, samples=config.samples)


def iou_loss(predicted: Float[Tensor, "b *n"], target: Float[Tensor, "b *n"]) -> Float[Tensor, "b"]:
    """exp(1 - I / U) - 1, Eq. 5 and 9, an item of the batch.

    Paper: U = sum(p + t + p t). Here: sum(p + t - p t), the union, because with the plus equal grids would cost 0.95 and not 0.
    """
    intersection = (predicted * target).flatten(1).sum(1)
    union = (predicted + target).flatten(1).sum(1) - intersection
    empty = union <= 0
    return torch.expm1(1 - (intersection + empty) / (union + empty))


def consistency_loss(
    projection: Float[Tensor, "b s s"], mask: Float[Tensor, "b s s"], config: Config
) -> Float[Tensor, "b"]:
    """L_sc of Eq. 6, an image. Eq. 4 of a ray is |1 - q_pen - m|, as m is 0 or 1."""
    ray = (projection - mask).abs().mean((1, 2))
    return (config.lambda_ray * ray + config.lambda_projection * iou_loss(projection, mask)) / 2


def voxel_loss(
    logits: Float[Tensor, "b q q q"], target: Float[Tensor, "b q q q"], positive: float
) -> Float[Tensor, ""]:
    """L_3drecon (Eq. 8, the mean over the cells) plus L_IoU (Eq. 9)."""
    entropy = functional.binary_cross_entropy_with_logits(logits, target, pos_weight=logits.new_tensor(positive))
    return entropy + iou_loss(torch.sigmoid(logits), target).mean()


def divergence(mean: Float[Tensor, "b d"], log_variance: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """L_KL of Eq. 10, the mean over the code's numbers, as the other losses are means over cells and pixels."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def pose_loss(
    angles: Angles, voxels: Float[Tensor, "b q q q"], mask: Float[Tensor, "b s s"], config: Config
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """L_sc of the hypotheses that fit best, and the cross-entropy of choosing them; no true pose comes in.

    Paper: one pose. Here: all are rendered small, the best is rendered in full and taught, and the choice is taught how well
    each fits. What one silhouette cannot tell, such as front from rear, many images together can: the choice is by the image.
    """
    count, reach = config.hypotheses, config.mask_growth
    mask = functional.max_pool2d(mask[:, None], 2 * reach + 1, stride=1, padding=reach)[:, 0]
    with torch.no_grad():
        R = viewpoint_to_matrix(angles.azimuth, angles.elevation, torch.zeros_like(angles.azimuth)).flatten(0, 1)
        small = functional.interpolate(mask[:, None], (config.hypothesis_size,) * 2, mode="area")[:, 0]
        shown = project(voxels.repeat_interleave(count, 0), R, config.hypothesis_size, config)
        fit = consistency_loss(shown, small.repeat_interleave(count, 0), config).unflatten(0, (-1, count))
        target = torch.softmax(-fit / config.temperature, dim=1)
        any_one = torch.randint_like(fit[:, 0], count).long()
        explores = torch.rand_like(fit[:, 0]) < config.explored
        taught = torch.where(explores, any_one, fit.argmin(1))
    R = chosen_rotation(angles, taught)
    consistency = consistency_loss(project(voxels, R, mask.shape[-1], config), mask, config).mean()
    return consistency, functional.cross_entropy(angles.choice, target)


def weighted_losses(output: Output, batch: Mapping[str, Tensor], config: Config) -> dict[str, Tensor]:
    """What is added up: the terms of Eq. 12 to 14 with their weights, and the choice's."""
    losses = {
        "voxels": voxel_loss(output.voxel_logits.float(), batch["voxels"], config.lambda_positive),
        "mask": functional.binary_cross_entropy_with_logits(output.mask_logits.float(), batch["mask"]),
        "kl": config.lambda_kl * divergence(output.shape_mean.float(), output.shape_log_variance.float()),
    }
    if output.angles is not None:
        consistency, choice = pose_loss(output.angles, batch["voxels"], batch["mask"], config)
        losses |= {"consistency": consistency, "choice": config.lambda_choice * choice}
    return losses


def chosen_rotation(angles: Angles, index: Int[Tensor, "b"]) -> Float[Tensor, "b 3 3"]:
    """R_camera_object of one hypothesis an image."""
    azimuth, elevation = (x.gather(1, index[:, None])[:, 0] for x in (angles.azimuth, angles.elevation))
    return viewpoint_to_matrix(azimuth, elevation, torch.zeros_like(azimuth))


# --- method --------------------------------------------------------------------------------------------------------


class SelfConsistency(nn.Module):
    """Liao 2019. Without a pose branch (`pose="none"`) a prediction's R and posed voxels are nan."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.network = PoseAwareNetwork(config)

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None) -> Iterator["Training"]:
        """One: everything is learnt together. Natural images have no voxels and are not used."""
        yield Training(self, train, val)

    def predict(self, images: Float[Tensor, "b c h w"]) -> Prediction:
        """The mean of the shape code is decoded, and the hypothesis with the highest logit is the pose."""
        image_tensors.check_images(images, self.config.image_size)
        self.eval()
        with torch.inference_mode():
            output = self.network(images)
            voxels = torch.sigmoid(output.voxel_logits)
            R = voxels.new_full((len(voxels), 3, 3), torch.nan)
            if output.angles is not None:
                R = chosen_rotation(output.angles, output.angles.choice.argmax(1))
            t = R.new_tensor([0, 0, self.config.distance]).expand(len(R), -1)
            parts = voxels, R, t, pose_voxels(voxels, R), torch.sigmoid(output.mask_logits)
        return Prediction(*(part.cpu().numpy() for part in parts))


def pose_voxels(voxels: Float[Tensor, "b q q q"], R: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b p p p"]:
    """Eq. 7: the grid turned about its centre, in a grid half as wide again of cells of the same size."""
    margin = voxels.shape[-1] // 4
    return warp(functional.pad(voxels, (margin,) * 6), R)


# --- training (section 2.3) ----------------------------------------------------------------------------------------


def check_set(images: ImageSet, role: str, config: Config) -> None:
    """Raise InputError for a set that the configuration cannot learn from."""
    size = config.image_size
    image_tensors.check_rows(images, role, size, config.voxel_side)
    K = np.array([[config.focal * size, 0, size / 2], [0, config.focal * size, size / 2], [0, 0, 1]])
    if not np.allclose(images.K, K, atol=0.1) or not np.allclose(images.t, [0, 0, config.distance], atol=1e-3):
        raise InputError(f"the {role} set has other cameras than the configuration; render it as a turntable")


class Training:
    """Eq. 12 to 14 in one update. The sets' true rotations are read by `validate` alone, and not for its score."""

    def __init__(self, method: SelfConsistency, train: ImageSet, val: ImageSet):
        self.method, self.config, self.train = method, (config := method.config), train
        check_set(train, "training", config)
        check_set(val, "validation", config)
        self.name, self.steps = "self_consistency", config.steps
        self.masks = image_tensors.small_masks(train.masks, config.mask_size)
        self.val = subset(val, image_tensors.spread(len(val), config.validation_images))
        self.val_masks = image_tensors.small_masks(self.val.masks, config.mask_size)
        self.networks: dict[str, nn.Module] = {"network": method.network}
        self.optimizers: dict[str, Optimizer] = {"all": Adam(method.parameters(), lr=config.learning_rate)}

    @property
    def device(self) -> torch.device:
        return next(self.method.parameters()).device

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """Images (b, 3, s, s) with their colours shifted, masks (b, p, p) and voxels (b, q, q, q), float32."""
        rows = rng.integers(len(self.train), size=self.config.batch_size)
        return {
            "image": image_tensors.shifted_colours(self.train.images[rows], rng, self.config.colour_shift),
            "mask": torch.from_numpy(self.masks[rows].astype(np.float32)),
            "voxels": torch.from_numpy(self.train.voxels[self.train.objects[rows]].astype(np.float32)),
        }

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        config, optimizer = self.config, self.optimizers["all"]
        done = number / max(self.steps - 1, 1)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate ** (1 - done) * config.last_learning_rate**done
        self.method.train()
        output: Output = self.networks["network"](batch["image"])
        with single_precision(batch["image"]):
            losses = weighted_losses(output, batch, config)
            loss = torch.stack(list(losses.values())).sum()
        update(loss, optimizer)
        return {"loss": loss.detach(), **{name: value.detach() for name, value in losses.items()}}

    def validate(self) -> dict[str, float]:
        """Means over the images: IoU of voxels and masks at 0.5, and errors of the pose in degrees.

        The score asks whether shape and pose together explain shape and mask; no true rotation enters, or it would supervise.
        """
        parts = [self._validate(span) for span in np.array_split(np.arange(len(self.val)), -(-len(self.val) // 64))]
        numbers = {name: float(np.concatenate([part[name] for part in parts]).mean()) for name in parts[0]}
        return numbers | {"score": numbers["voxel_iou"] + numbers.get("projection_iou", 0.0)}

    def _validate(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        mask, R = self.val_masks[rows], self.val.R[rows]
        found = self.method.predict(image_tensors.to_images(self.val.images[rows], self.device))
        filled = found.voxels > 0.5
        numbers = {
            "voxel_iou": metrics.voxel_iou(filled, self.val.voxels[self.val.objects[rows]]),
            "mask_iou": metrics.mask_iou(found.mask > 0.5, mask),
        }
        if self.config.pose == "none":
            return numbers
        return numbers | {
            "projection_iou": metrics.mask_iou(self._projected(filled, found.R) > 0.5, mask),
            "rotation_error_deg": metrics.rotation_angle_deg(found.R, R),
            "half_turn_error_deg": metrics.half_turn_error_deg(found.R, R),
            "elevation_error_deg": metrics.elevation_error_deg(found.R, R),
        }

    def _projected(self, filled: np.ndarray, R: np.ndarray) -> np.ndarray:
        """P(y, p) of shapes cut at 0.5: along a ray many small probabilities would add up to a silhouette."""
        grid, turn = torch.from_numpy(filled).float(), torch.from_numpy(R).nan_to_num()
        return project(grid, turn, self.config.mask_size, self.config).numpy()

    def picture(self) -> np.ndarray:
        """Fig. 2: image, true and predicted mask, projection, true and predicted shape, and both as the camera sees them."""
        rows = image_tensors.spread(len(self.val), 6)
        found = self.method.predict(image_tensors.to_images(self.val.images[rows], self.device))
        shown, true = self._projected(found.voxels > 0.5, found.R), self.val.voxels[self.val.objects[rows]]
        true_posed = pose_voxels(torch.from_numpy(true).float(), torch.from_numpy(self.val.R[rows])).numpy()
        fixed = viewpoint_to_matrix(*torch.deg2rad(torch.tensor([35.0, 20.0, 0.0]))).numpy()
        cells, labels = [], []
        for i, row in enumerate(rows):
            cells += [self.val.images[row], *map(pictures.grey, (self.val_masks[row], found.mask[i], shown[i]))]
            cells += [pictures.solid(grid[i], fixed) for grid in (true.astype(np.float32), found.voxels)]
            cells += [pictures.solid(grid[i], np.eye(3)) for grid in (true_posed, found.posed)]
            labels += ["image", "true mask", "mask", "projection", "true shape", "shape", "true, posed", "posed"]
        return contact_sheet(cells, labels, columns=8, cell=pictures.CELL)
