"""Batches of an ImageSet as tensors, the two kinds of shapes that are learned."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.methods.image_tensors import area_mean
from monoform.methods.precision import single_precision
from monoform.networks.voxel_nets import SIDE
from monoform.projection.warping import warp


def check(images: ImageSet, what: str, size: int, *, side: int = SIDE) -> None:
    """Raise InputError for a set that the networks cannot take. side: of its voxels, 0 where it has none."""
    if len(images) == 0:
        raise InputError(f"the {what} images are none; give at least one")
    if images.images.shape[1] != size:
        raise InputError(f"the {what} images are {images.images.shape[1]} px; image_size is {size}: make them alike")
    if images.voxels.shape[-1] != side:
        raise InputError(f"the {what} images have voxels of side {images.voxels.shape[-1]}; give {side}")


def pick(images: ImageSet, rows: np.ndarray) -> dict[str, Tensor]:
    """What the rows show, float32: 'image' (b, 3, s, s) in [0, 1], 'mask' (b, 30, 30) the covered share of each cell.

    The mask is on the voxels' grid, because silhouettes are compared there.
    """
    image = torch.from_numpy(np.ascontiguousarray(images.images[rows])).permute(0, 3, 1, 2).float() / 255
    return {"image": image, "mask": torch.from_numpy(area_mean(images.masks[rows], SIDE) / np.float32(255))}


def pick_rendered(images: ImageSet, rows: np.ndarray) -> dict[str, Tensor]:
    """`pick`, with 'voxels' (b, 30, 30, 30) aligned, 'R' (b, 3, 3) and 't' (b, 3) in grid sides with t_z 0.

    Weak perspective: depth only scales the image, and the scale is a part of the shape.
    """
    voxels = torch.from_numpy(images.voxels[images.objects[rows]]).float()
    t = torch.from_numpy(np.array(images.t[rows], np.float32)) * torch.tensor([1.0, 1.0, 0.0])
    R = torch.from_numpy(np.array(images.R[rows], np.float32))
    return {**pick(images, rows), "voxels": voxels, "R": R, "t": t}


def draw(images: ImageSet, count: int, rng: np.random.Generator, mirrored: float) -> dict[str, Tensor]:
    """A random batch of rendered rows, a share of them mirrored."""
    batch = pick_rendered(images, rng.integers(len(images), size=count))
    chosen = torch.from_numpy(rng.random(count) < mirrored)
    other = mirror(batch)
    return {name: torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), other[name], x) for name, x in batch.items()}


def mirror(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same scene in a mirror that swaps left and right: the object's twin, seen from its other side."""
    swap = torch.tensor([-1.0, 1.0, 1.0])
    return {
        "image": batch["image"].flip(-1),
        "mask": batch["mask"].flip(-1),
        "voxels": batch["voxels"].flip(-1),
        "R": swap[:, None] * batch["R"] * swap,
        "t": swap * batch["t"],
    }


def aligned(batch: Mapping[str, Tensor]) -> Float[Tensor, "b 30 30 30"]:
    """The shapes in the canonical pose, at their scale."""
    return batch["voxels"]


def posed(batch: Mapping[str, Tensor]) -> Float[Tensor, "b 30 30 30"]:
    """The shapes as the camera sees them: pose-aware. Eq. 2 and 6."""
    with single_precision(batch["voxels"]):  # these are truths, whatever the networks run in
        return (warp(batch["voxels"], batch["R"], batch["t"]) > 0.5).float()


def held_back(natural: ImageSet) -> np.ndarray:
    """The natural rows that are never trained on, all of every tenth object: a silhouette needs no other truth."""
    _, number = np.unique(natural.objects, return_inverse=True)
    return np.flatnonzero(number % 10 == 0)


def check_natural(natural: ImageSet, size: int) -> None:
    """`check` for images with masks alone, of which enough are left when some are held back."""
    check(natural, "natural", size, side=0)
    if len(np.unique(natural.objects)) < 2:
        raise InputError("the natural images show one object; give two or more, as one is held back to validate with")


def draw_natural(natural: ImageSet, count: int, rng: np.random.Generator) -> dict[str, Tensor]:
    """A random batch of the other natural rows: 'image' and 'mask'."""
    rest = np.setdiff1d(np.arange(len(natural)), held_back(natural))
    return pick(natural, np.sort(rng.choice(rest, size=count)))
