"""Crop, pad, resize and flip of an image as changes of its camera.

A pixel map is a 3x3 matrix on pixels (x, y, 1), with (0, 0) the top left corner of the image. Because pixel centres
are at +0.5, a resize is a pure scale: no half-pixel terms anywhere.
"""

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.cameras.pinhole import Pinhole, check_size
from monoform.cameras.weak_perspective import WeakPerspective
from monoform.errors import InputError
from monoform.poses import Pose

Camera = TypeVar("Camera", Pinhole, WeakPerspective)
Box = tuple[float | int, float | int, float | int, float | int]


def window_map(box_xyxy: Box, size_hw: tuple[int, int]) -> Float[Tensor, "3 3"]:
    """Pixels of an image -> pixels of its part `box_xyxy`, scaled to `size_hw`; float64. Its inverse leads back.

    The box may have fractions and reach outside the image. `InputError` if it is empty.
    """
    left, top, right, bottom = box_xyxy
    if not (right > left and bottom > top):
        raise InputError(
            f"crop box {box_xyxy}: empty; give left, top, right, bottom with right > left and bottom > top"
        )
    check_size(size_hw)
    zoom_x, zoom_y = size_hw[1] / (right - left), size_hw[0] / (bottom - top)
    rows = [[zoom_x, 0.0, -left * zoom_x], [0.0, zoom_y, -top * zoom_y], [0.0, 0.0, 1.0]]
    return torch.tensor(rows, dtype=torch.float64)


def window(camera: Camera, box_xyxy: Box, size_hw: tuple[int, int]) -> Camera:
    """Camera of the image's part `box_xyxy` scaled to `size_hw`: crop, pad and resize in one."""
    return camera.through(window_map(box_xyxy, size_hw), size_hw)


def crop(camera: Camera, box_xyxy: tuple[int, int, int, int]) -> Camera:
    """Camera of the image cut to a box of whole pixels; a box that reaches outside pads."""
    left, top, right, bottom = box_xyxy
    return window(camera, box_xyxy, (bottom - top, right - left))


def pad(camera: Camera, left: int, top: int, right: int, bottom: int) -> Camera:
    """Camera of the image with pixels added on its four sides (negative: taken away)."""
    height, width = camera.size_hw
    return crop(camera, (-left, -top, width + right, height + bottom))


def resize(camera: Camera, size_hw: tuple[int, int]) -> Camera:
    """Camera of the image scaled to `size_hw`, each axis by its own factor."""
    height, width = camera.size_hw
    return window(camera, (0, 0, width, height), size_hw)


def flip(camera: Camera) -> Camera:
    """Camera of the image mirrored left to right, focal lengths kept positive.

    It shows the mirrored scene: a point (x, y, z) of the camera frame has become (-x, y, z). Change the pose with
    `mirror_pose`, and the mesh by the same mirror unless it is symmetric under it.
    """
    width = camera.size_hw[1]
    match camera:
        case Pinhole():
            image_flip = camera.K.new_tensor([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            scene_flip = camera.K.new_tensor([-1.0, 1.0, 1.0])
            return Pinhole(image_flip @ camera.K * scene_flip, camera.size_hw)
        case WeakPerspective():
            x, y = camera.principal.unbind(-1)
            return WeakPerspective(camera.scale, torch.stack([width - x, y], -1), camera.size_hw)


def mirror_pose(pose: Pose, normal: Float[Tensor, "3"]) -> Pose:
    """Pose, in the flipped image, of the object mirrored in the plane through its origin with this normal.

    With S = diag(-1, 1, 1) in the camera frame and M the mirror in the object frame: ``R' = S R M``, ``t' = S t``.
    The mesh to use is M's image of it, with the winding of the faces reversed; for the left-right mirror of the
    object frame the normal is (1, 0, 0).
    """
    scene_flip = pose.t.new_tensor([-1.0, 1.0, 1.0])
    unit = normal.to(pose.t) / torch.linalg.vector_norm(normal.to(pose.t))
    mirror = torch.eye(3, dtype=pose.R.dtype, device=pose.R.device) - 2 * torch.outer(unit, unit)
    return Pose(scene_flip[:, None] * pose.R @ mirror, scene_flip * pose.t)
