"""The numbers that are reported: overlap, average precision, angles, distances of surfaces and poses, and how sure they are.

NumPy and SciPy alone. Nothing here returns NaN: what holds NaN or infinity, or nothing at all to average, is a NumericError.
Where a definition has a gap it is closed here: two empty shapes agree (IoU 1); an average precision with nothing to find is
1 if every score is 0, else 0.
"""

from monoform.metrics.overlap import (
    THRESHOLDS,
    best_threshold,
    filled,
    iou_by_threshold,
    mask_iou,
    voxel_iou,
)
from monoform.metrics.poses import NO_SYMMETRY, add, add_s, mspd, mssd, translation_error
from monoform.metrics.precision import average_precision, average_precisions, top_1
from monoform.metrics.rotations import (
    HALF_TURN,
    azimuth_error_deg,
    elevation_error_deg,
    half_turn_error_deg,
    is_flipped,
    rotation_angle_deg,
    viewpoint_deg,
)
from monoform.metrics.summaries import accuracy, bootstrap, bootstrap_median, interval, median_error
from monoform.metrics.surfaces import Chamfer, chamfer, mesh_chamfer

__all__ = [
    "HALF_TURN",
    "NO_SYMMETRY",
    "THRESHOLDS",
    "Chamfer",
    "accuracy",
    "add",
    "add_s",
    "average_precision",
    "average_precisions",
    "azimuth_error_deg",
    "best_threshold",
    "bootstrap",
    "bootstrap_median",
    "chamfer",
    "elevation_error_deg",
    "filled",
    "half_turn_error_deg",
    "interval",
    "iou_by_threshold",
    "is_flipped",
    "mask_iou",
    "median_error",
    "mesh_chamfer",
    "mspd",
    "mssd",
    "rotation_angle_deg",
    "top_1",
    "translation_error",
    "viewpoint_deg",
    "voxel_iou",
]
