"""The images that `monoform train` and `evaluate` work on: image sets, monoform's own data sets, cut-outs, or drawn here."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from monoform.cli.options import UsageError
from monoform.errors import InputError

if TYPE_CHECKING:
    from monoform.cli.train import Train
    from monoform.data.reading import OwnSet
    from monoform.data.rendering.models import Entry
    from monoform.interfaces import ImageSet

Role = Literal["train", "val", "test"]
Scale = Literal["smoke", "laptop", "paper"]
SHAPES_AND_VIEWS: dict[Scale, tuple[int, int]] = {"smoke": (8, 2), "laptop": (400, 5), "paper": (1000, 24)}
"""How many shapes a category and images a shape are drawn where no data is given."""
VALIDATION_SEED = 100_000
"""Seed of the first validation shape; the training shapes have those from 0."""
ELEVATIONS = (30.0,)
"""Of the turntables that are drawn, degrees."""


def is_own(folder: Path) -> bool:
    """Whether a folder holds a data set in monoform's own layout, as `monoform data synth` and `convert` write it."""
    from monoform.data.reading import HEADER

    return (folder / HEADER).is_file()


def grid_of(method: str, chosen: Any) -> tuple[int, str]:
    """Cells a side and kind of the voxels that a method learns. chosen: its config."""
    if method == "self_consistency":
        return chosen.voxel_side, "shell"
    if method == "raster_pose":
        return chosen.voxel_side, "solid"
    from monoform.methods.reprojection.rows import SIDE

    return SIDE, "solid"


def categories_in(folder: Path) -> tuple[str, ...]:
    """The categories of an image set or an own data set."""
    if is_own(folder):
        from monoform.data.reading import open_own

        return tuple(sorted({item.category for item in open_own(folder).items()}))
    from monoform.data.image_sets import load_images

    return tuple(sorted(set(load_images(folder, verify=False).categories)))


def sets_of(config: "Train", chosen: Any) -> "tuple[ImageSet, ImageSet, ImageSet | None]":
    """To train on, to validate on, and natural images. Raises InputError if the second shares anything with the others."""
    from monoform.data.image_sets.leakage import refuse_shared, seen_record

    images = config.images
    if images.data is None or images.val is None:
        training, validation = (_drawn(config, chosen, role) for role in ("train", "val"))
    else:
        training, validation = _given(config, chosen, images.data, "train"), _given(config, chosen, images.val, "val")
    natural = None if images.natural is None else _natural(config, chosen, images.natural)
    others = {"training": training} | ({} if natural is None else {"natural": natural})
    refuse_shared(validation, "the validation set", seen_record(others))
    return training, validation, natural


# --- drawn -------------------------------------------------------------------------------------------------------


