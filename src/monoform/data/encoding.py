"""A sample as files and back: image.png or .jpg, mask.png, pose.json, mesh.glb, voxels.npz, depth.npz.

Equal samples give equal bytes. Masks are kept in steps of 1/255, mesh positions as float32; all else is kept exactly,
a JPEG's pixels excepted.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.files.gltf import read_glb, write_glb
from monoform.files.images import load_image
from monoform.meshes import Mesh
from monoform.results import plain

JPEG_QUALITY = 95
MESH = "mesh.glb"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGEST_ARRAY = 1 << 29
_MOST_FACES = 5_000_000
_CELLS_KEY = "voxels"
_NOT_ORTHONORMAL = 2e-3
FILES = ("image.png", "image.jpg", "mask.png", "pose.json", MESH, "voxels.npz", "depth.npz")
"""All names that `encode` gives."""


@dataclass(frozen=True)
class Choices:
    """How a sample is written."""

    image_format: str = "png"
    """'png', which keeps every pixel, or 'jpg'."""


def key_of(item: Item) -> str:
    """The item's name in files: its id where that is plain; else the id's plain part and a hash of the whole.

    Without dots, as WebDataset takes the key of a file to end at the first one.
    """
    return plain_name(item.id)


def plain_name(text: str) -> str:
    """Letters, digits and ``_+-`` only, at most 80; texts that differ stay different."""
    safe = re.sub(r"[^0-9A-Za-z_+-]", "_", text)
    if safe == text and 0 < len(text) <= 80:
        return text
    return f"{safe[:69]}-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:10]}"


# --- writing -----------------------------------------------------------------------------------------------------


def encode(sample: Sample, choices: Choices) -> dict[str, bytes]:
    """Names and contents of the files of a sample, in a fixed order."""
    files: dict[str, bytes] = {}
    if sample.image is not None:
        files[f"image.{choices.image_format}"] = _encode_image(sample.image, choices.image_format)
    if sample.mask is not None:
        files["mask.png"] = _encode_image(np.rint(255.0 * np.clip(sample.mask, 0.0, 1.0)).astype(np.uint8), "png")
    files["pose.json"] = encode_json(_record(sample))
    if sample.mesh is not None:
        files[MESH] = write_glb(sample.mesh)
    if sample.voxels is not None:
        files["voxels.npz"] = encode_npz({_CELLS_KEY: np.asarray(sample.voxels, bool)})
    maps = {"depth": sample.depth, "normals": sample.normals}
    maps = {name: values.astype(np.float32) for name, values in maps.items() if values is not None}
    if maps:
        files["depth.npz"] = encode_npz(maps)
    return files


def encode_json(value: object) -> bytes:
    """ASCII JSON on one line, without NaN."""
    return (json.dumps(plain(value), sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def encode_npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed npz file; a fixed date, which numpy.savez does not give, makes equal arrays equal bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED, 6)
    return archive.getvalue()


def _encode_image(array: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(np.ascontiguousarray(array)).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    else:
        Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def item_record(item: Item) -> dict[str, Any]:
    """An item as JSON."""
    return {
        "id": item.id,
        "object_id": item.object_id,
        "category": item.category,
        "split": item.split,
        "flags": sorted(item.flags),
    }


def item_from(record: Mapping[str, Any]) -> Item:
    """The item of `item_record`. Raises InputError if a field is missing or no text."""
    names = ("id", "object_id", "category", "split")
    texts = [record.get(name) for name in names]
    flags = record.get("flags", [])
    if not all(isinstance(text, str) for text in texts) or not isinstance(flags, list) or not texts[0]:
        raise InputError(f"an item needs the texts {', '.join(names)} and a list of flags; write the set again")
    return Item(*map(str, texts), flags=frozenset(map(str, flags)))


def _record(sample: Sample) -> dict[str, Any]:
    frame = sample.voxel_frame
    pose = {
        "R_object_to_camera_opencv": sample.R,
        "t_object_to_camera": sample.t,
        "K": sample.K,
        "voxel_kind": sample.voxel_kind,
        "voxel_frame": None if frame is None else {"scale": float(frame[0]), "offset": np.asarray(frame[1])},
        "box_xyxy": sample.box_xyxy,
        "keypoints": dict(sample.keypoints),
    }
    return {"item": item_record(sample.item), **pose}


# --- reading -----------------------------------------------------------------------------------------------------


def decode(files: Mapping[str, bytes], item: Item, place: str, mesh: Mesh | None = None) -> Sample:
    """The sample of `encode`; `place` names it in messages; `mesh` is given where it is kept elsewhere.

    Raises InputError, with the damaged file's name, for anything that `encode` does not write.
    """
    decoders = dict(zip(FILES, (_image, _image, _mask, _pose, _mesh, _voxels, _maps), strict=True))
    values: dict[str, Any] = {"mesh": mesh}
    for name, data in files.items():
        if name not in decoders:
            continue
        try:
            values.update(decoders[name](data))
        except _DAMAGE as error:
            cause = " ".join(str(error).split())[:160]
            if isinstance(error, InputError) and ";" in cause:
                raise InputError(f"{place}/{name}: {cause}") from error
            raise InputError(f"{place}/{name}: damaged ({cause}); write the sample again") from error
    listed = values.pop("item", item)
    if listed != item:
        raise InputError(f"{place}/pose.json: is of {listed}, the list of items says {item}; write the set again")
    sample = replace(Sample(item), **values)
    if fault := _contradiction(sample):
        raise InputError(f"{place}: {fault}; write the sample again")
    return sample


_DAMAGE = (InputError, OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, EOFError,
           RecursionError, MemoryError, zipfile.BadZipFile)  # fmt: skip
"""What decoders raise on bytes that `encode` did not write."""


def _contradiction(sample: Sample) -> str:
    """What parts of a sample cannot be, by themselves or together; '' where all is well."""
    sizes = {np.shape(a)[:2] for a in (sample.image, sample.mask, sample.depth, sample.normals) if a is not None}
    if len(sizes) > 1:
        return f"its picture, mask, depth and normals are of different sizes {sorted(sizes)}"
    if sample.depth is not None and (sample.depth.ndim != 2 or np.isnan(sample.depth).any()):
        return "its depth is no map, or holds NaN"
    if sample.normals is not None and (sample.normals.shape[2:] != (3,) or not np.isfinite(sample.normals).all()):
        return "its normals are no map of finite vectors"
    if sample.voxels is not None and len(set(sample.voxels.shape)) != 1:
        return f"its voxels are {sample.voxels.shape}, not a cube"
    R, K, frame = sample.R, sample.K, sample.voxel_frame
    if R is not None and (np.abs(R @ R.T - np.eye(3)).max() > _NOT_ORTHONORMAL or np.linalg.det(R) < 0):
        return "its R is no rotation"
    if K is not None and min(K[0, 0], K[1, 1]) <= 0:
        return "its K has no positive focal lengths"
    if frame is not None and (not 0 < frame[0] < np.inf or frame[1].shape != (3,) or not np.isfinite(frame[1]).all()):
        return "its voxel_frame is no scale and offset"
    return ""


def _image(data: bytes) -> dict[str, Any]:
    return {"image": load_image(data).image}


def _mask(data: bytes) -> dict[str, Any]:
    return {"mask": load_image(data).image[..., 0].astype(np.float32) / np.float32(255.0)}


def _mesh(data: bytes) -> dict[str, Any]:
    return {"mesh": decode_mesh(data)}


def decode_mesh(data: bytes) -> Mesh:
    """The mesh of a GLB file that was written by `encode`, as it is: nothing is merged or turned."""
    from pathlib import Path

    part = read_glb(data, Path(), _MOST_FACES)
    return Mesh(part.vertices, part.faces, part.colours)


def _pose(data: bytes) -> dict[str, Any]:
    record = json.loads(data)
    frame = record["voxel_frame"]
    return {
        "item": item_from(record["item"]),
        "R": _array(record["R_object_to_camera_opencv"], (3, 3)),
        "t": _array(record["t_object_to_camera"], (3,)),
        "K": _array(record["K"], (3, 3)),
        "voxel_kind": str(record["voxel_kind"]),
        "voxel_frame": None if frame is None else (float(frame["scale"]), np.array(frame["offset"], np.float64)),
        "box_xyxy": _array(record.get("box_xyxy"), (4,)),
        "keypoints": {name: _with_nan(values) for name, values in record["keypoints"].items()},
    }


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray | None:
    if values is None:
        return None
    array = np.array(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"an array of shape {array.shape} where {shape} finite numbers belong; write the sample again")
    return array


def _with_nan(values: list[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _voxels(data: bytes) -> dict[str, Any]:
    cells = _arrays(data)[_CELLS_KEY]
    if cells.ndim != 3 or cells.dtype != bool:
        raise InputError(f"voxels are {cells.dtype} of shape {cells.shape}, not a bool grid; write the sample again")
    return {"voxels": cells}


def _maps(data: bytes) -> dict[str, Any]:
    maps = {name: values for name, values in _arrays(data).items() if name in ("depth", "normals")}
    for name, values in maps.items():
        if values.dtype != np.float32:
            raise InputError(f"{name} is {values.dtype}, not float32; write the sample again")
    return maps


def _arrays(data: bytes) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(info.file_size for info in archive.infolist()) > _LARGEST_ARRAY:
            raise InputError(f"more than {_LARGEST_ARRAY:,} bytes of arrays; write the sample again")
    with np.load(io.BytesIO(data), allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}
