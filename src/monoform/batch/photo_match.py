"""One photo, from its file to its folder: read, mask, align, draw, write."""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monoform.errors import InputError
from monoform.files.cameras import check_intrinsics
from monoform.files.images import load_image
from monoform.files.meshes import load_mesh
from monoform.interfaces import Alignment, Mask, Photo
from monoform.masks import find_mask
from monoform.meshes import Mesh
from monoform.results import PhotoMatch, plain, write_result


@dataclass(frozen=True, eq=False)
class MatchSettings:
    """Everything besides photo, mask and meshes that decides the result; part of the hash that --resume compares."""

    K: np.ndarray | None = None
    """(3, 3) intrinsics in pixels of the upright photo."""
    fov_deg: float | None = None
    """Horizontal field of view, degrees."""
    upright: bool = False
    up_axis: str = "y"
    box_xyxy: tuple[float, float, float, float] | None = None
    keep: Literal["largest", "all"] = "largest"
    invert: Literal["auto", "always", "never"] = "auto"
    resize_mask: bool = False
    lenient: bool = False
    max_pixels: int = 64_000_000
    max_poses: int = 8
    seed: int = 0
    unit: str = "file"
    cameras: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NamedMesh:
    """A mesh with its file's name and hash."""

    name: str
    mesh: Mesh
    sha256: str


def load_named_mesh(path: Path) -> NamedMesh:
    """A mesh file with its name and content hash."""
    mesh = load_mesh(path)
    return NamedMesh(path.name, mesh, hashlib.sha256(path.read_bytes()).hexdigest())


def load_library(paths: Sequence[Path]) -> tuple[list[NamedMesh], list[str]]:
    """All meshes that can be read, and a warning for each that cannot; `InputError` when none can."""
    meshes, problems = [], []
    for path in paths:
        try:
            meshes.append(load_named_mesh(path))
        except InputError as error:
            problems.append(f"left out of the library: {error}")
    if not meshes:
        raise InputError(
            f"none of the {len(paths)} meshes can be read; first: {problems[0] if problems else 'none given'}"
        )
    return meshes, problems


def content_hash(photo: Path, mask: Path | None, meshes: Sequence[NamedMesh], settings: MatchSettings) -> str:
    """SHA-256 over all that decides the result: the files' bytes, the settings and monoform's version."""
    digest = hashlib.sha256()
    parts = {
        "version": metadata.version("monoform"),
        "photo": [photo.name, _file_hash(photo)],
        "mask": None if mask is None else _file_hash(mask),
        "meshes": [[named.name, named.sha256] for named in meshes],
        "settings": plain(asdict(settings)),
    }
    digest.update(json.dumps(parts, sort_keys=True).encode())
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: cannot be read ({reason}); check the path and its permissions") from error


def match_photo(
    photo_path: Path, mask_path: Path | None, meshes: Sequence[NamedMesh], settings: MatchSettings, content_sha256: str
) -> PhotoMatch:
    """Read a photo and its mask, and find the best mesh and its poses."""
    start = time.perf_counter()
    photo = load_image(photo_path, max_pixels=settings.max_pixels, lenient=settings.lenient)
    photo = replace(photo, warnings=(*photo.warnings, *_camera_warnings(photo, settings)))
    mask = find_mask(
        photo,
        mask_path=mask_path,
        box_xyxy=settings.box_xyxy,
        keep=settings.keep,
        invert=settings.invert,
        resize_mask=settings.resize_mask,
    )
    read_s = time.perf_counter() - start
    ranked = _align(photo, mask, meshes, settings)
    name, best = ranked[0]
    best = replace(best, timings_s={"read": read_s, **best.timings_s, "total": time.perf_counter() - start})
    mesh = next(named.mesh for named in meshes if named.name == name)
    candidates = tuple(ranked) if len(meshes) > 1 else ()
    return PhotoMatch(photo, mask, mesh, name, best, settings.unit, content_sha256, candidates)


def _camera_warnings(photo: Photo, settings: MatchSettings) -> list[str]:
    if settings.K is None:
        return []
    return check_intrinsics(settings.K, (photo.size_hw[1], photo.size_hw[0]))


def _align(
    photo: Photo, mask: Mask, meshes: Sequence[NamedMesh], settings: MatchSettings
) -> list[tuple[str, Alignment]]:
    """Alignments by mesh name, best first."""
    from monoform import alignment

    options: dict[str, Any] = {
        "mask": mask,
        "K": settings.K,
        "fov_deg": settings.fov_deg,
        "upright": settings.upright,
        "up_axis": settings.up_axis,
        "seed": settings.seed,
        "max_poses": settings.max_poses,
    }
    if len(meshes) == 1:
        return [(meshes[0].name, alignment.align(photo, meshes[0].mesh, **options))]
    return alignment.align_library(photo, [(named.name, named.mesh) for named in meshes], **options)


def write_match(match: PhotoMatch, folder: Path, cameras: Sequence[str]) -> dict[str, Any]:
    """Draw the overlay, write the folder, and return the record of result.json."""
    from monoform.overlays import overlay_picture

    picture = overlay_picture(match.photo, match.mask, match.mesh, match.alignment, name=match.mesh_name)
    return write_result(match, folder, picture, cameras=cameras)
