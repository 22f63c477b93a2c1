"""3D to silhouette: one file an operator, each readable PyTorch that runs on any device; `kernels` holds compiled twins.

Importing this package does not import torch: the kernels work without it.
"""


def silhouette(vertices_camera, faces, K, size_hw, *, backend=None):
    """The differentiable silhouette to use where nothing asks for another: `coverage.coverage`, see there."""
    from monoform.projection.coverage import coverage

    return coverage(vertices_camera, faces, K, size_hw, backend=backend)
