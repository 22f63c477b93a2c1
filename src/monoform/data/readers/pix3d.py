"""Pix3D (Sun 2018): photos with the exact mesh, its pose, and a mask. Folder: ``pix3d.json``, img, mask, model.

The record's camera stands at the origin: ``x = rot_mat @ x_file + trans_mat`` with +x left, +y up, +z forward, and
``(u, v) = (w, h) / 2 - f (x, y) / z``, f in pixels = focal_length / 32 mm of sensor * w. Meshes have y up and, in the
canonical view, +x left and +z away from the camera: the front is -z, as ours. Voxels are [x, -z, y] of the mesh. Boxes are
taken for edges: whether their last column and row are the object's or the first beyond it could not be verified.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import frame_of_mesh, need_file, not_empty
from monoform.data.readers.matlab import mat_array
from monoform.data.readers.photo_sets import (
    Axes,
    finite_array,
    inside,
    load_canonical,
    load_mask,
    load_stored,
    missing_split,
)
from monoform.data.samples import Item, Sample
from monoform.errors import InputError, SchemaError

_AXES: Axes = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_SENSOR_MM = 32.0
_NOT_ORTHONORMAL = 1e-3
_MEND = "get Pix3D from pix3d.csail.mit.edu and unpack it"


@dataclass(frozen=True, eq=False)
class Pix3D:
    """Pix3D opened for reading; a `Source`. `object_id` is the CAD model, so that splits never part its photos."""

    root: Path
    listed: tuple[Item, ...]
    records: tuple[Mapping[str, Any], ...]
    name: str = "pix3d"

    def items(self) -> list[Item]:
        """One item a photo, in the order of pix3d.json; slightly occluded ones count as 'occluded'."""
        return list(self.listed)

    def load(self, index: int) -> Sample:
        """Photo, mask, box, mesh, pose, voxels where their file is there, and the annotators' mean keypoints in pixels."""
        record, source = self.records[index], self.root / "pix3d.json"
        image = load_stored(inside(self.root, record.get("img"), source))
        height, width = image.shape[:2]
        stored = finite_array(record.get("img_size"), (2,), f"{self._name(index)}: its img_size")
        if (stored != (width, height)).any():
            raise InputError(
                f"{self._name(index)}: is {width} x {height} pixels, not {stored[0]:g} x {stored[1]:g}; unpack it again"
            )
        mask = load_mask(inside(self.root, record.get("mask"), source), (height, width))
        model = load_canonical(inside(self.root, record.get("model"), source), _AXES)
        R, t = model.pose(*self._pose(index))
        voxels, kind, frame = None, "", None
        path = inside(self.root, record["voxel"], source) if record.get("voxel") else None
        if path is not None and path.is_file():
            voxels, kind = _voxels(path)
            frame = frame_of_mesh(model.mesh, voxels, path)
        K = self._intrinsics(index, width, height)
        shape = model.mesh, voxels, kind, frame
        box = finite_array(record.get("bbox"), (4,), f"{self._name(index)}: its bbox")
        points = self._keypoints(index)
        return Sample(self.listed[index], image, mask, R, t, K, *shape, box_xyxy=box, keypoints=points)

    def _name(self, index: int) -> str:
        return f"{self.root / 'pix3d.json'}: photo {str(self.records[index].get('img'))[:60]}"

    def _pose(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """File frame -> OpenCV camera."""
        record, name = self.records[index], self._name(index)
        R = finite_array(record.get("rot_mat"), (3, 3), f"{name}: its rot_mat")
        t = finite_array(record.get("trans_mat"), (3,), f"{name}: its trans_mat")
        if np.abs(R @ R.T - np.eye(3)).max() > _NOT_ORTHONORMAL or np.linalg.det(R) < 0:
            raise InputError(f"{name}: its rot_mat is no rotation; unpack the set again")
        u, _, v = np.linalg.svd(R)  # the file has few digits
        to_opencv = np.diag([-1.0, -1.0, 1.0])
        return to_opencv @ u @ v, to_opencv @ t

    def _intrinsics(self, index: int, width: int, height: int) -> np.ndarray:
        name = f"{self._name(index)}: its focal_length"
        focal_mm = float(finite_array(self.records[index].get("focal_length"), (1,), name)[0])
        if focal_mm <= 0.0:
            raise InputError(f"{name} is {focal_mm:g}; unpack the set again")
        f = focal_mm / _SENSOR_MM * width
        return np.array([[f, 0.0, width / 2], [0.0, f, height / 2], [0.0, 0.0, 1.0]])

    def _keypoints(self, index: int) -> dict[str, np.ndarray]:
        """Names '00', '01', ... in the order of the model's keypoints; (-1, -1) says that an annotator saw it not."""
        given = self.records[index].get("2d_keypoints")
        if not given:
            return {}
        shape = (len(given), len(given[0]), 2) if isinstance(given, list) and isinstance(given[0], list) else (1, 1, 2)
        points = finite_array(given, shape, f"{self._name(index)}: its 2d_keypoints")
        seen = np.all(points >= 0.0, axis=-1)
        return {f"{k:02d}": points[seen[:, k], k].mean(0) for k in range(shape[1]) if np.any(seen[:, k])}


def open_pix3d(root: Path, *, split: str | None = None, category: str | None = None) -> Pix3D:
    """Open Pix3D; it has no splits of its own. Raises InputError if pix3d.json is missing or damaged."""
    root = Path(root)
    path = need_file(root / "pix3d.json", _MEND)
    if split is not None:
        raise missing_split("Pix3D", split, ())
    try:
        records = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: no valid JSON ({str(error)[:80]}); unpack the set again") from error
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise SchemaError(f"{path}: is not a list of records; unpack the set again")
    kept = [record for record in records if is_wanted(str(record.get("category")), category)]
    items = not_empty(map(_item, kept), path, split, category, _MEND)
    return Pix3D(root, items, tuple(kept))


def _item(record: Mapping[str, Any]) -> Item:
    category = library_name(str(record.get("category")))
    model = PurePosixPath(str(record.get("model"))).parent.name
    occluded = record.get("occluded") or record.get("slightly_occluded")
    flags = {"truncated": record.get("truncated"), "occluded": occluded}
    stem = PurePosixPath(str(record.get("img"))).stem
    return Item(f"{category}-{stem}", f"{category}-{model}", category, "", frozenset(k for k, v in flags.items() if v))


@lru_cache(maxsize=16)
def _voxels(path: Path) -> tuple[np.ndarray, str]:
    """Grid [z, y, x] in the axes of the mesh, read-only, and its kind."""
    stored = mat_array(path, "voxel", _MEND)
    if stored.ndim != 3 or len(set(stored.shape)) != 1:
        raise InputError(f"{path}: a grid of shape {stored.shape}, not a cube; unpack the set again")
    grid = np.ascontiguousarray(stored.transpose(1, 2, 0)[::-1] > 0)
    grid.flags.writeable = False
    return grid, _kind(grid)


def _kind(grid: np.ndarray) -> str:
    """'solid' if a cell lies more than two steps from every empty one: a voxelised surface has none."""
    inner = np.pad(grid, 1)
    for _ in range(3):
        for axis in range(3):
            inner = inner & np.roll(inner, 1, axis) & np.roll(inner, -1, axis)
    return "solid" if inner.any() else "shell"
