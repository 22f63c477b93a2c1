"""The pinhole camera."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.errors import InputError


@dataclass(frozen=True, eq=False)
class Pinhole:
    """Perspective camera: pixel ``(u, v) = K @ (x/z, y/z, 1)`` for a point in front of it, OpenCV axes.

    The focal lengths may differ and the principal point may lie anywhere, outside the image too (crops).
    A K that no lens has (focal length <= 0, NaN, another last row than 0 0 1) raises `InputError`.
    """

    K: Float[Tensor, "*batch 3 3"]
    """Intrinsics in pixels: [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]; (0, 0) is the image's top left corner."""
    size_hw: tuple[int, int]
    """Height and width of the image, pixels."""

    def __post_init__(self) -> None:
        _check_intrinsics(self.K.detach())
        check_size(self.size_hw)

    def project(self, points_camera: Float[Tensor, "*#batch n 3"], near: float = 1e-6) -> Float[Tensor, "*batch n 2"]:
        """Pixels (x, y) of points in the camera frame; the depth of a point is its z.

        A point nearer than `near`, or behind the camera, has no picture; it is projected as if at depth `near`, so
        that values and gradients stay finite. Cut triangles at the near plane before they get here.
        """
        depth = points_camera[..., 2:].clamp(min=near)
        plane = torch.cat([points_camera[..., :2] / depth, torch.ones_like(depth)], -1)
        return plane @ self.K[..., :2, :].mT

    def unproject(
        self, pixels: Float[Tensor, "*#batch n 2"], depth: Float[Tensor, "*#batch n"]
    ) -> Float[Tensor, "*batch n 3"]:
        """Points in the camera frame seen at `pixels` (x, y) at a depth (z, not the distance along the ray)."""
        K = self.K[..., None, :, :]
        y = (pixels[..., 1] - K[..., 1, 2]) / K[..., 1, 1]
        x = (pixels[..., 0] - K[..., 0, 2] - K[..., 0, 1] * y) / K[..., 0, 0]
        plane = torch.stack([x, y, torch.ones_like(x)], -1)
        return plane * depth[..., None]

    def rays(self) -> Float[Tensor, "*batch h w 3"]:
        """Unit direction, in the camera frame, of the ray through each pixel's centre."""
        pixels = pixel_centres(self.size_hw, self.K.dtype, self.K.device).flatten(0, 1)
        directions = self.unproject(pixels, pixels.new_ones(pixels.shape[0]))
        return torch.nn.functional.normalize(directions, dim=-1).unflatten(-2, self.size_hw)

    def fov_x(self) -> Float[Tensor, "*batch"]:
        """Full angle of view, radians, across the width, for a centred principal point."""
        return 2 * torch.atan(self.size_hw[1] / (2 * self.K[..., 0, 0]))

    def through(self, pixel_map: Float[Tensor, "3 3"], size_hw: tuple[int, int]) -> "Pinhole":
        """The camera of a changed image: `pixel_map` takes its pixels (x, y, 1) to those of the new image."""
        return Pinhole(pixel_map.to(self.K) @ self.K, size_hw)


def pinhole_from_fov(fov_x: float | int, size_hw: tuple[int, int], dtype: torch.dtype = torch.float32) -> Pinhole:
    """Camera with square pixels and a centred principal point.

    `fov_x` is the full angle across the width, radians, between 0 and pi (both excluded: `InputError`).
    """
    if not 0 < fov_x < math.pi:
        raise InputError(f"field of view {math.degrees(fov_x):g} degrees: give an angle between 0 and 180 degrees")
    height, width = size_hw
    focal = width / 2 / math.tan(fov_x / 2)
    K = [[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]
    return Pinhole(torch.tensor(K, dtype=dtype), size_hw)


def pixel_centres(size_hw: tuple[int, int], dtype: torch.dtype, device: torch.device) -> Float[Tensor, "h w 2"]:
    """(x, y) of every pixel's centre: (j + 0.5, i + 0.5) for row i, column j."""
    y = torch.arange(size_hw[0], dtype=dtype, device=device) + 0.5
    x = torch.arange(size_hw[1], dtype=dtype, device=device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def check_size(size_hw: tuple[int, int]) -> None:
    """Raise `InputError` for an image without pixels."""
    if min(size_hw) < 1:
        raise InputError(f"image size {size_hw[1]} x {size_hw[0]}: give a width and a height of at least 1 pixel")


def _check_intrinsics(K: Float[Tensor, "*batch 3 3"]) -> None:
    if not bool(torch.isfinite(K).all()):
        raise InputError("camera K: holds NaN or infinity; give finite numbers in pixels")
    if not bool((K.diagonal(dim1=-2, dim2=-1)[..., :2] > 0).all()):
        raise InputError("camera K: a focal length is zero or negative; give fx > 0 and fy > 0 in pixels")
    if not bool((K[..., 1:, 0] == 0).all() and (K[..., 2, 1:] == K.new_tensor([0.0, 1.0])).all()):
        raise InputError(
            "camera K: the form is [[fx, skew, cx], [0, fy, cy], [0, 0, 1]]; it may be transposed or unscaled"
        )
