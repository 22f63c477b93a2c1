"""Triangle meshes as plain arrays: shapes, normals, edges, sampling, cleaning, decimation. NumPy only.

Real meshes are soups: vertices are split along seams, windings are mixed, surfaces are open. Functions that ask about
connectivity therefore identify vertices by their position, and nothing here relies on a closed surface unless it says
so.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from monoform.errors import InputError, NumericError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNCOLOURED = 200
"""Grey level given to a part without colours when it is joined with a coloured one."""


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in any frame and unit; arrays are converted to the types below and checked when it is made."""

    vertices: np.ndarray
    """(v, 3) float64, finite."""
    faces: np.ndarray
    """(f, 3) int32 indices into `vertices`, counter-clockwise from outside where the surface has an outside."""
    colours: np.ndarray | None = None
    """(v, 3) uint8 sRGB, or None."""

    def __post_init__(self) -> None:
        vertices = np.ascontiguousarray(self.vertices, dtype=np.float64)
        faces = np.asarray(self.faces)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise InputError(f"mesh vertices have shape {vertices.shape}; give an array of shape (v, 3)")
        if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
            raise InputError(f"mesh faces are {faces.dtype} of shape {faces.shape}; give integers of shape (f, 3)")
        if not np.isfinite(vertices).all():
            raise NumericError("mesh vertices hold NaN or infinity; remove or repair those vertices")
        if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
            raise InputError(
                f"a mesh face names vertex {faces.max()} or {faces.min()} of {len(vertices)}; repair the faces"
            )
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", np.ascontiguousarray(faces, dtype=np.int32))
        if self.colours is not None:
            colours = np.ascontiguousarray(self.colours, dtype=np.uint8)
            if colours.shape != vertices.shape:
                raise InputError(f"mesh colours have shape {colours.shape}; give one RGB a vertex: {vertices.shape}")
            object.__setattr__(self, "colours", colours)


@dataclass(frozen=True, eq=False)
class Similarity:
    """The map ``y = scale * x + offset``: a uniform scale and a shift, never a rotation."""

    scale: float
    offset: np.ndarray
    """(3,)."""

    def apply(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) points through the map."""
        return self.scale * points + self.offset

    def inverse(self) -> "Similarity":
        """The map that undoes this one."""
        return Similarity(1.0 / self.scale, -self.offset / self.scale)


@dataclass(frozen=True)
class CleanCounts:
    """What `clean` removed."""

    degenerate_faces: int
    duplicate_faces: int
    unreferenced_vertices: int


# --- simple shapes -----------------------------------------------------------------------------------------------


def box(extents: Sequence[float] = (1.0, 1.0, 1.0), centre: Sequence[float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A closed box of 8 vertices and 12 outward faces; `extents` are its full side lengths."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return Mesh(corners * np.asarray(extents) + np.asarray(centre), faces)


def icosphere(level: int, radius: float = 1.0) -> Mesh:
    """An icosahedron whose faces are split in four `level` times and pushed to the sphere: 20 * 4**level faces."""
    g = (1.0 + 5.0**0.5) / 2.0
    vertices = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0], [0, -1, g], [0, 1, g], [0, -1, -g], [0, 1, -g],
                         [g, 0, -1], [g, 0, 1], [-g, 0, -1], [-g, 0, 1]])  # fmt: skip
    faces = np.array([[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11], [1, 5, 9], [5, 11, 4], [11, 10, 2],
                      [10, 7, 6], [7, 1, 8], [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9], [4, 9, 5],
                      [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]])  # fmt: skip
    for _ in range(level):
        vertices, faces = _split_in_four(vertices, faces)
    return Mesh(radius * vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces)


def _split_in_four(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, inverse = np.unique(sides, axis=0, return_inverse=True)
    a, b, c = faces.T
    ab, bc, ca = (len(vertices) + inverse.reshape(-1, 3)).T
    split = np.concatenate([np.stack(t, axis=1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return np.concatenate([vertices, vertices[unique].mean(axis=1)]), split


def concatenate(meshes: Sequence[Mesh]) -> Mesh:
    """All meshes as one; where some have colours, the others become grey."""
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    vertices = np.concatenate([mesh.vertices for mesh in meshes])
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)])
    if all(mesh.colours is None for mesh in meshes):
        return Mesh(vertices, faces)
    grey = [np.full(mesh.vertices.shape, UNCOLOURED, np.uint8) for mesh in meshes]
    colours = [fill if mesh.colours is None else mesh.colours for mesh, fill in zip(meshes, grey, strict=True)]
    return Mesh(vertices, faces, np.concatenate(colours))


def pad(meshes: Sequence[Mesh]) -> tuple[np.ndarray, np.ndarray]:
    """Several meshes as one batch: vertices (b, v, 3) and faces (b, f, 3), as the operators of `projection` take them.

    The shorter ones are filled up: with their first vertex again (where nothing new is), and with rows of -1.
    """
    v, f = max(len(mesh.vertices) for mesh in meshes), max(len(mesh.faces) for mesh in meshes)
    vertices = np.zeros((len(meshes), v, 3))
    faces = np.full((len(meshes), f, 3), -1, np.int64)
    for i, mesh in enumerate(meshes):
        vertices[i, : len(mesh.vertices)] = mesh.vertices
        vertices[i, len(mesh.vertices) :] = mesh.vertices[:1] if len(mesh.vertices) else 0.0
        faces[i, : len(mesh.faces)] = mesh.faces
    return vertices, faces


# --- size and place ----------------------------------------------------------------------------------------------


def bounds(vertices: np.ndarray) -> np.ndarray:
    """(2, 3): the lowest and the highest corner of the axis-parallel box around (v, 3) points."""
    return np.stack([vertices.min(axis=0), vertices.max(axis=0)])


def diagonal(vertices: np.ndarray) -> float:
    """Length of the diagonal of the axis-parallel box, in the points' unit."""
    low, high = bounds(vertices)
    return float(np.linalg.norm(high - low))


