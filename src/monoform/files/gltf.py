"""glTF 2.0 and GLB: triangles, node transforms and plain colours in; one mesh out, or a scene of several.

An own reader, because what matters here is what it refuses: buffers outside the file's folder, counts that the bytes do
not hold, compressed geometry that would come back as zeros. Textures, normals, skins and animations are not looked at.
Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

import base64
import json
import struct
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monoform.errors import InputError, NumericError
from monoform.files.mesh_parts import Part, check_face_count, join
from monoform.meshes import Mesh

_COMPONENT = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTH = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_HARMLESS = ("KHR_mesh_quantization", "KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_xmp")
_MAX_DEPTH = 256


@dataclass(frozen=True)
class _Document:
    tree: dict[str, Any]
    buffers: list[bytes]
    max_faces: int


# --- reading -----------------------------------------------------------------------------------------------------


def read_glb(data: bytes, folder: Path, max_faces: int) -> Part:
    """The triangles of a GLB file's default scene in the file's frame. `folder` is where its buffers may lie."""
    if len(data) < 20:
        raise InputError(f"the GLB file ends after {len(data)} bytes; export it again")
    magic, version, length = struct.unpack_from("<4sII", data)
    if magic != b"glTF":
        raise InputError("the file is not GLB (no 'glTF' at its start); export it again")
    if version != 2:
        raise InputError(f"the file is glTF version {version}; export it as version 2")
    if length > len(data):
        raise InputError(f"the GLB file is cut off: {len(data)} of {length} bytes; copy or export it again")
    tree, binary, start = None, None, 12
    while start + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, start)
        if start + 8 + size > len(data):
            raise InputError("a chunk of the GLB file is longer than the file; export it again")
        chunk = data[start + 8 : start + 8 + size]
        tree = chunk if kind == b"JSON" and tree is None else tree
        binary = chunk if kind == b"BIN\0" and binary is None else binary
        start += 8 + size
    if tree is None:
        raise InputError("the GLB file has no JSON chunk; export it again")
    return _read(tree, binary, folder, max_faces)


def read_gltf(data: bytes, folder: Path, max_faces: int) -> Part:
    """The triangles of a .gltf file's default scene; its buffers are embedded or lie in or under `folder`."""
    return _read(data, None, folder, max_faces)


def _read(text: bytes, binary: bytes | None, folder: Path, max_faces: int) -> Part:
    tree = json.loads(text.decode("utf-8"))
    if not isinstance(tree, dict) or not isinstance(tree.get("asset"), dict):
        raise InputError("the glTF file has no 'asset' block; export it again")
    if str(tree["asset"].get("version", "2.0")).split(".")[0] != "2":
        raise InputError(f"the file is glTF version {tree['asset']['version']}; export it as version 2")
    for name in tree.get("extensionsRequired", []):
        if not str(name).startswith(_HARMLESS):
            raise InputError(f"the glTF file needs the extension {name}; export it without compression")
    buffers = [_buffer(entry, binary, folder) for entry in tree.get("buffers", [])]
    document = _Document(tree, buffers, max_faces)
    parts: list[Part] = []
    faces = 0
    for index, matrix in _placed_meshes(tree):
        for primitive in tree["meshes"][index].get("primitives", []):
            part = _primitive(document, primitive, matrix)
            if part is not None:
                faces += len(part.faces)
                check_face_count(faces, max_faces)
                parts.append(part)
    return join(parts)


def _buffer(entry: dict[str, Any], binary: bytes | None, folder: Path) -> bytes:
    uri = entry.get("uri")
    if uri is None:
        if binary is None:
            raise InputError("the glTF file names a binary chunk that it does not have; export it as GLB")
        return binary
    if uri.startswith("data:"):
        return base64.b64decode(uri.split(",", 1)[1], validate=True)
    name = urllib.parse.unquote(uri)
    is_plain = not (":" in name.split("/")[0] or name.startswith("/") or "\\" in name or "\0" in name)
    path = (folder / name).resolve() if is_plain else folder
    if not is_plain or not path.is_relative_to(folder.resolve()):
        raise InputError(f"the glTF file asks for {uri!r}; only files in its own folder are read: export it as GLB")
    if not path.is_file():
        raise InputError(f"the glTF file asks for {uri!r}, which is missing; put it beside the file or export as GLB")
    if path.stat().st_size > entry.get("byteLength", 0) + 4096:
        raise InputError(f"the buffer {uri!r} is longer than the glTF file says; export it again")
    return path.read_bytes()


