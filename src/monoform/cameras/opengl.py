"""OpenGL's and Blender's camera: +x right, +y up, looking along -z; poses are camera -> world matrices.

nerfstudio and three.js use the same axes. Blender's image plane is described by lens, sensor and shifts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monoform.cameras.pinhole import Pinhole
from monoform.errors import InputError
from monoform.poses import Pose, pose_from_matrix


def opengl_camera_to_world(pose_camera_world: Pose) -> Float[Tensor, "*batch 4 4"]:
    """Camera -> world matrix with OpenGL's camera axes; Blender's `camera.matrix_world` in the same world frame.

    Blender turns y-up meshes on import: there the world is ``(x, -z, y)`` of the mesh file's (x, y, z).
    """
    return pose_camera_world.invert().to_matrix() * _axis_signs(pose_camera_world.t)


def pose_from_opengl(camera_to_world: Float[Tensor, "*batch 4 4"]) -> Pose:
    """World -> camera pose with OpenCV axes, the inverse of `opengl_camera_to_world`."""
    return pose_from_matrix(camera_to_world * _axis_signs(camera_to_world)).invert()


def opengl_projection(camera: Pinhole, near: float | int, far: float | int) -> Float[Tensor, "*batch 4 4"]:
    """Clip matrix of OpenGL (z in [-w, w]) that draws what the camera sees, for points in OpenGL's camera axes.

    In window coordinates with y down the result is the camera's pixel; three.js takes it as `projectionMatrix`.
    """
    if not 0 < near < far:
        raise InputError(f"clip planes near {near:g}, far {far:g}: give 0 < near < far")
    height, width = camera.size_hw
    half_size = camera.K.new_tensor([[width / 2], [height / 2]])
    # Rows x and y of ``clip = (K / half size - centre) @ (x, -y, -z)``, y turned up.
    plane = camera.K[..., :2, :] / half_size - camera.K.new_tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    plane = plane * camera.K.new_tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
    top = torch.nn.functional.pad(plane, (0, 1))
    depth = [[0.0, 0.0, (near + far) / (near - far), 2 * near * far / (near - far)], [0.0, 0.0, -1.0, 0.0]]
    return torch.cat([top, camera.K.new_tensor(depth).expand(*top.shape[:-2], 2, 4)], -2)


def pinhole_from_opengl(projection: Float[Tensor, "*batch 4 4"], size_hw: tuple[int, int]) -> Pinhole:
    """The camera of a perspective clip matrix, whatever its near and far planes; inverse of `opengl_projection`."""
    if not torch.allclose(projection[..., 3, :], projection.new_tensor([0.0, 0.0, -1.0, 0.0])):
        raise InputError("clip matrix: the last row is not 0 0 -1 0; give a perspective matrix that acts on columns")
    height, width = size_hw
    plane = projection[..., :2, :3] * projection.new_tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]])
    plane = plane + projection.new_tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    K = plane * projection.new_tensor([[width / 2], [height / 2]])
    bottom = projection.new_tensor([0.0, 0.0, 1.0]).expand(*K.shape[:-2], 1, 3)
    return Pinhole(torch.cat([K, bottom], -2), size_hw)


@dataclass(frozen=True)
class BlenderCamera:
    """What to set on Blender's camera and render settings, with `sensor_fit = 'HORIZONTAL'`."""

    lens: float
    """Focal length, mm."""
    sensor_width: float
    """Width of the sensor, mm."""
    shift_x: float
    """Shift of the view to the right, in image widths."""
    shift_y: float
    """Shift of the view up, in image widths."""
    pixel_aspect_x: float
    """Width of a pixel relative to `pixel_aspect_y`; Blender wants both >= 1."""
    pixel_aspect_y: float
    resolution_x: int
    resolution_y: int


def blender_camera(camera: Pinhole, sensor_width: float | int = 36.0) -> BlenderCamera:
    """Blender's settings for one camera (no batch axes); Blender has no skew, so that skew raises `InputError`."""
    if camera.K.ndim != 2 or float(camera.K[0, 1]) != 0:
        raise InputError("Blender camera: give one K (3 x 3) without skew, K[0, 1] = 0")
    height, width = camera.size_hw
    (fx, _, cx), (_, fy, cy), _ = camera.K.tolist()
    return BlenderCamera(
        lens=fx * sensor_width / width,
        sensor_width=sensor_width,
        shift_x=(width / 2 - cx) / width,
        # Shifts are lengths on the sensor; a row is fx / fy times as high there as a column is wide.
        shift_y=(cy - height / 2) / width * (fx / fy),
        pixel_aspect_x=max(1.0, fy / fx),
        pixel_aspect_y=max(1.0, fx / fy),
        resolution_x=width,
        resolution_y=height,
    )


def pinhole_from_blender(settings: BlenderCamera, dtype: torch.dtype = torch.float32) -> Pinhole:
    """The camera of Blender's settings (`sensor_fit` 'HORIZONTAL'), the inverse of `blender_camera`."""
    width, height = settings.resolution_x, settings.resolution_y
    aspect = settings.pixel_aspect_y / settings.pixel_aspect_x
    fx = settings.lens * width / settings.sensor_width
    cx, cy = width * (0.5 - settings.shift_x), height / 2 + settings.shift_y * width / aspect
    K = [[fx, 0.0, cx], [0.0, fx / aspect, cy], [0.0, 0.0, 1.0]]
    return Pinhole(torch.tensor(K, dtype=dtype), (height, width))


def _axis_signs(like: Tensor) -> Float[Tensor, "4"]:
    """OpenCV's camera axes in OpenGL's: y and z turned round."""
    return like.new_tensor([1.0, -1.0, -1.0, 1.0])
