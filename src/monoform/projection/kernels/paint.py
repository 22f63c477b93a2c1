"""Training images but for their object: backgrounds, occluders, composition, and what a camera does to a picture."""

import numpy as np
from numba import njit

from monoform.projection.kernels.shade import FAST, _hash, flat_noise

PLAIN, GRADIENT, CLOUDS, TILES, ROOM = range(5)
"""Procedural backgrounds."""
ELLIPSE, RECTANGLE, STAR = range(3)
"""Outlines of occluders."""
OCCLUDER_WIDTH = 13


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def paint_window(photo, left, top, width, height, mirrored, out):
    """A window of a photo (h, w, 3) uint8, in its pixels, resized bilinearly into out (h, w, 3) float32 levels."""
    rows, columns = photo.shape[0], photo.shape[1]
    h, w = out.shape[0], out.shape[1]
    for row in range(h):
        y = min(max(top + (row + 0.5) * height / h - 0.5, 0.0), rows - 1.0)
        y0 = min(int(y), max(rows - 2, 0))
        y1, v = min(y0 + 1, rows - 1), np.float32(y - y0)
        for column in range(w):
            x = min(max(left + (column + 0.5) * width / w - 0.5, 0.0), columns - 1.0)
            x0 = min(int(x), max(columns - 2, 0))
            x1, u = min(x0 + 1, columns - 1), np.float32(x - x0)
            place = w - 1 - column if mirrored else column
            for i in range(3):
                upper = photo[y0, x0, i] * (1.0 - u) + photo[y0, x1, i] * u
                lower = photo[y1, x0, i] * (1.0 - u) + photo[y1, x1, i] * u
                out[row, place, i] = upper * (1.0 - v) + lower * v


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def paint_scenery(kind, colours, numbers, seed, out):
    """Procedural scenery into out (h, w, 3), levels 0-255.

    colours (3, 3) levels; numbers (4,): frequency in features an image, cosine and sine of a direction, height of the
    horizon as a share of the image.
    """
    h, w = out.shape[0], out.shape[1]
    frequency, cosine, sine, horizon = numbers[0], numbers[1], numbers[2], numbers[3]
    for row in range(h):
        for column in range(w):
            x, y = (column + 0.5) / w, (row + 0.5) / h
            first, second, mixture = 0, 1, 0.0
            if kind == GRADIENT:
                mixture = 0.5 + (x - 0.5) * cosine + (y - 0.5) * sine
            elif kind == CLOUDS:
                mixture = _clouds(x * frequency, y * frequency, seed)
            elif kind == TILES:
                u, v = (x * cosine + y * sine) * frequency, (y * cosine - x * sine) * frequency
                mixture = float((int(np.floor(u)) + int(np.floor(v))) & 1)
                mixture += 0.3 * (flat_noise(6.0 * u, 6.0 * v, seed) - 0.5)
            elif kind == ROOM:
                mixture = 0.35 * _clouds(x * frequency, y * frequency, seed)
                if y > horizon:
                    near = max(y - horizon, 0.02)
                    plank = np.floor(0.5 * frequency * (x - 0.5 - 0.3 * cosine) / near)
                    first = 2
                    mixture = 0.5 * flat_noise(plank, 0.5, seed) * min(near / 0.1, 1.0)
                    mixture += 0.15 * flat_noise(plank * 3.1, 3.0 / near, seed)
            mixture = min(max(mixture, 0.0), 1.0)
            for i in range(3):
                out[row, column, i] = colours[first, i] + mixture * (colours[second, i] - colours[first, i])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _clouds(x, y, seed):
    total, share = 0.0, 0.5
    for octave in range(4):
        total += share * flat_noise(x, y, seed + octave)
        x, y, share = 2.03 * x, 2.03 * y, 0.5 * share
    return min(max(1.8 * total - 0.4, 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _occluder_coverage(occluder, x, y):
    """About the share of the pixel at (x, y) that an occluder covers: its signed distance, softened over a pixel."""
    x, y = x - occluder[1], y - occluder[2]
    u, v = occluder[5] * x + occluder[6] * y, occluder[5] * y - occluder[6] * x
    wide, tall = occluder[3], occluder[4]
    if int(occluder[0]) == RECTANGLE:
        distance = max(abs(u) - wide, abs(v) - tall)
    else:
        radius = np.sqrt((u / wide) ** 2 + (v / tall) ** 2)
        edge = 1.0
        if int(occluder[0]) == STAR:
            edge += 0.35 * np.cos(occluder[7] * np.arctan2(v / tall, u / wide) + occluder[8])
        distance = (radius - edge) * min(wide, tall)
    return min(max(0.5 - distance, 0.0), 1.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def compose(background, colour, hit, amodal, occluders, seed, canvas, mask):
    """Object over background, occluders over both: sRGB levels into canvas (h, w, 3), the visible share into mask (h, w).

    amodal (h, w): share of each pixel that the object covers. A pixel it covers without a sample takes the mean colour of
    its neighbours' samples, or of all. occluders (n, 13): outline, centre (2), half sides (2), cosine, sine, lobes, phase,
    RGB (3), frequency of its mottle; pixels.
    """
    h, w = amodal.shape
    mean, total = np.zeros(3, np.float32), 0.0
    for row in range(h):
        for column in range(w):
            if hit[row, column]:
                for i in range(3):
                    mean[i] += colour[row, column, i]
                total += 1.0
    for i in range(3):
        mean[i] /= max(total, 1.0)
    paint = np.empty(3, np.float32)
    for row in range(h):
        for column in range(w):
            share = amodal[row, column]
            if share > 0.0:
                _paint_of(colour, hit, row, column, mean, paint)
            for i in range(3):
                canvas[row, column, i] = background[row, column, i] * (1.0 - share)
                if share > 0.0:
                    canvas[row, column, i] += share * paint[i]
            for number in range(occluders.shape[0]):
                occluder = occluders[number]
                cover = _occluder_coverage(occluder, column + 0.5, row + 0.5)
                if cover > 0.0:
                    mottle = 0.6 + 0.8 * flat_noise(column * occluder[12], row * occluder[12], seed + number)
                    for i in range(3):
                        level = min(occluder[9 + i] * mottle, 255.0)
                        canvas[row, column, i] += cover * (level - canvas[row, column, i])
                    share *= 1.0 - cover
            mask[row, column] = share


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _paint_of(colour, hit, row, column, mean, out):
    """The object's colour in a pixel: of its own samples, else of its neighbours', else the mean of all."""
    if hit[row, column]:
        for i in range(3):
            out[i] = colour[row, column, i]
        return
    out[0] = out[1] = out[2] = 0.0
    count = 0.0
    for y in range(max(row - 1, 0), min(row + 2, hit.shape[0])):
        for x in range(max(column - 1, 0), min(column + 2, hit.shape[1])):
            if hit[y, x]:
                for i in range(3):
                    out[i] += colour[y, x, i]
                count += 1.0
    for i in range(3):
        out[i] = out[i] / count if count > 0.0 else mean[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def develop(canvas, blur, gain, offset, noise, seed, spare, out):
    """Blur (sigma in pixels), colour gain (3,) and offset, sensor noise (standard deviation in levels), then uint8 out."""
    h, w = canvas.shape[:2]
    if blur > 0.0:
        radius = int(np.ceil(2.5 * blur))
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur) ** 2).astype(np.float32)
        kernel /= kernel.sum()
        _blur_rows(canvas, kernel, spare, False)
        _blur_rows(spare, kernel, canvas, True)
    for row in range(h):
        for column in range(w):
            for i in range(3):
                bits = _hash(row, column, i, seed)
                grain = 0.0
                for _ in range(4):  # the sum of four bytes is normal enough, its standard deviation 147.8
                    grain += np.float32(bits & np.uint32(255)) - 127.5
                    bits >>= np.uint32(8)
                level = canvas[row, column, i] * gain[i] + offset + noise * grain / 147.8
                out[row, column, i] = np.uint8(min(max(level + 0.5, 0.0), 255.0))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _blur_rows(source, kernel, out, downwards):
    h, w = source.shape[:2]
    radius = len(kernel) // 2
    for row in range(h):
        for column in range(w):
            for i in range(3):
                total = np.float32(0.0)
                for step in range(-radius, radius + 1):
                    if downwards:
                        total += kernel[step + radius] * source[min(max(row + step, 0), h - 1), column, i]
                    else:
                        total += kernel[step + radius] * source[row, min(max(column + step, 0), w - 1), i]
                out[row, column, i] = total
