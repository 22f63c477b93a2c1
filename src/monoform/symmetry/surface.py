"""Does a rotation or a reflection keep a surface where it is? Samples, nearest neighbours, and searches for such maps.

The working half of `monoform.symmetry.detect_symmetry`.
"""

from collections.abc import Callable

import numpy as np

from monoform.meshes import Mesh, diagonal, face_areas, face_normals, sample_faces

_SAMPLES, _QUERIES, _SCOUTS = 3000, 400, 40
_LARGEST_ORDER = 12
_LARGEST_COMMON_ORDER = 6
_GENERIC_ANGLES = (1.0, 0.37, 1.73, 2.9)
_DEGENERATE = 0.85
_PARALLEL, _NEAR = np.cos(np.radians(1.5)), np.cos(np.radians(8.0))


class Surface:
    """Samples of a mesh, moved to its area centroid and to a box diagonal of 1, that tell what keeps them."""

    def __init__(self, mesh: Mesh, tolerance: float) -> None:
        from scipy.spatial import KDTree

        rng = np.random.default_rng(0)
        size, areas = diagonal(mesh.vertices), face_areas(mesh.vertices, mesh.faces)
        self.centre = areas @ mesh.vertices[mesh.faces].mean(axis=1) / areas.sum()
        """(3,) area centroid in the mesh's frame: every symmetry keeps it, whatever the tessellation."""
        self.tolerance = tolerance
        corners = (mesh.vertices[mesh.faces] - self.centre) / size
        self.spread, self.axes = _principal_axes(corners, areas / size**2)
        """(3,) rising eigenvalues of the covariance, and (3, 3) its eigenvectors as rows."""
        samples, face = sample_faces(mesh, _SAMPLES, rng)
        self._points = (samples - self.centre) / size
        self._corners = corners[face]
        self._normals = face_normals(mesh.vertices, mesh.faces)[face]
        self._tree = KDTree(self._points)
        self._queries = self._points[rng.choice(_SAMPLES, _QUERIES, replace=False)]
        # The scouts are points far out, which leave the surface first, but not all in one corner.
        farthest = np.argsort(-np.linalg.norm(self._queries, axis=1))
        self._scouts = self._queries[farthest[: 4 * _SCOUTS : 4]]
        self._reach = 3.0 * tolerance + 2.0 * np.sqrt(areas.sum() / size**2 / _SAMPLES)

    # --- one map ---

    def distances(self, points: np.ndarray) -> np.ndarray:
        """(n,) distances of points to the triangles of their nearest samples; inf beyond the reach that matters."""
        near, index = self._tree.query(points, k=3, distance_upper_bound=self._reach)
        index = np.minimum(index, len(self._points) - 1)
        exact = _triangle_distances(np.repeat(points, 3, axis=0), self._corners[index.ravel()]).reshape(-1, 3)
        return np.where(np.isfinite(near), exact, np.inf).min(axis=1)

    def misfit(self, linear: np.ndarray) -> float:
        """How far the map moves the surface off itself, there and back, in tolerances; inf when hopeless.

        The larger of the 95th percentile of the distances and a third of their maximum.
        """
        if not self.is_promising(linear):
            return np.inf
        return max(self._misfit(self._queries @ linear.T), self._misfit(self._queries @ linear))

    def _misfit(self, points: np.ndarray) -> float:
        distances = np.sort(self.distances(points))
        return float(max(distances[95 * len(distances) // 100], distances[-1] / 3.0) / self.tolerance)

    def is_promising(self, linear: np.ndarray) -> bool:
        """A quick test with few points, which rejects most maps."""
        return bool(np.isfinite(self._tree.query(self._scouts @ linear.T, distance_upper_bound=self._reach)[0]).all())

    def is_symmetry(self, linear: np.ndarray, slack: float = 1.0) -> bool:
        """Whether the map moves the surface onto itself and back, within `slack` tolerances."""
        return self.misfit(linear) <= slack

    def _settled(self, linear: np.ndarray) -> np.ndarray:
        """The map turned to where the moved surface lies best on the surface (ICP, point to plane)."""
        from scipy.spatial.transform import Rotation

        for _ in range(3):
            moved = self._queries @ linear.T
            nearest = self._tree.query(moved)[1]
            normals = self._normals[nearest]
            offset = ((self._points[nearest] - moved) * normals).sum(axis=1)
            close = np.abs(offset) < self._reach
            correction = np.linalg.lstsq(np.cross(moved, normals)[close], offset[close], rcond=1e-3)[0]
            linear = Rotation.from_rotvec(correction).as_matrix() @ linear
        return linear

    def refined_axis(self, axis: np.ndarray, angle: float) -> np.ndarray:
        """The axis moved to where turning by `angle` keeps the surface best."""
        from scipy.spatial.transform import Rotation

        return _same_side(Rotation.from_matrix(self._settled(turn(axis, angle))).as_rotvec(), axis)

    def refined_normal(self, normal: np.ndarray) -> np.ndarray:
        """The normal moved to where mirroring keeps the surface best."""
        settled = self._settled(mirror(normal))
        return _same_side(np.linalg.eigh(settled + settled.T)[1][:, 0], normal)

    # --- all turns about an axis ---

    def round_axis(self, axis: np.ndarray) -> np.ndarray | None:
        """The axis, as it stands or refined, if turns by any angle are symmetries."""
        if not self.is_promising(turn(axis, _GENERIC_ANGLES[0])):
            return None
        for candidate in (axis, self.refined_axis(axis, _GENERIC_ANGLES[0])):
            if all(self.is_symmetry(turn(candidate, angle)) for angle in _GENERIC_ANGLES):
                return candidate
        return None

    def best_order(self, axis: np.ndarray) -> tuple[np.ndarray, int]:
        """The axis, refined where needed, and the n for which turns by 2 pi / n are symmetries; 1 without any.

        A shape that is nearly round passes for many n: only those count that agree with the best-fitting one, and a
        high one only if half its step fits clearly worse.
        """
        misfits: dict[int, float] = {}
        for n in range(2, _LARGEST_ORDER + 1):
            prime = next(p for p in range(2, n + 1) if n % p == 0)
            if prime != n and misfits[prime] > 1.0:
                continue
            misfits[n] = self.misfit(turn(axis, 2 * np.pi / n))
            if prime == n and 0.5 < misfits[n] < np.inf:
                better = self.refined_axis(axis, 2 * np.pi / n)
                refined_misfit = self.misfit(turn(better, 2 * np.pi / n))
                if refined_misfit < min(misfits[n], 1.0):
                    axis, misfits[n] = better, refined_misfit
        return axis, self._best_fitting(axis, misfits)

    def _best_fitting(self, axis: np.ndarray, misfits: dict[int, float]) -> int:
        """The largest n that the best-fitting prime divides, all of whose own divisors fit."""
        primes = [p for p in (2, 3, 5, 7, 11) if misfits[p] <= 1.0]
        if not primes:
            return 1
        best = min(primes, key=lambda p: misfits[p])
        limit = min(1.0, max(0.75, 2.0 * misfits[best]))
        fitting = [n for n, misfit in misfits.items() if misfit <= limit]
        whole = [n for n in fitting if n % best == 0 and all(d in fitting for d in range(2, n) if n % d == 0)]
        return max(n for n in whole if n <= _LARGEST_COMMON_ORDER or n == best or self._is_stepped(axis, n, misfits[n]))

    def _is_stepped(self, axis: np.ndarray, n: int, misfit: float) -> bool:
        return self.misfit(turn(axis, np.pi / n)) > 1.5 * misfit

    # --- where to look ---

    @property
    def plane_normal(self) -> np.ndarray:
        """The principal axis whose two others are most alike."""
        return self.axes[0] if self.spread[2] - self.spread[1] < self.spread[1] - self.spread[0] else self.axes[2]

    def has_round_plane(self, normal: np.ndarray) -> bool:
        """Whether the inertia across `normal` is nearly the same in all directions, so that it names no axes there."""
        others = self.spread[np.argsort(np.abs(self.axes @ normal))[:2]]
        return bool(others.min() > _DEGENERATE * others.max())

    @property
    def is_degenerate(self) -> bool:
        """Whether the inertia is nearly the same in all directions, as a cube's."""
        return bool(self.spread[0] > _DEGENERATE * self.spread[2])

    def search_around(
        self, normal: np.ndarray, until: float, make_map: Callable[[np.ndarray], np.ndarray], slack: float
    ) -> np.ndarray | None:
        """The direction across `normal`, within the angle `until`, whose map keeps the surface best, or None."""
        x, best, width = perpendicular(normal), 0.5 * until, 0.5 * until
        for step in (np.radians(2.0), np.radians(0.25)):
            angles = np.arange(best - width, best + width, step)[:, None]
            directions = np.cos(angles) * x + np.sin(angles) * np.cross(normal, x)
            moved = np.stack([self._scouts @ make_map(direction).T for direction in directions])
            distances = self._tree.query(moved, distance_upper_bound=3.0 * self._reach)[0]
            chosen = int(np.argmin(np.minimum(distances, 3.0 * self._reach).mean(axis=1)))
            best, width = float(angles[chosen, 0]), step
        return directions[chosen] if self.is_symmetry(make_map(directions[chosen]), slack) else None

    def critical_directions(self) -> list[np.ndarray]:
        """Directions where the sixth moment ``mean (p . d)^6`` is stationary on the sphere; at most 31.

        Every symmetry axis is one, whatever its order, so they stand in for the principal axes when the inertia is
        degenerate (a cube). Newton's method from many starts finds maxima, minima and saddles alike.
        """
        points = self._points[::4] / np.linalg.norm(self._points, axis=1).max()
        outer = (points[:, :, None] * points[:, None, :]).reshape(-1, 9)
        d, step = _hemisphere(64), np.zeros((64, 3))
        for _ in range(8):
            along = points @ d.T
            square = along * along
            fourth = square * square
            gradient = 6.0 * (fourth * along).T @ points
            radial = (gradient * d).sum(axis=1)
            tangent = np.eye(3) - d[:, :, None] * d[:, None, :]
            hessian = 30.0 * (fourth.T @ outer).reshape(-1, 3, 3)
            curved = tangent @ (hessian - radial[:, None, None] * np.eye(3)) @ tangent
            slope = gradient - radial[:, None] * d
            step = -np.einsum("nij,nj->ni", np.linalg.pinv(curved, rcond=1e-6, hermitian=True), slope)
            step *= np.minimum(1.0, 0.3 / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12))
            d = d + step
            d /= np.linalg.norm(d, axis=1, keepdims=True)
        return distinct(list(d[np.linalg.norm(step, axis=1) < 1e-2]), np.cos(np.radians(6.0)))[:31]


# --- small geometry ----------------------------------------------------------------------------------------------


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """(3, 3) rotation about a unit axis."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross


def mirror(normal: np.ndarray) -> np.ndarray:
    """(3, 3) reflection in the plane through the origin with a unit normal."""
    return np.eye(3) - 2.0 * np.outer(normal, normal)


def perpendicular(axis: np.ndarray) -> np.ndarray:
    """A unit vector at right angles to `axis`: a coordinate axis made perpendicular."""
    other = np.eye(3)[np.argmin(np.abs(axis))]
    across = other - (other @ axis) * axis
    return across / np.linalg.norm(across)


def _same_side(vector: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The vector, of unit length and turned to the reference's side; the reference itself if the two are far apart."""
    vector = vector / max(float(np.linalg.norm(vector)), 1e-12)
    return vector * np.sign(vector @ reference) if abs(vector @ reference) > _NEAR else reference


def distinct(directions: list[np.ndarray], parallel: float = _PARALLEL) -> list[np.ndarray]:
    """The directions without those nearly parallel to an earlier one; each with its largest component positive."""
    kept: list[np.ndarray] = []
    for direction in directions:
        if all(abs(direction @ other) < parallel for other in kept):
            kept.append(direction * np.sign(direction[np.argmax(np.abs(direction))]))
    return kept


def _hemisphere(n: int) -> np.ndarray:
    """(n, 3) directions spread evenly over half the sphere (a Fibonacci lattice)."""
    height = (np.arange(n) + 0.5) / n
    angle = np.pi * (3.0 - 5.0**0.5) * np.arange(n)
    across = np.sqrt(1.0 - height**2)
    return np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)


def _principal_axes(corners: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rising eigenvalues, and eigenvectors as rows, of the exact covariance of triangles (f, 3, 3) about the origin."""
    weighted = corners * areas[:, None, None]
    sums = corners.sum(axis=1)
    covariance = np.einsum("fci,fcj->ij", weighted, corners) + (sums * areas[:, None]).T @ sums
    values, vectors = np.linalg.eigh(covariance)
    return values, vectors.T


def _triangle_distances(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """(n,) distance of point i to triangle i, corners (n, 3, 3): to the plane inside, else to the nearest side."""
    a = corners[:, 0]
    ab, ac, ap = corners[:, 1] - a, corners[:, 2] - a, points - a
    normal = np.cross(ab, ac)
    area = np.maximum(np.einsum("ni,ni->n", normal, normal), 1e-30)
    v = np.einsum("ni,ni->n", np.cross(ap, ac), normal) / area
    w = np.einsum("ni,ni->n", np.cross(ab, ap), normal) / area
    plane = np.abs(np.einsum("ni,ni->n", ap, normal)) / np.sqrt(area)
    start, along = corners, np.roll(corners, -1, axis=1) - corners
    offset = points[:, None] - start
    at = np.einsum("nci,nci->nc", offset, along) / np.maximum(np.einsum("nci,nci->nc", along, along), 1e-30)
    across = offset - np.clip(at, 0.0, 1.0)[..., None] * along
    sides = np.sqrt(np.einsum("nci,nci->nc", across, across).min(axis=1))
    return np.where((v >= 0) & (w >= 0) & (v + w <= 1), plane, sides)