def _placed_meshes(tree: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    """(mesh index, (4, 4) matrix to the file's frame) of every node of the default scene that shows a mesh."""
    nodes = tree.get("nodes", [])
    if "scenes" in tree:
        roots = tree["scenes"][tree.get("scene", 0)].get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    placed: list[tuple[int, np.ndarray]] = []
    seen: set[int] = set()
    stack = [(root, np.eye(4), 0) for root in reversed(roots)]
    while stack:
        index, parent, depth = stack.pop()
        if index in seen or depth > _MAX_DEPTH:
            raise InputError("the glTF nodes are no tree (a node has two parents); export it again")
        seen.add(index)
        node = nodes[index]
        matrix = parent @ _node_matrix(node)
        if "mesh" in node:
            placed.append((node["mesh"], matrix))
        stack.extend((child, matrix, depth + 1) for child in reversed(node.get("children", [])))
    return placed


def _node_matrix(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    from scipy.spatial.transform import Rotation

    matrix = np.eye(4)
    matrix[:3, :3] = np.diag(np.array(node.get("scale", [1, 1, 1]), np.float64))
    if "rotation" in node:
        matrix[:3, :3] = Rotation.from_quat(node["rotation"]).as_matrix() @ matrix[:3, :3]
    matrix[:3, 3] = node.get("translation", [0, 0, 0])
    return matrix


def _primitive(document: _Document, primitive: dict[str, Any], matrix: np.ndarray) -> Part | None:
    mode = primitive.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return None
    attributes = primitive["attributes"]
    local, _ = _accessor(document, attributes["POSITION"])
    if not np.isfinite(local).all():
        raise NumericError("vertices in the glTF file are NaN or infinite; repair the mesh and export it again")
    if "indices" in primitive:
        index, kind = _accessor(document, primitive["indices"])
        if kind.kind != "u":
            raise InputError(f"the glTF file's indices are {kind}, not whole numbers; export it again")
        index = index[:, 0].astype(np.int64)
    else:
        index = np.arange(len(local))
    faces = _triangles(index, mode)
    if np.linalg.det(matrix[:3, :3]) < 0:
        faces = faces[:, ::-1]
    return Part(local @ matrix[:3, :3].T + matrix[:3, 3], faces, _colours(document, primitive, len(local)))


def _triangles(index: np.ndarray, mode: int) -> np.ndarray:
    if mode == _TRIANGLES:
        if len(index) % 3:
            raise InputError(f"{len(index)} triangle corners in the glTF file are no multiple of 3; export it again")
        return index.reshape(-1, 3)
    count = max(len(index) - 2, 0)
    if mode == _FAN:
        return np.stack([np.full(count, index[0] if count else 0), index[1 : count + 1], index[2 : count + 2]], axis=1)
    strip = np.stack([index[:count], index[1 : count + 1], index[2 : count + 2]], axis=1)
    strip[1::2] = strip[1::2, ::-1]
    return strip


def _accessor(document: _Document, index: int) -> tuple[np.ndarray, np.dtype]:
    """(count, width) numbers, normalised integers already divided, and the stored type."""
    accessor = document.tree["accessors"][index]
    dtype, width, count = np.dtype(_COMPONENT[accessor["componentType"]]), _WIDTH[accessor["type"]], accessor["count"]
    if "sparse" in accessor or "bufferView" not in accessor:
        raise InputError("the glTF file keeps geometry in sparse or empty accessors; export it again without them")
    if not isinstance(count, int) or count < 0:
        raise InputError(f"a glTF accessor claims {count} elements; export it again")
    check_face_count(count // 3, 4 * document.max_faces)
    view = document.tree["bufferViews"][accessor["bufferView"]]
    if "EXT_meshopt_compression" in view.get("extensions", {}):
        raise InputError("the glTF file is compressed (EXT_meshopt_compression); export it without compression")
    begin, size = view.get("byteOffset", 0), view["byteLength"]
    data = document.buffers[view["buffer"]]
    offset, stride = accessor.get("byteOffset", 0), view.get("byteStride", dtype.itemsize * width)
    row = dtype.itemsize * width
    needed = offset + (count - 1) * stride + row if count else 0
    if min(begin, size, offset) < 0 or stride < row or begin + size > len(data) or needed > size:
        raise InputError("a glTF accessor reaches beyond its buffer: the file is cut off or damaged; export it again")
    array = np.ndarray((count, width), dtype, data, begin + offset, (stride, dtype.itemsize))
    # A cast warns of NaN; whoever needs finite numbers says so in words.
    with np.errstate(invalid="ignore"):
        values = array.astype(np.float64)
    if accessor.get("normalized") and dtype.kind in "iu":
        values = np.maximum(values / np.iinfo(dtype).max, -1.0)
    return values, dtype


# --- colours -----------------------------------------------------------------------------------------------------


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1 transfer curve; values in [0, 1]."""
    linear = np.clip(linear, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Inverse of `linear_to_srgb`."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _colours(document: _Document, primitive: dict[str, Any], count: int) -> np.ndarray | None:
    """(count, 3) uint8 sRGB: the material's factor times the vertex colours; None where neither is given.

    The specification wants linear vertex colours, but common exporters write sRGB bytes. So bytes are taken
    as sRGB, wider types as linear. Material factors are linear.
    """
    factor = _base_colour(document.tree, primitive)
    if "COLOR_0" not in primitive["attributes"]:
        if factor is None:
            return None
        return np.tile(np.round(255 * linear_to_srgb(factor)).astype(np.uint8), (count, 1))
    values, dtype = _accessor(document, primitive["attributes"]["COLOR_0"])
    if len(values) != count or values.shape[1] < 3:
        raise InputError(f"the glTF file has {len(values)} colours for {count} vertices; export it again")
    colours = np.clip(np.nan_to_num(values[:, :3]), 0.0, 1.0)
    if factor is None and dtype.itemsize == 1:
        return np.round(255 * colours).astype(np.uint8)
    linear = srgb_to_linear(colours) if dtype.itemsize == 1 else colours
    return np.round(255 * linear_to_srgb(linear if factor is None else linear * factor)).astype(np.uint8)


def _base_colour(tree: dict[str, Any], primitive: dict[str, Any]) -> np.ndarray | None:
    """(3,) linear factor of the material; None where there is none (then a texture, if any, is left out too)."""
    if "material" not in primitive:
        return None
    factor = tree["materials"][primitive["material"]].get("pbrMetallicRoughness", {}).get("baseColorFactor")
    return None if factor is None else np.clip(np.nan_to_num(np.array(factor, np.float64)[:3]), 0.0, 1.0)


# --- writing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Placed:
    """A mesh as a named node of a scene."""

    name: str
    mesh: Mesh
    """In its own frame; without colours of its own it takes `colour`."""
    matrix: np.ndarray
    """(4, 4) similarity, the mesh's frame to the scene's: ``x_scene = matrix @ (x, 1)``."""
    colour: tuple[int, int, int]
    """sRGB levels."""


@dataclass(frozen=True)
class SceneCamera:
    """A camera at the scene's origin that looks along -z, y up. glTF knows no principal point: `K` is kept as an extra."""

    K: np.ndarray
    """(3, 3) in pixels."""
    size_wh: tuple[int, int]
    near_far: tuple[float, float]


def write_glb(mesh: Mesh) -> bytes:
    """A GLB file of one mesh in its own frame; colours as sRGB bytes in COLOR_0. Float32 positions."""
    blobs: list[tuple[int, bytes]] = []
    accessors: list[dict[str, Any]] = []
    primitive = _write_primitive(mesh, blobs, accessors)
    tree = {
        "asset": {"version": "2.0", "generator": "monoform"},
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}], "materials": [_material()],
    }  # fmt: skip
    return _pack(tree, accessors, blobs)


def write_scene_glb(objects: Sequence[Placed], camera: SceneCamera) -> bytes:
    """A GLB file of several meshes, a named node each, and the camera that sees them; the scene's frame is +y up.

    Meshes are stored in their own frames and placed by their nodes' matrices, so that one can be exchanged for another.
    """
    blobs: list[tuple[int, bytes]] = []
    accessors: list[dict[str, Any]] = []
    meshes, materials, nodes = [], [], []
    for index, placed in enumerate(objects):
        primitive = _write_primitive(placed.mesh, blobs, accessors)
        meshes.append({"name": placed.name, "primitives": [{**primitive, "material": index}]})
        materials.append(_material(placed.colour if placed.mesh.colours is None else None))
        nodes.append({"name": placed.name, "mesh": index, "matrix": placed.matrix.T.ravel().tolist()})
    nodes.append({"name": "camera", "camera": 0})
    tree = {
        "asset": {"version": "2.0", "generator": "monoform"},
        "scene": 0, "scenes": [{"nodes": list(range(len(nodes)))}], "nodes": nodes,
        "cameras": [_camera(camera)], "meshes": meshes, "materials": materials,
    }  # fmt: skip
    return _pack(tree, accessors, blobs)


def _camera(camera: SceneCamera) -> dict[str, Any]:
    (w, h), (near, far), K = camera.size_wh, camera.near_far, camera.K
    perspective = {"yfov": float(2 * np.arctan(h / 2 / K[1, 1])), "aspectRatio": float(w / K[0, 0] / (h / K[1, 1])),
                   "znear": near, "zfar": far}  # fmt: skip
    extras = {"K": K.tolist(), "image_size_wh": [w, h]}
    return {"name": "photo", "type": "perspective", "perspective": perspective, "extras": extras}


def _material(colour: tuple[int, int, int] | None = None) -> dict[str, Any]:
    """Neither metal nor gloss, seen from both sides; colour: sRGB levels."""
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.8}
    if colour is not None:
        surface["baseColorFactor"] = [*srgb_to_linear(np.array(colour) / 255).tolist(), 1.0]
    return {"pbrMetallicRoughness": surface, "doubleSided": True}


