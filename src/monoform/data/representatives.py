"""One mesh that stands for each class of shapes: the medoid by HOG of two views, and splits that it is in none of.

Palazzi et al. 2018, section 4.1, after Tatarchenko et al. 2016: the true mesh is not known when a photo is seen, the medoid of
its class is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monoform.data.rendering.models import Entry, ModelLibrary
from monoform.data.rendering.poses import viewpoint
from monoform.data.splits import RATIOS, SPLITS
from monoform.errors import InputError
from monoform.meshes import Mesh, bounds, clean, decimate
from monoform.overlays import draw
from monoform.rotation_grids import sphere_directions

MOST_FACES = 2000
"""Of a representative mesh: enough for its silhouette, few enough to be drawn at every step of a refinement."""
AZIMUTHS = (0.0, 90.0)
"""Of the two views, degrees: the front and the object's left side."""
PIXELS, CELL, BLOCK, ORIENTATIONS = 96, 8, 2, 9
"""Side of a view and of a HOG cell in pixels, cells along a block, bins. Paper: not told. Here: Dalal and Triggs 2005."""
_DISTANCE, _FILL = 100.0, 0.9
"""Of a view's camera, in longest sides (so far that there is no perspective), and what a longest side fills."""
_FAINT = 1e-3
"""Of a view's grey level, so that the 1e-5 that scikit-image adds to a block's length outweighs the rounding of plain faces."""
_DIRECTIONS, _SIDE, _KEPT = 32, 320, 0.99
"""Of the pictures that tell which faces are seen: their number and side in pixels, and the least share of their pixels that
the faces of a reduced mesh must cover."""
_CELLS = (128, 96, 80, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8)
"""Along the longest side, of the decimations that are tried."""


@dataclass(frozen=True, eq=False)
class Representatives:
    """A mesh for each class. Raises InputError unless there is one for each and no class twice."""

    classes: tuple[str, ...]
    meshes: tuple[Mesh, ...]
    """Canonical frame, the box centred and its longest side 1; at most MOST_FACES faces."""

    def __post_init__(self) -> None:
        if not 0 < len(self.classes) == len(self.meshes) or len(set(self.classes)) < len(self.classes):
            names = ", ".join(self.classes)
            raise InputError(f"{len(self.meshes)} meshes for the classes {names or '(none)'}; give each class one")


# --- which shape stands for a class ------------------------------------------------------------------------------


def describe(mesh: Mesh) -> np.ndarray:
    """(d,) float32 HOG features of the shaded front and side views of a mesh in the canonical axes, whatever its size.

    Colours are left out. Raises InputError for a mesh without extent.
    """
    from skimage.feature import hog

    plain = _longest_side_1(Mesh(mesh.vertices, mesh.faces))
    focal = _FILL * _DISTANCE * PIXELS
    K = np.array([[focal, 0.0, PIXELS / 2.0], [0.0, focal, PIXELS / 2.0], [0.0, 0.0, 1.0]])
    features = []
    for azimuth in AZIMUTHS:
        view = draw(plain, viewpoint(azimuth, 0.0, 0.0), np.array([0.0, 0.0, _DISTANCE]), K, (PIXELS, PIXELS))
        grey = view.colour.mean(axis=2) * view.alpha
        features.append(hog(_FAINT * grey, ORIENTATIONS, (CELL, CELL), (BLOCK, BLOCK), block_norm="L2"))
    return np.concatenate(features).astype(np.float32)


def medoid(features: np.ndarray) -> int:
    """The row of (n, d) features with the least mean L2 distance from the others; the first of several.

    Raises InputError for no rows.
    """
    from scipy.spatial.distance import cdist

    if len(features) == 0:
        raise InputError("a medoid of no shapes; give at least one")
    return int(cdist(features, features).sum(axis=1).argmin())


def nearest(features: np.ndarray, medoids: np.ndarray) -> int:
    """The row of (k, d) medoids with the least L2 distance from (d,) features."""
    return int(np.linalg.norm(medoids - features, axis=1).argmin())


