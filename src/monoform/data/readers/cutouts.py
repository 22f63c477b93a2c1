"""A folder of cut-out photos: the format for a category of one's own.

Either pictures with a transparent background, or a folder ``images`` and a folder ``masks`` with a picture of the same stem
(white on black, or a COCO run-length .json). Either may be parted into ``train``, ``val`` and ``test``:

    mugs/red__front.png  mugs/red__side.png  mugs/blue.png
    mugs/train/images/red__front.jpg  mugs/train/masks/red__front.png  mugs/val/images/...

What stands before ``__`` is the object; its photos belong in one split. The folder's name is the category.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from monoform.data.categories import library_name
from monoform.data.readers.layout import Listed, need_folder, not_empty, refuse_repeated
from monoform.data.readers.photo_sets import PICTURES, check_mask, load_mask
from monoform.data.samples import Item, Sample
from monoform.data.splits import SPLITS
from monoform.errors import InputError
from monoform.files.images import load_image

_MASKS = (".png", ".json", *PICTURES)
_MEND = "put PNG pictures with a transparent background in it, or photos in 'images' and their masks in 'masks'"


@dataclass(frozen=True, eq=False)
class Cutouts(Listed):
    """A folder of cut-outs opened for reading; a `Source`."""

    paths: tuple[tuple[Path, Path | None], ...]
    """Photo and mask; None where the photo's own transparency is the mask."""
    name: str = "cutouts"

    def load(self, index: int) -> Sample:
        """Photo (a transparent one on white) and mask."""
        path, mask_path = self.paths[index]
        photo = load_image(path)
        if mask_path is not None:
            return Sample(self.listed[index], photo.image, load_mask(mask_path, photo.size_hw))
        if photo.alpha is None:
            raise InputError(f"{path}: has no transparent background; cut it out, or put its mask in a folder 'masks'")
        return Sample(self.listed[index], photo.image, check_mask(photo.alpha, path))


def open_cutouts(root: Path, *, split: str | None = None, category: str | None = None) -> Cutouts:
    """Open a folder of cut-outs. split: 'train', 'val' or 'test', if it has these sub-folders.

    category: what to call the items, by default the folder's name. Raises InputError for an empty folder, for photos
    without a mask and masks without a photo, and for two photos that would share a name.
    """
    root = need_folder(Path(root), _MEND)
    parts = [(name, root / name) for name in SPLITS if (root / name).is_dir()]
    if split is not None and split not in dict(parts):
        raise InputError(f"{root / split}: no such folder; make it, or leave the split out")
    label = library_name(category or root.resolve().name)
    items, paths = [], []
    for own, folder in parts or [("", root)]:
        if split in (None, own):
            for path, mask in _pairs(folder):
                object_id = f"{label}-{path.stem.split('__')[0]}"
                items.append(Item(f"{label}-{path.stem}", object_id, label, own))
                paths.append((path, mask))
    refuse_repeated(items, [path for path, _ in paths])
    return Cutouts(root, not_empty(items, root, split, None, _MEND), tuple(paths))


def _pairs(folder: Path) -> Iterator[tuple[Path, Path | None]]:
    """Photos of a folder in order of their names, each with its mask file if the masks are files."""
    if not (folder / "images").is_dir():
        yield from ((path, None) for path in _files(folder, PICTURES))
        return
    masks = {path.stem: path for path in _files(need_folder(folder / "masks", _MEND), _MASKS)}
    photos = _files(folder / "images", PICTURES)
    for path in photos:
        if path.stem not in masks:
            raise InputError(f"{path}: no mask {folder / 'masks' / path.stem}.png; make it, or take the photo out")
        yield path, masks[path.stem]
    alone = sorted(masks.keys() - {path.stem for path in photos})
    if alone:
        raise InputError(f"{masks[alone[0]]}: no photo of that name in 'images'; add it, or take the mask out")


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
