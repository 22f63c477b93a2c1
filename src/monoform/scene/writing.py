"""A scene as a folder: scene.glb, the pictures, and scene.json, written last, so that whoever sees it sees all."""

from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from monoform.files.atomic import make_folder, write_atomic
from monoform.files.cameras import OPENGL_FROM_OPENCV
from monoform.files.gltf import Placed, SceneCamera, write_scene_glb
from monoform.files.images import save_png
from monoform.results import plain, quaternion_wxyz, read_schema, validate, write_json
from monoform.scene.pictures import overlay_picture, palette, views
from monoform.scene.records import Candidate, Scene, SceneObject

SCHEMA_VERSION = 1
NEAR, FAR = 0.1, 2.0
"""The GLB camera's planes, as factors of the nearest and the farthest depth."""


def write_scene(scene: Scene, folder: Path) -> dict[str, Any]:
    """Write scene.glb, overlay.png, view_*.png, turntable.png and scene.json; the record. The same scene, the same bytes."""
    record = to_record(scene)
    validate(record, schema(), name="scene")
    glb = scene_glb(scene)
    pictures = {"overlay": overlay_picture(scene)}
    for name, picture in views(scene).items():
        pictures[name if name == "turntable" else f"view_{name}"] = picture
    make_folder(folder)
    (folder / "scene.json").unlink(missing_ok=True)
    write_atomic(folder / "scene.glb", glb)
    for name, picture in pictures.items():
        save_png(picture, folder / f"{name}.png")
    write_json(folder / "scene.json", record)
    return record


def scene_glb(scene: Scene) -> bytes:
    """The scene with glTF's axes: +x right, +y up, the camera at the origin looks along -z; meshes in their files' frames."""
    placed = []
    for one, colour in zip(scene.objects, palette(len(scene.objects)), strict=True):
        matrix = np.eye(4)
        matrix[:3, :3] = one.shape.scale * OPENGL_FROM_OPENCV @ one.R
        matrix[:3, 3] = OPENGL_FROM_OPENCV @ one.t
        placed.append(Placed(one.name, one.shape.mesh, matrix, colour))
    depths = np.concatenate([one.in_camera()[:, 2] for one in scene.objects])
    farthest = float(max(depths.max(), 1e-6))
    near = NEAR * float(max(depths.min(), 1e-3 * farthest))
    h, w = scene.photo.size_hw
    return write_scene_glb(placed, SceneCamera(scene.K, (w, h), (near, FAR * farthest)))


@cache
def schema() -> dict[str, Any]:
    """The JSON schema of scene.json, as printed by `monoform schema scene`."""
    return read_schema("scene")


# --- the record --------------------------------------------------------------------------------------------------


def to_record(scene: Scene) -> dict[str, Any]:
    """The content of scene.json; numbers that are not finite become null."""
    h, w = scene.photo.size_hw
    ground = scene.ground
    record = {
        "schema_version": SCHEMA_VERSION,
        "monoform_version": metadata.version("monoform"),
        "photo": scene.photo.path.name if scene.photo.path else "",
        "image_size_wh": [w, h],
        "unit": scene.unit,
        "scaled_by": scene.scaled_by,
        "K": scene.K,
        "K_assumed": scene.K_source == "searched",
        "K_source": scene.K_source,
        "objects": [_object_record(one) for one in scene.objects],
        "failed": [{"name": one.name, "reason": one.reason} for one in scene.failed],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "in_front": pair.in_front,
                "shared_fraction": pair.shared,
                "contradicted_fraction": pair.contradicted,
                "inside_fraction": pair.inside,
            }
            for pair in scene.pairs
        ],
        "ground": {
            "normal": ground.normal,
            "offset": ground.offset,
            "residual": ground.residual,
            "common": ground.common,
            "heights": dict(zip((one.name for one in scene.objects), ground.heights, strict=True)),
            "tilts_deg": dict(zip((one.name for one in scene.objects), ground.tilts_deg, strict=True)),
        },
        "warnings": list(dict.fromkeys(scene.warnings)),
        "timings": dict(scene.timings_s),
    }
    return plain(record)


def _object_record(one: SceneObject) -> dict[str, Any]:
    mesh = one.shape.mesh
    return {
        "name": one.name,
        "mesh": {"name": one.shape.name, "vertices": len(mesh.vertices), "faces": len(mesh.faces)},
        "scale": one.shape.scale,
        "size": np.ptp(one.shape.sized.vertices, axis=0),
        "mask_source": one.mask.source,
        "truncated": one.mask.truncated,
        "visible_iou": one.visible_iou,
        "visible_contour_px": one.visible_contour_px,
        "hidden_fraction": one.hidden,
        "poses": [
            {
                "R_model_to_camera_opencv": pose.R,
                "t_model_to_camera": pose.t,
                "quaternion_wxyz": quaternion_wxyz(pose.R),
                "iou": pose.iou,
                "contour_px": pose.contour_px,
                "appearance": pose.appearance,
                "weight": pose.weight,
                "same_as": pose.same_as,
            }
            for pose in one.poses
        ],
        "ambiguous": one.ambiguous,
        "ambiguity": one.ambiguity,
        "symmetry": one.symmetry,
        "candidates": [_candidate_record(candidate) for candidate in one.candidates],
        "warnings": list(one.warnings),
    }


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    return {
        "mesh": candidate.name,
        "iou": candidate.iou,
        "contour_px": candidate.contour_px,
        "probability": candidate.probability,
    }
