"""What every method does with its images before it learns or predicts: check them, make tensors of them, shift colours."""

import numpy as np
import torch
from jaxtyping import Float, Real
from torch import Tensor

from monoform.errors import InputError
from monoform.interfaces import ImageSet


def check_images(images: Tensor, size: int) -> None:
    """Raise InputError unless images are (b, 3, size, size), at least one, and finite."""
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, size, size) or len(images) == 0:
        raise InputError(f"images of shape {tuple(images.shape)}; give (b, 3, {size}, {size}), at least one")
    if not bool(torch.isfinite(images).all()):
        raise InputError("the images hold NaN or infinity; give sRGB in [0, 1]")


def check_rows(images: ImageSet, role: str, size: int, side: int) -> None:
    """Raise InputError for a set without images, or with images or voxels of another size. role: 'training', say."""
    if len(images) == 0:
        raise InputError(f"the {role} set holds no image; give one with images")
    if images.images.shape[1:3] != (size, size):
        raise InputError(f"images of {images.images.shape[1:3]} px in the {role} set; render it with {size} px")
    if images.voxels.shape[1:] != (side,) * 3:
        raise InputError(f"voxels of {images.voxels.shape[1:]} in the {role} set; make them with {side} cells a side")


def spread(length: int, count: int) -> np.ndarray:
    """At most `count` row numbers, evenly spread over a set of this length."""
    return np.linspace(0, length - 1, min(length, count)).astype(np.int64)


def to_images(images: np.ndarray, device: torch.device) -> Float[Tensor, "b 3 s s"]:
    """uint8 (b, s, s, 3) to float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255


def shifted_colours(images: np.ndarray, rng: np.random.Generator, shift: float) -> Float[Tensor, "b 3 s s"]:
    """uint8 (b, s, s, 3) to float32 in [0, 1], every image's channels with gains of 1 +- shift, all with +- shift / 2 added."""
    gain = rng.uniform(1 - shift, 1 + shift, (len(images), 3, 1, 1)).astype(np.float32)
    offset = rng.uniform(-shift / 2, shift / 2, (len(images), 1, 1, 1)).astype(np.float32)
    return torch.from_numpy(np.clip(gain / 255 * images.transpose(0, 3, 1, 2) + offset, 0, 1))


def area_mean(images: Real[np.ndarray, "n s s"], size: int) -> Float[np.ndarray, "n p p"]:
    """Means over the areas of the new pixels, float32: of masks, the covered share. The sides need not divide each other."""
    edges = np.arange(size + 1) * (images.shape[-1] / size)
    pixels = np.arange(images.shape[-1])
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = (np.clip(overlap, 0, None) * (size / images.shape[-1])).astype(np.float32)
    return weights @ images.astype(np.float32) @ weights.T


def small_masks(masks: np.ndarray, size: int) -> np.ndarray:
    """uint8 (n, s, s) of coverage to bool (n, size, size): where its mean over the pixel is a half or more."""
    small = np.empty((len(masks), size, size), bool)
    for start in range(0, len(masks), 1024):
        small[start : start + 1024] = area_mean(masks[start : start + 1024], size) >= 127.5
    return small
