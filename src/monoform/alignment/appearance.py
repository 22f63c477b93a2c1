"""What a mask cannot see: does the photo's inside agree with the posed mesh's shading, colours and edges?

Two poses with the same silhouette (a car and its half-turn) differ inside. Two measures, each in [0, 1]:

- shading: the share of the photo's variance that the mesh's own colours under *some* smooth light explain. A Lambertian
  surface under any distant light is, to 98 % of its energy, a quadratic in its normal (Basri & Jacobs 2003): nine
  coefficients a colour channel, fitted by ridge regression. Materials whose colour is unknown get an albedo of their own.
- edges: correlation of the photo's gradient magnitude with the mesh's depth, crease and colour edges.
"""

from dataclasses import dataclass

import numpy as np

from monoform.alignment.model import Model
from monoform.projection.kernels import hard
from monoform.target import Crop, sample

RESOLUTION = 96
MATERIALS = 8
RIDGE = 1.0
CREASE = 0.8
"""Cosine of the angle between two normals under which their border is an edge."""


@dataclass(frozen=True, eq=False)
class Inside:
    """The photo's inside at `RESOLUTION`, made once a photo."""

    linear: np.ndarray
    """(r, r, 3) linear light."""
    grey: np.ndarray
    """(r, r) mean of the sRGB channels in [0, 1]."""
    gradient: np.ndarray
    """(r, r) smoothed gradient magnitude."""
    mask: np.ndarray
    """(r, r) bool."""


@dataclass(frozen=True, eq=False)
class Materials:
    """The mesh's face colours in at most `MATERIALS` groups."""

    of_face: np.ndarray
    """(f,) group of each face."""
    albedo: np.ndarray
    """(m, 3) linear colour of each group; one grey group when the mesh has no colours."""


def inside(image: np.ndarray, coverage: np.ndarray, crop: Crop) -> Inside:
    """Crop (h, w, 3) uint8 and its mask (h, w)."""
    from scipy import ndimage

    srgb = np.stack([sample(image[..., c].astype(np.float32), crop, RESOLUTION)[0] for c in range(3)], axis=-1) / 255
    smooth = ndimage.gaussian_filter(srgb, (1.0, 1.0, 0.0))
    down, right = (np.asarray(ndimage.sobel(smooth, axis)) for axis in (0, 1))
    gradient = np.sqrt((down**2 + right**2).sum(-1))
    return Inside(srgb**2.2, srgb.mean(-1), gradient, sample(coverage, crop, RESOLUTION)[0] > 0.5)


