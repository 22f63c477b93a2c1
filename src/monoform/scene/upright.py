"""Objects that stand upright on level ground: one up axis for all, found together with their shapes and poses.

An outline alone tells little of how an object tilts, and nothing when the mesh is not quite the object: a car that is too long
fits best when it is seen from above. What all objects have in common is the up axis. So poses keep one up axis for all,
and only turn about it, move and grow: elevations of the camera are tried, each with the best shapes and poses of every object
under it; from the best one, axis and poses are refined together; under that axis every shape is tried again and ranked.
What nearer objects' masks may hide counts neither for nor against a pose.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from monoform.alignment import ambiguity
from monoform.alignment.aiming import FINE, Aimed, aim
from monoform.alignment.model import Model, prepare
from monoform.alignment.search import distinct
from monoform.errors import InputError
from monoform.interfaces import Alignment, Photo, RankedPose
from monoform.projection.kernels import coverage
from monoform.projection.kernels.coverage import Topology
from monoform.refinement import project
from monoform.scene.camera import turn_between
from monoform.scene.fitting import measure, weigh
from monoform.scene.records import Candidate, Found, Shape, Wanted
from monoform.target import Level, outline_points, sample

ELEVATIONS_DEG = np.arange(-5.0, 36.0, 5.0)
"""Of the camera's view downwards, tried to begin with."""
ROLL_DEG = 4.0
"""Standard deviation of the camera's roll: it was held level."""
ROLL_SHARE = 0.1
"""Misfit (squared difference of coverages over the mask's area) that a roll of one standard deviation is worth."""
FIRST_SHAPES, FIRST_POSES = 4, 2
"""Shapes and poses of each that are tried under every elevation."""
BEST = 8
"""Trials of all shapes that are refined at the higher resolution."""
YAW_APART = np.radians(15.0)
"""Starts that differ less in the azimuth come to the same pose."""
COARSE_PX, FINE_PX = 64, 128
STEPS = np.array([0.02, 0.01, 0.01, 0.02])
"""Differences for the derivatives by (turn about the up axis, x, y in diagonals of the object, log of the distance)."""
AXIS_STEP = np.radians(0.5)
COARSE_ROUNDS, FINE_ROUNDS, JOINT_ROUNDS = 5, 6, 12


@dataclass(frozen=True, eq=False)
class _Sight:
    """What is seen of an object; pixels that other objects may hide are not valid."""

    aimed: Aimed
    coarse: Level
    fine: Level


