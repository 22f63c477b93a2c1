"""Losses for fitting meshes to silhouettes: overlap with a mask, smoothness of a surface, flatness across its edges.

Each is the mean over the batch of one number an image or a mesh, never negative. Smoothness and flatness go by vertex numbers:
vertices at one place are not merged.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from monoform import meshes


def iou_loss(predicted: Float[Tensor, "b h w"], target: Float[Tensor, "#b h w"]) -> Float[Tensor, ""]:
    """One minus the soft intersection over union, 1 - sum(p t) / sum(p + t - p t) over an image (Liu 2019, SoftRas).

    predicted, target: silhouettes, [0, 1]. Two empty images agree. For masks of 0 and 1: an antialiased image does not reach 0
    against itself, as the loss is least with 1 wherever the target is above a half or so and 0 elsewhere.
    """
    predicted, target = predicted.to(torch.promote_types(predicted.dtype, torch.float32)), target.to(predicted)
    intersection = (predicted * target).sum((-2, -1))
    return _one_minus_ratio(intersection, (predicted + target).sum((-2, -1)) - intersection)


def jaccard_loss(predicted: Float[Tensor, "b h w"], target: Float[Tensor, "#b h w"]) -> Float[Tensor, ""]:
    """The weighted Jaccard distance, 1 - sum(min(p, t)) / sum(max(p, t)) over an image (Ruzicka 1958).

    predicted, target: silhouettes, [0, 1]. Two empty images agree. 0 for equal images and for no others, so that `coverage` can
    meet an antialiased mask; where either image is 0 or 1 everywhere it equals `iou_loss`.
    """
    return _one_minus_ratio(
        torch.minimum(predicted, target).sum((-2, -1)), torch.maximum(predicted, target).sum((-2, -1))
    )


def _one_minus_ratio(intersection: Float[Tensor, "b"], union: Float[Tensor, "b"]) -> Float[Tensor, ""]:
    empty = union <= 0
    return (1 - (intersection + empty) / (union + empty)).mean()


def laplacian_loss(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, ""]:
    """Sum over the vertices of the squared distance to the mean of their neighbours, |L v|^2, L = I - D^-1 A.

    L is the uniform Laplacian (SoftRas's smoothness, after Sorkine 2006); the loss grows with the square of the mesh's size.
    A vertex without neighbours adds nothing.
    """
    _check_shared(faces)
    pairs = _to_tensor(meshes.edges(faces.detach().cpu().numpy()), faces)
    start, end = torch.cat([pairs, pairs.flip(-1)]).unbind(-1)
    sums = torch.zeros_like(vertices).index_add(1, start, vertices[:, end])
    degree = torch.bincount(start, minlength=vertices.shape[1]).to(vertices)
    apart = vertices - sums / degree.clamp(min=1)[:, None]
    return (apart.square().sum(-1) * (degree > 0)).sum(-1).mean()


def flatten_loss(vertices: Float[Tensor, "b v 3"], faces: Int[Tensor, "f 3"]) -> Float[Tensor, ""]:
    """Sum over the edges of (cos(dihedral angle) + 1)^2 (Liu 2019, SoftRas), the angle being 180 degrees on a flat surface.

    The angle is that between the heights of an edge's two faces over it, whatever their windings and the mesh's size. Edges of
    one face, or of more than two, add nothing; a face without area counts as standing at a right angle.
    """
    _check_shared(faces)
    hinge = _to_tensor(_hinges(faces.detach().cpu().numpy()), faces)
    start, end, left, right = vertices[:, hinge].unbind(-2)
    along = torch.nn.functional.normalize(end - start, dim=-1)
    smallest = 1e-6 * (end - start).detach().norm(dim=-1, keepdim=True).clamp(min=1e-30)

    def upright(corner: Tensor) -> Tensor:
        offset = corner - start
        height = offset - (offset * along).sum(-1, keepdim=True) * along
        length = height.norm(dim=-1, keepdim=True)
        return torch.where(length > smallest, height / length.clamp(min=smallest), torch.zeros_like(height))

    cosine = (upright(left) * upright(right)).sum(-1)
    return (cosine + 1).square().sum(-1).mean()


def _check_shared(faces: Tensor) -> None:
    if faces.ndim != 2:
        raise ValueError(f"faces (f, 3) of one mesh for the whole batch are needed, not {(*faces.shape,)}")


def _hinges(faces: np.ndarray) -> np.ndarray:
    """(e, 4): of every edge with exactly two faces its two vertices and the third vertex of either face."""
    sides = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    edge, number, count = np.unique(sides, axis=0, return_inverse=True, return_counts=True)
    by_edge = opposite[np.argsort(number.reshape(-1), kind="stable")]
    first = np.cumsum(count) - count
    two = count == 2
    return np.concatenate([edge[two], np.stack([by_edge[first[two]], by_edge[first[two] + 1]], 1)], 1)


def _to_tensor(numbers: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64)).to(like.device)
