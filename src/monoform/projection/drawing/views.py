"""Training images with their truth, a batch at a time, on any device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from monoform.projection import kernels
from monoform.projection.clipping import cross
from monoform.projection.coverage import Coverage, CoverageOnGpu, coverage_torch
from monoform.projection.drawing.painting import compose, develop, paint_backgrounds
from monoform.projection.drawing.records import ImageDraws
from monoform.projection.drawing.scene import Scene, stack_damages, stack_scene
from monoform.projection.drawing.shading import find_truth, shade
from monoform.projection.hard_raster import find_faces_torch, rasterise_numba, rasterise_triton


@dataclass(frozen=True, eq=False)
class DrawnViews:
    """Images and the truth about them, as `data.rendering.View` has them one by one."""

    image: UInt8[Tensor, "b h w 3"]
    """sRGB, before compression."""
    mask: Float[Tensor, "b h w"]
    """The share of each pixel in which the object is seen."""
    amodal: Float[Tensor, "b h w"]
    """The share of each pixel that the object covers, behind occluders too."""
    depth: Float[Tensor, "b h w"]
    """At the pixels' centres, box diagonals; inf where empty."""
    normals: Float[Tensor, "b h w 3"]
    """Unit, camera frame, towards the camera; 0 where empty."""
    visible: Float[Tensor, "b"]
    """The share of the object, within the image, that occluders leave."""
    truncated: Bool[Tensor, "b"]
    """Whether the object reaches over the image's edge."""


@torch.no_grad()
def draw_views(
    draws: Sequence[ImageDraws], device: torch.device | str = "cpu", *, backend: str | None = None
) -> DrawnViews:
    """Draw one image of each set of draws; all are of one size. Nothing here has a gradient.

    backend: of the z-buffer and of the coverage; None picks by device. All else is PyTorch. Compression is left out: see
    `ImageDraws.jpeg_quality`. Raises ValueError for no draws, and for images of several sizes.
    """
    sizes = {(image.size_hw, image.samples) for image in draws}
    if len(sizes) != 1:
        raise ValueError(f"images of one size are drawn together, and at least one; these have {sorted(sizes)}")
    (((h, w), samples),) = sizes
    device = torch.device(device)
    scene, damages = stack_scene(draws, device), stack_damages(draws, device)
    chosen = kernels.choose(backend, device.type)
    face_id = find_faces(scene, scene.faces, h, w, 1, chosen)
    sample_id = face_id if samples == 1 else find_faces(scene, without_backs(scene), h, w, samples, chosen)
    depth, normals = find_truth(scene, face_id)
    cover = {"torch": coverage_torch, "numba": Coverage.apply, "triton": CoverageOnGpu.apply}[chosen]
    amodal = cover(scene.points, scene.topologies, h, w).float()
    canvas = paint_backgrounds([image.background for image in draws], (h, w), device)
    canvas, mask, visible = compose(canvas, *shade(scene, face_id, sample_id), amodal, damages)
    truncated = torch.tensor([_is_truncated(image) for image in draws], device=device)
    return DrawnViews(develop(canvas, damages), mask, amodal, depth, normals, visible, truncated)


def find_faces(
    scene: Scene, faces: Int[Tensor, "b f 3"], h: int, w: int, samples: int, backend: str
) -> Int[Tensor, "b hs ws"]:
    """The face seen at samples x samples places a pixel, -1 where none is."""
    points = scene.points * scene.points.new_tensor([samples, samples, 1])
    if backend == "torch":
        return find_faces_torch(points, faces, h * samples, w * samples)
    draw = {"numba": rasterise_numba, "triton": rasterise_triton}[backend]
    return draw(points.float(), faces, h * samples, w * samples)[0]


def without_backs(scene: Scene) -> Int[Tensor, "b f 3"]:
    """The faces, -1 for those of solid objects that show their backs: fronts hide them."""
    image = torch.arange(len(scene.faces), device=scene.faces.device)[:, None, None]
    a, b, c = scene.points[image, scene.faces.clamp(min=0).long(), :2].unbind(2)
    hidden = scene.solid[:, None] & (cross(b - a, c - a) > 0.0)
    return torch.where(hidden[..., None], -1, scene.faces)


def _is_truncated(image: ImageDraws) -> bool:
    (h, w), ((left, top), (right, bottom)) = image.size_hw, image.box.tolist()
    return left < 0.0 or top < 0.0 or right > w or bottom > h
