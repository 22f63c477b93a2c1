"""What a pose is compared with: the mask, cropped to a square and sampled at several resolutions."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

OUTLINE_POINTS = 320
"""Most outline points of a level: enough for 6 unknowns, few enough for brute-force matching."""
MARGIN = 1.35
"""Side of the crop over the longer side of the mask's box: room for silhouettes that overshoot."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A square window of the photo, in photo pixels; it may reach past the image border."""

    left: float
    top: float
    side: float

    def camera(self, K: np.ndarray, resolution: int) -> np.ndarray:
        """(fx, fy, cx, cy) float32 in pixels of the crop resized to `resolution`."""
        scale = resolution / self.side
        fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2] - self.left, K[1, 2] - self.top
        return (scale * np.array([fx, fy, cx, cy])).astype(np.float32)

    def to_original(self, resolution: int) -> np.ndarray:
        """(3, 3) homogeneous map from crop pixels at `resolution` to photo pixels."""
        scale = self.side / resolution
        return np.array([[scale, 0, self.left], [0, scale, self.top], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class Level:
    """The mask at one resolution of the crop."""

    alpha: np.ndarray
    """(r, r) float32, box-filtered coverage of the mask."""
    valid: np.ndarray
    """(r, r) uint8, 1 where the pixel lies inside the photo."""
    outline: np.ndarray
    """(m, 4) float32: x, y and outward normal of points on the 0.5 contour, none on the photo's border."""


def crop_around(coverage: np.ndarray) -> Crop:
    """Square crop about the foreground of a (h, w) mask."""
    rows, columns = np.nonzero((coverage > 0.5).any(1))[0], np.nonzero((coverage > 0.5).any(0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(MARGIN * max(bottom - top, right - left), 16.0)
    return Crop((left + right - side) / 2, (top + bottom - side) / 2, side)


def sample(image: np.ndarray, crop: Crop, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Box-filtered crop of a float32 image (h, w) and its validity; pixels outside the photo are 0 and invalid."""
    h, w = image.shape
    pad = int(np.ceil(max(0, -crop.left, -crop.top, crop.left + crop.side - w, crop.top + crop.side - h))) + 1
    box = (crop.left + pad, crop.top + pad, crop.left + pad + crop.side, crop.top + pad + crop.side)
    size, filter_ = (
        (resolution, resolution),
        Image.Resampling.BOX if crop.side > resolution else Image.Resampling.BILINEAR,
    )
    padded = Image.fromarray(np.pad(image.astype(np.float32), pad))
    inside = Image.fromarray(np.pad(np.ones((h, w), np.float32), pad))
    return (
        np.asarray(padded.resize(size, filter_, box=box)),
        (np.asarray(inside.resize(size, filter_, box=box)) > 0.99).astype(np.uint8),
    )


def outline_points(alpha: np.ndarray, valid: np.ndarray, limit: int = OUTLINE_POINTS) -> np.ndarray:
    """Points where `alpha` crosses 0.5 between neighbouring pixels (linear interpolation), with outward normals.

    At most `limit`, spread evenly; (m, 4) float32. Crossings that touch an invalid pixel are the photo's border, not
    the object's, and are left out.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(alpha, 1.0, mode="nearest")
    gradient = -np.stack([ndimage.sobel(smooth, axis=1), ndimage.sobel(smooth, axis=0)])
    found = []
    for axis in (0, 1):
        a, b = (alpha[:-1], alpha[1:]) if axis == 0 else (alpha[:, :-1], alpha[:, 1:])
        ok = (valid[:-1] & valid[1:]) if axis == 0 else (valid[:, :-1] & valid[:, 1:])
        y, x = np.nonzero(((a > 0.5) != (b > 0.5)) & (ok > 0))
        step = (0.5 - a[y, x]) / (b[y, x] - a[y, x])
        normal = gradient[:, y, x] + (gradient[:, y + 1, x] if axis == 0 else gradient[:, y, x + 1])
        dx, dy = (0.0, step) if axis == 0 else (step, 0.0)
        found.append(np.stack([x + 0.5 + dx, y + 0.5 + dy, normal[0], normal[1]], axis=1))
    points = np.concatenate(found)
    length = np.linalg.norm(points[:, 2:], axis=1)
    points = points[length > 1e-6] / np.concatenate(
        [np.ones((np.sum(length > 1e-6), 2)), np.repeat(length[length > 1e-6, None], 2, 1)], axis=1
    )
    centre = points[:, :2].mean(0) if len(points) else np.zeros(2)
    order = np.argsort(np.arctan2(points[:, 1] - centre[1], points[:, 0] - centre[0]), kind="stable")
    keep = np.unique(np.linspace(0, len(points) - 1, min(limit, len(points))).astype(int)) if len(points) else []
    return np.ascontiguousarray(points[order][keep], dtype=np.float32)


def level(coverage: np.ndarray, crop: Crop, resolution: int) -> Level:
    """The mask in `crop` at `resolution`."""
    alpha, valid = sample(coverage, crop, resolution)
    return Level(alpha, valid, outline_points(alpha, valid))
