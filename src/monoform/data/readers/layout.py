"""What the readers share: lists of items, finding files, arrays from npy and npz files, cameras that look at the origin.

What a file claims is compared with its size before anything is allocated, and nothing is ever unpickled.
"""

import math
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO

import numpy as np

from monoform.data.categories import is_wanted
from monoform.data.samples import Item
from monoform.data.splits import SPLITS
from monoform.errors import InputError, NumericError
from monoform.files.images import load_image
from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh, Similarity, bounds, normalise

SYNSETS = {
    "02691156": "aeroplane",
    "02828884": "bench",
    "02834778": "bicycle",
    "02876657": "bottle",
    "02924116": "bus",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "monitor",
    "03636649": "lamp",
    "03691459": "speaker",
    "03790512": "motorbike",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04468005": "train",
    "04530566": "boat",
}
"""WordNet numbers of ShapeNet's folders and the library's own names of the categories."""
SHAPENET = "get ShapeNetCore after registration at shapenet.org and unpack it"

_LARGEST_ARRAY = 1 << 32
_LARGEST_TEXT = 1 << 26


# --- items -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Listed:
    """The half of a Source that all readers share: the folder, and the items found in it."""

    root: Path
    listed: tuple[Item, ...]

    def items(self) -> list[Item]:
        """All items in a fixed order."""
        return list(self.listed)


def label(synset: str) -> str:
    """The library's name of a ShapeNet folder, or the folder's own for one without a name."""
    return SYNSETS.get(synset, synset)


def is_synset(synset: str, wanted: str | None) -> bool:
    """Whether a ShapeNet folder is of the category asked for, by a name or by its number; None asks for all."""
    return wanted == synset or is_wanted(label(synset), wanted)


def synsets_in(folder: Path, category: str | None, mend: str) -> list[Path]:
    """The synset folders of a category (a name or the number), or all. Raises InputError if there is none."""
    need_folder(folder, mend)
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and len(path.name) == 8 and path.name.isdigit()]
    wanted = [path for path in found if is_synset(path.name, category)]
    if not wanted:
        what = f"no folder of category '{category}'" if found else "no folder named by a synset (such as 02958343)"
        raise InputError(f"{folder}: {what}; {mend}")
    return wanted


def not_empty(
    items: Iterable[Item], folder: Path, split: str | None, category: str | None, mend: str
) -> tuple[Item, ...]:
    """The items as a tuple. Raises InputError where there are none, with what was asked for."""
    found = tuple(items)
    if not found:
        asked = [f"{word} '{value}'" for word, value in (("split", split), ("category", category)) if value is not None]
        mend = mend if split in (None, *SPLITS) else f"give the split {' or '.join(SPLITS)}"
        raise InputError(f"{folder}: no items found{' of ' if asked else ''}{' and '.join(asked)}; {mend}")
    return found


def refuse_repeated(items: Iterable[Item], paths: Iterable[Path]) -> None:
    """Raise InputError, naming both files, where two items have one id."""
    first: dict[str, Path] = {}
    for item, path in zip(items, paths, strict=True):
        other = first.setdefault(item.id, path)
        if other is not path:
            raise InputError(f"{path}: its item is called '{item.id}', as that of {other} is; rename one of the files")


def need_folder(path: Path, mend: str) -> Path:
    """The folder, or InputError."""
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; {mend}")
    return path


