"""Palazzi, Bergamini, Calderara, Cucchiara 2018, "End-to-end 6-DoF Object Pose Estimation through Differentiable
Rasterization" (ECCV workshops): the class and the pose of an object from one image.

A convolutional encoder with two branches says which of a few classes the object is of and where it stands before the
camera. Each class has one representative mesh, the medoid of its shapes, and that mesh, drawn in the said pose, is the
prediction.

Read on in `heads` (Eq. 1 and 2) and `learning`. Departures: docs/papers/raster_pose.md.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from monoform.data.representatives import Representatives
from monoform.data.voxel_targets import make_target
from monoform.errors import InputError
from monoform.interfaces import ImageSet, Prediction
from monoform.meshes import pad
from monoform.methods import image_tensors
from monoform.methods.precision import single_precision
from monoform.methods.raster_pose.config import LAPTOP, SMOKE, Config
from monoform.methods.raster_pose.heads import HEADS
from monoform.methods.raster_pose.learning import Training
from monoform.methods.raster_pose.medoids import from_voxels, joined
from monoform.methods.raster_pose.rows import check, intrinsics
from monoform.networks.strided import DenseBranch, StridedEncoder
from monoform.projection.coverage import coverage
from monoform.projection.warping import warp

__all__ = ["LAPTOP", "SMOKE", "Config", "RasterPose", "Spoken"]


class Spoken(NamedTuple):
    """What the network says of a batch."""

    class_logits: Float[Tensor, "b k"]
    R: Float[Tensor, "b 3 3"]
    t: Float[Tensor, "b 3"]
    """In longest box sides."""


class RasterPose(nn.Module):
    """Palazzi 2018's encoder, and the classes' representatives, which are empty until they are set or learnt from."""

    vertices: Tensor
    """(k, v, 3) float32 of the representatives, canonical frame, longest box side 1."""
    faces: Tensor
    """(k, f, 3) int64, filled up with rows of -1."""
    voxels: Tensor
    """(k, q, q, q) bool [z, y, x], of the same."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        classes, side = len(config.categories), config.voxel_side
        self.encoder = StridedEncoder(config.image_size, config.width, config.norm)
        sizes = (self.encoder.features, config.hidden)
        self.class_branch = DenseBranch(*sizes, classes, config.dropout)
        self.pose_branch = DenseBranch(*sizes, HEADS[config.head].numbers, config.dropout)
        self.register_buffer("vertices", torch.zeros(classes, config.vertices, 3))
        self.register_buffer("faces", torch.full((classes, config.faces, 3), -1))
        self.register_buffer("voxels", torch.zeros(classes, side, side, side, dtype=torch.bool))

    # --- network (Fig. 2) --------------------------------------------------------------------------------------

    def branches(self, images: Float[Tensor, "b 3 s s"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b n"]]:
        """Logits of the classes, and the numbers that the head reads a pose from."""
        features = self.encoder(images)
        return self.class_branch(features).float(), self.pose_branch(features).float()

    def say(self, images: Float[Tensor, "b 3 s s"]) -> Spoken:
        """Classes and poses of images, or of masks given three times, in [0, 1]; differentiable."""
        logits, numbers = self.branches(images)
        with single_precision(numbers):
            return Spoken(logits, *HEADS[self.config.head].read(numbers))

    # --- representatives ---------------------------------------------------------------------------------------

    def set_representatives(self, representatives: Representatives) -> None:
        """Take the meshes that stand for the classes. Raises InputError for other classes or too large meshes."""
        config = self.config
        if representatives.classes != config.categories:
            given, own = ", ".join(representatives.classes), ", ".join(config.categories)
            raise InputError(f"representatives of {given}, classes {own}; give one of each class in this order")
        meshes = [joined(mesh) for mesh in representatives.meshes]
        for name, mesh in zip(config.categories, meshes, strict=True):
            if len(mesh.vertices) > config.vertices or not 0 < len(mesh.faces) <= config.faces:
                size = f"{len(mesh.vertices)} vertices and {len(mesh.faces)} faces"
                limit = f"{config.vertices} and {config.faces}"
                raise InputError(f"the representative of '{name}' has {size}; give it some, but at most {limit}")
        vertices, faces = pad(meshes)
        self.faces.fill_(-1)[:, : faces.shape[1]] = torch.from_numpy(faces)
        # What fills up stands where a vertex is, so that it is never nearer to the camera than the mesh.
        self.vertices[:] = torch.from_numpy(vertices[:, :1])
        self.vertices[:, : vertices.shape[1]] = torch.from_numpy(vertices)
        grids = [make_target(mesh, config.voxel_side, "solid", fill=1.0).grid for mesh in meshes]
        self.voxels.copy_(torch.from_numpy(np.stack(grids)))

    def silhouettes(
        self, classes: Int[Tensor, "b"], R: Float[Tensor, "b 3 3"], t: Float[Tensor, "b 3"]
    ) -> Float[Tensor, "b s s"]:
        """The covered share of each pixel by the classes' representatives in these poses, at the method's lens and size."""
        size = self.config.image_size
        K = torch.from_numpy(intrinsics(self.config.focal, size)).to(R.device)
        points = self.vertices[classes] @ R.mT + t[:, None]
        return coverage(points, self.faces[classes], K[None], (size, size))

    # --- learning and prediction -------------------------------------------------------------------------------

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None) -> Iterator[Training]:
        """One: class and pose together. Where no representatives were set, surfaces of the set's medoids are taken.

        Natural images have no poses and are not used.
        """
        check(train, "training", self.config)
        check(val, "validation", self.config)
        if not bool((self.faces >= 0).any()):
            self.set_representatives(from_voxels(train, self.config))
        yield Training(self, train, val)

    def predict(self, images: Float[Tensor, "b c h w"]) -> Prediction:
        """The likeliest class's representative in the said pose; masks are its silhouettes.

        With `input` 'mask' the images are masks, white on black.
        """
        image_tensors.check_images(images, self.config.image_size)
        self.eval()
        with torch.inference_mode():
            said = self.say(images)
            classes = said.class_logits.argmax(1)
            voxels = self.voxels[classes].float()
            mask = self.silhouettes(classes, said.R, said.t)
            parts = (voxels, said.R, said.t, turned(voxels, said.R), mask)
        return Prediction(*(part.cpu().numpy() for part in parts))


def turned(voxels: Float[Tensor, "b q q q"], R: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b p p p"]:
    """Grids turned about their centres, in grids half as wide again of cells of the same size.

    What is up to 3 / 4 of a longest side from the centre stays inside: any car, not the corners of a cube.
    """
    return warp(functional.pad(voxels, (voxels.shape[-1] // 4,) * 6), R)
