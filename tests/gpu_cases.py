"""How Triton kernels are proved where there is no GPU: run by Triton's interpreter, and compiled for CUDA all the same.

Import this before anything imports Triton: without a GPU it asks for the interpreter, which Triton chooses when a function
is defined, its own (`tl.zeros`, `tl.cdiv`) among them. Tests then run on `DEVICE`, whichever that is.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu" and __name__ != "__main__":
    if "triton" in sys.modules and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("Triton was imported before its interpreter was asked for: import gpu_cases before it")
    os.environ.setdefault("TRITON_INTERPRET", "1")

CAPABILITIES = (80, 90)
"""Compute capabilities of the A100 and the H100."""


@dataclass(frozen=True)
class Kernel:
    """A kernel of a module, the types of its arguments ("*fp32", "i32", "fp32", ...) and its compile-time constants.

    A whole number that is 1 at a launch is a constant too: what compiles for "i32" need not for 1.
    """

    name: str
    signature: dict[str, str]
    constants: dict[str, int | float | bool] = field(default_factory=dict)
    num_warps: int = 4
    enable_fp_fusion: bool = True
    """Whether a product and a sum may become one instruction that rounds once."""


@dataclass(frozen=True)
class Compiled:
    """What a kernel's machine code asks of the device."""

    name: str
    capability: int
    registers: int
    """A thread; 255 is the most there are."""
    local_bytes: int
    """A thread: registers that did not fit are spilled to this memory."""
    shared_bytes: int
    """A program."""


def compile_for_cuda(module: str, kernels: list[Kernel]) -> list[Compiled]:
    """Compile kernels of `module` to machine code for every capability; raises CalledProcessError where one does not.

    In a process of its own: in this one the kernels may belong to the interpreter. Needs no GPU, Triton brings the assembler.
    """
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    task = json.dumps({"module": module, "kernels": [asdict(kernel) for kernel in kernels]})
    answer = subprocess.run(
        [sys.executable, __file__],
        input=task,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    return [Compiled(**found) for found in json.loads(answer.stdout)]


def _compile(module: str, kernel: Kernel, capability: int) -> Compiled:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    function = getattr(importlib.import_module(module), kernel.name)
    signature = {name: kernel.signature.get(name, "constexpr") for name in function.arg_names}
    source = ASTSource(fn=function, signature=signature, constexprs=kernel.constants)
    options = {"num_warps": kernel.num_warps, "enable_fp_fusion": kernel.enable_fp_fusion}
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    registers, local = _resources(compiled.asm["cubin"])
    return Compiled(kernel.name, capability, registers, local, compiled.metadata.shared)


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of local memory a thread, as machine code declares them."""
    from triton import knobs

    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        report = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    declared = re.search(r"REG:(\d+) STACK:(\d+) .*LOCAL:(\d+)", report)
    assert declared is not None
    return int(declared[1]), int(declared[2]) + int(declared[3])


if __name__ == "__main__":
    task = json.load(sys.stdin)
    asked = [Kernel(**kernel) for kernel in task["kernels"]]
    found = [_compile(task["module"], kernel, capability) for kernel in asked for capability in CAPABILITIES]
    json.dump([asdict(compiled) for compiled in found], sys.stdout)
