"""Neural Mesh Renderer's packed ShapeNet views (Kato 2018), which SoftRas and others use, and SoftRas's own views of a plane.

`open_nmr`: ``<synset>_{train,val,test}_images.npz`` (one array (n, 24, 4, 64, 64) uint8) and ``..._voxels.npz``
((n, 32, 32, 32) bool). The pictures are true: view k was taken of the ShapeNet OBJ at
``2.732 (cos a cos e, sin e, sin a cos e)``, a = 15 k and e = 30 degrees, lengths in longest sides of its centred box. What is
mirrored is their meshes and their `look_at`; neither is in the files. Voxels are indexed [Y, -Z, X] of the OBJ and hold it
at 31/32 of the grid. Both are turned here as the models are (`layout.V1_TURN`).
Colours were put on white and stored as 255 minus the value, after the published builder of the set; that the released files
are inverted too, that their voxels are solid, and the voxels' order could not be verified on real files.

`open_softras`: ``source.npy`` ((n, 4, h, w) uint8), ``camera.npy`` ((n, 3): distance, elevation, azimuth in degrees), an OBJ.
The mesh is a mirror image: its x is negated here and its faces turned, and then their azimuth is the canonical one.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.categories import library_name
from monoform.data.readers.layout import (
    SYNSETS,
    Listed,
    blender_orbit,
    filled_box,
    is_synset,
    label,
    longest_side,
    look_at_origin,
    need_file,
    need_folder,
    not_empty,
    npy_array,
    npz_array,
    npz_shape,
    pose_of_unit_mesh,
    read_id_list,
    square_intrinsics,
    v1_grid,
    v1_mesh,
)
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh, normalise

DISTANCE = 2.732
ELEVATION_DEG = 30.0
VIEWS = 24
VOXEL_SCALE = 31 / 32
"""Side of the cube around the object in sides of the voxel grid."""
FOCAL = 0.5 / math.tan(math.radians(15))
"""Focal length in image widths: their 'viewing_angle' of 15 degrees is half the angle of view."""
_GET = "get the NMR ShapeNet set (download_dataset.sh of mesh_reconstruction or SoftRas) and give the folder of its npz files"
_GET_PLANE = "get SoftRas's data/source.npy, data/camera.npy and the OBJ that they show"


@dataclass(frozen=True, eq=False)
class NMR(Listed):
    """One item a view. Without the ShapeNet folder there are no meshes, and the size comes from the voxels, to half a cell.

    A file packs all objects of a split, so it is unpacked as a whole, and kept until another is asked for: shuffle within
    a category, or give every worker its own.
    """

    views: tuple[tuple[str, str, int, int], ...]
    """(synset, split, row, view) of each item."""
    models: dict[tuple[str, str], list[str]]
    """ShapeNet's ids of the rows of a file, where their list is there."""
    shapenet: Path | None
    inverted: bool
    name: str = "nmr"

    def load(self, index: int) -> Sample:
        """Decode one view. Raises InputError for a damaged file."""
        synset, part, row, view = self.views[index]
        values = npz_array(self.root / f"{synset}_{part}_images.npz")[row, view]
        file = self.root / f"{synset}_{part}_voxels.npz"
        voxels = npz_array(file)[row] > 0
        grid = v1_grid(voxels.transpose(2, 0, 1)[:, :, ::-1])
        mesh = None
        if self.shapenet is not None:
            mesh = v1_mesh(self.shapenet, synset, self.models[synset, part][row])[0]
        longest = _longest_side(grid, file) if mesh is None else longest_side(mesh)
        R, t = blender_orbit(15.0 * view, ELEVATION_DEG, DISTANCE * longest)
        colours = np.ascontiguousarray(values[:3].transpose(1, 2, 0))
        mask = values[3].astype(np.float32) / np.float32(255)
        image = 255 - colours if self.inverted else colours.copy()
        frame = VOXEL_SCALE / longest, np.zeros(3)
        K = square_intrinsics(FOCAL, mask.shape)
        return Sample(self.listed[index], image, mask, R, t, K, mesh, grid, "solid", frame)


@dataclass(frozen=True, eq=False)
class SoftRasViews(Listed):
    """SoftRas's views of one object."""

    mesh: Mesh
    """Unmirrored, in the canonical frame."""
    pictures: np.ndarray
    """(n, 4, h, w) uint8."""
    poses: tuple[tuple[np.ndarray, np.ndarray], ...]
    """R and t of each view, in box diagonals."""
    name: str = "softras"

    def load(self, index: int) -> Sample:
        """One view, its colours on white."""
        values = self.pictures[index]
        mask = values[3].astype(np.float32) / np.float32(255)
        image = np.rint(255 + (values[:3].transpose(1, 2, 0).astype(np.float32) - 255) * mask[..., None])
        R, t = self.poses[index]
        K = square_intrinsics(FOCAL, mask.shape)
        return Sample(self.listed[index], image.astype(np.uint8), mask, R, t, K, self.mesh)


