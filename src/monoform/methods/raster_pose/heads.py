"""How the pose branch's numbers say where an object stands, and the loss of each way (section 3.1, Eq. 1 and 2).

Both give R and t of ``x_camera = R x_object + t``: an OpenCV camera, the object in the canonical frame (y up, front -z) with a
longest box side of 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from monoform.rotations import hat, rotation_angle, sixd_to_matrix

LONGEST_SIDE = 6.0
"""Of an object in the paper's unit: it weighs t against R in Eq. 2."""
TO_WORLD = ((0.0, 0.0, -1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
"""From the canonical frame to the paper's world: x forward, z up."""
TO_OPENCV = (1.0, -1.0, -1.0)
"""From Blender's camera (y up, looking along -z) to OpenCV's, a diagonal."""
START = 3.0
"""Depth in longest sides that the continuous head says before anything is learnt."""
PLACE_WEIGHT = 5.0
"""Of the distance in the image's terms against the rotation's angle, in the continuous head's loss."""


class Placed(NamedTuple):
    """Where the objects stand."""

    R: Float[Tensor, "b 3 3"]
    t: Float[Tensor, "b 3"]


@dataclass(frozen=True)
class Head:
    """A way to say a pose."""

    numbers: int
    read: Callable[[Tensor], Placed]
    """(b, numbers) to poses."""
    loss: Callable[[Tensor, Placed], Tensor]
    """Of (b, numbers) and the true poses, the mean over the batch."""


# --- cosines of Euler angles (the paper) ---------------------------------------------------------------------------


def camera_to_world(placed: Placed) -> Float[Tensor, "b 3 4"]:
    """P = [R t] of Eq. 1: from Blender's camera to the paper's world, t the camera's place in the paper's unit.

    Paper: Eq. 4 projects with K P^-1, as if the camera looked along +z. Here: diag(1, -1, -1) stands between the two, as in
    the authors' code, because Blender's camera looks along -z.
    """
    world, flip = placed.R.new_tensor(TO_WORLD), placed.R.new_tensor(TO_OPENCV)
    back = world @ placed.R.mT
    return torch.cat([back * flip, -LONGEST_SIDE * back @ placed.t[..., None]], dim=-1)


def from_camera_to_world(P: Float[Tensor, "b 3 4"]) -> Placed:
    """The inverse of `camera_to_world`."""
    world, flip = P.new_tensor(TO_WORLD), P.new_tensor(TO_OPENCV)
    R = flip[:, None] * P[..., :3].mT @ world
    return Placed(R, -(R @ world.T @ P[..., 3:])[..., 0] / LONGEST_SIDE)


def cosine_matrix(numbers: Float[Tensor, "b 6"]) -> Float[Tensor, "b 3 4"]:
    """P from the cosines of the angles about x, y and z, and t; P's rotation is R_z R_y R_x, "Euler ZYX".

    The cosine of the number a is tanh a; its sine, never negative, is 1 / cosh a: so no arccosine, whose slope is infinite
    where an angle is 0. The authors' code would name this product XYZ.
    Paper: cosines alone, so that no angle is below 0. A camera's pan is the angle about z, and from 0 to pi it looks backwards
    along the object: cars seen from the front can be said, those seen from behind cannot. Here: kept as it is, to compare with.
    """
    cosine, decay = torch.tanh(numbers[:, :3]), torch.exp(-numbers[:, :3].abs())
    sine = 2 * decay / (1 + decay**2)
    (cx, cy, cz), (sx, sy, sz) = cosine.unbind(1), sine.unbind(1)
    rows = [
        *(cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx, numbers[:, 3]),
        *(sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx, numbers[:, 4]),
        *(-sy, cy * sx, cy * cx, numbers[:, 5]),
    ]
    return torch.stack(rows, dim=1).unflatten(1, (3, 4))


def read_cosines(numbers: Float[Tensor, "b 6"]) -> Placed:
    """The poses that the paper's numbers say."""
    return from_camera_to_world(cosine_matrix(numbers))


def matrix_loss(numbers: Float[Tensor, "b 6"], truth: Placed) -> Float[Tensor, ""]:
    """Eq. 2: squared differences of P, summed over its entries."""
    return (cosine_matrix(numbers) - camera_to_world(truth)).square().sum((1, 2)).mean()


# --- continuous ----------------------------------------------------------------------------------------------------


def read_continuous(numbers: Float[Tensor, "b 9"]) -> Placed:
    """Six numbers of the rotation (Zhou 2019), the ray through the object's centre (x / z, y / z), and the depth.

    Paper: cosines, which lose the signs. Here: numbers that name every rotation and that never jump.
    The rotation is counted from the ray, because what is seen of an object depends on that rotation, wherever it appears; the
    depth is START e^(2 tanh(a / 2)), between 0.4 and 22 longest sides, so that no object gets behind the camera.
    """
    ray = numbers[:, 6:8]
    R = turn_to_ray(ray) @ sixd_to_matrix(numbers[:, :6])
    return Placed(R, functional.pad(ray, (0, 1), value=1.0) * START * torch.exp(2 * torch.tanh(numbers[:, 8:] / 2)))


def turn_to_ray(ray: Float[Tensor, "b 2"]) -> Float[Tensor, "b 3 3"]:
    """The smallest rotation that brings the optical axis to the direction (x, y, 1)."""
    x, y, z = functional.normalize(functional.pad(ray, (0, 1), value=1.0), dim=1).unbind(1)
    skew = hat(torch.stack([-y, x, torch.zeros_like(x)], dim=1))
    return torch.eye(3, dtype=ray.dtype, device=ray.device) + skew + skew @ skew / (1 + z)[:, None, None]


def angle_loss(numbers: Float[Tensor, "b 9"], truth: Placed) -> Float[Tensor, ""]:
    """The angle between the rotations, radians, and the distance of (x / z, y / z, log z), which the image shows.

    Paper: squared differences of [R t] (Eq. 2). Here: plain ones, because a car's front and back are alike, and what has the
    least square is the mean of both, which is neither; and in the image's terms, because from afar a shift hardly shows.
    """
    said = read_continuous(numbers)
    apart = (in_image(said.t) - in_image(truth.t)).square().sum(1)
    return (rotation_angle(said.R, truth.R) + PLACE_WEIGHT * (apart + 1e-8).sqrt()).mean()


def in_image(t: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3"]:
    """(x / z, y / z, log z) of places before the camera."""
    return torch.cat([t[:, :2] / t[:, 2:], t[:, 2:].log()], dim=1)


HEADS = {"cosine": Head(6, read_cosines, matrix_loss), "continuous": Head(9, read_continuous, angle_loss)}
"""By the name that `Config.head` gives."""
