"""The records that cross borders between the rooms of the library. Read this first.

All of them are frozen, hold NumPy arrays only, and can be made without importing torch; the Protocols name what torch's
classes are for without importing it.
Camera frame: OpenCV (+x right, +y down, +z forward); pixel centres at +0.5; `K` in pixels.
Model frame: the mesh file's own axes and units: ``x_camera = R @ x_file + t``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


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


# --- learning ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one size to learn from, with what is known of them, as arrays (memory-mapped when read from a folder).

    The grid is the unit cube about its origin, the object in the canonical frame: ``x_camera = R @ x_grid + t`` in grid sides.
    A set of natural images knows masks alone: R, t and K are nan, voxels (m, 0, 0, 0).
    """

    images: np.ndarray
    """(n, s, s, 3) uint8 sRGB."""
    masks: np.ndarray
    """(n, s, s) uint8, 255 where the object covers the whole pixel."""
    R: np.ndarray
    """(n, 3, 3) float32, canonical object to OpenCV camera."""
    t: np.ndarray
    """(n, 3) float32 in grid sides."""
    K: np.ndarray
    """(n, 3, 3) float32, pixels of the images."""
    objects: np.ndarray
    """(n,) int64: the image's row in what follows."""
    voxels: np.ndarray
    """(m, q, q, q) bool [z, y, x]."""
    object_ids: tuple[str, ...]
    """(m,)"""
    categories: tuple[str, ...]
    """(m,)"""
    voxel_kind: str
    """'solid' or 'shell'; '' without voxels."""
    made_by: dict[str, Any] = field(default_factory=dict)
    """How the set was made, for the record."""

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a method says of a batch of images: a shape and where it stands."""

    voxels: np.ndarray
    """(b, q, q, q) float32 [z, y, x], probability of occupancy, in the canonical frame's unit cube."""
    R: np.ndarray
    """(b, 3, 3) float32, canonical object to OpenCV camera."""
    t: np.ndarray
    """(b, 3) float32, ``x_camera = R @ x_object + t`` in grid sides; a weak-perspective method has no depth and gives z 0."""
    posed: np.ndarray
    """(b, p, p, p) float32 [z, y, x]: the pose-aware shape, turned as the camera sees it; about its own centre, or, where t
    has no depth, shifted by t."""
    mask: np.ndarray
    """(b, s, s) float32 of the method's own side: the silhouette of the shape in its pose over the image's square, or the
    network's own mask; [0, 1]."""


@runtime_checkable
class Update(Protocol):
    """One step of an optimiser, given to a stage by the loop."""

    def __call__(self, loss: "Tensor", optimizer: "Optimizer", *, keep_graph: bool = False) -> bool:
        """Clear the optimiser's gradients, go back from the loss, clip, step; False (and no step) if anything is not finite."""
        ...


@runtime_checkable
class Stage(Protocol):
    """A part of a method's training: what is trained, on what, for how long."""

    name: str
    steps: int
    networks: "dict[str, nn.Module]"
    """What is trained here. What a stage remembers between steps lives in their buffers or in the optimisers."""
    optimizers: "dict[str, Optimizer]"

    def batch(self, rng: np.random.Generator) -> "Mapping[str, Tensor]":
        """A batch on the CPU, drawn with `rng` alone, so that a step's batch does not depend on what ran before."""
        ...

    def step(self, number: int, batch: "Mapping[str, Tensor]", update: Update) -> "dict[str, float | Tensor]":
        """One whole update, number from 0; what is worth logging, scalars."""
        ...

    def validate(self) -> dict[str, float]:
        """Numbers on the validation set; 'score' decides which checkpoint is the best, higher is better."""
        ...

    def picture(self) -> np.ndarray | None:
        """(h, w, 3) uint8: a contact sheet of image, prediction, silhouette and truth; None where there is nothing to see."""
        ...


@runtime_checkable
class Method(Protocol):
    """One paper's system: an nn.Module with all its networks, so that its state_dict is what a checkpoint holds."""

    config: Any
    """The frozen flat dataclass it was built from, with the paper's values as defaults: ``config.build()`` makes a Method."""

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None) -> Iterator[Stage]:
        """The stages in order; each is built after the one before has trained. natural: images with masks alone."""
        ...

    def predict(self, images: "Tensor") -> Prediction:
        """Of (b, 3, s, s) float32 sRGB in [0, 1] at the config's image size, in evaluation mode, on the module's device."""
        ...
