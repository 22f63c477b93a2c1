"""Training images but for their object: backgrounds, occluders, composition, and what a camera does to a picture.

The specification of `kernels.paint`. Pictures are (b, h, w, 3) float32 sRGB levels, 0-255.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import avg_pool2d

from monoform.projection.drawing.records import PhotoWindow, Scenery
from monoform.projection.drawing.scene import Damages
from monoform.projection.drawing.shading import flat_noise, hash_bits, lattice
from monoform.projection.kernels.paint import (
    CLOUDS,
    ELLIPSE,
    GRADIENT,
    NORMAL,
    RECTANGLE,
    ROOM,
    STAR,
    STAR_REACH,
    TILES,
)

Picture = Float[Tensor, "b h w 3"]
Grid = Float[Tensor, "b h w"]


# ------------------------------------------------------------------------------------------------ backgrounds


def paint_backgrounds(
    backgrounds: Sequence[Scenery | PhotoWindow], size_hw: tuple[int, int], device: torch.device
) -> Picture:
    """Every image's background."""
    canvas = torch.empty(len(backgrounds), *size_hw, 3, device=device)
    scenery = {i: found for i, found in enumerate(backgrounds) if isinstance(found, Scenery)}
    windows = {i: found for i, found in enumerate(backgrounds) if isinstance(found, PhotoWindow)}
    if scenery:
        canvas[list(scenery)] = paint_scenery(list(scenery.values()), size_hw, device)
    if windows:
        canvas[list(windows)] = paint_windows(list(windows.values()), size_hw, device)
    return canvas


def paint_windows(windows: Sequence[PhotoWindow], size_hw: tuple[int, int], device: torch.device) -> Picture:
    """Windows of photos, resized bilinearly. The photos' pixels lie one after the other, whatever their shapes."""
    h, w = size_hw
    texels = torch.cat([torch.from_numpy(window.photo).reshape(-1, 3) for window in windows]).to(device).float()
    shapes = torch.tensor([window.photo.shape[:2] for window in windows], device=device)
    (rows, columns), begin = shapes.T, shapes.prod(1).cumsum(0) - shapes.prod(1)
    spans = [(window.top, window.height, window.left, window.width) for window in windows]
    top, height, left, width = torch.tensor(spans, dtype=torch.float32, device=device).T[..., None]
    column = torch.arange(w, device=device).expand(len(windows), w)
    mirrored = torch.tensor([window.mirrored for window in windows], device=device)[:, None]
    column = torch.where(mirrored, w - 1 - column, column)
    y0, y1, v = _neighbours(top + (torch.arange(h, device=device) + 0.5) * height / h - 0.5, rows)
    x0, x1, u = _neighbours(left + (column + 0.5) * width / w - 0.5, columns)

    def at(y: Tensor, x: Tensor) -> Tensor:
        return texels[begin[:, None, None] + y[:, :, None] * columns[:, None, None] + x[:, None]]

    u, v = u[:, None, :, None], v[:, :, None, None]
    upper, lower = at(y0, x0) * (1.0 - u) + at(y0, x1) * u, at(y1, x0) * (1.0 - u) + at(y1, x1) * u
    return upper * (1.0 - v) + lower * v


def _neighbours(place: Float[Tensor, "b n"], length: Int[Tensor, "b"]) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after places along a line, kept within it, and the share of the second."""
    last = (length - 1)[:, None]
    place = torch.minimum(place.clamp(min=0.0), last.float())
    first = torch.minimum(place.long(), (last - 1).clamp(min=0))
    return first, torch.minimum(first + 1, last), place - first


def paint_scenery(scenery: Sequence[Scenery], size_hw: tuple[int, int], device: torch.device) -> Picture:
    """Procedural scenery: two colours mixed, a third instead of the first on a room's floor."""
    h, w = size_hw
    colours = torch.from_numpy(np.stack([found.colours for found in scenery])).to(device)
    numbers = torch.from_numpy(np.stack([found.numbers for found in scenery])).to(device)
    seed = torch.tensor([found.seed for found in scenery], device=device)[:, None, None]
    x = ((torch.arange(w, device=device) + 0.5) / w)[None, None]
    y = ((torch.arange(h, device=device) + 0.5) / h)[None, :, None]
    mixture = torch.zeros(len(scenery), h, w, device=device)
    for kind, mix in {GRADIENT: _gradient, CLOUDS: _clouds, TILES: _tiles, ROOM: _room}.items():
        there = [i for i, found in enumerate(scenery) if found.kind == kind]
        if there:
            mixture[there] = mix(numbers[there].T[..., None, None], seed[there], x, y)
    is_room = torch.tensor([found.kind == ROOM for found in scenery], device=device)[:, None]
    below = (is_room & _is_floor(numbers[:, 3:], y[:, :, 0]))[:, :, None, None]
    first = torch.where(below, colours[:, None, None, 2], colours[:, None, None, 0])
    return first + mixture.clamp(0.0, 1.0)[..., None] * (colours[:, None, None, 1] - first)


