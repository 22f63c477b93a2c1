"""Part of `projection.py`: how much memory a run of one operator takes at its peak, each in a process of its own.

    python benchmarks/projection_memory.py OPERATOR BACKEND FACES SIZE BATCH

Prints the MiB by which one f+b (the hard operator's forward) raises the process's resident memory over what its inputs and
a warmed-up small run hold. Linux's VmHWM, put back to the present before: `ru_maxrss` would begin at the parent's size.
"""

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from projection_scenes import MESH_OPERATORS, VOXEL_OPERATORS, mesh_case, voxel_case

DENSE = ("hard", "soft", "edge product")
"""Their twins meet every face with every pixel: a large batch would not fit, so they run one image of 64 px."""


def resident(field: str) -> float:
    """MiB of a field of /proc/self/status: VmRSS now, VmHWM at the peak."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def extra_memory(name: str, backend: str, faces: int, size: int, batch: int) -> float:
    if name in VOXEL_OPERATORS:
        small, case = (voxel_case(name, count, backend=backend) for count in (1, batch))
    else:
        small = mesh_case(name, 1280, 16, 2, backend=backend)
        case = mesh_case(name, faces, size, batch, backend=backend)
    for chosen in (small, case):
        ctypes.CDLL(None).malloc_trim(0)  # what the warm-up freed would be used again, unseen
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        chosen.forward() if name == "hard" else chosen.forward_backward()
    return resident("VmHWM") - before


def measure_memory(faces: int, size: int, batch: int, backends: Sequence[str]) -> list[dict] | str:
    """Every operator on every backend, 'torch' being the twin: f+b, the hard one forward."""
    if not Path("/proc/self/clear_refs").exists():
        return "not measured: peaks are read from Linux's /proc"
    rows = []
    for backend in backends:
        for name in (*MESH_OPERATORS, *VOXEL_OPERATORS):
            of_one = backend == "torch" and name in DENSE
            where = (
                {"faces": faces, "size": 64, "batch": 1} if of_one else {"faces": faces, "size": size, "batch": batch}
            )
            if name in VOXEL_OPERATORS:
                where = {"batch": batch}
            numbers = [str(where.get(key, 0)) for key in ("faces", "size", "batch")]
            done = subprocess.run(
                [sys.executable, __file__, name, backend, *numbers], check=True, capture_output=True, text=True
            )
            rows.append({"operator": name, "backend": backend, **where, "mib": round(json.loads(done.stdout), 1)})
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1 if sys.argv[2] != "torch" else torch.get_num_threads())
    print(extra_memory(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
