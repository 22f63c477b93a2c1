"""Decoders by two-dimensional deconvolution: codes to voxels, whose depth is the channels, and to masks."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class VoxelTube(nn.Module):
    """A code to a grid of voxels through flat maps: the last map's channels are the grid's layers (Richter 2018).

    code: the code's length. side: cells a side, ``4 * 2^n``. width: channels of the last map but one; each coarser has twice
    as many, 512 at 4 x 4 if width is 64 and side 32.
    """

    def __init__(self, code: int, side: int = 32, width: int = 64):
        super().__init__()
        steps = (side // 4).bit_length() - 1
        if 4 << steps != side:
            raise ValueError(f"a grid of side {side}; give 4 times a power of two")
        channels = [width * 2 ** (steps - step) for step in range(steps + 1)]
        self.start = nn.Sequential(
            nn.Linear(code, channels[0] * 16), nn.Unflatten(1, (channels[0], 4, 4)), _ready(channels[0])
        )
        self.up = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(channels)))
        self.out = nn.Conv2d(channels[-1], side, 1)

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b q q q"]:
        """Logits of occupancy [z, y, x]."""
        return self.out(self.up(self.start(code)))


class MaskDecoder(nn.Module):
    """A code to a mask, with the image's own maps joined in on the way up where they are given (U-Net, Ronneberger 2015).

    code: the code's length. size: pixels a side, ``coarsest * 2^n``. channels: of the maps, coarsest first; there are n + 1.
    skips: channels of the image's maps that join each of the n finer ones, 0 for none; () for none at all.
    """

    def __init__(self, code: int, size: int, channels: Sequence[int], skips: Sequence[int] = ()):
        super().__init__()
        steps = len(channels) - 1
        coarsest = size >> steps
        if coarsest << steps != size or coarsest == 0:
            raise ValueError(f"a mask of {size} px cannot be doubled up to {steps} times; give other channels or size")
        skips = skips or (0,) * steps
        if len(skips) != steps:
            raise ValueError(f"{len(skips)} skips for {steps} finer maps; give one each, 0 for none")
        self.start = nn.Sequential(
            nn.Linear(code, channels[0] * coarsest**2),
            nn.Unflatten(1, (channels[0], coarsest, coarsest)),
            _ready(channels[0]),
        )
        self.up = nn.ModuleList(UpBlock(*sizes) for sizes in zip(channels, channels[1:], skips))
        self.out = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, code: Float[Tensor, "b d"], maps: Sequence[Tensor | None] = ()) -> Float[Tensor, "b s s"]:
        """Logits. maps: the image's, one a finer map in the order of `skips`, of any size; None for 0 channels."""
        x = self.start(code)
        for block, skip in zip(self.up, maps or [None] * len(self.up), strict=True):
            x = block(x, skip)
        return self.out(x)[:, 0]


class UpBlock(nn.Module):
    """Twice the size by a deconvolution, then a residual of two convolutions, which sees a map joined in."""

    def __init__(self, before: int, after: int, skip: int = 0):
        super().__init__()
        self.grow = nn.Sequential(nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=False), _ready(after))
        self.residual = nn.Sequential(
            nn.Conv2d(after + skip, after, 3, padding=1, bias=False),
            _ready(after),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )

    def forward(self, x: Float[Tensor, "b c h w"], joined: Tensor | None = None) -> Tensor:
        """joined: a map of `skip` channels, brought to the doubled size."""
        x = self.grow(x)
        if joined is None:
            return functional.relu(x + self.residual(x))
        joined = functional.interpolate(joined, x.shape[-2:], mode="bilinear", align_corners=False)
        return functional.relu(x + self.residual(torch.cat([x, joined], dim=1)))


def _ready(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())
