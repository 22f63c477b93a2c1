"""Angles between rotations, and between the viewpoints that they are."""

import numpy as np
from jaxtyping import Float

from monoform.metrics.checks import as_rotation

HALF_TURN = np.diag([-1.0, 1.0, -1.0])
"""About the up axis of the canonical frame, y."""


def rotation_angle_deg(R: Float[np.ndarray, "*batch 3 3"], S: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Angle of the rotation between two, degrees in [0, 180]; batch axes broadcast. Lin 2018, Eq. 4.

    ``atan2(sine, cosine)``, exact near 0 and 180 where the usual arccos of the trace loses half its digits.
    Raises InputError for a matrix that is not a rotation.
    """
    relative = np.swapaxes(as_rotation(R), -1, -2) @ as_rotation(S)
    skew = relative - np.swapaxes(relative, -1, -2)
    sine = 0.5 * np.sqrt(skew[..., 2, 1] ** 2 + skew[..., 0, 2] ** 2 + skew[..., 1, 0] ** 2)
    cosine = 0.5 * (np.trace(relative, axis1=-2, axis2=-1) - 1.0)
    return np.degrees(np.arctan2(sine, cosine))


def half_turn_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """The rotation error where an object turned half round its up axis counts as the same, degrees.

    R, truth: canonical object to camera. A car seen from its side has nearly the same silhouette both ways (Liao 2019,
    section 3.2).
    """
    return np.minimum(rotation_angle_deg(R, truth), rotation_angle_deg(R, as_rotation(truth) @ HALF_TURN))


def is_flipped(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Whether a pose is nearer to the half-turned truth than to the truth, by more than 90 degrees; (*batch,) bool."""
    return rotation_angle_deg(R, truth) - rotation_angle_deg(R, as_rotation(truth) @ HALF_TURN) > 90.0


def viewpoint_deg(R: Float[np.ndarray, "*batch 3 3"]) -> tuple[np.ndarray, np.ndarray]:
    """(azimuth, elevation) from which the camera of R_camera_object looks at the object, degrees.

    As `rotations.matrix_to_viewpoint` has them: azimuth in [-180, 180], elevation in [-90, 90].
    """
    x, y, z = np.moveaxis(as_rotation(R)[..., 2, :], -1, 0)
    return np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(-y, np.hypot(x, z)))


def azimuth_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Difference of the azimuths the short way round, degrees in [0, 180]."""
    apart = np.abs(viewpoint_deg(R)[0] - viewpoint_deg(truth)[0])
    return np.minimum(apart, 360.0 - apart)


def elevation_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Difference of the elevations, degrees in [0, 180]."""
    return np.abs(viewpoint_deg(R)[1] - viewpoint_deg(truth)[1])
