"""What PASCAL3D+ and ObjectNet3D share: annotations of one toolbox, its viewpoints, and its CAD models.

The projection (project_3d.m; models z up, front -y; MATLAB's first pixel is centred at (1, 1)): the camera stands at
``d (cos el sin az, -cos el cos az, sin el)``, ``W = R_z(theta) @ R_x(el - 90) @ R_z(-az)`` turns the model to OpenGL's
axes, and ``(u, v) = (px, py) + focal viewport (x, -y) / -z``.

Left and right. By this formula the camera of azimuth 90 stands at a model's +x, with -y to the left of the image. If a
model's front is -y (azimuth 0 is the front view), +x is the object's own left: at azimuth 90 a car heads to the image's left
and shows its own left side. Not verified on real files: that every class has its front there, and whose left the anchors'
names mean ('left_front_wheel'), the object's own or that of somebody who faces it. Names are given as they stand. To find
out, look whether the anchors called left or those called right are visible at azimuth 90.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.categories import library_name
from monoform.data.readers.matlab import read_mat, structs
from monoform.data.readers.photo_sets import (
    Axes,
    CanonicalModel,
    canonical_model,
    check_mask,
    finite_array,
    inside,
    load_canonical,
    load_stored,
)
from monoform.data.samples import APPROXIMATE, Item, Sample
from monoform.errors import InputError
from monoform.files.images import load_image
from monoform.meshes import Mesh

AXES: Axes = ((-1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0))
"""From a model's axes (z up, front -y) to the canonical ones: (x, y, z) -> (-x, z, y)."""

_VISIBLE = 1


