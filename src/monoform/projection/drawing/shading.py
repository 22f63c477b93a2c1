"""Shading of training images: solid textures under Blinn-Phong light. The specification of `kernels.shade`.

What follows takes lists of places: `image` (n,) names the image of each, `face` (n,) the face seen there.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monoform.projection.clipping import cross
from monoform.projection.drawing.scene import Scene
from monoform.projection.kernels.shade import CHECKS, NOISE, PLAIN, SAME_COLOUR, SAME_LIGHT, SRGB, STRIPES, WOOD

Indices = Int[Tensor, "n"]
Vectors = Float[Tensor, "n 3"]
LOW = 0xFFFFFFFF
FAINT = -9.0
"""Logarithm under which a highlight is less than half a level."""


# ------------------------------------------------------------------------------------------------ noise


def _times(a: Tensor, b: int) -> Tensor:
    """The low 32 bits of a product of two numbers of 32 bits; by halves, as 64 signed bits do not hold it."""
    return ((a & 0xFFFF) * b + (((a >> 16) * b & 0xFFFF) << 16)) & LOW


def hash_bits(a: Tensor | int, b: Tensor | int, c: Tensor | int, seed: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """32 well-mixed bits of four integers (the finaliser of MurmurHash3), in int64."""
    value = (seed ^ (a & LOW) * 73856093 ^ (b & LOW) * 19349663 ^ (c & LOW) * 83492791) & LOW
    value = _times(value ^ (value >> 16), 0x85EBCA6B)
    value = _times(value ^ (value >> 13), 0xC2B2AE35)
    return value ^ (value >> 16)


def lattice(a: Tensor | int, b: Tensor | int, c: Tensor | int, seed: Int[Tensor, "..."]) -> Float[Tensor, "..."]:
    """A random value in [0, 1] at every point of whole numbers."""
    return hash_bits(a, b, c, seed).float() / (LOW + 1)


def flat_noise(
    x: Float[Tensor, "..."], y: Float[Tensor, "..."], seed: Int[Tensor, "..."], layer: Tensor | int = 0
) -> Float[Tensor, "..."]:
    """Smooth noise in [0, 1] at a point of the plane: random values at whole numbers, blended by smoothsteps."""
    fx, fy = x.floor(), y.floor()
    i, j, u, v = fx.long(), fy.long(), _smooth(x - fx), _smooth(y - fy)
    near = _blend(lattice(i, j, layer, seed), lattice(i + 1, j, layer, seed), u)
    far = _blend(lattice(i, j + 1, layer, seed), lattice(i + 1, j + 1, layer, seed), u)
    return _blend(near, far, v)


def value_noise(place: Vectors, seed: Indices) -> Float[Tensor, "n"]:
    """`flat_noise` of space."""
    x, y, z = place.unbind(-1)
    k = z.floor().long()
    return _blend(flat_noise(x, y, seed, k), flat_noise(x, y, seed, k + 1), _smooth(z - z.floor()))


def _smooth(x: Tensor) -> Tensor:
    return x * x * (3.0 - 2.0 * x)


def _blend(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return a + share * (b - a)


# ------------------------------------------------------------------------------------------------ textures


def texture(material: Float[Tensor, "n 17"], place: Vectors) -> Float[Tensor, "n"]:
    """How much of a material's second colour stands at a place of the object frame, 0 to 1."""
    mixture = torch.zeros_like(place[:, 0])
    for kind, mix in {NOISE: _mottle, STRIPES: _stripes, CHECKS: _checks, WOOD: _rings}.items():
        there = (material[:, 0] == kind).nonzero()[:, 0]
        if len(there):
            mixture[there] = mix(material[there], place[there])
    return mixture


def _mottle(material: Tensor, place: Tensor) -> Tensor:
    place, seed = place * material[:, 1:2], material[:, 2].long()
    level = 0.65 * value_noise(place, seed) + 0.35 * value_noise(2.3 * place, seed + 1)
    return (2.5 * level - 0.75).clamp(0.0, 1.0)


def _checks(material: Tensor, place: Tensor) -> Tensor:
    return ((place * material[:, 1:2] + 0.37).floor().sum(-1).long() & 1).float()


def _stripes(material: Tensor, place: Tensor) -> Tensor:
    along = (place * material[:, 3:6]).sum(-1)
    return (0.5 + 3.0 * torch.sin(6.2831853 * material[:, 1] * along)).clamp(0.0, 1.0)


def _rings(material: Tensor, place: Tensor) -> Tensor:
    along = (place * material[:, 3:6]).sum(-1)
    radius = ((place * place).sum(-1) - along * along).clamp(min=0.0).sqrt()
    ring = material[:, 1] * (radius + 0.12 * value_noise(3.0 * place, material[:, 2].long()))
    return (ring - ring.floor()) ** 2


