"""Parts of `projection.py`: the kernels against their PyTorch twins (differences, times) and against C."""

import ctypes
import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from projection_scenes import (
    VOXEL_OPERATORS,
    Case,
    beside_torch,
    flattened,
    measure,
    mesh_case,
    on_screen,
    operators,
    shortest,
    timed,
    voxel_case,
)

from monoform.projection import kernels
from monoform.projection.kernels import soft, threads

REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "soft_reference.c"
C_CELLS = [(64, 1), (64, 8), (64, 32), (128, 1), (128, 8), (256, 1), (256, 8)]


def differences(images: int) -> list[dict]:
    """Every operator on every compiled backend against its twin in float64: 1,280 faces, 64 px; grids as they are timed.

    Silhouettes are compared on the same corners in pixels: a difference is the kernel's, not the projection's rounding.
    """
    rows = []
    for backend in kernels.available():
        if backend == "torch":
            continue
        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        device = "cuda" if backend == "triton" and not interpreted else "cpu"
        rows += differences_of(backend, device, 1 if interpreted else images)
    return rows


def differences_of(backend: str, device: str, images: int, several: bool = False) -> list[dict]:
    found = []
    for name in operators(backend):
        if several and name in (*VOXEL_OPERATORS, "open coverage"):  # several meshes are closed and open ones
            continue

        def make(backend: str, dtype: torch.dtype, name: str = name) -> Case:
            if name in VOXEL_OPERATORS:
                return voxel_case(name, images, backend=backend, device=device, dtype=dtype)
            case = mesh_case(name, 1280, 64, images, backend=backend, device=device, dtype=dtype, several=several)
            return case if name == "hard" else flattened(case, 64)

        kernel, twin = make(backend, torch.float32), make("torch", torch.float64)
        row: dict = {"operator": name, "backend": backend}
        if name == "hard":
            seen, exact = kernel.forward(), twin.forward()
            same = seen.face_id == exact.face_id
            row["value_difference"] = float((seen.barycentric - exact.barycentric)[same].abs().max())
            row["pixels_with_another_face"] = int((~same).sum())
        else:
            (image, grads), (exact, exact_grads) = kernel.forward_backward(), twin.forward_backward()
            row["value_difference"] = float((image - exact).abs().max())
            pairs = zip(grads, exact_grads, strict=True)
            row["gradient_difference"] = max(float((grad - exact).norm() / exact.norm()) for grad, exact in pairs)
        found.append(row)
    return found


def times_faster(names: Iterable[str], seconds: float) -> dict[str, float]:
    """How many times faster the kernels are than the twins: 1,280 faces, 64 px, batch 8, f+b; the hard one forward.

    The dense twins take seconds and gigabytes: each is timed once.
    """
    found = {}
    for name in names:
        kernel, twin = (mesh_case(name, 1280, 64, 8, backend=backend) for backend in (None, "torch"))
        run, run_twin = (c.forward if name == "hard" else c.forward_backward for c in (kernel, twin))
        found[name] = round(timed(run_twin) / measure(run, seconds)["ms"], 1)
    return found


def measure_voxels(seconds: float, count: int) -> list[dict]:
    """Rays and maximum, forward and f+b (gradients to grid and pose), beside their twins of `count` threads."""
    rows = []
    for name in VOXEL_OPERATORS:
        for batch in (1, 8, 32):
            kernel, twin = (voxel_case(name, batch, backend=backend) for backend in (None, "torch"))
            row: dict = {"operator": name, "batch": batch}
            for words, run, run_twin in (
                ("forward", kernel.forward, twin.forward),
                ("f+b", kernel.forward_backward, twin.forward_backward),
            ):
                row[words] = beside_torch(run, run_twin, seconds, count)
            rows.append(row)
    return rows


def compare_with_c(seconds: float) -> dict[str, dict[str, float]] | str:
    """Times over that of SoftRas' forward in C, all on one thread: the soft kernel's alone and whole operators; or why not."""
    if not REFERENCE.exists() or not shutil.which("gcc"):
        return "not compared: no gcc" if REFERENCE.exists() else "not compared: its source is not beside the repository"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "soft.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-shared", "-fPIC"]  # no OpenMP threads
        subprocess.run(["gcc", *flags, str(REFERENCE), "-o", str(library), "-lm"], check=True)
        run_c = ctypes.CDLL(str(library)).soft_fwd
        count = threads.get_threads()
        threads.set_threads(1)
        found = {f"{size} px, batch {batch}": _over_c(run_c, size, batch, seconds) for size, batch in C_CELLS}
        threads.set_threads(count)
    return found


def _over_c(run_c: Callable, size: int, batch: int, seconds: float) -> dict[str, float]:
    cases = [mesh_case(name, 1280, size, batch) for name in ("soft", "coverage")]
    points, triangles = on_screen(1280, batch, size)
    width = (size + 15) // 8 * 8
    out = np.empty((batch, size, width), np.float32)
    scale = (size / 2) ** 2
    radius2, per_sigma = math.log(1 / 1e-4 - 1) * 1e-4 * scale, 1 / (1e-4 * scale)
    arrays = [array.ctypes.data_as(ctypes.c_void_p) for array in (points, triangles, out)]
    counts = [batch, points.shape[1], len(triangles), size, size, width]
    constants = [ctypes.c_float(radius2), ctypes.c_float(per_sigma), 1]
    alpha, saved = soft.forward(points, triangles, size, size)
    c, forward, backward = shortest(
        [
            lambda: run_c(*arrays[:2], *counts, *constants, arrays[2]),
            lambda: soft.forward(points, triangles, size, size),
            lambda: soft.backward(saved, alpha),
        ],
        seconds,
    )
    difference = np.abs(1 - out[:, :, :size] - alpha).max()
    assert difference < 1e-3, f"the C reference and the kernel differ by {difference}"
    times = [forward, backward, *shortest([case.forward_backward for case in cases], seconds)]
    names = ["forward", "backward", "soft f+b", "coverage f+b"]
    return {"c_ms": round(c, 4)} | {name: round(ms / c, 2) for name, ms in zip(names, times, strict=True)}
