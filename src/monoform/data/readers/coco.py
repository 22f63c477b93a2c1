"""COCO instances (Lin 2014): ``annotations/instances_<split><year>.json`` and the photos in ``<split><year>/``.

Masks are polygons or run lengths, plain and compressed. Pixel (i, j) covers [j, j + 1] x [i, i + 1] in the units of polygons
and boxes.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import need_folder, not_empty
from monoform.data.readers.photo_sets import (
    box_from_size,
    check_mask,
    finite_array,
    inside,
    load_stored,
)
from monoform.data.samples import Item, Sample
from monoform.errors import InputError, SchemaError
from monoform.files.run_length import decode_rle

_MEND = "get COCO's photos and instances_*.json from cocodataset.org and unpack them in one folder"
_LINES = 16  # sample lines in each row of pixels


@dataclass(frozen=True, eq=False)
class Coco:
    """COCO's instances opened for reading; a `Source`. `object_id` is the photo, so that splits never part it."""

    listed: tuple[Item, ...]
    records: tuple[Mapping[str, Any], ...]
    photos: tuple[Mapping[str, Any], ...]
    folders: tuple[Path, ...]
    name: str = "coco"

    def items(self) -> list[Item]:
        """One item an instance, in the order of the files; a crowd in one mask is 'difficult'."""
        return list(self.listed)

    def load(self, index: int) -> Sample:
        """The whole photo, the instance's box, and its mask, antialiased where it is given as polygons."""
        photo = self.photos[index]
        path = inside(self.folders[index], photo.get("file_name"), self.folders[index])
        image = load_stored(path)
        size_hw = image.shape[0], image.shape[1]
        if (photo.get("height"), photo.get("width")) != size_hw:
            raise InputError(f"{path}: another size than its annotation says; get the photo again")
        segmentation = self.records[index].get("segmentation")
        if isinstance(segmentation, list):
            mask = draw_polygons(segmentation, size_hw, self._name(index))
        else:
            try:
                mask = decode_rle(segmentation, size_hw).astype(np.float32)
            except SchemaError as error:
                raise SchemaError(f"{self._name(index)}: {error}") from error
        given, box = self.records[index].get("bbox"), None
        if given is not None:
            box = box_from_size(*finite_array(given, (4,), f"{self._name(index)}: its bbox"))
        return Sample(self.listed[index], image, check_mask(mask, self._name(index)), box_xyxy=box)

    def _name(self, index: int) -> str:
        return f"{self.folders[index]}: instance {self.records[index].get('id')} of {self.photos[index]['file_name']}"


def open_coco(root: Path, *, split: str | None = None, category: str | None = None, year: int | None = None) -> Coco:
    """Open COCO's instances; splits 'train' and 'val', all in the folder by default.

    category: the library's name or COCO's ('sofa' or 'couch'). year: 2014 or 2017, where the folder has both. Raises
    InputError for missing files and for annotations that do not follow COCO's schema.
    """
    root = Path(root)
    items: list[Item] = []
    records: list[Mapping[str, Any]] = []
    photos: list[Mapping[str, Any]] = []
    folders: list[Path] = []
    for path, part, of_year in _annotation_files(root, split, year):
        folder = _photo_folder(root, f"{part}{of_year}")
        for record, photo, own in _read_annotations(path):
            if not is_wanted(own, category):
                continue
            flags = frozenset({"difficult"} if record.get("iscrowd") else ())
            stem = Path(photo["file_name"]).stem
            items.append(Item(f"{stem}-{record.get('id')}", stem, library_name(own), part, flags))
            records.append(record)
            photos.append(photo)
            folders.append(folder)
    return Coco(not_empty(items, root, split, category, _MEND), tuple(records), tuple(photos), tuple(folders))


def _annotation_files(root: Path, split: str | None, year: int | None) -> list[tuple[Path, str, str]]:
    found = []
    for path in sorted(need_folder(root / "annotations", _MEND).glob("instances_*.json")):
        match = re.fullmatch(r"instances_([a-z]+)(\d{4})\.json", path.name)
        if match and split in (None, match[1]) and year in (None, int(match[2])):
            found.append((path, match[1], match[2]))
    if not found:
        wish = f"instances_{split or '*'}{year or '*'}.json"
        raise InputError(f"{root / 'annotations' / wish}: no such file; {_MEND}")
    if len({of_year for _, _, of_year in found}) > 1:
        years = " or ".join(sorted({of_year for _, _, of_year in found}))
        raise InputError(f"{root / 'annotations'}: instances of {years}, which share photos; choose one with --year")
    return found


def _photo_folder(root: Path, name: str) -> Path:
    nested = root / "images" / name
    return nested if nested.is_dir() else need_folder(root / name, _MEND)


def _read_annotations(path: Path) -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Every instance with its photo and the name of its category."""
    try:
        content = json.loads(path.read_bytes())
        photos = {photo["id"]: photo for photo in content["images"] if isinstance(photo["file_name"], str)}
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        instances = content["annotations"]
        return [(record, photos[record["image_id"]], names[record["category_id"]]) for record in instances]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:80]
        raise SchemaError(
            f"{path}: does not follow COCO's schema of instances ({cause}); get the file again"
        ) from error


# --- polygons ----------------------------------------------------------------------------------------------------


def draw_polygons(polygons: Sequence[object], size_hw: tuple[int, int], name: str) -> np.ndarray:
    """(h, w) float32 covered share of every pixel by flat lists x0, y0, x1, y1, ...; even-odd inside each of them.

    Exact along the rows, 16 sample lines across them. Raises SchemaError for a list that is no polygon.
    """
    total = np.zeros(size_hw, np.float64)
    for polygon in polygons:
        count = len(polygon) if isinstance(polygon, list) else 0
        if count < 6 or count % 2:
            raise SchemaError(f"{name}: a polygon of {count} numbers, less than 3 points; take the instance out")
        total += _even_odd_area(finite_array(polygon, (count // 2, 2), f"{name}: its polygon"), size_hw)
    return np.clip(total, 0.0, 1.0).astype(np.float32)


def _even_odd_area(points: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Every sample line is inside between its odd and its even crossings, so that signs alternate along it."""
    height, width = size_hw
    start, end = points, np.roll(points, -1, axis=0)
    low, high = np.minimum(start[:, 1], end[:, 1]) * _LINES, np.maximum(start[:, 1], end[:, 1]) * _LINES
    first = np.clip(np.ceil(low - 0.5), 0, height * _LINES).astype(np.int64)
    count = np.clip(np.ceil(high - 0.5), 0, height * _LINES).astype(np.int64) - first
    edge = np.repeat(np.arange(len(points)), count)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    share = ((line + 0.5) / _LINES - start[edge, 1]) / (end[edge, 1] - start[edge, 1])
    x = np.clip(start[edge, 0] + share * (end[edge, 0] - start[edge, 0]), 0.0, width)
    order = np.lexsort((x, line))
    line, x = line[order], x[order]
    sign = np.where(np.arange(len(x)) % 2, -1.0, 1.0)  # every line is crossed an even number of times
    column = np.minimum(x.astype(np.int64), width - 1)
    right = x - column
    cell = line // _LINES * (width + 1) + column
    size = height * (width + 1)
    area = np.bincount(cell, sign * (1.0 - right), size) + np.bincount(cell + 1, sign * right, size)
    return np.cumsum(area.reshape(height, width + 1), axis=1)[:, :width] / _LINES
