"""Refinement of a given pose from a silhouette: Gauss-Newton on outlines, then quasi-Newton through `coverage`.

Outlines have a basin of many pixels and bounded influence, so they bring a pose in from the search's grid and shrug
off what an occluder adds; coverage is the exact antialiased silhouette, so it decides the last tenths of a pixel.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.errors import EmptyMaskError, FullMaskError, InputError, NumericError
from monoform.interfaces import RefineStep
from monoform.meshes import Mesh, bounds, diagonal
from monoform.projection.kernels import contour, coverage, threads
from monoform.target import Crop, Level, checked_intrinsics, crop_around, level


@dataclass(frozen=True, eq=False)
class Refinement:
    """What a refinement came to; never worse than its start."""

    R: np.ndarray
    """(3, 3) model file frame to OpenCV camera."""
    t: np.ndarray
    """(3,) in the mesh's unit."""
    iou: float
    """Soft IoU of coverage and mask at the last resolution."""
    status: str
    """'converged', 'stopped' (all steps used), 'no overlap' (the start shows nothing of the object on the mask, so
    there is no gradient) or 'diverged' (the loss stopped being finite; the best pose so far)."""
    trace: tuple[RefineStep, ...]


RIM_POINTS = 320
"""Most rim points matched in a step; the outline's are limited likewise (`target.OUTLINE_POINTS`)."""

# --- outlines ----------------------------------------------------------------------------------------------------


