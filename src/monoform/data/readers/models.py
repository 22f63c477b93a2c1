"""Folders with a manifest.json: meshes in the canonical frame, grouped by near-duplicates, or photos with masks.

Meshes: ``{"models": [{"file", "category", "group", "suggested_split", "sha256"}, ...]}``. Photos: ``{"items": [{"image",
"mask", "category", "sequence", "touches_border", "yaw_view_deg"}, ...]}``. Files are named from the manifest's folder.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import Listed, need_file, need_folder, not_empty, refuse_repeated
from monoform.data.readers.photo_sets import finite_array, inside, load_mask
from monoform.data.samples import Item, Sample
from monoform.data.splits import SPLITS
from monoform.errors import InputError, SchemaError
from monoform.files.images import load_image
from monoform.files.meshes import load_mesh
from monoform.meshes import normalise

_MEND = "give a folder with a manifest.json that lists 'models' or 'items'"


_TEXTS = ("id", "category", "group", "sequence", "suggested_split", "sha256")


@dataclass(frozen=True, eq=False)
class Models(Listed):
    """A folder of meshes opened for reading; a `Source`. `object_id` is the group of near-duplicates."""

    records: tuple[Mapping[str, Any], ...]
    name: str = "models"

    def load(self, index: int) -> Sample:
        """The mesh, its box centred and of diagonal 1; InputError if the file is not the one of the manifest."""
        record = self.records[index]
        path = inside(self.root, record.get("file"), self.root / "manifest.json")
        mesh = normalise(load_mesh(path))[0]
        expected = record.get("sha256")
        if expected and not hashlib.sha256(path.read_bytes()).hexdigest().startswith(str(expected)):
            raise InputError(f"{path}: is not the file of the manifest (SHA-256); get it again")
        return Sample(self.listed[index], mesh=mesh)


@dataclass(frozen=True, eq=False)
class Photos(Listed):
    """A folder of photos and masks opened for reading; a `Source`. `object_id` is the film that a photo is from."""

    records: tuple[Mapping[str, Any], ...]
    name: str = "photos"

    def yaw_deg(self, index: int) -> tuple[float, float] | None:
        """Yaw as read by eye and its tolerance: 0 nose to the camera, +90 nose to image right; None where not read."""
        record, name = self.records[index], f"{self.root / 'manifest.json'}: photo {index}"
        if record.get("yaw_view_deg") is None:
            return None
        yaw = finite_array(record["yaw_view_deg"], (1,), f"{name}: its yaw_view_deg")
        tolerance = finite_array(record.get("yaw_tolerance_deg", 0), (1,), f"{name}: its yaw_tolerance_deg")
        return float(yaw[0]), float(tolerance[0])

    def load(self, index: int) -> Sample:
        """Photo and mask; R, for a level camera, where the yaw was read (then 'coarse' is among the flags)."""
        record, source = self.records[index], self.root / "manifest.json"
        photo = load_image(inside(self.root, record.get("image"), source))
        mask = load_mask(inside(self.root, record.get("mask"), source), photo.size_hw)
        yaw = self.yaw_deg(index)
        return Sample(self.listed[index], photo.image, mask, R=None if yaw is None else _level_rotation(yaw[0]))


def open_models(root: Path, *, split: str | None = None, category: str | None = None) -> Models | Photos:
    """Open a folder with a manifest.json, of meshes or of photos.

    Raises InputError if the manifest is missing or damaged, or names a file that is not there.
    """
    root = need_folder(Path(root), _MEND)
    path = need_file(root / "manifest.json", _MEND)
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise SchemaError(f"{path}: no valid JSON ({str(error)[:80]}); {_MEND}") from error
    key = next((key for key in ("models", "items") if isinstance(content, dict) and key in content), None)
    if key is None or not isinstance(content[key], list) or not all(isinstance(row, dict) for row in content[key]):
        raise SchemaError(f"{path}: lists neither 'models' nor 'items'; {_MEND}")
    file, make = ("file", _model_item) if key == "models" else ("image", _photo_item)
    records, items, files, taken = [], [], [], {}
    for number, record in enumerate(content[key]):
        found = need_file(inside(root, record.get(file), path), "get the set again, or take it out of manifest.json")
        _refuse_other_types(record, f"{path}: entry {number}")
        item = make(record)
        if taken.setdefault(item.id.casefold(), item.id) != item.id:
            # Chair.glb and chair.glb: a set of both must not become one file on a disk that does not tell them apart.
            item = replace(item, id=f"{item.id}-{number}")
        if is_wanted(item.category, category) and split in (None, item.split):
            records.append(record)
            items.append(item)
            files.append(found)
    refuse_repeated(items, files)
    listed = not_empty(items, path, split, category, _MEND)
    return Models(root, listed, tuple(records)) if key == "models" else Photos(root, listed, tuple(records))


def _refuse_other_types(record: Mapping[str, Any], name: str) -> None:
    for key in _TEXTS:
        if not isinstance(record.get(key, ""), str):
            raise SchemaError(f"{name}: its {key} is no text; mend the manifest")
    if record.get("suggested_split", "") not in ("", *SPLITS):
        raise SchemaError(f"{name}: its suggested_split is none of {', '.join(SPLITS)}; mend the manifest")


def _model_item(record: Mapping[str, Any]) -> Item:
    name = str(record.get("id") or Path(record["file"]).with_suffix("")).replace("/", "-")
    group = (record.get("group") or name).replace("/", "-")
    return Item(name, group, library_name(record.get("category", "")), record.get("suggested_split", ""))


def _photo_item(record: Mapping[str, Any]) -> Item:
    name = Path(record["image"]).stem
    item = Item(name, record.get("sequence") or name, library_name(record.get("category", "")))
    flags = {"truncated"} if record.get("touches_border") else set()
    return replace(item, flags=frozenset(flags | ({"coarse"} if record.get("yaw_view_deg") is not None else set())))


def _level_rotation(yaw_deg: float) -> np.ndarray:
    """(3, 3) canonical object -> OpenCV camera at elevation 0. Azimuth is -yaw: azimuth 90 shows the nose to the left."""
    c, s = np.cos(np.deg2rad(yaw_deg)), np.sin(np.deg2rad(yaw_deg))
    return np.diag([-1.0, -1.0, 1.0]) @ np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
