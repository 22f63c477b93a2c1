"""How a scene's objects stand to each other: what hides what, what runs into what, and the ground below."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from monoform.alignment import ambiguity
from monoform.alignment.model import up_rotation
from monoform.errors import InputError
from monoform.interfaces import RankedPose
from monoform.meshes import Mesh, bounds, normalise, sample_surface
from monoform.overlays import draw
from monoform.refinement import refine_pose
from monoform.scene.fitting import STEPS, outline_distance
from monoform.scene.records import Ground, Pair, SceneObject
from monoform.target import Crop, sample
from monoform.voxels import voxelise_solid

RESOLUTION = 256
"""Of the window about an object in which what hides it is looked at."""
MARGIN = 1.35
TOUCHING = 2
"""How near two masks come where one object may hide a part of the other, pixels of the window."""
TRIED_PX = 128
"""Resolution at which they are tried; the best pose is refined at the window's."""
NEARER, NEARER_AGAIN = (1.0, 0.87, 0.75), (1.0, 0.95)
"""Factors of the distance at which poses of an object are tried that may be cut off."""
LARGEST_TILT_DEG = 15.0
HIGHEST = 0.1
"""How far above or below the common ground an object may stand, as a share of its longest side."""
PAIR_PX = 480
"""Longest side of the picture in which pairs are compared."""
SAMPLES, CELLS = 4000, 48
NEAREST, FARTHEST = 0.05, 20.0
"""Factors beyond which the ground cannot be meant to tell an object's size."""


# --- what hides what ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Window:
    """A square about an object: its mask, what else is there, and itself as it is posed."""

    camera: np.ndarray
    """(3, 3) intrinsics of the window."""
    scale: float
    """Photo pixels a window's pixel."""
    mask: np.ndarray
    """(r, r) float32."""
    unknown: np.ndarray
    """(r, r) float32: other objects' masks, and 1 beyond the photo; whether the object goes on there nobody sees."""
    valid: np.ndarray
    """(r, r) uint8, 1 inside the photo."""
    silhouette: np.ndarray
    """(r, r) float32."""


def _window(objects: Sequence[SceneObject], index: int, K: np.ndarray) -> _Window:
    mine = objects[index]
    crop = _crop(mine, K)
    fx, fy, cx, cy = crop.camera(K, RESOLUTION).astype(np.float64)
    camera = np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    mask, valid = sample(mine.mask.coverage, crop, RESOLUTION)
    others = [sample(one.mask.coverage, crop, RESOLUTION)[0] for one in objects if one is not mine]
    # A pixel that two masks claim is the object's own as much as the other's: the outline there is known.
    unknown = np.clip(np.maximum.reduce([np.zeros_like(mask), *others]) - mask, 0.0, 1.0)
    silhouette = draw(mine.shape.sized, mine.R, mine.t, camera, (RESOLUTION, RESOLUTION)).alpha
    return _Window(camera, crop.side / RESOLUTION, mask, np.where(valid > 0, unknown, 1.0), valid, silhouette)


def _crop(mine: SceneObject, K: np.ndarray) -> Crop:
    """About the mask and the posed object."""
    rows, columns = (np.flatnonzero((mine.mask.coverage > 0.5).any(axis)) for axis in (1, 0))
    low, high = np.array([columns[0], rows[0]], float), np.array([columns[-1] + 1, rows[-1] + 1], float)
    x = mine.in_camera()
    if (x[:, 2] > 0).all():
        pixels = (x @ K.T)[:, :2] / x[:, 2:]
        # A pose that is far off must not turn the mask into a speck.
        reach = high - low
        low = np.maximum(np.minimum(low, pixels.min(axis=0)), low - reach)
        high = np.minimum(np.maximum(high, pixels.max(axis=0)), high + reach)
    side = max(MARGIN * (high - low).max(), 16.0)
    left, top = (low + high - side) / 2
    return Crop(float(left), float(top), float(side))


def refine_hidden(objects: Sequence[SceneObject], K: np.ndarray) -> list[SceneObject]:
    """Look again for the poses of objects whose masks touch other objects' masks, where their own may end too early.

    A mask that is cut off looks like that of a smaller, farther object in another view. So every likely pose of the object is
    refined anew from where it is and from nearer, and judged by what is visible alone: nothing is asked of it where other
    objects' masks are. The first pose is replaced if one of these fits better.
    """
    return [_refined(objects, index, K) for index in range(len(objects))]


