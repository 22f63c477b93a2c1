"""Online refinement of poses and of the encoder that says them: gradients, what comes back, what is left alone, refusals."""

import math
from dataclasses import replace
from functools import partial
from inspect import unwrap
from typing import NamedTuple

import numpy as np
import pytest
import torch

from monoform.data.procedural.shapes import make_shape
from monoform.data.representatives import Representatives
from monoform.errors import InputError
from monoform.meshes import Mesh, bounds, box, decimate, pad
from monoform.methods.raster_pose import SMOKE, RasterPose, online, rows
from monoform.methods.raster_pose.online import OPERATORS, Refined, overlap, refine_poses, refine_weights, silhouettes
from monoform.rotations import rotation_angle, twist_to_matrix, viewpoint_to_matrix
from raster_pose_cases import BRICKS, brick, bricks_of, from_the_front, learn

SIZE = 64


def lens(side: int, count: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    K = [[35 / 32 * side, 0, side / 2], [0, 35 / 32 * side, side / 2], [0, 0, 1]]
    return torch.tensor(K, dtype=dtype).repeat(count, 1, 1)


def of_length_one(mesh: Mesh) -> Mesh:
    low, high = bounds(mesh.vertices)
    return Mesh((mesh.vertices - (low + high) / 2) / (high - low).max(), mesh.faces)


def batch(meshes: list[Mesh]) -> tuple[torch.Tensor, torch.Tensor]:
    vertices, faces = pad(meshes)
    return torch.from_numpy(vertices).float(), torch.from_numpy(faces)


class Scene(NamedTuple):
    """Cars of two kinds, their masks, and wrong poses: some ten degrees off, and a fifth of the depth."""

    vertices: torch.Tensor
    faces: torch.Tensor
    R: torch.Tensor
    t: torch.Tensor
    masks: torch.Tensor
    K: torch.Tensor
    start_R: torch.Tensor
    start_t: torch.Tensor

    def refined(self, rows: slice = slice(None), **how) -> Refined:
        given = (self.vertices, self.faces, self.start_R, self.start_t, self.masks, self.K)
        return refine_poses(*(part[rows] for part in given), **how)


@pytest.fixture(scope="module")
def cars() -> list[Mesh]:
    return [of_length_one(decimate(make_shape("car", 3, kind).mesh, 24)) for kind in ("sedan", "cargo")]


@pytest.fixture(scope="module")
def scene(cars: list[Mesh]) -> Scene:
    count, rng = 6, np.random.default_rng(0)
    vertices, faces = batch([cars[i % 2] for i in range(count)])
    azimuth = torch.linspace(0.3, 5.5, count)
    R = viewpoint_to_matrix(azimuth, torch.full((count,), 0.15), torch.zeros(count))
    t = torch.tensor(
        [[0.1, 0.02, 1.8], [-0.15, 0.05, 2.2], [0.0, 0.0, 2.6], [0.2, 0.1, 2.0], [-0.1, 0.0, 2.4], [0, 0.1, 1.9]]
    )
    K = lens(SIZE, count)
    masks = silhouettes(vertices, faces, R, t, K, SIZE, "coverage")
    turn = torch.from_numpy(rng.normal(size=(count, 3))).float()
    turn = math.radians(10) * turn / turn.norm(dim=1, keepdim=True)
    move = torch.from_numpy(rng.uniform(-1, 1, (count, 3))).float() * torch.tensor([0.08, 0.08, 0.3])
    return Scene(vertices, faces, R, t, masks, K, twist_to_matrix(turn) @ R, t + move)


def degrees(R: torch.Tensor, S: torch.Tensor) -> torch.Tensor:
    return torch.rad2deg(rotation_angle(R, S))


# --- silhouettes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_rows_with_meshes_of_their_own_are_drawn_as_alone(operator: str, cars: list[Mesh]) -> None:
    """The smaller mesh is filled up in the batch and not alone."""
    R = viewpoint_to_matrix(torch.tensor([0.5, 2.0]), torch.full((2,), 0.2), torch.zeros(2))
    t = torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.0, 2.5]])
    assert len(cars[0].faces) != len(cars[1].faces)
    together = silhouettes(*batch(cars), R, t, lens(32, 2), 32, operator)
    assert together.shape == (2, 32, 32)
    assert float(together.max()) <= 1
    assert float(together.min()) >= 0
    for i, car in enumerate(cars):
        alone = silhouettes(*batch([car]), R[i : i + 1], t[i : i + 1], lens(32), 32, operator)
        assert float(alone.sum()) > 10
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-6)