# ------------------------------------------------------------------------------------------------ surfaces and light


def locate(
    scene: Scene, image: Indices, face: Indices, x: Float[Tensor, "n"], y: Float[Tensor, "n"]
) -> tuple[Vectors, Vectors, Vectors]:
    """Where pixels' rays meet their faces: perspective-correct barycentrics, place and normal in the camera frame.

    x, y: pixels. The normal is smooth, unit and of the visible side, laid across the ray where it would look away.
    """
    corners = scene.points[image[:, None], scene.faces[image, face].long()]
    x, y = x.to(corners), y.to(corners)
    offset, z = corners[..., :2] - torch.stack([x, y], -1)[:, None], corners[..., 2]
    weight = cross(offset.roll(-1, 1), offset.roll(-2, 1))
    turn = torch.where(
        weight.sum(-1, keepdim=True) > 0.0, 1.0, -1.0
    )  # clockwise on the screen, y down: the back is seen
    weight = (turn * weight).clamp(min=0.0) * z.roll(-1, 1) * z.roll(-2, 1)
    weight = weight / weight.sum(-1, keepdim=True).clamp(min=1e-30)
    K = scene.K[image]
    pixel = torch.stack([x - K[:, 0, 2], y - K[:, 1, 2]], -1)
    adjugate = torch.stack([K[:, 1, 1], -K[:, 0, 1], -K[:, 1, 0], K[:, 0, 0]], -1).unflatten(-1, (2, 2))
    determinant = K[:, 0, 0] * K[:, 1, 1] - K[:, 0, 1] * K[:, 1, 0]
    depth = (weight * z).sum(-1)
    across = (adjugate * pixel[:, None]).sum(-1) * (depth / determinant)[:, None]
    weight, point = weight.float(), torch.cat([across, depth[:, None]], -1).float()
    smooth = -turn.float() * (weight[..., None] * scene.normals[image, face]).sum(1)
    normal = (scene.R[image] * smooth[:, None]).sum(-1)
    away = (normal * point).sum(-1, keepdim=True).clamp(min=0.0) / (point * point).sum(-1, keepdim=True)
    normal = normal - away * point
    lost = (normal * normal).sum(-1, keepdim=True) < 1e-12  # towards the camera is what is left
    return weight, point, torch.nn.functional.normalize(torch.where(lost, -point, normal), dim=-1)


def light_up(
    scene: Scene, image: Indices, point: Vectors, normal: Vectors, shininess: Float[Tensor, "n"]
) -> Float[Tensor, "n 2 3"]:
    """Blinn 1977: the diffuse and the glossy light (linear RGB) at places in the camera frame.

    shininess: 0 for none. The ambient light comes from above and below.
    """
    up, ambient = 0.5 - 0.5 * normal[:, 1:2], scene.ambient[image]
    stands, towards, rgb = scene.lights[image].split([1, 3, 3], -1)
    is_point = stands > 0.0
    towards = towards - torch.where(is_point, point[:, None], 0.0)
    squared = (towards * towards).sum(-1, keepdim=True)
    fall = torch.where(is_point, 1.0 / squared.clamp(min=0.04), 1.0)
    towards = torch.where(is_point, towards / squared.sqrt(), towards)
    cosine = (normal[:, None] * towards).sum(-1, keepdim=True)
    halfway = towards - (point / point.norm(dim=-1, keepdim=True))[:, None]
    half = (normal[:, None] * halfway).sum(-1, keepdim=True) / halfway.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    power = shininess[:, None, None]
    shines = (cosine > 0.0) & (power > 0.0) & (power * (half - 1.0) > FAINT)
    shine = torch.where(shines, fall * half.clamp(min=0.0) ** power, 0.0)
    diffuse = _blend(ambient[:, 1], ambient[:, 0], up) + (fall * cosine.clamp(min=0.0) * rgb).sum(1)
    return torch.stack([diffuse, (shine * rgb).sum(1)], 1)


def colour_of(scene: Scene, image: Indices, face: Indices, weight: Vectors, light: Float[Tensor, "n 2 3"]) -> Vectors:
    """The linear colour of places on faces in their light; each channel 1 at most."""
    corners, material = scene.faces[image, face].long(), scene.materials[image, scene.part[image, face]]
    place = (weight[..., None] * scene.vertices[image[:, None], corners]).sum(1)
    own = (weight[..., None] * scene.colours[image[:, None], corners]).sum(1)
    first = torch.where(material[:, 6:7] > 0.0, own, material[:, 7:10])
    base = _blend(first, material[:, 10:13], texture(material, place)[:, None])
    return (base * light[:, 0] + material[:, 13:14] * light[:, 1]).clamp(max=1.0)


