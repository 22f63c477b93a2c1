"""Given poses of a mesh, refined on the mask and ranked by what `alignment` weighs too: outlines, overlap, appearance."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from monoform.alignment import ALL_POINTS, FINE_FINAL, ambiguity, appearance
from monoform.alignment.aiming import FINE, Aimed, aim
from monoform.alignment.model import Model, prepare
from monoform.alignment.search import distinct
from monoform.interfaces import Alignment, Mask, Photo, RankedPose
from monoform.meshes import Mesh
from monoform.projection.kernels import coverage
from monoform.refinement import project, refine_outlines, refine_pose, soft_iou
from monoform.target import outline_points

STEPS = 30
"""Of the refinement (Palazzi 2018, section 4.2)."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A mesh and a mask made ready to measure poses."""

    aimed: Aimed
    model: Model


def make_fit(photo: Photo, mask: Mask, mesh: Mesh, K: np.ndarray, up_axis: str) -> Fit:
    return Fit(aim(photo, mask, K, None), prepare(mesh, up_axis))


def refit(fit: Fit, R: np.ndarray, t: np.ndarray, K: np.ndarray, K_source: str) -> Alignment:
    """Refine poses R (n, 3, 3), t (n, 3) of the mesh's frame under K, 30 steps each; rank those that stay distinct."""
    mask, mesh = fit.aimed.mask.coverage, fit.model.mesh
    refined = [refine_pose(mask, mesh, *pose, K, steps=STEPS) for pose in zip(R, t, strict=True)]
    R, t = np.stack([one.R for one in refined]), np.stack([one.t for one in refined])
    evidence, contour_px = measure(fit.aimed, fit.model, *fit.model.from_file(R, t), K)
    score = evidence.log_odds()
    order = distinct(R, score, len(R))
    share, group = ambiguity.weights(score[order]), fit.model.symmetry
    related = ["", *(ambiguity.relation(R[i], R[order[0]], group) for i in order[1:])]
    poses = tuple(
        RankedPose(R[i], t[i], float(evidence.iou[i]), float(contour_px[i]), look, float(weight), name)
        for i, weight, name in zip(order, share, related, strict=True)
        for look in [float(evidence.shading[i] + evidence.edges[i]) / 2]
    )
    is_ambiguous, kind = ambiguity.kind_of(related, share, group)
    h, w = fit.aimed.photo.size_hw
    crop = fit.aimed.crop.to_original(FINE)
    return Alignment(poses, K, K_source, (w, h), crop, is_ambiguous, kind, group.name)


def measure(
    aimed: Aimed, model: Model, R: np.ndarray, t: np.ndarray, K: np.ndarray
) -> tuple[ambiguity.Evidence, np.ndarray]:
    """Evidence (n,) each of poses of the model's search frame, and distances of outlines (n,) in pixels of the photo."""
    evidence, alpha = weigh(aimed, model, R, t, K)
    apart = [outline_distance(one, aimed.fine.alpha, aimed.fine.valid) for one in alpha]
    return evidence, np.array(apart) * aimed.crop.side / FINE


def weigh(
    aimed: Aimed, model: Model, R: np.ndarray, t: np.ndarray, K: np.ndarray
) -> tuple[ambiguity.Evidence, np.ndarray]:
    """Evidence (n,) each of poses of the model's search frame, and their coverages (n, FINE, FINE)."""
    _, _, cost = refine_outlines(model.fine, R, t, aimed.crop, K, aimed.fine, (), FINE_FINAL)
    points = project(model.fine.vertices, R, t, aimed.crop.camera(K, FINE))
    alpha, _ = coverage.forward(points, coverage.Topology(model.fine.faces, model.fine.vertices), FINE, FINE)
    kinds = appearance.materials(model)
    looks = [appearance.measure(aimed.inside, model, kinds, *pose, aimed.crop, K) for pose in zip(R, t, strict=True)]
    shading, edges = np.array(looks).T
    return ambiguity.Evidence(cost, soft_iou(alpha, aimed.fine), shading, edges), alpha


def outline_distance(a: np.ndarray, b: np.ndarray, valid: np.ndarray) -> float:
    """Mean distance of the outlines of two coverages (r, r), both ways, in pixels; half the side where one has none."""
    mine, other = (outline_points(one * valid, valid, ALL_POINTS)[:, :2] for one in (a, b))
    if not len(mine) or not len(other):
        return len(a) / 2
    return float(KDTree(other).query(mine)[0].mean() + KDTree(mine).query(other)[0].mean()) / 2
