"""The shapes that stand for the classes, as the weights keep them."""

import numpy as np

from monoform.data.representatives import Representatives, medoid, reduce_faces
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.meshes import Mesh, merge_positions
from monoform.methods.image_tensors import spread
from monoform.methods.raster_pose.config import Config
from monoform.voxels import surface

COMPARED = 96
"""Shapes of a class at most that are compared for their medoid, spread evenly over the set."""


def from_voxels(images: ImageSet, config: Config) -> Representatives:
    """Of each class the surface of the medoid's voxels: for a set whose meshes are not at hand.

    Paper: the medoid by HOG of two drawn views. Here: by the distance of the voxels, because these are what the set has.
    """
    meshes = []
    for name in config.categories:
        shapes = np.flatnonzero(np.array(images.categories) == name)
        if len(shapes) == 0:
            raise InputError(f"the training set has no shape of the class '{name}' to stand for it; add some")
        chosen = shapes[spread(len(shapes), COMPARED)]
        grid = images.voxels[chosen[medoid(images.voxels[chosen].reshape(len(chosen), -1).astype(np.float32))]]
        mesh = surface(grid).mesh
        if mesh is None:
            raise InputError(f"the medoid of the class '{name}' has empty voxels; give a set with filled ones")
        meshes.append(reduce_faces(mesh, config.faces))
    return Representatives(config.categories, tuple(meshes))


def joined(mesh: Mesh) -> Mesh:
    """The mesh with vertices at one place made one, without colours."""
    _, first, number = np.unique(merge_positions(mesh.vertices), return_index=True, return_inverse=True)
    return Mesh(mesh.vertices[first], number.reshape(-1)[mesh.faces])
