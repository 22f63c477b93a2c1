"""PLY, the Stanford polygon format: triangles and vertex colours in and out."""

import re
from dataclasses import dataclass

import numpy as np

from monoform.errors import InputError
from monoform.files.mesh_parts import Part, check_face_count, triangulate
from monoform.meshes import Mesh

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4", "double": "f8",
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8",
}  # fmt: skip


@dataclass
class _Element:
    """One block of a PLY file, as its header describes it."""

    name: str
    count: int
    properties: list[tuple[str, str, str | None]]
    """Name, numpy type of the values, and numpy type of the length in front of them for a list."""


def read_ply(data: bytes, max_faces: int) -> Part:
    """PLY, text or binary of either byte order, polygons of any size."""
    elements, is_text, start = _header(data, max_faces)
    words = data[start:].split() if is_text else []
    columns: dict[str, dict[str, list | np.ndarray]] = {}
    at = 0 if is_text else start
    for element in elements:
        if is_text:
            columns[element.name], at = _text(words, at, element)
        else:
            columns[element.name], at = _binary(data, at, element)
    vertex, face = columns.get("vertex", {}), columns.get("face", {})
    polygons = face.get("vertex_indices", face.get("vertex_index"))
    if not all(axis in vertex for axis in "xyz") or polygons is None:
        raise InputError("the PLY file has no vertices or no faces (a point cloud?); export it as triangles")
    vertices = np.stack([np.asarray(vertex[axis], np.float64) for axis in "xyz"], axis=1)
    if isinstance(polygons, np.ndarray) and polygons.shape[1:] == (3,):
        return Part(vertices, polygons.astype(np.int64), _colours(vertex))
    polygons = [[int(i) for i in polygon] for polygon in polygons]
    if polygons and not 0 <= min(map(min, filter(None, polygons))) <= max(map(max, filter(None, polygons))) < len(
        vertices
    ):
        raise InputError(
            f"a face of the PLY file names a vertex that is not among its {len(vertices)}; export it again"
        )
    return Part(vertices, triangulate(polygons, vertices), _colours(vertex))


def _header(data: bytes, max_faces: int) -> tuple[list[_Element], bool, int]:
    """The blocks, whether they are text, and where they begin."""
    found = re.match(rb"ply\r?\n(.*?)end_header[^\n]*\n", data, re.DOTALL)
    if found is None or found.end() > 1 << 16:
        raise InputError("the file has no PLY header; export it again")
    order, elements = "<", []
    for line in found.group(1).decode("ascii", errors="replace").splitlines():
        words = line.split()
        match words:
            case ["format", kind, *_]:
                order = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}[kind]
            case ["element", name, count]:
                elements.append(_Element(name, int(count), []))
                _check_count(elements[-1], len(data) - found.end(), max_faces)
            case ["property", "list", length, kind, name]:
                elements[-1].properties.append((name, order + _TYPES[kind], order + _TYPES[length]))
            case ["property", kind, name]:
                elements[-1].properties.append((name, order + _TYPES[kind], None))
    return elements, order == "=", found.end()


def _check_count(element: _Element, size: int, max_faces: int) -> None:
    if not 0 <= element.count <= size:
        raise InputError(
            f"the PLY header claims {element.count:,} of '{element.name}' in {size:,} bytes; export it again"
        )
    if element.name == "face":
        check_face_count(element.count, max_faces)


def _text(words: list[bytes], at: int, element: _Element) -> tuple[dict[str, list | np.ndarray], int]:
    columns: dict[str, list] = {name: [] for name, _, _ in element.properties}
    for _ in range(element.count):
        for name, _, length in element.properties:
            count = int(words[at]) if length else 1
            at += bool(length)
            values = [float(word) for word in words[at : at + count]]
            if count < 0 or len(values) < count:
                raise InputError("the PLY file ends before its counts are met; copy or export it again")
            columns[name].append(values if length else values[0])
            at += count
    return dict(columns), at


def _binary(data: bytes, at: int, element: _Element) -> tuple[dict[str, list | np.ndarray], int]:
    """All rows at once where every list is as long as the first row's, else row by row."""
    first = _row(data, at, element)[0] if element.count else {}
    fields = []
    for name, kind, length in element.properties:
        if length:
            fields += [(f"{name} length", length), (name, kind, (len(first.get(name, [])),))]
        else:
            fields.append((name, kind))
    rows_type = np.dtype(fields)
    end = at + element.count * rows_type.itemsize
    if end <= len(data):
        rows = np.frombuffer(data, rows_type, element.count, at)
        lists = [name for name, _, length in element.properties if length]
        if all((rows[f"{name} length"] == len(first.get(name, []))).all() for name in lists):
            return {name: rows[name] for name, _, _ in element.properties}, end
    columns: dict[str, list | np.ndarray] = {name: [] for name, _, _ in element.properties}
    for _ in range(element.count):
        row, at = _row(data, at, element)
        for name, values in row.items():
            columns[name].append(values)  # type: ignore[union-attr]
    return columns, at


def _row(data: bytes, at: int, element: _Element) -> tuple[dict[str, np.ndarray], int]:
    row = {}
    for name, kind, length in element.properties:
        count = 1
        if length:
            count = int(np.frombuffer(data, length, 1, at)[0])
            at += np.dtype(length).itemsize
        size = count * np.dtype(kind).itemsize
        if count < 0 or at + size > len(data):
            raise InputError("the PLY file ends before its counts are met; copy or export it again")
        values = np.frombuffer(data, kind, count, at)
        row[name] = values if length else values[0]
        at += size
    return row, at


def _colours(vertex: dict[str, list | np.ndarray]) -> np.ndarray | None:
    if not all(name in vertex for name in ("red", "green", "blue")):
        return None
    channels = [np.asarray(vertex[name]) for name in ("red", "green", "blue")]
    colours = np.nan_to_num(np.stack(channels, axis=1).astype(np.float64))
    is_unit = channels[0].dtype.kind == "f" and colours.max(initial=0.0) <= 1.0
    return np.round(np.clip(colours * (255.0 if is_unit else 1.0), 0, 255)).astype(np.uint8)


def write_ply(mesh: Mesh) -> bytes:
    """Binary little-endian PLY with float64 coordinates, and colours where the mesh has them."""
    fields: list[tuple] = [("xyz", "<f8", 3)]
    header = ["ply", "format binary_little_endian 1.0", "comment monoform", f"element vertex {len(mesh.vertices)}"]
    header += [f"property double {axis}" for axis in "xyz"]
    if mesh.colours is not None:
        fields.append(("rgb", "u1", 3))
        header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    header += [f"element face {len(mesh.faces)}", "property list uchar int vertex_indices", "end_header", ""]
    rows = np.zeros(len(mesh.vertices), fields)
    rows["xyz"] = mesh.vertices
    if mesh.colours is not None:
        rows["rgb"] = mesh.colours
    faces = np.zeros(len(mesh.faces), [("count", "u1"), ("ids", "<i4", 3)])
    faces["count"], faces["ids"] = 3, mesh.faces
    return "\n".join(header).encode("ascii") + rows.tobytes() + faces.tobytes()
