"""Any folder of binvox files: voxels alone. The name of a file's folder is its category.

The grids are taken to stand y up, front -z; a binvox file does not say. Those made of ShapeNetCore version 1 have their front
at +x (3D-R2N2's: `r2n2` turns them). The box of the filled cells is the object's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import Listed, frame_of_filled, label, need_folder, not_empty, refuse_repeated
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.voxels import load_voxels

_GIVE = "give a folder with .binvox files in it or below it"


@dataclass(frozen=True, eq=False)
class BinvoxFolder(Listed):
    """One item a file."""

    files: tuple[Path, ...]
    kind: Literal["solid", "shell"]
    name: str = "binvox"

    def load(self, index: int) -> Sample:
        """Decode one file. Raises InputError for a damaged file, or a grid that is no cube."""
        file = self.files[index]
        grid = load_voxels(file).grid
        if len(set(grid.shape)) != 1:
            raise InputError(f"{file}: a grid of {grid.shape} cells; make it a cube")
        return Sample(self.listed[index], voxels=grid, voxel_kind=self.kind, voxel_frame=frame_of_filled(grid, file))


def open_binvox(
    root: Path,
    *,
    split: str | None = None,
    category: str | None = None,
    kind: Literal["solid", "shell"] = "solid",
) -> BinvoxFolder:
    """All .binvox files in and below `root`. kind: what they hold, which the files do not say.

    A file in a folder called train, val or test is in that split. Raises InputError if nothing is found,
    or for two files whose folders and names make one id.
    """
    root = Path(root)
    items, files = [], []
    for path in sorted(need_folder(root, _GIVE).rglob("*.binvox")):
        folders = path.relative_to(root).parts[:-1]
        part = next((folder for folder in folders if folder in ("train", "val", "test")), "")
        names = [folder for folder in folders if folder != part]
        name = library_name(label(names[0])) if names else ""
        if split in (None, part) and is_wanted(name, category):
            key = "-".join([*folders, path.stem])
            items.append(Item(key, key, name, part))
            files.append(path)
    refuse_repeated(items, files)
    return BinvoxFolder(root, not_empty(items, root, split, category, _GIVE), tuple(files), kind)
