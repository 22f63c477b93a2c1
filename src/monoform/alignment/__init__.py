"""The pose of a known mesh in a photo: `align`, and `align_library` for the best of many meshes.

    mask ─> search (thousands of rotations, 64 px) ─> outlines (64 poses, 128 px; 16, 256 px) ─> coverage (8, 256 px)
         ─> appearance (what the mask cannot see) ─> ranked, distinct poses with weights

NumPy and compiled kernels only: torch is not imported, so that a command line answers within seconds.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from monoform.alignment import ambiguity, appearance
from monoform.alignment.aiming import FINE, Aimed, aim
from monoform.alignment.model import Model, prepare
from monoform.alignment.search import Candidates, distinct, rotations, search
from monoform.errors import InputError
from monoform.files.meshes import load_mesh
from monoform.interfaces import Alignment, Mask, Photo, RankedPose, RefineStep
from monoform.meshes import Mesh
from monoform.projection.kernels import coverage
from monoform.refinement import polish, project, refine_outlines, soft_iou
from monoform.symmetry import closest_equivalent
from monoform.target import Level, outline_points

COARSE_SCALES, COARSE_FINAL = (8.0, 8.0, 6.0, 6.0, 5.0, 4.0, 3.0, 3.0, 2.0, 2.5), 2.5
FINE_SCALES, FINE_FINAL = (5.0, 5.0, 4.0, 4.0, 4.0, 4.0), 4.0
"""Robust scales, pixels, one Gauss-Newton step each: wide first, so that a grid pose 14 degrees off is drawn in."""
COARSE_KEPT = 16
FOCAL_FACTORS = ((0.78, 1.28), (0.88, 1.14))
"""An unknown focal length is searched on from the best of `aiming.FOVS` by these factors, in rounds."""
POLISH_STEPS = 5
ALL_POINTS = 1_000_000
"""No limit on the outline points where a distance is reported: sampled outlines are never nearer than their gaps."""


def align(
    photo: Photo | str | Path | np.ndarray,
    mesh: Mesh | str | Path,
    *,
    mask: Mask | np.ndarray | str | Path | None = None,
    K: np.ndarray | None = None,
    fov_deg: float | None = None,
    upright: bool = False,
    up_axis: str = "y",
    seed: int = 0,
    max_poses: int = 8,
) -> Alignment:
    """Find where a mesh stands in a photo: a ranked set of poses ``x_camera = R @ x_file + t`` (OpenCV camera).

    `photo` a Photo, file or (h, w, 3) array; `mesh` a Mesh or file, in any frame and unit; `mask` a Mask, (h, w) array or
    file, else the photo's alpha (see `masks.find_mask`). `K` (3, 3) in pixels of the upright photo, or `fov_deg`, the
    horizontal field of view (`K` wins); else EXIF tells, or a few fields of view are tried and the camera is marked as
    assumed. `upright`: the object stands on level ground (`up_axis` of the file up) seen by a camera held level, so only
    azimuths, elevations of -10..50 and tilts of about +-8 degrees are tried. Another `seed` turns the grid of starting
    rotations. At most `max_poses` (1 to 16) distinct poses come back.
    Raises InputError and its kinds (EmptyMaskError, FullMaskError).
    """
    aimed = aim(photo, mask, K, fov_deg)
    loaded = mesh if isinstance(mesh, Mesh) else load_mesh(Path(mesh))
    return _align(aimed, loaded, upright, up_axis, seed, max_poses)[1]


def align_library(
    photo: Photo | str | Path | np.ndarray,
    meshes: Sequence[tuple[str, Mesh]],
    *,
    mask: Mask | np.ndarray | str | Path | None = None,
    K: np.ndarray | None = None,
    fov_deg: float | None = None,
    upright: bool = False,
    up_axis: str = "y",
    seed: int = 0,
    max_poses: int = 8,
) -> list[tuple[str, Alignment]]:
    """Align every mesh of a library (name, mesh) with the photo, best first; arguments as in `align`."""
    if not meshes:
        raise InputError("the library holds no mesh; give at least one")
    aimed = aim(photo, mask, K, fov_deg)
    scored = [(*_align(aimed, mesh, upright, up_axis, seed, max_poses), name) for name, mesh in meshes]
    order = sorted(range(len(scored)), key=lambda i: (-scored[i][0], i))
    return [(scored[i][2], scored[i][1]) for i in order]


# --- the mesh in it ----------------------------------------------------------------------------------------------


def _align(aimed: Aimed, mesh: Mesh, upright: bool, up_axis: str, seed: int, max_poses: int) -> tuple[float, Alignment]:
    """The best pose's score and the alignment of one mesh."""
    if max_poses < 1:
        raise InputError(f"max_poses is {max_poses}; give 1 or more")
    clock = _Clock()
    model = prepare(mesh, up_axis)
    clock.lap("prepare")
    way, found = _find(aimed, model, upright, seed, max_poses, clock)
    measured = _measure(aimed, model, found, way.K)
    clock.lap("measure")
    return _report(aimed, model, found, way, measured, clock)


