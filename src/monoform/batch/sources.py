"""What the user names on the command line, as lists of files: folders, glob patterns, single files; masks by stem."""

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from monoform.errors import InputError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif")
MASK_SUFFIXES = (".png", ".webp", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg", ".json")
MESH_SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")


def find_photos(sources: Sequence[str | Path]) -> list[Path]:
    """Photos of files, folders and patterns: in the order given, those of a folder in natural order, none twice."""
    found = [path for source in sources for path in _expand(str(source))]
    unique = {os.path.realpath(path): path for path in reversed(found)}
    kept = set(map(id, unique.values()))
    photos = [path for path in found if id(path) in kept]
    if not photos:
        named = ", ".join(map(str, sources)) or "nothing given"
        raise InputError(f"no images matched: {named}; give photos ({' '.join(PHOTO_SUFFIXES)}), a folder or a pattern")
    return photos


def _expand(source: str) -> list[Path]:
    if "\0" in source:
        raise InputError("a path holds a null character; give a file, a folder or a pattern")
    if os.path.isdir(source):
        return natural_order(files_of(Path(source), PHOTO_SUFFIXES))
    if os.path.lexists(source) or not glob.has_magic(source):
        return [Path(source)]
    matches = (Path(match) for match in glob.glob(source, recursive=True))
    return natural_order(path for path in matches if _is_candidate(path, PHOTO_SUFFIXES))


def files_of(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files in a folder by suffix, hidden ones left out; broken links stay, so that they are reported later."""
    try:
        return [path for path in folder.iterdir() if _is_candidate(path, suffixes)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror}); give a folder that can be read") from error


def _is_candidate(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and not path.is_dir()


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted so that frame 2 comes before frame 10."""
    return sorted(paths, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    words = re.split(r"(\d+)", path.as_posix().casefold())
    return [(0, int(word), word) if word.isdecimal() else (1, 0, word) for word in words if word]


def find_mask_files(photos: Sequence[Path], mask: Path | None) -> list[Path | None]:
    """A mask for each photo: none, the one file for the one photo, or the files with the photos' stems in a folder.

    With a folder, a photo without its mask gets a path that does not exist, so that it fails on its own.
    """
    if mask is None:
        return [None] * len(photos)
    if not mask.is_dir():
        if len(photos) > 1:
            raise InputError(
                f"{mask}: one mask for {len(photos)} photos; give a folder of masks with the photos' stems"
            )
        return [mask]
    by_stem = {path.stem: path for path in reversed(natural_order(files_of(mask, MASK_SUFFIXES)))}
    return [by_stem.get(photo.stem, mask / f"{photo.stem}.png") for photo in photos]


def find_meshes(folder: Path) -> list[Path]:
    """Mesh files of a library folder in natural order; `InputError` when there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; give --mesh-library a folder of meshes, or one file with --mesh")
    meshes = natural_order(files_of(folder, MESH_SUFFIXES))
    if not meshes:
        raise InputError(f"{folder}: holds no mesh; put {' '.join(MESH_SUFFIXES)} files there")
    return meshes
