"""Cameras of training images: where from, how far, and where in the image.

Angles of the settings are degrees, distances box diagonals; the pose is R, t (canonical object to OpenCV camera) and K.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.data.view_priors import view_prior
from monoform.errors import InputError
from monoform.meshes import bounds
from monoform.projection.kernels.framing import frame, upright

NEAREST = 0.6
"""Least distance: the object's farthest point is half a diagonal from its centre."""
EDGE = 0.02
"""What stays free at every edge around an object that is not to be cut, as a share of the image's side."""
Range = tuple[float, float]


@dataclass(frozen=True)
class FreeViews:
    """Random cameras that frame the object.

    viewpoints: 'any' rotation, uniform; 'upright', with azimuth, elevation and tilt uniform in their ranges; 'prior', the
    category's view prior (InputError where it is not known).
    """

    viewpoints: Literal["any", "upright", "prior"] = "upright"
    azimuth: Range = (0.0, 360.0)
    elevation: Range = (-10.0, 40.0)
    tilt: Range = (-5.0, 5.0)
    field_of_view: Range = (20.0, 60.0)
    """Across the image's width."""
    fill: Range = (0.55, 0.9)
    """Longer side of the object's box, as a share of the image's side there."""
    off_axis: float = 0.1
    """Largest shift of the object off the optical axis, as a share of the image's side."""
    crop_jitter: float = 0.06
    """Largest shift of the principal point, as a share of the image's side: a crop that is not centred."""
    truncated: float = 0.15
    """Share of images in which the object is pushed over an edge;"""
    cut: Range = (0.1, 0.4)
    """by this share of its box's side."""


@dataclass(frozen=True)
class FixedViews:
    """The camera set-up of a published data set: no framing, the object at the centre."""

    azimuths: tuple[float, ...]
    elevations: tuple[float, ...]
    distance: float
    field_of_view: float
    unit: Literal["longest side", "diagonal"]
    """What of the object's box is 1 in `distance`."""


PRESETS = {
    # Kato et al. 2018, Neural 3D Mesh Renderer: 24 azimuths, -15 degrees apart; SoftRas's look_at uses half the angle, 15.
    "nmr": FixedViews(tuple(-15.0 * k % 360.0 for k in range(24)), (30.0,), 2.732, 30.0, "longest side"),
    # Yan et al. 2016, Perspective Transformer Nets: focal length sqrt(3)/2 before an image plane of side 1.
    "ptn": FixedViews(tuple(15.0 * k for k in range(24)), (30.0,), 1.366, 60.0, "longest side"),
    # Tulsiani et al. 2018, Multi-view Consistency: lens 60 mm before a sensor of 32 mm, whole degrees.
    "mvc": FixedViews(
        tuple(range(-180, 180)), tuple(range(-20, 40)), 2.0, float(np.degrees(2.0 * np.arctan(16.0 / 60.0))), "diagonal"
    ),
}
"""Camera set-ups by name."""


@dataclass(frozen=True, eq=False)
class Camera:
    """A pose and its intrinsics."""

    R: np.ndarray
    t: np.ndarray
    K: np.ndarray


def sample_camera(
    rng: np.random.Generator,
    views: FreeViews | FixedViews,
    extremes: np.ndarray,
    category: str,
    size_hw: tuple[int, int],
) -> Camera:
    """Draw a camera. extremes: (e, 3) points that bound the object."""
    if isinstance(views, FixedViews):
        return _fixed(rng, views, extremes, size_hw)
    R = _rotation(rng, views, category)
    angle, share, right, down, crop_x, crop_y, is_cut, axis, cut, side = rng.random(10).tolist()
    h, w = size_hw
    K = intrinsics(between(views.field_of_view, angle), size_hw)
    focal, fill = K[0, 0], between(views.fill, share)
    ray_x, ray_y = (2.0 * right - 1.0) * views.off_axis * w / focal, (2.0 * down - 1.0) * views.off_axis * h / focal
    box = np.empty(4)
    distance = frame(R, focal, extremes, fill, ray_x, ray_y, w, h, NEAREST, box)
    low, high = box[:2].tolist(), box[2:].tolist()
    shift = [0.0, 0.0]
    for i, (draw, length) in enumerate(((crop_x, w), (crop_y, h))):
        wanted, centre = (2.0 * draw - 1.0) * views.crop_jitter * length, length / 2.0
        shift[i] = max(min(wanted, centre - EDGE * length - high[i]), EDGE * length - centre - low[i])
    if is_cut < views.truncated:
        i = int(2.0 * axis)
        beyond, centre = between(views.cut, cut) * (high[i] - low[i]), size_hw[1 - i] / 2.0
        shift[i] = -centre - low[i] - beyond if side < 0.5 else centre - high[i] + beyond
    K[:2, 2] += shift
    return Camera(R, np.array([ray_x * distance, ray_y * distance, distance]), K)


def intrinsics(field_of_view: float, size_hw: tuple[int, int]) -> np.ndarray:
    """(3, 3) of a pinhole with a full angle (degrees) across the width and a centred principal point."""
    h, w = size_hw
    focal = w / 2.0 / math.tan(math.radians(field_of_view) / 2.0)
    return np.array([[focal, 0.0, w / 2.0], [0.0, focal, h / 2.0], [0.0, 0.0, 1.0]])


def viewpoint(azimuth: float, elevation: float, tilt: float) -> np.ndarray:
    """(3, 3) of angles in degrees, as docs/conventions.md has them."""
    return upright(float(azimuth), float(elevation), float(tilt))


def between(limits: Range, draw: float) -> float:
    """The uniform draw from [0, 1) as one of a range."""
    return limits[0] + (limits[1] - limits[0]) * draw


def _rotation(rng: np.random.Generator, views: FreeViews, category: str) -> np.ndarray:
    if views.viewpoints == "any":
        return Rotation.from_quat(rng.normal(size=4)).as_matrix()
    if views.viewpoints == "prior" and category:
        return viewpoint(*view_prior(category).sample(rng))
    if views.viewpoints == "prior":
        raise InputError("the view prior needs the object's category; name it in the library, or take upright views")
    ranges = (views.azimuth, views.elevation, views.tilt)
    return viewpoint(*(between(limits, draw) for limits, draw in zip(ranges, rng.random(3).tolist(), strict=True)))


def _fixed(rng: np.random.Generator, views: FixedViews, extremes: np.ndarray, size_hw: tuple[int, int]) -> Camera:
    azimuth, elevation = (rng.choice(np.array(angles, float)) for angles in (views.azimuths, views.elevations))
    scale = float(np.ptp(bounds(extremes), axis=0).max()) if views.unit == "longest side" else 1.0
    t = np.array([0.0, 0.0, views.distance * scale])
    return Camera(viewpoint(azimuth, elevation, 0.0), t, intrinsics(views.field_of_view, size_hw))
