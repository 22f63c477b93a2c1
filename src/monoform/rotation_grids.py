"""Grids of directions and rotations for searching, in NumPy: this module is imported where torch must not be.

Angles are radians; rotations are (n, 3, 3) float64 and turn column vectors.
"""

import math

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from monoform.errors import InputError

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
# Alexa 2022, "Super-Fibonacci Spirals: Fast, Low-Discrepancy Sampling of SO(3)": the real root of psi^4 = psi + 4
# and the square root of two turn two angles at rates that never fall into step.
SUPER_FIBONACCI_PHI = math.sqrt(2)
SUPER_FIBONACCI_PSI = 1.533751168755204288118041


def sphere_directions(n: int) -> Float[ndarray, "n 3"]:
    """n unit vectors of equal area on the sphere, along the Fibonacci spiral from +z to -z."""
    _check_count(n)
    steps = np.arange(n)
    z = 1 - (2 * steps + 1) / n
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(GOLDEN_ANGLE * steps), radius * np.sin(GOLDEN_ANGLE * steps), z], -1)


def rotation_grid(n: int) -> Float[ndarray, "n 3 3"]:
    """n rotations spread evenly over SO(3) by super-Fibonacci spirals (Alexa 2022); deterministic, any n >= 1.

    Every rotation is near one of them: the farthest is about ``4 / n**(1/3)`` radians away, the median one 2.2.
    """
    _check_count(n)
    steps = np.arange(n) + 0.5
    low, high = np.sqrt(steps / n), np.sqrt(1 - steps / n)
    alpha, beta = 2 * math.pi * steps / SUPER_FIBONACCI_PHI, 2 * math.pi * steps / SUPER_FIBONACCI_PSI
    xyzw = np.stack([low * np.sin(alpha), low * np.cos(alpha), high * np.sin(beta), high * np.cos(beta)], -1)
    return Rotation.from_quat(xyzw).as_matrix()


def upright_grid(
    azimuths: Float[ndarray, "a"], elevations: Float[ndarray, "e"], tilts: Float[ndarray, "t"]
) -> Float[ndarray, "n 3 3"]:
    """R_camera_object for every combination of the angles, azimuth slowest, tilt fastest: n = a * e * t.

    The object is y up, front -z, the camera OpenCV's; the angles mean what they mean in
    `rotations.viewpoint_to_matrix`: ``R_z(pi - tilt) @ R_x(-elevation) @ R_y(-azimuth)``.
    """
    azimuth, elevation, tilt = (axis.ravel() for axis in np.meshgrid(azimuths, elevations, tilts, indexing="ij"))
    return Rotation.from_euler("ZXY", np.stack([math.pi - tilt, -elevation, -azimuth], -1)).as_matrix()


def _check_count(n: int) -> None:
    if n < 1:
        raise InputError(f"grid: {n} points; give at least 1")