def _refined(objects: Sequence[SceneObject], index: int, K: np.ndarray) -> SceneObject:
    best, window = objects[index], _window(objects, index, K)
    cut = _cut(window)
    if cut is None:
        return best
    best_iou = _visible_iou(window)
    likely = [pose for pose in best.poses if pose.weight >= ambiguity.AMBIGUOUS * best.poses[0].weight]
    # All likely poses, and then the one that fits best once more and longer.
    for factors, steps, resolution in ((NEARER, STEPS, TRIED_PX), (NEARER_AGAIN, 3 * STEPS, RESOLUTION)):
        starts = likely if factors is NEARER else best.poses[:1]
        for pose, nearer in product(starts, factors):
            R, t = _refined_from(best.shape.sized, pose, nearer, cut, window, (steps, resolution))
            trial = best.moved(replace(best.poses[0], R=R, t=t))
            iou = _visible_iou(_window([*objects[:index], trial, *objects[index + 1 :]], index, K))
            if iou > best_iou:
                best, best_iou = trial, iou
    return best


def _refined_from(
    mesh: Mesh, pose: RankedPose, nearer: float, cut: np.ndarray, window: _Window, effort: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """R and t refined from a pose brought nearer by a factor: what is seen stays, it grows to where it is hidden.

    `effort`: steps and resolution.
    """
    grown = (1.0 / nearer - 1.0) * cut / window.camera[0, 0]
    t = nearer * (pose.t + np.append(grown * pose.t[2], 0.0))
    # `refine_pose` looks at a band about the mask's outline only, and along a cut the model goes on to both sides.
    steps, resolution = effort
    found = refine_pose(window.mask, mesh, pose.R, t, window.camera, steps=steps, resolution=resolution)
    return found.R, found.t


def _cut(window: _Window) -> np.ndarray | None:
    """From the mask's middle to where it touches other masks: (2,) pixels, half the mask's extent; None where it does not."""
    from scipy.ndimage import binary_dilation

    near = np.asarray(binary_dilation(window.mask > 0.5, iterations=TOUCHING), dtype=bool)
    touched = near & (window.unknown > 0.5) & (window.valid > 0)
    if not touched.any():
        return None
    own = np.argwhere(window.mask > 0.5)[:, ::-1]
    middle = (own.min(axis=0) + own.max(axis=0)) / 2
    towards = np.argwhere(touched)[:, ::-1].mean(axis=0) - middle
    towards /= max(float(np.linalg.norm(towards)), 1e-9)
    return towards * np.ptp(own @ towards) / 2


def _hidden(window: _Window) -> float:
    """Share of the silhouette that lies in other masks."""
    inside = window.silhouette * window.valid
    return float((inside * window.unknown).sum() / max(inside.sum(), 1e-9))


def _visible_iou(window: _Window) -> float:
    seen = window.silhouette * (1.0 - window.unknown)
    both, either = np.minimum(seen, window.mask), np.maximum(seen, window.mask)
    return float((both * window.valid).sum() / max((either * window.valid).sum(), 1e-9))


def measured(objects: Sequence[SceneObject], K: np.ndarray) -> list[SceneObject]:
    """The objects with what their masks say of their poses, other objects' masks left out."""
    done = []
    for index, mine in enumerate(objects):
        window = _window(objects, index, K)
        known = ((window.valid > 0) & (window.unknown < 0.5)).astype(np.uint8)
        apart = outline_distance(window.silhouette * (1.0 - window.unknown), window.mask, known)
        done.append(
            replace(
                mine,
                visible_iou=_visible_iou(window),
                visible_contour_px=apart * window.scale,
                hidden=_hidden(window),
            )
        )
    return done


# --- two objects -------------------------------------------------------------------------------------------------


def compare(objects: Sequence[SceneObject], K: np.ndarray, size_hw: tuple[int, int]) -> list[Pair]:
    """Every two objects."""
    scale = min(1.0, PAIR_PX / max(size_hw))
    small = max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))
    camera = np.diag([small[1] / size_hw[1], small[0] / size_hw[0], 1.0]) @ K
    depths = [draw(one.shape.sized, one.R, one.t, camera, small, samples=1).depth for one in objects]
    masks = [sample_whole(one.mask.coverage, small) > 0.5 for one in objects]
    return [
        _pair(objects[i], objects[j], (depths[i], depths[j]), (masks[i], masks[j]))
        for i, j in combinations(range(len(objects)), 2)
    ]


