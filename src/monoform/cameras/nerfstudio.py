"""nerfstudio's `transforms.json`: intrinsics in pixels and a camera -> world matrix with OpenGL's camera axes.

Pixel centres are at +0.5, as here. Intrinsics shared by all frames stand at the file's top: pass ``{**file, **frame}``.
"""

from collections.abc import Mapping
from typing import Any

import torch

from monoform.cameras.opengl import opengl_camera_to_world, pose_from_opengl
from monoform.cameras.pinhole import Pinhole
from monoform.errors import InputError, SchemaError
from monoform.poses import Pose

DISTORTIONS = ("k1", "k2", "k3", "k4", "p1", "p2")


def nerfstudio_frame(camera: Pinhole, pose_camera_world: Pose) -> dict[str, Any]:
    """Fields fl_x, fl_y, cx, cy, w, h, camera_model and transform_matrix of one camera; skew raises `InputError`."""
    if camera.K.ndim != 2 or float(camera.K[0, 1]) != 0:
        raise InputError("nerfstudio camera: give one K (3 x 3) without skew, K[0, 1] = 0")
    (fx, _, cx), (_, fy, cy), _ = camera.K.detach().double().tolist()
    matrix = opengl_camera_to_world(pose_camera_world).detach().double()
    height, width = camera.size_hw
    intrinsics = {"camera_model": "OPENCV", "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height}
    return {**intrinsics, "transform_matrix": matrix.tolist()}


def parse_nerfstudio_frame(frame: Mapping[str, Any]) -> tuple[Pinhole, Pose]:
    """Camera and world -> camera pose, float64, of one frame's fields; the inverse of `nerfstudio_frame`.

    Missing fields raise `SchemaError`; lens distortion or a model other than a pinhole raises `InputError`.
    """
    model = frame.get("camera_model", "OPENCV")
    if model not in ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE") or any(frame.get(name) for name in DISTORTIONS):
        raise InputError(f"nerfstudio camera: {model} with distortion is no pinhole; undistort the images first")
    try:
        fx, fy, cx, cy = (float(frame[name]) for name in ("fl_x", "fl_y", "cx", "cy"))
        size_hw = (int(frame["h"]), int(frame["w"]))
        matrix = torch.tensor(frame["transform_matrix"], dtype=torch.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(
            f"nerfstudio frame: needs numbers fl_x, fl_y, cx, cy, w, h, transform_matrix; {error}"
        ) from error
    if matrix.shape != (4, 4):
        raise SchemaError(f"nerfstudio frame: transform_matrix is {tuple(matrix.shape)}; write 4 rows of 4 numbers")
    K = torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return Pinhole(K, size_hw), pose_from_opengl(matrix)
