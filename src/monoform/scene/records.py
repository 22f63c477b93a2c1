"""What a scene consists of: objects in one camera frame, what is between two of them, the ground they stand on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from monoform.interfaces import Alignment, Mask, Photo, RankedPose
from monoform.meshes import Mesh


@dataclass(frozen=True)
class Candidate:
    """A shape that was considered for an object."""

    name: str
    iou: float
    """Of its best pose; nan when it was not posed."""
    contour_px: float
    probability: float
    """That the object is of this class, if a trained method said so; else nan."""


@dataclass(frozen=True, eq=False)
class Shape:
    """A mesh that may stand for an object, and how large that object is."""

    name: str
    mesh: Mesh
    """In its file's own frame and unit."""
    scale: float = 1.0
    """The scene's unit over the file's: ``x_scene = scale * x_file`` before it is posed."""

    @property
    def sized(self) -> Mesh:
        """The mesh in the scene's unit."""
        return self.mesh if self.scale == 1.0 else replace(self.mesh, vertices=self.scale * self.mesh.vertices)


@dataclass(frozen=True, eq=False)
class Found:
    """The shape and the poses that were found for one object."""

    shape: Shape
    alignment: Alignment
    """Poses of `shape.sized`: ``x_camera = R @ (scale * x_file) + t``, best first."""
    candidates: tuple[Candidate, ...] = ()
    """Every shape that was considered, best first."""
    others: tuple[tuple[Shape, Alignment], ...] = ()
    """The other shapes that were posed, best first, with their poses."""


Finder = Callable[[Photo, Mask, np.ndarray], Found]
"""Finds an object's shape and poses from the photo, its mask and K (3, 3)."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """An object of the photo, and how its shape is to be found."""

    name: str
    """Unique in the scene."""
    mask: Mask
    find: Finder


@dataclass(frozen=True, eq=False)
class SceneObject:
    """An object where it stands."""

    name: str
    mask: Mask
    shape: Shape
    poses: tuple[RankedPose, ...]
    """Best first; ``x_camera = R @ (shape.scale * x_file) + t`` in the scene's unit. The scene holds the first."""
    ambiguous: bool
    ambiguity: str
    symmetry: str
    candidates: tuple[Candidate, ...]
    visible_iou: float = float("nan")
    """IoU of the mask and what the scene's other objects leave visible of this one."""
    visible_contour_px: float = float("nan")
    """Mean distance of the two outlines, pixels of the photo."""
    hidden: float = 0.0
    """Share of the object's silhouette that lies in other objects' masks."""
    warnings: tuple[str, ...] = ()

    @property
    def R(self) -> np.ndarray:
        """(3, 3) of the first pose."""
        return self.poses[0].R

    @property
    def t(self) -> np.ndarray:
        """(3,) of the first pose."""
        return self.poses[0].t

    def in_camera(self) -> np.ndarray:
        """(v, 3) vertices in the camera's frame."""
        return self.shape.scale * self.shape.mesh.vertices @ self.R.T + self.t

    def moved(self, pose: RankedPose) -> "SceneObject":
        """With another first pose."""
        return replace(self, poses=(pose, *self.poses[1:]))

    def resized(self, factor: float) -> "SceneObject":
        """Larger and farther by a factor: it looks the same."""
        shape = replace(self.shape, scale=factor * self.shape.scale)
        return replace(self, shape=shape, poses=tuple(replace(pose, t=factor * pose.t) for pose in self.poses))


@dataclass(frozen=True, eq=False)
class Ground:
    """The plane through the middle of the objects' bottoms: points x of the camera's frame with ``normal @ x == offset``."""

    normal: np.ndarray
    """(3,) unit: the mean of the objects' up axes."""
    offset: float
    """In the scene's unit; minus the camera's height over the plane."""
    residual: float
    """Root mean square distance of the bottoms' corners from the plane, in the scene's unit."""
    heights: tuple[float, ...]
    """How far the middle of each object's bottom lies above the plane."""
    tilts_deg: tuple[float, ...]
    """Angle of each object's up axis with the normal."""
    common: bool
    """Whether the objects stand on it: tilts within `layout.LARGEST_TILT_DEG`, heights within a tenth of an object's length."""


@dataclass(frozen=True)
class Pair:
    """How two objects stand to each other."""

    first: str
    second: str
    in_front: str
    """The nearer of the two: where their silhouettes meet, else by the middles of their boxes."""
    shared: float
    """Share of the smaller silhouette that both cover."""
    contradicted: float
    """Share of what both cover where the photo's masks show the farther one."""
    inside: float
    """Share of one surface that lies in the other's solid, the larger of the two ways; 0 when they are apart."""


@dataclass(frozen=True)
class Failed:
    """An object that was asked for and not found."""

    name: str
    reason: str
    """Of the error, a line."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects of one photo in one camera frame (OpenCV: +x right, +y down, +z forward)."""

    photo: Photo
    objects: tuple[SceneObject, ...]
    K: np.ndarray
    """(3, 3) pixels of the photo, the same for all objects."""
    K_source: str
    """'given', 'fov', 'exif' or 'searched': then the focal length that suits all objects' outlines best together."""
    unit: str
    """'m', 'cm', 'mm', or 'file' when nobody said what the meshes' unit is."""
    scaled_by: str
    """'unit': the meshes' own sizes; 'ground': all but the first are scaled to stand on its ground."""
    ground: Ground
    pairs: tuple[Pair, ...] = ()
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    failed: tuple[Failed, ...] = ()
    """Objects that are not in the scene."""
