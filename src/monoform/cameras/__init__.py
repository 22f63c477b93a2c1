"""Cameras: points <-> pixels, crops, viewpoints, and the frames of other tools.

Inside: OpenCV axes (+x right, +y down, +z forward), `K` in pixels, the pixel of row i and column j centred at
(j + 0.5, i + 0.5), world -> camera poses ``x_camera = R @ x_world + t``. One file a tool converts at the border;
`docs/conventions.md` shows a picture of each frame.
"""

from monoform.cameras.bop import bop_camera, bop_pose, pinhole_from_bop, pose_from_bop
from monoform.cameras.crops import crop, flip, mirror_pose, pad, resize, window, window_map
from monoform.cameras.nerfstudio import nerfstudio_frame, parse_nerfstudio_frame
from monoform.cameras.nmr import mirror_nmr_mesh, nmr_pinhole, nmr_pose, nmr_view_pose, nmr_viewpoint
from monoform.cameras.opengl import (
    BlenderCamera,
    blender_camera,
    opengl_camera_to_world,
    opengl_projection,
    pinhole_from_blender,
    pinhole_from_opengl,
    pose_from_opengl,
)
from monoform.cameras.pascal3d import (
    canonical_from_pascal3d,
    pascal3d_pinhole,
    pascal3d_pose,
    pascal3d_viewpoint,
    viewpoints_and_keypoints_rotation,
)
from monoform.cameras.pinhole import Pinhole, pinhole_from_fov, pixel_centres
from monoform.cameras.pytorch3d import PyTorch3DCamera, parse_pytorch3d_camera, pytorch3d_camera
from monoform.cameras.viewpoints import look_at, orbit_pose
from monoform.cameras.weak_perspective import WeakPerspective, weak_from_pinhole

__all__ = [
    "BlenderCamera",
    "Pinhole",
    "PyTorch3DCamera",
    "WeakPerspective",
    "blender_camera",
    "bop_camera",
    "bop_pose",
    "canonical_from_pascal3d",
    "crop",
    "flip",
    "look_at",
    "mirror_nmr_mesh",
    "mirror_pose",
    "nerfstudio_frame",
    "nmr_pinhole",
    "nmr_pose",
    "nmr_view_pose",
    "nmr_viewpoint",
    "opengl_camera_to_world",
    "opengl_projection",
    "orbit_pose",
    "pad",
    "parse_nerfstudio_frame",
    "parse_pytorch3d_camera",
    "pascal3d_pinhole",
    "pascal3d_pose",
    "pascal3d_viewpoint",
    "pinhole_from_blender",
    "pinhole_from_bop",
    "pinhole_from_fov",
    "pinhole_from_opengl",
    "pixel_centres",
    "pose_from_bop",
    "pose_from_opengl",
    "pytorch3d_camera",
    "resize",
    "viewpoints_and_keypoints_rotation",
    "weak_from_pinhole",
    "window",
    "window_map",
]