def need_file(path: Path, mend: str) -> Path:
    """The file, or InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; {mend}")
    return path


def read_lines(path: Path, mend: str) -> list[str]:
    """The lines of a text file that are not blank, stripped."""
    return [line.strip() for line in _bytes(need_file(path, mend), _LARGEST_TEXT).decode(errors="replace").splitlines()
            if line.strip()]  # fmt: skip


def read_id_list(path: Path, mend: str) -> list[str]:
    """The objects of a list that names one a line as 'synset/id' or 'id'."""
    return [line.split("/")[-1] for line in read_lines(path, mend)]


# --- meshes and pictures -----------------------------------------------------------------------------------------


V1_TURN = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
"""(3, 3) from the axes of ShapeNetCore version 1 (y up, front +x, after its README) to the canonical ones: (z, y, -x)."""


def v1_mesh_path(root: Path, synset: str, model: str) -> Path:
    """The OBJ file of a model of ShapeNetCore version 1."""
    return root / synset / model / "model.obj"


def v1_mesh(root: Path, synset: str, model: str) -> tuple[Mesh, Similarity]:
    """A model of ShapeNetCore version 1 in the canonical frame, and the map there from its file's, once that is turned."""
    mesh = load_mesh(need_file(v1_mesh_path(root, synset, model), f"{SHAPENET} (version 1)"))
    return normalise(Mesh(mesh.vertices @ V1_TURN.T, mesh.faces, mesh.colours))


def v1_grid(grid: np.ndarray) -> np.ndarray:
    """[z, y, x] of the canonical axes from a grid indexed [x, y, z] of version 1's."""
    return np.ascontiguousarray(grid[::-1])


def longest_side(mesh: Mesh) -> float:
    """The longest side of the box of a mesh in the canonical frame."""
    low, high = bounds(mesh.vertices)
    return float((high - low).max())


def load_render(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A rendered picture with alpha: (h, w, 3) uint8 on white, (h, w) float32 mask."""
    photo = load_image(path)
    if photo.alpha is None:
        raise InputError(f"{path}: has no transparent background, so no mask; get the picture again as RGBA")
    return photo.image, photo.alpha


# --- cameras and frames ------------------------------------------------------------------------------------------


def look_at_origin(eye: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3) and t (3,) of an OpenCV camera at `eye` that looks at the origin, +y upright in the image."""
    distance = float(np.linalg.norm(eye))
    forward = -eye / distance
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward]), np.array([0.0, 0.0, distance])


def blender_orbit(azimuth_deg: float, elevation_deg: float, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """R and t of 3D-R2N2's and NMR's renders of ShapeNetCore version 1, for its model turned to the canonical axes.

    The camera stands at ``distance (cos az cos el, sin el, sin az cos el)`` of the OBJ's own axes: azimuth 0 is the front,
    and 90 the object's right.
    """
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    across = math.cos(elevation)
    eye = np.array([math.cos(azimuth) * across, math.sin(elevation), math.sin(azimuth) * across])
    return look_at_origin(distance * V1_TURN @ eye)


def square_intrinsics(focal_over_width: float, size_hw: tuple[int, int]) -> np.ndarray:
    """K (3, 3) in pixels with the principal point in the middle; the focal length is given in image widths."""
    height, width = size_hw
    focal = focal_over_width * width
    return np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])


def pose_of_unit_mesh(R: np.ndarray, t: np.ndarray, similarity: Similarity) -> np.ndarray:
    """t for the canonical mesh, from the pose of its file: ``x_unit = scale x_file + offset`` shrinks the scene too."""
    return similarity.scale * t - R @ similarity.offset


