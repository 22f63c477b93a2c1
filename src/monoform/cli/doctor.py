"""monoform doctor: what this machine has; the first thing to send with a question."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tyro

from monoform.cli.options import ENVIRONMENT, OK, Common, print_json, use_threads

LIBRARIES = ("numpy", "scipy", "numba", "pillow", "trimesh", "scikit-image", "safetensors", "torch", "tyro", "rich")
EXTRAS = {"cv2": "for --box: pip install 'monoform[masks]'", "rembg": "for photos without a mask: pip install rembg"}


@dataclass(frozen=True)
class Doctor:
    """Print versions, threads, write access, compiled kernels and extras; exit code 3 if something is missing."""

    warm_up: bool = False
    """Compile the kernels now, so that the first photo does not wait for it."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Doctor) -> int:
    """Look and tell; the exit code."""
    use_threads(config.common.threads)
    report = _look(config.warm_up)
    if config.common.json:
        print_json(report)
    elif not config.common.quiet:
        for name, value in report.items():
            text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"{name:<18}{text}")
    return OK if not report["problems"] else ENVIRONMENT


def _look(warm_up: bool) -> dict[str, Any]:
    import platform
    from importlib import metadata
    from importlib.util import find_spec

    from monoform.projection.kernels.threads import get_threads

    versions = {name: _version(name) for name in LIBRARIES}
    problems = [f"{name} is not installed" for name, version in versions.items() if version == "missing"]
    seconds = _warm_up() if warm_up else None
    compiled, cache = _compiled_kernels()
    writable = {"here": os.access(".", os.W_OK), "kernel cache": os.access(cache, os.W_OK)}
    return {
        "monoform": metadata.version("monoform"),
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "libraries": versions,
        "cores": os.cpu_count(),
        "threads": get_threads(),
        "kernels": f"{compiled} compiled versions in {cache}" if compiled else "not compiled yet (--warm-up does it)",
        "warm_up_seconds": seconds if seconds is not None else "not asked for",
        "writable": {place: "yes" if answer else "no" for place, answer in writable.items()},
        "extras": {name: "yes" if find_spec(name) else f"no ({use})" for name, use in EXTRAS.items()},
        "problems": problems or "",
    }


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _compiled_kernels() -> tuple[int, Path]:
    """How many compiled versions numba keeps, and where."""
    import monoform.projection.kernels as kernels

    own = Path(kernels.__path__[0]) / "__pycache__"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(chosen) if chosen else own
    return sum(1 for _ in folder.rglob("*.nbc")), folder


def _warm_up() -> float:
    """Align a small procedural car once, which compiles every kernel that align uses; the seconds it took."""
    import time

    from monoform.alignment import align
    from monoform.data.procedural import make
    from monoform.data.procedural.photographs import take_photograph

    start = time.perf_counter()
    mesh = make("car", 0)
    shot = take_photograph(mesh, seed=0, size_wh=(160, 120))
    align(shot.photo, mesh, mask=shot.mask, K=shot.K, upright=True, max_poses=2)
    return round(time.perf_counter() - start, 2)
