"""The numbers and the picture of validation."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monoform.interfaces import ImageSet
from monoform.methods.reprojection import rows
from monoform.methods.reprojection.inference import decoupled, pose_of, shape_again, shape_of
from monoform.methods.reprojection.stages import Task
from monoform.metrics import average_precisions
from monoform.overlays import contact_sheet, draw
from monoform.rotations import rotation_angle, viewpoint_to_matrix
from monoform.voxels import surface

VALIDATED = 96
"""Rows at most that a validation looks at, spread evenly over the set."""
ROTATIONS = 512
"""The same of rotations alone, which cost less and of whose mean a few half-turns are the half."""
SHOWN = 6
"""Of them in the picture."""
CELL = 128
"""Pixels of each of its cells."""


def mean_precision(truth: Float[Tensor, "b *n"], score: Float[Tensor, "b *n"]) -> float:
    """Average precision of each row over all its cells, averaged."""
    cells, values = truth.flatten(1).cpu().numpy() > 0.5, score.flatten(1).cpu().numpy()
    return float(average_precisions(cells, values).mean())


def reconstruction_precision(task: Task) -> dict[str, float]:
    """Of shapes through the autoencoder: V2V of Table 2."""
    batch = _look(task, task.val)
    voxels = task.target(batch)
    with torch.inference_mode():
        precision = mean_precision(voxels, shape_again(task.networks, task.config, voxels))
    return {"ap_v2v": precision, "score": precision}


def shape_precision(task: Task) -> dict[str, float]:
    """Of an image's shape, aligned or not: im2V of Table 2."""
    batch = _look(task, task.val)
    with torch.inference_mode():
        precision = mean_precision(task.target(batch), shape_of(task.networks, task.config, batch["image"]))
    return {"ap_im2v": precision, "score": precision}


def rotation_errors(task: Task) -> dict[str, float]:
    """Degrees between true and predicted rotation, the share that is more than 90 off, and the shift in grid sides."""
    batch = _look(task, task.val, ROTATIONS)
    with torch.inference_mode():
        R, t = pose_of(task.networks, task.config, batch["image"])
    angle = rotation_angle(R, batch["R"]).rad2deg()
    return {
        "rotation_deg": float(angle.mean()),
        "rotation_deg_median": float(angle.median()),
        "flipped": float((angle > 90).float().mean()),
        "shift": float(torch.linalg.vector_norm(t - batch["t"], dim=1).mean()),
        "score": 1 - float(angle.mean()) / 180,
    }


def pose_aware_precision(task: Task) -> dict[str, float]:
    """All of a pose-aware system: aligned, posed and masks on rendered images, masks on natural ones held back."""
    batch = _look(task, task.val)
    with torch.inference_mode():
        found = decoupled(task.networks, task.config, batch["image"])
    numbers = {
        "ap_aligned": mean_precision(rows.aligned(batch), found.voxels),
        "ap_posed": mean_precision(rows.posed(batch), found.posed),
        "ap_mask": mean_precision(batch["mask"], found.mask),
        **rotation_errors(task),
    }
    if task.natural is None:
        return {**numbers, "score": numbers["ap_posed"]}
    kept = rows.pick(task.natural, rows.held_back(task.natural)[:VALIDATED])
    kept = {name: x.to(found.mask.device) for name, x in kept.items()}
    with torch.inference_mode():
        natural = decoupled(task.networks, task.config, kept["image"])
    numbers["ap_natural_mask"] = mean_precision(kept["mask"], natural.mask)
    return {**numbers, "score": (numbers["ap_posed"] + numbers["ap_natural_mask"]) / 2}


def _look(task: Task, images: ImageSet, most: int = VALIDATED) -> dict[str, Tensor]:
    """The rows that are validated, on the networks' device; the networks are set to evaluation."""
    task.networks.eval()
    chosen = np.unique(np.linspace(0, len(images) - 1, min(most, len(images))).astype(np.int64))
    device = next(task.networks.parameters()).device
    return {name: x.to(device) for name, x in rows.pick_rendered(images, chosen).items()}


# --- picture -------------------------------------------------------------------------------------------------------


def validation_sheet(task: Task) -> np.ndarray:
    """A row an image of a few: it, its true mask, the predicted one, the aligned shape, the pose-aware shape."""
    batch = {name: x[:: max(len(x) // SHOWN, 1)][:SHOWN] for name, x in _look(task, task.val).items()}
    with torch.inference_mode():
        found = task.reconstruct(task.networks, task.config, batch["image"])
    aside = viewpoint_to_matrix(*torch.tensor([30.0, 20.0, 0.0]).deg2rad()).numpy()
    pictures = []
    for row in zip(batch["image"], batch["mask"], *found, strict=True):
        image, mask, voxels, _, _, posed, seen = (x.cpu().numpy() for x in row)
        pictures += [_levels(image.transpose(1, 2, 0)), _levels(mask), _levels(seen)]
        pictures += [_solid(voxels, aside), _solid(posed, np.eye(3))]
    labels = ["image", "mask", "predicted mask", "shape", "posed shape"] * (len(pictures) // 5)
    return contact_sheet(pictures, labels, columns=5, cell=CELL)


def _levels(values: np.ndarray) -> np.ndarray:
    """(h, w) or (h, w, 3) in [0, 1] to a picture; nan is grey."""
    grey = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    levels = np.round(255 * np.nan_to_num(grey, nan=0.5)).astype(np.uint8)
    times = max(CELL // len(levels), 1)
    return levels.repeat(times, axis=0).repeat(times, axis=1)


def _solid(voxels: np.ndarray, R: np.ndarray) -> np.ndarray:
    """The shape's surface at one half, seen from far; grey where there is none."""
    mesh = surface(np.nan_to_num(voxels)).mesh
    picture = np.full((CELL, CELL, 3), 0.25)
    if mesh is not None:
        K = np.array([[6.0 * CELL, 0, CELL / 2], [0, 6.0 * CELL, CELL / 2], [0, 0, 1]])
        view = draw(mesh, R, np.array([0.0, 0.0, 6.0]), K, (CELL, CELL))
        picture += view.alpha[..., None] * (view.colour - picture)
    return _levels(picture)
