"""The settings of Palazzi 2018's class and pose estimator."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from monoform.errors import InputError
from monoform.methods.config_checks import check_categories, check_choice, check_least, check_positive, check_shares
from monoform.networks.strided import SMALLEST

if TYPE_CHECKING:
    from monoform.methods.raster_pose import RasterPose


@dataclass(frozen=True)
class Config:
    """The paper's values, and where it is silent (marked *) those of the work it builds on (Tatarchenko 2016)."""

    categories: tuple[str, ...] = ("sedan", "suv", "cargo")
    """The classes, in the order of the logits."""
    input: Literal["image", "mask"] = "image"
    """What the encoder sees: the RGB image (section 3) or the object's mask, white on black (Fig. 1)."""
    head: Literal["cosine", "continuous"] = "continuous"
    """How a pose is said: 'cosine' is the paper's, cosines of Euler angles, which lose the angles' signs."""
    image_size: int = 128
    """Side of the image in pixels (*)."""
    voxel_side: int = 32
    """Cells a side of the shapes (*)."""
    width: int = 32
    """Channels of the first convolution (*)."""
    hidden: int = 4096
    """Numbers in the dense layer of each branch (*)."""
    norm: Literal["none", "batch"] = "none"
    """What follows a convolution before its leaky ReLU: the paper tells of nothing."""
    dropout: float = 0.5
    """Share of the dense layers' numbers that is left out in training."""
    weight_decay: float = 1e-4
    """L2 penalty on the convolutions' weights (*; the paper has one of a size it does not tell)."""
    focal: float = 35 / 32
    """Focal length in image sides: Blender's lens of 35 mm before a sensor of 32 mm (*)."""
    batch_size: int = 64
    """Images a step."""
    steps: int = 500_000
    """Updates (*; "until convergence")."""
    rate: float = 1e-5
    """Adam's step at the start;"""
    last_rate: float = 1e-5
    """and at the end, reached along a cosine."""
    mirrored: float = 0.0
    """Share of the training rows that are mirrored, image and pose alike (*)."""
    colour_shift: float = 0.0
    """Largest change of a channel's gain in training images, and twice that of the offset of all (*)."""
    vertices: int = 4000
    """Most vertices of a representative: how many the weights have room for (*)."""
    faces: int = 2000
    """Most faces of one (*)."""
    validation_images: int = 256
    """Images of the validation set, evenly spread over it, that are looked at."""
    seed: int = 0
    """Of the first weights."""

    def __post_init__(self) -> None:
        check_choice(self, "input", ("image", "mask"))
        check_choice(self, "head", ("cosine", "continuous"))
        check_choice(self, "norm", ("none", "batch"))
        check_categories(self.categories)
        if len(self.categories) < 2:
            raise InputError(f"categories {list(self.categories)}; give two or more classes to tell apart")
        check_least(self, ("image_size",), SMALLEST)
        check_least(self, ("width", "hidden", "voxel_side", "steps", "vertices", "faces", "validation_images"), 1)
        # Batch normalisation needs more than one value a channel where the last map is a single pixel.
        check_least(self, ("batch_size",), 2)
        check_least(self, ("weight_decay", "seed"), 0)
        check_positive(self, ("focal", "rate", "last_rate"))
        check_shares(self, ("mirrored", "colour_shift"))
        if not 0.0 <= self.dropout < 1.0:
            raise InputError(f"dropout is {self.dropout}; give a share below 1")

    def build(self) -> "RasterPose":
        """The method with weights drawn from `seed`; torch's own generator stays as it was."""
        import torch

        from monoform.methods.raster_pose import RasterPose

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return RasterPose(self)


LAPTOP = replace(
    Config(),
    image_size=64,
    hidden=512,
    norm="batch",
    dropout=0.1,
    steps=6000,
    rate=1e-3,
    mirrored=0.5,
    colour_shift=0.2,
)
"""Nine minutes on one core."""

SMOKE = replace(
    LAPTOP, width=8, hidden=32, dropout=0.0, batch_size=4, steps=4, validation_images=8, rate=5e-3, last_rate=1e-3
)
"""Seconds: that everything runs, not that it learns."""
