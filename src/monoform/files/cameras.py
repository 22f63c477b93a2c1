"""Intrinsics and poses from text and files, and camera files that other tools read.

Inside monoform all is OpenCV: +x right, +y down, +z forward, pixel centres at +0.5, ``x_camera = R @ x_file + t``.
"""

import json
import re
from pathlib import Path

import numpy as np

from monoform.errors import InputError
from monoform.files.atomic import write_atomic

FORMATS = ("opencv", "opengl", "bop", "blender")
UNIT_IN_MM = {"file": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0}
OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
"""Turns a camera frame with y down and z forward into one with y up and z backwards (its own inverse)."""
MAX_BYTES = 1_000_000


# --- reading -----------------------------------------------------------------------------------------------------


def parse_intrinsics(text: str) -> np.ndarray:
    """(3, 3) K from ``fx,fy,cx,cy`` or the path of a file with those 4 numbers, a 3x3 matrix, or json with a `K`."""
    numbers = _numbers(text)
    values = np.array(numbers) if numbers is not None else _read_matrix(Path(text), ("K", "cam_K", "camera_matrix"))
    if values.size == 4:
        fx, fy, cx, cy = values.ravel()
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    if values.size == 9:
        return values.reshape(3, 3)
    raise InputError(f"--K {text}: found {values.size} numbers; give fx,fy,cx,cy or a 3x3 matrix, in pixels")


def check_intrinsics(K: np.ndarray, size_wh: tuple[int, int]) -> list[str]:
    """Warnings about a suspicious K for a photo of `size_wh`; `InputError` for an impossible one."""
    if not np.isfinite(K).all():
        raise InputError("K holds NaN or infinity; give fx,fy,cx,cy in pixels")
    if K[0, 0] <= 0 or K[1, 1] <= 0:
        raise InputError(f"K has focal lengths {K[0, 0]:g} and {K[1, 1]:g}; they must be positive, in pixels")
    if not np.allclose(K[2], (0, 0, 1)) or abs(K[1, 0]) > 1e-9 or abs(K[0, 1]) > 1e-3 * K[0, 0]:
        raise InputError("K must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; undistort and unskew the photo first")
    size, centre = np.array(size_wh, dtype=float), K[:2, 2]
    if (centre < -size).any() or (centre > 2 * size).any():
        at, wide = f"({centre[0]:g}, {centre[1]:g})", f"{size_wh[0]}x{size_wh[1]}"
        raise InputError(f"K's principal point {at} lies far outside the {wide} photo; give K in pixels of this photo")
    warnings = []
    if (centre < 0).any() or (centre > size).any():
        warnings.append(
            "K's principal point lies outside the photo: right only if the photo was cropped from a larger one"
        )
    if not 0.15 < K[0, 0] / size.max() < 20:
        warnings.append(f"K's focal length of {K[0, 0]:g} px is unusual for a photo {size_wh[0]} px wide")
    return warnings


