"""Silhouettes of voxel grids by turning the grid and looking through it along the optical axis (Zhu 2017, Eq. 3 and 6).

Every function takes ``(occupancy, R, t)``: the grid [z, y, x] fills the unit cube about its own origin, and
``x_camera = R @ x_grid + t`` in grid sides. Image rows run along y, columns along x; a batch of one meets many.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from monoform.voxels import warp

PTN_FOCAL = math.sqrt(3) / 2
"""Focal length of Perspective Transformer Nets (Yan 2016) in grid sides, for an image one side wide."""


def voxel_max(
    occupancy: Float[Tensor, "#b q q q"], R: Float[Tensor, "#b 3 3"], t: Float[Tensor, "#b 3"] | None = None
) -> Float[Tensor, "b q q"]:
    """The largest occupancy behind each pixel, orthographic. Its gradient goes to that one cell's neighbourhood."""
    return _turned(occupancy, R, t).max(dim=1).values


def voxel_any(
    occupancy: Float[Tensor, "#b q q q"], R: Float[Tensor, "#b 3 3"], t: Float[Tensor, "#b 3"] | None = None
) -> Float[Tensor, "b q q"]:
    """``1 - prod(1 - v)`` behind each pixel, orthographic: every cell of the line has a gradient."""
    return 1 - (1 - _turned(occupancy, R, t)).prod(dim=1)


def voxel_softmax(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    sharpness: float = 20.0,
) -> Float[Tensor, "b q q"]:
    """The mean occupancy behind each pixel with weights ``softmax(sharpness * v)``, orthographic; never above the max."""
    turned = _turned(occupancy, R, t)
    return (torch.softmax(sharpness * turned, dim=1) * turned).sum(dim=1)


def voxel_max_perspective(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    focal: float = PTN_FOCAL,
) -> Float[Tensor, "b q q"]:
    """The largest occupancy along each pixel's ray, at q depths from `focal` to ``focal + 1`` (Yan 2016).

    t None: the grid's centre stands at depth ``focal + 0.5``, as there.
    """
    if t is None:
        t = occupancy.new_tensor([[0.0, 0.0, focal + 0.5]])
    side = occupancy.shape[-1]
    cells = (torch.arange(side, dtype=occupancy.dtype, device=occupancy.device) + 0.5) / side
    depth, y, x = torch.meshgrid(cells + focal, cells - 0.5, cells - 0.5, indexing="ij")
    points = torch.stack([x * depth / focal, y * depth / focal, depth], dim=-1)
    return sample(occupancy, R, t, points).max(dim=1).values


def sample(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"],
    points_camera: Float[Tensor, "*views n h w 3"],
) -> Float[Tensor, "b n h w"]:
    """The occupancy at points of the camera frame, trilinear between cell centres, zero outside."""
    sources = torch.einsum("bji,bnyxj->bnyxi", R, points_camera - t[:, None, None, None])
    batch = max(len(occupancy), len(sources))
    grid, sources = occupancy.expand(batch, -1, -1, -1), sources.expand(batch, -1, -1, -1, -1)
    # grid_sample measures in half sides from the centre and, unaligned, keeps cell centres where they are.
    return functional.grid_sample(grid[:, None], 2 * sources, padding_mode="zeros", align_corners=False)[:, 0]


def _turned(occupancy: Tensor, R: Tensor, t: Tensor | None) -> Tensor:
    batch = max(len(occupancy), len(R), 1 if t is None else len(t))
    moved = None if t is None else t.expand(batch, -1)
    return warp(occupancy.expand(batch, -1, -1, -1), R.expand(batch, -1, -1), moved)