def _write_primitive(mesh: Mesh, blobs: list[tuple[int, bytes]], accessors: list[dict[str, Any]]) -> dict[str, Any]:
    """Append a mesh's arrays, with what glTF is to use them for, and their accessors; how a mesh of the tree names them."""
    first, positions = len(accessors), mesh.vertices.astype("<f4")
    blobs += [(34963, mesh.faces.astype("<u4").tobytes()), (34962, positions.tobytes())]
    accessors += [
        {"bufferView": first, "componentType": 5125, "count": mesh.faces.size, "type": "SCALAR"},
        {"bufferView": first + 1, "componentType": 5126, "count": len(positions), "type": "VEC3",
         "min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()},
    ]  # fmt: skip
    attributes = {"POSITION": first + 1}
    if mesh.colours is not None:
        opaque = np.full((len(positions), 1), 255, np.uint8)
        blobs.append((34962, np.concatenate([mesh.colours, opaque], axis=1).tobytes()))
        accessors.append(
            {
                "bufferView": first + 2,
                "componentType": 5121,
                "normalized": True,
                "count": len(positions),
                "type": "VEC4",
            }
        )
        attributes["COLOR_0"] = first + 2
    return {"attributes": attributes, "indices": first, "material": 0, "mode": _TRIANGLES}


def _pack(tree: dict[str, Any], accessors: list[dict[str, Any]], blobs: list[tuple[int, bytes]]) -> bytes:
    """The file: header, the tree with its accessors and views as JSON, and the arrays."""
    starts = np.cumsum([0] + [len(blob) for _, blob in blobs])
    views = [{"buffer": 0, "byteOffset": int(start), "byteLength": len(blob), "target": target}
             for start, (target, blob) in zip(starts, blobs, strict=False)]  # fmt: skip
    tree = {**tree, "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": int(starts[-1])}]}
    text = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(blob for _, blob in blobs)
    head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
    return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
