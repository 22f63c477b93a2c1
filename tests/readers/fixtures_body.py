"""An asymmetric body of three boxes, exact pictures of it by ray casting, and its cells: shares no code with any reader.

The body stands in the canonical axes: y up, front -z. No mirror image and no turn of it is itself.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

BODY = np.array([
    [[-0.18, -0.12, -0.42], [0.18, 0.02, 0.42]],  # hull
    [[-0.15, 0.01, -0.05], [0.06, 0.20, 0.36]],  # cabin, to the rear and to one side
    [[0.10, -0.08, -0.36], [0.34, 0.10, -0.17]],  # arm, at the front and on the other side
])  # fmt: skip
"""(3 boxes, low and high, xyz). Off-centre, and its box diagonal is 1.04: normalising must matter."""
LOW, HIGH = BODY[:, 0].min(0), BODY[:, 1].max(0)
LONGEST = float((HIGH - LOW).max())
UNIT_BODY = (BODY - (LOW + HIGH) / 2) / LONGEST
"""The body as NMR and PTN scale it: box centred, longest side 1."""


def moved(boxes: np.ndarray, turn: Callable[[np.ndarray, np.ndarray, np.ndarray], list]) -> np.ndarray:
    """Boxes under a signed permutation of the axes, given as a function of x, y, z."""
    ends = np.stack(turn(boxes[..., 0], boxes[..., 1], boxes[..., 2]), -1)
    return np.sort(ends, axis=1)


V1_BODY = moved(BODY, lambda x, y, z: [-z, y, x])
"""The body as the OBJ files of ShapeNetCore version 1 stand: y up, front +x, so that its right is +z."""
V1_UNIT_BODY = moved(UNIT_BODY, lambda x, y, z: [-z, y, x])


def obj_text(boxes: np.ndarray) -> str:
    """The boxes as OBJ quads, outward."""
    lines = ["mtllib model.mtl"]
    for low, high in boxes:
        for k in range(8):
            corner = [(low, high)[k >> axis & 1][axis] for axis in range(3)]
            lines.append("v {:.6f} {:.6f} {:.6f}".format(*corner))
    quads = ((1, 3, 4, 2), (5, 6, 8, 7), (1, 2, 6, 5), (3, 7, 8, 4), (1, 5, 7, 3), (2, 4, 8, 6))
    lines += ["f " + " ".join(str(8 * i + k) for k in quad) for i in range(len(boxes)) for quad in quads]
    return "\n".join(lines) + "\n"


def cast(origin: np.ndarray, directions: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(...,) how many times each direction goes into the ray until it enters a box; inf where it misses."""
    nearest = np.full(directions.shape[:-1], np.inf)
    with np.errstate(divide="ignore"):
        for low, high in boxes:
            a, b = (low - origin) / directions, (high - origin) / directions
            enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
            nearest = np.where((enter <= leave) & (enter > 0), np.minimum(nearest, enter), nearest)
    return nearest


def picture(
    side: int,
    ray: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    boxes: np.ndarray,
    samples: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (side, side) in [0, 1] and depth at the pixel centres. ray: (column, row) in 0..1 to origin, directions."""
    at = (np.arange(side * samples) + 0.5) / (side * samples)
    rows, columns = np.meshgrid(at, at, indexing="ij")
    depth = cast(*ray(columns, rows), boxes)
    hit = np.isfinite(depth).reshape(side, samples, side, samples)
    return hit.mean((1, 3)), depth[samples // 2 :: samples, samples // 2 :: samples]


def cells(boxes: np.ndarray, size: int, touch: bool = False) -> np.ndarray:
    """[x, y, z] cells of the unit cube about the origin with the centre in a box, or that a box touches."""
    grid = np.zeros((size,) * 3, bool)
    centres = (np.arange(size) + 0.5) / size - 0.5
    reach = 0.5 / size - 1e-9 if touch else 0.0
    for low, high in boxes:
        x, y, z = ((centres > low[k] - reach) & (centres < high[k] + reach) for k in range(3))
        grid |= x[:, None, None] & y[None, :, None] & z[None, None, :]
    return grid


def png(values: np.ndarray) -> bytes:
    """(h, w, 4) uint8 or (h, w) uint16 as a PNG, by the format's own rules."""
    colour, depth = (6, 8) if values.dtype == np.uint8 else (0, 16)
    rows = values.astype(values.dtype.newbyteorder(">"))
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, colour, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(raw, 1)), (b"IEND", b"")]
    chunks = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def rgba(coverage: np.ndarray, colour: tuple[int, int, int] = (200, 120, 40)) -> np.ndarray:
    """A picture of one colour with the coverage as alpha."""
    values = np.zeros((*coverage.shape, 4), np.uint8)
    values[..., :3] = colour
    values[..., 3] = np.rint(coverage * 255)
    return values


def write(path: Path, content: bytes | str) -> Path:
    """The file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