def oriented_box(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The smallest box in any orientation: axes (3, 3) as columns, right-handed; full extents (3,); centre (3,)."""
    from trimesh.bounds import oriented_bounds

    to_origin, extents = oriented_bounds(vertices)
    axes = to_origin[:3, :3].T
    axes = axes * np.sign(np.linalg.det(axes))
    return axes, np.asarray(extents), np.linalg.inv(to_origin)[:3, 3]


def normalise(mesh: Mesh) -> tuple[Mesh, Similarity]:
    """The mesh with its box centred on the origin and a box diagonal of 1, and the map that did it (file to unit)."""
    size = diagonal(mesh.vertices)
    if size == 0.0:
        raise InputError("all vertices of the mesh are one point; give a mesh with an extent")
    similarity = Similarity(1.0 / size, -bounds(mesh.vertices).mean(axis=0) / size)
    return replace(mesh, vertices=similarity.apply(mesh.vertices)), similarity


# --- normals, areas, edges ---------------------------------------------------------------------------------------


def area_vectors(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(f, 3): the faces' normals times their areas."""
    a, b, c = vertices[faces[:, 0]], vertices[faces[:, 1]], vertices[faces[:, 2]]
    return 0.5 * np.cross(b - a, c - a)


def face_areas(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(f,) areas."""
    return np.linalg.norm(area_vectors(vertices, faces), axis=1)


def surface_area(mesh: Mesh) -> float:
    """Sum of the faces' areas."""
    return float(face_areas(mesh.vertices, mesh.faces).sum())


def signed_volume(mesh: Mesh) -> float:
    """Volume inside; negative when the faces look inwards. Says nothing for an open surface."""
    centred = mesh.vertices - mesh.vertices.mean(axis=0)
    return float(np.einsum("fi,fi->", centred[mesh.faces[:, 0]], area_vectors(centred, mesh.faces)) / 3.0)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Unit length where there is a length, else zero: never NaN."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def face_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(f, 3) unit normals by the right-hand rule; zero for a face without area."""
    return _unit(area_vectors(vertices, faces))


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(v, 3) unit normals, the area-weighted mean of the faces around; zero for a vertex of no face."""
    weighted = area_vectors(vertices, faces)
    corner, face = faces.T.ravel(), np.tile(np.arange(len(faces)), 3)
    sums = [np.bincount(corner, weighted[face, axis], minlength=len(vertices)) for axis in range(3)]
    return _unit(np.stack(sums, axis=1))


def edges(faces: np.ndarray) -> np.ndarray:
    """(e, 2) undirected edges, each once, sorted."""
    return np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)


def laplacian(faces: np.ndarray, vertex_count: int) -> "csr_array":
    """(v, v) uniform Laplacian ``I - D^-1 A``: a vertex minus the mean of its neighbours; zero rows without any."""
    from scipy.sparse import csr_array, diags_array

    pairs = edges(faces)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    adjacency = csr_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(vertex_count, vertex_count))
    degree = np.asarray(adjacency.sum(axis=1))
    weights = np.divide(1.0, degree, out=np.zeros_like(degree), where=degree > 0)
    return csr_array(diags_array((degree > 0).astype(float)) - diags_array(weights) @ adjacency)


# --- sampling ----------------------------------------------------------------------------------------------------


def sample_surface(mesh: Mesh, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n, 3) points spread uniformly over the surface by area."""
    return sample_faces(mesh, n, rng)[0]


def sample_faces(mesh: Mesh, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) points spread uniformly over the surface by area, and (n,) the faces that they lie on.

    Areas are walked through at equal steps (systematic sampling), which spreads the points more evenly than
    independent draws. Raises InputError when the mesh has no area.
    """
    cumulative = np.cumsum(face_areas(mesh.vertices, mesh.faces))
    if len(cumulative) == 0 or cumulative[-1] <= 0.0:
        raise InputError("the mesh has no area to sample; give a mesh with a surface")
    at = (np.arange(n) + rng.random()) / n * cumulative[-1]
    chosen = np.minimum(np.searchsorted(cumulative, at, side="right"), len(cumulative) - 1)
    root, across = np.sqrt(rng.random((n, 1))), rng.random((n, 1))
    a, b, c = (mesh.vertices[mesh.faces[chosen, corner]] for corner in range(3))
    return (1 - root) * a + root * (1 - across) * b + root * across * c, chosen


# --- connectivity ------------------------------------------------------------------------------------------------


def merge_positions(vertices: np.ndarray) -> np.ndarray:
    """(v,) an id a vertex, the same for vertices at exactly the same place; ids are 0, 1, 2, ... without gaps."""
    order = np.lexsort(vertices.T)
    ordered = vertices[order]
    is_new = np.ones(len(vertices), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    ids = np.empty(len(vertices), np.int64)
    ids[order] = np.cumsum(is_new) - 1
    return ids


def _sides(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all 3 f sides: an id of the undirected edge, whether it runs from the lower vertex, and its face."""
    faces = merge_positions(mesh.vertices)[mesh.faces] if len(mesh.vertices) else mesh.faces.astype(np.int64)
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    edge = np.minimum(start, end) * (len(mesh.vertices) + 1) + np.maximum(start, end)
    return edge, start < end, np.repeat(np.arange(len(faces)), 3)


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge is shared by exactly two faces (vertices identified by position, windings ignored)."""
    return len(mesh.faces) > 0 and bool((np.unique(_sides(mesh)[0], return_counts=True)[1] == 2).all())


def is_winding_consistent(mesh: Mesh) -> bool:
    """Whether no two faces run through a shared edge in the same direction."""
    edge, forward, _ = _sides(mesh)
    return len(np.unique(edge * 2 + forward)) == len(edge)


def orient(mesh: Mesh) -> Mesh:
    """A closed mesh with its faces looking outwards (signed volume > 0); any other mesh comes back as it is.

    Mixed windings are made equal over each connected part, and each part then looks outwards. A mesh that is already
    consistent is only turned as a whole, so that a modelled cavity stays a cavity.
    """
    if not is_watertight(mesh):
        return mesh
    if is_winding_consistent(mesh):
        flip = np.full(len(mesh.faces), signed_volume(mesh) < 0)
    else:
        flip = _flips_to_outside(mesh)
    if not flip.any():
        return mesh
    return replace(mesh, faces=np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces))


def _flips_to_outside(mesh: Mesh) -> np.ndarray:
    """(f,) which faces to turn. Every face is two nodes, kept and flipped; agreeing nodes are linked across edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edge, forward, face = _sides(mesh)
    order = np.argsort(edge, kind="stable")
    first, second = order[0::2], order[1::2]
    disagree = forward[first] == forward[second]
    count = len(mesh.faces)
    kept_to = face[second] + count * disagree
    flipped_to = face[second] + count * ~disagree
    rows, columns = np.concatenate([face[first], face[first] + count]), np.concatenate([kept_to, flipped_to])
    links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(2 * count, 2 * count))
    kept, flipped = connected_components(links, directed=False)[1].reshape(2, count)
    flip, part = kept > flipped, np.minimum(kept, flipped)
    centred = mesh.vertices - mesh.vertices.mean(axis=0)
    cones = np.einsum("fi,fi->f", centred[mesh.faces[:, 0]], area_vectors(centred, mesh.faces))
    volume = np.bincount(part, np.where(flip, -cones, cones))
    return flip ^ (volume[part] < 0)


# --- cleaning and decimation -------------------------------------------------------------------------------------


def clean(mesh: Mesh) -> tuple[Mesh, CleanCounts]:
    """The mesh without faces that have no area, repeated faces (in either winding) and vertices of no face."""
    faces = merge_positions(mesh.vertices)[mesh.faces] if len(mesh.vertices) else mesh.faces
    repeated = (faces[:, 0] == faces[:, 1]) | (faces[:, 1] == faces[:, 2]) | (faces[:, 2] == faces[:, 0])
    size = diagonal(mesh.vertices) if len(mesh.vertices) else 0.0
    flat = face_areas(mesh.vertices, mesh.faces) <= 1e-14 * size**2
    keep = np.flatnonzero(~(repeated | flat))
    _, first = np.unique(np.sort(faces[keep], axis=1), axis=0, return_index=True)
    kept = mesh.faces[keep[np.sort(first)]]
    used, renumbered = np.unique(kept, return_inverse=True)
    counts = CleanCounts(len(mesh.faces) - len(keep), len(keep) - len(kept), len(mesh.vertices) - len(used))
    colours = None if mesh.colours is None else mesh.colours[used]
    return Mesh(mesh.vertices[used], renumbered.reshape(kept.shape), colours), counts


def decimate(mesh: Mesh, cells: int) -> Mesh:
    """Fewer faces by vertex clustering: all vertices in a cell of a grid become one; works on any soup.

    `cells` counts along the longest side of the box. Each cell's vertex stands where the planes of its faces meet
    best (least squares, within the cell), so that edges and silhouettes stay sharp; colours are averaged.
    Lindstrom 2000. A mesh that would vanish comes back as it is.
    """
    low, high = bounds(mesh.vertices)
    side = (high - low).max() / cells
    if side <= 0.0:
        return mesh
    cell = np.minimum((mesh.vertices - low) / side, cells - 1).astype(np.int64)
    _, cluster, counts = np.unique(cell @ [cells**2, cells, 1], return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(cluster, column) for column in mesh.vertices.T], axis=1) / counts[:, None]
    vertices = _meet_of_planes(mesh, cluster, means, side)
    colours = None
    if mesh.colours is not None:
        sums = np.stack([np.bincount(cluster, column) for column in mesh.colours.T], axis=1)
        colours = np.round(sums / counts[:, None]).astype(np.uint8)
    smaller = clean(Mesh(vertices, cluster[mesh.faces], colours))[0]
    return smaller if len(smaller.faces) else mesh