def filled_box(grid: np.ndarray, file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (x, y, z) of the filled cells of a [z, y, x] grid, in grid sides about its centre.

    Raises InputError with the name of the grid's file if no cell is filled.
    """
    if not grid.any():
        raise InputError(f"{file}: the voxel grid is empty; get the file again")
    ends = [np.flatnonzero(grid.any(axis=tuple({0, 1, 2} - {axis})))[[0, -1]] for axis in (2, 1, 0)]
    sides = np.array(grid.shape[::-1])
    low, high = np.array(ends).T
    return low / sides - 0.5, (high + 1) / sides - 0.5


def frame_of_filled(grid: np.ndarray, file: Path) -> tuple[float, np.ndarray]:
    """`Sample.voxel_frame` of a grid known without its mesh: the box of the filled cells is taken for the object's."""
    low, high = filled_box(grid, file)
    return float(np.linalg.norm(high - low)), (low + high) / 2


def frame_of_mesh(mesh: Mesh, grid: np.ndarray, file: Path) -> tuple[float, np.ndarray]:
    """`Sample.voxel_frame` of a grid filled from a canonical mesh: their boxes are laid on each other, to half a cell.

    The longest side gives the scale, for it has the most cells. File headers are not asked: what unit their scale and
    offset are in differs from set to set.
    """
    low, high = filled_box(grid, file)
    return float((high - low).max()) / longest_side(mesh), (low + high) / 2


# --- arrays ------------------------------------------------------------------------------------------------------


def _bytes(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise InputError(f"{path}: {size:,} bytes, over the limit of {largest:,}; get the original file")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error


def _explained(path: Path, kind: str, read: Callable[[], np.ndarray]) -> np.ndarray:
    """Whatever a reader raises on damaged bytes as one InputError with the file's name."""
    try:
        return read()
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check it, or get the file again"
        ) from error
    except Exception as error:
        # zipfile, zlib and numpy fail in many ways on damaged bytes; to the user they are all one.
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:120]
        raise InputError(f"{path}: damaged or not {kind} ({cause}); get the file again") from error


def _header(stream: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, Fortran order and type of an npy stream of `size` bytes that holds exactly the numbers it claims."""
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = readers[version](stream)
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise InputError(f"the array holds {dtype}, not numbers; get the original file")
    count = math.prod(shape) if all(side >= 0 for side in shape) else -1
    if count < 0 or count * dtype.itemsize > _LARGEST_ARRAY:
        raise InputError(f"the array claims shape {shape}, over the limit of {_LARGEST_ARRAY:,} bytes; check the file")
    if stream.tell() + count * dtype.itemsize != size:
        raise InputError(f"the array claims shape {shape} of {dtype}, but has {size:,} bytes; get the file again")
    return shape, fortran, dtype


def _numbers(stream: IO[bytes], size: int) -> np.ndarray:
    shape, fortran, dtype = _header(stream, size)
    flat = np.empty(math.prod(shape), dtype)
    octets, at = flat.view(np.uint8), 0
    while at < len(octets):
        block = stream.read(min(1 << 22, len(octets) - at))
        if not block:
            raise InputError("the array breaks off; get the file again")
        octets[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    values = flat.reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "f" and not np.isfinite(values).all():
        raise NumericError("the array holds NaN or infinity; get the file again")
    values.flags.writeable = False
    return values


def _only_member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1 or not members[0].filename.endswith(".npy"):
        raise InputError(f"the npz file has {len(members)} arrays, not 1; get the original file")
    if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or members[0].flag_bits & 1:
        raise InputError("the npz file is packed in an unusual way; get the original file")
    return members[0]


def npz_shape(path: Path, mend: str) -> tuple[int, ...]:
    """The shape of the only array of an npz file, from its header alone."""

    def read() -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            info = _only_member(archive)
            with archive.open(info) as stream:
                return np.array(_header(stream, info.file_size)[0], np.int64)

    need_file(path, mend)
    return tuple(_explained(path, "an npz file", read).tolist())


def npz_array(path: Path) -> np.ndarray:
    """The only array of an npz file, read-only. The last four files stay in memory: they pack all objects together."""
    try:
        # One thread unpacks, the others wait for its array: together they would hold the file once each.
        with _UNPACKING:
            return _npz_array(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error


_UNPACKING = Lock()


@lru_cache(maxsize=4)
def _npz_array(path: Path, changed: int) -> np.ndarray:
    def read() -> np.ndarray:
        with zipfile.ZipFile(path) as archive:
            info = _only_member(archive)
            with archive.open(info) as stream:
                return _numbers(stream, info.file_size)

    return _explained(path, "an npz file", read)


def npy_array(path: Path, mend: str) -> np.ndarray:
    """The numbers of an npy file, read-only."""

    def read() -> np.ndarray:
        with path.open("rb") as stream:
            return _numbers(stream, path.stat().st_size)

    need_file(path, mend)
    return _explained(path, "an npy file", read)
