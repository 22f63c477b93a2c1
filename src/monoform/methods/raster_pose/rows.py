"""Batches of an ImageSet as tensors: what the encoder sees, the class, the pose."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.methods import image_tensors
from monoform.methods.raster_pose.config import Config


def check(images: ImageSet, role: str, config: Config) -> None:
    """Raise InputError for a set that the configuration cannot learn from. role: 'training', say."""
    size = config.image_size
    image_tensors.check_rows(images, role, size, config.voxel_side)
    unknown = sorted(set(images.categories) - set(config.categories))
    if unknown:
        raise InputError(
            f"the {role} set has the class '{unknown[0]}'; give one of {', '.join(config.categories)} alone"
        )
    if not np.allclose(images.K, intrinsics(config.focal, size), atol=0.1):
        raise InputError(f"the {role} set has another lens than the configuration; render it with focal {config.focal}")
    if not (np.isfinite(images.R).all() and np.isfinite(images.t).all() and (images.t[:, 2] > 0).all()):
        raise InputError(f"the {role} set has images without a pose before the camera; give one with R and t")


def intrinsics(focal: float, size: int) -> Float[np.ndarray, "3 3"]:
    """K of a whole image of size x size pixels, float32; focal in image sides."""
    return np.array([[focal * size, 0, size / 2], [0, focal * size, size / 2], [0, 0, 1]], np.float32)


def classes_of(images: ImageSet, rows: np.ndarray, config: Config) -> np.ndarray:
    """(b,) int64 places in `Config.categories`."""
    numbers = {name: number for number, name in enumerate(config.categories)}
    return np.array([numbers[images.categories[i]] for i in images.objects[rows]], np.int64)


def seen(images: ImageSet, rows: np.ndarray, config: Config) -> Float[Tensor, "b 3 s s"]:
    """What the encoder sees of these rows, float32 in [0, 1]: their images, or their masks three times."""
    if config.input == "image":
        return image_tensors.to_images(images.images[rows], torch.device("cpu"))
    masks = torch.from_numpy(np.ascontiguousarray(images.masks[rows])).float() / 255
    return masks[:, None].repeat(1, 3, 1, 1)


def draw(images: ImageSet, config: Config, rng: np.random.Generator) -> dict[str, Tensor]:
    """A random batch: 'image' (b, 3, s, s), 'class' (b,), 'R' (b, 3, 3), 't' (b, 3); a share of it mirrored."""
    rows = rng.integers(len(images), size=config.batch_size)
    chosen = torch.from_numpy(rng.random(len(rows)) < config.mirrored)
    image = seen(images, rows, config)
    if config.input == "image" and config.colour_shift:
        image = image_tensors.shifted_colours(images.images[rows], rng, config.colour_shift)
    batch = {
        "image": image,
        "class": torch.from_numpy(classes_of(images, rows, config)),
        "R": torch.from_numpy(images.R[rows].astype(np.float32)),
        "t": torch.from_numpy(images.t[rows].astype(np.float32)),
    }
    other = mirror(batch)
    return {name: torch.where(chosen.view(-1, *[1] * (x.ndim - 1)), other[name], x) for name, x in batch.items()}


def mirror(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same scene in a mirror that swaps left and right: the object's twin, seen from its other side."""
    swap = torch.tensor([-1.0, 1.0, 1.0])
    turned, moved = swap[:, None] * batch["R"] * swap, swap * batch["t"]
    return {"image": batch["image"].flip(-1), "class": batch["class"], "R": turned, "t": moved}
