"""Antialiased silhouette: the area of each pixel that the mesh covers, with its gradient to the vertices.

The PyTorch below is the specification of `kernels.coverage`. Two roads, both from contour edges alone:

- closed, consistently wound meshes: signed areas right of the contour edges of the faces of one screen orientation, summed
  along the rows and clamped to 1 (`closed_area`): exact for a single layer.
- all others: the outline of the union of the faces, found on sample lines by counting layers (`union_area`).
"""

import weakref
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from monoform.projection import kernels
from monoform.projection.clipping import Faces, cross, draw_clipped, drawable, faces_of
from monoform.projection.kernels.coverage import Topology, backward, forward
from monoform.projection.kernels.union import SUB

_known: dict[int, tuple[weakref.ref, Tensor, list[Topology]]] = {}


def find_topologies(faces: Faces) -> list[Topology]:
    """The edges of the mesh of all images, or of each image's; kept for the next time the same faces come.

    A tensor is known again by its content: it may have changed in place unseen, and comparing is cheaper than hashing.
    """
    kept = _known.get(id(faces))
    if kept is not None and kept[0]() is faces and torch.equal(kept[1], faces):
        return kept[2]
    array = faces.detach().to("cpu", torch.int32).contiguous()
    meshes = [faces_of(array, i) for i in range(len(faces) if faces.ndim == 3 else 1)]
    topologies = [_find_topology(mesh.numpy().tobytes()) for mesh in meshes] or [_find_topology(b"")]
    number = id(faces)
    _known[number] = (weakref.ref(faces, lambda _: _known.pop(number, None)), faces.detach().clone(), topologies)
    return topologies


@lru_cache(maxsize=64)
def _find_topology(faces: bytes) -> Topology:
    """A batch put together anew holds the meshes of those before."""
    return Topology(np.frombuffer(faces, np.int32))


def coverage(
    vertices_camera: Float[Tensor, "#b v 3"],
    faces: Faces,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    backend: str | None = None,
) -> Float[Tensor, "b h w"]:
    """Covered share of every pixel, [0, 1], differentiable with respect to vertices and K.

    vertices_camera: OpenCV camera frame (+x right, +y down, +z forward), any unit; a batch of 1 meets many K and vice versa.
    Faces, either winding, are clipped at the near plane `clipping.NEAR`. backend: None picks by device.
    """
    h, w = size_hw
    chosen = kernels.choose(backend, vertices_camera.device.type)
    run = {"torch": coverage_torch, "numba": Coverage.apply, "triton": CoverageOnGpu.apply}[chosen]
    return draw_clipped(lambda points, kept: run(points, find_topologies(kept), h, w), vertices_camera, faces, K)


class Coverage(torch.autograd.Function):
    """The compiled kernel, for tensors on the CPU."""

    @staticmethod
    def forward(ctx, points, topologies, h, w):
        alpha, ctx.saved = forward(points.detach().float().numpy(), topologies, h, w)
        return torch.from_numpy(alpha).to(points.dtype, copy=True)  # the caller's to change; backward reads its own

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad_alpha,) = grad_outputs
        grad_xy = torch.from_numpy(backward(ctx.saved, grad_alpha.detach().float().numpy())).to(grad_alpha.dtype)
        return torch.nn.functional.pad(grad_xy, (0, 1)), None, None, None