@dataclass(frozen=True)
class Viewpoint:
    """A row of the set in its own terms: degrees, lengths of the CAD model, MATLAB's pixels."""

    azimuth_deg: float
    elevation_deg: float
    theta_deg: float = 0.0
    distance: float | None = None
    """None where only the coarse angles are known."""
    focal: float = 1.0
    viewport: float = 1.0
    principal_xy: tuple[float, float] = (0.0, 0.0)

    def rotation(self) -> np.ndarray:
        """(3, 3) CAD model -> OpenCV camera."""
        azimuth, elevation, theta = np.deg2rad([self.azimuth_deg, self.elevation_deg, self.theta_deg])
        upright = _turn(elevation - np.pi / 2, 0) @ _turn(-azimuth, 2)
        return np.diag([1.0, -1.0, -1.0]) @ _turn(theta, 2) @ upright

    def intrinsics(self) -> np.ndarray:
        """(3, 3) K in pixels whose first is centred at (0.5, 0.5)."""
        f, (x, y) = self.focal * self.viewport, self.principal_xy
        return np.array([[f, 0.0, x - 0.5], [0.0, f, y - 0.5], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Row:
    """What an annotation says of one object."""

    item: Item
    image: Path
    problem: str = ""
    """Why the annotation cannot be used; raised when the item is loaded."""
    viewpoint: Viewpoint | None = None
    cad: tuple[str, int] | None = None
    """Class and number of the CAD model, from 1."""
    box_xyxy: np.ndarray | None = None
    keypoints: Mapping[str, np.ndarray] | None = None
    object_mask: tuple[Path, int] | None = None
    """VOC's picture of all objects' masks, and which of them, from 1."""


@dataclass(frozen=True, eq=False)
class ViewpointSet:
    """A set annotated with the toolbox of PASCAL3D+ or ObjectNet3D; a `Source`.

    Items without a fine viewpoint (none, all angles 0, distance 0) are 'unannotated'; those of them that are also
    'coarse' have the rotation of their coarse angles, and no t and K. Those with a CAD model are 'approximate'.
    """

    name: str
    rows: tuple[Row, ...]
    off_folder: Path
    mat_folder: Path
    mend: str

    def items(self) -> list[Item]:
        """One item an annotated object; `object_id` is its photo."""
        return [row.item for row in self.rows]

    def cad_number(self, index: int) -> int | None:
        """Number, from 1, of the item's CAD model within its class: what retrieval is scored by."""
        cad = self.rows[index].cad
        return None if cad is None else cad[1]

    def load(self, index: int) -> Sample:
        """The whole photo with the object's box, mesh, pose, visible anchors in pixels, and VOC's mask where there is one."""
        row = self.rows[index]
        if row.problem:
            raise InputError(row.problem)
        image = load_stored(row.image)
        model = None if row.cad is None else self._model(*row.cad)
        mask = None if row.object_mask is None else _voc_mask(*row.object_mask, image.shape[:2])
        mesh = None if model is None else model.mesh
        points = dict(row.keypoints or {})
        sample = Sample(row.item, image, mask, mesh=mesh, box_xyxy=row.box_xyxy, keypoints=points)
        if row.viewpoint is None:
            return sample
        R = row.viewpoint.rotation()
        if row.viewpoint.distance is None or model is None:
            return replace(sample, R=R @ np.array(AXES).T)
        R, t = model.pose(R, np.array([0.0, 0.0, row.viewpoint.distance]))
        return replace(sample, R=R, t=t, K=row.viewpoint.intrinsics())

    def _model(self, cls: str, number: int) -> CanonicalModel:
        path = self.off_folder / cls / f"{number:02d}.off"
        if path.is_file():
            return load_canonical(path, AXES)
        return _model_of_mat(self.mat_folder / f"{cls}.mat", cls, number, path, self.mend)


# --- annotations -------------------------------------------------------------------------------------------------


def read_annotation(
    path: Path, images: Path, *, split: str, object_masks: Path | None, mend: str, viewport: float
) -> list[Row]:
    """All objects of a photo, of any class; a file that cannot be read is one row with a problem.

    object_masks: VOC's picture of them, used if it is there. viewport: taken where the annotation has none.
    """
    try:
        record = read_mat(path, "record", mend)
        if not isinstance(record, dict):
            raise InputError(f"{path}: its 'record' is no struct; unpack the set again")
        image = inside(images, record.get("filename"), path)
    except InputError as error:
        return [Row(_damaged(path, split, 0), path, str(error))]
    masks = object_masks if object_masks is not None and object_masks.is_file() else None
    rows = []
    for number, entry in enumerate(structs(record.get("objects")), start=1):
        name = f"{path}: object {number}"
        cls = str(entry.get("class"))
        if not re.fullmatch(r"[\w -]+", cls, re.ASCII):
            rows.append(
                Row(_damaged(path, split, number), image, f"{name}: its class is no name; unpack the set again")
            )
            continue
        flags = frozenset(flag for flag in ("truncated", "occluded", "difficult") if np.any(entry.get(flag, 0)))
        item = Item(f"{library_name(cls)}-{path.stem}-{number:02d}", path.stem, library_name(cls), split, flags)
        row = Row(item, image, object_mask=None if masks is None else (masks, number))
        rows.append(_read_object(row, entry, cls, name, viewport))
    return rows


def _damaged(path: Path, split: str, number: int) -> Item:
    return Item(f"{path.parent.name}-{path.stem}-{number:02d}", path.stem, "", split, frozenset({"unannotated"}))


def _read_object(row: Row, entry: dict[str, Any], cls: str, name: str, viewport: float) -> Row:
    try:
        # MATLAB's box includes its last pixel and counts from 1.
        box = finite_array(entry.get("bbox"), (4,), f"{name}: its box") - [1.0, 1.0, 0.0, 0.0]
        viewpoint, flags = _read_viewpoint(entry.get("viewpoint"), box, name, viewport)
        number = _number(entry, "cad_index", name)
        keypoints = _read_anchors(entry.get("anchors"), name)
    except InputError as error:
        return replace(row, item=_flagged(row.item, {"unannotated"}), problem=str(error))
    cad = None if number is None else (cls, int(number))
    if viewpoint is not None and cad is None:
        problem = f"{name}: has a viewpoint but no CAD model; unpack the set again"
        return replace(row, item=_flagged(row.item, {"unannotated"}), problem=problem)
    item = _flagged(row.item, flags | ({APPROXIMATE} if cad is not None else set()))
    return replace(row, item=item, viewpoint=viewpoint, cad=cad, box_xyxy=box, keypoints=keypoints)


def _flagged(item: Item, flags: set[str]) -> Item:
    return replace(item, flags=item.flags | flags)


def _read_viewpoint(record: object, box: np.ndarray, name: str, viewport: float) -> tuple[Viewpoint | None, set[str]]:
    """The fine viewpoint, else the coarse one, else None; and the flags that go with it."""
    if not isinstance(record, dict):
        return None, {"unannotated"}

    def number(key: str, default: float = 0.0) -> float:
        value = _number(record, key, name)
        return default if value is None else value

    azimuth, elevation, theta, distance = (number(key) for key in ("azimuth", "elevation", "theta", "distance"))
    if distance < 0.0:
        raise InputError(f"{name}: its distance is {distance:g}; take the item out, or repair its record")
    if distance > 0.0 and (azimuth, elevation, theta) != (0.0, 0.0, 0.0):
        # As the toolbox draws them: without a principal point, the box's middle (in MATLAB's pixels).
        middle = (box[0] + box[2] + 1.0) / 2, (box[1] + box[3] + 1.0) / 2
        principal = number("px", middle[0]), number("py", middle[1])
        lens = number("focal", 1.0), number("viewport", viewport)
        return Viewpoint(azimuth, elevation, theta, distance, *lens, principal), set()
    if _number(record, "azimuth_coarse", name) is None:
        return None, {"unannotated"}
    return Viewpoint(number("azimuth_coarse"), number("elevation_coarse")), {"unannotated", "coarse"}


def _number(record: dict[str, Any], key: str, name: str) -> float | None:
    """A number of a struct, None where MATLAB has [] or no such field."""
    value = record.get(key)
    if value is None or np.size(value) == 0:
        return None
    return float(finite_array(value, (1,), f"{name}: its {key}")[0])


def _read_anchors(record: object, name: str) -> dict[str, np.ndarray]:
    """The visible anchors in our pixels."""
    points = {}
    for key, anchor in record.items() if isinstance(record, dict) else ():
        if (
            isinstance(anchor, dict)
            and _number(anchor, "status", name) == _VISIBLE
            and np.size(anchor.get("location", ()))
        ):
            points[key] = finite_array(anchor["location"], (2,), f"{name}: its anchor {key}") - 0.5
    return points


# --- models, masks, rotations ------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _model_of_mat(path: Path, cls: str, number: int, off: Path, mend: str) -> CanonicalModel:
    models = structs(_cads(path, cls, off, mend))
    if not 1 <= number <= len(models):
        raise InputError(f"{off}: no such model, nor number {number} among the {len(models)} of {path}; {mend}")
    name = f"{path}: model {number}"
    parts = []
    for key in ("vertices", "faces"):
        rows = np.size(models[number - 1].get(key, ())) // 3
        parts.append(finite_array(models[number - 1].get(key), (rows, 3), f"{name}: its {key}"))
    if not len(parts[1]) or parts[1].min() < 1 or parts[1].max() > len(parts[0]):
        raise InputError(f"{name}: its faces name vertices that are not there; unpack the set again")
    return canonical_model(Mesh(parts[0], parts[1].astype(np.int64) - 1), AXES)


@lru_cache(maxsize=4)
def _cads(path: Path, cls: str, off: Path, mend: str) -> Any:
    if not path.is_file():
        raise InputError(f"{off}: no such file, nor {path}; {mend}")
    return read_mat(path, cls, mend)


def _voc_mask(path: Path, number: int, size_hw: tuple[int, ...]) -> np.ndarray:
    """(h, w) float32 mask of one object; VOC paints object n in the n-th colour of its palette."""
    colours = load_image(path).image
    if colours.shape[:2] != size_hw:
        raise InputError(f"{path}: another size than its photo; unpack the set again")
    # Bits 0, 3, 6 of the number are the highest bits of red, 1, 4, 7 those of green, 2, 5 those of blue.
    colour = [sum((number >> (3 * k + c) & 1) << (7 - k) for k in range(3)) for c in range(3)]
    return check_mask((colours == np.array(colour)).all(-1).astype(np.float32), f"{path}: object {number}")


def _turn(angle: float, axis: int) -> np.ndarray:
    """(3, 3) right-handed rotation about a coordinate axis."""
    c, s = np.cos(angle), np.sin(angle)
    R = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
    return R
