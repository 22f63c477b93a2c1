"""A small convolutional image encoder for crops of 64 to 227 pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST = 64
"""Least image side in pixels: four halvings leave 4 x 4."""


class ImageEncoder(nn.Module):
    """An RGB crop to `out` numbers: five convolutions of width, 2, 4, 8 and 8 widths, two fully connected layers.

    Larger images than 64 px are averaged to 4 x 4 before the first fully connected layer, so the weights fit any size.
    """

    def __init__(self, out: int, width: int, hidden: int = 256):
        super().__init__()
        channels = (3, width, 2 * width, 4 * width, 8 * width, 8 * width)
        shapes = ((5, 2), (3, 2), (3, 2), (3, 2), (3, 1))
        layers: list[nn.Module] = []
        for before, after, (kernel, stride) in zip(channels[:-1], channels[1:], shapes, strict=True):
            convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.LeakyReLU(0.1)]
        layers += [nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * channels[-1], hidden)]
        layers += [nn.BatchNorm1d(hidden), nn.LeakyReLU(0.1), nn.Linear(hidden, out)]
        self.layers = nn.Sequential(*layers)
        self.layers.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b out"]:
        """images: sRGB in [0, 1]."""
        if images.shape[-1] < SMALLEST:
            raise ValueError(f"images of {images.shape[-1]} px; give at least {SMALLEST}")
        return self.layers((2 * images - 1).contiguous(memory_format=torch.channels_last))
