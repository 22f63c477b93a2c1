"""BOP's camera records: OpenCV axes, row-wise lists of nine floats, millimetres.

Two things a record does not say must be told: how long a unit of the mesh is, and where pixel centres lie. BOP's real
images were calibrated with OpenCV (the centre of the first pixel is 0, 0), its rendered ones have it at 0.5, 0.5.
"""

from collections.abc import Mapping
from typing import Any

import torch

from monoform.cameras.pinhole import Pinhole
from monoform.errors import InputError, SchemaError
from monoform.poses import Pose
from monoform.rotations import project_to_rotation

Record = dict[str, list[float]]


def bop_pose(pose_camera_model: Pose, mm_per_unit: float | int) -> Record:
    """Fields `cam_R_m2c` (nine floats, row by row) and `cam_t_m2c` (mm) of one model -> camera pose."""
    _check_unit(mm_per_unit)
    R, t = pose_camera_model.R.detach().double(), pose_camera_model.t.detach().double()
    if R.ndim != 2:
        raise InputError("BOP pose: give one pose (R of 3 x 3), not a batch")
    return {"cam_R_m2c": R.flatten().tolist(), "cam_t_m2c": (t * mm_per_unit).tolist()}


def pose_from_bop(record: Mapping[str, Any], mm_per_unit: float | int) -> Pose:
    """Model -> camera pose, float64, in the mesh's unit; the inverse of `bop_pose`. Bad fields raise `SchemaError`."""
    _check_unit(mm_per_unit)
    R = project_to_rotation(_numbers(record, "cam_R_m2c", 9).view(3, 3))
    return Pose(R, _numbers(record, "cam_t_m2c", 3) / mm_per_unit)


def bop_camera(camera: Pinhole, pixel_centre: float | int) -> Record:
    """Field `cam_K`, nine floats, row by row; `pixel_centre` is where their first pixel is centred, 0 or 0.5."""
    if camera.K.ndim != 2:
        raise InputError("BOP camera: give one K (3 x 3), not a batch")
    K = camera.K.detach().double().clone()
    K[:2, 2] += pixel_centre - 0.5
    return {"cam_K": K.flatten().tolist()}


def pinhole_from_bop(record: Mapping[str, Any], size_hw: tuple[int, int], pixel_centre: float | int) -> Pinhole:
    """Camera, float64, of a `cam_K` field; the inverse of `bop_camera`."""
    K = _numbers(record, "cam_K", 9).view(3, 3)
    K[:2, 2] += 0.5 - pixel_centre
    return Pinhole(K, size_hw)


def _numbers(record: Mapping[str, Any], field: str, count: int) -> torch.Tensor:
    try:
        values = torch.tensor([float(value) for value in record[field]], dtype=torch.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SchemaError(
            f"BOP record: field {field} is missing or no list of numbers; write {count} floats"
        ) from error
    if len(values) != count or not bool(torch.isfinite(values).all()):
        raise SchemaError(
            f"BOP record: field {field} has {len(values)} values; write {count} finite floats, row by row"
        )
    return values


def _check_unit(mm_per_unit: float | int) -> None:
    if not 0 < mm_per_unit < float("inf"):
        raise InputError(
            f"BOP unit {mm_per_unit:g} mm: give the length of a mesh unit in mm, 1 for mm, 1000 for metres"
        )
