"""From where photos of a category are taken: azimuth, elevation and tilt, in degrees.

Azimuths: mixtures of wrapped normals fitted to the ImageNet part of PASCAL3D+ (Xiang et al. 2014; 21,831 objects in bins of
10 degrees), within 0.1 of it in total variation. Elevations and tilts: quantiles of Pix3D (Sun et al. 2018; 1,451 chairs,
152 desks, 179 beds). Where no set tells, a range is assumed and said to be.
"""

from dataclasses import dataclass

import numpy as np

from monoform.errors import InputError

AZIMUTHS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "aeroplane": (
        (0.042, 6.0, 2.0),
        (0.024, 26.9, 6.6),
        (0.327, 281.1, 33.3),
        (0.096, 328.5, 13.1),
        (0.355, 67.3, 44.5),
    ),
    "bicycle": ((0.063, 8.4, 2.1), (0.23, 57.8, 23.9), (0.229, 274.9, 27.4), (0.074, 335.9, 11.1), (0.047, 110.9, 4.5)),
    "boat": ((0.025, 8.4, 2.0), (0.248, 354.1, 50.9), (0.064, 181.3, 16.8), (0.023, 248.3, 2.7), (0.01, 114.8, 2.0)),
    "bottle": ((0.927, 6.1, 2.0), (0.024, 22.7, 2.0), (0.047, 359.8, 22.2)),
    "bus": ((0.133, 9.9, 2.3), (0.232, 25.4, 8.0), (0.085, 176.5, 23.4), (0.408, 337.2, 9.0), (0.026, 52.8, 9.1)),
    "car": ((0.03, 8.5, 2.0), (0.198, 29.7, 9.6), (0.094, 176.3, 57.5), (0.189, 328.7, 11.7), (0.045, 61.4, 8.6)),
    "chair": ((0.214, 7.4, 2.0), (0.177, 27.3, 9.2), (0.009, 146.8, 2.0), (0.36, 325.9, 19.1), (0.116, 54.3, 18.7)),
    "table": ((0.267, 7.2, 2.0), (0.327, 45.6, 18.7), (0.3, 316.5, 20.4), (0.052, 272.7, 7.0), (0.053, 87.4, 5.7)),
    "motorbike": (
        (0.024, 4.5, 2.0),
        (0.315, 48.0, 35.3),
        (0.203, 271.0, 29.2),
        (0.147, 322.4, 12.9),
        (0.037, 124.4, 10.3),
    ),
    "sofa": ((0.391, 6.5, 2.0), (0.1, 24.4, 10.2), (0.406, 332.8, 20.3), (0.089, 39.0, 17.1)),
    "train": ((0.234, 8.8, 8.5), (0.625, 358.8, 18.8), (0.024, 284.1, 54.9), (0.081, 348.2, 2.4), (0.037, 52.1, 50.4)),
    "monitor": ((0.386, 3.8, 2.2), (0.168, 23.3, 6.5), (0.328, 339.5, 20.7), (0.116, 32.5, 20.2)),
    "lamp": (),
}
"""Weight, mean and standard deviation of each component; what is missing to 1 is uniform.

Lamps are not in the set; most look the same all round, so a uniform azimuth is assumed.
"""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_CHAIR_ELEVATION = (2.01, 6.61, 13.5, 26.9, 36.46, 52.32, 62.05)
_CHAIR_TILT = (-17.51, -11.63, -5.06, -1.11, 3.99, 11.94, 19.41)
_DESK_ELEVATION = (-16.62, 6.9, 11.06, 14.24, 27.69, 36.02, 44.59)
_DESK_TILT = (-9.12, -5.51, -1.94, -0.84, 1.23, 9.13, 53.31)
_BED_ELEVATION = (3.89, 5.86, 9.14, 11.92, 19.58, 29.28, 34.72)
_BED_TILT = (-17.02, -8.25, -4.36, -1.52, 0.04, 4.81, 7.93)

MEASURED = {
    "chair": (_CHAIR_ELEVATION, _CHAIR_TILT),
    "table": (_DESK_ELEVATION, _DESK_TILT),
    "bed": (_BED_ELEVATION, _BED_TILT),
}
"""Elevation and tilt at QUANTILES."""
ASSUMED_ELEVATION, ASSUMED_TILT = (-5.0, -2.0, 3.0, 8.0, 15.0, 28.0, 40.0), (-10.0, -6.0, -2.0, 0.0, 2.0, 6.0, 10.0)
"""Not measured: a photographer who stands and holds the camera level."""


@dataclass(frozen=True)
class ViewPrior:
    """A distribution of viewpoints."""

    azimuths: tuple[tuple[float, float, float], ...]
    elevation: tuple[float, ...]
    tilt: tuple[float, ...]

    def sample(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Azimuth in [0, 360), elevation and tilt, in degrees; drawn independently of each other."""
        at = rng.random()
        azimuth = rng.uniform(0.0, 360.0)
        for weight, mean, sigma in self.azimuths:
            if at < weight:
                azimuth = rng.normal(mean, sigma) % 360.0
                break
            at -= weight
        low, high = QUANTILES[0], QUANTILES[-1]
        elevation, tilt = (
            float(np.interp(rng.uniform(low, high), QUANTILES, values)) for values in (self.elevation, self.tilt)
        )
        return float(azimuth), elevation, tilt

    def bin_shares(self, bins: int = 36) -> np.ndarray:
        """(bins,) probability of each of equal bins of azimuth from 0 degrees on."""
        from scipy.special import ndtr

        edges = np.linspace(0.0, 360.0, bins + 1) + 360.0 * np.arange(-2, 3)[:, None]
        shares = np.full(bins, (1.0 - sum(weight for weight, _, _ in self.azimuths)) / bins)
        for weight, mean, sigma in self.azimuths:
            shares += weight * np.diff(ndtr((edges - mean) / sigma), axis=1).sum(axis=0)
        return shares


def view_prior(category: str) -> ViewPrior:
    """The prior of one of the library's categories. Raises InputError where no azimuths are known."""
    if category not in AZIMUTHS:
        raise InputError(f"no view prior for {category!r}; take upright views, or one of {', '.join(sorted(AZIMUTHS))}")
    return ViewPrior(AZIMUTHS[category], *MEASURED.get(category, (ASSUMED_ELEVATION, ASSUMED_TILT)))
