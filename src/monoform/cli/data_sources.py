"""Which set `monoform data` reads: the options, what goes with what, and where the result may not be written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from monoform.cli.options import UsageError

if TYPE_CHECKING:
    from monoform.data.samples import Source

SourceName = Literal[
    "own", "nmr", "softras", "r2n2", "ptn", "mvc", "shapenet", "modelnet", "binvox", "pascal3d", "objectnet3d", "pix3d",
    "coco", "cub", "sun", "cutouts", "models",
]  # fmt: skip
GOES_WITH = {
    "shapenet": ("nmr", "r2n2", "ptn", "mvc"),
    "colours": ("nmr",),
    "voxel_kind": ("binvox",),
    "year": ("coco",),
    "subset": ("pascal3d",),
}
"""Options that only some sources have."""


@dataclass(frozen=True)
class Opened:
    """Which set, and which part of it."""

    root: Path
    """The set's folder, as its authors pack it; docs/data.md has a table."""
    source: Annotated[SourceName, tyro.conf.arg(aliases=["--from"])] = "own"
    """Whose layout it has; own is what synth and convert write."""
    split: str | None = None
    """Only this split: train, val or test."""
    category: str | None = None
    """Only this category, by any of its usual names."""
    shapenet: Path | None = None
    """Folder of ShapeNetCore version 1, for the meshes that nmr, r2n2, ptn and mvc show."""
    colours: Literal["inverted", "plain"] | None = None
    """How nmr stores colours: as 255 minus the value (the default), or plain. Look at a sheet of show to find out."""
    voxel_kind: Literal["solid", "shell"] | None = None
    """What the grids of binvox hold, which their files do not say: solid is the default."""
    year: int | None = None
    """Which instances of coco: 2014 or 2017, where the folder has both."""
    subset: Literal["pascal", "imagenet"] | None = None
    """Only these photos of pascal3d."""


def open_source(opened: Opened) -> "Source":
    """The set that the options name. Raises UsageError for an option of another source."""
    options = _given(opened)
    if opened.source == "own":
        from monoform.data.reading import open_own

        return open_own(opened.root, split=opened.split, category=opened.category)
    from monoform.data.readers import SOURCES

    meant: dict[str, Any] = {}
    if "colours" in options:
        meant["inverted"] = options["colours"] == "inverted"
    if "voxel_kind" in options:
        meant["kind"] = options["voxel_kind"]
    if "subset" in options:
        meant["subsets"] = (options["subset"],)
    meant |= {name: options[name] for name in ("shapenet", "year") if name in options}
    return SOURCES[opened.source](opened.root, split=opened.split, category=opened.category, **meant)


def made_by(opened: Opened) -> dict[str, object]:
    """The options that decide what is read, for the record: folders by their names, as sets are moved about."""
    options = {
        name: value.resolve().name if isinstance(value, Path) else value for name, value in _given(opened).items()
    }
    asked = {"split": opened.split, "category": opened.category}
    return {"from": opened.source, "root": opened.root.resolve().name, **asked, **options}


def refuse_overlap(out: Path, sources: Mapping[str, Path | None]) -> None:
    """Raise UsageError if the folder `out` is, holds or lies in one that is read: writing could change what is read."""
    place = out.resolve()
    for option, folder in sources.items():
        if folder is None:
            continue
        read = folder.resolve()
        if place == read or place in read.parents or read in place.parents:
            raise UsageError(f"-o {out}: give a folder that neither holds {option} {folder} nor lies in it")


def need_parent(out: Path) -> None:
    """Raise UsageError if there is no folder for the file `out`: before the work, not after it."""
    if out.is_dir():
        raise UsageError(f"-o {out}: is a folder; name a file")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"-o {out}: there is no folder {out.parent}; make it, or choose another")


def _given(opened: Opened) -> dict[str, Any]:
    given = {name: value for name in GOES_WITH if (value := getattr(opened, name)) is not None}
    for name in given:
        if opened.source not in GOES_WITH[name]:
            raise UsageError(f"--{name.replace('_', '-')} goes with --from {', '.join(GOES_WITH[name])}")
    return given


def licence_of(source: "Source") -> str:
    """The licence in the record of an own set; '' for any other source."""
    from monoform.data.reading import OwnSet

    return str(source.header.get("licence", "")) if isinstance(source, OwnSet) else ""
