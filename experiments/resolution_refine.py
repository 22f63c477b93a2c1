"""Refinement of a pose through a silhouette operator at one resolution, and what it gains (Palazzi 2018, section 4.2)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from resolution_scenes import Pairs, Poses, angles_deg, by_car, disturb, drawn_masks, intrinsics, iou

Operator = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, tuple[int, int]], torch.Tensor]
BATCH = 32


@dataclass(frozen=True)
class Descent:
    """Adam on a rotation vector and a shift, relative to the start; both rates fall by `last` over 30 steps, then stay."""

    loss: str
    """'iou': 1 - sum(a m) / sum(a + m - a m); 'mse': the mean squared difference over the mask's share of the photo."""
    turn_rate: float
    """Radians a step."""
    move_rate: float
    """Lengths a step; the car is 6 long."""
    last: float
    """Share of the rates that is left after 30 steps."""
    frame: str = "camera"
    """What turns about itself: the 'camera' or the 'object'."""


def loss_of(alpha: torch.Tensor, mask: torch.Tensor, kind: str) -> torch.Tensor:
    """(n,) for images (n, h, w)."""
    if kind == "mse":
        return ((alpha - mask) ** 2).sum((1, 2)) / mask.sum((1, 2)).clamp(min=1)
    both = (alpha * mask).sum((1, 2))
    return 1 - both / ((alpha + mask).sum((1, 2)) - both).clamp(min=1e-9)


def refine(pairs: Pairs, photos: torch.Tensor, operator: Operator, descent: Descent, sizes: list[int]) -> list[Poses]:
    """The poses before and after each step; `sizes` names the resolution of every step.

    photos (n, 512, 512) are the true masks, averaged down to each resolution. Every pair has its own Adam state.
    """
    path = [Poses(pairs.start.R.clone(), pairs.start.c.clone()) for _ in range(len(sizes) + 1)]
    for car, rows in by_car(pairs.drawn):
        for part in rows.split(BATCH):
            found = _refine_one_mesh(car, pairs.start[part], photos[part], operator, descent, sizes)
            for poses, new in zip(path[1:], found, strict=True):
                poses.R[part], poses.c[part] = new.R, new.c
    return path


def _refine_one_mesh(car, start: Poses, photos, operator, descent: Descent, sizes: list[int]) -> list[Poses]:
    turn = torch.zeros(len(start), 3, requires_grad=True)
    move = torch.zeros(len(start), 3, requires_grad=True)
    adam = torch.optim.Adam([{"params": [turn], "lr": descent.turn_rate}, {"params": [move], "lr": descent.move_rate}])
    decay = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: descent.last ** (min(step, 30) / 30))
    path = []
    for side in sizes:
        mask = torch.nn.functional.avg_pool2d(photos[:, None], photos.shape[-1] // side)[:, 0]
        adam.zero_grad()
        poses = disturb(start, turn, move, descent.frame)
        alpha = operator(poses.to_camera(car.vertices), car.faces, intrinsics(side), (side, side))
        loss_of(alpha, mask, descent.loss).sum().backward()
        adam.step()
        decay.step()
        with torch.no_grad():
            path.append(disturb(start, turn.detach(), move.detach(), descent.frame))
    return path


@dataclass(frozen=True, eq=False)
class Errors:
    """Of n poses: (n,) each."""

    iou: np.ndarray
    angle_deg: np.ndarray
    position: np.ndarray
    """Of the camera in the object's frame; the car is 6 long."""
    place: np.ndarray
    """Of the object's centre in the camera's frame."""


def measure(pairs: Pairs, poses: Poses, truth: torch.Tensor) -> Errors:
    """Errors of poses; truth (n, 256, 256) bool, both masks by z-buffer at pixel centres."""
    place = (poses.c[:, None] @ poses.R - pairs.true.c[:, None] @ pairs.true.R)[:, 0]
    return Errors(
        iou(drawn_masks(pairs.drawn, poses, truth.shape[-1]), truth).numpy(),
        angles_deg(poses, pairs.true).numpy(),
        (poses.c - pairs.true.c).norm(dim=1).numpy(),
        place.norm(dim=1).numpy(),
    )


def gains(before: Errors, after: Errors, seed: int) -> dict[str, float]:
    """Change of the mean IoU and the median errors, with bootstrap standard errors; of two of them the mean, too."""
    rows = np.random.default_rng([seed, 2]).integers(len(before.iou), size=(1000, len(before.iou)))
    found = {}
    for name, centre in (("iou", np.mean), ("angle_deg", np.median), ("position", np.median), ("place", np.median)):
        a, b = getattr(before, name), getattr(after, name)
        found[name] = float(centre(b) - centre(a))
        found[f"{name}_se"] = float((centre(b[rows], axis=1) - centre(a[rows], axis=1)).std())
    found["angle_deg_mean"] = float(np.mean(after.angle_deg) - np.mean(before.angle_deg))
    found["position_mean"] = float(np.mean(after.position) - np.mean(before.position))
    return found
