"""Duplicates and near-duplicates of pictures and shapes, and those that stand in two splits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from monoform.errors import InputError
from monoform.meshes import Mesh, sample_surface

BITS_APART = 10
"""Pictures whose 256-bit difference hashes differ in at most so many bits may be near-duplicates,"""
LEVELS_APART = 6.0
"""and are, if their 16 x 16 thumbnails differ by no more grey levels in the mean."""
MESHES_APART, VOXELS_APART = 0.022, 0.01
"""Share of the surface, or of the filled cells, that near-duplicate shapes have in other sixteenths of the unit cube.

The same mesh with its faces in another order is up to 0.018 apart, which is the sampling; of 150 procedural cars the two most
alike 0.028, of chairs 0.074. Grids of 32 cells a side of different cars are at least 0.016 apart."""
_THUMBNAIL, _CELLS, _POINTS = 16, 16, 65536
_COARSE = 4
_BLOCK = 1024


@dataclass(frozen=True)
class Pair:
    """Two entries, by their place in the list, the first before the second."""

    first: int
    second: int
    exact: bool


# --- descriptors -------------------------------------------------------------------------------------------------


def thumbnail(image: np.ndarray) -> np.ndarray:
    """(16, 16, 3) uint8 mean colours of an (h, w, 3) picture."""
    small = Image.fromarray(image).resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small)


def difference_hash(image: np.ndarray) -> np.ndarray:
    """(4,) uint64: whether each of 16 x 16 places is brighter than its right neighbour (dHash); 0 for a plain picture.

    Unchanged by scale, compression and exposure.
    """
    small = Image.fromarray(image).convert("L").resize((_THUMBNAIL + 1, _THUMBNAIL), Image.Resampling.BOX)
    grey = np.asarray(small).astype(np.int16)
    return np.packbits(grey[:, :-1] > grey[:, 1:]).view(np.uint64)


def mesh_descriptor(mesh: Mesh) -> np.ndarray | None:
    """(4096,) float32: share of the surface in each of 16 x 16 x 16 cells of the unit cube; None without a surface."""
    try:
        points = sample_surface(mesh, _POINTS, np.random.default_rng(0))
    except InputError:
        return None
    return _shares(points)


def voxel_descriptor(voxels: np.ndarray) -> np.ndarray | None:
    """(4096,) float32: share of the filled cells of a [z, y, x] grid in each of 16 x 16 x 16 blocks; None if empty."""
    places = np.argwhere(voxels)
    return _shares((places[:, ::-1] + 0.5) / np.array(voxels.shape[::-1]) - 0.5) if len(places) else None


def _shares(points: np.ndarray) -> np.ndarray:
    """Each point is shared out over its eight nearest cells, so that a small shift makes a small difference."""
    place = np.clip((points + 0.5) * _CELLS - 0.5, 0.0, _CELLS - 1.0)
    low = np.minimum(place.astype(np.int64), _CELLS - 2)
    part = place - low
    total = np.zeros(_CELLS**3)
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, part, 1.0 - part).prod(axis=1)
        x, y, z = (low + corner).T
        total += np.bincount((z * _CELLS + y) * _CELLS + x, weight, minlength=_CELLS**3)
    return (total / total.sum()).astype(np.float32)


# --- pairs -------------------------------------------------------------------------------------------------------


def similar_pictures(digests: Sequence[str], hashes: np.ndarray, thumbnails: np.ndarray) -> list[Pair]:
    """Pairs of equal content, and of near-equal hashes and thumbnails, among n pictures.

    digests: of the pixels. hashes: (n, 4) uint64. thumbnails: (n, 16, 16, 3) uint8. A picture that is almost plain has
    hardly a bit set; it is compared by its content only. Time grows with n squared: 100,000 pictures take about a minute.
    """
    pairs = _equal(digests)
    telling = np.flatnonzero(np.bitwise_count(hashes).sum(axis=1) > 2 * BITS_APART)
    for start in range(0, len(telling), _BLOCK):
        rows = telling[start : start + _BLOCK]
        columns = telling[start:]
        apart = np.zeros((len(rows), len(columns)), np.uint16)
        for word in range(hashes.shape[1]):
            apart += np.bitwise_count(hashes[rows, None, word] ^ hashes[None, columns, word])
        near = np.argwhere(apart <= BITS_APART)
        near = np.stack([rows[near[:, 0]], columns[near[:, 1]]], axis=1)
        for first, second in near[near[:, 0] < near[:, 1]].tolist():
            levels = np.abs(thumbnails[first].astype(float) - thumbnails[second]).mean()
            if digests[first] != digests[second] and levels <= LEVELS_APART:
                pairs.append(Pair(first, second, exact=False))
    return pairs


def similar_shapes(digests: Sequence[str], descriptors: np.ndarray, apart: float) -> list[Pair]:
    """Pairs of equal content, and of descriptors (n, 4096) at most `apart`, among n shapes."""
    from scipy.spatial.distance import cdist

    pairs = _equal(digests)
    # Summing cells up never makes two shapes differ more, so the coarse shares leave out most pairs at little cost.
    coarse = _pooled(descriptors)
    for start in range(0, len(coarse), _BLOCK):
        distances = 0.5 * cdist(coarse[start : start + _BLOCK], coarse[start:], "cityblock")
        near = np.argwhere(distances <= apart + 1e-6) + start
        for first, second in near[near[:, 0] < near[:, 1]].tolist():
            if digests[first] == digests[second]:
                continue
            if 0.5 * np.abs(descriptors[first] - descriptors[second]).sum() <= apart:
                pairs.append(Pair(first, second, exact=False))
    return pairs


def _pooled(descriptors: np.ndarray) -> np.ndarray:
    """(n, 64): the descriptors summed over 4 x 4 x 4 cells each."""
    side = _CELLS // _COARSE
    blocks = descriptors.reshape(-1, _COARSE, side, _COARSE, side, _COARSE, side)
    return blocks.sum(axis=(2, 4, 6)).reshape(len(descriptors), -1)


def _equal(digests: Sequence[str]) -> list[Pair]:
    """Each entry with the first that has the same content: n - 1 pairs of n equal ones."""
    first: dict[str, int] = {}
    return [Pair(first[d], i, exact=True) for i, d in enumerate(digests) if first.setdefault(d, i) != i]
