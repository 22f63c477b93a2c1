"""CUB-200-2011 (Wah 2011): photos of birds with boxes, parts and masks.

Folder CUB_200_2011: images.txt, images, bounding_boxes.txt, train_test_split.txt, parts; and ``segmentations`` (a download of
its own) inside it or beside it, grey levels of how many of five annotators marked the pixel. Boxes and parts are taken as
they stand, in pixels from the image's corner: whether the set counts from 0 or from 1 could not be verified.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.readers.layout import need_file, need_folder, not_empty, read_lines
from monoform.data.readers.photo_sets import box_from_size, finite_array, inside, load_mask, load_stored, missing_split
from monoform.data.samples import Item, Sample
from monoform.errors import InputError, SchemaError

SPLITS = ("train", "test")
_BIRD = "bird"
_MEND = "get CUB_200_2011 from www.vision.caltech.edu/datasets/cub_200_2011 and give that folder"


@dataclass(frozen=True, eq=False)
class Cub:
    """CUB-200-2011 opened for reading; a `Source`. Every photo is another bird."""

    root: Path
    listed: tuple[Item, ...]
    photos: tuple[str, ...]
    boxes_xyxy: tuple[np.ndarray, ...]
    parts: tuple[Mapping[str, np.ndarray], ...]
    masks: Path | None
    name: str = "cub"

    def items(self) -> list[Item]:
        """One item a photo, in the order of images.txt, all of category 'bird'."""
        return list(self.listed)

    def species(self, index: int) -> str:
        """'001.Black_footed_Albatross'."""
        return self.photos[index].split("/")[0]

    def load(self, index: int) -> Sample:
        """The whole photo, the bird's box, the visible parts in pixels, and the mask where segmentations were unpacked."""
        image = load_stored(inside(self.root / "images", self.photos[index], self.root / "images.txt"))
        mask = None
        if self.masks is not None:
            path = (self.masks / self.photos[index]).with_suffix(".png")
            mask = load_mask(need_file(path, _MEND), (image.shape[0], image.shape[1]))
        box, points = self.boxes_xyxy[index], dict(self.parts[index])
        return Sample(self.listed[index], image, mask, box_xyxy=box, keypoints=points)


def open_cub(root: Path, *, split: str | None = None, category: str | None = None) -> Cub:
    """Open CUB-200-2011; splits 'train' and 'test'. category: 'bird', or a species as its folder is named.

    Raises InputError for a missing list, and for a row of one that is not what it should be.
    """
    root = Path(root)
    if split not in (None, *SPLITS):
        raise missing_split("CUB-200-2011", str(split), SPLITS)
    photos = {row[0]: row[1] for row in _rows(root / "images.txt", 2)}
    splits = {row[0]: "train" if row[1] == "1" else "test" for row in _rows(root / "train_test_split.txt", 2)}
    boxes = {}
    for row in _rows(root / "bounding_boxes.txt", 5):
        boxes[row[0]] = box_from_size(*finite_array(row[1:], (4,), f"{root / 'bounding_boxes.txt'}: box {row[0]}"))
    parts = _read_parts(root, photos)
    need_folder(root / "images", _MEND)
    kept = [
        key
        for key, path in photos.items()
        if split in (None, splits.get(key)) and category in (None, _BIRD, path.split("/")[0])
    ]
    if any(key not in boxes or key not in splits for key in kept):
        raise InputError(f"{root}: bounding_boxes.txt or train_test_split.txt lacks photos of images.txt; {_MEND}")
    stems = [Path(photos[key]).stem for key in kept]
    items = (Item(stem, stem, _BIRD, splits[key]) for stem, key in zip(stems, kept, strict=True))
    masks = next((path for path in (root / "segmentations", root.parent / "segmentations") if path.is_dir()), None)
    return Cub(
        root,
        not_empty(items, root, split, category, _MEND),
        tuple(photos[key] for key in kept),
        tuple(boxes[key] for key in kept),
        tuple(parts.get(key, {}) for key in kept),
        masks,
    )


def _rows(path: Path, columns: int) -> list[list[str]]:
    rows = [line.split(maxsplit=columns - 1) for line in read_lines(path, _MEND)]
    for number, row in enumerate(rows, start=1):
        if len(row) != columns:
            raise SchemaError(f"{path}: row {number} has {len(row)} of {columns} columns; unpack the set again")
    return rows


def _read_parts(root: Path, photos: Mapping[str, str]) -> dict[str, dict[str, np.ndarray]]:
    """Photo to its visible parts."""
    names = {row[0]: row[1].replace(" ", "_") for row in _rows(root / "parts" / "parts.txt", 2)}
    path = root / "parts" / "part_locs.txt"
    found: dict[str, dict[str, np.ndarray]] = {key: {} for key in photos}
    for photo, part, x, y, visible in _rows(path, 5):
        if photo not in found or part not in names:
            raise SchemaError(f"{path}: names photo {photo} or part {part}, which are not listed; unpack the set again")
        if visible == "1":
            found[photo][names[part]] = finite_array((x, y), (2,), f"{path}: part {part} of photo {photo}")
    return found
