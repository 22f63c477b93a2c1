"""A result as a folder: names, the record and its schema, and writing so that result.json appears last.

``out/<stem>/`` holds overlay.png, mask.png, mesh_posed.glb, refine.json, cameras/ and result.json. Whoever sees a
result.json sees a complete folder, as it is written after everything else.
"""

import hashlib
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np

from monoform.errors import SchemaError
from monoform.files.atomic import write_atomic
from monoform.files.cameras import OPENGL_FROM_OPENCV, write_cameras
from monoform.interfaces import Alignment, Mask, Photo
from monoform.meshes import Mesh

SCHEMA_VERSION = 1
MAX_BYTES = 64_000_000
MAX_NAME_BYTES = 100
DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
"""Names that Windows keeps for devices."""
OWN_NAMES = {"results.jsonl", "run.json"}
"""Files that stand beside the folders."""


@dataclass(frozen=True, eq=False)
class PhotoMatch:
    """A photo, the mesh that was found in it, and where."""

    photo: Photo
    mask: Mask
    mesh: Mesh
    """In its file's own frame and unit."""
    mesh_name: str
    alignment: Alignment
    unit: str = "file"
    """'m', 'cm', 'mm', or 'file' when nobody said what the mesh's unit is."""
    content_sha256: str = ""
    """Over everything that decides the result; `--resume` compares it."""
    candidates: tuple[tuple[str, Alignment], ...] = ()
    """With a library: every mesh that was tried, best first."""


# --- the record --------------------------------------------------------------------------------------------------


def to_record(match: PhotoMatch) -> dict[str, Any]:
    """The content of result.json; numbers that are not finite become null."""
    found = match.alignment
    record = {
        "schema_version": SCHEMA_VERSION,
        "monoform_version": metadata.version("monoform"),
        "photo": match.photo.path.name if match.photo.path else "",
        "content_sha256": match.content_sha256,
        "image_size_wh": list(found.image_size_wh),
        "crop_to_original": found.crop_to_original.tolist(),
        "unit": match.unit,
        "K": found.K.tolist(),
        "K_assumed": found.K_assumed,
        "K_source": found.K_source,
        "mask_source": match.mask.source,
        "mask_components": match.mask.components,
        "truncated": match.mask.truncated,
        "mesh": {"name": match.mesh_name, "vertices": len(match.mesh.vertices), "faces": len(match.mesh.faces)},
        "poses": [_pose_record(pose) for pose in found.poses],
        "ambiguous": found.ambiguous,
        "ambiguity": found.ambiguity,
        "symmetry": found.symmetry,
        "candidates": [_candidate_record(name, tried) for name, tried in match.candidates],
        "warnings": list(dict.fromkeys((*match.photo.warnings, *match.mask.warnings, *found.warnings))),
        "timings": dict(found.timings_s),
    }
    return plain(record)


def _pose_record(pose) -> dict[str, Any]:
    return {
        "R_model_to_camera_opencv": pose.R.tolist(),
        "t_model_to_camera": pose.t.tolist(),
        "quaternion_wxyz": quaternion_wxyz(pose.R),
        "iou": pose.iou,
        "contour_px": pose.contour_px,
        "appearance": pose.appearance,
        "weight": pose.weight,
        "same_as": pose.same_as,
    }


def _candidate_record(name: str, tried: Alignment) -> dict[str, Any]:
    return {"mesh": name, "iou": tried.poses[0].iou, "contour_px": tried.poses[0].contour_px}


def quaternion_wxyz(R: np.ndarray) -> list[float]:
    """Unit quaternion of a rotation, scalar first, w >= 0."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(R).as_quat(canonical=True, scalar_first=True).tolist()


def plain(value: Any) -> Any:
    """The same value in types that JSON has: NumPy scalars and paths converted, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


