"""The same images by Blender's Cycles, in a Python of its own that has `bpy`.

Only files pass between the two: a folder with the meshes as PLY, `job.json` with cameras, lights and paths, and, when the
other Python is done, one PNG (RGBA) and one depth file an image. This Python never imports bpy.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from monoform.data.rendering import Model, View
from monoform.errors import InputError, MissingExtraError
from monoform.files.meshes import save_mesh

SCRIPT = Path(__file__).with_name("blender_script.py")
SAMPLES = 16
TIMEOUT_S = 3600.0
SUN_STRENGTH, SKY_STRENGTH = 3.0, 0.6


@dataclass(frozen=True, eq=False)
class CyclesImage:
    """What Cycles gave for one view."""

    image: np.ndarray
    """(h, w, 3) uint8 sRGB, before black."""
    mask: np.ndarray
    """(h, w) float32: alpha, antialiased by the samples."""
    depth: np.ndarray
    """(h, w) float32 z in the camera frame, box diagonals; inf where empty."""


def render_with_blender(
    models: Sequence[Model], views: Sequence[View], blender_python: Path, folder: Path, *, samples: int = SAMPLES
) -> list[CyclesImage]:
    """Draw the views' cameras once more by Cycles. folder: empty or missing, keeps the job and its results.

    Raises MissingExtraError if there is no such Python or it has no bpy, InputError if the run fails or a result is damaged.
    """
    if not blender_python.is_file():
        raise MissingExtraError(f"{blender_python}: no Python is there; give --blender-python the path to one with bpy")
    job = write_job(models, views, folder, samples)
    command = [str(blender_python), str(SCRIPT), str(job)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{blender_python}: the run of Blender failed ({error}); look into {folder}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        if "No module named 'bpy'" in done.stderr:
            raise MissingExtraError(f"{blender_python}: this Python has no bpy; run it with -m pip install bpy")
        raise InputError(f"{blender_python}: Blender ended with {done.returncode}: {lines[-1]}; look into {folder}")
    return read_results(job)


def write_job(models: Sequence[Model], views: Sequence[View], folder: Path, samples: int = SAMPLES) -> Path:
    """Write the meshes (each once) and job.json; returns the path of the latter. Raises InputError for a filled folder."""
    if len(models) != len(views):
        raise ValueError(f"{len(models)} models for {len(views)} views; give one a view")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise InputError(f"{folder}: the folder of a Blender job must be empty; clear it or give another")
    files: dict[int, str] = {}
    records = []
    for number, (model, view) in enumerate(zip(models, views, strict=True)):
        if id(model) not in files:
            files[id(model)] = f"mesh-{len(files):05d}.ply"
            save_mesh(model.mesh, folder / files[id(model)])
        records.append(_record(number, files[id(model)], view))
    job = folder / "job.json"
    content = {"samples": samples, "sun": SUN_STRENGTH, "sky": SKY_STRENGTH, "images": records}
    job.write_text(json.dumps(content, indent=1))
    return job


def _record(number: int, mesh: str, view: View) -> dict[str, object]:
    """One image: the camera as Blender has it (camera to world, +x right, +y up, -z forward; shifts in image widths).

    The PLY's axes are taken as they are, so that the world is the object's canonical frame.
    """
    camera, (h, w) = view.camera, view.mask.shape
    matrix = np.eye(4)
    matrix[:3, :3] = camera.R.T @ np.diag([1.0, -1.0, -1.0])
    matrix[:3, 3] = -camera.R.T @ camera.t
    K = camera.K
    return {
        "mesh": mesh,
        "image": f"image-{number:05d}.png",
        "depth": f"depth-{number:05d}.npy",
        "size_hw": [h, w],
        "camera_to_world": matrix.tolist(),
        "focal_px": float(K[0, 0]),
        "shift_x": float((w / 2.0 - K[0, 2]) / w),
        "shift_y": float((K[1, 2] - h / 2.0) / w),
    }


def read_results(job: Path) -> list[CyclesImage]:
    """Read what the other Python wrote. Raises InputError naming the first file that is missing or damaged."""
    records = json.loads(job.read_text())["images"]
    return [_read_one(job.parent, record) for record in records]


def _read_one(folder: Path, record: dict) -> CyclesImage:
    path = folder / record["image"]
    try:
        with Image.open(path) as picture:
            rgba = np.asarray(picture.convert("RGBA"))
        path = folder / record["depth"]
        depth = np.load(path, allow_pickle=False).astype(np.float32)
    except (OSError, ValueError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: Blender's result is missing or damaged ({error}); render it again") from error
    size = tuple(record["size_hw"])
    if rgba.shape[:2] != size or depth.shape != size:
        raise InputError(f"{path}: Blender's result is not of {size[1]}x{size[0]} pixels; render it again")
    mask = rgba[..., 3].astype(np.float32) / 255.0
    image = np.rint(rgba[..., :3] * mask[..., None]).astype(np.uint8)
    return CyclesImage(image, mask, np.where(depth < 1e9, depth, np.inf).astype(np.float32))
