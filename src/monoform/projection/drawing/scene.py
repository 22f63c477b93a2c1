"""The draws of several images as tensors on one device; what differs in length is filled up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from monoform.projection.drawing.records import ImageDraws
from monoform.projection.kernels.coverage import Topology
from monoform.projection.kernels.shade import F4

BLUR_REACH = 2.5
"""Standard deviations after which the blur's kernel ends."""


@dataclass(frozen=True, eq=False)
class Scene:
    """The objects, seen and lit. Fields are as `records.ImageDraws` has them."""

    points: Float[Tensor, "b v 3"]
    """float64 where the device has it: cross products of near points cancel."""
    K: Float[Tensor, "b 3 3"]
    """Likewise."""
    R: Float[Tensor, "b 3 3"]
    vertices: Float[Tensor, "b v 3"]
    faces: Int[Tensor, "b f 3"]
    """Filled up with rows of -1."""
    normals: Float[Tensor, "b f 3 3"]
    colours: Float[Tensor, "b v 3"]
    part: Int[Tensor, "b f"]
    solid: Bool[Tensor, "b"]
    topologies: Sequence[Topology]
    materials: Float[Tensor, "b p 17"]
    ambient: Float[Tensor, "b 2 3"]
    lights: Float[Tensor, "b n 7"]
    """Filled up with rows of 0, which give no light."""


@dataclass(frozen=True, eq=False)
class Damages:
    """What happens to the pictures."""

    occluders: Float[Tensor, "b n 13"]
    """Filled up with rows of -1, an outline that is none."""
    blur: Float[Tensor, "b k"]
    """Weights of the pixels along a line, the middle one's in the middle, 1 for no blur."""
    gain: Float[Tensor, "b 3"]
    offset: Float[Tensor, "b"]
    noise: Float[Tensor, "b"]
    seed: Int[Tensor, "b"]


def stack_scene(draws: Sequence[ImageDraws], device: torch.device) -> Scene:
    """The objects of several images."""
    exact = torch.float32 if device.type == "mps" else torch.float64
    return Scene(
        points=_padded([d.points for d in draws], device).to(exact),
        K=torch.from_numpy(np.stack([d.K for d in draws])).to(exact).to(device),
        R=_padded([d.R.astype(F4) for d in draws], device),
        vertices=_padded([d.vertices for d in draws], device),
        faces=_padded([d.faces.astype(np.int32) for d in draws], device, fill=-1),
        normals=_padded([d.normals for d in draws], device),
        colours=_padded([d.colours for d in draws], device),
        part=_padded([d.part for d in draws], device).long(),
        solid=torch.tensor([d.solid for d in draws], device=device),
        topologies=[d.topology for d in draws],
        materials=_padded([d.materials for d in draws], device),
        ambient=_padded([d.ambient for d in draws], device),
        lights=_padded([d.lights for d in draws], device),
    )


def stack_damages(draws: Sequence[ImageDraws], device: torch.device) -> Damages:
    """What happens to the pictures of several images."""
    return Damages(
        occluders=_padded([d.occluders for d in draws], device, fill=-1),
        blur=blur_weights([d.blur for d in draws]).to(device),
        gain=_padded([d.gain for d in draws], device),
        offset=torch.tensor([d.offset for d in draws], dtype=torch.float32, device=device),
        noise=torch.tensor([d.noise for d in draws], dtype=torch.float32, device=device),
        seed=torch.tensor([d.seed for d in draws], device=device),
    )


def blur_weights(sigmas: Sequence[float]) -> Float[Tensor, "b k"]:
    """Gaussians in pixels, each cut off at its own reach."""
    reach = np.ceil(BLUR_REACH * np.asarray(sigmas, np.float64))[:, None]
    steps = np.arange(-reach.max(initial=0), reach.max(initial=0) + 1)
    sigma = np.maximum(np.asarray(sigmas, np.float64), 1e-6)[:, None]
    weights = np.where(np.abs(steps) <= reach, np.exp(-0.5 * (steps / sigma) ** 2), 0.0).astype(F4)
    return torch.from_numpy(weights / weights.sum(axis=1, keepdims=True))


def _padded(arrays: Sequence[np.ndarray], device: torch.device, *, fill: int = 0) -> Tensor:
    tensors = [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    return pad_sequence(tensors, batch_first=True, padding_value=fill).to(device)
