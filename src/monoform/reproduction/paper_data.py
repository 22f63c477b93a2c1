"""The shapes and photos that a reproduction is made of: procedural, real models, or the papers' own sets."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monoform.data.image_sets import from_source, models_for, natural_from, shapes_for
from monoform.data.readers.coco import open_coco
from monoform.data.readers.layout import SYNSETS, read_id_list
from monoform.data.readers.models import Photos, open_models
from monoform.data.readers.pascal3d import open_pascal3d
from monoform.data.readers.shapenet import ShapeNet, open_shapenet
from monoform.data.rendering.models import Entry
from monoform.errors import InputError
from monoform.interfaces import ImageSet

FIRST_SEED = {"train": 0, "val": 1_000_000, "test": 2_000_000, "natural": 3_000_000, "natural-test": 4_000_000}
"""Of the procedural shapes of each part: ranges that never overlap."""
LARGEST_PART = 1_000_000


@dataclass(frozen=True, eq=False)
class Shapes:
    """Shapes that can be loaded, and what decides them."""

    made_of: dict[str, Any]
    load: Callable[[], tuple[list[Entry], list[str]]]


def seeded_shapes(category: str, part: str, count: int) -> Shapes:
    """Procedural shapes of a part's own seeds."""
    if not 0 < count <= LARGEST_PART:
        raise InputError(f"{count} shapes for {part}; give 1 to {LARGEST_PART}, so that no two parts share a seed")
    first = FIRST_SEED[part]
    made_of = {"shapes": "procedural", "first_seed": first, "count": count}
    return Shapes(made_of, lambda: shapes_for(category, count, first))


def real_models(root: Path, category: str, split: str) -> Shapes:
    """Real models of a split of a folder with a manifest. Raises InputError if a group of near-duplicates is in two splits."""
    _refuse_parted_groups(root)
    made_of = {"shapes": "real models", "manifest_sha256": manifest_digest(root), "split": split}
    return Shapes(made_of, lambda: models_for(root, category, split))


def _refuse_parted_groups(root: Path) -> None:
    splits: dict[str, str] = {}
    for item in open_models(root).items():
        other = splits.setdefault(item.object_id, item.split) if item.split else item.split
        if other != item.split:
            raise InputError(
                f"{root / 'manifest.json'}: the group '{item.object_id}' is in the splits {other} and {item.split}, so that "
                "models would be tested on their near-duplicates; give the group one suggested_split"
            )


def manifest_digest(root: Path) -> str:
    """What tells one folder with a manifest from another, wherever it lies; '' where its reader will say what is wrong."""
    manifest = root / "manifest.json"
    return hashlib.sha256(manifest.read_bytes()).hexdigest()[:16] if manifest.is_file() else ""


def has_photos(root: Path, category: str) -> bool:
    """Whether a folder with a manifest lists photos of the category; of a folder of meshes, InputError."""
    source = open_models(root)
    if not isinstance(source, Photos):
        raise InputError(f"{root}: its manifest.json lists meshes; give a folder of photos with masks")
    return any(item.category == category for item in source.items())


def masked_photos(root: Path, category: str, size: int) -> ImageSet:
    """Crops of the photos of a category with their masks."""
    return natural_from(open_models(root, category=category), size)


# --- the papers' own sets ----------------------------------------------------------------------------------------


def ptn_models(root: Path | None, category: str, split: str) -> Shapes:
    """ShapeNetCore v1's models of a split of Perspective Transformer Nets, which Liao 2019 takes."""
    root = _given(root, "ShapeNetCore.v1 and ptn/shapenetcore_ids")

    def load() -> tuple[list[Entry], list[str]]:
        (synset,) = [number for number, name in SYNSETS.items() if name == category]
        wanted = set(
            read_id_list(root / "ptn" / "shapenetcore_ids" / f"{synset}_{split}ids.txt", "get its authors' lists")
        )
        source = open_shapenet(root / "ShapeNetCore.v1", category=category)
        return _meshes(source, [i for i, (_, model) in enumerate(source.models) if model in wanted], root)

    return Shapes({"shapes": "ShapeNetCore.v1", "root": root.name, "split": f"ptn {split}"}, load)


def shapenet_models(root: Path | None, category: str, split: str) -> Shapes:
    """ShapeNetCore v1's models of a split of SHREC 2016 (its all.csv in that folder); Zhu 2017 does not tell its own."""
    root = _given(root, "ShapeNetCore.v1, coco, PASCAL3D+ and sun")

    def load() -> tuple[list[Entry], list[str]]:
        source = open_shapenet(root / "ShapeNetCore.v1", split=split, category=category)
        return _meshes(source, range(len(source.models)), root)

    return Shapes({"shapes": "ShapeNetCore.v1", "root": root.name, "split": split}, load)


def coco_photos(root: Path | None, category: str, size: int) -> ImageSet:
    """Crops of COCO's training photos with their masks (Zhu 2017, section 4.1).

    Paper: samples with strong perspective or heavy occlusion are taken out by hand. Here: those whose mask is marked as of a
    crowd or cut off, because no list of the others was published.
    """
    return natural_from(open_coco(_given(root, "coco") / "coco", split="train", category=category), size)


def pascal3d_photos(root: Path | None, category: str, size: int, side: int) -> ImageSet:
    """PASCAL3D+'s validation photos, neither cut off nor occluded nor difficult, with their models' voxels and poses.

    Paper: the true shape has the size at which the photo shows it. Here: the canonical size, because photos tell no depth; so
    the 3D AP has an error of scale in it, which the 2D AP has not.
    """
    source = open_pascal3d(_given(root, "PASCAL3D+") / "PASCAL3D+", split="val", category=category, subsets=("pascal",))
    return from_source(
        source, size, side, "solid", fill=0.8, voxels="mesh", masks="mesh",
        without=("truncated", "occluded", "difficult", "unannotated", "coarse"),
    )  # fmt: skip


def _meshes(source: ShapeNet, rows: Iterable[int], root: Path) -> tuple[list[Entry], list[str]]:
    meshes = {source.listed[i].id: source.load(i).mesh for i in rows}
    entries: list[Entry] = [mesh for mesh in meshes.values() if mesh is not None]
    if not entries:
        raise InputError(f"{root}: none of the split's models is there; check that ShapeNetCore.v1 is complete")
    return entries, [name for name, mesh in meshes.items() if mesh is not None]


def _given(root: Path | None, what: str) -> Path:
    if root is None:
        raise InputError(f"the scale 'paper' reads the paper's own data; give a folder with {what} (--data)")
    return Path(root)
