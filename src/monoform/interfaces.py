"""The records that cross borders between the rooms of the library. Read this first.

All of them are frozen, hold NumPy arrays only, and can be made without importing torch.
Camera frame: OpenCV (+x right, +y down, +z forward); pixel centres at +0.5; `K` in pixels.
Model frame: the mesh file's own axes and units: ``x_camera = R @ x_file + t``.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo, upright (EXIF orientation applied) and in sRGB."""

    image: np.ndarray
    """(h, w, 3) uint8 sRGB."""
    alpha: np.ndarray | None = None
    """(h, w) float32 in [0, 1] if the file carried a transparency that says something, else None."""
    path: Path | None = None
    """Where it came from; None for an array."""
    focal_px: float | None = None
    """Focal length in pixels of this image if its EXIF tells (35 mm equivalent), else None."""
    warnings: tuple[str, ...] = ()

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True, eq=False)
class Mask:
    """The object's silhouette in a photo."""

    coverage: np.ndarray
    """(h, w) float32 in [0, 1]; 1 is object."""
    source: str
    """'file', 'alpha', 'box', 'rembg' or 'array'."""
    components: int = 1
    """Connected parts found before cleaning."""
    truncated: bool = False
    """Whether the object touches the image border, so that a part of it may be outside."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RankedPose:
    """One pose that explains the photo. ``x_camera = R @ x_file + t``."""

    R: np.ndarray
    """(3, 3) float64 rotation, model file frame to OpenCV camera frame."""
    t: np.ndarray
    """(3,) float64, in the mesh file's unit."""
    iou: float
    """Soft IoU of the rendered silhouette and the mask inside the photo, both antialiased at the working crop's 256 px."""
    contour_px: float
    """Mean distance between the two outlines, pixels of the photo."""
    appearance: float
    """How well the photo's inside agrees with the mesh's edges and shading, [0, 1]; nan when not measured."""
    weight: float
    """Relative weight among the ranked poses; they sum to 1."""
    same_as: str = ""
    """What relates it to the first pose: '' (the first, or unrelated), 'symmetry', 'half-turn', 'mirror'."""


@dataclass(frozen=True, eq=False)
class RefineStep:
    """One step of a refinement, as written to refine.json."""

    R: np.ndarray
    t: np.ndarray
    loss: float
    iou: float
    resolution: int


@dataclass(frozen=True, eq=False)
class Alignment:
    """What `align` found: a ranked set of poses of one mesh in one photo, best first."""

    poses: tuple[RankedPose, ...]
    K: np.ndarray
    """(3, 3) intrinsics in pixels of the original photo."""
    K_source: str
    """'given', 'fov', 'exif' (known) or 'searched' (assumed: focal length traded against distance)."""
    image_size_wh: tuple[int, int]
    crop_to_original: np.ndarray
    """(3, 3) homogeneous map from pixels of the working crop to pixels of the photo."""
    ambiguous: bool
    ambiguity: str
    """'' when not ambiguous; else 'mirror', 'half-turn', 'symmetry', 'symmetry axis' or 'other'."""
    symmetry: str
    """The mesh's rotational symmetry group: 'none', 'C2', 'C4', 'D2', ..., 'axis', 'axis+flip', 'sphere'."""
    trace: tuple[RefineStep, ...] = ()
    """Steps of the refinement of the first pose, the last of them the pose itself."""
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)

    @property
    def K_assumed(self) -> bool:
        return self.K_source == "searched"