class CoverageOnGpu(torch.autograd.Function):
    """The Triton kernel."""

    @staticmethod
    def forward(ctx, points, topologies, h, w):
        from monoform.projection.gpu import coverage as gpu

        alpha, ctx.saved = gpu.forward(points.detach().float(), topologies, h, w)
        return alpha.to(points.dtype, copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        from monoform.projection.gpu import coverage as gpu

        grad_xy = gpu.backward(ctx.saved, grad_outputs[0].float()).to(grad_outputs[0].dtype)
        return torch.nn.functional.pad(grad_xy, (0, 1)), None, None, None


def coverage_torch(
    points: Float[Tensor, "b v 3"], topologies: Sequence[Topology], h: int, w: int
) -> Float[Tensor, "b h w"]:
    """Covered share of every pixel from points [x_px, y_px, depth], without faces not ahead of the camera or not finite.

    topologies: one for all images, or one an image.
    """
    if len(topologies) == 1 or not len(points):
        return _coverage_of_one_mesh(points, topologies[0], h, w)
    return torch.cat([_coverage_of_one_mesh(points[i : i + 1], mesh, h, w) for i, mesh in enumerate(topologies)])


def _coverage_of_one_mesh(points: Tensor, topology: Topology, h: int, w: int) -> Tensor:
    side = face_sides(points.detach(), topology)
    closed = (side != 0).all(1) & topology.closed
    images = points.new_zeros(len(points), h, w) + points[:, :0].sum()  # depends on the points, if only formally
    for road, chosen in ((closed_area, closed), (union_area, ~closed)):
        rows = chosen.nonzero()[:, 0]
        if len(rows) and len(topology.edges):
            images = images.index_add(0, rows, road(points[rows], side[rows], topology, h, w))
    free = (images > 1e-6) & (images < 1 - 1e-6)
    return torch.where(free, images, images.detach().clamp(0, 1))


def face_sides(points: Float[Tensor, "b v 3"], topology: Topology) -> Int[Tensor, "b f"]:
    """+1 or -1, the orientation of every face on the screen; 0 if it can not be drawn."""
    corners = points[:, torch.as_tensor(topology.faces, device=points.device).long()]
    a, b, c = corners[..., :2].unbind(-2)
    double_area = cross(b - a, c - a)
    return torch.where(double_area < 0, -1, 1) * drawable(corners)


def contour(side: Int[Tensor, "b f"], topology: Topology) -> tuple[Tensor, Tensor, Tensor]:
    """Edges whose faces do not cancel: image, edge, and how many faces more it has on its right-hand side (y down)."""
    incidence = torch.as_tensor(topology.incidence, device=side.device).long()
    first = torch.as_tensor(topology.first, device=side.device).long()
    edge_of = torch.repeat_interleave(torch.arange(len(first) - 1, device=side.device), first.diff())
    layers = torch.zeros(len(side), len(first) - 1, dtype=torch.long, device=side.device)
    layers = layers.index_add(1, edge_of, side[:, incidence.abs() - 1].long() * incidence.sign())
    image, edge = layers.nonzero(as_tuple=True)
    return image, edge, layers[image, edge]


def repeat_count(counts: Int[Tensor, "n"]) -> tuple[Int[Tensor, "m"], Int[Tensor, "m"]]:
    """For counts [2, 0, 3]: which entry [0, 0, 2, 2, 2] and which of its repetitions [0, 1, 0, 1, 2]."""
    entry = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    return entry, torch.arange(len(entry), device=counts.device) - (counts.cumsum(0) - counts)[entry]


# ---------------------------------------------------------------------------------------------------- closed meshes


def closed_area(
    points: Float[Tensor, "b v 3"], side: Int[Tensor, "b f"], topology: Topology, h: int, w: int
) -> Float[Tensor, "b h w"]:
    """Sum over contour edges of the signed area to their right: the number of layers, averaged over each pixel."""
    image, edge, layers = contour(side.clamp(max=0), topology)
    ends = torch.as_tensor(topology.edges, device=points.device).long()[edge]
    ends = torch.where(layers[:, None] > 0, ends, ends.flip(1))
    a, b = points[image, ends[:, 0], :2], points[image, ends[:, 1], :2]
    owner, t0, t1 = cut_at_pixels(a, b, h, w)
    a, d = a[owner], (b - a)[owner]
    middle = a + (0.5 * (t0 + t1))[:, None] * d
    column, row = middle.detach().floor().long().unbind(-1)
    seen = (row >= 0) & (row < h) & (column < w)
    inside = torch.where(column >= 0, middle[:, 0] - column, torch.zeros_like(t0))
    weight = (t0 - t1) * d[:, 1] * seen
    cell = (image[owner] * h + row.clamp(0, h - 1)) * (w + 2) + column.clamp(0, w)
    area = points.new_zeros(len(points) * h * (w + 2))
    area = area.index_add(0, torch.cat([cell, cell + 1]), torch.cat([weight * (1 - inside), weight * inside]))
    return area.reshape(len(points), h, w + 2).cumsum(-1)[..., :w]


def cut_at_pixels(a: Float[Tensor, "n 2"], b: Float[Tensor, "n 2"], h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut edges at the pixel lines they cross: of each piece the edge, and where along it (0 to 1) it begins and ends."""
    owners = [torch.arange(len(a), device=a.device)] * 2
    stops = [torch.zeros_like(a[:, 0]), torch.ones_like(a[:, 0])]
    for axis, lines in ((0, w), (1, h)):
        low = torch.minimum(a[:, axis], b[:, axis]).detach().clamp(-1, lines + 1).floor() + 1
        high = torch.maximum(a[:, axis], b[:, axis]).detach().clamp(-1, lines + 1).ceil() - 1
        entry, k = repeat_count((high - low + 1).clamp(min=0).long())  # lines strictly between the ends
        owners.append(entry)
        start, end = a[entry, axis], b[entry, axis]
        stops.append(((low[entry] + k - start) / (end - start)).clamp(0, 1))
    owner, stop = torch.cat(owners), torch.cat(stops)
    order = stop.detach().argsort(stable=True)
    order = order[owner[order].argsort(stable=True)]
    owner, stop = owner[order], stop[order]
    same = owner[1:] == owner[:-1]
    return owner[1:][same], stop[:-1][same], stop[1:][same]


# ---------------------------------------------------------------------------------------------------- all other meshes


def union_area(
    points: Float[Tensor, "b v 3"], side: Int[Tensor, "b f"], topology: Topology, h: int, w: int
) -> Float[Tensor, "b h w"]:
    """Area of the union: its outline on SUB lines a row places steep edges, on SUB lines a column the others."""
    image, edge, layers = contour(side, topology)
    ends = torch.as_tensor(topology.edges, device=points.device).long()[edge]
    a, b = points[image, ends[:, 0], :2], points[image, ends[:, 1], :2]
    steep = ((b - a)[:, 1].abs() >= (b - a)[:, 0].abs()).detach()

    line, place, sign, exact = outline(image, a, b, layers, steep, h * SUB, 0, len(points))
    x = torch.where(exact, place, (place.detach() - 0.5).ceil()).clamp(0, w * SUB) / SUB
    column = x.detach().floor().long().clamp(max=w)
    inside = x - column
    cell = line // SUB * (w + 2) + column
    area = points.new_zeros(len(points) * h * (w + 2))
    area = area.index_add(0, torch.cat([cell, cell + 1]), torch.cat([sign * (1 - inside), sign * inside]) / SUB)
    area = area.reshape(len(points), h, w + 2).cumsum(-1)[..., :w]

    line, place, sign, exact = outline(image, a, b, layers, ~steep, w * SUB, 1, len(points))
    kept = exact & (place >= 0) & (place < h * SUB)
    line, place, sign = line[kept], place[kept], sign[kept]
    row = (place.detach() / SUB).floor().long()
    change = sign * ((place.detach() - 0.5).ceil() - place) / SUB**2
    cell = (line // (w * SUB) * h + row) * w + line % (w * SUB) // SUB
    return (area.reshape(-1).index_add(0, cell, change)).reshape(len(points), h, w)


def outline(
    image: Tensor, a: Tensor, b: Tensor, layers: Tensor, exact: Tensor, lines: int, axis: int, batch: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where lines of one axis (0: rows, 1: columns) enter (sign 1) and leave (-1) the union, in sub-pixels along the line.

    Returns the line (image * lines + number), the place, the sign, and whether the edge met there is one of `exact`.
    """
    layers = -layers if axis == 0 else layers
    swap = (a[:, 1 - axis] > b[:, 1 - axis])[:, None]
    a, b = torch.where(swap, b, a) * SUB, torch.where(swap, a, b) * SUB
    opens = torch.where(swap[:, 0], -layers, layers)
    across_a, across_b = a[:, 1 - axis], b[:, 1 - axis]
    top = (across_a.detach() - 0.5).ceil().clamp(0, lines).long()
    bottom = (across_b.detach() - 0.5).ceil().clamp(0, lines).long()
    entry, k = repeat_count((bottom - top).clamp(min=0))
    line = top[entry] + k
    share = (line + 0.5 - across_a[entry]) / (across_b - across_a)[entry]
    place = a[entry, axis] + share * (b - a)[entry, axis]
    line = image[entry] * lines + line
    order = place.detach().argsort(stable=True)
    order = order[line[order].argsort(stable=True)]
    entry, line, place = entry[order], line[order], place[order]
    depth = opens[entry].cumsum(0)  # every line ends at depth 0, so that one sum serves them all
    before = depth - opens[entry]
    border = (before == 0) != (depth == 0)
    sign = torch.where(before == 0, 1.0, -1.0).to(place.dtype)
    return line[border], place[border], sign[border], exact[entry][border]