# --- the schema --------------------------------------------------------------------------------------------------


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of result.json, as printed by `monoform schema`."""
    return read_schema("result")


def read_schema(name: str) -> dict[str, Any]:
    """The JSON schema of that name in the package."""
    return json.loads(resources.files("monoform").joinpath(f"{name}.schema.json").read_text(encoding="utf-8"))


def validate(record: Any, rules: dict[str, Any] | None = None, *, name: str = "result") -> None:
    """`SchemaError` with the path of the first value, from `name` on, that does not follow the rules: a JSON schema of
    the keywords that the project's own use; left out, that of result.json."""
    rules = schema() if rules is None else rules
    _check(record, rules, name, rules.get("$defs", {}))


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def _check(value: Any, rule: dict[str, Any], where: str, shared: dict[str, Any]) -> None:
    """The keywords of JSON schema that the project's schemas use (jsonschema itself is only a test's oracle)."""
    if "$ref" in rule:
        rule = shared[rule["$ref"].rsplit("/", 1)[1]]
    if "enum" in rule and value not in rule["enum"]:
        raise SchemaError(f"{where} is {_short(value)}; it must be one of {', '.join(rule['enum'])}")
    if "type" in rule and not _has_type(value, rule["type"]):
        raise SchemaError(f"{where} is {_short(value)}; its type must be {rule['type']}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, rule, where)
    elif isinstance(value, list):
        _check_array(value, rule, where, shared)
    elif isinstance(value, dict):
        _check_object(value, rule, where, shared)


def _has_type(value: Any, names: str | list[str]) -> bool:
    allowed = [names] if isinstance(names, str) else names
    if value is None or isinstance(value, bool):
        return ("null" if value is None else "boolean") in allowed
    return any(name in TYPES and isinstance(value, TYPES[name]) for name in allowed)


def _check_number(value: float, rule: dict[str, Any], where: str) -> None:
    low, high = rule.get("minimum", -math.inf), rule.get("maximum", math.inf)
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemaError(f"{where} is {value}; it must be a finite number")
    if not low <= value <= high:
        raise SchemaError(f"{where} is {_short(value)}; it must lie between {low} and {high}")
    if value <= rule.get("exclusiveMinimum", -math.inf):
        raise SchemaError(f"{where} is {_short(value)}; it must be greater than {rule['exclusiveMinimum']}")


def _check_array(value: list, rule: dict[str, Any], where: str, shared: dict[str, Any]) -> None:
    low, high = rule.get("minItems", 0), rule.get("maxItems", math.inf)
    if not low <= len(value) <= high:
        raise SchemaError(f"{where} has {len(value)} items; it needs {low if low == high else f'{low} or more'}")
    for index, item in enumerate(value):
        _check(item, rule.get("items", {}), f"{where}[{index}]", shared)


def _check_object(value: dict, rule: dict[str, Any], where: str, shared: dict[str, Any]) -> None:
    known, others = rule.get("properties", {}), rule.get("additionalProperties", True)
    missing = [name for name in rule.get("required", ()) if name not in value]
    if missing:
        raise SchemaError(f"{where} lacks '{missing[0]}'")
    for name, item in value.items():
        if name not in known and others is False:
            raise SchemaError(f"{where} has an unknown field {_short(name)}")
        _check(item, known.get(name, others if isinstance(others, dict) else {}), f"{where}.{name}", shared)


def _short(value: Any) -> str:
    text = "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def load_result(path: str | Path) -> dict[str, Any]:
    """The validated record of a result.json, or of the folder that holds one; `SchemaError` for anything else."""
    file = Path(path)
    try:
        file = file / "result.json" if file.is_dir() else file
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SchemaError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(raw) > MAX_BYTES:
        raise SchemaError(f"{file}: larger than {MAX_BYTES // 1_000_000} MB, so not a result of monoform")
    try:
        record = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{file}: not valid JSON ({error})") from error
    try:
        validate(record)
    except SchemaError as error:
        raise SchemaError(f"{file}: {error}") from error
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# --- writing -----------------------------------------------------------------------------------------------------


def write_result(
    match: PhotoMatch, folder: Path, overlay: np.ndarray, *, cameras: Sequence[str] = ()
) -> dict[str, Any]:
    """Write a result's folder, result.json last, and return its record.

    `overlay` is the (h, w, 3) uint8 picture; `cameras` names formats of `files.cameras`. The same match gives the same
    bytes.
    """
    from monoform.files.images import save_png
    from monoform.files.meshes import save_mesh

    record = to_record(match)
    validate(record)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").unlink(missing_ok=True)
    best = match.alignment.poses[0]
    save_png(np.rint(match.mask.coverage * 255.0).astype(np.uint8), folder / "mask.png")
    save_png(overlay, folder / "overlay.png")
    save_mesh(posed_mesh(match.mesh, best.R, best.t), folder / "mesh_posed.glb")
    write_json(folder / "refine.json", _refine_record(match.alignment))
    write_cameras(folder, tuple(cameras), best.R, best.t, match.alignment.K, match.alignment.image_size_wh, match.unit)
    write_json(folder / "result.json", record)
    return record


def posed_mesh(mesh: Mesh, R: np.ndarray, t: np.ndarray) -> Mesh:
    """The mesh in the camera's frame with glTF's axes: +x right, +y up, the camera at the origin looks along -z."""
    camera = mesh.vertices @ (OPENGL_FROM_OPENCV @ R).T + OPENGL_FROM_OPENCV @ t
    return replace(mesh, vertices=camera)


def _refine_record(alignment: Alignment) -> dict[str, Any]:
    steps = [
        {
            "R_model_to_camera_opencv": step.R.tolist(),
            "t_model_to_camera": step.t.tolist(),
            "loss": step.loss,
            "iou": step.iou,
            "resolution": step.resolution,
        }
        for step in alignment.trace
    ]
    return {"schema_version": SCHEMA_VERSION, "steps": steps}


def write_json(path: Path, value: Any) -> None:
    """A value as indented ASCII JSON without NaN, written atomically."""
    write_atomic(path, (json.dumps(plain(value), indent=2, allow_nan=False) + "\n").encode("ascii"))


# --- names -------------------------------------------------------------------------------------------------------


def safe_name(stem: str) -> str:
    """A file's stem as a folder name that every system takes: letters, digits, space and .-_()+ of any script."""
    text = unicodedata.normalize("NFC", stem.encode("utf-8", errors="replace").decode("utf-8"))
    text = re.sub(r"[^\w .()+-]", "_", text).strip(" .")
    text = text.encode("utf-8")[:MAX_NAME_BYTES].decode("utf-8", errors="ignore").strip(" .")
    taken = text.lower() in OWN_NAMES or text.lower().split(".")[0] in DEVICE_NAMES
    return f"_{text}" if taken or not text else text


def folder_names(paths: Sequence[Path]) -> list[str]:
    """One folder name an input; inputs whose names would collide all get a suffix from a hash of their path."""
    stems = [safe_name(path.stem) for path in paths]
    counts = Counter(stem.casefold() for stem in stems)
    return [stem if counts[stem.casefold()] == 1 else f"{stem}-{_path_hash(path)}" for path, stem in zip(paths, stems)]


def _path_hash(path: Path) -> str:
    return hashlib.sha256(path.as_posix().encode("utf-8", errors="surrogateescape")).hexdigest()[:8]
