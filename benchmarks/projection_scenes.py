"""What the projection benchmarks draw, and how a run is timed: shared by `projection.py`, its parts and `gpu.py`."""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from monoform.meshes import icosphere
from monoform.projection.clipping import project
from monoform.projection.coverage import coverage
from monoform.projection.edge_product import edge_product
from monoform.projection.hard_raster import hard_raster
from monoform.projection.rays import ray_silhouette
from monoform.projection.soft_raster import soft_raster
from monoform.projection.voxel_max import voxel_max

LEVELS = {1280: 3, 5120: 4, 20480: 5}
"""Subdivisions of the icosahedron, by number of faces."""
MESH_OPERATORS = {
    "hard": (hard_raster, "closed"),
    "soft": (soft_raster, "closed"),
    "coverage": (coverage, "closed"),
    "open coverage": (coverage, "open"),
    "edge product": (edge_product, "closed"),
}
"""The operator, and whether the mesh is closed, or open and inconsistently wound. The hard one runs forward only."""
VOXEL_OPERATORS = ("rays", "max")
MODULES = {"open coverage": "coverage", "edge product": "edge_product", "max": "voxel_max"}
"""Modules of the kernels, where they do not bear the operator's name."""
RAYS = {"side": 32, "size": 48, "samples": 64, "distance": 2.0, "near_far": (1.1, 2.9)}
MAX_SIDE = 30
HALF_VIEW_DEG = 20
DISTANCE = 3.2


def operators(backend: str) -> list[str]:
    """The operators of which there is a kernel for this backend."""
    package = {"numba": "kernels", "triton": "gpu"}[backend]
    names = (*MESH_OPERATORS, *VOXEL_OPERATORS)
    return [name for name in names if find_spec(f"monoform.projection.{package}.{MODULES.get(name, name)}")]


@dataclass(frozen=True, eq=False)
class Case:
    """An operator and what it is given: its gradient goes to `leaves`, that of (image * weight).sum()."""

    draw: Callable
    leaves: tuple[torch.Tensor, ...]
    weight: torch.Tensor
    draw_with: Callable | None = None
    """Of a mesh: the same with the vertices and K."""

    def forward(self):
        with torch.no_grad():
            return self.draw(*self.leaves)

    def forward_backward(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The image, and the gradient of every leaf."""
        leaves = [leaf.clone().requires_grad_() for leaf in self.leaves]
        image = self.draw(*leaves)
        (image * self.weight).sum().backward()
        return image.detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]


@lru_cache
def bumpy_sphere(faces: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, closed faces, and the same with a hole and wound at random."""
    ball = icosphere(LEVELS[faces])
    v, f = ball.vertices, ball.faces
    v = v * (1 + 0.25 * np.sin(6 * v[:, :1] + 1) * np.cos(4 * v[:, 1:2]) + 0.15 * np.sin(7 * v[:, 2:])) * 0.9
    rng = np.random.default_rng(0)
    flipped = np.where(rng.random(len(f))[:, None] < 0.5, f, f[:, ::-1])[len(f) // 20 :]
    return v, f, flipped.copy()


def turns(batch: int) -> np.ndarray:
    return Rotation.random(batch, rng=np.random.default_rng(0)).as_matrix()


def weights(batch: int, size: int) -> torch.Tensor:
    return torch.rand(batch, size, size, generator=torch.Generator().manual_seed(0))


def camera(size: int) -> torch.Tensor:
    focal = size / 2 / math.tan(math.radians(HALF_VIEW_DEG))
    return torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])


def several_meshes(closed: np.ndarray, opened: np.ndarray, batch: int) -> np.ndarray:
    """Faces (b, f, 3), another mesh for every image, rows of -1 filling up: closed ones and ever smaller open ones."""
    meshes = np.full((batch, *closed.shape), -1, closed.dtype)
    for i, mesh in enumerate(meshes):
        part = np.roll(closed, i, 0) if i % 2 == 0 else opened[i:]
        mesh[: len(part)] = part
    return meshes


def mesh_case(
    name: str, faces: int, size: int, batch: int, *, backend: str | None = None, device: str = "cpu",
    dtype: torch.dtype = torch.float32, several: bool = False,
) -> Case:  # fmt: skip
    draw, kind = MESH_OPERATORS[name]
    v, closed, opened = bumpy_sphere(faces)
    placed = torch.as_tensor(np.einsum("bij,vj->bvi", turns(batch), v) + [0, 0, DISTANCE])
    chosen = several_meshes(closed, opened, batch) if several else opened if kind == "open" else closed
    mesh, K = torch.as_tensor(chosen).int().to(device), camera(size).to(device, dtype)
    placed, weight = placed.to(device, dtype).contiguous(), weights(batch, size).to(device, dtype)

    def draw_with(vertices: torch.Tensor, K: torch.Tensor):
        return draw(vertices, mesh, K, (size, size), backend=backend)

    return Case(lambda vertices: draw_with(vertices, K), (placed,), weight, draw_with)