# ------------------------------------------------------------------------------------------------ images


def find_truth(scene: Scene, face_id: Int[Tensor, "b h w"]) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w 3"]]:
    """Depth and camera normals at the pixels' centres; inf and 0 where empty."""
    image, row, column = (face_id >= 0).nonzero(as_tuple=True)
    depth = torch.full(face_id.shape, torch.inf, device=face_id.device)
    normals = torch.zeros(*face_id.shape, 3, device=face_id.device)
    face = face_id[image, row, column].long()
    _, point, normal = locate(scene, image, face, column + 0.5, row + 0.5)
    depth[image, row, column], normals[image, row, column] = point[:, 2], normal
    return depth, normals


def shade(
    scene: Scene, face_id: Int[Tensor, "b h w"], sample_id: Int[Tensor, "b hs ws"]
) -> tuple[Float[Tensor, "b h w 3"], Int[Tensor, "b h w"]]:
    """Mean sRGB colour (0-255) of the samples that hit the object in each pixel, and their number; linear light is averaged.

    sample_id: the faces at s x s samples a pixel. Within a pixel, a sample on the face last coloured, or on one like it, takes
    that colour, and one turned alike takes its light: a shortcut of the kernel that shows, and is therefore kept.
    """
    (b, h, w), s = face_id.shape, sample_id.shape[1] // face_id.shape[1]
    samples = sample_id.reshape(b, h, s, w, s).transpose(2, 3).reshape(b, h, w, s * s)
    # First the centre, which hits nothing but whose colour may serve.
    seen = torch.cat([face_id[..., None], samples], -1).long()
    places = [(0.5, 0.5)] + [((k % s + 0.5) / s, (k // s + 0.5) / s) for k in range(s * s)]
    image, row, column = (seen >= 0).any(-1).nonzero(as_tuple=True)
    seen = seen[image, row, column]
    last, lit = torch.full_like(image, -1), torch.full_like(image, -1)
    lit_normal, light = scene.R.new_zeros(len(image), 3), scene.R.new_zeros(len(image), 2, 3)
    level, total = torch.zeros_like(lit_normal), torch.zeros_like(lit_normal)
    for number, (face, (right, down)) in enumerate(zip(seen.unbind(-1), places)):
        known = (last >= 0) & ((face == last) | alike(scene, image, face.clamp(min=0), last.clamp(min=0)))
        new = ((face >= 0) & ~known).nonzero()[:, 0]
        owner, last[new] = image[new], face[new]
        weight, point, normal = locate(scene, owner, face[new], column[new] + right, row[new] + down)
        part = scene.part[owner, face[new]]
        turned = (part != lit[new]) | ((normal * lit_normal[new]).sum(-1) < float(SAME_LIGHT))
        relit = new[turned]
        lit[relit], lit_normal[relit] = part[turned], normal[turned]
        material = scene.materials[owner, part][turned]
        shininess = torch.where(material[:, 13] > 0.0, material[:, 14], 0.0)
        light[relit] = light_up(scene, image[relit], point[turned], normal[turned], shininess)
        level[new] = colour_of(scene, owner, face[new], weight, light[new])
        if number > 0:
            total += torch.where((face >= 0)[:, None], level, 0.0)
    count = (seen[:, 1:] >= 0).sum(-1)
    srgb = torch.from_numpy(SRGB).to(total.device)
    colour, hit = total.new_zeros(b, h, w, 3), torch.zeros_like(face_id)
    colour[image, row, column] = srgb[(4095.0 * total / count.clamp(min=1)[:, None]).long()]
    hit[image, row, column] = count.to(hit.dtype)
    return colour, hit


def alike(scene: Scene, image: Indices, face: Indices, other: Indices) -> Bool[Tensor, "n"]:
    """Whether two faces within a pixel have nearly one colour: of one plain part, turned the same way, coloured the same."""
    part = scene.part[image, face]
    material = scene.materials[image, part]
    cosine = (scene.normals[image, face, 0] * scene.normals[image, other, 0]).sum(-1)
    first, second = scene.faces[image, face, 0].long(), scene.faces[image, other, 0].long()
    apart = (scene.colours[image, first] - scene.colours[image, second]).abs().amax(-1)
    same = (part == scene.part[image, other]) & (material[:, 0] == PLAIN) & (cosine > float(SAME_LIGHT))
    return same & ((apart < float(SAME_COLOUR)) | (material[:, 6] == 0.0))
