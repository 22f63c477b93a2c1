"""What is rendered: meshes made ready for the renderer, from files, recipes or memory, a bounded number held at once."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from monoform.data.procedural.parts import Shape
from monoform.data.procedural.shapes import make_shape
from monoform.files.meshes import load_mesh
from monoform.meshes import UNCOLOURED, Mesh, face_normals, merge_positions, normalise, vertex_normals
from monoform.projection.kernels.coverage import Topology
from monoform.rotation_grids import sphere_directions

CREASE_DEG = 30.0
"""A corner is shaded smoothly where its vertex's normal is nearer than this to the face's (a box's are 35 or more away)."""
EXTREMES = 64


@dataclass(frozen=True)
class Recipe:
    """A procedural shape, made when it is needed."""

    category: str
    seed: int
    kind: str | None = None


Entry = Mesh | Shape | Recipe | Path


@dataclass(frozen=True, eq=False)
class Model:
    """A mesh in the canonical frame, with all that the renderer asks of it."""

    mesh: Mesh
    vertices: np.ndarray
    """(v, 3) float32."""
    normals: np.ndarray
    """(f, 3, 3) float32: of every face's corners, smooth but for creases."""
    colours: np.ndarray
    """(v, 3) float32 linear RGB."""
    coloured: bool
    """Whether the mesh has colours of its own."""
    part: np.ndarray
    """(f,) int32."""
    parts: int
    topology: Topology
    solid: bool
    """Whether all its pieces are closed and face outwards, so that the backs of faces are hidden by fronts."""
    extremes: np.ndarray
    """(e, 3) float64: the vertices farthest out in evenly spread directions; they bound the projection closely."""


def prepare(mesh: Mesh, part: np.ndarray | None = None) -> Model:
    """A Model of a mesh, which is centred and scaled to the canonical box. Raises InputError for one without extent."""
    mesh, _ = normalise(mesh)
    merged = merge_positions(mesh.vertices)
    smooth = vertex_normals(_first_of(merged, mesh.vertices), merged[mesh.faces])[merged[mesh.faces]]
    flat = face_normals(mesh.vertices, mesh.faces)[:, None]
    is_smooth = (smooth * flat).sum(-1, keepdims=True) > np.cos(np.radians(CREASE_DEG))
    normals = np.where(is_smooth, smooth, np.broadcast_to(flat, smooth.shape))
    srgb = np.full(mesh.vertices.shape, UNCOLOURED, np.uint8) if mesh.colours is None else mesh.colours
    directions = np.concatenate([np.eye(3), -np.eye(3), sphere_directions(EXTREMES)])
    far = np.unique((mesh.vertices @ directions.T).argmax(axis=0))
    topology = Topology(mesh.faces, mesh.vertices)
    part = np.zeros(len(mesh.faces), np.int32) if part is None else np.ascontiguousarray(part, np.int32)
    return Model(
        mesh,
        mesh.vertices.astype(np.float32),
        np.ascontiguousarray(normals, np.float32),
        to_linear(srgb),
        mesh.colours is not None,
        part,
        int(part.max(initial=0)) + 1,
        topology,
        _is_solid(topology, mesh.vertices),
        mesh.vertices[far],
    )


def _first_of(merged: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    places = np.empty((merged.max() + 1, 3))
    places[merged] = vertices
    return places


def _is_solid(topology: Topology, vertices: np.ndarray) -> bool:
    if not topology.closed:
        return False
    ends = topology.edges
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(vertices), len(vertices)))
    count, piece = connected_components(graph, directed=False)
    a, b, c = vertices[topology.faces].transpose(1, 0, 2)
    volumes = np.bincount(piece[topology.faces[:, 0]], np.einsum("fi,fi->f", np.cross(a, b), c), count)
    return bool((volumes[np.unique(piece[topology.faces[:, 0]])] > 0.0).all())


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """Levels 0-255 to linear intensities 0-1, float32."""
    level = np.asarray(srgb, np.float32) / 255.0
    return np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4).astype(np.float32)


class ModelLibrary:
    """Entries by number; at most `capacity` are held ready, the longest unused goes first. Safe to share by threads.

    categories: one an entry, '' where unknown; a Recipe names its own. A file is read when it is first needed and raises
    InputError then if it is unusable.
    """

    def __init__(self, entries: Sequence[Entry], categories: Sequence[str] | None = None, *, capacity: int = 256):
        if capacity < 1:
            raise ValueError(f"a library must hold at least one model, not {capacity}")
        if categories is not None and len(categories) != len(entries):
            raise ValueError(f"{len(categories)} categories for {len(entries)} entries")
        self._entries, self._capacity = entries, capacity
        self._categories = categories
        self._ready: OrderedDict[int, Model] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_ready": OrderedDict(), "_lock": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """How many models are ready in memory."""
        return len(self._ready)

    def category(self, number: int) -> str:
        """Of an entry; '' where unknown."""
        entry = self._entries[number]
        if isinstance(entry, Recipe):
            return entry.category
        return self._categories[number] if self._categories is not None else ""

    def object_id(self, number: int) -> str:
        """A name fit for a file: of the recipe, of the file, or the number."""
        entry = self._entries[number]
        if isinstance(entry, Recipe):
            return "-".join(filter(None, (entry.category, entry.kind, f"{entry.seed:06d}")))
        return f"{number:06d}-{entry.stem}" if isinstance(entry, Path) else f"{number:06d}"

    def model(self, number: int) -> Model:
        """The entry, made ready."""
        with self._lock:
            if number in self._ready:
                self._ready.move_to_end(number)
                return self._ready[number]
        model = _prepare_entry(self._entries[number])
        with self._lock:
            self._ready[number] = model
            while len(self._ready) > self._capacity:
                self._ready.popitem(last=False)
        return model


def _prepare_entry(entry: Entry) -> Model:
    if isinstance(entry, Recipe):
        entry = make_shape(entry.category, entry.seed, entry.kind)
    if isinstance(entry, Path):
        entry = load_mesh(entry)
    return prepare(entry.mesh, entry.part_of_face) if isinstance(entry, Shape) else prepare(entry)