def flattened(case: Case, size: int) -> Case:
    """The same silhouettes of corners that lie at depth 1 before a camera of focal length 1: their projection is exact."""
    (vertices,) = case.leaves
    seen = project(vertices.float(), camera(size).to(vertices.device).expand(len(vertices), -1, -1)).to(vertices.dtype)
    seen[..., 2] = 1
    return replace(case, leaves=(seen,), draw=lambda points: case.draw_with(points, torch.eye(3)[None].to(points)))


def on_screen(faces: int, batch: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The closed mesh's vertices as [x_px, y_px, depth] (b, v, 3) and its faces."""
    (vertices,) = mesh_case("coverage", faces, size, batch).leaves
    points = project(vertices, camera(size).expand(batch, -1, -1)).contiguous().numpy()
    return points, bumpy_sphere(faces)[1].astype(np.int32)


def voxel_case(
    name: str, batch: int, *, backend: str | None = None, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> Case:
    """Soft ellipsoids with noise; the leaves are occupancy, R, t."""
    side = RAYS["side"] if name == "rays" else MAX_SIDE
    z, y, x = torch.meshgrid(*[(torch.arange(side) + 0.5) / side * 2 - 1] * 3, indexing="ij")
    solid = torch.sigmoid(8 * (0.6 - (x**2 + y**2 + 0.7 * z**2).sqrt()))
    noise = torch.rand(batch, side, side, side, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([[0.02, -0.03, RAYS["distance"] if name == "rays" else 0.01]]).repeat(batch, 1)
    leaves = tuple(
        leaf.to(device, dtype).contiguous() for leaf in (0.9 * solid + 0.05 * noise, torch.as_tensor(turns(batch)), t)
    )
    if name == "max":
        return Case(partial(voxel_max, backend=backend), leaves, weights(batch, side).to(device, dtype))
    size = RAYS["size"]
    K = torch.tensor([[[size, 0, size / 2], [0, size, size / 2], [0, 0, 1]]]).to(device, dtype)
    draw = partial(ray_silhouette, K=K, size_hw=(size, size), near_far=RAYS["near_far"], samples=RAYS["samples"])
    return Case(partial(draw, backend=backend), leaves, weights(batch, size).to(device, dtype))


def describe(times: Sequence[float]) -> dict:
    """Median, minimum and spread (the middle half), and the number of runs; times in ms."""
    low, median, high = statistics.quantiles(times, n=4)
    found = {"ms": median, "shortest_ms": min(times), "spread_ms": high - low}
    return {name: round(value, 4) for name, value in found.items()} | {"runs": len(times)}


def timed(run: Callable[[], object]) -> float:
    """Milliseconds of one run."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def measure(run: Callable[[], object], seconds: float) -> dict:
    run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 200):
        times.append(timed(run))
    return describe(times)


def interleave(runs: dict[str, tuple[int, Callable[[], object]]], seconds: float) -> dict[str, dict]:
    """Times of several runs made in turn, each with its own number of PyTorch threads and after one that does not count.

    PyTorch's threads wait for a while after their work, which would take a core from a kernel that comes next.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    threads, end, rounds = torch.get_num_threads(), time.perf_counter() + seconds, 0
    while rounds < 3 or (time.perf_counter() < end and rounds < 200):
        for name, (count, run) in runs.items():
            torch.set_num_threads(count)
            run()
            times[name].append(timed(run))
        rounds += 1
    torch.set_num_threads(threads)
    return {name: describe(found) for name, found in times.items()}


def beside_torch(kernel: Callable[[], object], twin: Callable[[], object], seconds: float, threads: int) -> dict:
    """Kernel and PyTorch twin interleaved, the twin on one thread or on `threads`, whichever is faster."""
    times = interleave({"kernel": (1, kernel), "one": (1, twin), "all": (threads, twin)}, seconds)
    best = min(times["one"] | {"threads": 1}, times["all"] | {"threads": threads}, key=lambda found: found["ms"])
    return {"kernel": times["kernel"], "torch": best, "times_faster": round(best["ms"] / times["kernel"]["ms"], 1)}


def shortest(runs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Shortest time in ms of each of several runs, made in turn."""
    best = [math.inf] * len(runs)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or math.inf in best:
        best = [min(known, timed(run)) for known, run in zip(best, runs, strict=True)]
    return best
