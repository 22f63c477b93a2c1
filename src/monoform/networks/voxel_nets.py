"""Volumetric networks for grids of 30 cells a side: an encoder, a generator and a discriminator that mirror each other.

The exact chain of sides is 30, 15, 8, 4, 1 by convolutions of (kernel, stride, padding) (4, 2, 1), (3, 2, 1), (4, 2, 1),
(4, 1, 0), and back by the transposed ones: 3D-GAN's layers (Wu 2016) fitted to Zhu 2017's grid.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

SIDE = 30
"""Cells a side of the grid."""
EMPTY = -3.0
"""Logit of a cell's occupancy before anything is learnt: one in twenty is filled."""
FIRST, SECOND, THIRD, LAST = (4, 2, 1), (3, 2, 1), (4, 2, 1), (4, 1, 0)
"""Kernel, stride and padding on the way from 30 cells to one."""


def _down(channels: int, out: int, layer: tuple[int, int, int]) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(channels, out, *layer, bias=False), nn.BatchNorm3d(out), nn.LeakyReLU(0.2))


def _up(channels: int, out: int, layer: tuple[int, int, int]) -> nn.Sequential:
    return nn.Sequential(nn.ConvTranspose3d(channels, out, *layer, bias=False), nn.BatchNorm3d(out), nn.ReLU())


class VoxelEncoder(nn.Module):
    """A grid to `out` numbers through width, 2 width and 4 width channels."""

    def __init__(self, out: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            _down(1, width, FIRST),
            _down(width, 2 * width, SECOND),
            _down(2 * width, 4 * width, THIRD),
            nn.Conv3d(4 * width, out, *LAST),
        )
        # On a CPU the convolutions take two thirds of the time with the channels last.
        self.layers.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]

    def forward(self, voxels: Float[Tensor, "b 30 30 30"]) -> Float[Tensor, "b out"]:
        return self.layers(voxels[:, None]).flatten(1)


class VoxelGenerator(nn.Module):
    """A code of `latent` numbers to the logits of a grid's occupancy, through 4 width, 2 width and width channels."""

    def __init__(self, latent: int, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            _up(latent, 4 * width, LAST),
            _up(4 * width, 2 * width, THIRD),
            _up(2 * width, width, SECOND),
            last := nn.ConvTranspose3d(width, 1, *FIRST),
        )
        # Most cells are empty; from one half everywhere a small network takes hundreds of steps to say so.
        nn.init.constant_(last.bias, EMPTY)  # pyright: ignore[reportArgumentType]
        self.layers.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]

    def forward(self, code: Float[Tensor, "b latent"]) -> Float[Tensor, "b 30 30 30"]:
        return self.layers(code[:, :, None, None, None])[:, 0]


class VoxelDiscriminator(nn.Module):
    """Whether a grid is a real shape, as a logit, and what the second convolution saw in it."""

    def __init__(self, width: int):
        super().__init__()
        self.early = nn.Sequential(_down(1, width, FIRST), _down(width, 2 * width, SECOND))
        self.late = nn.Sequential(_down(2 * width, 4 * width, THIRD), nn.Conv3d(4 * width, 1, *LAST))
        self.to(memory_format=torch.channels_last_3d)  # pyright: ignore[reportCallIssue]

    def forward(
        self, voxels: Float[Tensor, "b 30 30 30"]
    ) -> tuple[Float[Tensor, "b"], Float[Tensor, "b features 8 8 8"]]:
        features = self.early(voxels[:, None])
        return self.late(features).flatten(), features