def materials(model: Model) -> Materials:
    """Group the faces of the fine mesh by colour, largest groups first (8 steps a channel)."""
    mesh = model.fine
    if mesh.colours is None:
        return Materials(np.zeros(len(mesh.faces), np.int64), np.full((1, 3), 0.5))
    colour = mesh.colours[mesh.faces].mean(axis=1)
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    _, group = np.unique((colour // 32).astype(int) @ [64, 8, 1], return_inverse=True)
    weight = np.bincount(group, area) + 1e-12
    means = np.stack([np.bincount(group, area * channel) / weight for channel in colour.T], axis=1)
    centres = means[np.argsort(-weight, kind="stable")[:MATERIALS]]
    of_face = ((colour[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    return Materials(of_face, (centres / 255) ** 2.2)


def measure(
    photo: Inside, model: Model, kinds: Materials, R: np.ndarray, t: np.ndarray, crop: Crop, K: np.ndarray
) -> tuple[float, float]:
    """(shading, edges) of one pose, each in [0, 1]; (0, 0) when too little of the object is seen."""
    face, depth, normals = _draw(model, R, t, crop.camera(K, RESOLUTION))
    seen = (face >= 0) & photo.mask
    if seen.sum() < 40:
        return 0.0, 0.0
    shown = face[seen]
    shading = max(
        _explained_by_colours(photo.linear[seen], normals[shown], kinds.albedo[kinds.of_face[shown]]),
        _explained_by_materials(photo.grey[seen], normals[shown], kinds, shown),
    )
    return shading, _edge_agreement(photo, face, depth, normals, kinds)


def _draw(model: Model, R: np.ndarray, t: np.ndarray, camera: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face id (r, r), depth (r, r) and the faces' normals (f, 3) turned towards the camera."""
    faces = model.fine.faces
    x = model.fine.vertices @ R.T + t
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # at the camera: the rasteriser leaves it out
        points = np.column_stack([x[:, :2] / x[:, 2:] * camera[:2] + camera[2:], x[:, 2]]).astype(np.float32)
    face, depth, _ = hard.rasterise(points[None], faces, RESOLUTION, RESOLUTION)
    corners = x[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    normals *= np.where((normals * corners[:, 0]).sum(1) > 0, -1.0, 1.0)[:, None]
    return face[0], depth[0], normals


def _harmonics(n: np.ndarray) -> np.ndarray:
    """(p, 9) the constant, linear and quadratic polynomials of unit normals (p, 3) that span low-order light."""
    x, y, z = n.T
    return np.stack([np.ones_like(x), x, y, z, x * y, x * z, y * z, x * x - y * y, 3 * z * z - 1], axis=1)


def _explained(values: np.ndarray, features: np.ndarray) -> float:
    """1 - residual / variance of a ridge regression of (p,) on (p, d); a flat picture gives every pose about 1."""
    gram = features.T @ features + RIDGE * np.eye(features.shape[1])
    residual = values - features @ np.linalg.solve(gram, features.T @ values)
    total = ((values - values.mean()) ** 2).sum() + 2e-4 * len(values)
    return float(np.clip(1 - (residual @ residual) / total, 0.0, 1.0))


def _explained_by_colours(linear: np.ndarray, normals: np.ndarray, albedo: np.ndarray) -> float:
    """The mesh's colours are the photo's: albedo times light, a channel at a time, plus a constant (haze, gloss)."""
    light = _harmonics(normals)
    constant = np.ones((len(light), 1))
    shares = [_explained(linear[:, c], np.hstack([light * albedo[:, c : c + 1], constant])) for c in range(3)]
    return float(np.mean(shares))


def _explained_by_materials(grey: np.ndarray, normals: np.ndarray, kinds: Materials, shown: np.ndarray) -> float:
    """The mesh's parts are the photo's, its colours need not be: a brightness for each material, plus shared light."""
    which = np.eye(len(kinds.albedo))[kinds.of_face[shown]]
    return _explained(grey, np.hstack([which, _harmonics(normals)[:, 1:]]))


def _edge_agreement(photo: Inside, face: np.ndarray, depth: np.ndarray, normals: np.ndarray, kinds: Materials) -> float:
    """Correlation of drawn and photographed edges away from the outline, at least 0."""
    from scipy import ndimage

    core = np.asarray(ndimage.binary_erosion((face >= 0) & photo.mask, iterations=3), dtype=bool)
    if core.sum() < 40:
        return 0.0
    normal, material = normals[face], kinds.of_face[face]
    drawn = np.zeros(face.shape)
    for a, b in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        crease = (normal[a] * normal[b]).sum(-1) < CREASE
        both = (face[a] >= 0) & (face[b] >= 0)
        with np.errstate(invalid="ignore"):
            step = np.abs(depth[a] - depth[b]) > 0.03 * depth[a]
        drawn[a] += both & (crease | step | (material[a] != material[b]))
    soft = np.asarray(ndimage.gaussian_filter(np.minimum(drawn, 1.0), 1.2))[core]
    strong = photo.gradient[core]
    strong = np.minimum(strong, np.quantile(strong, 0.95))
    soft, strong = soft - soft.mean(), strong - strong.mean()
    if strong.std() < 1e-4:  # a flat photo has rounding for a gradient: nothing to agree with
        return 0.0
    scale = np.sqrt((soft @ soft) * (strong @ strong))
    return float(max(0.0, soft @ strong / scale)) if scale > 1e-6 else 0.0