def _meet_of_planes(mesh: Mesh, cluster: np.ndarray, means: np.ndarray, side: float) -> np.ndarray:
    """(c, 3): the clusters' means moved to where the area-weighted squared distances to their planes are least."""
    weighted = area_vectors(mesh.vertices, mesh.faces)
    corner_cluster = cluster[mesh.faces]
    quadric, pull = np.zeros((len(means), 9)), np.zeros((len(means), 3))
    outer = np.einsum("fi,fj->fij", weighted, weighted).reshape(-1, 9)
    for corner in range(3):
        at = corner_cluster[:, corner]
        distance = np.einsum("fi,fi->f", weighted, mesh.vertices[mesh.faces[:, corner]] - means[at])
        quadric += np.stack([np.bincount(at, column, minlength=len(means)) for column in outer.T], axis=1)
        pull += np.stack([np.bincount(at, c, minlength=len(means)) for c in (weighted * distance[:, None]).T], axis=1)
    shift = np.einsum("cij,cj->ci", np.linalg.pinv(quadric.reshape(-1, 3, 3), rcond=1e-2, hermitian=True), pull)
    # A vertex may not leave the neighbourhood of its cell's mean: nearly parallel planes meet far away.
    return means + np.clip(shift, -0.5 * side, 0.5 * side)