def sample_whole(coverage: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """A coverage (h, w) at another size."""
    from PIL import Image

    return np.asarray(Image.fromarray(coverage).resize((size_hw[1], size_hw[0]), Image.Resampling.BOX))


def _pair(
    a: SceneObject, b: SceneObject, depth: tuple[np.ndarray, np.ndarray], mask: tuple[np.ndarray, np.ndarray]
) -> Pair:
    seen = [np.isfinite(one) for one in depth]
    both = seen[0] & seen[1]
    shared = both.sum() / max(min(one.sum() for one in seen), 1)
    if both.any():
        nearer = np.where(depth[0][both] <= depth[1][both], 0, 1)
        front = round(float(nearer.mean()))
        shown = [mask[0][both] & ~mask[1][both], mask[1][both] & ~mask[0][both]]
        contradicted = float((shown[1] & (nearer == 0) | shown[0] & (nearer == 1)).mean())
    else:
        middles = [bounds(one.in_camera()).mean(axis=0) for one in (a, b)]
        front, contradicted = int(np.linalg.norm(middles[1]) < np.linalg.norm(middles[0])), 0.0
    inside = max(_share_inside(a, b), _share_inside(b, a))
    return Pair(a.name, b.name, (a, b)[front].name, float(shared), contradicted, inside)


def _share_inside(a: SceneObject, b: SceneObject) -> float:
    """Share of a's surface that lies in b's solid, its outermost cell left out, so that touching is not counted."""
    from scipy.ndimage import binary_erosion

    low, high = (np.stack([bounds(one.in_camera()) for one in (a, b)])[:, k] for k in (0, 1))
    if (low.max(axis=0) >= high.min(axis=0)).any():
        return 0.0
    points = sample_surface(a.shape.sized, SAMPLES, np.random.default_rng(0)) @ a.R.T + a.t
    unit, to_unit = normalise(b.shape.sized)
    cells = np.asarray(binary_erosion(voxelise_solid(unit, CELLS)), dtype=bool)
    place = np.floor((to_unit.apply((points - b.t) @ b.R) + 0.5) * CELLS).astype(int)
    within = ((place >= 0) & (place < CELLS)).all(axis=1)
    x, y, z = place[within].T
    return float(cells[z, y, x].sum() / len(points))


def doubts(pairs: Sequence[Pair], objects: Sequence[SceneObject]) -> list[str]:
    """What the user should look at, a line each."""
    notes, ranges = [], {one.name: one.in_camera()[:, 2] for one in objects}
    for pair in pairs:
        a, b = pair.first, pair.second
        low, high = max(ranges[a].min(), ranges[b].min()), min(ranges[a].max(), ranges[b].max())
        if pair.inside > 0.01:
            notes.append(f"{a} and {b} run into each other: {pair.inside:.0%} of a surface lies inside the other one")
        elif pair.shared > 0.02 and low < high:
            notes.append(f"{a} and {b} overlap in the picture and in depth: {low:.3g} to {high:.3g} from the camera")
        if pair.shared > 0.02 and pair.contradicted > 0.3:
            behind = b if pair.in_front == a else a
            notes.append(f"{pair.in_front} stands before {behind}, but the masks show {behind} in front")
    return notes


# --- the ground --------------------------------------------------------------------------------------------------


def _bottom(one: SceneObject, up_axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Corners (4, 3) of the bottom of the object's box, and its up axis (3,), in the camera's frame."""
    up = up_rotation(up_axis)
    low, high = bounds(one.shape.sized.vertices @ up.T)
    corners = np.array([[x, low[1], z] for x in (low[0], high[0]) for z in (low[2], high[2])])
    turn = one.R @ up.T
    return corners @ turn.T + one.t, turn[:, 1]


def fit_ground(objects: Sequence[SceneObject], up_axis: str) -> Ground:
    """The plane through the middle of the objects' bottoms, upright to the mean of their up axes.

    Not the plane nearest to the bottoms' corners: it would tilt until it goes through two objects at any height.
    """
    bottoms, ups = zip(*(_bottom(one, up_axis) for one in objects), strict=True)
    normal = np.mean(ups, axis=0)
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    above = np.stack(bottoms) @ normal
    offset = float(above.mean())
    heights = tuple(float(height) for height in above.mean(axis=1) - offset)
    tilts = tuple(float(np.degrees(np.arccos(np.clip(up @ normal, -1.0, 1.0)))) for up in ups)
    longest = [float(np.ptp(one.shape.sized.vertices, axis=0).max()) for one in objects]
    stand = all(abs(height) <= HIGHEST * side for height, side in zip(heights, longest, strict=True))
    residual = float(np.sqrt(np.mean((above - offset) ** 2)))
    return Ground(normal, offset, residual, heights, tilts, stand and max(tilts) <= LARGEST_TILT_DEG)


def scale_to_ground(objects: Sequence[SceneObject], up_axis: str) -> list[SceneObject]:
    """Every object but the first made larger and farther, or smaller and nearer, until it stands on the first one's ground.

    The ground passes through the bottom of the first object; its normal is the mean of the objects' up axes. Raises
    InputError where the ground is not seen from above, or an object would have to change beyond reason.
    """
    bottoms, ups = zip(*(_bottom(one, up_axis) for one in objects), strict=True)
    normal = np.mean(ups, axis=0)
    normal /= np.linalg.norm(normal)
    depth = [float(normal @ corners.mean(axis=0)) for corners in bottoms]
    factors = [depth[0] / below if below < 0 else np.nan for below in depth]
    for one, factor in zip(objects, factors, strict=True):
        if not NEAREST < factor < FARTHEST:
            raise InputError(f"{one.name} cannot stand on the ground of {objects[0].name}; leave --scale at unit")
    return [objects[0], *(one.resized(factor) for one, factor in zip(objects[1:], factors[1:], strict=True))]
