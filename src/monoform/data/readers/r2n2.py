"""3D-R2N2's set (Choy 2016): 24 renders of each ShapeNetCore v1 model in 13 categories, and solid voxels of 32 a side.

Layout: ``ShapeNetRendering/<synset>/<model>/rendering/{00..23}.png`` (137 px, RGBA) with ``rendering_metadata.txt``, one
line a view: azimuth, elevation, in-plane, distance, fov; ``ShapeNetVox32/<synset>/<model>/model.binvox``.

Camera, after the public readers of the set (Mesh R-CNN, DISN), not verified on real files here: the model is seen from
``layout.blender_orbit`` of azimuth and elevation at ``1.75 * distance`` with a lens of 35 mm on a sensor of 32 mm; in-plane
is 0 in every released file, and fov is 25 in every one, which is not the camera's angle (49.1 degrees). Voxels follow
binvox's order in the OBJ's axes and are scaled to fill the grid; they are turned here as the models are (`layout.V1_TURN`).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.readers.layout import (
    Listed,
    blender_orbit,
    frame_of_filled,
    frame_of_mesh,
    label,
    load_render,
    need_file,
    need_folder,
    not_empty,
    pose_of_unit_mesh,
    read_lines,
    square_intrinsics,
    synsets_in,
    v1_grid,
    v1_mesh,
)
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.voxels import load_voxels

FOCAL = 35 / 32
"""Focal length in image widths."""
FARTHEST = 1.75
"""Distance in ShapeNet's units where the file says 1."""
_GET = "get ShapeNetRendering.tgz and ShapeNetVox32.tgz of 3D-R2N2 (cvgl.stanford.edu/3d-r2n2) and unpack both here"
_SPLITS = ("R2N2_split.json", "pix2mesh_splits_val05.json")


@dataclass(frozen=True, eq=False)
class R2N2(Listed):
    """One item a view. Without the ShapeNet folder there are no meshes, and models count as ShapeNet made them (diagonal 1)."""

    views: tuple[tuple[str, str, int], ...]
    """(synset, model, view) of each item."""
    shapenet: Path | None
    name: str = "r2n2"

    def load(self, index: int) -> Sample:
        """Decode one view. Raises InputError for a damaged file."""
        synset, model, view = self.views[index]
        folder = _renders(self.root, synset, model)
        image, mask = load_render(folder / f"{view:02d}.png")
        R, t = _read_pose(folder / "rendering_metadata.txt", view)
        grid, frame, mesh = None, None, None
        if self.shapenet is not None:
            mesh, similarity = v1_mesh(self.shapenet, synset, model)
            t = pose_of_unit_mesh(R, t, similarity)
        file = self.root / "ShapeNetVox32" / synset / model / "model.binvox"
        if file.is_file():
            grid = v1_grid(load_voxels(file).grid.transpose(2, 1, 0))
            frame = frame_of_filled(grid, file) if mesh is None else frame_of_mesh(mesh, grid, file)
        kind = "" if grid is None else "solid"
        K = square_intrinsics(FOCAL, mask.shape)
        return Sample(self.listed[index], image, mask, R, t, K, mesh, grid, kind, frame)


def open_r2n2(
    root: Path, *, split: str | None = None, category: str | None = None, shapenet: Path | None = None
) -> R2N2:
    """3D-R2N2's set at `root`; `shapenet` is the root of ShapeNetCore v1, where the meshes are.

    The split is that of Mesh R-CNN and PyTorch3D, ``{split: {synset: {model: [views]}}}`` in R2N2_split.json or
    pix2mesh_splits_val05.json in the root. Raises InputError if a folder or an asked-for split is missing.
    """
    root = Path(root)
    splits = _read_splits(root, split)
    items, views = [], []
    for folder in synsets_in(root / "ShapeNetRendering", category, _GET):
        for path in sorted(folder.iterdir()):
            if not path.is_dir():
                continue
            name, model = label(folder.name), path.name
            for picture in _pictures(_renders(root, folder.name, model)):
                part = splits.get((folder.name, model, picture), "")
                if split in (None, part):
                    items.append(Item(f"{name}-{model}-{picture:02d}", model, name, part))
                    views.append((folder.name, model, picture))
    if shapenet is not None:
        need_folder(Path(shapenet), "give the root of ShapeNetCore v1")
    listed = not_empty(items, root, split, category, _GET)
    return R2N2(root, listed, tuple(views), None if shapenet is None else Path(shapenet))


def _renders(root: Path, synset: str, model: str) -> Path:
    return root / "ShapeNetRendering" / synset / model / "rendering"


def _pictures(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("[0-9][0-9].png"))


def _read_pose(path: Path, view: int) -> tuple[np.ndarray, np.ndarray]:
    lines = read_lines(path, _GET)
    if view >= len(lines):
        raise InputError(f"{path}: has {len(lines)} lines, none for view {view:02d}; get the file again")
    try:
        azimuth, elevation, in_plane, distance, _ = (float(word) for word in lines[view].split())
    except ValueError as error:
        raise InputError(f"{path}: line {view + 1} is not five numbers; get the file again") from error
    if not np.isfinite([azimuth, elevation, in_plane, distance]).all() or distance <= 0 or abs(elevation) >= 90:
        raise InputError(f"{path}: line {view + 1} is no camera ({lines[view][:60]}); get the file again")
    if in_plane != 0:
        raise InputError(f"{path}: line {view + 1} has an in-plane angle, which is 0 in the set; get the file again")
    return blender_orbit(azimuth, elevation, FARTHEST * distance)


def _read_splits(root: Path, split: str | None) -> dict[tuple[str, str, int], str]:
    found = [root / name for name in _SPLITS if (root / name).is_file()]
    if not found:
        if split is not None:
            need_file(root / _SPLITS[0], "save PyTorch3D's split of the set there")
        return {}
    try:
        table = json.loads("\n".join(read_lines(found[0], _GET)))
        return {
            (synset, model, int(view)): part
            for part, synsets in table.items()
            for synset, models in synsets.items()
            for model, views in models.items()
            for view in views
        }
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{found[0]}: not {{split: {{synset: {{model: [views]}}}}}}; get the file again") from error
