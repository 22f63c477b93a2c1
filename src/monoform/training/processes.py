"""Where the training runs: the device, and the processes that torchrun has started, which share every step."""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from monoform.errors import InputError
from monoform.training.records import OtherProcessError, TrainingEnvironmentError

PATIENCE = timedelta(hours=2)
"""How long the others wait for the first while it validates alone; torchrun itself ends all when one dies."""


def choose_device(name: str) -> torch.device:
    """The device that is asked for; in one of torchrun's processes, plain ``cuda`` is the process's own GPU.

    ``auto`` takes CUDA where there is one, else the CPU; not mps, which lacks several operators of volumes.
    Raises TrainingEnvironmentError if the device is not there, never taking another instead.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", name):
        raise InputError(f"device '{name}': give auto, cpu, cuda, cuda:N or mps")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise TrainingEnvironmentError("device mps: this machine or this torch has none; choose --device cpu")
        return torch.device("mps")
    number = int(name.partition(":")[2] or os.environ.get("LOCAL_RANK", "0"))
    if number >= count:
        why = f"there are {count} CUDA devices" if count else _no_cuda()
        raise TrainingEnvironmentError(f"device cuda:{number}: {why}; choose --device cpu, or look at nvidia-smi")
    return torch.device("cuda", number)


def _no_cuda() -> str:
    if torch.version.cuda is None:
        return f"this torch ({torch.__version__}) is built without CUDA"
    return "no CUDA device, or its driver is too old for this torch"


@dataclass(frozen=True)
class Team:
    """The processes that train together; without torchrun one. Each has its own batches, all have the same weights."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, validates and reports."""
        return self.rank == 0

    def first_says(self, value: int) -> int:
        """The first process's value, in all."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.int64, device=self.device)
        with _others_answer():
            distributed.broadcast(said, src=0)
        return int(said)

    def largest(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.size == 1:
            return value
        said = torch.tensor([value], dtype=torch.int64, device=self.device)
        with _others_answer():
            distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return int(said)

    def share(self, model: nn.Module) -> None:
        """Give all processes the first one's weights."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                _broadcast(tensor)

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the first one's buffers: with running means of its own each would evaluate another network."""
        if self.size > 1:
            buffers = list(model.buffers())
            for dtype in dict.fromkeys(buffer.dtype for buffer in buffers):
                same = [buffer for buffer in buffers if buffer.dtype == dtype]
                flat = torch.cat([buffer.reshape(-1) for buffer in same])
                _broadcast(flat)
                for buffer, part in zip(same, flat.split([buffer.numel() for buffer in same]), strict=True):
                    buffer.copy_(part.view_as(buffer))

    def average(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Replace the gradients by their mean over the processes, as of one batch of all; the loss's mean.

        A parameter without a gradient counts as zero where another process has one. NaN anywhere becomes NaN everywhere, so
        that all leave out the same steps.
        """
        if self.size == 1:
            return loss.detach()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=self.device)
        flat = torch.cat([grad.reshape(-1).float() for grad in grads] + [used, loss.detach().reshape(1).float()])
        with _others_answer():
            distributed.all_reduce(flat)
        sizes = [grad.numel() for grad in grads]
        *means, used, mean_loss = (flat / self.size).split([*sizes, len(sizes), 1])
        for parameter, mean, count in zip(parameters, means, used.tolist(), strict=True):
            parameter.grad = mean.view_as(parameter).to(parameter.dtype) if count else None
        return mean_loss[0]

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            with _others_answer():
                distributed.barrier()


def _broadcast(tensor: Tensor) -> None:
    with _others_answer():
        # gloo knows no bool.
        distributed.broadcast(tensor.view(torch.uint8) if tensor.dtype == torch.bool else tensor, src=0)


@contextlib.contextmanager
def _others_answer() -> Iterator[None]:
    """OtherProcessError where torch tells that another process has gone."""
    try:
        yield
    except RuntimeError as error:
        raise OtherProcessError from error


@contextlib.contextmanager
def joined_team(device: torch.device) -> Iterator[Team]:
    """Meet the other processes, where torchrun's environment variables tell of some (NCCL on CUDA, else gloo)."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Team(0, 1, device)
        return
    if device.type == "mps":
        raise InputError("device mps: one process only; start without torchrun")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size(), device)
    finally:
        distributed.destroy_process_group()