def drawn_settings(config: "Train", chosen: Any, role: Role) -> dict[str, Any]:
    """All that decides the images that are drawn. Raises InputError for a category without shapes."""
    from monoform import __version__

    shapes, views = SHAPES_AND_VIEWS[config.scale]
    shapes, views = config.images.shapes or shapes, config.images.views or views
    count, first = (shapes, 0) if role == "train" else (max(1, shapes // 4), VALIDATION_SEED)
    for category in chosen.categories:
        _recipes(config.method, category, count, first)
    side, kind = grid_of(config.method, chosen)
    settings = {"method": config.method, "categories": list(chosen.categories), "size": chosen.image_size, "shapes": count,
                "first_seed": first, "views": views, "seed": config.seed, "side": side, "kind": kind,
                "monoform": __version__}  # fmt: skip
    return {**settings, "elevations": list(ELEVATIONS)} if config.method == "self_consistency" else settings


def _drawn(config: "Train", chosen: Any, role: Role) -> "ImageSet":
    asked = drawn_settings(config, chosen, role)
    doing = f"drawing {asked['shapes'] * len(chosen.categories)} shapes for {role}"
    return _kept(config, role, asked, doing, lambda: _draw(asked))


def _draw(asked: dict[str, Any]) -> "ImageSet":
    """Images of each category as the method's paper has them."""
    from monoform.data.image_sets import DrawnObjects, render_posts, render_turntable, render_weak

    entries, ids, categories = [], [], []
    for category in asked["categories"]:
        recipes, names = _recipes(asked["method"], category, asked["shapes"], asked["first_seed"])
        entries, ids, categories = entries + recipes, ids + names, categories + [category] * len(names)
    how = {name: asked[name] for name in ("size", "views", "seed", "side", "kind")}
    if asked["method"] == "self_consistency":
        return render_turntable(DrawnObjects(entries, categories, ids), **how, elevations=asked["elevations"])
    draw = render_posts if asked["method"] == "raster_pose" else render_weak
    return draw(DrawnObjects(entries, categories, ids), **how)


def _recipes(method: str, category: str, count: int, first: int) -> "tuple[list[Entry], list[str]]":
    """Procedural shapes of a category; raster_pose's are kinds of cars."""
    from monoform.data.image_sets import shapes_for

    if method == "raster_pose":
        return shapes_for("car", count, first, category)
    return shapes_for(category, count, first)


# --- given -------------------------------------------------------------------------------------------------------


def own_images(root: Path, role: Role, method: str, chosen: Any, categories: Sequence[str]) -> "ImageSet":
    """The images of a data set in monoform's own layout as a method learns from them: the role's split, if it is parted.

    self_consistency takes whole pictures, as its camera is fixed; reprojection crops about the object, whose box fills four
    fifths of the crop. Voxels are the set's own where side and kind are the method's, else made of its meshes.
    """
    from monoform.data.image_sets import from_source, join
    from monoform.data.image_sets.taking import FILL
    from monoform.data.reading import open_own

    if method == "raster_pose":
        raise InputError(
            f"{root}: raster_pose learns from objects whose longest side is 1; give an image set of render_posts, or leave out "
            "--data to have one drawn"
        )
    side, kind = grid_of(method, chosen)
    split = _split_for(open_own(root), role)
    parts = []
    for category in categories:
        source = open_own(root, split=split, category=category)
        if not source.items():
            raise InputError(f"{root}: no item of the category '{category}' in {split or 'it'}; give another category")
        sample = source.load(0)
        fits = sample.voxels is not None and len(sample.voxels) == side and sample.voxel_kind == kind
        fill = None if method == "self_consistency" else FILL
        voxels = "source" if fits else "mesh"
        parts.append(from_source(source, chosen.image_size, side, kind, fill=fill, voxels=voxels))
    return reduce(join, parts)


def _given(config: "Train", chosen: Any, folder: Path, role: Role) -> "ImageSet":
    """What --data or --val names."""
    from monoform.data.image_sets.leakage import load_known

    if not is_own(folder):
        images = load_known(folder)
        return of_categories(images, chosen.categories) if config.images.categories else images
    side, kind = grid_of(config.method, chosen)
    asked = {"method": config.method, "size": chosen.image_size, "side": side, "kind": kind,
             "categories": list(chosen.categories), **_identity(folder, role)}  # fmt: skip
    doing = f"taking the images of {folder} for {role}"
    return _kept(config, role, asked, doing, lambda: own_images(folder, role, config.method, chosen, chosen.categories))


def of_categories(images: "ImageSet", categories: Sequence[str]) -> "ImageSet":
    """The images of these categories. Raises InputError for one that has none."""
    from monoform.data.image_sets import join, of_category

    return reduce(join, [of_category(images, category) for category in categories])


def _natural(config: "Train", chosen: Any, folder: Path) -> "ImageSet":
    """Crops with masks alone: of an image set, of an own data set, or of a folder of cut-outs, of either its training part."""
    from monoform.data.image_sets import natural_from
    from monoform.data.image_sets.leakage import load_known
    from monoform.data.image_sets.storing import RECORD
    from monoform.data.readers.cutouts import open_cutouts
    from monoform.data.reading import open_own

    if (folder / RECORD).is_file():
        return load_known(folder)
    if is_own(folder):
        source = open_own(folder, split=_split_for(open_own(folder), "train"))
    else:
        source = open_cutouts(folder, split="train" if (folder / "train").is_dir() else None)
    asked = {"size": chosen.image_size, **_identity(folder, "natural")}
    doing = f"cutting out the photos of {folder}"
    return _kept(config, "natural", asked, doing, lambda: natural_from(source, chosen.image_size))


def _split_for(own: "OwnSet", role: Role) -> str | None:
    """The split to take of an own set, None of one that is not parted. Raises InputError if it is parted without that split."""
    splits = {item.split for item in own.items()}
    if splits == {""}:
        return None
    if role not in splits:
        found = " and ".join(sorted(filter(None, splits)))
        raise InputError(
            f"{own.root}: has the splits {found}, no {role}; give a set with one, or write it without splits"
        )
    return role


def _identity(folder: Path, role: str) -> dict[str, Any]:
    """What tells a folder of data from another, wherever it lies: of an own set its two lists, which hold every file's hash."""
    from monoform import __version__
    from monoform.data.reading import HEADER, ITEMS

    files = [folder / name for name in (HEADER, ITEMS)] if is_own(folder) else sorted(folder.rglob("*"))
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(f"{file.relative_to(folder)}\n".encode("utf-8", "surrogateescape"))
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return {"folder": folder.resolve().name, "sha256": digest.hexdigest(), "role": role, "monoform": __version__}


# --- kept --------------------------------------------------------------------------------------------------------


def _kept(config: "Train", name: str, asked: dict[str, Any], doing: str, make: "Callable[[], ImageSet]") -> "ImageSet":
    """The set in RUN/data under a name made of what was asked for; made if it is missing."""
    from monoform.data.image_sets import save_images
    from monoform.data.image_sets.leakage import load_known

    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode("ascii")).hexdigest()[:12]
    place = config.out / "data" / f"{name}-{key}"
    if not place.is_dir():
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UsageError(
                "several processes cannot make one set: make it first with save_images, and give image sets to --data, "
                "--val and --natural"
            )
        if not config.common.quiet:
            print(doing, file=sys.stderr, flush=True)
        images = make()
        place.parent.mkdir(parents=True, exist_ok=True)
        save_images(images, place)
    return load_known(place)
