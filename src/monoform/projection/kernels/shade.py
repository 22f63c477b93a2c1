"""Shading of what a z-buffer found: solid textures and Blinn-Phong light.

One call draws one image, serially; callers split a batch over threads. Nothing here has a gradient. Random numbers come
from a hash of position and seed, so that a pixel's value depends on nothing but the image's own draws.
"""

import numpy as np
from numba import njit

from monoform.projection.kernels.hard import FAST, _rasterise_rows

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


def rasterise_one(points: np.ndarray, faces: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`hard.rasterise` of one image on the calling thread alone, its arguments unchecked.

    points (v, 3) contiguous float32, faces (f, 3) contiguous int32. Returns face_id, depth and barycentrics, (h, w, ...).
    """
    face_id, depth = np.empty((h, w), np.int32), np.empty((h, w), np.float32)
    barycentric = np.empty((h, w, 3), np.float32)
    _rasterise_rows(points, faces, 0, h, face_id, depth, barycentric)
    return face_id, depth, barycentric


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
    return np.float32(_hash(a, b, c, seed)) * np.float32(1.0 / 4294967296.0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def value_noise(x, y, z, seed):
    """Smooth noise in [0, 1] at a point: random values at whole numbers, blended by smoothsteps."""
    fx, fy, fz = np.floor(x), np.floor(y), np.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    u, v, w = x - fx, y - fy, z - fz
    u, v, w = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v), w * w * (3.0 - 2.0 * w)
    total = 0.0
    for dk in range(2):
        along = w if dk else 1.0 - w
        near = _lattice(i, j, k + dk, seed) * (1.0 - u) + _lattice(i + 1, j, k + dk, seed) * u
        far = _lattice(i, j + 1, k + dk, seed) * (1.0 - u) + _lattice(i + 1, j + 1, k + dk, seed) * u
        total += along * (near * (1.0 - v) + far * v)
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def flat_noise(x, y, seed):
    """`value_noise` of the plane, at half its cost."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx), int(fy)
    u, v = x - fx, y - fy
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    near = _lattice(i, j, 0, seed) * (1.0 - u) + _lattice(i + 1, j, 0, seed) * u
    far = _lattice(i, j + 1, 0, seed) * (1.0 - u) + _lattice(i + 1, j + 1, 0, seed) * u
    return near * (1.0 - v) + far * v


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _mixture(material, x, y, z):
    """How much of a material's second colour stands at a point of the object, 0 to 1."""
    kind, frequency, seed = int(material[0]), material[1], int(material[2])
    along = x * material[3] + y * material[4] + z * material[5]
    if kind == NOISE:
        level = 0.65 * value_noise(x * frequency, y * frequency, z * frequency, seed)
        level += 0.35 * value_noise(2.3 * x * frequency, 2.3 * y * frequency, 2.3 * z * frequency, seed + 1)
        return min(max(2.5 * level - 0.75, 0.0), 1.0)
    if kind == STRIPES:
        return min(max(0.5 + 3.0 * np.sin(6.2831853 * frequency * along), 0.0), 1.0)
    if kind == CHECKS:
        cells = np.floor(x * frequency + 0.37) + np.floor(y * frequency + 0.37) + np.floor(z * frequency + 0.37)
        return float(int(cells) & 1)
    if kind == WOOD:
        wobble = value_noise(3.0 * x, 3.0 * y, 3.0 * z, seed)
        radius = np.sqrt(max(x * x + y * y + z * z - along * along, 0.0))
        ring = frequency * (radius + 0.12 * wobble)
        ring -= np.floor(ring)
        return ring * ring
    return 0.0


@njit(inline="always", error_model="numpy")
def _facing_normal(nx, ny, nz, gx, gy, gz, px, py, pz):
    """The smooth normal turned to the camera's side of the face and, where it still looks away, laid across the ray."""
    if gx * px + gy * py + gz * pz > 0.0:
        gx, gy, gz = -gx, -gy, -gz
    if nx * gx + ny * gy + nz * gz < 0.0:
        nx, ny, nz = -nx, -ny, -nz
    away = (nx * px + ny * py + nz * pz) / max(px * px + py * py + pz * pz, 1e-12)
    if away > 0.0:
        nx, ny, nz = nx - away * px, ny - away * py, nz - away * pz
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length < 1e-9:
        nx, ny, nz, length = gx, gy, gz, max(np.sqrt(gx * gx + gy * gy + gz * gz), 1e-12)
    return nx / length, ny / length, nz / length


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _surface(face, wa, wb, wc, vertices, faces, normals, R, t, out):
    """Object point, camera point and facing camera normal of a place on a face, into out (9,)."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    for i in range(3):
        out[i] = wa * vertices[a, i] + wb * vertices[b, i] + wc * vertices[c, i]
    e0, e1, e2 = vertices[b, 0] - vertices[a, 0], vertices[b, 1] - vertices[a, 1], vertices[b, 2] - vertices[a, 2]
    d0, d1, d2 = vertices[c, 0] - vertices[a, 0], vertices[c, 1] - vertices[a, 1], vertices[c, 2] - vertices[a, 2]
    g0, g1, g2 = e1 * d2 - e2 * d1, e2 * d0 - e0 * d2, e0 * d1 - e1 * d0
    n0 = wa * normals[face, 0, 0] + wb * normals[face, 1, 0] + wc * normals[face, 2, 0]
    n1 = wa * normals[face, 0, 1] + wb * normals[face, 1, 1] + wc * normals[face, 2, 1]
    n2 = wa * normals[face, 0, 2] + wb * normals[face, 1, 2] + wc * normals[face, 2, 2]
    for i in range(3):
        out[3 + i] = R[i, 0] * out[0] + R[i, 1] * out[1] + R[i, 2] * out[2] + t[i]
    nx, ny, nz = _facing_normal(
        R[0, 0] * n0 + R[0, 1] * n1 + R[0, 2] * n2, R[1, 0] * n0 + R[1, 1] * n1 + R[1, 2] * n2,
        R[2, 0] * n0 + R[2, 1] * n1 + R[2, 2] * n2, R[0, 0] * g0 + R[0, 1] * g1 + R[0, 2] * g2,
        R[1, 0] * g0 + R[1, 1] * g1 + R[1, 2] * g2, R[2, 0] * g0 + R[2, 1] * g1 + R[2, 2] * g2,
        out[3], out[4], out[5],
    )  # fmt: skip
    out[6], out[7], out[8] = nx, ny, nz


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def find_normals(face_id, barycentric, vertices, faces, normals, R, t, out):
    """Unit normals in the camera frame, towards the camera, at each pixel's centre; 0 where empty.

    face_id (h, w), barycentric (h, w, 3): of `hard.rasterise`. vertices (v, 3), normals (f, 3, 3): object frame. out (h, w, 3).
    """
    place = np.empty(9, np.float32)
    for row in range(face_id.shape[0]):
        for column in range(face_id.shape[1]):
            face = face_id[row, column]
            if face < 0:
                out[row, column, 0] = out[row, column, 1] = out[row, column, 2] = 0.0
                continue
            wa, wb, wc = barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2]
            _surface(face, wa, wb, wc, vertices, faces, normals, R, t, place)
            for i in range(3):
                out[row, column, i] = place[6 + i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _light_up(place, base, gloss, shininess, ambient, lights, out):
    """Blinn 1977: ambient light from above and below, and of every light a diffuse and a glossy part; linear RGB."""
    nx, ny, nz = place[6], place[7], place[8]
    up = 0.5 - 0.5 * ny
    for i in range(3):
        out[i] = base[i] * (up * ambient[0, i] + (1.0 - up) * ambient[1, i])
    distance = np.sqrt(place[3] ** 2 + place[4] ** 2 + place[5] ** 2)
    vx, vy, vz = -place[3] / distance, -place[4] / distance, -place[5] / distance
    for number in range(lights.shape[0]):
        lx, ly, lz, fall = lights[number, 1], lights[number, 2], lights[number, 3], np.float32(1.0)
        if lights[number, 0] > 0.0:
            lx, ly, lz = lx - place[3], ly - place[4], lz - place[5]
            length = np.sqrt(lx * lx + ly * ly + lz * lz)
            lx, ly, lz = lx / length, ly / length, lz / length
            fall = 1.0 / max(length * length, 0.04)
        cosine = nx * lx + ny * ly + nz * lz
        if cosine <= 0.0:
            continue
        hx, hy, hz = lx + vx, ly + vy, lz + vz
        half = (nx * hx + ny * hy + nz * hz) / max(np.sqrt(hx * hx + hy * hy + hz * hz), 1e-6)
        shine = gloss * np.exp(shininess * np.log(half)) if gloss > 0.0 and half > 0.0 else 0.0
        for i in range(3):
            out[i] += fall * lights[number, 4 + i] * (base[i] * cosine + shine)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def shade(
    face_id, barycentric, samples, vertices, faces, normals, colours, part, materials, R, t, ambient, lights, out, hit
):
    """Mean sRGB colour (0-255) of the samples that hit the object in each pixel.

    face_id (h s, w s), barycentric (h s, w s, 3): s x s samples a pixel. vertices (v, 3), normals (f, 3, 3), colours (v, 3)
    linear: object frame. part (f,) rows of materials (p, 17): texture, frequency, seed, axis (3), 1 where the mesh's colour
    stands for the first colour, first colour (3), second (3), gloss, shininess, 2 unused. ambient (2, 3) from above and
    below; lights (n, 7): 1 for a point, position or direction (camera frame), RGB. out (h, w, 3); hit (h, w) samples.
    """
    place, base, lit = np.empty(9, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    level = np.empty(3, np.float32)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            out[row, column, 0] = out[row, column, 1] = out[row, column, 2] = 0.0
            count, last = 0, -1
            for sample in range(samples * samples):
                y, x = row * samples + sample // samples, column * samples + sample % samples
                face = face_id[y, x]
                if face < 0:
                    continue
                count += 1
                if face == last:  # a face's colour hardly changes within a pixel
                    for i in range(3):
                        out[row, column, i] += level[i]
                    continue
                last = face
                wa, wb, wc = barycentric[y, x, 0], barycentric[y, x, 1], barycentric[y, x, 2]
                _surface(face, wa, wb, wc, vertices, faces, normals, R, t, place)
                material = materials[part[face]]
                mixture = _mixture(material, place[0], place[1], place[2])
                for i in range(3):
                    first = material[7 + i]
                    if material[6] > 0.0:
                        first = wa * colours[faces[face, 0], i] + wb * colours[faces[face, 1], i]
                        first += wc * colours[faces[face, 2], i]
                    base[i] = first + mixture * (material[10 + i] - first)
                _light_up(place, base, material[13], material[14], ambient, lights, lit)
                for i in range(3):
                    level[i] = SRGB[int(4095.0 * min(max(lit[i], 0.0), 1.0))]
                    out[row, column, i] += level[i]
            hit[row, column] = count
            if count:
                for i in range(3):
                    out[row, column, i] /= count
