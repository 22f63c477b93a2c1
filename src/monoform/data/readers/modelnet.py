"""ModelNet10 and ModelNet40 (Wu 2015): CAD models alone, ``<category>/{train,test}/<category>_%04d.off``.

Some headers are broken: the counts stand on the first line, right behind 'OFF'. The models are z up. ModelNet10's, and
ModelNet40's in the aligned release, share one front; that it is -y, as in PASCAL3D+'s models of the same school, could not
be verified on real files. The plain ModelNet40 is not aligned about the vertical at all.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import Listed, need_folder, not_empty
from monoform.data.samples import Item, Sample
from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh, normalise

_GET = "get ModelNet10.zip or ModelNet40.zip (modelnet.cs.princeton.edu) and unpack it"


@dataclass(frozen=True, eq=False)
class ModelNet(Listed):
    """One item a model: its mesh."""

    files: tuple[Path, ...]
    """The OFF file of each item."""
    name: str = "modelnet"

    def load(self, index: int) -> Sample:
        """Decode one model. Raises InputError for a damaged file."""
        stored = load_mesh(self.files[index])
        x, y, z = stored.vertices.T
        turned = Mesh(np.stack([-x, z, y], axis=1), stored.faces, stored.colours)
        return Sample(self.listed[index], mesh=normalise(turned)[0])


def open_modelnet(root: Path, *, split: str | None = None, category: str | None = None) -> ModelNet:
    """ModelNet at `root`, the folder of the categories; `category` is the library's name or ModelNet's.

    Raises InputError if no category folder has a train or test folder.
    """
    root = Path(root)
    items, files = [], []
    folders = [path for path in sorted(need_folder(root, _GET).iterdir()) if path.is_dir()]
    for folder in folders:
        name = library_name(folder.name)
        if not is_wanted(name, category):
            continue
        for part in ("train", "test"):
            for path in sorted((folder / part).glob("*.off")) if split in (None, part) else ():
                items.append(Item(path.stem, path.stem, name, part))
                files.append(path)
    return ModelNet(root, not_empty(items, root, split, category, _GET), tuple(files))
