"""What the tests of image sets compare by."""

import numpy as np

from monoform.interfaces import ImageSet
from monoform.meshes import Mesh
from monoform.projection.kernels import coverage


def same(a: ImageSet, b: ImageSet) -> bool:
    """Whether all arrays are equal, nan being nan."""
    names = ("images", "masks", "R", "t", "K", "objects", "voxels")
    return all(np.array_equal(getattr(a, n), getattr(b, n), equal_nan=n in "RtK") for n in names)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two masks of booleans."""
    return (a & b).sum() / (a | b).sum()


def silhouette(mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray, size: int) -> np.ndarray:
    """(size, size) share of each pixel that a mesh covers."""
    points = mesh.vertices @ R.T.astype(np.float64) + t
    pixels = np.concatenate([(points @ K.T)[:, :2] / points[:, 2:], points[:, 2:]], axis=1).astype(np.float32)
    return coverage.forward(pixels[None], coverage.Topology(mesh.faces, mesh.vertices), size, size)[0][0]
