"""The weak-perspective camera: every point is seen at one common depth."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.cameras.pinhole import Pinhole, check_size
from monoform.errors import InputError


@dataclass(frozen=True, eq=False)
class WeakPerspective:
    """Scaled orthographic camera along +z: pixel ``(u, v) = scale * (x, y) + principal``. Zhu 2017, section 3.3."""

    scale: Float[Tensor, "*batch 2"]
    """Pixels per unit of length across and down, > 0; they differ only after an uneven resize."""
    principal: Float[Tensor, "*batch 2"]
    """Pixel (x, y) of the optical axis, of every point with x = y = 0."""
    size_hw: tuple[int, int]
    """Height and width of the image, pixels."""

    def __post_init__(self) -> None:
        scale, principal = self.scale.detach(), self.principal.detach()
        if not bool(torch.isfinite(scale).all() and torch.isfinite(principal).all() and (scale > 0).all()):
            raise InputError("weak-perspective camera: give a finite scale > 0 (pixels a unit) and principal point")
        check_size(self.size_hw)

    def project(self, points_camera: Float[Tensor, "*#batch n 3"]) -> Float[Tensor, "*batch n 2"]:
        """Pixels (x, y) of points in the camera frame; depth has no effect, behind the camera either."""
        return points_camera[..., :2] * self.scale[..., None, :] + self.principal[..., None, :]

    def unproject(
        self, pixels: Float[Tensor, "*#batch n 2"], depth: Float[Tensor, "*#batch n"]
    ) -> Float[Tensor, "*batch n 3"]:
        """Points in the camera frame seen at `pixels` (x, y), with z = depth."""
        xy = (pixels - self.principal[..., None, :]) / self.scale[..., None, :]
        return torch.cat([xy, depth.expand(xy.shape[:-1])[..., None]], -1)

    def through(self, pixel_map: Float[Tensor, "3 3"], size_hw: tuple[int, int]) -> "WeakPerspective":
        """The camera of a changed image: `pixel_map` (axes kept: scale and shift only) takes its pixels to the new."""
        pixel_map = pixel_map.to(self.scale)
        zoom = pixel_map.diagonal()[:2]
        return WeakPerspective(self.scale * zoom, self.principal * zoom + pixel_map[:2, 2], size_hw)


def weak_from_pinhole(camera: Pinhole, depth: Float[Tensor, "*batch"]) -> WeakPerspective:
    """The weak-perspective camera that agrees with a pinhole without skew for all points at `depth`."""
    if bool((camera.K[..., 0, 1] != 0).any()):
        raise InputError("weak-perspective camera: it has no skew; give a K with K[0, 1] = 0")
    focal = camera.K.diagonal(dim1=-2, dim2=-1)[..., :2]
    return WeakPerspective(focal / depth[..., None], camera.K[..., :2, 2].expand(focal.shape), camera.size_hw)
