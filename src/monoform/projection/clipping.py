"""From camera space to the screen: the pinhole projection, and clipping at the near plane before it.

A face that reaches behind the camera has no image under the pinhole formula. It is cut at the plane z = near, in camera space,
into one or two triangles; the new corners are differentiable functions of the old ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Faces = Int[Tensor, "f 3"] | Int[Tensor, "#b f 3"]
"""Vertex numbers: of one mesh for all images, or of one mesh an image, the shorter ones filled up with rows of -1."""

NEAR = 1e-3
"""Distance of the near plane, as a share of the largest finite coordinate of an image's vertices."""


@dataclass(frozen=True, eq=False)
class Clipped:
    """A mesh in front of the near plane. `source` tells of which face of the old mesh each face is a part."""

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    source: Int[Tensor, "f"]


def clip(vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], near: Float[Tensor, ""]) -> Clipped:
    """Cut a mesh at z = near and keep what lies beyond. Faces with a vertex that is not finite are dropped.

    The kept vertices keep their numbers; those on the cut follow. Faces that share an edge share its cut.
    """
    finite = torch.isfinite(vertices).all(-1)
    vertices = torch.where(finite[:, None], vertices, torch.zeros_like(vertices))
    source = torch.arange(len(faces), device=faces.device)[finite[faces].all(-1)]
    inside = vertices[faces[source], 2] >= near
    kept = source[inside.all(-1)]
    one_in, two_in = source[inside.sum(-1) == 1], source[inside.sum(-1) == 2]
    single = _rotate_to_front(faces[one_in], vertices[faces[one_in], 2] >= near)
    double = _rotate_to_front(faces[two_in], vertices[faces[two_in], 2] < near)
    cut_edges = torch.cat([single[:, [0, 1]], single[:, [0, 2]], double[:, [0, 1]], double[:, [0, 2]]])
    cuts, number = torch.unique(cut_edges.sort(-1).values, dim=0, return_inverse=True)
    start, end = vertices[cuts[:, 0]], vertices[cuts[:, 1]]
    share = (near - start[:, 2]) / (end[:, 2] - start[:, 2])
    on_plane = start + share[:, None] * (end - start)
    number = number + len(vertices)
    s1, s2, d1, d2 = number.split([len(single), len(single), len(double), len(double)])
    new_faces = [
        faces[kept],
        torch.stack([single[:, 0], s1, s2], -1),
        torch.stack([d1, double[:, 1], double[:, 2]], -1),
        torch.stack([d1, double[:, 2], d2], -1),
    ]
    new_faces = torch.cat([part.to(faces.dtype) for part in new_faces])
    return Clipped(torch.cat([vertices, on_plane]), new_faces, torch.cat([kept, one_in, two_in, two_in]))


def _rotate_to_front(faces: Int[Tensor, "f 3"], odd: Bool[Tensor, "f 3"]) -> Int[Tensor, "f 3"]:
    """Turn each face, keeping its winding, so that its odd corner comes first."""
    turn = odd.int().argmax(-1, keepdim=True)
    return faces.gather(1, (turn + torch.arange(3, device=faces.device)) % 3)


