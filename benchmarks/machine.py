"""What a result was measured on."""

import os
import platform
from importlib import metadata
from pathlib import Path

from monoform.projection.kernels import threads


def describe_machine() -> dict:
    """Processor, cores, load and versions, for the json beside every figure."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads.get_threads(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("monoform", "numpy", "numba", "torch", "scipy")},
    }
