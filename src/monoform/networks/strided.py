"""An image encoder of strided convolutions alone, and the dense branches that read it (Palazzi 2018, Fig. 2)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

KERNELS = (5, 5, 5, 3, 3)
CHANNELS = (1, 1, 2, 4, 8)
"""In widths; Tatarchenko 2016, whom the paper follows, has 32, 32, 64, 128 and 256."""
SLOPE = 0.2
"""Of the leaky ReLU below 0."""
SMALLEST = 32
"""Least image side in pixels: the five convolutions halve it to 1."""
Norm = Literal["none", "batch"]


class StridedEncoder(nn.Module):
    """An RGB image to a flat vector by five convolutions of stride 2; where a feature lies is kept.

    size: pixels a side; the weights fit this one alone where dense layers follow. width: channels of the first convolution.
    norm: 'batch' normalises after each convolution.
    """

    def __init__(self, size: int, width: int, norm: Norm):
        super().__init__()
        layers: list[nn.Module] = []
        before, side = 3, size
        for kernel, channels in zip(KERNELS, CHANNELS, strict=True):
            after = channels * width
            convolution = nn.Conv2d(before, after, kernel, 2, kernel // 2, bias=norm == "none")
            nn.init.kaiming_normal_(convolution.weight, SLOPE)
            layers += [convolution, *([nn.BatchNorm2d(after)] if norm == "batch" else []), nn.LeakyReLU(SLOPE)]
            before, side = after, (side + 1) // 2
        self.layers = nn.Sequential(*layers)
        self.features = before * side**2
        """Length of the vector."""
        # On a CPU the convolutions take most of the time with the channels last.
        self.layers.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b d"]:
        """images: sRGB in [0, 1]."""
        return self.layers((2 * images - 1).contiguous(memory_format=torch.channels_last)).flatten(1)


class DenseBranch(nn.Sequential):
    """A vector to `out` numbers through one hidden layer with dropout."""

    def __init__(self, features: int, hidden: int, out: int, dropout: float):
        super().__init__(nn.Linear(features, hidden), nn.LeakyReLU(SLOPE), nn.Dropout(dropout), nn.Linear(hidden, out))
