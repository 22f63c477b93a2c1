"""monoform data: make, convert, check and show data sets."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from monoform.cli.data_sources import (
    Opened,
    licence_of,
    made_by,
    need_parent,
    open_source,
    refuse_overlap,
)
from monoform.cli.options import (
    BAD_INPUT,
    OK,
    SOME_FAILED,
    Common,
    OutputFolder,
    UsageError,
    numbers,
    print_json,
    use_threads,
)
from monoform.cli.progress import printable

if TYPE_CHECKING:
    from monoform.data.samples import Source
    from monoform.data.writing import Plan

DEFAULT_SHARD, DEFAULT_MAX_BAD = 256, 0.01
LICENCE = "CC0-1.0"
PHOTOS_LICENCE = "shapes: CC0-1.0; backgrounds: the licences of the photos that were given"


@dataclass(frozen=True)
class Written:
    """How a set is written."""

    shards: bool = False
    """Write WebDataset tar files instead of folders."""
    shard_size: int = DEFAULT_SHARD
    """Samples a tar file."""
    image_format: Literal["png", "jpg"] = "png"
    """How pictures are kept: png keeps every pixel."""
    ratios: str = "0.6,0.2,0.2"
    """Shares of train, val and test among the objects; splits that the source gives are kept."""
    max_bad: float = DEFAULT_MAX_BAD
    """Share of items that may be corrupt or empty; they are left out and listed, above it the run stops."""
    force: bool = False
    """Replace an older set in the folder, or write beside the foreign files that are there."""


@dataclass(frozen=True)
class Synth:
    """Make a set of procedural shapes and rendered images, with masks, poses, depth, normals, meshes and voxels.

    The same options make the same bytes. A run that was interrupted goes on.
    """

    category: str
    """Categories separated by commas, or all."""
    out: OutputFolder
    """Folder for the set."""
    count: int = 100
    """Shapes a category."""
    views: int = 4
    """Images a shape."""
    kind: str | None = None
    """Only this kind of the category, such as suv; without it all, as common as they are."""
    seed: int = 0
    """Seed of the first shape; the next have the next numbers."""
    size: int = 224
    """Width and height of the images in pixels."""
    voxels: int = 32
    """Cells a side of the voxel grids; 0 for none."""
    cameras: Literal["upright", "any", "prior", "nmr", "ptn", "mvc"] = "upright"
    """Viewpoints: upright and framed, any rotation, as frequent as in photos, or the set-up of a published set."""
    backgrounds: Path | None = None
    """A folder of photos for backgrounds; without it procedural scenery."""
    clean: bool = False
    """No occluders, blur, noise and compression, and no object over the edge."""
    renderer: Literal["hard", "blender"] = "hard"
    """monoform's own, or Blender's Cycles, without occluders, blur, noise and compression."""
    blender_python: Path | None = None
    """The Python with bpy that runs Blender."""
    written: tyro.conf.OmitArgPrefixes[Written] = field(default_factory=Written)
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


@dataclass(frozen=True)
class Convert:
    """Read a set in its authors' layout and write it in monoform's, as folders or WebDataset tar files.

    A run that was interrupted goes on.
    """

    out: OutputFolder
    """Folder for the new set."""
    opened: tyro.conf.OmitArgPrefixes[Opened]
    licence: str = ""
    """The set's licence, for the record; without it that of an own set is kept."""
    written: tyro.conf.OmitArgPrefixes[Written] = field(default_factory=Written)
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


@dataclass(frozen=True)
class Check:
    """Look at every item: counts, corrupt and empty items, changed files, duplicates, leakage, wrong poses.

    Exit code 0: nothing found; 4: more than one item in a hundred cannot be used; 5: something else is wrong.
    """

    opened: tyro.conf.OmitArgPrefixes[Opened]
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File for the report as JSON."""
    min_iou: float = 0.9
    """IoU of a mask and its re-rendered mesh below which an item is listed as wrong."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


