"""Uniform draws turned into materials, lights and colours of rendered images: many small tables, which NumPy fills slowly."""

import numpy as np
from numba import njit

from monoform.projection.kernels.shade import FAST, PLAIN

FREQUENCIES = np.array([[0.0, 0.0], [4.0, 16.0], [4.0, 14.0], [5.0, 14.0], [8.0, 24.0]])
"""Least and most features of each solid texture in a box diagonal; the row is the texture's number."""
COLOUR_DRAWS, MATERIAL_DRAWS, LIGHT_DRAWS, AMBIENT_DRAWS = 2, 12, 6, 8


@njit(inline="always")
def _between(low, high, draw):
    return low + (high - low) * draw


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _to_linear(level):
    """An sRGB level, 0 to 1, as a linear intensity (IEC 61966-2-1)."""
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def fill_colours(draws, saturations, out):
    """Any hue, from grey to vivid, rarely black: sRGB levels 0-255. draws (n, 2): value, hue; saturations (n,); out (n, 3)."""
    for number in range(out.shape[0]):
        value = _between(0.15, 1.0, draws[number, 0])
        for i in range(3):
            turn = (6.0 * draws[number, 1] + (0.0, 4.0, 2.0)[i]) % 6.0
            wheel = min(max(abs(turn - 3.0) - 1.0, 0.0), 1.0)
            out[number, i] = 255.0 * value * (1.0 - saturations[number] * (1.0 - wheel))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def fill_materials(draws, axes, saturations, textured, glossy, keep, out):
    """The rows of `shade.shade`'s materials. draws (p, 12), saturations (p, 2): of both colours; axes (p, 3): normal draws.

    textured, glossy: shares of the parts; keep: whether the mesh's colours stand for the first one, without texture.
    """
    fill_colours(draws[:, 0:2], saturations[:, 0], out[:, 7:10])
    fill_colours(draws[:, 2:4], saturations[:, 1], out[:, 10:13])
    for part in range(out.shape[0]):
        texture = 1 + int(4.0 * draws[part, 4])
        out[part, 0] = texture if draws[part, 5] < textured and not keep else PLAIN
        out[part, 1] = _between(FREQUENCIES[texture, 0], FREQUENCIES[texture, 1], draws[part, 6])
        out[part, 2] = int(65536.0 * draws[part, 7])
        length = np.sqrt(axes[part, 0] ** 2 + axes[part, 1] ** 2 + axes[part, 2] ** 2)
        # Two shades of one paint are as common as two colours.
        shades = draws[part, 8] >= 0.5
        for i in range(3):
            out[part, 3 + i] = axes[part, i] / length
            first = _to_linear(out[part, 7 + i] / 255.0)
            out[part, 7 + i] = first
            out[part, 10 + i] = 0.35 * first if shades else _to_linear(out[part, 10 + i] / 255.0)
        out[part, 6] = 1.0 if keep else 0.0
        out[part, 13] = _between(0.05, 0.5, draws[part, 9]) if draws[part, 10] < glossy else 0.0
        out[part, 14] = 2.0 ** _between(3.0, 7.0, draws[part, 11])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def fill_lights(sky, draws, normals, point_lights, distance, ambient, out):
    """`shade.shade`'s ambient light (2, 3) and lights (n, 7), from draws sky (8,), (n, 6) and normals (n, 3).

    Lights come from above more than from below and from the camera's side more than from behind. point_lights: their share;
    distance: of the object, about which they stand.
    """
    level = _between(0.15, 0.5, sky[0])
    below = level * _between(0.3, 0.9, sky[1])
    for i in range(3):
        ambient[0, i] = level * _between(0.85, 1.15, sky[2 + i])
        ambient[1, i] = below * _between(0.85, 1.15, sky[5 + i])
    for light in range(out.shape[0]):
        x, y, z = normals[light, 0], 0.8 * normals[light, 1] - 0.8, 0.8 * normals[light, 2] - 0.6
        length = max(np.sqrt(x * x + y * y + z * z), 1e-6)
        x, y, z = x / length, y / length, z / length
        energy = _between(0.5, 1.1, draws[light, 0]) / np.sqrt(out.shape[0])
        out[light, 0] = 0.0
        if draws[light, 1] < point_lights:
            away = _between(0.9, 2.0, draws[light, 2])
            x, y, z, energy = x * away, y * away, z * away + distance, energy * away * away
            out[light, 0] = 1.0
        out[light, 1], out[light, 2], out[light, 3] = x, y, z
        for i in range(3):
            out[light, 4 + i] = energy * _between(0.85, 1.15, draws[light, 3 + i])
