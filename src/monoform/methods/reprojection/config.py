"""The settings of Zhu 2017's systems."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from monoform.errors import InputError
from monoform.methods.config_checks import check_categories, check_choice, check_least, check_positive, check_shares
from monoform.networks.image_nets import SMALLEST

if TYPE_CHECKING:
    from monoform.methods.reprojection import Reprojection

SystemName = Literal[
    "p-TL", "p-3D-VAE-GAN", "TL", "3D-VAE-GAN", "coupled-3D-VAE-GAN", "3D-VAE", "coupled-3D-VAE"
]  # fmt: skip
"""The paper's two systems, then the aligned and the pose-aware ('coupled') baselines of its Table 2."""


@dataclass(frozen=True)
class Config:
    """The paper's values where it gives them; where it is silent (its Appendix I), those of the work it builds on."""

    system: SystemName = "p-3D-VAE-GAN"
    """Which system is built."""
    categories: tuple[str, ...] = ("aeroplane", "chair", "car")
    """What the images show; the paper trains one network a category."""
    image_size: int = 227
    """Side of the image in pixels."""
    batch_size: int = 100
    """Images a step; in fine-tuning half of them are natural. 3D-GAN's."""
    seed: int = 0
    """Of the networks' first weights."""
    width: int = 64
    """Base channels of the volumetric networks: 64, 128 and 256."""
    image_width: int = 64
    """Base channels of the residual image encoders: 64 to 512 (He 2016)."""
    latent: int = 200
    """Numbers of a style: 3D-GAN's 200 (TL-embedding has 64)."""

    shape_steps: int = 100_000
    """Steps of the shapes' stage: the autoencoder of TL, or 3D-VAE-GAN."""
    style_steps: int = 50_000
    """Steps of TL's image-to-style regression with the autoencoder fixed."""
    joint_steps: int = 20_000
    """Steps of TL's joint training."""
    pose_steps: int = 100_000
    """Steps of the pose regressor."""
    tune_steps: int = 20_000
    """Steps of fine-tuning on natural images."""

    rate: float = 1e-3
    """Adam's step of the generator, the encoders and the pose regressor, falling to a hundredth along a cosine."""
    discriminator_rate: float = 1e-4
    """Adam's step of the discriminator."""
    joint_rate: float = 1e-4
    """Adam's step of TL's joint training."""
    tune_rate: float = 1e-4
    """Adam's step of fine-tuning."""

    kl_weight: float = 1.0
    """Of the Kullback-Leibler divergence against the voxels' summed cross-entropy: 1 is the evidence bound."""
    adversarial_weight: float = 0.01
    """Of the generator's adversarial loss, against losses that are means over cells or features."""
    feature_weight: float = 1.0
    """Of the reconstruction of the discriminator's features (Larsen 2016)."""
    voxel_weight: float = 0.0
    """Of the reconstruction of the voxels themselves from images, in 3D-VAE-GAN and TL's joint training; the paper's
    3D-VAE-GAN has features instead."""

    rotation_loss: Literal["twist", "geodesic"] = "twist"
    """'twist' is the paper's Euclidean loss, 'geodesic' the angle between the rotations."""
    anchors: int = 1
    """Azimuths about which the rotation is regressed, one chosen by a classifier; 1, the front view, is the paper's."""
    translation_weight: float = 1.0
    """Of the translation's loss against the rotation's."""
    reprojection_weight: float = 1.0
    """Of the reprojection loss in fine-tuning."""
    placing: Literal["best", "mixture"] = "best"
    """The pose-aware shape at test time: 'best' (the paper's) in the likeliest pose, 'mixture' the mean over all anchors."""
    pose_spread: float = 0.0
    """Standard deviation in degrees of the regressor's error about each anchor, over which a mixture's mean goes too."""
    mirrored: float = 0.0
    """Share of the training rows that are mirrored, image, shape and pose alike."""

    def __post_init__(self) -> None:
        check_choice(self, "system", get_args(SystemName))
        check_choice(self, "rotation_loss", ("twist", "geodesic"))
        check_choice(self, "placing", ("best", "mixture"))
        check_categories(self.categories)
        check_least(self, ("image_size",), SMALLEST)
        check_least(self, ("batch_size",), 4)
        check_least(self, ("anchors", "width", "image_width", "latent", "shape_steps", "style_steps", "pose_steps"), 1)
        weights = tuple(
            f"{name}_weight" for name in ("kl", "adversarial", "feature", "voxel", "translation", "reprojection")
        )
        # Joint training and fine-tuning go on from what is trained: 0 leaves them out.
        check_least(self, ("seed", "joint_steps", "tune_steps", "pose_spread", *weights), 0)
        if self.pose_spread > 0 and self.placing != "mixture":
            raise InputError(f"pose_spread {self.pose_spread} with placing {self.placing!r}; give it with 'mixture'")
        check_positive(self, ("rate", "discriminator_rate", "joint_rate", "tune_rate"))
        check_shares(self, ("mirrored",))

    def build(self) -> "Reprojection":
        """The system with fresh weights drawn from `seed`; the global generator is left as it was."""
        import torch

        from monoform.methods.reprojection import Reprojection

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return Reprojection(self)


LAPTOP = replace(
    Config(),
    image_size=64,
    batch_size=32,
    width=16,
    image_width=24,
    latent=64,
    shape_steps=1100,
    style_steps=1500,
    joint_steps=400,
    pose_steps=12_000,
    tune_steps=400,
    joint_rate=3e-4,
    voxel_weight=30.0,
    rotation_loss="geodesic",
    anchors=8,
    translation_weight=5.0,
    placing="mixture",
    pose_spread=5.0,
    mirrored=0.5,
)
"""Twenty-five minutes a category on one core for the main system: narrow networks, few steps, and what makes these do."""

SMOKE = replace(
    LAPTOP,
    batch_size=4,
    width=4,
    image_width=4,
    latent=8,
    shape_steps=3,
    style_steps=3,
    joint_steps=2,
    pose_steps=3,
    tune_steps=2,
    # Untrained, all anchors are likely, and each would be turned six ways.
    pose_spread=0.0,
)
"""Seconds: that everything runs, not that it learns."""
