"""Compiled twins of the projections: the same numbers, faster. NumPy arrays in and out; nothing here imports torch."""

import os
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("torch", "numba", "triton")
"""The readable specification; its twins for the CPU, in this folder; its twins for the GPU, in `projection.gpu`."""


def available() -> tuple[str, ...]:
    """Names of the implementations that can run here; 'torch' is the readable specification and always there."""
    return tuple(
        name for name in BACKENDS if name == "torch" or (_installed(name) and (name != "triton" or _triton_runs()))
    )


def choose(backend: str | None, device: str, among: tuple[str, ...] = BACKENDS) -> str:
    """The implementation asked for, or the fastest of those `among` for tensors on `device` ('cpu', 'cuda', 'mps', ...)."""
    if backend is None:
        fastest = {"cpu": "numba", "cuda": "triton"}.get(device, "torch")
        return fastest if fastest in among and _installed(fastest) else "torch"
    if backend not in among:
        raise ValueError(f"there is no backend {backend!r} here; choose among {', '.join(among)}")
    return backend


@cache
def _installed(name: str) -> bool:
    return find_spec(name) is not None


def _triton_runs() -> bool:
    """Whether there is a device for Triton, or its interpreter is asked for."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return True
    from triton.backends import backends

    return any(backend.driver.is_active() for backend in backends.values())


def _forget_stale_cache(folder: Path) -> None:
    """Delete compiled kernels when any kernel's source has changed.

    Numba looks only at the file of the function itself, but the machine code also holds what it calls in the others.
    """
    sources = b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))
    fingerprint, kept = sha256(sources).hexdigest(), folder / "__pycache__" / "kernels.sha256"
    with suppress(OSError):  # a folder that can not be written holds no cache
        if not kept.exists() or kept.read_text() != fingerprint:
            for compiled in kept.parent.glob("*.nb[ci]"):
                compiled.unlink(missing_ok=True)
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(fingerprint)


_forget_stale_cache(Path(__file__).parent)
