"""Silhouettes of voxel grids by rays that stop or escape (Liao 2019, section 3.2).

Along each pixel's ray the occupancy is sampled at y_1 .. y_n, nearest first. The ray stops at sample i with probability
``q_i = y_i * prod_{j<i} (1 - y_j)`` and escapes with ``q_pen = prod_j (1 - y_j)``; they sum to 1.
Paper: Eq. 2 prints ``(1 - y_i)`` in the product and Eq. 3 the limit i and the factor y_i. Here: as above, because only
so do the probabilities sum to 1. For a binary mask m, Eq. 4 is then ``|1 - q_pen - m|``.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.projection.voxel_max import sample

LARGEST = 1 - 1e-6
"""Occupancy is kept below this: a full cell would make the logarithm infinite."""


def ray_silhouette(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"],
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    near_far: tuple[float, float],
    samples: int = 64,
) -> Float[Tensor, "b h w"]:
    """Probability ``1 - q_pen`` that each pixel's ray stops; differentiable in all tensors.

    The grid [z, y, x] fills the unit cube about its own origin; ``x_camera = R @ x_grid + t`` in grid sides; K in pixels.
    near_far: depths between which the samples lie, at the middles of equal intervals; near must be above 0.
    """
    values = _along_rays(occupancy, R, t, K, size_hw, near_far, samples)
    return -torch.expm1(torch.log1p(-values).sum(dim=1))


def ray_stops(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"],
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    near_far: tuple[float, float],
    samples: int = 64,
) -> tuple[Float[Tensor, "b n h w"], Float[Tensor, "b h w"]]:
    """Probabilities of stopping at each sample and of escaping; arguments as for `ray_silhouette`."""
    values = _along_rays(occupancy, R, t, K, size_hw, near_far, samples)
    passed = torch.log1p(-values).cumsum(dim=1)
    reached = torch.cat([torch.zeros_like(passed[:, :1]), passed[:, :-1]], dim=1)
    return values * reached.exp(), passed[:, -1].exp()


def _along_rays(
    occupancy: Tensor, R: Tensor, t: Tensor, K: Tensor, size_hw: tuple[int, int],
    near_far: tuple[float, float], samples: int,
) -> Float[Tensor, "b n h w"]:  # fmt: skip
    """Occupancy below 1 at the samples of every ray, nearest first."""
    near, far = near_far
    if not 0 < near < far or samples < 1:
        raise ValueError(f"rays need 0 < near < far and at least one sample, not {near_far} and {samples}")
    h, w = size_hw
    like = {"dtype": occupancy.dtype, "device": occupancy.device}
    v, u = torch.meshgrid(torch.arange(h, **like) + 0.5, torch.arange(w, **like) + 0.5, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1)
    directions = torch.einsum("bij,yxj->byxi", torch.linalg.inv(K), pixels)
    depths = near + (far - near) * (torch.arange(samples, **like) + 0.5) / samples
    return sample(occupancy, R, t, directions[:, None] * depths[:, None, None, None]).clamp(max=LARGEST)
