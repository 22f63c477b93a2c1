"""Single precision for losses and geometry, whatever the networks run in."""

import torch
from torch import Tensor


def single_precision(like: Tensor) -> torch.autocast:
    """A context in which nothing runs in 16 bits on `like`'s device; numbers that come in must be brought to float32.

    Rotations lose degrees in 16 bits, a sum over a grid overflows in them, and the cross-entropy of probabilities is refused.
    """
    return torch.autocast(like.device.type, enabled=False)