def test_a_silhouette_stands_where_the_camera_sees_the_mesh() -> None:
    """A board of side 1/2 that stands 2 away: 35/32 / 4 of the image across, right of the centre and above it."""
    vertices, faces = batch([box((0.5, 0.5, 1e-3))])
    t = torch.tensor([[0.4, -0.2, 2.0]])
    image = silhouettes(vertices, faces, torch.eye(3)[None], t, lens(SIZE), SIZE, "coverage")[0]
    rows, columns = np.nonzero(image.numpy() > 0.5)
    width, centre = 35 / 32 * SIZE / 4, 35 / 32 * SIZE * np.array([0.2, -0.1]) + SIZE / 2
    expected = [centre[0] - width / 2, centre[0] + width / 2, centre[1] - width / 2, centre[1] + width / 2]
    assert np.abs(np.array([columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]) - expected).max() < 1


@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_are_those_of_finite_differences(operator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision, through the readable operators: of turn and shift, on a box seen from a corner."""
    monkeypatch.setattr(online, operator, partial(getattr(online, operator), backend="torch"))
    vertices, faces = pad([box((0.5, 0.3, 1.0))])
    vertices, faces = torch.from_numpy(vertices), torch.from_numpy(faces)
    R = viewpoint_to_matrix(*torch.tensor([[0.6], [0.3], [0.05]], dtype=torch.float64))
    t = torch.tensor([[0.05, -0.03, 2.0]], dtype=torch.float64)
    weights = torch.from_numpy(np.random.default_rng(0).normal(size=(12, 12)))

    def value(change: torch.Tensor) -> torch.Tensor:
        K = lens(12, dtype=torch.float64)
        image = silhouettes(
            vertices, faces, twist_to_matrix(change[:, :3]) @ R, t + change[:, 3:], K, 12, operator
        )  # fmt: skip
        return (weights * image).sum()

    still = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(still), still)
    assert float(slope[0, :3].abs().max()) > 0.1
    assert float(slope[0, 3:].abs().max()) > 0.1
    for axis, step in enumerate(1e-6 * torch.eye(6, dtype=torch.float64)[:, None]):
        measured = (value(step) - value(-step)) / 2e-6
        assert float(slope[0, axis]) == pytest.approx(float(measured), rel=1e-3, abs=1e-3)


# --- poses ---------------------------------------------------------------------------------------------------------


def test_poses_of_a_known_mesh_come_back(scene: Scene) -> None:
    start, found = degrees(scene.start_R, scene.R), scene.refined(operator="coverage")
    assert float(start.min()) > 9.9
    assert float(found.iou_steps[0].mean()) < 0.75
    assert float(degrees(found.R, scene.R).median()) < 2
    assert float(degrees(found.R, scene.R).mean()) < 5
    assert float((found.t - scene.t).norm(dim=1).median()) < 0.03
    assert float(found.iou_steps[-1].mean()) > 0.95


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_pose_is_worse_than_its_start(operator: str, scene: Scene) -> None:
    found = scene.refined(operator=operator, steps=8)
    shapes = [tuple(part.shape) for part in (found.R_steps, found.t_steps, found.loss_steps, found.iou_steps)]
    assert shapes == [(9, 6, 3, 3), (9, 6, 3), (9, 6), (9, 6)]
    torch.testing.assert_close(found.R_steps[0], scene.start_R, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.t_steps[0], scene.start_t, rtol=0, atol=0)
    drawn = silhouettes(scene.vertices, scene.faces, found.R, found.t, scene.K, SIZE, "coverage")
    assert bool((overlap(drawn, scene.masks) >= found.iou_steps[0]).all())


def test_a_step_that_loses_the_mask_is_not_the_result(scene: Scene) -> None:
    """From the true pose every step leads away."""
    found = refine_poses(
        scene.vertices, scene.faces, scene.R, scene.t, scene.masks, scene.K, operator="edge_product", steps=4
    )  # fmt: skip
    assert float(found.iou_steps[1:].max()) < 1
    torch.testing.assert_close(found.R, found.R_steps[0], rtol=0, atol=0)
    torch.testing.assert_close(found.t, scene.t, rtol=0, atol=0)


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_row_comes_out_alone_as_in_a_batch(operator: str, scene: Scene) -> None:
    together = scene.refined(operator=operator, steps=5)
    alone = scene.refined(slice(2, 3), operator=operator, steps=5)
    torch.testing.assert_close(together.R_steps[:, 2:3], alone.R_steps, rtol=0, atol=1e-5)
    torch.testing.assert_close(together.t_steps[:, 2:3], alone.t_steps, rtol=0, atol=1e-5)


def test_what_fills_up_a_mesh_changes_nothing(scene: Scene) -> None:
    more = torch.cat([scene.vertices, scene.vertices[:, :1].expand(-1, 50, -1)], 1)
    rows = torch.cat([scene.faces, torch.full((6, 70, 3), -1)], 1)
    plain = scene.refined(operator="coverage", steps=3)
    filled = refine_poses(
        more, rows, scene.start_R, scene.start_t, scene.masks, scene.K, operator="coverage", steps=3
    )  # fmt: skip
    torch.testing.assert_close(filled.R_steps, plain.R_steps, rtol=0, atol=1e-6)
    torch.testing.assert_close(filled.t_steps, plain.t_steps, rtol=0, atol=1e-6)


def test_objects_out_of_sight_stay_where_they_are(scene: Scene) -> None:
    """Behind the camera and beside the picture, while their neighbours are refined."""
    t = scene.start_t.clone()
    t[0], t[1] = torch.tensor([0.1, 0.0, -2.0]), torch.tensor([9.0, 0.0, 2.0])
    found = refine_poses(
        scene.vertices, scene.faces, scene.start_R, t, scene.masks, scene.K, operator="coverage", steps=4
    )  # fmt: skip
    torch.testing.assert_close(found.R[:2], found.R_steps[0, :2], rtol=0, atol=0)
    torch.testing.assert_close(found.t[:2], t[:2], rtol=0, atol=0)
    assert bool(torch.isfinite(found.loss_steps).all())
    assert float((found.iou_steps[-1, 2:] - found.iou_steps[0, 2:]).mean()) > 0.1


# --- weights -------------------------------------------------------------------------------------------------------


@pytest.fixture
def method(cars: list[Mesh]) -> RasterPose:
    """An untrained encoder that sees masks, with two of three representatives to choose among."""
    torch.manual_seed(0)
    found = SMOKE.build()
    vertices, faces = batch([cars[0], cars[1], box((0.5, 0.5, 1.0))])
    found.faces[:, : faces.shape[1]] = faces
    found.vertices[:] = vertices[:, :1]
    found.vertices[:, : vertices.shape[1]] = vertices
    return found


def seen(masks: torch.Tensor, size: int) -> torch.Tensor:
    image = torch.nn.functional.interpolate(masks[:, None], (size, size), mode="area")
    return image.repeat(1, 3, 1, 1)


@pytest.fixture
def spoken(method: RasterPose, scene: Scene) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images that the encoder is shown, and masks near to what it says of them: its own poses, a little off."""
    images = seen(scene.masks, method.config.image_size)
    method.eval()
    with torch.no_grad():
        said = method.say(images)
        chosen = torch.tensor([0, 1, 0, 1, 0, 1])
        turn = torch.tensor([[0.05, -0.1, 0.05]])
        masks = silhouettes(
            method.vertices[chosen], method.faces[chosen], twist_to_matrix(turn) @ said.R, 0.9 * said.t,
            lens(SIZE, 6), SIZE, "coverage",
        )  # fmt: skip
    return images, masks, chosen


def test_weights_learn_from_the_mask_and_the_method_stays(method: RasterPose, spoken) -> None:
    images, masks, chosen = spoken
    method.train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    found = refine_weights(method, images, masks, operator="coverage", steps=10, rate=1e-4, classes=chosen)
    assert float(found.iou_steps[-1].mean()) > float(found.iou_steps[0].mean()) + 0.02
    assert bool((found.iou_steps.gather(0, found.loss_steps.argmin(0)[None])[0] >= found.iou_steps[0]).all())
    assert method.training
    assert all(weight.grad is None for weight in method.parameters())
    for name, value in method.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_fitted_encoder_gains_on_unseen_images() -> None:
    """At a tenth of the training's last rate: not the outline alone, the pose too."""
    config = replace(
        SMOKE, batch_size=16, mirrored=0.0, colour_shift=0.0, validation_images=32, steps=100, last_rate=1e-3
    )
    train, unseen = (from_the_front(bricks_of(config, count, seed)) for count, seed in ((240, 1), (40, 2)))
    method = config.build()
    method.set_representatives(Representatives(config.categories, tuple(map(brick, BRICKS))))
    learn(next(method.stages(train, unseen)))
    every = np.arange(len(unseen))
    masks = torch.from_numpy(unseen.masks / np.float32(255))
    found = refine_weights(
        method, rows.seen(unseen, every, config), masks, operator="coverage", rate=config.last_rate / 10
    )  # fmt: skip
    true_R, true_t = torch.from_numpy(unseen.R), torch.from_numpy(unseen.t)
    assert float((found.iou_steps[-1] - found.iou_steps[0]).mean()) > 0.1
    before, after = (degrees(R, true_R) for R in (found.R_steps[0], found.R))
    assert float(before.median()) < 40
    assert float(after.median()) < 0.9 * float(before.median())
    before, after = ((t - true_t).norm(dim=1).mean() for t in (found.t_steps[0], found.t))
    assert float(after) < 0.9 * float(before)


def test_a_second_twenty_starts_from_the_method_again(method: RasterPose, spoken) -> None:
    images, masks, chosen = (part.repeat(4, *[1] * (part.ndim - 1))[:22] for part in spoken)
    how = {"operator": "coverage", "steps": 2, "rate": 1e-4}
    whole = refine_weights(method, images, masks, classes=chosen, **how)
    rest = refine_weights(method, images[20:], masks[20:], classes=chosen[20:], **how)
    assert whole.R.shape == (22, 3, 3)
    assert whole.iou_steps.shape == (3, 22)
    torch.testing.assert_close(whole.R_steps[:, 20:], rest.R_steps, rtol=0, atol=1e-6)
    assert not torch.allclose(whole.R_steps[2, 20:], whole.R_steps[2, :2], rtol=0, atol=1e-7)


def test_without_classes_the_likeliest_is_drawn(method: RasterPose, spoken) -> None:
    images, masks, _ = spoken
    method.eval()
    likeliest = method.say(images).class_logits.argmax(1)
    plain = refine_weights(method, images, masks, operator="coverage", steps=1)
    told = refine_weights(method, images, masks, operator="coverage", steps=1, classes=likeliest)
    given = method.vertices[likeliest], method.faces[likeliest]
    drawn = refine_weights(method, images, masks, operator="coverage", steps=1, meshes=given)
    other = refine_weights(method, images, masks, operator="coverage", steps=1, classes=(likeliest + 1) % 3)
    assert torch.equal(plain.iou_steps, told.iou_steps)
    assert torch.equal(plain.iou_steps, drawn.iou_steps)
    assert not torch.equal(plain.iou_steps, other.iou_steps)


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"operator": "edges"}, "operator 'edges'"),
        ({"steps": -1}, "-1 steps"),
        ({"masks": torch.zeros(2, 8, 9)}, "masks of shape"),
        ({"masks": torch.full((2, 8, 8), 255.0)}, "leave"),
        ({"masks": torch.full((2, 8, 8), math.nan)}, "NaN"),
        ({"masks": torch.zeros(0, 8, 8)}, "at least one"),
        ({"K": lens(8, 3)}, "K of shape"),
        ({"K": torch.full((2, 3, 3), math.inf)}, "K hold"),
        ({"t": torch.tensor([[0.0, 0.0, math.nan]] * 2)}, "t holds"),
        ({"t": torch.zeros(3, 3)}, "t of"),
        ({"R": torch.eye(3)[None]}, "R of shape"),
        ({"R": 1.1 * torch.eye(3).repeat(2, 1, 1)}, "rotation"),
        ({"R": torch.diag(torch.tensor([1.0, 1.0, -1.0])).repeat(2, 1, 1)}, "mirror"),
        ({"vertices": torch.full((2, 8, 3), math.nan)}, "vertices hold"),
        ({"faces": torch.zeros(1, 12, 3, dtype=torch.int64)}, "faces of shape"),
    ],
)
def test_what_cannot_be_refined_is_refused(change: dict, words: str) -> None:
    vertices, faces = batch([box((0.5, 0.5, 1.0))] * 2)
    given = {
        "vertices": vertices, "faces": faces, "R": torch.eye(3).repeat(2, 1, 1), "t": torch.tensor([[0.0, 0, 2]] * 2),
        "masks": torch.zeros(2, 8, 8), "K": lens(8, 2), "operator": "coverage",
    }  # fmt: skip
    with pytest.raises(InputError, match=words):
        unwrap(refine_poses)(**(given | change))  # without the shape checks that the tests alone have


def test_weights_are_refined_on_what_fits_alone(method: RasterPose, spoken) -> None:
    images, masks, _ = spoken
    with pytest.raises(InputError, match="5 masks"):
        unwrap(refine_weights)(method, images, masks[:5], operator="coverage")
    with pytest.raises(InputError, match="rate is 0"):
        refine_weights(method, images, masks, operator="coverage", rate=0.0)
    with pytest.raises(InputError, match="operator 'none'"):
        refine_weights(method, images, masks, operator="none")
