"""Fit the mixtures of `monoform.data.view_priors` to azimuth histograms, and print them as they stand there.

    python benchmarks/view_priors.py VIEW_PRIORS_JSON

The json holds counts of azimuth in bins of 10 degrees by category ("pascal3d_imagenet_azimuth"). Expectation maximisation of
a mixture of wrapped normals and a uniform share, on what falls into each bin.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

STARTS_DEG, FIRST_SIGMA_DEG, SIGMA_DEG = (5.0, 30.0, 180.0, 320.0, 90.0), 6.0, 25.0
MIN_SIGMA_DEG, MIN_WEIGHT, ROUNDS = 2.0, 0.005, 3000
OUR_NAMES = {"diningtable": "table", "tvmonitor": "monitor"}


def wrapped_normal(degrees: np.ndarray, mean: float, sigma: float) -> np.ndarray:
    """Density per degree."""
    turns = 360.0 * np.arange(-2, 3)[:, None]
    return np.exp(-0.5 * ((degrees - mean + turns) / sigma) ** 2).sum(axis=0) / (sigma * np.sqrt(2.0 * np.pi))


def fit(counts: Sequence[int]) -> list[tuple[float, float, float]]:
    """(weight, mean, sigma) in degrees of each component; what is missing to 1 is uniform."""
    share = np.asarray(counts) / np.sum(counts)
    degrees = np.arange(360) + 0.5
    means, sigmas = np.array(STARTS_DEG), np.full(len(STARTS_DEG), SIGMA_DEG)
    sigmas[0] = FIRST_SIGMA_DEG
    weights = np.full(len(means) + 1, 1.0 / (len(means) + 1))
    for _ in range(ROUNDS):
        curves = [wrapped_normal(degrees, mean, sigma) for mean, sigma in zip(means, sigmas, strict=True)]
        density = weights[:, None] * np.array([*curves, np.full(360, 1.0 / 360.0)])
        binned = density.reshape(len(weights), len(share), -1)
        part = binned / np.maximum(binned.sum(axis=(0, 2))[:, None], 1e-12) * share[:, None]
        part = part.reshape(len(weights), 360)
        weights = part.sum(axis=1)
        for k in np.flatnonzero(weights[:-1] > 1e-6):
            apart = (degrees - means[k] + 180.0) % 360.0 - 180.0
            means[k] = (means[k] + part[k] @ apart / weights[k]) % 360.0
            apart = (degrees - means[k] + 180.0) % 360.0 - 180.0
            sigmas[k] = max(MIN_SIGMA_DEG, np.sqrt(part[k] @ apart**2 / weights[k]))
    found = zip(weights, means, sigmas)
    return [(round(w, 3), round(m, 1), round(s, 1)) for w, m, s in found if w >= MIN_WEIGHT]


def main() -> None:
    counts = json.loads(Path(sys.argv[1]).read_text())["pascal3d_imagenet_azimuth"]
    for name, entry in counts.items():
        components = ", ".join(f"({w}, {m}, {s})" for w, m, s in (map(float, row) for row in fit(entry["hist"])))
        print(f'    "{OUR_NAMES.get(name, name)}": ({components}),')


if __name__ == "__main__":
    main()
