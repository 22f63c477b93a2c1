"""The settings of Liao 2019's method."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from monoform.errors import InputError
from monoform.methods.config_checks import check_categories, check_choice, check_least, check_positive, check_shares

if TYPE_CHECKING:
    from monoform.methods.self_consistency import SelfConsistency


@dataclass(frozen=True)
class Config:
    """The paper's values, and where it is silent (marked *) what its figures and its ancestors suggest."""

    categories: tuple[str, ...] = ("chair",)
    """What is learnt; the paper trains one network a category."""
    pose: Literal["self_consistency", "none"] = "self_consistency"
    """'none' leaves out pose code, angles and their loss: the same network for the shape alone, to compare with."""
    image_size: int = 64
    """Pixels a side."""
    voxel_side: int = 32
    """Cells a side; the voxels are shells, unscaled."""
    mask_size: int = 48
    """Pixels a side of masks and projections: at 32 thin legs vanish."""
    width: int = 64
    """Channels of the encoder's first stage (*); those of all else grow with it."""
    depth: Literal[18, 34, 50] = 18
    """Of the residual encoder (*)."""
    shape_code: int = 512
    """Numbers that say what the shape is."""
    pose_code: int = 16
    """Numbers that say how it stands."""
    hypotheses: int = 8
    """Poses that are proposed, spread over the circle (*; the paper tells of one)."""
    low_elevation_deg: float = -20.0
    """Lowest elevation that can be said (*)."""
    high_elevation_deg: float = 60.0
    """Highest (*)."""
    focal: float = 1.875
    """Focal length in image sides: the lens of Tulsiani 2018, "given as MVC"."""
    distance: float = 2.0
    """From the camera to the object's centre, grid sides, as there."""
    samples: int = 64
    """Points on a ray, N."""
    hypothesis_size: int = 24
    """Pixels a side at which hypotheses are compared (*)."""
    mask_growth: int = 0
    """Pixels that masks are widened by before they meet a projection: filled cells reach beyond the surface in them (*)."""
    explored: float = 0.1
    """Share of images whose pose loss goes to a hypothesis drawn at random, so that none dies (*)."""
    temperature: float = 0.05
    """How much worse a hypothesis must be to count 1/e as much when the choice among them is learnt (*)."""
    lambda_positive: float = 3.0
    """Weight of filled cells, Eq. 8."""
    lambda_ray: float = 10.0
    """Weight of the ray consistency, Eq. 6."""
    lambda_projection: float = 0.25
    """Weight of the projection's IoU, Eq. 6."""
    lambda_kl: float = 0.02
    """Weight of the shape code's divergence, Eq. 12."""
    pose_stage: Literal["shared", "own"] = "shared"
    """'own': the pose code has a last stage of the encoder to itself (*; the paper's comes from the shape's)."""
    pose_gradient: float = 1.0
    """Share of the pose's gradient that reaches what pose and shape have in common (*; the paper's is all of it)."""
    lambda_choice: float = 1.0
    """Weight of learning which hypothesis is right (*)."""
    learning_rate: float = 2e-4
    """Adam's."""
    last_learning_rate: float = 2e-4
    """At the last step; it falls by equal factors."""
    batch_size: int = 32
    """Images a step (*)."""
    steps: int = 100_000
    """Updates (*)."""
    colour_shift: float = 0.2
    """Largest change of a channel's gain in training images, and twice that of the offset of all; 0 for none (*)."""
    validation_images: int = 256
    """Images of the validation set that are looked at."""
    seed: int = 0
    """Of the first weights."""

    def __post_init__(self) -> None:
        check_choice(self, "pose", ("self_consistency", "none"))
        check_choice(self, "pose_stage", ("shared", "own"))
        check_choice(self, "depth", (18, 34, 50))
        check_categories(self.categories)
        check_least(self, ("image_size",), 32)
        ones = ("width", "shape_code", "pose_code", "hypotheses", "samples", "hypothesis_size", "batch_size", "steps")
        check_least(self, (*ones, "validation_images"), 1)
        weights = tuple(f"lambda_{name}" for name in ("positive", "ray", "projection", "kl", "choice"))
        check_least(self, (*weights, "mask_growth", "seed"), 0)
        check_positive(self, ("learning_rate", "last_learning_rate", "focal", "temperature"))
        check_shares(self, ("explored", "colour_shift", "pose_gradient"))
        if self.voxel_side < 4 or self.voxel_side & (self.voxel_side - 1):
            raise InputError(f"voxel_side is {self.voxel_side}; give 4 times a power of two, such as 32")
        if self.mask_size < 8 or self.mask_size % 8:
            raise InputError(f"mask_size is {self.mask_size}; give a multiple of 8, such as 48")
        if not -90 <= self.low_elevation_deg < self.high_elevation_deg <= 90:
            low, high = self.low_elevation_deg, self.high_elevation_deg
            raise InputError(f"elevations from {low} to {high} degrees; give -90 <= low < high <= 90")
        if not 1 < self.distance < math.inf:
            raise InputError(f"distance is {self.distance}; give more than 1, so that the grid is before the camera")

    def build(self) -> "SelfConsistency":
        """The method with weights drawn from `seed`; torch's own generator stays as it was."""
        import torch

        from monoform.methods.self_consistency import SelfConsistency

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return SelfConsistency(self)


LAPTOP = replace(
    Config(), width=16, pose_stage="own", pose_gradient=0.1, mask_growth=1, steps=2000, learning_rate=1e-3,
    last_learning_rate=1e-4,
)  # fmt: skip
"""A quarter of the width, 2,000 steps: for two cores."""
SMOKE = replace(
    LAPTOP, width=8, mask_size=24, hypothesis_size=12, hypotheses=4, shape_code=16, samples=32, batch_size=4, steps=4,
    validation_images=8, learning_rate=5e-3, last_learning_rate=1e-3,
)  # fmt: skip
"""Seconds: to see that everything runs."""
