"""Rigid motion of voxel grids: batched and differentiable."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def warp(
    grid: Float[Tensor, "b q q q"], R: Float[Tensor, "b 3 3"], t: Float[Tensor, "b 3"] | None = None
) -> Float[Tensor, "b q q q"]:
    """The grid after the rigid motion ``y = R x + t`` of its content, zeros coming in from outside.

    Each output cell looks back to where it came from, ``R^T (y - t)``, and interpolates trilinearly; the rotation is
    about the exact centre of the grid, and the identity returns the grid. `t` is in grid sides. Differentiable in all.
    """
    centres = _cell_centres(grid.shape[-1], grid)
    points = torch.stack(torch.meshgrid(centres, centres, centres, indexing="ij"), dim=-1).flip(-1)
    if t is not None:
        points = points - t[:, None, None, None, :]
    sources = torch.einsum("bji,bzyxj->bzyxi", R, points.expand(len(grid), -1, -1, -1, -1))
    # grid_sample measures in half sides from the centre and, unaligned, keeps cell centres where they are.
    sampled = functional.grid_sample(
        grid[:, None], 2 * sources, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return sampled[:, 0]


def _cell_centres(side: int, like: Tensor) -> Float[Tensor, " q"]:
    return (torch.arange(side, dtype=like.dtype, device=like.device) + 0.5) / side - 0.5
