"""What every mesh reader shares: the raw triangles of a file, the face limit, and polygons to triangles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monoform.errors import InputError
from monoform.meshes import UNCOLOURED

BYTES_A_FACE = 400
"""Memory that a face takes on its way through a reader and an alignment, for the estimate in an error."""


@dataclass(frozen=True, eq=False)
class Part:
    """Triangles as a file gave them, not checked yet."""

    vertices: np.ndarray
    """(v, 3) float64."""
    faces: np.ndarray
    """(f, 3) int64."""
    colours: np.ndarray | None = None
    """(v, 3) uint8 sRGB, or None."""


def join(parts: Sequence[Part]) -> Part:
    """All parts as one; uncoloured parts become grey where others have colours."""
    if not parts:
        return Part(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    starts = np.cumsum([0] + [len(part.vertices) for part in parts])
    for part in parts:
        check_index_range(part)
    vertices = np.concatenate([part.vertices for part in parts])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)])
    if all(part.colours is None for part in parts):
        return Part(vertices, faces)
    grey = [np.full(part.vertices.shape, UNCOLOURED, np.uint8) for part in parts]
    colours = [fill if part.colours is None else part.colours for part, fill in zip(parts, grey, strict=True)]
    return Part(vertices, faces, np.concatenate(colours))


def check_index_range(part: Part) -> None:
    """Raise InputError when a face names a vertex that is not there."""
    bad = ((part.faces < 0) | (part.faces >= len(part.vertices))).any(axis=1)
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(
            f"face {first} names vertices {part.faces[first].tolist()}, but there are only {len(part.vertices)}; "
            "export the mesh again"
        )


def check_face_count(count: int, max_faces: int) -> None:
    """Raise InputError when a file holds more faces than wanted, with an estimate of what it would take."""
    if count > max_faces:
        gigabytes = count * BYTES_A_FACE / 1e9
        raise InputError(
            f"the mesh has {count:,} faces or more, over the limit of {max_faces:,} "
            f"(it would take about {gigabytes:.1f} GB); decimate it, or raise max_faces"
        )


def triangulate(polygons: Sequence[Sequence[int]], vertices: np.ndarray) -> np.ndarray:
    """(f, 3) triangles of planar polygons given as vertex ids; concave ones too. Fewer than 3 corners give nothing."""
    triangles = [polygon for polygon in polygons if len(polygon) == 3]
    for polygon in polygons:
        if len(polygon) > 3:
            triangles.extend(_cut_ears(polygon, vertices))
    return np.array(triangles, np.int64).reshape(-1, 3)


def _cut_ears(polygon: Sequence[int], vertices: np.ndarray) -> list[Sequence[int]]:
    """Triangles of one polygon: a fan when it is convex, else ears cut off one by one."""
    ids = np.asarray(polygon)
    points = vertices[ids]
    ahead = np.roll(points, -1, axis=0)
    normal = np.cross(points - points[0], ahead - points[0]).sum(axis=0)
    turns = np.cross(points - np.roll(points, 1, axis=0), ahead - points) @ normal
    if not (turns < -1e-12 * np.abs(turns).max()).any() or len(ids) > 200:
        return [(polygon[0], polygon[i], polygon[i + 1]) for i in range(1, len(polygon) - 1)]
    # Two coordinates that keep the polygon's shape: those across the normal's longest axis.
    longest = int(np.argmax(np.abs(normal)))
    flat = np.delete(points, longest, axis=1)
    flat[:, 0] *= np.sign(normal[longest]) * (-1.0 if longest == 1 else 1.0)
    left = list(range(len(ids)))
    triangles: list[Sequence[int]] = []
    while len(left) > 3:
        at = next((k for k in range(len(left)) if _is_ear(flat, left, k)), 0)
        triangles.append(tuple(int(ids[left[k % len(left)]]) for k in (at - 1, at, at + 1)))
        del left[at]
    triangles.append(tuple(int(ids[k]) for k in left))
    return triangles


def _is_ear(flat: np.ndarray, left: list[int], at: int) -> bool:
    """Whether the corner turns left and its triangle holds no other corner."""
    a, b, c = (flat[left[k % len(left)]] for k in (at - 1, at, at + 1))

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        return (q[0] - p[0]) * (r[..., 1] - p[1]) - (q[1] - p[1]) * (r[..., 0] - p[0])

    if side(a, b, c) <= 0:
        return False
    skipped = {left[at - 1], left[at], left[(at + 1) % len(left)]}
    others = flat[[k for k in left if k not in skipped]]
    return not ((side(a, b, others) > 0) & (side(b, c, others) > 0) & (side(c, a, others) > 0)).any()
