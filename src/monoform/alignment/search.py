"""The global search: every rotation of a grid, its translation solved from the mask's box, scored by bits.

An occluder or a wrong mask moves sides of the box, so every rotation is also tried with each side left out in turn
(`SIDES`); what is wrong with those hypotheses, the refinement and the ranking sort out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.alignment.model import Model
from monoform.errors import InputError
from monoform.projection.kernels import search as kernel
from monoform.projection.kernels import threads
from monoform.rotation_grids import rotation_grid, upright_grid
from monoform.target import Crop, Level, level

SPHERE_ROTATIONS = 4000
"""Grid over the whole rotation sphere: about 14 degrees to the nearest, well inside the refinement's basin."""
UPRIGHT_AZIMUTHS, UPRIGHT_ELEVATIONS, UPRIGHT_TILTS = np.arange(0, 360, 5), np.arange(-10, 51, 10), (-8, 0, 8)
SIDES = ((1, 1, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0))
"""Sides of the mask's box (left, top, right, bottom) that a hypothesis trusts."""
EXCESS = (1.0, 0.5, 0.5, 0.5, 0.5)
"""What a silhouette pixel outside the mask costs under each of `SIDES`: an occluder hides some of them."""
KEEP, KEEP_PER_SIDE = 32, 8
"""Distinct rotations kept for refinement, of the first of `SIDES` and of each other."""
LIKELY = 0.35
"""Share of the grid, best first with all sides, that is tried again with sides left out."""
DISTINCT = np.radians(6.0)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Poses in the search frame."""

    R: np.ndarray
    """(n, 3, 3)."""
    t: np.ndarray
    """(n, 3)."""
    origin: np.ndarray
    """(n,) which of the search's hypotheses each came from."""

    def take(self, index: np.ndarray) -> "Candidates":
        return Candidates(self.R[index], self.t[index], self.origin[index])

    def moved(self, R: np.ndarray, t: np.ndarray) -> "Candidates":
        return Candidates(R, t, self.origin)


def rotations(upright: bool, seed: int) -> np.ndarray:
    """(n, 3, 3) rotations to try, search frame to camera; another seed turns the whole grid another way."""
    if seed < 0:
        raise InputError(f"seed {seed} is negative; give 0 or more")
    rng = np.random.default_rng(seed)
    if not upright:
        grid = rotation_grid(SPHERE_ROTATIONS)
        return grid if seed == 0 else grid @ Rotation.random(rng=rng).as_matrix()
    azimuths = UPRIGHT_AZIMUTHS + (0.0 if seed == 0 else rng.uniform(0, 5))
    angles = (np.radians(np.asarray(a, float)) for a in (azimuths, UPRIGHT_ELEVATIONS, UPRIGHT_TILTS))
    return upright_grid(*angles)


def distinct(R: np.ndarray, score: np.ndarray, count: int, angle: float = DISTINCT) -> np.ndarray:
    """Indices of the best `count` rotations that differ pairwise by more than `angle`, best (largest score) first."""
    flat = R.reshape(len(R), 9)
    least_trace = 1 + 2 * np.cos(angle)
    kept: list[int] = []
    for i in np.argsort(-score, kind="stable"):
        if not kept or (flat[kept] @ flat[i]).max() < least_trace:
            kept.append(int(i))
            if len(kept) == count:
                break
    return np.array(kept, dtype=int)


def mask_box(at: Level) -> np.ndarray:
    """(4,) float32 (left, top, right, bottom) of the mask in fractions of the crop."""
    inside = at.alpha > min(0.5, 0.5 * float(at.alpha.max()))  # a wire may cover less than half of every pixel
    rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return (box / len(at.alpha)).astype(np.float32)


def free_sides(coverage: np.ndarray, band: int = 2) -> np.ndarray:
    """(4,) bool: which sides of the mask's box (left, top, right, bottom) are not cut by the photo's border."""
    mask = coverage > 0.5
    touched = mask[:, :band].any(), mask[:band].any(), mask[:, -band:].any(), mask[-band:].any()
    return ~np.array(touched)


def search(model: Model, coverage: np.ndarray, crop: Crop, K: np.ndarray, grid: np.ndarray) -> Candidates:
    """The most promising distinct poses of a grid of rotations (n, 3, 3). `coverage` (h, w) is the mask."""
    at = level(coverage, crop, kernel.SIDE)
    box = mask_box(level(coverage, crop, 2 * kernel.SIDE)) * np.float32(kernel.SIDE)
    free = free_sides(coverage)
    first_depth = np.float32(0.6 * crop.camera(K, kernel.SIDE)[0] / max(box[2] - box[0], box[3] - box[1]))
    camera = crop.camera(K, kernel.SIDE)
    trusted = [free & np.array(sides, bool) for sides in SIDES]
    overlap, t = _score(model, grid, at, camera, box, trusted[0], first_depth, EXCESS[0])
    kept = distinct(grid, overlap, KEEP)
    found_R, found_t = [grid[kept]], [t[kept]]
    likely = grid[np.argsort(-overlap, kind="stable")[: int(LIKELY * len(grid))]]
    for i in range(1, len(SIDES)):
        if any((trusted[i] == earlier).all() for earlier in trusted[:i]):
            continue  # a side cut by the photo's border is never trusted, so this was tried
        overlap, t = _score(model, likely, at, camera, box, trusted[i], first_depth, EXCESS[i])
        kept = distinct(likely, overlap, KEEP_PER_SIDE)
        found_R.append(likely[kept])
        found_t.append(t[kept])
    R = np.concatenate(found_R)
    return Candidates(R, np.concatenate(found_t).astype(np.float64), np.arange(len(R)))


def _score(
    model: Model,
    grid: np.ndarray,
    at: Level,
    camera: np.ndarray,
    box: np.ndarray,
    trusted: np.ndarray,
    first_depth: np.float32,
    excess: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Overlap (n,) and translation (n, 3) of every rotation of the grid, on all threads."""
    vertices, faces = model.coarse.vertices.astype(np.float32), model.coarse.faces
    target, valid = kernel.pack_rows(at.alpha > 0.5), kernel.pack_rows(at.valid > 0)
    grid32 = np.ascontiguousarray(grid, dtype=np.float32)
    overlap, t = np.empty(len(grid), np.float32), np.empty((len(grid), 3), np.float32)

    def score(start: int, stop: int) -> None:
        part = slice(start, stop)
        kernel.score_rotations(
            vertices, faces, grid32[part], camera, target, valid, box, trusted, first_depth, np.float32(excess),
            overlap[part], t[part],
        )  # fmt: skip

    tasks: list[Callable[[], None]] = [partial(score, *span) for span in threads.spans(len(grid))]
    threads.run(tasks)
    return overlap, t
