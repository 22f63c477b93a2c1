"""What the readers of photo sets share: records, pictures as annotated, canonical CAD models."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from monoform.data.readers.layout import pose_of_unit_mesh
from monoform.errors import EmptyMaskError, FullMaskError, InputError, NumericError
from monoform.files.exif import read_exif
from monoform.files.images import load_image, load_mask_file
from monoform.files.meshes import load_mesh
from monoform.files.pixels import turn_upright
from monoform.meshes import Mesh, Similarity, normalise

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_UNDO_ORIENTATION = {6: 8, 8: 6}

Axes = tuple[tuple[float, float, float], ...]


# --- records -----------------------------------------------------------------------------------------------------


def inside(root: Path, relative: object, record: Path) -> Path:
    """The path that a record names below `root`; InputError if the name leads out of it."""
    if isinstance(relative, str) and relative and "\0" not in relative and "\\" not in relative:
        path = Path(relative)
        if not path.is_absolute() and ".." not in path.parts:
            return root / path
    raise InputError(f"{record}: names the file {str(relative)[:60]!r}, outside of its set; unpack the set again")


def finite_array(value: object, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Numbers of a record as a float64 array of that shape; InputError if they are not that, or not finite."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.size != np.prod(shape):
        raise InputError(f"{name} is not {' x '.join(map(str, shape))} numbers; unpack the set again")
    if not np.isfinite(array).all():
        raise NumericError(f"{name} holds NaN or infinity; take the item out, or repair its record")
    return array.reshape(shape)


# --- pictures ----------------------------------------------------------------------------------------------------


def load_stored(path: Path) -> np.ndarray:
    """(h, w, 3) uint8, not turned by EXIF: annotations count pixels as MATLAB and the COCO tools decode the file."""
    image = load_image(path).image
    with Image.open(path) as picture:
        record = picture.info.get("exif")
    orientation = read_exif(record).orientation if isinstance(record, bytes) else 1
    if orientation == 1:
        return image
    return np.array(turn_upright(Image.fromarray(image), _UNDO_ORIENTATION.get(orientation, orientation)))


def load_mask(path: Path, size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 mask of a picture of that size; InputError also for a mask of nothing or of everything."""
    return check_mask(load_mask_file(path, size_hw), path)


def check_mask(mask: np.ndarray, name: object) -> np.ndarray:
    """The mask itself if it has both object and background."""
    if mask.max() < 0.5:
        raise EmptyMaskError(f"{name}: the mask is empty; take the item out of the set, or paint the object white")
    if mask.min() >= 0.5:
        raise FullMaskError(f"{name}: the mask covers the whole photo; take the item out, or paint only the object")
    return mask


# --- models and poses --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class CanonicalModel:
    """A CAD model in the canonical frame, and how it came there: ``x = moved.apply(axes @ x_file)``."""

    mesh: Mesh
    axes: np.ndarray
    """(3, 3) rotation from the file's axes to the canonical ones (y up, front -z)."""
    moved: Similarity

    def pose(self, R: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From the pose of the file's frame to that of the canonical one, lengths in box diagonals."""
        rotation = R @ self.axes.T
        return rotation, pose_of_unit_mesh(rotation, t, self.moved)


def canonical_model(mesh: Mesh, axes: Axes) -> CanonicalModel:
    """A model with its axes turned to the canonical ones, its box centred and of diagonal 1."""
    turn = np.array(axes, np.float64)
    turned, moved = normalise(Mesh(mesh.vertices @ turn.T, mesh.faces, mesh.colours))
    return CanonicalModel(turned, turn, moved)


@lru_cache(maxsize=64)
def load_canonical(path: Path, axes: Axes) -> CanonicalModel:
    """A mesh file as a canonical model. The last ones stay in memory: a few models serve many photos."""
    return canonical_model(load_mesh(path), axes)


def box_from_size(left: float, top: float, width: float, height: float) -> np.ndarray:
    """(4,) xyxy of a box given by its corner and size."""
    return np.array([left, top, left + width, top + height])


def missing_split(name: str, split: str, known: Sequence[str]) -> InputError:
    """The error for a split that a set does not have."""
    return InputError(f"{name} has no split '{split}'; give {' or '.join(known) if known else 'none'}")
