"""Which rotations and reflections map a mesh onto itself."""

from typing import TYPE_CHECKING

import numpy as np

from monoform.meshes import Mesh
from monoform.symmetry.groups import SymmetryGroup, geodesic_angle
from monoform.symmetry.surface import Surface, distinct, mirror, perpendicular, turn

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

_SAME_AXIS = np.cos(np.radians(10.0))
_MIRROR_SLACK = 2.0
"""A mirror plane may miss by this many tolerances: a car's steering wheel must not hide its mirror twin."""


def detect_symmetry(mesh: Mesh, tolerance: float = 0.01) -> SymmetryGroup:
    """The rotational symmetry group of a mesh, and its mirror planes.

    `tolerance`: how far the turned surface may lie from the surface, as a fraction of the box diagonal: 95 % of the
    area within it, every sampled point within three times as much; twice as much for mirror planes. Colours do not
    count. Deterministic.
    """
    surface = Surface(mesh, tolerance)
    axes = distinct([*np.eye(3), *surface.axes])
    round_axes = distinct([found for axis in axes if (found := surface.round_axis(axis)) is not None], _SAME_AXIS)
    if len(round_axes) > 1:
        return SymmetryGroup("sphere", centre=surface.centre, mirror_normals=np.eye(3))
    if round_axes:
        return _continuous_group(surface, axes, round_axes[0])
    if surface.is_degenerate:
        axes = distinct([*axes, *surface.critical_directions()])
    found = _without_repeats([(axis, n) for axis, n in map(surface.best_order, axes) if n > 1])
    name, rotations, axis = _finite_group(surface, found)
    mirrors = _mirror_normals(surface, axes, rotations)
    return SymmetryGroup(name, rotations, axis, surface.centre, mirrors)


def _continuous_group(surface: Surface, axes: list[np.ndarray], axis: np.ndarray) -> SymmetryGroup:
    across = perpendicular(axis)
    flip = turn(across, np.pi)
    is_flipped = surface.is_symmetry(flip)
    rotations = np.stack([np.eye(3), flip]) if is_flipped else np.eye(3)[None]
    name = "axis+flip" if is_flipped else "axis"
    mirrors = [
        normal for normal in distinct([*axes, axis, across]) if surface.is_symmetry(mirror(normal), _MIRROR_SLACK)
    ]
    return SymmetryGroup(name, rotations, axis, surface.centre, np.array(mirrors).reshape(-1, 3))


def _without_repeats(found: list[tuple[np.ndarray, int]]) -> list[tuple[np.ndarray, int]]:
    """The axes, highest order first, without those nearly parallel to an earlier one."""
    kept: list[tuple[np.ndarray, int]] = []
    for axis, order in sorted(found, key=lambda entry: -entry[1]):
        if all(abs(axis @ other) < _SAME_AXIS for other, _ in kept):
            kept.append((axis, order))
    return kept


def _finite_group(surface: Surface, found: list[tuple[np.ndarray, int]]) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Name, rotations and main axis of the largest closed group that the axes found allow."""
    from scipy.spatial.transform import Rotation

    if sum(n >= 3 for _, n in found) > 1:
        polyhedral = _polyhedral_group(surface, found)
        if polyhedral is not None:
            return *polyhedral, None
    main, order = max(found, key=lambda entry: entry[1], default=(surface.plane_normal, 1))
    flip = next((axis for axis, n in found if n % 2 == 0 and abs(axis @ main) < 0.1), None)
    if flip is None and (order > 2 or surface.has_round_plane(main)):
        flip = surface.search_around(main, np.pi / order, lambda axis: turn(axis, np.pi), 1.0)
    if order == 1:
        if flip is None:
            return "none", np.eye(3)[None], None
        main, order, flip = flip, 2, None
    letter = "C" if flip is None else "D"
    across = perpendicular(main) if flip is None else flip
    return f"{letter}{order}", _in_frame(Rotation.create_group(f"{letter}{order}", axis="Z"), main, across), main


def _polyhedral_group(surface: Surface, found: list[tuple[np.ndarray, int]]) -> tuple[str, np.ndarray] | None:
    """The largest of I, O, T that fits; each has three even axes at right angles, along which its frame is laid."""
    from scipy.spatial.transform import Rotation

    found = _closed_under_turns(found)
    even = [axis for axis, n in sorted(found, key=lambda entry: -entry[1]) if n % 2 == 0]
    orders = {n for _, n in found}
    for name in [name for name, needs in (("I", 5), ("O", 4), ("T", 3)) if needs in orders]:
        for first, second in [(a, b) for a in even for b in even if abs(a @ b) < 0.1][:4]:
            # An icosahedron's frame can lie in two ways, which swapping its axes exchanges: both come up here.
            group = _in_frame(Rotation.create_group(name), first, second)
            # The nearest to the identity generate the group; the others are then symmetries too, if less exactly.
            if all(map(surface.is_symmetry, group[1:7])) and all(map(surface.is_promising, group[7:])):
                return name, group
    return None


def _closed_under_turns(found: list[tuple[np.ndarray, int]]) -> list[tuple[np.ndarray, int]]:
    """The axes with those that they turn into one another; 31 is the most that a finite group has."""
    closed = list(found)
    for axis, order in closed:
        for other, n in list(closed):
            moved = turn(axis, 2 * np.pi / order) @ other
            if len(closed) < 31 and all(abs(moved @ known) < _SAME_AXIS for known, _ in closed):
                closed.append((moved, n))
    return closed


def _mirror_normals(surface: Surface, axes: list[np.ndarray], rotations: np.ndarray) -> np.ndarray:
    """(m, 3) normals of mirror planes: among the axes, in a round plane of the inertia, and what the group adds."""
    misfits = [surface.misfit(mirror(axis)) for axis in axes]
    slack = 1.0 if min(misfits) <= 1.0 else _MIRROR_SLACK
    order = [int(index) for index in np.argsort(misfits, kind="stable") if misfits[index] <= slack]
    normals = [axes[index] if misfits[index] < 0.5 else surface.refined_normal(axes[index]) for index in order]
    if not normals and surface.has_round_plane(surface.plane_normal):
        sought = surface.search_around(surface.plane_normal, np.pi, mirror, _MIRROR_SLACK)
        normals = [] if sought is None else [sought]
    # A mirror after a rotation is another mirror if the product is symmetric with eigenvalues -1, 1, 1.
    products = [rotation @ mirror(normal) for normal in normals for rotation in rotations]
    mirrors = [p for p in products if np.abs(p - p.T).max() < 0.1 and abs(np.trace(p) - 1.0) < 0.1]
    moved = [np.linalg.eigh(product)[1][:, 0] for product in mirrors]
    # In a finite group the planes stand at least 180 degrees / 12 apart; nearer ones are the same plane found twice.
    return np.array(distinct(moved, np.cos(np.radians(7.5)))).reshape(-1, 3)


def _in_frame(group: "Rotation", z: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n, 3, 3) a group about the z axis (flips about x) laid along the given directions, identity first."""
    x = x - (x @ z) * z
    x = x / np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    rotations = frame @ group.as_matrix() @ frame.T
    return rotations[np.argsort(geodesic_angle(rotations, np.eye(3)), kind="stable")]
