"""monoform: one photo of an object in, a pose-aware 3D shape out.

The public names below are loaded on first use, so that ``import monoform`` takes no time and does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from monoform.alignment import align, align_library
    from monoform.errors import InputError
    from monoform.files.images import load_image
    from monoform.files.meshes import load_mesh, save_mesh
    from monoform.interfaces import Alignment, Mask, Photo, RankedPose
    from monoform.masks import find_mask
    from monoform.meshes import Mesh
    from monoform.poses import Pose
    from monoform.projection import silhouette
    from monoform.refinement import Refinement, refine_pose
    from monoform.symmetry import SymmetryGroup, detect_symmetry, rotation_error

__version__ = "0.1.0"

_WHERE = {
    "Alignment": "interfaces",
    "InputError": "errors",
    "Mask": "interfaces",
    "Mesh": "meshes",
    "Photo": "interfaces",
    "Pose": "poses",
    "RankedPose": "interfaces",
    "Refinement": "refinement",
    "SymmetryGroup": "symmetry",
    "align": "alignment",
    "align_library": "alignment",
    "detect_symmetry": "symmetry",
    "find_mask": "masks",
    "load_image": "files.images",
    "load_mesh": "files.meshes",
    "refine_pose": "refinement",
    "rotation_error": "symmetry",
    "save_mesh": "files.meshes",
    "silhouette": "projection",
}

__all__ = [
    "Alignment",
    "InputError",
    "Mask",
    "Mesh",
    "Photo",
    "Pose",
    "RankedPose",
    "Refinement",
    "SymmetryGroup",
    "align",
    "align_library",
    "detect_symmetry",
    "find_mask",
    "load_image",
    "load_mesh",
    "refine_pose",
    "rotation_error",
    "save_mesh",
    "silhouette",
]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'monoform' has no attribute {name!r}")
    return getattr(import_module(f"monoform.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
