"""Compiled twins of the projections: the same numbers, faster. NumPy arrays in and out; nothing here imports torch."""

from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

BACKENDS = ("torch", "numba")


def available() -> tuple[str, ...]:
    """Names of the implementations that can run here; 'torch' is the readable specification and always there."""
    return BACKENDS if find_spec("numba") else BACKENDS[:1]


def pick(device: str) -> str:
    """The fastest implementation for tensors on `device` ('cpu', 'cuda', 'mps', ...)."""
    return "numba" if device == "cpu" and "numba" in available() else "torch"


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
