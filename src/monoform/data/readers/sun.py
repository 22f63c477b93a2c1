"""SUN (Xiao 2010), or any folder of photos in sub-folders, as backgrounds: pictures without objects, masks or cameras.

SUN397: ``a/abbey/sun_....jpg`` and, if they are there, the lists Training_01.txt and Testing_01.txt beside it or in Partitions.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from monoform.data.readers.layout import Listed, need_folder, not_empty, read_lines, refuse_repeated
from monoform.data.readers.photo_sets import PICTURES
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.images import load_image

_LISTS = {"train": "Training_01.txt", "test": "Testing_01.txt"}
_MEND = "get SUN397 from vision.princeton.edu/projects/2010/SUN, or give any folder of photos"


@dataclass(frozen=True, eq=False)
class Sun(Listed):
    """Background photos opened for reading; a `Source`. Items have no category: nothing in them is the object."""

    paths: tuple[Path, ...]
    name: str = "sun"

    def load(self, index: int) -> Sample:
        """The photo, upright."""
        return Sample(self.listed[index], load_image(self.paths[index]).image)


def open_sun(root: Path, *, split: str | None = None, category: str | None = None) -> Sun:
    """Open a folder of background photos. category: a scene, as its folder is named ('abbey' or 'a/abbey').

    split: 'train' or 'test' of SUN397's first partition, which names part of the photos. Raises InputError for an empty
    folder, a missing list, and two photos whose folders and names make one id.
    """
    root = need_folder(Path(root), _MEND)
    splits = _splits(root, split)
    items, paths = [], []
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in sorted(files):
            path = Path(folder) / file
            relative = path.relative_to(root)
            own = splits.get(relative.as_posix(), "")
            scene = relative.parent.as_posix()
            if path.suffix.lower() not in PICTURES or split not in (None, own):
                continue
            if category is None or f"/{scene}/".find(f"/{category}/") >= 0:
                name = relative.with_suffix("").as_posix().replace("/", "-")
                items.append(Item(name, name, "", own))
                paths.append(path)
    refuse_repeated(items, paths)
    if category is not None and not items:
        raise InputError(f"{root}: no photo of the scene '{category}'; name a folder in it, such as 'abbey'")
    return Sun(root, not_empty(items, root, split, category, _MEND), tuple(paths))


def _splits(root: Path, split: str | None) -> dict[str, str]:
    """Photo, as a path below the root, to split."""
    splits: dict[str, str] = {}
    for name, file in _LISTS.items():
        path = next((path for path in (root / file, root / "Partitions" / file) if path.is_file()), None)
        if path is not None:
            splits.update((line.lstrip("/"), name) for line in read_lines(path, _MEND))
        elif split == name:
            raise InputError(f"{root / file}: no such file; get SUN397's Partitions, or leave the split out")
    if split is not None and split not in _LISTS:
        raise InputError(f"SUN has no split '{split}'; give train or test")
    return splits
