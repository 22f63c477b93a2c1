"""Z-buffer: the face seen at every pixel's centre, its depth, and where on the face.

Which face is seen has no gradient; depth and barycentrics, given the face, do: they follow from where the pixel's ray meets
the face's plane in camera space. The PyTorch is the specification of `kernels.hard`.
"""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monoform.projection import kernels
from monoform.projection.clipping import (
    Faces,
    broadcast_batch,
    clip,
    cross,
    drawable,
    find_corners,
    near_plane,
    project,
)
from monoform.projection.kernels.hard import rasterise

FACES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Fragments:
    """What is seen at each pixel's centre."""

    face_id: Int[Tensor, "b h w"]
    """-1 where empty."""
    depth: Float[Tensor, "b h w"]
    """z in the camera frame, inf where empty."""
    barycentric: Float[Tensor, "b h w 3"]
    """Weights of the face's corners, perspective-correct; 0 where empty."""


def hard_raster(
    vertices_camera: Float[Tensor, "#b v 3"],
    faces: Faces,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    backend: str | None = None,
) -> Fragments:
    """Draw a mesh with a z-buffer; depth and barycentrics are differentiable with respect to vertices and K.

    vertices_camera: OpenCV camera frame (+x right, +y down, +z forward), any unit; a batch of 1 meets many K and vice versa.
    Faces, either winding, are clipped at the near plane `clipping.NEAR`. backend: None picks by device.
    """
    h, w = size_hw
    vertices, faces, K = broadcast_batch(vertices_camera, faces, K)
    chosen = kernels.choose(backend, vertices.device.type)
    draw = {"torch": None, "numba": rasterise_numba, "triton": rasterise_triton}[chosen]
    find = find_faces_torch if draw is None else partial(_find_faces, draw)
    near = near_plane(vertices)
    with torch.no_grad():
        behind = ~(vertices[..., 2] > near[:, None]).all(-1) | ~torch.isfinite(vertices).all(-1).all(-1)
        if draw is not None and not bool(behind.any()) and not (vertices.requires_grad or K.requires_grad):
            face_id, depth, barycentric = draw(project(vertices, K), faces, h, w)
            return Fragments(face_id, depth.to(vertices.dtype), barycentric.to(vertices.dtype))
        if not bool(behind.any()):
            face_id = find(project(vertices, K), faces, h, w)
        else:
            meshes = faces.expand(len(K), -1, -1)
            found = [_find_clipped(find, vertices[i], meshes[i], K[i], near[i], h, w) for i in range(len(K))]
            face_id = torch.cat(found)
    return Fragments(face_id, *intersect(vertices, faces, K, face_id))


def _find_clipped(find, vertices, faces, K, near, h, w) -> Int[Tensor, "1 h w"]:
    there = (faces[:, 0] >= 0).nonzero()[:, 0]
    part = clip(vertices, faces[there], near)
    found = find(project(part.vertices[None], K[None]), part.faces, h, w)
    if not len(part.faces):
        return found
    return torch.where(found >= 0, there[part.source[found.clamp(min=0).long()]].to(found.dtype), found)


def _find_faces(draw, points: Tensor, faces: Faces, h: int, w: int) -> Tensor:
    return draw(points, faces, h, w)[0]


def rasterise_numba(points: Tensor, faces: Faces, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Face, depth and barycentrics by the compiled kernel, without gradients."""
    face_id, depth, barycentric = map(torch.from_numpy, rasterise(points.float().numpy(), faces.numpy(), h, w))
    return face_id, depth, barycentric


def rasterise_triton(points: Tensor, faces: Faces, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    from monoform.projection.gpu import hard

    return hard.rasterise(points, faces.to(points.device), h, w)


def find_faces_torch(points: Float[Tensor, "b v 3"], faces: Faces, h: int, w: int) -> Int[Tensor, "b h w"]:
    """Face seen at each pixel's centre from points [x_px, y_px, depth]. Of faces at the same depth the first is seen."""
    face_id = torch.full((len(points), h, w), -1, dtype=torch.int32, device=points.device)
    nearest = points.new_zeros(len(points), h, w)
    x = (torch.arange(w, device=points.device) + 0.5).to(points.dtype)
    y = (torch.arange(h, device=points.device) + 0.5).to(points.dtype)
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None]
    for start in range(0, faces.shape[-2], FACES_AT_ONCE):
        corners = find_corners(points, faces[..., start : start + FACES_AT_ONCE, :])
        drawn = drawable(corners)
        offset = corners[:, :, None, None, :, :2] - pixels
        weight = cross(offset.roll(-1, -2), offset.roll(-2, -2))
        total = weight.sum(-1)
        weight = weight / torch.where(total.abs() < 1e-12, torch.ones_like(total), total)[..., None]
        hit = (weight >= 0).all(-1) & (total.abs() >= 1e-12) & drawn[:, :, None, None]
        nearness = torch.where(hit, (weight / corners[:, :, None, None, :, 2]).sum(-1), torch.zeros_like(total))
        best, which = nearness.max(1)
        closer = best > nearest
        nearest = torch.where(closer, best, nearest)
        face_id = torch.where(closer, (which + start).int(), face_id)
    return face_id


def intersect(
    vertices: Float[Tensor, "b v 3"],
    faces: Faces,
    K: Float[Tensor, "b 3 3"],
    face_id: Int[Tensor, "b h w"],
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w 3"]]:
    """Depth and barycentrics where each pixel's ray meets the plane of its face."""
    b, h, w = face_id.shape
    depth = vertices.new_full((b, h, w), torch.inf)
    barycentric = vertices.new_zeros(b, h, w, 3)
    image, row, column = (face_id >= 0).nonzero(as_tuple=True)
    if not len(image):
        return depth, barycentric
    seen = face_id[image, row, column].long()
    corners = vertices[
        image[:, None], (faces[seen] if faces.ndim == 2 else faces.expand(b, -1, -1)[image, seen]).long()
    ]
    pixel = torch.stack([column + 0.5, row + 0.5, torch.ones_like(row)], -1).to(vertices.dtype)
    ray = (torch.linalg.inv(K.double()).to(K.dtype)[image] @ pixel[..., None])[..., 0]
    # A point of the ray near the face keeps the differences small; any point of the ray gives the same weights.
    offset = corners - ray[:, None] * corners[..., 2].detach().mean(-1)[:, None, None]
    normals = torch.linalg.cross(offset.roll(-1, 1), offset.roll(-2, 1))
    weight = (normals * ray[:, None]).sum(-1)
    total = weight.sum(-1, keepdim=True)
    weight = weight / torch.where(total.abs() < 1e-30, torch.full_like(total, 1e-30), total)
    places = (image, row, column)
    return depth.index_put(places, (weight * corners[..., 2]).sum(-1)), barycentric.index_put(places, weight)