def open_nmr(
    root: Path,
    *,
    split: str | None = None,
    category: str | None = None,
    shapenet: Path | None = None,
    inverted: bool = True,
) -> NMR:
    """The npz files in `root`. inverted: whether colours are stored as 255 minus the value, see above.

    With `shapenet`, the root of ShapeNetCore v1, samples have meshes; the rows' ids are then read from
    ``<synset>_{train,val,test}ids.txt`` in the root or its folder ``shapenetcore_ids`` (the lists of Perspective Transformer
    Nets). Raises InputError if a file is missing or its array has another shape.
    """
    root = Path(root)
    items, views, models = [], [], {}
    for path in sorted(need_folder(root, _GET).glob("*_*_images.npz")):
        synset, part = path.name.removesuffix("_images.npz").split("_", 1)
        name = label(synset)
        if synset not in SYNSETS or not is_synset(synset, category) or split not in (None, part):
            continue
        rows = _check_shapes(path, root / f"{synset}_{part}_voxels.npz")
        ids = _read_ids(root, synset, part, rows, shapenet is not None)
        models[synset, part] = ids
        for row, model in enumerate(ids):
            for view in range(VIEWS):
                items.append(Item(f"{name}-{model}-{view:02d}", model, name, part))
                views.append((synset, part, row, view))
    if shapenet is not None:
        need_folder(Path(shapenet), "give the root of ShapeNetCore v1")
    listed = not_empty(items, root, split, category, _GET)
    return NMR(root, listed, tuple(views), models, None if shapenet is None else Path(shapenet), inverted)


def open_softras(root: Path, *, split: str | None = None, category: str | None = None) -> SoftRasViews:
    """SoftRas's example views in `root`, which holds one OBJ; `category` names the object. There are no splits.

    Raises InputError if a file is missing, or pictures and cameras do not fit each other.
    """
    root = Path(root)
    pictures, cameras = npy_array(root / "source.npy", _GET_PLANE), npy_array(root / "camera.npy", _GET_PLANE)
    if pictures.ndim != 4 or pictures.shape[1] != 4 or pictures.dtype != np.uint8:
        what = f"{pictures.dtype} of shape {pictures.shape}, not uint8 (n, 4, h, w)"
        raise InputError(f"{root / 'source.npy'}: {what}; {_GET_PLANE}")
    if cameras.shape != (len(pictures), 3):
        raise InputError(f"{root / 'camera.npy'}: shape {cameras.shape}, not ({len(pictures)}, 3); {_GET_PLANE}")
    if (cameras[:, 0] <= 0).any() or (np.abs(cameras[:, 1]) >= 90).any():
        raise InputError(f"{root / 'camera.npy'}: distances or elevations that no camera has; {_GET_PLANE}")
    meshes = sorted(root.glob("*.obj"))
    if len(meshes) != 1:
        raise InputError(f"{root}: {len(meshes)} OBJ files, not 1; {_GET_PLANE}")
    stored = load_mesh(meshes[0])
    mesh, unit = normalise(Mesh(stored.vertices * [-1.0, 1.0, 1.0], stored.faces[:, ::-1], stored.colours))
    poses = []
    for distance, elevation, azimuth in cameras * [1.0, math.pi / 180, math.pi / 180]:
        across = math.cos(elevation)
        eye = np.array([-across * math.sin(azimuth), math.sin(elevation), -across * math.cos(azimuth)])
        R, t = look_at_origin(distance * eye)
        poses.append((R, pose_of_unit_mesh(R, t, unit)))
    name, what = library_name(category or ""), meshes[0].stem
    items = (Item(f"{what}-{i:03d}", what, name) for i in range(len(pictures)))
    return SoftRasViews(root, not_empty(items, root, split, category, _GET_PLANE), mesh, pictures, tuple(poses))


def _check_shapes(images: Path, voxels: Path) -> int:
    """Number of objects in a pair of files."""
    shape, cells = npz_shape(images, _GET), npz_shape(voxels, _GET)
    if len(shape) != 5 or shape[1:3] != (VIEWS, 4) or shape[3] != shape[4] or shape[3] == 0:
        raise InputError(f"{images}: an array of shape {shape}, not (n, 24, 4, 64, 64); {_GET}")
    if len(cells) != 4 or len(set(cells[1:])) != 1 or cells[0] != shape[0]:
        raise InputError(f"{voxels}: an array of shape {cells}, not ({shape[0]}, 32, 32, 32); {_GET}")
    return shape[0]


def _read_ids(root: Path, synset: str, part: str, rows: int, wanted: bool) -> list[str]:
    """ShapeNet's ids of the rows, or 'train00042' without their list."""
    name = f"{synset}_{part}ids.txt"
    path = root / name if (root / name).is_file() else root / "shapenetcore_ids" / name
    if not path.is_file() and not wanted:
        return [f"{part}{row:05d}" for row in range(rows)]
    ids = read_id_list(need_file(path, "save the lists of Perspective Transformer Nets there"), _GET)
    if len(ids) != rows:
        raise InputError(f"{path}: names {len(ids)} objects, the npz file has {rows}; get the list of this set")
    return ids


def _longest_side(grid: np.ndarray, file: Path) -> float:
    """Of the canonical object, from its voxels, which are about one cell wider than the object on every axis."""
    low, high = filled_box(grid, file)
    sides = np.maximum(high - low - 1 / len(grid), 1 / len(grid))
    return float(sides.max() / np.linalg.norm(sides))
