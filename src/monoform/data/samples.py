"""What every data set gives: one `Sample` an item, from a `Source`.

Frames: object canonical (right-handed, y up, front -z, box centred, box diagonal 1), camera OpenCV, `K` in pixels with
centres at +0.5: ``x_camera = R @ x_object + t`` in box diagonals. A reader converts to these once, where it reads.
"""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from monoform.meshes import Mesh

APPROXIMATE = "approximate"
"""The flag of items whose mesh only resembles the object: a CAD model that stands for many."""


@dataclass(frozen=True)
class Item:
    """What is known of an item without decoding it: enough for splits, counts and reports."""

    id: str
    """Unique in its source and fit for a file's name: 'car-1a04e3-03'."""
    object_id: str
    """The object or, where the source groups near-duplicates, the group: splits never part it."""
    category: str
    """The library's own name ('aeroplane', 'car', ...); '' where the source has none."""
    split: str = ""
    """'train', 'val', 'test', or '' where the source does not say."""
    flags: frozenset[str] = frozenset()
    """Of 'truncated', 'occluded', 'difficult', 'unannotated', 'coarse', 'approximate'."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One decoded item. What a source does not have is None."""

    item: Item
    image: np.ndarray | None = None
    """(h, w, 3) uint8 sRGB."""
    mask: np.ndarray | None = None
    """(h, w) float32 in [0, 1]; 1 is object."""
    R: np.ndarray | None = None
    """(3, 3) float64, canonical object to OpenCV camera."""
    t: np.ndarray | None = None
    """(3,) float64, box diagonals; None where only the rotation is known."""
    K: np.ndarray | None = None
    """(3, 3) float64, pixels of `image` or, without one, of `mask`."""
    mesh: Mesh | None = None
    """In the canonical frame."""
    voxels: np.ndarray | None = None
    """(q, q, q) bool [z, y, x], the canonical frame's unit cube unless `voxel_frame` says otherwise."""
    voxel_kind: str = ""
    """'solid' or 'shell'; '' without voxels."""
    voxel_frame: tuple[float, np.ndarray] | None = None
    """(scale, offset (3,)): ``x_grid = scale * x_object + offset`` where a source scales its grids its own way; None: 1, 0."""
    depth: np.ndarray | None = None
    """(h, w) float32 z in the camera frame, box diagonals; inf where empty."""
    normals: np.ndarray | None = None
    """(h, w, 3) float32 unit, OpenCV camera frame, towards the camera; 0 where empty."""
    box_xyxy: np.ndarray | None = None
    """(4,) float64 left, top, right, bottom edges of the object in pixels of `image`: the whole image is 0, 0, w, h."""
    keypoints: dict[str, np.ndarray] = field(default_factory=dict)
    """Name to (3,) canonical, or (2,) pixels where the source marks images."""


@runtime_checkable
class Source(Protocol):
    """A data set opened for reading. Items are listed without decoding; a corrupt item raises InputError when decoded."""

    @property
    def name(self) -> str: ...

    def items(self) -> list[Item]:
        """All items in a fixed order."""
        ...

    def load(self, index: int) -> Sample:
        """Decode one item. Raises InputError, one line with file, cause and mend, if it is damaged."""
        ...