def _find(
    aimed: Aimed, model: Model, upright: bool, seed: int, max_poses: int, clock: "_Clock"
) -> "tuple[_Way, Candidates]":
    """Distinct refined poses, and where they came from."""
    middle = aimed.cameras[len(aimed.cameras) // 2]
    found = search(model, aimed.mask.coverage, aimed.crop, middle, rotations(upright, seed))
    clock.lap("search")
    R, t, cost = refine_outlines(
        model.coarse, found.R, found.t, aimed.crop, middle, aimed.coarse, COARSE_SCALES, COARSE_FINAL
    )
    starts, found = found, found.moved(R, t).take(_distinct_views(model, R, -cost, COARSE_KEPT))
    K, found = _refine(aimed, model, found, middle, max_poses)
    clock.lap("refine")
    return _Way(_under_camera(starts, middle, K), K), found


def evidence(
    aimed: Aimed, mesh: Mesh, *, upright: bool
) -> tuple[Model, tuple[np.ndarray, np.ndarray], ambiguity.Evidence]:
    """What `align` measured before it ranked: the model, poses (R, t) in its search frame, evidence (n,) each."""
    model = prepare(mesh)
    way, found = _find(aimed, model, upright, 0, 8, _Clock())
    return model, (found.R, found.t), _measure(aimed, model, found, way.K)[0]


@dataclass(frozen=True, eq=False)
class _Round:
    """Poses refined under one camera, and the least of their costs."""

    cost: float
    K: np.ndarray
    found: Candidates


def _distinct_views(model: Model, R: np.ndarray, score: np.ndarray, count: int) -> np.ndarray:
    """Indices of distinct rotations, best first; turns about a continuous symmetry axis are one view."""
    seen = R
    if model.symmetry.continuous:
        in_file = R @ model.up
        seen = closest_equivalent(in_file, np.broadcast_to(in_file[np.argmax(score)], in_file.shape), model.symmetry)
    return distinct(seen, score, count, np.radians(5.0))


def _refine(
    aimed: Aimed, model: Model, found: Candidates, searched_K: np.ndarray, max_poses: int
) -> tuple[np.ndarray, Candidates]:
    """Outlines at the fine level under every camera, then coverage for the best poses of the best camera."""

    def refined(K: np.ndarray, old: np.ndarray, found: Candidates) -> _Round:
        start = _under_camera(found, old, K)
        R, t, cost = refine_outlines(model.fine, start.R, start.t, aimed.crop, K, aimed.fine, FINE_SCALES, FINE_FINAL)
        best = _distinct_views(model, R, -cost, max_poses)
        return _Round(float(cost.min()), K, start.moved(R, t).take(best))

    best = min((refined(K, searched_K, found) for K in aimed.cameras), key=lambda entry: entry.cost)
    if len(aimed.cameras) > 1:
        for factors in FOCAL_FACTORS:
            tried = [refined(_zoomed(best.K, factor), best.K, best.found) for factor in factors]
            best = min((best, *tried), key=lambda entry: entry.cost)
    K, found = best.K, best.found
    R, t = polish(model.fine, found.R, found.t, aimed.crop, K, aimed.mask.coverage, FINE, POLISH_STEPS)
    return K, found.moved(R, t)


def _zoomed(K: np.ndarray, factor: float) -> np.ndarray:
    """K with the focal lengths multiplied."""
    return K * np.array([[factor, factor, 1.0], [factor, factor, 1.0], [1.0, 1.0, 1.0]])


def _under_camera(found: Candidates, old: np.ndarray, new: np.ndarray) -> Candidates:
    """The same poses for another focal length: same place in the picture, same size, same side towards the camera."""
    if old is new:
        return found
    t = found.t * [1.0, 1.0, new[0, 0] / old[0, 0]]
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (found.t, t))
    axis = np.cross(a, b)
    turn = np.eye(3) + _cross(axis) + _cross(axis) @ _cross(axis) / (1 + (a * b).sum(1))[:, None, None]
    return found.moved(turn @ found.R, t)


def _cross(v: np.ndarray) -> np.ndarray:
    """(n, 3, 3) cross-product matrices."""
    zero = np.zeros(len(v))
    x, y, z = v.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)