def project(vertices: Float[Tensor, "b v 3"], K: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b v 3"]:
    """Camera space to [x_px, y_px, depth]. A vertex at depth 0 or behind (which no kept face uses) is put at depth 1."""
    depth = seen_depth = vertices[..., 2:]
    ahead = depth > 0
    if not bool(ahead.all()):
        vertices = torch.where(ahead, vertices, torch.ones_like(vertices))
        seen_depth = vertices[..., 2:]
    return torch.cat([vertices @ K[..., :2, :].mT / seen_depth, depth], -1)


def near_plane(vertices: Float[Tensor, "b v 3"]) -> Float[Tensor, "b"]:
    """Depth of the near plane for every image: NEAR times its largest finite coordinate."""
    size = torch.nan_to_num(vertices.detach().abs(), nan=0.0, posinf=0.0, neginf=0.0)
    return NEAR * size.flatten(1).amax(1) if vertices.shape[1] else size.new_zeros(len(vertices))


def _surely_ahead(vertices: Float[Tensor, "b v 3"]) -> bool:
    """Whether the batch's extremes alone tell that all of it is finite and beyond the near plane: four times as fast."""
    if not vertices.numel():
        return False
    vertices = vertices.detach()
    low, high = vertices.aminmax()
    return bool(vertices[..., 2].amin() > NEAR * torch.maximum(-low, high))  # false if anything is NaN or infinite


def find_corners(points: Float[Tensor, "b v 3"], faces: Faces) -> Float[Tensor, "b f 3 3"]:
    """The corners of every face. A face that is not there (-1 -1 -1) gets the depth 0, at which nothing is drawn."""
    if faces.ndim == 2:
        if faces.numel() and int(faces.min()) < 0:
            raise ValueError(f"a face names a vertex outside 0..{points.shape[1] - 1}")
        return points[:, faces.long()]
    image = torch.arange(len(points), device=points.device)[:, None, None]
    there = (faces >= 0)[..., None]
    if not points.shape[1]:
        return points.new_zeros(len(points), faces.shape[1], 3, 3)
    return torch.where(there, points[image, faces.long().clamp(min=0)], points.new_zeros(()))


def drawable(corners: Float[Tensor, "b f 3 3"]) -> Bool[Tensor, "b f"]:
    """Whether faces lie ahead of the camera and all their coordinates are finite (a NaN fails every comparison)."""
    corners = corners.detach()
    return (corners[..., 2] > 0).all(-1) & (corners.abs().sum((-1, -2)) < 1e18)


def cross(a: Tensor, b: Tensor) -> Tensor:
    """The z of the cross product of vectors on the screen."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def faces_of(faces: Faces, image: int) -> Int[Tensor, "g 3"]:
    """The faces of one image, without the rows that fill up."""
    if faces.ndim == 2:
        return faces
    own = faces[image if len(faces) > 1 else 0]
    return own[own[:, 0] >= 0]


Draw = Callable[[Float[Tensor, "n p 3"], Faces], Float[Tensor, "n h w"]]


def draw_clipped(
    draw: Draw, vertices: Float[Tensor, "#b v 3"], faces: Faces, K: Float[Tensor, "#b 3 3"]
) -> Float[Tensor, "b h w"]:
    """Project a batch and draw it: in one go if all of it is ahead of the near plane, else image by image, clipped.

    draw: takes points (n, p, 3) [x_px, y_px, depth] and faces, returns images (n, h, w).
    """
    surely_ahead = _surely_ahead(vertices)
    vertices, faces, K = broadcast_batch(vertices, faces, K)
    if surely_ahead:
        return draw(project(vertices, K), faces)
    near = near_plane(vertices)
    reaches = ~(vertices[..., 2] > near[:, None]).all(-1) | ~torch.isfinite(vertices).all(-1).all(-1)
    if not bool(reaches.any()):
        return draw(project(vertices, K), faces)
    images = []
    for i, clipped in enumerate(reaches.tolist()):
        own = faces_of(faces, i)
        if clipped:
            part = clip(vertices[i], own, near[i])
            images.append(draw(project(part.vertices[None], K[i : i + 1]), part.faces))
        else:
            images.append(draw(project(vertices[i : i + 1], K[i : i + 1]), own))
    return torch.cat(images)


def broadcast_batch(
    vertices: Float[Tensor, "#b v 3"], faces: Faces, K: Float[Tensor, "#b 3 3"]
) -> tuple[Float[Tensor, "b v 3"], Faces, Float[Tensor, "b 3 3"]]:
    """One mesh against many cameras, or many meshes against one: vertices and K get the larger batch."""
    lengths = [len(vertices), len(K), len(faces) if faces.ndim == 3 else 1]
    batch = next((length for length in lengths if length != 1), 1)
    return vertices.expand(batch, -1, -1), faces, K.to(vertices).expand(batch, -1, -1)