def choose_representatives(
    shapes: Mapping[str, tuple[Sequence[Entry], Sequence[str]]],
) -> tuple[Representatives, tuple[str, ...]]:
    """The medoid of each class, reduced to MOST_FACES faces, and the medoids' ids.

    shapes: class to entries and their ids, as `image_sets.shapes_for` and `models_for` give them.
    """
    meshes, chosen = [], []
    for entries, ids in shapes.values():
        library = ModelLibrary(entries, capacity=1)
        row = medoid(np.stack([describe(library.model(i).mesh) for i in range(len(entries))]))
        meshes.append(reduce_faces(library.model(row).mesh, MOST_FACES))
        chosen.append(ids[row])
    return Representatives(tuple(shapes), tuple(meshes)), tuple(chosen)


def reduce_faces(mesh: Mesh, most: int) -> Mesh:
    """A mesh with at most `most` faces and nearly its silhouette, its box centred and its longest side 1.

    The faces that are most seen from all around are kept (the paper's code keeps the widest); a mesh of too many small ones
    is decimated first. Raises InputError for a mesh that cannot be reduced so far.
    """
    mesh = _longest_side_1(mesh)
    if len(mesh.faces) <= most:
        return mesh
    for fewer in (mesh, *(decimate(mesh, cells) for cells in _CELLS)):
        pixels = _seen_pixels(fewer)
        kept = np.sort(np.argsort(-pixels, kind="stable")[:most])
        if pixels[kept].sum() >= _KEPT * pixels.sum():
            return _longest_side_1(clean(replace(fewer, faces=fewer.faces[kept]))[0])
    raise InputError(f"a mesh of {len(mesh.faces)} faces cannot be reduced to {most}; give a simpler one")


def _seen_pixels(mesh: Mesh) -> np.ndarray:
    """(f,) pixels that each face is seen in, in orthographic pictures from all around."""
    from monoform.projection.kernels import hard

    total = np.zeros(len(mesh.faces), np.int64)
    for x, y, z in sphere_directions(_DIRECTIONS):
        R = viewpoint(np.degrees(np.arctan2(-x, -z)), np.degrees(np.arcsin(y)), 0.0)
        points = mesh.vertices @ R.T
        # The cube of side 1 about the object fits in, and lies before the camera.
        points[:, :2] = _SIDE * (0.5 + points[:, :2] / 3.0**0.5)
        points[:, 2] += 1.0
        face_ids, _, _ = hard.rasterise(points[None].astype(np.float32), mesh.faces, _SIDE, _SIDE)
        total += np.bincount(face_ids[face_ids >= 0], minlength=len(mesh.faces))
    return total


def _longest_side_1(mesh: Mesh) -> Mesh:
    low, high = bounds(mesh.vertices)
    longest = float((high - low).max())
    if longest == 0.0:
        raise InputError("all vertices of the mesh are one point; give a mesh with an extent")
    return Mesh((mesh.vertices - (low + high) / 2.0) / longest, mesh.faces, mesh.colours)


# --- splits ------------------------------------------------------------------------------------------------------


def split_shapes(
    ids: Sequence[str],
    classes: Sequence[str],
    without: Sequence[str],
    seed: int,
    shares: Sequence[float] = RATIOS,
    groups: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Rows of `ids` for 'train', 'val' and 'test', each class divided by the same shares as nearly as its groups allow.

    without: ids that are in no split, such as the medoids; what is in a group with one of them is in none either.
    groups: of near-duplicates, one an id: a group is in one split whole; None for shapes that are all apart.
    Raises InputError for shares that are not three with the sum 1.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0.0 or abs(sum(shares) - 1.0) > 1e-6:
        raise InputError(f"shares {', '.join(map(str, shares))}: give three of 0 or more with the sum 1")
    group = np.unique(list(ids if groups is None else groups), return_inverse=True)[1]
    names, kind = np.unique(list(classes), return_inverse=True)
    left_out = np.isin(group, group[np.isin(list(ids), list(without))])
    members = [np.flatnonzero((group == one) & ~left_out) for one in range(group.max(initial=-1) + 1)]
    order = np.random.default_rng(seed).permutation(len(members))
    # Large groups first: what they leave uneven, the single ones can still make even.
    order = order[np.argsort([-len(members[one]) for one in order], kind="stable")]
    wanted = np.outer(shares, np.bincount(kind[~left_out], minlength=len(names)))
    rows: list[list[int]] = [[] for _ in SPLITS]
    for one in order:
        counts = np.bincount(kind[members[one]], minlength=len(names))
        place = int((wanted @ counts).argmax())
        wanted[place] -= counts
        rows[place] += members[one].tolist()
    return {name: np.array(sorted(found), np.int64) for name, found in zip(SPLITS, rows, strict=True)}
