"""A residual image encoder for crops of 64 to 227 pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monoform.networks.residual import Depth, ResNet

SMALLEST = 64
"""Least image side in pixels: five halvings leave 2 x 2."""


class ImageEncoder(nn.Module):
    """An RGB crop to `out` numbers: a residual network, its last map averaged to 2 x 2, two fully connected layers.

    width: channels of the first stage, 64 in He 2016. Any image size fits the weights. 2 x 2 and not 1 x 1, as where a part
    appears tells how the object is turned.
    """

    def __init__(self, out: int, width: int, depth: Depth = 18, hidden: int = 256):
        super().__init__()
        self.body = ResNet(depth, width)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * self.body.channels[-1], hidden),
            nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out),
        )  # fmt: skip
        # On a CPU the convolutions take four fifths of the time with the channels last.
        self.body.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b out"]:
        """images: sRGB in [0, 1]."""
        if images.shape[-1] < SMALLEST:
            raise ValueError(f"images of {images.shape[-1]} px; give at least {SMALLEST}")
        return self.head(self.body(images.contiguous(memory_format=torch.channels_last))[-1])