def _measure(aimed: Aimed, model: Model, found: Candidates, K: np.ndarray) -> tuple[ambiguity.Evidence, np.ndarray]:
    """What is known of every pose: the evidence, and the mean distance of the outlines in pixels of the photo."""
    _, _, cost = refine_outlines(model.fine, found.R, found.t, aimed.crop, K, aimed.fine, (), FINE_FINAL)
    camera = aimed.crop.camera(K, FINE)
    points = project(model.fine.vertices, found.R, found.t, camera)
    alpha, _ = coverage.forward(points, coverage.Topology(model.fine.faces, model.fine.vertices), FINE, FINE)
    kinds = appearance.materials(model)
    looks = [
        appearance.measure(aimed.inside, model, kinds, R, t, aimed.crop, K)
        for R, t in zip(found.R, found.t, strict=True)
    ]
    shading, edges = np.array(looks).T
    outline = outline_points(aimed.fine.alpha, aimed.fine.valid, ALL_POINTS)
    mine = [outline_points(one * aimed.fine.valid, aimed.fine.valid, ALL_POINTS) for one in alpha]
    distance = np.array([_outline_distance(one, outline) for one in mine]) * aimed.crop.side / FINE
    return ambiguity.Evidence(cost, soft_iou(alpha, aimed.fine), shading, edges), distance


def _outline_distance(mine: np.ndarray, other: np.ndarray) -> float:
    """Mean distance between two outlines (n, 4) in pixels, both ways; half the picture when one of them is missing."""
    if not len(mine) or not len(other):
        return FINE / 2
    there = KDTree(other[:, :2]).query(mine[:, :2])[0].mean()
    back = KDTree(mine[:, :2]).query(other[:, :2])[0].mean()
    return float(there + back) / 2


# --- the answer --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Way:
    """Where the poses came from: the search's hypotheses under the camera that was chosen."""

    starts: Candidates
    K: np.ndarray


def _report(
    aimed: Aimed,
    model: Model,
    found: Candidates,
    way: _Way,
    measured: tuple[ambiguity.Evidence, np.ndarray],
    clock: "_Clock",
) -> tuple[float, Alignment]:
    evidence, distance = measured
    score = evidence.log_odds()
    order = np.argsort(-score, kind="stable")
    share = ambiguity.weights(score[order])
    in_file = [model.to_file(found.R[i], found.t[i]) for i in order]
    related = ["", *(ambiguity.relation(R, in_file[0][0], model.symmetry) for R, _ in in_file[1:])]
    poses = tuple(
        RankedPose(R, t, float(evidence.iou[i]), float(distance[i]), _look(evidence, i), float(weight), name)
        for i, (R, t), weight, name in zip(order, in_file, share, related, strict=True)
    )
    ambiguous, kind = ambiguity.kind_of(related, share, model.symmetry)
    trace = _trace(aimed, model, way, found.take(order[:1]))
    clock.lap("trace")
    h, w = aimed.photo.size_hw
    alignment = Alignment(
        poses,
        way.K,
        aimed.K_source,
        (w, h),
        aimed.crop.to_original(FINE),
        ambiguous,
        kind,
        model.symmetry.name,
        trace,
        (*aimed.photo.warnings, *aimed.mask.warnings, *_warnings(aimed, poses[0])),
        clock.laps,
    )
    return float(score[order[0]]), alignment


def _look(evidence: ambiguity.Evidence, i: int) -> float:
    return float(evidence.shading[i] + evidence.edges[i]) / 2


def _warnings(aimed: Aimed, best: RankedPose) -> list[str]:
    notes = []
    if aimed.K_source == "searched":
        notes.append("the focal length is not known: it was traded against distance; give --K or --fov")
    if aimed.mask.truncated:
        notes.append("what lies beyond the photo's border was left out of the fit")
    if best.iou < 0.7:
        notes.append(f"the best pose fits badly (IoU {best.iou:.2f}): is it the right mesh and mask?")
    return notes


def _trace(aimed: Aimed, model: Model, way: _Way, first: Candidates) -> tuple[RefineStep, ...]:
    """The first pose's way from its grid hypothesis for refine.json: outline steps replayed one by one, then the pose."""
    now = way.starts.take(first.origin)
    steps = [_step(aimed, model, now, way.K, aimed.coarse)]
    for mesh, at, scales, final in (
        (model.coarse, aimed.coarse, COARSE_SCALES, COARSE_FINAL),
        (model.fine, aimed.fine, FINE_SCALES, FINE_FINAL),
    ):
        for scale in scales:
            R, t, _ = refine_outlines(mesh, now.R, now.t, aimed.crop, way.K, at, (scale,), final)
            now = now.moved(R, t)
            steps.append(_step(aimed, model, now, way.K, at))
    return (*steps, _step(aimed, model, first, way.K, aimed.fine))


def _step(aimed: Aimed, model: Model, now: Candidates, K: np.ndarray, at: Level) -> RefineStep:
    """The record of one pose: loss is 1 - soft IoU of the search mesh at the level's resolution."""
    mesh, side = model.coarse, len(at.alpha)
    points = project(mesh.vertices, now.R, now.t, aimed.crop.camera(K, side))
    alpha, _ = coverage.forward(points, coverage.Topology(mesh.faces, mesh.vertices), side, side)
    iou = float(soft_iou(alpha, at)[0])
    return RefineStep(*model.to_file(now.R[0], now.t[0]), 1 - iou, iou, side)


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
