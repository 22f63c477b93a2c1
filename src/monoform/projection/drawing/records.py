"""What was drawn at random for one training image, in NumPy: all that its picture depends on."""

from dataclasses import dataclass

import numpy as np

from monoform.projection.kernels.coverage import Topology


@dataclass(frozen=True, eq=False)
class Scenery:
    """A procedural background, as `kernels.paint.paint_scenery` takes it."""

    kind: int
    colours: np.ndarray
    """(3, 3) float32 sRGB levels."""
    numbers: np.ndarray
    """(4,) float32: features an image, cosine and sine of a direction, height of the horizon as a share of the image."""
    seed: int


@dataclass(frozen=True, eq=False)
class PhotoWindow:
    """A window of a photo, as `kernels.paint.paint_window` takes it; its numbers are pixels of the photo."""

    photo: np.ndarray
    """(rows, columns, 3) uint8 sRGB."""
    left: float
    top: float
    width: float
    height: float
    mirrored: bool


@dataclass(frozen=True, eq=False)
class ImageDraws:
    """One image: the mesh, where it is seen, its look, what stands behind and before it, what the camera does to it."""

    size_hw: tuple[int, int]
    samples: int
    """Samples of the shading along a pixel's side."""
    R: np.ndarray
    """(3, 3): ``x_camera = R @ x_object + t``, OpenCV camera frame, box diagonals."""
    t: np.ndarray
    """(3,)"""
    K: np.ndarray
    """(3, 3) pixels; the last row is 0, 0, 1."""
    points: np.ndarray
    """(v, 3) float32 [x_px, y_px, depth] of the vertices, all ahead of the camera."""
    box: np.ndarray
    """(2, 2): the points' lowest and highest x, y."""
    vertices: np.ndarray
    """(v, 3) float32, object frame; textures are solid."""
    faces: np.ndarray
    """(f, 3) int32."""
    normals: np.ndarray
    """(f, 3, 3) float32 unit normals of every face's corners, object frame."""
    colours: np.ndarray
    """(v, 3) float32 linear RGB."""
    part: np.ndarray
    """(f,) int32 rows of `materials`."""
    topology: Topology
    solid: bool
    """Whether the backs of faces are hidden by fronts."""
    materials: np.ndarray
    """(p, 17) float32, as `kernels.shade.shade` takes them; so the two below."""
    ambient: np.ndarray
    """(2, 3) float32."""
    lights: np.ndarray
    """(n, 7) float32."""
    background: Scenery | PhotoWindow
    occluders: np.ndarray
    """(n, 13) float32, as `kernels.paint.compose` takes them."""
    blur: float
    """Standard deviation in pixels, 0 for none."""
    gain: np.ndarray
    """(3,) float32."""
    offset: float
    """Levels."""
    noise: float
    """Standard deviation in levels."""
    seed: int
    """Of the noise and of the occluders' mottle."""
    jpeg_quality: int
    """0 for none. Compression is the caller's: Pillow does it, on the CPU."""
