"""The renders of DRC (Tulsiani 2017) and MVC (Tulsiani 2018): random views of ShapeNetCore v1, and hollow voxels.

Layout: ``blenderRenderPreprocess/<synset>/<model>/render_%d.png`` (RGBA, 224 px), ``depth_%d.png`` (16 bits: 0 to 10 units,
10 is background), ``camera_%d.mat`` (``K``, ``extrinsic`` 4 x 4), and ``shapenet/modelVoxels/<synset>/<model>.mat``
(``Volume``, 32 a side), after the authors' preprocessing and loading code. The extrinsic takes Blender's world, where the
imported OBJ is (x, -z, y), to an OpenCV camera; depth is along the camera's axis. ``Volume`` is indexed [x, y, z] of the OBJ,
in its native scale about the origin, and is the surface alone. Both are turned here as the models are (`layout.V1_TURN`).

The authors' split is a permutation in Torch's own serialised format. Write it as ``splits/<synset>_{train,val,test}.txt``
in the root, one model a line.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from monoform.data.readers.layout import (
    V1_TURN,
    Listed,
    label,
    load_render,
    need_folder,
    not_empty,
    pose_of_unit_mesh,
    read_id_list,
    synsets_in,
    v1_grid,
    v1_mesh,
)
from monoform.data.readers.matlab import mat_array
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.meshes import Similarity

FARTHEST = 10.0
"""Depth in ShapeNet's units that 65535 stands for, which is background."""
_GET = (
    "render the set with the preprocessing of DRC or MVC (github.com/shubhtuls/drc, mvcSnP) and give its cache folder"
)
_BLENDER_FROM_OBJ = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class MVC(Listed):
    """One item a view. Without the ShapeNet folder there are no meshes, and models count as ShapeNet made them (diagonal 1)."""

    views: tuple[tuple[str, str, int], ...]
    """(synset, model, view) of each item."""
    shapenet: Path | None
    name: str = "mvc"

    def load(self, index: int) -> Sample:
        """Decode one view. Raises InputError for a damaged file."""
        synset, model, view = self.views[index]
        folder = self.root / "blenderRenderPreprocess" / synset / model
        image, mask = load_render(folder / f"render_{view}.png")
        R, t, K = _read_camera(folder / f"camera_{view}.mat")
        mesh, unit = None, Similarity(1.0, np.zeros(3))
        if self.shapenet is not None:
            mesh, unit = v1_mesh(self.shapenet, synset, model)
        depth = _read_depth(folder / f"depth_{view}.png", mask.shape, unit.scale)
        grid = _read_volume(self.root / "shapenet" / "modelVoxels" / synset / f"{model}.mat")
        back = unit.inverse()
        kind, frame = ("", None) if grid is None else ("shell", (back.scale, back.offset))
        t = pose_of_unit_mesh(R, t, unit)
        return Sample(self.listed[index], image, mask, R, t, K, mesh, grid, kind, frame, depth)


def open_mvc(root: Path, *, split: str | None = None, category: str | None = None, shapenet: Path | None = None) -> MVC:
    """The set at `root`, the authors' cache folder; `shapenet` is the root of ShapeNetCore v1, where the meshes are.

    Raises InputError if a folder or an asked-for split is missing.
    """
    root = Path(root)
    items, views = [], []
    for folder in synsets_in(root / "blenderRenderPreprocess", category, _GET):
        name, splits = label(folder.name), _read_splits(root, folder.name)
        if split is not None and not splits:
            raise InputError(f"{root / 'splits'}: no list {folder.name}_{split}.txt; write the split there as text")
        for path in sorted(folder.iterdir()):
            part = splits.get(path.name, "")
            if not path.is_dir() or split not in (None, part):
                continue
            pictures = (file.stem.removeprefix("render_") for file in path.glob("render_*.png"))
            for view in sorted(int(number) for number in pictures if number.isdecimal()):
                items.append(Item(f"{name}-{path.name}-{view:02d}", path.name, name, part))
                views.append((folder.name, path.name, view))
    if shapenet is not None:
        need_folder(Path(shapenet), "give the root of ShapeNetCore v1")
    listed = not_empty(items, root, split, category, _GET)
    return MVC(root, listed, tuple(views), None if shapenet is None else Path(shapenet))


def _read_splits(root: Path, synset: str) -> dict[str, str]:
    files = {part: root / "splits" / f"{synset}_{part}.txt" for part in _SPLITS}
    return {model: part for part, path in files.items() if path.is_file() for model in read_id_list(path, _GET)}


def _read_camera(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R and t from the canonical axes, and K; checked to be a camera that does not mirror."""
    K, extrinsic = mat_array(path, "K", _GET), mat_array(path, "extrinsic", _GET)
    if K.shape != (3, 3) or extrinsic.shape != (4, 4):
        raise InputError(f"{path}: K has shape {K.shape}, extrinsic {extrinsic.shape}; get the file again")
    R = extrinsic[:3, :3]
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0 or min(K[0, 0], K[1, 1]) <= 0:
        raise InputError(f"{path}: its matrices are no rotation or no intrinsics; get the file again")
    return R @ _BLENDER_FROM_OBJ @ V1_TURN.T, extrinsic[:3, 3], K


def _read_depth(path: Path, size_hw: tuple[int, ...], unit: float) -> np.ndarray | None:
    """(h, w) float32 in box diagonals, inf for the background; None where the file is missing."""
    if not path.is_file():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.size[::-1] != size_hw or not picture.mode.startswith("I"):
                raise InputError(f"{path}: not 16-bit grey of the render's size; get the file again")
            values = np.asarray(picture, np.float32)
    except InputError:
        raise
    except Exception as error:
        # Pillow raises nearly anything on damaged bytes.
        raise InputError(f"{path}: a damaged or incomplete PNG; get the file again") from error
    depth = np.where(values >= 65535, np.float32(np.inf), values * np.float32(unit * FARTHEST / 65535))
    return depth.astype(np.float32)


def _read_volume(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    values = mat_array(path, "Volume", _GET)
    if values.ndim != 3 or len(set(values.shape)) != 1:
        raise InputError(f"{path}: 'Volume' has shape {values.shape}, not that of a cube; get the file again")
    return v1_grid(values > 0.5)
