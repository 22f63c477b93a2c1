"""Mesh files: obj, off, ply, stl, glb, gltf in; obj, ply, stl, glb, usdz out. Every bad file is one InputError.

The vertices stay in the file's own frame and unit. Only what a reader can do without guessing is repaired, and counted.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.errors import InputError
from monoform.files import gltf, ply, polygons, usdz
from monoform.files.atomic import write_atomic
from monoform.files.mesh_parts import Part, check_face_count, check_index_range
from monoform.meshes import Mesh, clean, is_watertight, orient

READABLE = (".obj", ".off", ".ply", ".stl", ".glb", ".gltf")
WRITABLE = (".obj", ".ply", ".stl", ".glb", ".usdz")
_LARGEST = 1e15
_ARCHIVES = {
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "rar",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}


@dataclass(frozen=True)
class LoadReport:
    """What `load_mesh_with_report` found and repaired."""

    merged_vertices: int
    """Vertices at the same place with the same colour, made one."""
    degenerate_faces: int
    """Removed faces without area."""
    duplicate_faces: int
    """Removed repeats of a face, in either winding."""
    unreferenced_vertices: int
    """Removed vertices of no face."""
    turned_faces: int
    """Faces turned so that a closed mesh looks outwards."""
    watertight: bool
    """Whether every edge has exactly two faces."""


def load_mesh(path: str | Path, *, max_faces: int = 2_000_000, max_bytes: int = 1 << 29) -> Mesh:
    """The triangles of a mesh file, in the file's own frame and unit.

    Scenes are flattened; plain colours are kept per vertex, textures are not read. Raises InputError, one line with the
    file's name, for anything that is not a mesh with at least one face that has an area.
    """
    return load_mesh_with_report(path, max_faces=max_faces, max_bytes=max_bytes)[0]


def load_mesh_with_report(
    path: str | Path, *, max_faces: int = 2_000_000, max_bytes: int = 1 << 29
) -> tuple[Mesh, LoadReport]:
    """As `load_mesh`, and what was repaired."""
    path = Path(path)
    data = _read_bytes(path, max_bytes)
    try:
        with np.errstate(all="ignore"):
            part = _parse(data, path, max_faces)
            _check(part, max_faces)
            return _repair(part)
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    except (Exception, RecursionError) as error:
        # Readers fail in many ways on damaged bytes; to the user they are all one: this file cannot be read.
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:120]
        raise InputError(
            f"{path}: damaged or not a {path.suffix.lower()[1:]} file ({cause}); export it again"
        ) from error


def save_mesh(mesh: Mesh, path: str | Path) -> None:
    """Write a mesh in its own frame; the suffix (obj, ply, stl, glb, usdz) says how. Same mesh, same bytes.

    STL keeps no colours and, like GLB, float32 positions.
    """
    path = Path(path)
    writers = {
        ".obj": polygons.write_obj,
        ".ply": ply.write_ply,
        ".stl": polygons.write_stl,
        ".glb": gltf.write_glb,
        ".usdz": usdz.write_usdz,
    }
    if path.suffix.lower() not in writers:
        raise InputError(f"{path}: cannot write '{path.suffix}' meshes; name it {', '.join(WRITABLE)}")
    if len(mesh.faces) == 0:
        raise InputError(f"{path}: a mesh without faces is not written; give one with a surface")
    write_atomic(path, writers[path.suffix.lower()](mesh))


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise InputError(
            f"{path}: '{suffix}' is not a mesh format read here; convert it to one of {', '.join(READABLE)}"
        )
    try:
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path")
        size = path.stat().st_size
        if size > max_bytes:
            raise InputError(f"{path}: {size:,} bytes, over the limit of {max_bytes:,}; decimate it or raise max_bytes")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: cannot be read ({error}); check the path and its rights") from error
    if not data.strip():
        raise InputError(f"{path}: the file is empty; export it again")
    for magic, name in _ARCHIVES.items():
        if data.startswith(magic):
            raise InputError(f"{path}: the file is a {name} archive, not a mesh; unpack it first")
    return data


def _parse(data: bytes, path: Path, max_faces: int) -> Part:
    match path.suffix.lower():
        case ".glb":
            return gltf.read_glb(data, path.parent, max_faces)
        case ".gltf":
            return gltf.read_gltf(data, path.parent, max_faces)
        case ".obj":
            return polygons.read_obj(data, max_faces)
        case ".off":
            return polygons.read_off(data, max_faces)
        case ".stl":
            return polygons.read_stl(data, max_faces)
        case _:
            return ply.read_ply(data, max_faces)


def _check(part: Part, max_faces: int) -> None:
    """Raise InputError for what cannot be repaired without guessing."""
    if len(part.vertices) == 0 or len(part.faces) == 0:
        raise InputError("the file holds no faces; export the mesh again as triangles")
    check_face_count(len(part.faces), max_faces)
    check_index_range(part)
    bad = ~np.isfinite(part.vertices).all(axis=1)
    if bad.any():
        raise InputError(f"{bad.sum()} of {bad.size} vertices are NaN or infinite; repair the mesh and export it again")
    if np.abs(part.vertices).max() > _LARGEST:
        raise InputError(f"coordinates beyond {_LARGEST:.0e}; scale the mesh down and export it again")


def _repair(part: Part) -> tuple[Mesh, LoadReport]:
    merged, merged_count = _merge(part)
    mesh, counts = clean(merged)
    if len(mesh.faces) == 0:
        raise InputError("no face of the mesh has an area; export it again")
    oriented = orient(mesh)
    turned = int((oriented.faces != mesh.faces).any(axis=1).sum())
    report = LoadReport(
        merged_count,
        counts.degenerate_faces,
        counts.duplicate_faces,
        counts.unreferenced_vertices,
        turned,
        is_watertight(oriented),
    )
    return oriented, report


def _merge(part: Part) -> tuple[Mesh, int]:
    """One vertex a place and colour, in the order of first appearance, so that a clean file keeps its numbering."""
    keys = part.vertices if part.colours is None else np.concatenate([part.vertices, part.colours], axis=1)
    order = np.lexsort(keys.T)
    ordered = keys[order]
    is_new = np.ones(len(keys), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(is_new) - 1
    # lexsort is stable, so the first of each group is its earliest vertex.
    earliest = order[is_new]
    new_id = np.empty(len(earliest), np.int64)
    kept = np.sort(earliest)
    new_id[np.argsort(earliest)] = np.arange(len(earliest))
    renumbered = np.empty(len(keys), np.int64)
    renumbered[order] = new_id[group]
    colours = None if part.colours is None else part.colours[kept]
    return Mesh(part.vertices[kept], renumbered[part.faces], colours), len(keys) - len(kept)
