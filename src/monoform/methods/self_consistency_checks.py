"""What Liao 2019's method refuses: settings that cannot train, and sets that it cannot learn from."""

import math
from typing import TYPE_CHECKING

import numpy as np

from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.methods import image_tensors
from monoform.methods.config_checks import check_categories, check_choice, check_least, check_positive, check_shares

if TYPE_CHECKING:
    from monoform.methods.self_consistency import Config


def check_config(config: "Config") -> None:
    """Raise InputError for a value that cannot work, or would train nothing."""
    check_choice(config, "pose", ("self_consistency", "none"))
    check_choice(config, "depth", (18, 34, 50))
    check_categories(config.categories)
    check_least(config, ("image_size",), 32)
    ones = ("width", "shape_code", "pose_code", "hypotheses", "samples", "hypothesis_size", "batch_size", "steps")
    check_least(config, (*ones, "validation_images"), 1)
    weights = tuple(f"lambda_{name}" for name in ("positive", "ray", "projection", "kl", "choice"))
    check_least(config, (*weights, "mask_growth", "seed"), 0)
    check_positive(config, ("learning_rate", "last_learning_rate", "focal", "temperature"))
    check_shares(config, ("explored", "colour_shift", "pose_gradient"))
    if config.voxel_side < 4 or config.voxel_side & (config.voxel_side - 1):
        raise InputError(f"voxel_side is {config.voxel_side}; give 4 times a power of two, such as 32")
    if config.mask_size < 8 or config.mask_size % 8:
        raise InputError(f"mask_size is {config.mask_size}; give a multiple of 8, such as 48")
    if not -90 <= config.low_elevation_deg < config.high_elevation_deg <= 90:
        low, high = config.low_elevation_deg, config.high_elevation_deg
        raise InputError(f"elevations from {low} to {high} degrees; give -90 <= low < high <= 90")
    if not 1 < config.distance < math.inf:
        raise InputError(f"distance is {config.distance}; give more than 1, so that the grid is before the camera")


def check_set(images: ImageSet, role: str, config: "Config") -> None:
    """Raise InputError for a set that the configuration cannot learn from."""
    size = config.image_size
    image_tensors.check_rows(images, role, size, config.voxel_side)
    K = np.array([[config.focal * size, 0, size / 2], [0, config.focal * size, size / 2], [0, 0, 1]])
    if not np.allclose(images.K, K, atol=0.1) or not np.allclose(images.t, [0, 0, config.distance], atol=1e-3):
        raise InputError(f"the {role} set has other cameras than the configuration; render it as a turntable")