@dataclass(frozen=True, eq=False)
class _Trial:
    """A shape and a pose of it in its search frame (y up)."""

    number: int
    """Of the object's shapes."""
    model: Model
    topology: Topology
    R: np.ndarray
    t: np.ndarray

    def standing(self, axis: np.ndarray) -> "_Trial":
        """Turned the shortest way until its up axis is `axis` (3,)."""
        return replace(self, R=turn_between(self.R[:, 1], axis) @ self.R)

    def moved(self, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """R, t after (turn about its up axis, x, y, log of the distance)."""
        turn = Rotation.from_rotvec(change[0] * self.R[:, 1]).as_matrix()
        return turn @ self.R, np.exp(change[3]) * (self.t + [change[1], change[2], 0.0])


def stand_together(
    photo: Photo, wanted: Sequence[Wanted], found: Sequence[Found], K: np.ndarray, up_axis: str
) -> list[Found]:
    """The objects' shapes and poses under one up axis, from what was found for each alone; poses best first.

    Raises InputError for an object of which no pose stands rather than hangs.
    """
    choices = [((of.shape, of.alignment), *of.others) for of in found]
    sights = [_sight(photo, wanted, found, index, K) for index in range(len(wanted))]
    models = {id(shape): prepare(shape.sized, up_axis) for choice in choices for shape, _ in choice}
    trials = [_trials(choice, models) for choice in choices]
    for one, some in zip(wanted, trials, strict=True):
        if not any(some):
            raise InputError(f"{one.name}: none of its poses stands upright; leave out --upright, or give another --up")
    axis = _first_axis(sights, trials, K)
    tried = [[trial for some in shapes for trial in some] for shapes in trials]
    ranked = [_ranked(sight, some, axis, K) for sight, some in zip(sights, tried, strict=True)]
    axis, _ = _joint(sights, [some[0][0] for some in ranked], axis, K)
    tried = [[trial for trial, _ in some] for some in ranked]
    ranked = [_ranked(sight, some, axis, K) for sight, some in zip(sights, tried, strict=True)]
    firsts = [some[0][0] for some in ranked]
    whole = [models[id(choice[one.number][0])] for choice, one in zip(choices, firsts, strict=True)]
    _, firsts = _joint(sights, [_drawn_whole(*pair) for pair in zip(firsts, whole, strict=True)], axis, K)
    return [
        _report(sight, of, choice, [(first, some[0][1]), *some[1:]], model, K)
        for sight, of, choice, first, some, model in zip(sights, found, choices, firsts, ranked, whole, strict=True)
    ]


def _drawn_whole(trial: _Trial, model: Model) -> _Trial:
    """With the mesh of the refinement instead of that of the search."""
    return replace(
        trial, model=replace(model, coarse=model.fine), topology=Topology(model.fine.faces, model.fine.vertices)
    )


def _sight(photo: Photo, wanted: Sequence[Wanted], found: Sequence[Found], index: int, K: np.ndarray) -> _Sight:
    mine, away = wanted[index].mask, [float(np.linalg.norm(of.alignment.poses[0].t)) for of in found]
    aimed = aim(photo, mine, K, None)
    hidden = np.zeros_like(mine.coverage)
    for one, distance in zip(wanted, away, strict=True):
        if distance < away[index]:
            hidden = np.maximum(hidden, one.mask.coverage - mine.coverage)

    def level(resolution: int) -> Level:
        alpha, valid = sample(mine.coverage, aimed.crop, resolution)
        known = (valid > 0) & (sample(hidden, aimed.crop, resolution)[0] < 0.5)
        return Level(alpha, known.astype(np.uint8), outline_points(alpha, known.astype(np.uint8)))

    return _Sight(replace(aimed, fine=level(FINE)), level(COARSE_PX), level(FINE_PX))


def _trials(choice: Sequence[tuple[Shape, Alignment]], models: dict[int, Model]) -> list[list[_Trial]]:
    """For each shape its poses of distinct azimuths, best first."""
    trials = []
    for number, (shape, alignment) in enumerate(choice):
        # Hundreds of poses are weighed, so that the mesh of the search must do.
        whole = models[id(shape)]
        model, topology = replace(whole, fine=whole.coarse), Topology(whole.coarse.faces, whole.coarse.vertices)
        kept: list[_Trial] = []
        for pose in alignment.poses:
            R, t = model.from_file(pose.R, pose.t)
            if R[1, 1] < 0.0 and all(_yaw_between(R, other.R) > YAW_APART for other in kept):
                kept.append(_Trial(number, model, topology, R, t))
        trials.append(kept)
    return trials


def _yaw_between(a: np.ndarray, b: np.ndarray) -> float:
    upright = turn_between(a[:, 1], b[:, 1]) @ a
    return float(Rotation.from_matrix(upright.T @ b).magnitude())


def _axis(elevation: float, roll: float) -> np.ndarray:
    """(3,) the up axis in a camera that looks down by `elevation`; radians."""
    return np.array([np.sin(roll) * np.cos(elevation), -np.cos(roll) * np.cos(elevation), -np.sin(elevation)])


def _first_axis(sights: Sequence[_Sight], trials: Sequence[list[list[_Trial]]], K: np.ndarray) -> np.ndarray:
    """(elevation, roll) of the best of ELEVATIONS_DEG."""
    few = [
        [trial for some in [one for one in shapes if one][:FIRST_SHAPES] for trial in some[:FIRST_POSES]]
        for shapes in trials
    ]

    def score(elevation: float) -> float:
        axis = _axis(elevation, 0.0)
        return sum(
            max(_log_odds(sight, _fitted(sight.coarse, one, axis, sight, K, COARSE_ROUNDS), K) for one in some)
            for sight, some in zip(sights, few, strict=True)
        )

    return np.array([max(np.radians(ELEVATIONS_DEG), key=score), 0.0])


def _ranked(sight: _Sight, trials: Sequence[_Trial], axis: np.ndarray, K: np.ndarray) -> list[tuple[_Trial, float]]:
    """Trials fitted under the axis, with their log odds, best first; the best ones at the higher resolution."""

    def scored(at: Level, some: Sequence[_Trial], rounds: int) -> list[tuple[_Trial, float]]:
        fitted = [_fitted(at, one, _axis(*axis), sight, K, rounds) for one in some]
        return sorted(((one, _log_odds(sight, one, K)) for one in fitted), key=lambda entry: -entry[1])

    first = scored(sight.coarse, trials, COARSE_ROUNDS)
    again = scored(sight.fine, [trial for trial, _ in first[:BEST]], FINE_ROUNDS)
    return [*again, *first[BEST:]]


def _log_odds(sight: _Sight, trial: _Trial, K: np.ndarray) -> float:
    return float(weigh(sight.aimed, trial.model, trial.R[None], trial.t[None], K)[0].log_odds()[0])


# --- fits --------------------------------------------------------------------------------------------------------


def _misfits(at: Level, trial: _Trial, changes: np.ndarray, sight: _Sight, K: np.ndarray) -> np.ndarray:
    """(n, r * r) differences of coverages for changes (n, 4); their squares sum to shares of the mask's area."""
    R, t = (np.stack(part) for part in zip(*(trial.moved(change) for change in changes), strict=True))
    side = len(at.alpha)
    points = project(trial.model.coarse.vertices, R, t, sight.aimed.crop.camera(K, side))
    alpha, _ = coverage.forward(points, trial.topology, side, side)
    return (((alpha - at.alpha) * at.valid) / np.sqrt(max(float(at.alpha.sum()), 1.0))).reshape(len(changes), -1)


def _fitted(at: Level, trial: _Trial, axis: np.ndarray, sight: _Sight, K: np.ndarray, rounds: int) -> _Trial:
    """Turned about the axis, moved and brought nearer until its coverage is nearest to the mask."""
    upright = trial.standing(axis)

    def residual(change: np.ndarray) -> np.ndarray:
        return _misfits(at, upright, change[None], sight, K)[0].astype(float)

    def jacobian(change: np.ndarray) -> np.ndarray:
        ends = _misfits(at, upright, np.concatenate([change + np.diag(STEPS), change - np.diag(STEPS)]), sight, K)
        return (ends[:4] - ends[4:]).T / (2 * STEPS)

    settings: dict[str, Any] = {"jac": jacobian, "x_scale": 5 * STEPS, "max_nfev": rounds}
    best = least_squares(residual, np.zeros(4), **settings).x
    R, t = upright.moved(best)
    return replace(upright, R=R, t=t)


def _joint(
    sights: Sequence[_Sight], firsts: Sequence[_Trial], axis: np.ndarray, K: np.ndarray
) -> tuple[np.ndarray, list[_Trial]]:
    """Elevation, roll and the poses of all objects, fitted together; the camera was held level."""

    def blocks(x: np.ndarray, *, by_axis: bool) -> list[np.ndarray]:
        """(1, r * r) of each object; by_axis: (2, r * r) derivatives by elevation and roll."""

        def at(angles: np.ndarray) -> list[np.ndarray]:
            return [
                _misfits(sight.fine, one.standing(_axis(*angles)), x[None, 2 + 4 * k : 6 + 4 * k], sight, K)
                for k, (sight, one) in enumerate(zip(sights, firsts, strict=True))
            ]

        if not by_axis:
            return at(x[:2])
        ends = [(at(x[:2] + step), at(x[:2] - step)) for step in AXIS_STEP * np.eye(2)]
        return [np.concatenate([(up[k] - down[k]) / (2 * AXIS_STEP) for up, down in ends]) for k in range(len(sights))]

    sigma = np.radians(ROLL_DEG) / np.sqrt(ROLL_SHARE)

    def residual(x: np.ndarray) -> np.ndarray:
        return np.append(np.concatenate([one[0] for one in blocks(x, by_axis=False)]), x[1] / sigma)

    def jacobian(x: np.ndarray) -> np.ndarray:
        slopes = blocks(x, by_axis=True)
        whole = np.zeros((sum(one.shape[1] for one in slopes) + 1, len(x)))
        whole[-1, 1] = 1.0 / sigma
        start = 0
        for k, (sight, one) in enumerate(zip(sights, firsts, strict=True)):
            own, rows = slice(2 + 4 * k, 6 + 4 * k), slice(start, start + slopes[k].shape[1])
            changes = np.concatenate([x[own] + np.diag(STEPS), x[own] - np.diag(STEPS)])
            ends = _misfits(sight.fine, one.standing(_axis(*x[:2])), changes, sight, K)
            whole[rows, own] = (ends[:4] - ends[4:]).T / (2 * STEPS)
            whole[rows, :2] = slopes[k].T
            start = rows.stop
        return whole

    scale = np.concatenate([np.full(2, 0.05), *(5 * STEPS for _ in sights)])
    start = np.append(axis, np.zeros(4 * len(sights)))
    settings: dict[str, Any] = {"jac": jacobian, "x_scale": scale, "max_nfev": JOINT_ROUNDS}
    best = least_squares(residual, start, **settings).x
    done = []
    for k, one in enumerate(firsts):
        upright = one.standing(_axis(*best[:2]))
        R, t = upright.moved(best[2 + 4 * k : 6 + 4 * k])
        done.append(replace(upright, R=R, t=t))
    return best[:2], done


# --- the answer --------------------------------------------------------------------------------------------------


def _report(
    sight: _Sight,
    found: Found,
    choice: Sequence[tuple[Shape, Alignment]],
    ranked: Sequence[tuple[_Trial, float]],
    model: Model,
    K: np.ndarray,
) -> Found:
    """The first trial's shape, its distinct poses, and all shapes in the order of their best trials."""
    number = ranked[0][0].number
    own = [entry for entry in ranked if entry[0].number == number]
    R, t = (np.stack([getattr(trial, part) for trial, _ in own]) for part in ("R", "t"))
    evidence, contour_px = measure(sight.aimed, model, R, t, K)
    score = evidence.log_odds()
    score[0] = score.max()  # it is the first by the fit of all objects together, of which this measure knows nothing
    order = distinct(R, score, len(R))
    share = ambiguity.weights(score[order])
    in_file = [model.to_file(R[i], t[i]) for i in order]
    related = ["", *(ambiguity.relation(one, in_file[0][0], model.symmetry) for one, _ in in_file[1:])]
    looks = (evidence.shading + evidence.edges) / 2
    poses = tuple(
        RankedPose(*pose, float(evidence.iou[i]), float(contour_px[i]), float(looks[i]), float(weight), name)
        for i, pose, weight, name in zip(order, in_file, share, related, strict=True)
    )
    is_ambiguous, kind = ambiguity.kind_of(related, share, model.symmetry)
    shape, alignment = choice[number]
    alignment = replace(alignment, poses=poses, ambiguous=is_ambiguous, ambiguity=kind)
    first_of = list(dict.fromkeys(trial.number for trial, _ in ranked))
    candidates = found.candidates
    if len(choice) > 1:
        candidates = tuple(_candidate(sight, choice[i][0], ranked, i, K) for i in first_of)
    others = tuple(choice[i] for i in range(len(choice)) if i != number)
    return replace(found, shape=shape, alignment=alignment, candidates=candidates, others=others)


def _candidate(sight: _Sight, shape: Shape, ranked, number: int, K: np.ndarray) -> Candidate:
    best = next(trial for trial, _ in ranked if trial.number == number)
    evidence, contour_px = measure(sight.aimed, best.model, best.R[None], best.t[None], K)
    return Candidate(shape.name, float(evidence.iou[0]), float(contour_px[0]), float("nan"))
