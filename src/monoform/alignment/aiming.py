"""The photo made ready for `align`: its mask, the crop about it, the cameras to try."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.alignment import appearance
from monoform.errors import FullMaskError, InputError
from monoform.files.images import load_image
from monoform.interfaces import Mask, Photo
from monoform.masks import find_mask, mask_from_array
from monoform.target import Crop, Level, checked_intrinsics, crop_around, level

COARSE, FINE = 128, 256
"""Resolutions of the crop for the two rounds of outline refinement; coverage polishes at the second."""
FOVS = (22.0, 40.0, 60.0)
"""Horizontal fields of view, degrees, tried when nothing tells the focal length; the search uses the middle one."""


@dataclass(frozen=True, eq=False)
class Aimed:
    """A photo made ready: everything that does not depend on the mesh."""

    photo: Photo
    mask: Mask
    crop: Crop
    coarse: Level
    fine: Level
    inside: appearance.Inside
    cameras: tuple[np.ndarray, ...]
    """Intrinsics to try, (3, 3) each; the search uses the middle one."""
    K_source: str


def aim(
    photo: Photo | str | Path | np.ndarray,
    mask: Mask | np.ndarray | str | Path | None,
    K: np.ndarray | None,
    fov_deg: float | None,
) -> Aimed:
    photo = photo if isinstance(photo, Photo) else load_image(photo)
    if isinstance(mask, np.ndarray):
        mask = mask_from_array(mask, photo.size_hw)
    elif not isinstance(mask, Mask):
        mask = find_mask(photo, mask_path=mask)
    if mask.coverage.shape != photo.size_hw:
        raise InputError(f"mask {mask.coverage.shape} and photo {photo.size_hw} differ in size; give the photo's mask")
    if (mask.coverage > 0.5).all():
        raise FullMaskError("the mask covers the whole photo, so it has no outline; give the object's mask")
    cameras, source = _cameras(photo, K, fov_deg)
    crop = crop_around(mask.coverage)
    coarse, fine = level(mask.coverage, crop, COARSE), level(mask.coverage, crop, FINE)
    inside = appearance.inside(photo.image, mask.coverage, crop)
    return Aimed(photo, mask, crop, coarse, fine, inside, cameras, source)


def _intrinsics(focal: float, photo: Photo) -> np.ndarray:
    h, w = photo.size_hw
    return np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])


def _cameras(photo: Photo, K: np.ndarray | None, fov_deg: float | None) -> tuple[tuple[np.ndarray, ...], str]:
    """Intrinsics to try and where they come from."""
    if K is not None:
        return (checked_intrinsics(K),), "given"

    def from_fov(degrees: float) -> np.ndarray:
        return _intrinsics(photo.size_hw[1] / 2 / np.tan(np.radians(degrees) / 2), photo)

    if fov_deg is not None:
        if not 0 < fov_deg < 180:
            raise InputError(f"field of view {fov_deg} degrees: give an angle between 0 and 180")
        return (from_fov(fov_deg),), "fov"
    if photo.focal_px is not None:
        return (_intrinsics(photo.focal_px, photo),), "exif"
    return tuple(from_fov(degrees) for degrees in FOVS), "searched"
