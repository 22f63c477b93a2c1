"""ShapeNetCore, versions 1 and 2: one textured OBJ a model, and version 2's voxels.

Layout: ``<synset>/<model>/model.obj`` (version 1) or ``<synset>/<model>/models/model_normalized.obj`` with
``model_normalized.solid.binvox`` beside it (version 2). The split is SHREC 2016's, ``all.csv`` in the root with the
columns id, synsetId, subSynsetId, modelId, split; it is not part of the archives. Layout and axes
after the data set's own pages: y is up in both, the front is +x in version 1, whose models are turned here, and -z in version
2. They also say that some models of version 1 are mirrored, left for right; those stay so.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

from monoform.data.readers.layout import (
    SHAPENET,
    Listed,
    frame_of_mesh,
    label,
    need_file,
    not_empty,
    read_lines,
    synsets_in,
    v1_mesh,
    v1_mesh_path,
)
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.meshes import load_mesh
from monoform.files.voxels import load_voxels
from monoform.meshes import normalise

_SPLITS = "all.csv"
_COLUMNS = {"synsetId", "modelId", "split"}


@dataclass(frozen=True, eq=False)
class ShapeNet(Listed):
    """One item a model: its mesh, and its voxels where there is a binvox file. Never an image."""

    models: tuple[tuple[str, str], ...]
    """(synset, model) of each item."""
    name: str = "shapenet"

    def load(self, index: int) -> Sample:
        """Decode one model. Raises InputError for a damaged file."""
        synset, model = self.models[index]
        second = _v2_mesh_path(self.root, synset, model)
        if not second.is_file():
            return Sample(self.listed[index], mesh=v1_mesh(self.root, synset, model)[0])
        mesh, _ = normalise(load_mesh(second))
        file = second.with_name("model_normalized.solid.binvox")
        if not file.is_file():
            return Sample(self.listed[index], mesh=mesh)
        grid = load_voxels(file).grid
        frame = frame_of_mesh(mesh, grid, file)
        return Sample(self.listed[index], mesh=mesh, voxels=grid, voxel_kind="solid", voxel_frame=frame)


def open_shapenet(root: Path, *, split: str | None = None, category: str | None = None) -> ShapeNet:
    """ShapeNetCore at `root`, all categories or one (the library's name or the synset).

    Raises InputError if the folder holds no such models, or a split is asked for that ``all.csv`` does not give.
    """
    root = Path(root)
    folders = synsets_in(root, category, SHAPENET)
    table = root / _SPLITS
    if split is not None:
        need_file(table, "save SHREC 2016's split, all.csv, there")
    splits = _read_splits(table) if table.is_file() else {}
    items, models = [], []
    for folder in folders:
        for path in sorted(folder.iterdir()):
            model = path.name
            if not path.is_dir() or split not in (None, splits.get((folder.name, model), "")):
                continue
            name = label(folder.name)
            items.append(Item(f"{name}-{model}", model, name, splits.get((folder.name, model), "")))
            models.append((folder.name, model))
    listed = not_empty(items, root, split, category, SHAPENET)
    # A few models of the released sets lack their OBJ: those raise when loaded, and only a folder without any is refused.
    if not any(place(root, *model).is_file() for model in models for place in (v1_mesh_path, _v2_mesh_path)):
        need_file(v1_mesh_path(root, *models[0]), SHAPENET)
    return ShapeNet(root, listed, tuple(models))


def _v2_mesh_path(root: Path, synset: str, model: str) -> Path:
    return root / synset / model / "models" / "model_normalized.obj"


def _read_splits(path: Path) -> dict[tuple[str, str], str]:
    rows = csv.DictReader(read_lines(path, SHAPENET))
    if not set(rows.fieldnames or ()) >= _COLUMNS:
        raise InputError(f"{path}: lacks the columns {', '.join(sorted(_COLUMNS))}; get SHREC 2016's all.csv again")
    return {((row["synsetId"] or "").zfill(8), row["modelId"] or ""): row["split"] or "" for row in rows}
