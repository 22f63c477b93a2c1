"""obj, off and stl: polygons in, triangles out; and their writers. Materials and textures are never opened."""

import re
from collections.abc import Iterator

import numpy as np

from monoform.errors import InputError
from monoform.files.mesh_parts import Part, check_face_count, triangulate
from monoform.meshes import Mesh, face_normals

_STL_HEADER = 84
_STL_FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


# --- Wavefront OBJ -----------------------------------------------------------------------------------------------


def read_obj(data: bytes, max_faces: int) -> Part:
    """Vertices (with colours where all have them) and polygons; an error names the line."""
    rows: list[list[float]] = []
    polygons: list[list[int]] = []
    text = data.decode("utf-8", errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(("v ", "v\t")):
            rows.append(_obj_vertex(line, number))
        elif line.startswith(("f ", "f\t")):
            polygons.append(_obj_face(line, number, len(rows)))
            check_face_count(len(polygons), max_faces)
    _check_forward_references(text, polygons, len(rows))
    vertices = np.array([row[:3] for row in rows], np.float64).reshape(-1, 3)
    colours = None
    if rows and all(len(row) >= 6 for row in rows):
        colours = np.array([row[3:6] for row in rows])
        # Some exporters write 0..255; the common form is 0..1.
        colours = np.round(np.clip(np.nan_to_num(colours * (255.0 if colours.max() <= 1.0 else 1.0)), 0, 255))
    return Part(vertices, triangulate(polygons, vertices), None if colours is None else colours.astype(np.uint8))


def _obj_vertex(line: str, number: int) -> list[float]:
    try:
        row = [float(word) for word in line.split("#")[0].split()[1:]]
    except ValueError:
        raise InputError(f"line {number} is no vertex: {line.strip()[:60]!r}; export the OBJ again") from None
    if len(row) < 3:
        raise InputError(f"line {number} has a vertex of {len(row)} numbers; export the OBJ again")
    return row


def _obj_face(line: str, number: int, vertices_so_far: int) -> list[int]:
    try:
        given = [int(word.split("/")[0]) for word in line.split("#")[0].split()[1:]]
    except ValueError:
        raise InputError(f"line {number} is no face: {line.strip()[:60]!r}; export the OBJ again") from None
    # Negative ids count back from the vertices read so far.
    ids = [i - 1 if i > 0 else vertices_so_far + i for i in given]
    if 0 in given or min(ids, default=0) < 0:
        raise InputError(
            f"line {number} names vertex {min(given)}, but {vertices_so_far} came before; export the OBJ again"
        )
    return ids


def _check_forward_references(text: str, polygons: list[list[int]], count: int) -> None:
    """Faces may name vertices that come later, so the upper end is checked once all are read."""
    worst = max((max(polygon, default=0) for polygon in polygons), default=-1)
    if worst < count:
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(("f ", "f\t")) and max(_obj_face(line, number, count), default=0) >= count:
            raise InputError(f"line {number} names vertex {worst + 1} of {count}; export the OBJ again")


def write_obj(mesh: Mesh) -> bytes:
    """OBJ text with exact coordinates; colours after them, 0..1 sRGB, as most readers understand."""
    rows = [f"v {x!r} {y!r} {z!r}" for x, y, z in mesh.vertices.tolist()]
    if mesh.colours is not None:
        rgb = (mesh.colours / 255.0).round(6).tolist()
        rows = [f"{row} {r:g} {g:g} {b:g}" for row, (r, g, b) in zip(rows, rgb, strict=True)]
    rows += [f"f {a} {b} {c}" for a, b, c in (mesh.faces + 1).tolist()]
    return ("\n".join(rows) + "\n").encode("ascii")


# --- OFF ---------------------------------------------------------------------------------------------------------


def read_off(data: bytes, max_faces: int) -> Part:
    """OFF and COFF text; the counts may stand on the first line (as in ModelNet's files)."""
    lines = _off_lines(data.decode("utf-8", errors="replace"))
    kind = re.match(r"(ST)?(C)?(N)?OFF", next(lines, ""), re.IGNORECASE)
    if kind is None:
        raise InputError("the file does not start with OFF; export it again")
    first = next(_off_lines(data.decode("utf-8", errors="replace")))[kind.end() :].strip() or next(lines, "")
    counts = [int(word) for word in first.split()[:2]]
    if len(counts) < 2 or min(counts) < 0:
        raise InputError("the OFF file has no line of counts; export it again")
    check_face_count(counts[1], max_faces)
    if counts[0] + counts[1] > len(data):
        raise InputError(
            f"the OFF file claims {counts[0]:,} vertices and {counts[1]:,} faces in {len(data):,} bytes; "
            "export it again"
        )
    rows = [[float(word) for word in next(lines, "").split()] for _ in range(counts[0])]
    faces = [[int(word) for word in next(lines, "").split()] for _ in range(counts[1])]
    if any(len(row) < 3 for row in rows) or any(len(face) < 1 + face[0] if face else True for face in faces):
        raise InputError("the OFF file ends before its counts are met; export it again")
    vertices = np.array([row[:3] for row in rows], np.float64).reshape(-1, 3)
    polygons = [face[1 : 1 + face[0]] for face in faces]
    ids = np.array([i for polygon in polygons for i in polygon], np.int64)
    if len(ids) and (ids.min() < 0 or ids.max() >= counts[0]):
        raise InputError(
            f"a face of the OFF file names vertex {ids.max()} or {ids.min()} of {counts[0]}; export it again"
        )
    return Part(vertices, triangulate(polygons, vertices), _off_colours(rows, kind.group(2) is not None))


def _off_lines(text: str) -> Iterator[str]:
    stripped = (line.split("#")[0].strip() for line in text.splitlines())
    return (line for line in stripped if line)


def _off_colours(rows: list[list[float]], coloured: bool) -> np.ndarray | None:
    if not coloured or not all(len(row) >= 6 for row in rows):
        return None
    colours = np.nan_to_num(np.array([row[3:6] for row in rows]))
    return np.round(np.clip(colours * (255.0 if colours.max() <= 1.0 else 1.0), 0, 255)).astype(np.uint8)


# --- STL ---------------------------------------------------------------------------------------------------------


def read_stl(data: bytes, max_faces: int) -> Part:
    """Binary or text STL. A binary one must be as long as its header says."""
    count = int.from_bytes(data[80:84], "little") if len(data) >= _STL_HEADER else -1
    expected = _STL_HEADER + count * _STL_FACE.itemsize
    if count >= 0 and len(data) == expected:
        check_face_count(count, max_faces)
        vertices = np.frombuffer(data, _STL_FACE, count, _STL_HEADER)["corners"].reshape(-1, 3).astype(np.float64)
    elif data.lstrip()[:5].lower() == b"solid" and b"facet" in data[:2048].lower():
        vertices = _text_stl(data, max_faces)
    else:
        raise InputError(
            f"the STL header claims {max(count, 0):,} triangles ({max(expected, 0):,} bytes), but the file has "
            f"{len(data):,} bytes; copy or export it again"
        )
    return Part(vertices, np.arange(len(vertices)).reshape(-1, 3))


def _text_stl(data: bytes, max_faces: int) -> np.ndarray:
    check_face_count(data.count(b"outer"), max_faces)
    words = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data, re.IGNORECASE)
    vertices = np.array([[float(word) for word in row] for row in words], np.float64).reshape(-1, 3)
    if len(vertices) % 3 or not re.search(rb"endsolid", data[-512:], re.IGNORECASE):
        raise InputError("the text STL is cut off; copy or export it again")
    return vertices


def write_stl(mesh: Mesh) -> bytes:
    """Binary STL."""
    faces = np.zeros(len(mesh.faces), _STL_FACE)
    faces["normal"] = face_normals(mesh.vertices, mesh.faces)
    faces["corners"] = mesh.vertices[mesh.faces]
    return b"monoform".ljust(80, b"\0") + len(faces).to_bytes(4, "little") + faces.tobytes()
