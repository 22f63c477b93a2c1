"""One step of an optimiser: back from the loss, clip, step; left out where a number is not finite."""

import contextlib

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monoform.training.processes import Team

AUTOCAST_DTYPES = {"cuda": torch.float16, "cpu": torch.bfloat16}
"""The 16 bits of mixed precision, by the kind of device."""


class Updater:
    """The `Update` that the loop hands to a stage."""

    def __init__(self, team: Team, clip_norm: float, *, mixed: bool) -> None:
        self.team, self.clip_norm = team, clip_norm
        self.dtype = AUTOCAST_DTYPES[team.device.type] if mixed else None
        # bfloat16 has the range of float32: nothing vanishes that a scale would keep.
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=self.dtype == torch.float16)
        self.refused = 0
        """Updates left out since the loop looked last."""

    def autocast(self) -> contextlib.AbstractContextManager:
        """The context of a step's forward passes.

        Casts of weights are not kept: a step may update a network between two passes, and the second would run on old ones.
        """
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.team.device.type, self.dtype, cache_enabled=False)

    def __call__(self, loss: Tensor, optimizer: Optimizer, *, keep_graph: bool = False) -> bool:
        """Clear the optimiser's gradients, go back from the loss, clip, step; False (and no step) if anything is not finite."""
        parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad()
        with torch.autocast(self.team.device.type, enabled=False):
            self.scaler.scale(loss).backward(retain_graph=keep_graph)
        loss = self.team.average(parameters, loss)
        self.scaler.unscale_(optimizer)
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(grads)
        finite = bool(torch.isfinite(norm) & torch.isfinite(loss))
        if finite and grads:
            if self.clip_norm:
                torch.nn.utils.clip_grads_with_norm_(parameters, self.clip_norm, norm)
            self.scaler.step(optimizer)
        elif not finite:
            self.refused += 1
            optimizer.zero_grad()
        if grads:
            self.scaler.update()
        return finite