# Each of these: numbers (4, b, 1, 1), seed (b, 1, 1), x (1, 1, w) and y (1, h, 1) in image sides; a mixture (b, h, w).


def _gradient(numbers: Tensor, seed: Tensor, x: Tensor, y: Tensor) -> Tensor:
    _, cosine, sine, _ = numbers
    return 0.5 + (y - 0.5) * sine + (x - 0.5) * cosine


def _clouds(numbers: Tensor, seed: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Four octaves of noise."""
    frequency = numbers[0]
    fine = [frequency * 2.03**k for k in range(4)]
    octaves = [0.5 ** (k + 1) * flat_noise(x * fine[k], y * fine[k], seed + k) for k in range(4)]
    return (1.8 * torch.stack(octaves).sum(0) - 0.4).clamp(0.0, 1.0)


def _tiles(numbers: Tensor, seed: Tensor, x: Tensor, y: Tensor) -> Tensor:
    frequency, cosine, sine, _ = numbers
    u, v = (x * cosine + y * sine) * frequency, (y * cosine - x * sine) * frequency
    level = ((u.floor() + v.floor()).long() & 1).float()
    return level + 0.3 * (flat_noise(6.0 * u, 6.0 * v, seed) - 0.5)


def _room(numbers: Tensor, seed: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """A faint wall over planks that run towards the horizon."""
    frequency, cosine, _, horizon = numbers
    near = (y - horizon).clamp(min=0.02)
    plank = (0.5 * frequency * (x - 0.5 - 0.3 * cosine) / near).floor()
    board = plank.long()
    grain = lattice(board, 0, 0, seed) + lattice(board, 1, 0, seed)
    planks = (near / 0.1).clamp(max=1.0) * 0.25 * grain + 0.15 * flat_noise(plank * 3.1, 3.0 / near, seed)
    return torch.where(_is_floor(horizon, y), planks, 0.35 * _clouds(numbers, seed, x, y))


def _is_floor(horizon: Tensor, y: Tensor) -> Tensor:
    return y >= horizon


# ------------------------------------------------------------------------------------------------ composition


def compose(
    canvas: Picture, colour: Picture, hit: Int[Tensor, "b h w"], amodal: Grid, damages: Damages
) -> tuple[Picture, Grid, Float[Tensor, "b"]]:
    """Object over the background, occluders over both: the picture, the visible share of every pixel, and of the object.

    amodal: share of each pixel that the object covers. A pixel it covers without a sample takes the mean colour of its
    neighbours' samples, or of all. The share of an object without occluders is 1.
    """
    paint = torch.where((hit > 0)[..., None], colour, _paint_of_others(colour, hit))
    canvas = canvas + amodal[..., None] * (paint - canvas)
    mask = amodal
    for number, occluder in enumerate(damages.occluders.unbind(1)):
        cover = occluder_coverage(occluder, *mask.shape[1:])
        canvas = canvas + cover[..., None] * (_mottled(occluder, damages.seed + number, *mask.shape[1:]) - canvas)
        mask = mask * (1.0 - cover)
    visible = mask.sum((1, 2)) / amodal.sum((1, 2)).clamp(min=1e-12)
    is_occluded = (damages.occluders[..., 0] >= 0.0).any(1)
    return canvas, mask, torch.where(is_occluded, visible, 1.0)


def _paint_of_others(colour: Picture, hit: Int[Tensor, "b h w"]) -> Picture:
    some = (hit > 0).float()[..., None]
    found = torch.cat([colour * some, some], -1)
    near = avg_pool2d(found.permute(0, 3, 1, 2), 3, 1, 1, divisor_override=1).permute(0, 2, 3, 1)
    everywhere = found.sum((1, 2), keepdim=True)
    chosen = torch.where(near[..., 3:] > 0.5, near, everywhere)
    return chosen[..., :3] / chosen[..., 3:].clamp(min=1.0)


def occluder_coverage(occluder: Float[Tensor, "b 13"], h: int, w: int) -> Grid:
    """About the share of each pixel that an occluder covers: its signed distance, softened over a pixel."""
    kind, centre_x, centre_y, wide, tall, cosine, sine, lobes, phase = occluder[:, :9].T[..., None, None]
    column = torch.arange(w, device=occluder.device)[None, None]
    row = torch.arange(h, device=occluder.device)[None, :, None]
    x, y = column + 0.5 - centre_x, row + 0.5 - centre_y
    u, v = cosine * x + sine * y, cosine * y - sine * x
    box = torch.maximum(u.abs() - wide, v.abs() - tall)
    radius = ((u / wide) ** 2 + (v / tall) ** 2).sqrt()
    lobe = 0.35 * torch.cos(lobes * torch.atan2(v / tall, u / wide) + phase)
    edge = torch.where(kind == STAR, 1.0 + lobe, 1.0)
    distance = torch.where(kind == RECTANGLE, box, (radius - edge) * torch.minimum(wide, tall))
    reach_x = float(STAR_REACH) * (cosine.abs() * wide + sine.abs() * tall) + 1.0
    reach_y = float(STAR_REACH) * (sine.abs() * wide + cosine.abs() * tall) + 1.0
    inside = (column >= (centre_x - reach_x).trunc()) & (column <= (centre_x + reach_x).trunc())
    inside = inside & (row >= (centre_y - reach_y).trunc()) & (row <= (centre_y + reach_y).trunc())
    return torch.where(inside & (kind >= ELLIPSE), (0.5 - distance).clamp(0.0, 1.0), 0.0)


def _mottled(occluder: Float[Tensor, "b 13"], seed: Int[Tensor, "b"], h: int, w: int) -> Picture:
    """An occluder's colour, lighter and darker from place to place."""
    frequency = occluder[:, 12, None, None]
    x = torch.arange(w, device=occluder.device)[None, None] * frequency
    y = torch.arange(h, device=occluder.device)[None, :, None] * frequency
    mottle = 0.6 + 0.8 * flat_noise(x, y, seed[:, None, None])
    return (occluder[:, None, None, 9:12] * mottle[..., None]).clamp(max=255.0)


# ------------------------------------------------------------------------------------------------ the camera


def develop(canvas: Picture, damages: Damages) -> UInt8[Tensor, "b h w 3"]:
    """Blur, colour gain and offset, sensor noise, then whole levels."""
    _, h, w, _ = canvas.shape
    canvas = _blur(_blur(canvas, damages.blur, axis=2), damages.blur, axis=1)
    row = torch.arange(h, device=canvas.device)[None, :, None]
    column = torch.arange(w, device=canvas.device)[None, None]
    bits = hash_bits(row, column, 0, damages.seed[:, None, None])
    draws = torch.stack([bits >> shift & 1023 for shift in (0, 10, 20)], -1)  # ten of the 32 bits a channel
    grain = torch.from_numpy(NORMAL).to(canvas.device)[draws]
    gain, offset, noise = damages.gain[:, None, None], damages.offset, damages.noise
    level = canvas * gain + (offset + 0.5)[:, None, None, None] + noise[:, None, None, None] * grain
    return level.clamp(0.0, 255.0).to(torch.uint8)


def _blur(canvas: Picture, weights: Float[Tensor, "b k"], *, axis: int) -> Picture:
    """Along one axis; the picture's edge is repeated outwards. Tap by tap: a batch's longer kernels change no sum."""
    length, reach = canvas.shape[axis], weights.shape[1] // 2
    along = torch.arange(-reach, length + reach, device=canvas.device).clamp(0, length - 1)
    wide = canvas.index_select(axis, along)
    total = torch.zeros_like(canvas)
    for step, weight in enumerate(weights.T[..., None, None, None]):
        total = total + weight * wide.narrow(axis, step, length)
    return total
