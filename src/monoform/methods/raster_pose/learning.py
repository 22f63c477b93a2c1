"""How class and pose are learnt: Eq. 2 and 3 in one update, and what is looked at on the way."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from monoform import metrics
from monoform.data.image_sets import subset
from monoform.interfaces import ImageSet, Update
from monoform.methods import image_tensors, pictures
from monoform.methods.precision import single_precision
from monoform.methods.raster_pose import rows
from monoform.methods.raster_pose.heads import HEADS, Placed
from monoform.overlays import blend, contact_sheet, to_bytes
from monoform.rotations import rotation_angle

if TYPE_CHECKING:
    from monoform.methods.raster_pose import RasterPose

SHOWN = 8
"""Images in the picture."""
CELL = 128
"""Pixels of each of its cells."""
TRUE_COLOUR, SAID_COLOUR = (40, 110, 235), (255, 150, 40)


class Training:
    """The only stage: class and pose together, from rendered images."""

    def __init__(self, method: "RasterPose", train: ImageSet, val: ImageSet):
        config = method.config
        self.name, self.steps = "class_and_pose", config.steps
        self.method, self.config, self.train = method, config, train
        self.val = subset(val, image_tensors.spread(len(val), config.validation_images))
        self.networks: dict[str, nn.Module] = {
            "encoder": method.encoder,
            "class_branch": method.class_branch,
            "pose_branch": method.pose_branch,
        }
        convolutions = [weight for weight in method.encoder.parameters() if weight.ndim == 4]
        others = [weight for weight in method.parameters() if weight.ndim != 4]
        groups = [{"params": convolutions, "weight_decay": config.weight_decay}, {"params": others}]
        self.optimizers: dict[str, Optimizer] = {"all": Adam(groups, lr=config.rate)}

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        """'image' (b, 3, s, s), 'class' (b,), 'R' (b, 3, 3) and 't' (b, 3)."""
        return rows.draw(self.train, self.config, rng)

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        """One update of all weights by the sum of both losses."""
        config, optimizer, head = self.config, self.optimizers["all"], HEADS[self.config.head]
        left = 0.5 * (1 + math.cos(math.pi * number / self.steps))
        for group in optimizer.param_groups:
            group["lr"] = config.last_rate + left * (config.rate - config.last_rate)
        self.method.train()
        logits, numbers = self.method.branches(batch["image"])
        with single_precision(numbers):
            truth = Placed(batch["R"], batch["t"])
            pose = head.loss(numbers, truth)
            classes = functional.cross_entropy(logits, batch["class"])
            off = rotation_angle(head.read(numbers.detach()).R, truth.R).rad2deg()
        loss = pose + classes
        update(loss, optimizer)
        right = (logits.detach().argmax(1) == batch["class"]).float().mean()
        return {"loss": loss.detach(), "pose": pose.detach(), "class": classes.detach(),
                "rotation_deg": off.median(), "accuracy": right}  # fmt: skip

    # --- validation --------------------------------------------------------------------------------------------

    def validate(self) -> dict[str, float]:
        """The numbers of Table 1, the representative of the said class in the said pose against the mask.

        The score is the mean of its three shares: class accuracy, IoU, and rotations less than 30 degrees off.
        """
        spans = np.array_split(np.arange(len(self.val)), -(-len(self.val) // 64))
        parts = [self._measure(span) for span in spans]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        angle = found.pop("rotation_deg")
        numbers = {name: float(values.mean()) for name, values in found.items()} | {
            "rotation_deg": float(angle.mean()),
            "rotation_deg_median": metrics.median_error(angle),
            "acc_pi_6": metrics.accuracy(angle, 30.0),
        }
        return numbers | {"score": (numbers["accuracy"] + numbers["mask_iou"] + numbers["acc_pi_6"]) / 3}

    def _measure(self, span: np.ndarray) -> dict[str, np.ndarray]:
        classes, R, t, mask = self._say(span)
        return {
            "accuracy": (classes == rows.classes_of(self.val, span, self.config)).astype(np.float64),
            "rotation_deg": metrics.rotation_angle_deg(R, self.val.R[span]),
            "translation": np.linalg.norm(t - self.val.t[span], axis=1),
            "mask_iou": metrics.mask_iou(mask > 0.5, self.val.masks[span] > 127),
        }

    def _say(self, span: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Of validation rows: classes, R, t, and the masks of their representatives."""
        method = self.method.eval()
        with torch.inference_mode():
            said = method.say(rows.seen(self.val, span, self.config).to(method.vertices.device))
            classes = said.class_logits.argmax(1)
            mask = method.silhouettes(classes, said.R, said.t)
        return tuple(part.cpu().numpy() for part in (classes, said.R, said.t, mask))  # pyright: ignore[reportReturnType]

    def picture(self) -> np.ndarray:
        """Images; their masks; the representative's silhouette over the mask, with its class (and the true one, if another)."""
        span = image_tensors.spread(len(self.val), SHOWN)
        classes, _, _, shown = self._say(span)
        true = rows.classes_of(self.val, span, self.config)
        cells, labels = [], []
        for i, row in enumerate(span):
            mask = self.val.masks[row] / np.float32(255)
            times = max(CELL // self.config.image_size, 1)
            for cell in (self.val.images[row], pictures.grey(mask), over(mask, shown[i])):
                cells.append(cell.repeat(times, axis=0).repeat(times, axis=1))
            said, is_true = (self.config.categories[number] for number in (classes[i], true[i]))
            labels += ["image", "mask", said if said == is_true else f"{said} ({is_true})"]
        return contact_sheet(cells, labels, columns=6, cell=CELL)


def over(mask: np.ndarray, silhouette: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 of two masks in [0, 1]: the first's own part blue, the second's orange, the common one white."""
    picture = blend(np.zeros((*mask.shape, 3), np.float32), TRUE_COLOUR, mask)
    picture = blend(picture, SAID_COLOUR, silhouette)
    return to_bytes(blend(picture, (255, 255, 255), np.minimum(mask, silhouette)))
