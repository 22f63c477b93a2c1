"""Training images but for their object: backgrounds, occluders, composition, and what a camera does to a picture."""

from statistics import NormalDist

import numpy as np
from numba import njit

from monoform.projection.kernels.shade import F4, FAST, HALF, ONE, ZERO, _hash, _lattice, _smooth, flat_noise

PLAIN, GRADIENT, CLOUDS, TILES, ROOM = range(5)
"""Procedural backgrounds."""
ELLIPSE, RECTANGLE, STAR = range(3)
"""Outlines of occluders."""
OCCLUDER_WIDTH = 13
STAR_REACH = F4(1.35)
"""How far a star's lobes reach beyond its half sides."""
NORMAL = np.array([NormalDist().inv_cdf((i + 0.5) / 1024) for i in range(1024)], np.float32)
"""Equally likely values of the standard normal distribution."""


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
    mixture = np.zeros((h, w), np.float32)
    floor = h
    if kind == GRADIENT:
        for row in range(h):
            down = HALF + (F4(row + 0.5) / F4(h) - HALF) * sine
            for column in range(w):
                mixture[row, column] = down + (F4(column + 0.5) / F4(w) - HALF) * cosine
    elif kind == TILES:
        _paint_tiles(frequency, cosine, sine, seed, mixture)
    elif kind == CLOUDS:
        _paint_clouds(frequency, seed, ONE, mixture)
    elif kind == ROOM:
        floor = min(int(np.ceil(horizon * h - HALF)), h)
        _paint_clouds(frequency, seed, F4(0.35), mixture)
        _paint_floor(frequency, cosine, horizon, floor, seed, mixture)
    for row in range(h):
        first = 2 if row >= floor else 0
        for i in range(3):
            begin, span = colours[first, i], colours[1, i] - colours[first, i]
            for column in range(w):
                out[row, column, i] = begin + min(max(mixture[row, column], ZERO), ONE) * span


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _add_noise(frequency_x, frequency_y, seed, share, out):
    """Add share times `flat_noise` of frequencies in features an image: the lattice is hashed once, not at every pixel."""
    h, w = out.shape
    cells = int(np.ceil(frequency_x)) + 2
    upper, lower, line = np.empty(cells, np.float32), np.empty(cells, np.float32), np.empty(cells, np.float32)
    place, weight = np.empty(w, np.int32), np.empty(w, np.float32)
    for column in range(w):
        x = F4(column + 0.5) / F4(w) * frequency_x
        place[column] = int(x)
        weight[column] = _smooth(x - F4(int(x)))
    last = -1
    for row in range(h):
        y = F4(row + 0.5) / F4(h) * frequency_y
        v = share * _smooth(y - F4(int(y)))
        if int(y) != last:
            last = int(y)
            for i in range(cells):
                upper[i], lower[i] = _lattice(i, last, 0, seed), _lattice(i, last + 1, 0, seed)
        for i in range(cells):
            line[i] = share * upper[i] + v * (lower[i] - upper[i])
        for column in range(w):
            i = place[column]
            out[row, column] += line[i] + weight[column] * (line[i + 1] - line[i])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _paint_clouds(frequency, seed, strength, out):
    """Four octaves of noise, 0 to strength."""
    share, fine = HALF, frequency
    for octave in range(4):
        _add_noise(fine, fine, seed + octave, share, out)
        fine, share = F4(2.03) * fine, HALF * share
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column] = strength * min(max(F4(1.8) * out[row, column] - F4(0.4), ZERO), ONE)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _paint_tiles(frequency, cosine, sine, seed, out):
    h, w = out.shape
    for row in range(h):
        y = F4(row + 0.5) / F4(h)
        for column in range(w):
            x = F4(column + 0.5) / F4(w)
            u, v = (x * cosine + y * sine) * frequency, (y * cosine - x * sine) * frequency
            level = F4((int(np.floor(u)) + int(np.floor(v))) & 1)
            out[row, column] = level + F4(0.3) * (flat_noise(F4(6.0) * u, F4(6.0) * v, seed) - HALF)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _paint_floor(frequency, cosine, horizon, floor, seed, out):
    """Planks that run towards the horizon, from row `floor` on."""
    h, w = out.shape
    for row in range(floor, h):
        near = max(F4(row + 0.5) / F4(h) - horizon, F4(0.02))
        per_column = HALF * frequency / (near * F4(w))
        begin = HALF * frequency * (F4(0.5) / F4(w) - HALF - F4(0.3) * cosine) / near
        fade, last, level = min(near / F4(0.1), ONE) * F4(0.25), -1 << 30, ZERO
        for column in range(w):
            plank = int(np.floor(begin + per_column * F4(column)))
            if plank != last:
                last = plank
                level = fade * (_lattice(plank, 0, 0, seed) + _lattice(plank, 1, 0, seed))
                level += F4(0.15) * flat_noise(F4(plank) * F4(3.1), F4(3.0) / near, seed)
            out[row, column] = level


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _occluder_coverage(occluder, x, y):
    """About the share of the pixel at (x, y) that an occluder covers: its signed distance, softened over a pixel."""
    x, y = x - occluder[1], y - occluder[2]
    u, v = occluder[5] * x + occluder[6] * y, occluder[5] * y - occluder[6] * x
    wide, tall = occluder[3], occluder[4]
    if int(occluder[0]) == RECTANGLE:
        distance = max(abs(u) - wide, abs(v) - tall)
    else:
        radius = np.sqrt((u / wide) * (u / wide) + (v / tall) * (v / tall))
        edge = ONE
        if int(occluder[0]) == STAR:
            edge += F4(0.35) * np.cos(occluder[7] * np.arctan2(v / tall, u / wide) + occluder[8])
        distance = (radius - edge) * min(wide, tall)
    return min(max(HALF - distance, ZERO), ONE)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _occlude(occluder, seed, canvas, mask):
    """Draw one occluder over the picture."""
    h, w = mask.shape
    wide, tall = STAR_REACH * occluder[3], STAR_REACH * occluder[4]
    reach_x = abs(occluder[5]) * wide + abs(occluder[6]) * tall + ONE
    reach_y = abs(occluder[6]) * wide + abs(occluder[5]) * tall + ONE
    left, right = max(int(occluder[1] - reach_x), 0), min(int(occluder[1] + reach_x) + 1, w)
    top, bottom = max(int(occluder[2] - reach_y), 0), min(int(occluder[2] + reach_y) + 1, h)
    for row in range(top, bottom):
        for column in range(left, right):
            cover = _occluder_coverage(occluder, F4(column + 0.5), F4(row + 0.5))
            if cover > ZERO:
                mottle = flat_noise(F4(column) * occluder[12], F4(row) * occluder[12], seed)
                mottle = F4(0.6) + F4(0.8) * mottle
                for i in range(3):
                    level = min(occluder[9 + i] * mottle, F4(255.0))
                    canvas[row, column, i] += cover * (level - canvas[row, column, i])
                mask[row, column] *= ONE - cover


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def compose(canvas, colour, hit, amodal, occluders, seed, mask):
    """Object over the background in canvas (h, w, 3), occluders over both: sRGB levels; the visible share into mask (h, w).

    amodal (h, w): share of each pixel that the object covers. A pixel it covers without a sample takes the mean colour of
    its neighbours' samples, or of all. occluders (n, 13): outline, centre (2), half sides (2), cosine, sine, lobes, phase,
    RGB (3), frequency of its mottle; pixels. Returns the share of the object that is seen.
    """
    h, w = amodal.shape
    mean, paint = np.full(3, -ONE, np.float32), np.empty(3, np.float32)
    for row in range(h):
        for column in range(w):
            share = amodal[row, column]
            mask[row, column] = share
            if share > ZERO:
                if hit[row, column]:
                    for i in range(3):
                        canvas[row, column, i] += share * (colour[row, column, i] - canvas[row, column, i])
                else:
                    _paint_of_others(colour, hit, row, column, mean, paint)
                    for i in range(3):
                        canvas[row, column, i] += share * (paint[i] - canvas[row, column, i])
    for number in range(occluders.shape[0]):
        _occlude(occluders[number], seed + number, canvas, mask)
    if occluders.shape[0] == 0:
        return 1.0
    visible, whole = 0.0, 0.0
    for row in range(h):
        for column in range(w):
            visible += mask[row, column]
            whole += amodal[row, column]
    return visible / max(whole, 1e-12)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _paint_of_others(colour, hit, row, column, mean, out):
    """The mean colour of the neighbours' samples, or of all: `mean` (3,), found when it is first needed, negative before."""
    out[:] = ZERO
    count = ZERO
    for y in range(max(row - 1, 0), min(row + 2, hit.shape[0])):
        for x in range(max(column - 1, 0), min(column + 2, hit.shape[1])):
            if hit[y, x]:
                for i in range(3):
                    out[i] += colour[y, x, i]
                count += ONE
    if count == ZERO and mean[0] < ZERO:
        _find_mean(colour, hit, mean)
    for i in range(3):
        out[i] = out[i] / count if count > ZERO else mean[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _find_mean(colour, hit, mean):
    mean[:], total = ZERO, ZERO
    for row in range(hit.shape[0]):
        for column in range(hit.shape[1]):
            if hit[row, column]:
                for i in range(3):
                    mean[i] += colour[row, column, i]
                total += ONE
    mean /= max(total, ONE)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def develop(canvas, blur, gain, offset, noise, seed, spare, out):
    """Blur (sigma in pixels), colour gain (3,) and offset, sensor noise (standard deviation in levels), then uint8 out.

    canvas and spare (h, w, 3) float32 are used up.
    """
    h, w = canvas.shape[0], canvas.shape[1]
    if blur > 0.0:
        radius = int(np.ceil(2.5 * blur))
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur) ** 2).astype(np.float32)
        kernel /= kernel.sum()
        _blur_along_rows(canvas, kernel, spare)
        _blur_down_columns(spare, kernel, canvas)
    bits = np.empty(w, np.uint32)
    strength, shift = F4(noise), F4(offset + 0.5)
    for row in range(h):
        for column in range(w):
            bits[column] = _hash(row, column, 0, seed)
        for column in range(w):
            some = bits[column]
            for i in range(3):  # ten of the 32 bits a channel
                grain = NORMAL[some & np.uint32(1023)]
                some >>= np.uint32(10)
                level = canvas[row, column, i] * gain[i] + shift + strength * grain
                out[row, column, i] = np.uint8(min(max(level, ZERO), F4(255.0)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _blur_along_rows(source, kernel, out):
    """Each row is laid out with its ends repeated, so that the sums run over plain memory."""
    h, w = source.shape[0], source.shape[1]
    radius = len(kernel) // 2
    line = np.empty(3 * (w + 2 * radius), np.float32)
    total = np.empty(3 * w, np.float32)
    for row in range(h):
        for column in range(-radius, w + radius):
            for i in range(3):
                line[3 * (column + radius) + i] = source[row, min(max(column, 0), w - 1), i]
        total[:] = ZERO
        for step in range(len(kernel)):
            weight = kernel[step]
            for place in range(3 * w):
                total[place] += weight * line[3 * step + place]
        for column in range(w):
            for i in range(3):
                out[row, column, i] = total[3 * column + i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _blur_down_columns(source, kernel, out):
    h, w = source.shape[0], source.shape[1]
    radius = len(kernel) // 2
    for row in range(h):
        out[row] = ZERO
        for step in range(-radius, radius + 1):
            weight, other = kernel[step + radius], min(max(row + step, 0), h - 1)
            for column in range(w):
                for i in range(3):
                    out[row, column, i] += weight * source[other, column, i]
