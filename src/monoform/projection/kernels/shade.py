"""What a z-buffer finds for a training image, and its shading: solid textures and Blinn-Phong light.

One call draws one image, serially; callers split a batch over threads. Nothing here has a gradient. Random numbers come
from a hash of position and seed, so that a pixel's value depends on nothing but the image's own draws.
"""

import numpy as np
from numba import njit

from monoform.projection.kernels.hard import FAST, _fill_face, _no_centre_in

PLAIN, NOISE, STRIPES, CHECKS, WOOD = range(5)
"""Solid textures."""
MATERIAL_WIDTH, LIGHT_WIDTH = 17, 7


def _srgb_table() -> np.ndarray:
    linear = np.linspace(0.0, 1.0, 4096)
    return (255.0 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(
        np.float32
    )


SRGB = _srgb_table()
"""(4096,) sRGB levels 0-255 of equally spaced linear intensities 0-1 (IEC 61966-2-1)."""


F4 = np.float32
ZERO, HALF, ONE = F4(0.0), F4(0.5), F4(1.0)
TO_UNIT = F4(1.0 / 4294967296.0)
SAME_LIGHT = F4(0.99)
"""Cosine between two samples' normals within a pixel above which the second takes the light that fell on the first."""

SAME_COLOUR = F4(0.08)
"""Difference of two faces' linear colours within a pixel up to which one stands for both."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def rasterise_both(points, faces, is_solid, samples, depth, face_id, fine, fine_id):
    """What `hard.rasterise` finds at the pixels' centres, and at samples x samples places a pixel, in one pass.

    points (v, 3), faces (f, 3): of one image, unchecked. is_solid: whether the samples can do without the faces' backs.
    depth receives 1/depth, face_id the faces (h, w); fine and fine_id (h s, w s) the same of the samples, and nothing for
    one sample a pixel.
    """
    h, s = depth.shape[0], float(samples)
    depth[:], face_id[:] = 0.0, -1
    if samples > 1:
        fine[:], fine_id[:] = 0.0, -1
    some, many = np.empty(faces.shape[0], np.int32), np.empty(faces.shape[0], np.int32)
    count, fine_count = _list_faces(points, faces, is_solid, s, some, many)
    for number in range(count):
        face = some[number]
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        xa, ya, za = float(points[a, 0]), float(points[a, 1]), float(points[a, 2])
        xb, yb, zb = float(points[b, 0]), float(points[b, 1]), float(points[b, 2])
        xc, yc, zc = float(points[c, 0]), float(points[c, 1]), float(points[c, 2])
        _fill_face(xa, ya, za, xb, yb, zb, xc, yc, zc, face, 0, h, depth, face_id)
    for number in range(fine_count if samples > 1 else 0):
        face = many[number]
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        xa, ya, za = s * float(points[a, 0]), s * float(points[a, 1]), float(points[a, 2])
        xb, yb, zb = s * float(points[b, 0]), s * float(points[b, 1]), float(points[b, 2])
        xc, yc, zc = s * float(points[c, 0]), s * float(points[c, 1]), float(points[c, 2])
        _fill_face(xa, ya, za, xb, yb, zb, xc, yc, zc, face, 0, fine.shape[0], fine, fine_id)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _list_faces(points, faces, is_solid, s, some, many):
    """List the faces that may hold a pixel's centre and, for an image s times as large, a sample; returns how many.

    Every face is written and most are overwritten by the next: a branch would be mispredicted too often.
    """
    count, fine_count = 0, 0
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        xa, ya, za = float(points[a, 0]), float(points[a, 1]), float(points[a, 2])
        xb, yb, zb = float(points[b, 0]), float(points[b, 1]), float(points[b, 2])
        xc, yc, zc = float(points[c, 0]), float(points[c, 1]), float(points[c, 2])
        size = abs(xa) + abs(ya) + abs(xb) + abs(yb) + abs(xc) + abs(yc) + za + zb + zc
        drawable = (za > 0.0) & (zb > 0.0) & (zc > 0.0) & (size < 1e18)
        left, right, top, bottom = min(xa, xb, xc), max(xa, xb, xc), min(ya, yb, yc), max(ya, yb, yc)
        some[count] = many[fine_count] = face
        held = drawable & (not _no_centre_in(top, bottom)) & (not _no_centre_in(left, right))
        count += 1 if held else 0
        hidden = is_solid & ((xb - xa) * (yc - ya) > (yb - ya) * (xc - xa))
        held = drawable & (not hidden) & (not _no_centre_in(s * top, s * bottom))
        fine_count += 1 if held & (not _no_centre_in(s * left, s * right)) else 0
    return count, fine_count


@njit(inline="always")
def _hash(a, b, c, seed):
    """32 well-mixed bits of four integers (the finaliser of MurmurHash3)."""
    value = np.uint32(a * 73856093) ^ np.uint32(b * 19349663) ^ np.uint32(c * 83492791) ^ np.uint32(seed)
    value ^= value >> np.uint32(16)
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value ^= value >> np.uint32(13)
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return value ^ (value >> np.uint32(16))


@njit(inline="always")
def _lattice(a, b, c, seed):
    return F4(_hash(a, b, c, seed)) * TO_UNIT


@njit(inline="always")
def _smooth(x):
    return x * x * (F4(3.0) - F4(2.0) * x)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def flat_noise(x, y, seed):
    """Smooth noise in [0, 1] at a point of the plane: random values at whole numbers, blended by smoothsteps; float32."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx), int(fy)
    u, v = _smooth(F4(x - fx)), _smooth(F4(y - fy))
    a, b = _lattice(i, j, 0, seed), _lattice(i, j + 1, 0, seed)
    near, far = a + u * (_lattice(i + 1, j, 0, seed) - a), b + u * (_lattice(i + 1, j + 1, 0, seed) - b)
    return near + v * (far - near)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def value_noise(x, y, z, seed):
    """`flat_noise` of space."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    u, v, w = _smooth(F4(x - fx)), _smooth(F4(y - fy)), _smooth(F4(z - fz))
    planes = (ZERO, ZERO)
    for dk in range(2):
        a, b = _lattice(i, j, k + dk, seed), _lattice(i, j + 1, k + dk, seed)
        near, far = a + u * (_lattice(i + 1, j, k + dk, seed) - a), b + u * (_lattice(i + 1, j + 1, k + dk, seed) - b)
        planes = (planes[1], near + v * (far - near))
    return planes[0] + w * (planes[1] - planes[0])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _mixture(material, x, y, z):
    """How much of a material's second colour stands at a point of the object, 0 to 1; float32."""
    kind, frequency, seed = int(material[0]), material[1], int(material[2])
    if kind == NOISE:
        x, y, z = x * frequency, y * frequency, z * frequency
        level = F4(0.65) * value_noise(x, y, z, seed)
        level += F4(0.35) * value_noise(F4(2.3) * x, F4(2.3) * y, F4(2.3) * z, seed + 1)
        return min(max(F4(2.5) * level - F4(0.75), ZERO), ONE)
    if kind == CHECKS:
        cells = np.floor(x * frequency + F4(0.37)) + np.floor(y * frequency + F4(0.37))
        return F4(int(cells + np.floor(z * frequency + F4(0.37))) & 1)
    along = x * material[3] + y * material[4] + z * material[5]
    if kind == STRIPES:
        return min(max(HALF + F4(3.0) * np.sin(F4(6.2831853) * frequency * along), ZERO), ONE)
    wobble = value_noise(F4(3.0) * x, F4(3.0) * y, F4(3.0) * z, seed)
    radius = np.sqrt(max(x * x + y * y + z * z - along * along, ZERO))
    ring = frequency * (radius + F4(0.12) * wobble)
    ring -= np.floor(ring)
    return ring * ring


@njit(inline="always", error_model="numpy")
def _place(points, a, b, c, x, y):
    """Perspective-correct barycentrics (3) and depth at (x, y) of the face of three points, and 1 for its front or -1."""
    xa, ya, za = float(points[a, 0]) - x, float(points[a, 1]) - y, float(points[a, 2])
    xb, yb, zb = float(points[b, 0]) - x, float(points[b, 1]) - y, float(points[b, 2])
    xc, yc, zc = float(points[c, 0]) - x, float(points[c, 1]) - y, float(points[c, 2])
    wa, wb, wc = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
    turn = 1.0 if wa + wb + wc > 0.0 else -1.0  # a face that runs clockwise on the screen, y down, shows its back
    wa, wb, wc = max(turn * wa, 0.0) * (zb * zc), max(turn * wb, 0.0) * (zc * za), max(turn * wc, 0.0) * (za * zb)
    scale = 1.0 / max(wa + wb + wc, 1e-300)
    wa, wb, wc = wa * scale, wb * scale, wc * scale
    return F4(wa), F4(wb), F4(wc), F4(wa * za + wb * zb + wc * zc), F4(-turn)


@njit(inline="always", error_model="numpy")
def _camera_point(K, x, y, z):
    """What is seen at a pixel; the last row of K is taken for 0, 0, 1."""
    u, v = x - K[0, 2], y - K[1, 2]
    scale = z / (K[0, 0] * K[1, 1] - K[0, 1] * K[1, 0])
    return F4((K[1, 1] * u - K[0, 1] * v) * scale), F4((K[0, 0] * v - K[1, 0] * u) * scale), F4(z)


@njit(inline="always", error_model="numpy")
def _normal(normals, face, wa, wb, wc, side, R, px, py, pz):
    """The smooth camera normal of a face's visible side at the camera point p; laid across the ray where it looks away."""
    x = side * (wa * normals[face, 0, 0] + wb * normals[face, 1, 0] + wc * normals[face, 2, 0])
    y = side * (wa * normals[face, 0, 1] + wb * normals[face, 1, 1] + wc * normals[face, 2, 1])
    z = side * (wa * normals[face, 0, 2] + wb * normals[face, 1, 2] + wc * normals[face, 2, 2])
    nx = R[0, 0] * x + R[0, 1] * y + R[0, 2] * z
    ny = R[1, 0] * x + R[1, 1] * y + R[1, 2] * z
    nz = R[2, 0] * x + R[2, 1] * y + R[2, 2] * z
    away = nx * px + ny * py + nz * pz
    if away > ZERO:
        away /= px * px + py * py + pz * pz
        nx, ny, nz = nx - away * px, ny - away * py, nz - away * pz
    squared = nx * nx + ny * ny + nz * nz
    if squared < F4(1e-12):  # it looks along the ray or is not there: towards the camera is what is left
        nx, ny, nz, squared = -px, -py, -pz, px * px + py * py + pz * pz
    scale = ONE / np.sqrt(squared)
    return nx * scale, ny * scale, nz * scale


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _light_up(px, py, pz, nx, ny, nz, shininess, ambient, lights, light):
    """Blinn 1977: the diffuse and the glossy light (RGB each) at a camera point, into light (6,); linear.

    shininess: 0 for none. The ambient light comes from above and below.
    """
    up = HALF - HALF * ny
    for i in range(3):
        light[i] = ambient[1, i] + up * (ambient[0, i] - ambient[1, i])
        light[3 + i] = ZERO
    back = -ONE / np.sqrt(px * px + py * py + pz * pz)
    for number in range(lights.shape[0]):
        lx, ly, lz, fall = lights[number, 1], lights[number, 2], lights[number, 3], ONE
        if lights[number, 0] > ZERO:
            lx, ly, lz = lx - px, ly - py, lz - pz
            squared = lx * lx + ly * ly + lz * lz
            scale = ONE / np.sqrt(squared)
            lx, ly, lz = lx * scale, ly * scale, lz * scale
            fall = ONE / max(squared, F4(0.04))
        cosine = nx * lx + ny * ly + nz * lz
        if cosine <= ZERO:
            continue
        shine = ZERO
        if shininess > ZERO:
            hx, hy, hz = lx + px * back, ly + py * back, lz + pz * back
            half = (nx * hx + ny * hy + nz * hz) / max(np.sqrt(hx * hx + hy * hy + hz * hz), F4(1e-6))
            if shininess * (half - ONE) > F4(-9.0):  # else under e^-9, half a level at most
                shine = fall * np.exp(shininess * np.log(half))
        for i in range(3):
            light[i] += fall * cosine * lights[number, 4 + i]
            light[3 + i] += shine * lights[number, 4 + i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _colour(face, wa, wb, wc, vertices, faces, colours, materials, m, light, level):
    """The linear colour of a place on a face in its light, into level (3,); each channel 1 at most."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    mixture, keep, gloss = ZERO, materials[m, 6] > ZERO, materials[m, 13]
    if materials[m, 0] > ZERO:
        x = wa * vertices[a, 0] + wb * vertices[b, 0] + wc * vertices[c, 0]
        y = wa * vertices[a, 1] + wb * vertices[b, 1] + wc * vertices[c, 1]
        z = wa * vertices[a, 2] + wb * vertices[b, 2] + wc * vertices[c, 2]
        mixture = _mixture(materials[m], x, y, z)
    for i in range(3):
        base = wa * colours[a, i] + wb * colours[b, i] + wc * colours[c, i] if keep else materials[m, 7 + i]
        base += mixture * (materials[m, 10 + i] - base)
        level[i] = min(base * light[i] + gloss * light[3 + i], ONE)


@njit(inline="always", error_model="numpy")
def _alike(face, other, faces, normals, colours, part, materials):
    """Whether two faces within a pixel have nearly one colour: of one plain part, turned the same way, coloured the same."""
    if part[face] != part[other] or materials[part[face], 0] > ZERO:
        return False
    cosine, apart, a, b = ZERO, ZERO, faces[face, 0], faces[other, 0]
    for i in range(3):
        cosine += normals[face, 0, i] * normals[other, 0, i]
        apart = max(apart, abs(colours[a, i] - colours[b, i]))
    return cosine > SAME_LIGHT and (apart < SAME_COLOUR or materials[part[face], 6] == ZERO)


@njit(inline="always", error_model="numpy")
def _span(low, high, length):
    """First and end of the pixels that touch [low, high]."""
    return int(min(max(low, 0.0), float(length))), int(min(max(high + 1.0, 0.0), float(length)))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def find_truth(points, face_id, K, faces, normals, R, box, depth, barycentric, out):
    """Depth, barycentrics and camera normals (towards the camera) at the pixels' centres; depth is inf, normals 0 where empty.

    points (v, 3), face_id (h, w): of `rasterise_both`. K (3, 3). normals (f, 3, 3): object frame.
    box (2, 2): lowest and highest x, y of the points. depth (h, w); barycentric (h, w, 3), undefined where empty; out
    (h, w, 3).
    """
    depth[:], out[:] = np.inf, ZERO
    left, right = _span(box[0, 0], box[1, 0], face_id.shape[1])
    top, bottom = _span(box[0, 1], box[1, 1], face_id.shape[0])
    for row in range(top, bottom):
        for column in range(left, right):
            face = face_id[row, column]
            if face < 0:
                continue
            x, y = column + 0.5, row + 0.5
            wa, wb, wc, pz, side = _place(points, faces[face, 0], faces[face, 1], faces[face, 2], x, y)
            px, py, pz = _camera_point(K, x, y, pz)
            nx, ny, nz = _normal(normals, face, wa, wb, wc, side, R, px, py, pz)
            barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2] = wa, wb, wc
            depth[row, column] = pz
            out[row, column, 0], out[row, column, 1], out[row, column, 2] = nx, ny, nz


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def shade(
    points, face_id, depth, barycentric, truth, samples, sample_id, K, R, box,
    vertices, faces, normals, colours, part, materials, ambient, lights, out, hit,
):  # fmt: skip
    """Mean sRGB colour (0-255) of the samples that hit the object in each pixel: linear light is what is averaged.

    points, face_id, depth, barycentric, truth (the normals), K, R and box: as `find_truth` has them. sample_id (h s, w s):
    the faces at s x s samples a pixel, `face_id` itself for s = 1. vertices (v, 3), normals (f, 3, 3), colours (v, 3) linear:
    object frame. part (f,) rows of materials (p, 17): texture, frequency, seed, axis (3), 1 where the mesh's colour stands
    for the first colour, first colour (3), second (3), gloss, shininess, 2 unused. ambient (2, 3) from above and below;
    lights (n, 7): 1 for a point, position or direction (camera frame), RGB. out (h, w, 3), undefined where hit (h, w), the
    number of samples, is 0.
    """
    hit[:] = 0
    level, light, total = np.zeros(3, np.float32), np.zeros(6, np.float32), np.zeros(3, np.float32)
    left, right = _span(box[0, 0], box[1, 0], face_id.shape[1])
    top, bottom = _span(box[0, 1], box[1, 1], face_id.shape[0])
    for row in range(top, bottom):
        for column in range(left, right):
            count, last, lit, lx, ly, lz = 0, -1, -1, ZERO, ZERO, ZERO
            total[:] = ZERO
            for sample in range(
                -1, samples * samples
            ):  # first the centre, which hits nothing but whose colour may serve
                i, j = row * samples + sample // samples, column * samples + sample % samples
                face = face_id[row, column] if sample < 0 else sample_id[i, j]
                if face < 0:
                    continue
                if last < 0 or not (face == last or _alike(face, last, faces, normals, colours, part, materials)):
                    last = face
                    if sample < 0:
                        px, py, pz = _camera_point(K, column + 0.5, row + 0.5, depth[row, column])
                        wa, wb, wc = (
                            barycentric[row, column, 0],
                            barycentric[row, column, 1],
                            barycentric[row, column, 2],
                        )
                        nx, ny, nz = truth[row, column, 0], truth[row, column, 1], truth[row, column, 2]
                    else:
                        x, y = (j + 0.5) / samples, (i + 0.5) / samples
                        wa, wb, wc, pz, side = _place(points, faces[face, 0], faces[face, 1], faces[face, 2], x, y)
                        px, py, pz = _camera_point(K, x, y, pz)
                        nx, ny, nz = _normal(normals, face, wa, wb, wc, side, R, px, py, pz)
                    m = part[face]
                    if m != lit or nx * lx + ny * ly + nz * lz < SAME_LIGHT:
                        lit, lx, ly, lz = m, nx, ny, nz
                        shininess = materials[m, 14] if materials[m, 13] > ZERO else ZERO
                        _light_up(px, py, pz, nx, ny, nz, shininess, ambient, lights, light)
                    _colour(face, wa, wb, wc, vertices, faces, colours, materials, m, light, level)
                if sample >= 0:
                    count += 1
                    for k in range(3):
                        total[k] += level[k]
            hit[row, column] = count
            if count:
                for k in range(3):
                    out[row, column, k] = SRGB[int(F4(4095.0) * total[k] / F4(count))]