@dataclass(frozen=True)
class Show:
    """Draw a contact sheet: pictures with their masks' outlines, meshes over the pictures, voxels."""

    opened: tyro.conf.OmitArgPrefixes[Opened]
    out: OutputFolder = Path("sheet.jpg")
    """Picture to write: jpg or png."""
    count: int = 12
    """Items on the sheet."""
    seed: int = 0
    """Which items are drawn by lot."""
    columns: int = 2
    """Items side by side."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


@dataclass(frozen=True)
class Data:
    """Make, convert, check and show data sets."""

    task: (
        Annotated[Synth, tyro.conf.subcommand("synth")]
        | Annotated[Convert, tyro.conf.subcommand("convert")]
        | Annotated[Check, tyro.conf.subcommand("check")]
        | Annotated[Show, tyro.conf.subcommand("show")]
    )

    @property
    def common(self) -> Common:
        """The options that every command has."""
        return self.task.common


def run(config: Data) -> int:
    """Do what is asked for; the exit code."""
    use_threads(config.common.threads)
    match config.task:
        case Synth() as task:
            return _synth(task)
        case Convert() as task:
            return _convert(task)
        case Check() as task:
            return _check(task)
        case Show() as task:
            return _show(task)


def _synth(task: Synth) -> int:
    from monoform.data.categories import split_names
    from monoform.data.procedural.shapes import CATEGORIES
    from monoform.data.synthetic import open_synthetic

    if (task.renderer == "blender") != (task.blender_python is not None):
        raise UsageError("--renderer blender and --blender-python PATH go together")
    refuse_overlap(task.out, {"--backgrounds": task.backgrounds})
    categories = CATEGORIES if task.category == "all" else split_names(task.category)
    options = {"count": task.count, "views": task.views, "seed": task.seed, "kind": task.kind, "size": task.size,
               "voxels": task.voxels, "cameras": task.cameras, "clean": task.clean}  # fmt: skip
    backgrounds, blender = task.backgrounds, task.blender_python
    source = open_synthetic(categories, backgrounds=backgrounds, blender_python=blender, **options)
    photos = source.photos.paths if source.photos else []
    recipe = {"command": "synth", "categories": list(source.categories), **options, "background_photos": len(photos),
              "renderer": task.renderer}  # fmt: skip
    licence = LICENCE
    if backgrounds is not None:
        from monoform.data.rendering.backgrounds import fingerprint

        recipe["backgrounds_sha256"] = fingerprint(backgrounds, photos)
        licence = PHOTOS_LICENCE
    return _write(source, task.out, _plan(task.written, recipe, licence), task.written.force, task.common)


def _convert(task: Convert) -> int:
    opened = task.opened
    refuse_overlap(task.out, {"--root": opened.root, "--shapenet": opened.shapenet})
    plan = _plan(task.written, {"command": "convert", **made_by(opened)}, task.licence)
    source = open_source(opened)
    if not task.licence:
        plan = replace(plan, licence=licence_of(source))
    return _write(source, task.out, plan, task.written.force, task.common)


def _plan(written: Written, recipe: dict[str, object], licence: str) -> "Plan":
    if written.shard_size < 1:
        raise UsageError(f"--shard-size {written.shard_size}: give at least 1")
    if not 0.0 <= written.max_bad <= 1.0:
        raise UsageError(f"--max-bad {written.max_bad:g}: give a share from 0 to 1")
    ratios = numbers(written.ratios, 3, "--ratios", "train,val,test with the sum 1")
    from monoform.data.encoding import Choices
    from monoform.data.writing import Plan

    size = written.shard_size if written.shards else 0
    return Plan(Choices(written.image_format), size, ratios, recipe, licence, written.max_bad)


def _write(source: "Source", out: Path, plan: "Plan", force: bool, common: Common) -> int:
    from monoform.cli.data_progress import ItemProgress
    from monoform.data.writing import write_set

    with ItemProgress("writing", quiet=common.quiet) as progress:
        written = write_set(source, out, plan, progress, force=force)
    header = written.header
    if common.json:
        print_json({"folder": str(out), **header})
    elif not common.quiet:
        counts = header["counts"]
        print(f"{counts['items']} items of {counts['objects']} objects in {printable(str(out))}")
    return SOME_FAILED if header["left_out"] else OK


def _check(task: Check) -> int:
    if not 0.0 <= task.min_iou <= 1.0:
        raise UsageError(f"--min-iou {task.min_iou:g}: give a number from 0 to 1")
    if task.out is not None:
        need_parent(task.out)
    from monoform.cli.data_progress import ItemProgress
    from monoform.cli.data_report import table
    from monoform.data.checking import check
    from monoform.results import write_json

    with ItemProgress("checking", quiet=task.common.quiet, told_as="cannot be used") as progress:
        report = check(open_source(task.opened), progress, min_iou=task.min_iou)
    if task.out is not None:
        write_json(task.out, report.record)
    if task.common.json:
        print_json(report.record)
    elif not task.common.quiet:
        print(table(report.record))
    return {"ok": OK, "flawed": SOME_FAILED, "unusable": BAD_INPUT}[report.verdict]


def _show(task: Show) -> int:
    if task.count < 1 or task.columns < 1 or task.seed < 0:
        raise UsageError("--count and --columns must be 1 or more, --seed 0 or more")
    if task.out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise UsageError(f"-o {task.out}: name a .jpg or .png file")
    need_parent(task.out)
    from monoform.data.showing import choose, save_sheet, sheet

    source = open_source(task.opened)
    items = source.items()
    chosen = choose(items, task.count, task.seed)
    save_sheet(sheet(source, chosen, columns=task.columns), task.out)
    if task.common.json:
        print_json({"file": str(task.out), "items": [items[i].id for i in chosen]})
    elif not task.common.quiet:
        print(f"{len(chosen)} of {len(items)} items in {printable(str(task.out))}")
    return OK
