"""How far two surfaces are from each other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from monoform.meshes import Mesh, sample_surface
from monoform.metrics.checks import as_points


@dataclass(frozen=True)
class Chamfer:
    """Distance of two point sets, the mean one way plus the mean the other way: no halving, no factor."""

    l1: float
    """Of distances, in the points' unit. Mean accuracy and completeness, as some papers define it, are half of this."""
    squared: float
    """Of squared distances, in the unit's square."""


def chamfer(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> Chamfer:
    """Chamfer distance of two sets of points in one frame (Fan 2017). Raises NumericError if one is empty."""
    from scipy.spatial import KDTree

    a, b = as_points(a), as_points(b)
    to_b, to_a = KDTree(b).query(a)[0], KDTree(a).query(b)[0]
    return Chamfer(float(to_b.mean() + to_a.mean()), float((to_b**2).mean() + (to_a**2).mean()))


def mesh_chamfer(a: Mesh, b: Mesh, count: int, rng: np.random.Generator) -> Chamfer:
    """Chamfer distance of `count` points on each surface, spread by area.

    Points of one surface drawn twice are apart: about 0.9 / sqrt(count / area) in `l1`, which is the least to be expected.
    """
    return chamfer(sample_surface(a, count, rng), sample_surface(b, count, rng))