def parse_pose(text: str) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3) and t (3,) from 12 numbers: R row by row, then t; model file frame to OpenCV camera.

    A matrix that is off by rounding is moved to the nearest rotation; anything further off is an `InputError`.
    """
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 12:
        raise InputError(f"--pose {text}: give a result.json, or 12 numbers: R row by row, then t")
    values = np.array(numbers)
    return nearest_rotation(values[:9].reshape(3, 3)), values[9:]


def nearest_rotation(R: np.ndarray) -> np.ndarray:
    """The rotation nearest to a matrix that is one up to rounding (1e-3); `InputError` for scale, shear or mirrors."""
    if not np.isfinite(R).all() or np.abs(R.T @ R - np.eye(3)).max() > 1e-3:
        raise InputError("R is not a rotation: its columns are not orthonormal; remove scale and shear first")
    if np.linalg.det(R) < 0:
        raise InputError("R mirrors (its determinant is -1); flip one axis to make it a rotation")
    u, _, vt = np.linalg.svd(R)
    return u @ vt


def _numbers(text: str) -> list[float] | None:
    """The numbers of a text that holds nothing but numbers, commas and spaces, else None."""
    words = [word for word in re.split(r"[,;\s\[\]]+", text.strip()) if word]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if numbers and np.isfinite(numbers).all() else None


def _read_matrix(path: Path, names: tuple[str, ...]) -> np.ndarray:
    try:
        raw = path.read_bytes()[: MAX_BYTES + 1]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({_reason(error)}); give fx,fy,cx,cy or a file that holds K"
        ) from error
    if len(raw) > MAX_BYTES:
        raise InputError(f"{path}: too large for a camera file; give a text or json file that holds K")
    text = raw.decode("utf-8", errors="replace")
    numbers = _numbers(text)
    if numbers is not None:
        return np.array(numbers)
    try:
        found = json.loads(text)
        found = next((found[name] for name in names if name in found), None) if isinstance(found, dict) else found
        return np.asarray(found, dtype=np.float64)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: holds no K; give json with 'K', or a text with 4 or 9 numbers") from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


# --- writing -----------------------------------------------------------------------------------------------------


def opengl_view(R: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(4, 4) model to OpenGL camera: +x right, +y up, the camera looks along -z."""
    view = np.eye(4)
    view[:3, :3], view[:3, 3] = OPENGL_FROM_OPENCV @ R, OPENGL_FROM_OPENCV @ t
    return view


def opengl_projection(K: np.ndarray, size_wh: tuple[int, int], near: float, far: float) -> np.ndarray:
    """(4, 4) OpenGL clip matrix of the pinhole: clip y up, depth -1 at `near` and 1 at `far`."""
    w, h = size_wh
    projection = np.zeros((4, 4))
    projection[0, 0], projection[0, 2] = 2.0 * K[0, 0] / w, 1.0 - 2.0 * K[0, 2] / w
    projection[1, 1], projection[1, 2] = 2.0 * K[1, 1] / h, 2.0 * K[1, 2] / h - 1.0
    projection[2, 2], projection[2, 3] = (near + far) / (near - far), 2.0 * near * far / (near - far)
    projection[3, 2] = -1.0
    return projection


def depth_range(t: np.ndarray) -> tuple[float, float]:
    """Near and far planes with room around an object at distance |t|."""
    distance = max(float(np.linalg.norm(t)), 1e-6)
    return distance / 100.0, distance * 100.0


def write_cameras(
    folder: Path,
    formats: tuple[str, ...],
    R: np.ndarray,
    t: np.ndarray,
    K: np.ndarray,
    size_wh: tuple[int, int],
    unit: str,
) -> list[Path]:
    """Camera files of one pose in `folder`/cameras, for the tools named in `formats`; returns their paths."""
    files: dict[str, str] = {}
    if "opencv" in formats:
        files["opencv.json"] = _json(_opencv(R, t, K, size_wh))
    if "opengl" in formats:
        files["opengl.json"] = _json(_opengl(R, t, K, size_wh))
        files["threejs.json"] = _json(_threejs(R, t, K, size_wh))
    if "bop" in formats:
        files["bop.csv"] = bop_csv(R, t, UNIT_IN_MM[unit])
        files["bop_scene_camera.json"] = _json({"0": {"cam_K": K.ravel().tolist(), "depth_scale": 1.0}})
    if "blender" in formats:
        files["blender.py"] = blender_script(K, size_wh, depth_range(t))
    for name, text in files.items():
        path = folder / "cameras" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode("ascii"))
    return [folder / "cameras" / name for name in files]


def _json(value: dict) -> str:
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _opencv(R: np.ndarray, t: np.ndarray, K: np.ndarray, size_wh: tuple[int, int]) -> dict:
    return {
        "image_size_wh": list(size_wh),
        "camera_matrix": K.tolist(),
        "distortion_coefficients": [0.0] * 5,
        "R_model_to_camera": R.tolist(),
        "t_model_to_camera": t.tolist(),
    }