def refine_outlines(
    mesh: Mesh,
    R: np.ndarray,
    t: np.ndarray,
    crop: Crop,
    K: np.ndarray,
    at: Level,
    scales: Sequence[float],
    final: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Refine many poses of a mesh that stands about its origin; one Gauss-Newton step per robust scale.

    `R` (n, 3, 3), `t` (n, 3), `scales` in pixels of `at` (none: only measure). Returns R, t and the robust cost (n,) in
    [0, 1]: the share of both outlines that the other does not explain within about `final` pixels; 2 where the pose shows
    no rim at all (behind the camera, or out of the picture).
    """
    R, t = np.array(R, dtype=np.float64), np.array(t, dtype=np.float64)
    cost = np.ones(len(R))
    vertices, camera = mesh.vertices.astype(np.float32), crop.camera(K, len(at.alpha))
    steps, outline = np.asarray(scales, dtype=np.float64), np.ascontiguousarray(at.outline.T)

    def refine(first: int, stride: int) -> None:
        for i in range(first, len(R), stride):
            cost[i] = contour.refine_outline(
                vertices, mesh.faces, R[i], t[i], camera, outline, at.valid, steps, final, RIM_POINTS
            )

    stride = min(threads.get_threads(), len(R))
    tasks: list[Callable[[], None]] = [partial(refine, first, stride) for first in range(stride)]
    threads.run(tasks)
    return R, t, cost


# --- coverage ----------------------------------------------------------------------------------------------------

BAND = 4.0
"""Pixels to either side of the mask's outline that the coverage loss looks at: what lies farther off is an occluder."""


@dataclass(frozen=True, eq=False)
class Aim:
    """A level made ready for the coverage loss."""

    at: Level
    camera: np.ndarray
    weight: np.ndarray
    """(r, r) float32, 1 in the band about the outline and inside the photo."""


def aim_at(coverage_mask: np.ndarray, crop: Crop, K: np.ndarray, resolution: int) -> Aim:
    from scipy import ndimage

    at = level(coverage_mask, crop, resolution)
    inside = at.alpha > 0.5
    far = np.asarray(ndimage.distance_transform_edt(inside)) + np.asarray(ndimage.distance_transform_edt(~inside))
    return Aim(at, crop.camera(K, resolution), ((far <= BAND) & (at.valid > 0)).astype(np.float32))


def project(vertices: np.ndarray, R: np.ndarray, t: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(n, v, 3) float32 [x_px, y_px, depth] of n poses."""
    x = np.einsum("nij,vj->nvi", R, vertices) + t[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        pixels = x[..., :2] / x[..., 2:] * camera[:2] + camera[2:]
        return np.concatenate([pixels, x[..., 2:]], axis=-1).astype(np.float32)


def _pose_gradient(
    gradient_px: np.ndarray, vertices: np.ndarray, R: np.ndarray, t: np.ndarray, camera: np.ndarray
) -> np.ndarray:
    """(n, 6) gradient by (rotation about the mesh's origin, translation) from that by pixels (n, v, 2)."""
    arm = np.einsum("nij,vj->nvi", R, vertices)
    x = arm + t[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        planar = gradient_px * camera[:2] / x[..., 2:]
        along = -(planar * x[..., :2]).sum(-1, keepdims=True) / x[..., 2:]
    moved = np.concatenate([planar, along], axis=-1)
    moved[~gradient_px.any(-1)] = 0.0  # vertices that no outline touches, also those at or behind the camera
    return np.concatenate([np.cross(arm, moved).sum(1), moved.sum(1)], axis=-1)


def _losses(alpha: np.ndarray, aim: Aim) -> np.ndarray:
    """(n,) squared difference in the band over the mask's area, so that resolutions compare."""
    return (aim.weight * (alpha - aim.at.alpha) ** 2).sum((1, 2)) / max(float(aim.at.alpha.sum()), 1.0)


def soft_iou(alpha: np.ndarray, at: Level) -> np.ndarray:
    """(n,) IoU of antialiased silhouettes (n, r, r) with the mask: sum of minima over sum of maxima, inside the photo."""
    both = (np.minimum(alpha, at.alpha) * at.valid).sum((1, 2))
    either = (np.maximum(alpha, at.alpha) * at.valid).sum((1, 2))
    return both / np.maximum(either, 1e-9)


class CoverageDescent:
    """Levenberg-Marquardt on many poses at once: exact gradient through `coverage`, curvature of the rim.

    State of n poses of one mesh that stands about its origin: R (n, 3, 3), t (n, 3), loss (n,).
    """

    def __init__(self, mesh: Mesh, topology: coverage.Topology, R: np.ndarray, t: np.ndarray, aim: Aim):
        self.mesh, self.topology, self.aim = mesh, topology, aim
        self.R, self.t = np.array(R, dtype=np.float64), np.array(t, dtype=np.float64)
        self.damping = np.full(len(R), 1e-2)
        self.curvature = np.stack([self._curvature(i) for i in range(len(R))])
        self.alpha, self.loss, self.gradient = self._evaluate(self.R, self.t)

    def _curvature(self, i: int) -> np.ndarray:
        found = np.zeros((6, 6))
        vertices = self.mesh.vertices.astype(np.float32)
        contour.rim_curvature(
            vertices, self.mesh.faces, self.R[i], self.t[i], self.aim.camera, self.aim.at.valid, found
        )
        return found / max(float(self.aim.at.alpha.sum()), 1.0) + 1e-9 * np.eye(6)

    def _evaluate(self, R: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        side = len(self.aim.at.alpha)
        points = project(self.mesh.vertices, R, t, self.aim.camera)
        alpha, saved = coverage.forward(points, self.topology, side, side)
        slope = 2 * self.aim.weight * (alpha - self.aim.at.alpha) / max(float(self.aim.at.alpha.sum()), 1.0)
        gradient_px = coverage.backward(saved, slope)
        return alpha, _losses(alpha, self.aim), _pose_gradient(gradient_px, self.mesh.vertices, R, t, self.aim.camera)

    def step(self) -> np.ndarray:
        """One trial step of every pose; (n,) bool, which were accepted."""
        scaling = np.einsum("nii->ni", self.curvature)[:, :, None] * np.eye(6) * self.damping[:, None, None]
        change = -np.linalg.solve(self.curvature + scaling, self.gradient[..., None])[..., 0]
        change *= np.minimum(1.0, 0.2 / np.maximum(np.abs(change[:, :3]).max(1), 1e-12))[:, None]
        R = Rotation.from_rotvec(change[:, :3]).as_matrix() @ self.R
        t = self.t + change[:, 3:]
        alpha, loss, gradient = self._evaluate(R, t)
        better = (loss < self.loss) & np.isfinite(change).all(1)  # a pose that is no number draws nothing, cheaply
        for mine, new in ((self.R, R), (self.t, t), (self.alpha, alpha), (self.loss, loss), (self.gradient, gradient)):
            mine[better] = new[better]
        self.damping = np.where(better, self.damping / 4, self.damping * 8)
        return better


def polish(
    mesh: Mesh, R: np.ndarray, t: np.ndarray, crop: Crop, K: np.ndarray, mask: np.ndarray, resolution: int, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Refine n poses, near already, through coverage at one resolution: R (n, 3, 3), t (n, 3)."""
    descent = CoverageDescent(
        mesh, coverage.Topology(mesh.faces, mesh.vertices), R, t, aim_at(mask, crop, K, resolution)
    )
    for _ in range(steps):
        descent.step()
    return descent.R, descent.t


# --- the public one ----------------------------------------------------------------------------------------------


def refine_pose(
    mask: np.ndarray,
    mesh: Mesh,
    R: np.ndarray,
    t: np.ndarray,
    K: np.ndarray,
    *,
    steps: int = 30,
    resolution: int = 256,
) -> Refinement:
    """Refine a given start pose until the mesh's silhouette falls on the mask (Palazzi 2018, section 3.5: 30 steps).

    `mask` (h, w) in [0, 1] or bool; `R` (3, 3), `t` (3,) from the mesh's own frame to the OpenCV camera; `K` (3, 3) in
    pixels of the mask. A third of the steps each at resolution/4, /2 and /1 of a square about the mask. Never returns
    a pose worse than the start. Raises EmptyMaskError, FullMaskError, NumericError, InputError.
    """
    if steps < 0 or resolution < 16:
        raise InputError(f"steps is {steps} and resolution {resolution}; give at least 0 and 16")
    mask, R, t, K = _checked(mask, mesh, R, t, K)
    low, high = bounds(mesh.vertices)
    centre, size = (low + high) / 2, diagonal(mesh.vertices)
    body = Mesh((mesh.vertices - centre) / size, mesh.faces)
    crop, topology = crop_around(mask), coverage.Topology(body.faces, body.vertices)
    here_R, here_t = R[None].copy(), ((t + R @ centre) / size)[None]
    start, trace, status = (here_R.copy(), here_t.copy()), [], "stopped"
    for share, side in zip(_thirds(steps), (resolution // 4, resolution // 2, resolution), strict=True):
        descent = CoverageDescent(body, topology, here_R, here_t, aim_at(mask, crop, K, side))
        if not trace and not (descent.alpha[0] * descent.aim.at.alpha).any():
            status = "no overlap"
            break
        for _ in range(share):
            descent.step()
            iou = float(soft_iou(descent.alpha, descent.aim.at)[0])
            moved = size * descent.t[0] - descent.R[0] @ centre
            trace.append(RefineStep(descent.R[0].copy(), moved, float(descent.loss[0]), iou, side))
        if not np.isfinite(descent.loss).all():
            status = "diverged"
            break
        status = "converged" if descent.damping[0] > 1e3 else "stopped"
        here_R, here_t = descent.R, descent.t
    return _best_of(
        body, topology, (here_R, here_t), start, aim_at(mask, crop, K, resolution), (centre, size), status, trace
    )


def _thirds(steps: int) -> tuple[int, int, int]:
    return steps // 3, steps // 3, steps - 2 * (steps // 3)


def _best_of(body, topology, end, start, aim, frame, status, trace) -> Refinement:
    """The better of start and end by soft IoU at the last resolution, back in the file's frame."""
    side = len(aim.at.alpha)
    R, t = np.concatenate([end[0], start[0]]), np.concatenate([end[1], start[1]])
    alpha, _ = coverage.forward(project(body.vertices, R, t, aim.camera), topology, side, side)
    iou = soft_iou(alpha, aim.at)
    best = int(np.argmax(iou))
    centre, size = frame
    return Refinement(R[best], size * t[best] - R[best] @ centre, float(iou[best]), status, tuple(trace))


def _checked(mask: np.ndarray, mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, ...]:
    mask = np.asarray(mask, dtype=np.float32)
    if mask.ndim != 2:
        raise InputError(f"the mask has shape {mask.shape}; give one channel (h, w)")
    for name, value, shape in (("R", R, (3, 3)), ("t", t, (3,)), ("K", K, (3, 3))):
        if np.shape(value) != shape:
            raise InputError(f"{name} has shape {np.shape(value)}; give {shape}")
        if not np.isfinite(value).all():
            raise NumericError(f"{name} holds NaN or infinity; give finite numbers")
    if not np.isfinite(mask).all():
        raise NumericError("the mask holds NaN or infinity; give coverage in [0, 1]")
    if mask.min(initial=0) < -1e-3 or mask.max(initial=0) > 1 + 1e-3:
        raise InputError("the mask leaves [0, 1]; give coverage, 1 on the object (divide 0..255 by 255)")
    if not (mask > 0.5).any():
        raise EmptyMaskError("the mask is empty; mark the object's pixels with 1")
    if (mask > 0.5).all():
        raise FullMaskError("the mask covers the whole picture, so it has no outline; give the object's mask")
    if len(mesh.faces) == 0:
        raise InputError("the mesh has no faces; give a mesh with a surface")
    if not diagonal(mesh.vertices) > 0:
        raise InputError("all vertices of the mesh stand in one place; give a mesh with an extent")
    R = np.asarray(R, dtype=np.float64)
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-3 or np.linalg.det(R) < 0:
        raise InputError("R is not a rotation (orthonormal, determinant +1); give a proper rotation matrix")
    u, _, v = np.linalg.svd(R)
    return mask, u @ v, np.asarray(t, dtype=np.float64), checked_intrinsics(K)
