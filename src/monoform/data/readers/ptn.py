"""Perspective Transformer Nets' set (Yan 2016): 24 views a ShapeNet model at elevation 30, and voxels of 32 a side.

Layout: ``shapenetcore_ids/<synset>_{train,val,test}ids.txt`` (one 'synset/id' a line),
``shapenetcore_viewdata/<synset>/<id>/imgs/a%03d_e030.jpg`` and ``masks/`` with the same names (azimuths 15, 30 to 360: the
last, not the first, is 0), ``shapenetcore_voxdata/<synset>/<id>/model_32.mat`` with the array ``voxel``.

Camera and axes after the authors' training code, which draws the voxels: focal length sqrt(3)/2 for an image plane of side
1, the camera at sqrt(3)/2 + 1/2 from the centre of a unit cube that the box of the object fills along its longest side.
Their matrix acts on (depth, up, image right) and Torch's reader reverses MATLAB's indices, so ``voxel`` is indexed
[a, b, up], right-handed, seen at azimuth 0 from -b: PASCAL3D+'s axes. That azimuth 0 is the object's front, that the
renders have the voxels' handedness, whether the grids are solid, and what the masks' files end in could not be verified
on real files; the grids are called solid here.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.readers.layout import (
    Listed,
    filled_box,
    is_synset,
    label,
    longest_side,
    look_at_origin,
    need_file,
    need_folder,
    not_empty,
    read_id_list,
    square_intrinsics,
    v1_mesh,
)
from monoform.data.readers.matlab import mat_array
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.images import load_image, load_mask_file

FOCAL = math.sqrt(3) / 2
"""Focal length in image widths."""
DISTANCE = FOCAL + 0.5
"""From the camera to the object's centre, in longest sides of its box."""
ELEVATION_DEG = 30.0
VIEWS = 24
_GET = "get the set of Perspective Transformer Nets with its authors' prepare_data.sh and give its data folder"


@dataclass(frozen=True, eq=False)
class PTN(Listed):
    """One item a view. Without the ShapeNet folder there are no meshes, and the size comes from the voxels, to half a cell."""

    views: tuple[tuple[str, str, int], ...]
    """(synset, model, azimuth in degrees) of each item."""
    shapenet: Path | None
    name: str = "ptn"

    def load(self, index: int) -> Sample:
        """Decode one view. Raises InputError for a damaged file."""
        synset, model, azimuth = self.views[index]
        folder = self.root / "shapenetcore_viewdata" / synset / model
        image = load_image(folder / "imgs" / f"a{azimuth:03d}_e030.jpg").image
        mask = load_mask_file(_mask_path(folder, azimuth), (image.shape[0], image.shape[1]))
        file = self.root / "shapenetcore_voxdata" / synset / model / "model_32.mat"
        grid = _read_voxels(file)
        mesh = None if self.shapenet is None else v1_mesh(self.shapenet, synset, model)[0]
        longest = _longest_side(grid, file) if mesh is None else longest_side(mesh)
        R, t = _pose(azimuth)
        frame = 1 / longest, np.zeros(3)
        K = square_intrinsics(FOCAL, mask.shape)
        return Sample(self.listed[index], image, mask, R, t * longest, K, mesh, grid, "solid", frame)


def open_ptn(root: Path, *, split: str | None = None, category: str | None = None, shapenet: Path | None = None) -> PTN:
    """The set at `root`, the folder with the three ``shapenetcore_*``; `shapenet` is the root of ShapeNetCore v1.

    Raises InputError if a folder, a list or an item's folder is missing.
    """
    root = Path(root)
    lists = sorted(need_folder(root / "shapenetcore_ids", _GET).glob("*_*ids.txt"))
    items, views = [], []
    for path in lists:
        synset, part = path.stem.removesuffix("ids").split("_", 1)
        name = label(synset)
        if not is_synset(synset, category) or split not in (None, part):
            continue
        for model in read_id_list(path, _GET):
            need_folder(root / "shapenetcore_viewdata" / synset / model / "imgs", _GET)
            for k in range(1, VIEWS + 1):
                items.append(Item(f"{name}-{model}-a{15 * k:03d}", model, name, part))
                views.append((synset, model, 15 * k))
    if shapenet is not None:
        need_folder(Path(shapenet), "give the root of ShapeNetCore v1")
    listed = not_empty(items, root, split, category, _GET)
    return PTN(root, listed, tuple(views), None if shapenet is None else Path(shapenet))


def _pose(azimuth_deg: float) -> tuple[np.ndarray, np.ndarray]:
    """Pose of an object of longest side 1 in the canonical frame, where their azimuth 0 faces the front."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(ELEVATION_DEG)
    across = math.cos(elevation)
    eye = np.array([-across * math.sin(azimuth), math.sin(elevation), -across * math.cos(azimuth)])
    return look_at_origin(DISTANCE * eye)


def _mask_path(folder: Path, azimuth: int) -> Path:
    stem = folder / "masks" / f"a{azimuth:03d}_e030"
    png = stem.with_suffix(".png")
    return png if png.is_file() else need_file(stem.with_suffix(".jpg"), _GET)


def _read_voxels(path: Path) -> np.ndarray:
    """[z, y, x] of the canonical frame from MATLAB's [a, b, up]: x = -a, y = up, z = b."""
    values = mat_array(path, "voxel", _GET)
    if values.ndim != 3 or len(set(values.shape)) != 1:
        raise InputError(f"{path}: 'voxel' has shape {values.shape}, not that of a cube; get the file again")
    return np.ascontiguousarray((values > 0.5).transpose(1, 2, 0)[:, :, ::-1])


def _longest_side(grid: np.ndarray, file: Path) -> float:
    low, high = filled_box(grid, file)
    return float((high - low).max() / np.linalg.norm(high - low))
