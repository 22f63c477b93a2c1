"""What a pose is compared with: the mask, cropped to a square and sampled at several resolutions."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from monoform.errors import EmptyMaskError, InputError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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


def checked_intrinsics(K: np.ndarray) -> np.ndarray:
    """K as (3, 3) float64. InputError unless it is (fx, 0, cx), (0, fy, cy), (0, 0, 1), finite, fx and fy positive."""
    K = np.asarray(K, dtype=np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all() or not (K[[0, 1], [0, 1]] > 1e-6).all() or np.abs(K).max() > 1e12:
        raise InputError("K is not a 3x3 matrix of finite numbers with positive focal lengths; give fx, fy, cx, cy")
    if (K[2] != [0, 0, 1]).any() or abs(K[0, 1]) > 1e-3 * K[0, 0] or abs(K[1, 0]) > 1e-3 * K[1, 1]:
        raise InputError("K has a skew or its last row is not 0, 0, 1; give fx, fy, cx, cy of square-cornered pixels")
    return K


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
    """Square crop about the foreground of a (h, w) mask. EmptyMaskError when no pixel is more than half covered."""
    rows, columns = np.nonzero((coverage > 0.5).any(1))[0], np.nonzero((coverage > 0.5).any(0))[0]
    if not len(rows):
        raise EmptyMaskError("the mask is empty: no pixel is more than half covered; mark the object's pixels with 1")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    side = max(MARGIN * max(bottom - top, right - left), 16.0)
    return Crop((left + right - side) / 2, (top + bottom - side) / 2, side)


def sample(image: np.ndarray, crop: Crop, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop of a float32 image (h, w) and its validity; pixels outside the photo are 0 and invalid.

    Shrinking takes the exact mean over every output pixel's square (Pillow's box filter counts whole pixels only, which
    moves an outline by up to half of one); enlarging interpolates linearly.
    """
    h, w = image.shape
    # Only the window and the reach of the filter about it are touched: a photo may have 64 million pixels.
    x0, y0 = int(np.floor(crop.left)) - 2, int(np.floor(crop.top)) - 2
    x1, y1 = int(np.ceil(crop.left + crop.side)) + 2, int(np.ceil(crop.top + crop.side)) + 2
    window = image[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)].astype(np.float32)
    pad = [(min(max(-y0, 0), y1 - y0), max(y1 - max(h, y0), 0)), (min(max(-x0, 0), x1 - x0), max(x1 - max(w, x0), 0))]
    offset = (crop.left - x0, crop.top - y0)
    resize = _shrunk if crop.side > resolution else _enlarged
    inside = resize(np.pad(np.ones_like(window), pad), offset, crop.side, resolution)
    return resize(np.pad(window, pad), offset, crop.side, resolution), (inside > 0.99).astype(np.uint8)


def _enlarged(window: np.ndarray, offset: tuple[float, float], side: float, resolution: int) -> np.ndarray:
    box = (offset[0], offset[1], offset[0] + side, offset[1] + side)
    return np.asarray(Image.fromarray(window).resize((resolution, resolution), Image.Resampling.BILINEAR, box=box))


def _shrunk(window: np.ndarray, offset: tuple[float, float], side: float, resolution: int) -> np.ndarray:
    across, down = (_shares(start, side, resolution, n) for start, n in zip(offset, window.shape[::-1], strict=True))
    return np.ascontiguousarray((across @ (down @ window).T).T)


def _shares(start: float, side: float, resolution: int, count: int) -> "csr_array":
    """(resolution, count) float32: how much of each output pixel's extent every input pixel makes up; rows sum to 1."""
    from scipy.sparse import csr_array

    step = side / resolution
    edges, pixels = start + step * np.arange(resolution + 1), np.arange(count)
    low, high = np.maximum(edges[:-1, None], pixels), np.minimum(edges[1:, None], pixels + 1)
    return csr_array((np.maximum(high - low, 0.0) / step).astype(np.float32))


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
