"""Tiny sets for Palazzi 2018's method, of three painted bricks, a class each, through its lens, and how it learns them."""

from dataclasses import replace

import numpy as np
import torch

from monoform.interfaces import ImageSet
from monoform.meshes import Mesh, box
from monoform.methods.raster_pose import Config
from monoform.methods.raster_pose.learning import Training
from monoform.methods.raster_pose.rows import intrinsics
from monoform.overlays import draw
from monoform.rotations import viewpoint_to_matrix
from monoform.voxels import voxelise_solid

BRICKS = ((0.4, 0.3, 0.999), (0.4, 0.5, 0.999), (0.7, 0.6, 0.999))
"""Extents of the classes' shapes."""
PAINTS = ((250, 60, 60), (60, 250, 60), (60, 60, 250), (250, 250, 60), (60, 250, 250), (250, 60, 250))
"""Of the bricks' sides, so that front and back differ."""
SHADES = (1.0, 0.7, 0.4)
"""What the classes' paints are dimmed by: by its outline alone a brick looks like a larger one farther away."""


def brick(extents: tuple[float, float, float], shade: float = 1.0) -> Mesh:
    """A box whose six sides have colours of their own."""
    plain = box(extents)
    corners = plain.vertices[plain.faces.reshape(-1)]
    colours = np.repeat(shade * np.array(PAINTS), 6, axis=0).astype(np.uint8)
    return Mesh(corners, np.arange(36).reshape(12, 3), colours)


def bricks_of(config: Config, count: int, seed: int) -> ImageSet:
    """Images of bricks from all round, a little above them, two to three sides away and off the axis."""
    rng = np.random.default_rng(seed)
    size, K = config.image_size, intrinsics(config.focal, config.image_size)
    meshes = [brick(*one) for one in zip(BRICKS, SHADES, strict=True)]
    objects = np.arange(count) % 3
    angles = torch.from_numpy(rng.uniform((-180, 0, 0), (180, 20, 0.01), (count, 3))).float().deg2rad()
    R = viewpoint_to_matrix(*angles.unbind(-1)).numpy()
    t = rng.uniform((-0.15, -0.15, 1), (0.15, 0.15, 1), (count, 3)) * rng.uniform(2, 3, (count, 1))
    views = [draw(meshes[i], *pose, K.astype(np.float64), (size, size)) for i, *pose in zip(objects, R, t, strict=True)]
    return ImageSet(
        np.stack([np.rint(255 * view.colour * view.alpha[..., None]) for view in views]).astype(np.uint8),
        np.stack([np.rint(255 * view.alpha) for view in views]).astype(np.uint8),
        R, t.astype(np.float32), np.broadcast_to(K, (count, 3, 3)), objects,
        np.stack([voxelise_solid(mesh, config.voxel_side) for mesh in meshes]),
        ("a", "b", "c"), config.categories, "solid",
    )  # fmt: skip


def from_the_front(images: ImageSet) -> ImageSet:
    """The images whose cameras stand before the object: its front, -z, looks at them."""
    keep = images.R[:, 2, 2] > 0.2
    return replace(
        images, **{name: getattr(images, name)[keep] for name in ("images", "masks", "R", "t", "K", "objects")}
    )


class Update:
    """The training loop's part of a step, without clipping."""

    def __call__(self, loss, optimizer, *, keep_graph=False):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return True


def learn(stage: Training) -> None:
    """All steps of a stage."""
    torch.manual_seed(0)
    for number in range(stage.steps):
        stage.step(number, stage.batch(np.random.default_rng([3, number])), Update())