def _opengl(R: np.ndarray, t: np.ndarray, K: np.ndarray, size_wh: tuple[int, int]) -> dict:
    near, far = depth_range(t)
    return {
        "image_size_wh": list(size_wh),
        "model_to_camera_4x4_rows": opengl_view(R, t).tolist(),
        "camera_to_model_4x4_rows": np.linalg.inv(opengl_view(R, t)).tolist(),
        "projection_4x4_rows": opengl_projection(K, size_wh, near, far).tolist(),
        "near": near,
        "far": far,
    }


def _threejs(R: np.ndarray, t: np.ndarray, K: np.ndarray, size_wh: tuple[int, int]) -> dict:
    """For three.js: what ``projectionMatrix.fromArray`` and ``matrixWorld.fromArray`` take, column by column."""
    near, far = depth_range(t)
    projection, world = opengl_projection(K, size_wh, near, far), np.linalg.inv(opengl_view(R, t))
    return {
        "type": "PerspectiveCamera",
        "aspect": size_wh[0] / size_wh[1],
        "fov": float(np.degrees(2.0 * np.arctan(size_wh[1] / (2.0 * K[1, 1])))),
        "near": near,
        "far": far,
        "matrixAutoUpdate": False,
        "matrixWorld": world.T.ravel().tolist(),
        "projectionMatrix": projection.T.ravel().tolist(),
    }


def bop_csv(R: np.ndarray, t: np.ndarray, unit_in_mm: float, *, score: float = 1.0) -> str:
    """The BOP challenge's results file with one line: R by rows, t in millimetres."""
    rotation = " ".join(repr(float(v)) for v in R.ravel())
    translation = " ".join(repr(float(v)) for v in t * unit_in_mm)
    return f"scene_id,im_id,obj_id,score,R,t,time\n0,0,1,{score!r},{rotation},{translation},-1\n"


BLENDER_SCRIPT = """\
# Run in Blender (Scripting > Open > Run, or: blender --python blender.py).
# It imports ../mesh_posed.glb, which stands in the camera's frame, and puts the camera at the origin, looking along +y.
import math
from pathlib import Path

import bpy

here = Path(bpy.context.space_data.text.filepath if getattr(bpy.context, "space_data", None) else __file__).parent
bpy.ops.import_scene.gltf(filepath=str(here.parent / "mesh_posed.glb"))

scene = bpy.context.scene
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = {width}, {height}, 100
scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = {aspect_x!r}, {aspect_y!r}

data = bpy.data.cameras.new("photo")
data.sensor_fit, data.sensor_width, data.lens = "HORIZONTAL", 36.0, {lens!r}
data.shift_x, data.shift_y = {shift_x!r}, {shift_y!r}
data.clip_start, data.clip_end = {near!r}, {far!r}
camera = bpy.data.objects.new("photo", data)
camera.location, camera.rotation_euler = (0.0, 0.0, 0.0), (math.pi / 2.0, 0.0, 0.0)
scene.collection.objects.link(camera)
scene.camera = camera
"""


def blender_script(K: np.ndarray, size_wh: tuple[int, int], near_far: tuple[float, float]) -> str:
    """A Blender Python snippet: the photo's camera, and the posed mesh imported in front of it."""
    (fx, fy, cx, cy), (w, h) = (float(v) for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])), size_wh
    # Blender wants pixel aspects of at least 1: the taller or the wider pixel takes the ratio fx / fy.
    return BLENDER_SCRIPT.format(
        width=w,
        height=h,
        aspect_x=max(1.0, fy / fx),
        aspect_y=max(1.0, fx / fy),
        lens=fx * 36.0 / w,
        shift_x=(w / 2.0 - cx) / w,
        shift_y=(cy - h / 2.0) * (fx / fy) / w,
        near=near_far[0],
        far=near_far[1],
    )
