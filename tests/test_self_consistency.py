"""Liao 2019: the corrected equations, a pose that is found without being told, and what must not leak into training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from monoform.data.image_sets import DrawnObjects, render_turntable, shapes_for, subset
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.methods import self_consistency as liao
from monoform.methods.image_tensors import small_masks
from monoform.projection.rays import ray_stops
from monoform.rotations import axis_rotation, matrix_to_viewpoint, rotation_angle, viewpoint_to_matrix

SMALL = liao.SMOKE


@pytest.fixture(scope="module")
def chairs() -> ImageSet:
    entries, ids = shapes_for("chair", 3, 0)
    return render_turntable(DrawnObjects(entries, ["chair"] * 3, ids), size=SMALL.image_size, views=4, seed=0)


def rotation(azimuth_deg: float, elevation_deg: float = 30.0) -> torch.Tensor:
    return viewpoint_to_matrix(*torch.deg2rad(torch.tensor([azimuth_deg, elevation_deg, 0.0])))[None]


def update(loss, optimizer, *, keep_graph=False):
    optimizer.zero_grad()
    loss.backward(retain_graph=keep_graph)
    optimizer.step()
    return True


# --- equations -----------------------------------------------------------------------------------------------------


def test_iou_loss_is_nought_for_equal_grids_and_not_as_printed():
    grid = (torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    torch.testing.assert_close(liao.iou_loss(grid, grid), torch.zeros(2))
    torch.testing.assert_close(liao.iou_loss(grid, 1 - grid), torch.full((2,), math.e - 1))
    empty = torch.zeros(1, 4, 4)
    torch.testing.assert_close(liao.iou_loss(empty, empty), torch.zeros(1))
    half = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(
        liao.iou_loss(half, torch.tensor([[1.0, 0.0, 0.0, 0.0]])), torch.tensor([math.exp(0.5) - 1])
    )


def test_a_filled_cell_weighs_lambda_positive():
    logits, target = torch.full((1, 2, 2, 2), -20.0), torch.zeros(1, 2, 2, 2)
    target[0, 0, 0, 0] = 1
    # One of eight cells is missed by 20 nats; the IoU is 0.
    assert float(liao.voxel_loss(logits, target, 3.0)) == pytest.approx(3 * 20 / 8 + math.e - 1, rel=1e-4)


def test_divergence_is_that_of_normal_distributions():
    mean, log_variance = torch.randn(5, 7), torch.randn(5, 7)
    code = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(code, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(liao.divergence(mean, log_variance), expected)


def test_every_loss_has_its_weight_and_single_precision(chairs):
    method = SMALL.build()
    stage = next(method.stages(chairs, chairs))
    batch = stage.batch(np.random.default_rng(0))
    output = method.network.train()(batch["image"])
    config = replace(SMALL, lambda_kl=0.5, lambda_choice=0.25)
    torch.manual_seed(0)
    found = liao.weighted_losses(output, batch, config)
    torch.manual_seed(0)
    consistency, choice = liao.pose_loss(output.angles, batch["voxels"], batch["mask"], config)
    torch.testing.assert_close(found["kl"], 0.5 * liao.divergence(output.shape_mean, output.shape_log_variance))
    torch.testing.assert_close(found["choice"], 0.25 * choice)
    torch.testing.assert_close(found["consistency"], consistency)
    torch.testing.assert_close(found["voxels"], liao.voxel_loss(output.voxel_logits, batch["voxels"], 3.0))
    coarse = output._replace(**{name: getattr(output, name).bfloat16() for name in output._fields[:4]})
    assert {x.dtype for x in liao.weighted_losses(coarse, batch, config).values()} == {torch.float32}


def test_consistency_is_equation_4_ray_by_ray(chairs):
    """Eq. 4 as printed: m q_pen + (1 - m) sum of q(i), with the corrected probabilities."""
    voxels, R, size = torch.from_numpy(chairs.voxels[:1]).float(), rotation(40.0), 12
    mask = (liao.project(voxels, rotation(100.0), size, SMALL) > 0.5).float()
    K = torch.tensor([[[1.875 * size, 0, size / 2], [0, 1.875 * size, size / 2], [0, 0, 1]]])
    stops, escapes = ray_stops(voxels, R, K=K, size_hw=(size, size), near_far=(1.0, 3.0), samples=SMALL.samples)
    printed = (mask * escapes + (1 - mask) * stops.sum(1)).mean()
    config = replace(SMALL, lambda_ray=2.0, lambda_projection=0.0)
    found = liao.consistency_loss(liao.project(voxels, R, size, config), mask, config)
    torch.testing.assert_close(found, printed[None], rtol=1e-4, atol=1e-5)


def test_true_pose_covers_the_mask_best(chairs):
    """The camera of the turntable is that of the projection: no other azimuth fits better than the true one."""
    voxels = torch.from_numpy(chairs.voxels[chairs.objects]).float()
    masks = torch.from_numpy(chairs.masks / 255).float()
    fits = []
    for turn in range(0, 360, 15):
        R = torch.from_numpy(chairs.R) @ axis_rotation("y", torch.tensor(math.radians(turn)))
        fits.append(liao.consistency_loss(liao.project(voxels, R, 64, SMALL), masks, SMALL))
    assert (torch.stack(fits).argmin(0) == 0).float().mean() > 0.8


def test_posed_voxels_keep_their_size_and_turn_as_the_camera_sees_them(chairs):
    voxels, R = torch.from_numpy(chairs.voxels[:1]).float(), rotation(30.0)
    assert torch.equal(liao.pose_voxels(voxels, torch.eye(3)[None])[:, 8:40, 8:40, 8:40], voxels)
    single = torch.zeros(1, 32, 32, 32)
    single[0, 20, 10, 25] = 1
    moved = liao.pose_voxels(single, R)[0]
    at = (moved[..., None] * torch.stack(torch.meshgrid(*[torch.arange(48.0)] * 3, indexing="ij"), -1)).sum((0, 1, 2))
    expected = R[0] @ (torch.tensor([25.0, 10.0, 20.0]) - 15.5)
    torch.testing.assert_close(at.flip(0) / moved.sum() - 23.5, expected, atol=0.3, rtol=0)


# --- pose without a label ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("azimuth", [80.0, 170.0, 337.0])
def test_pose_is_found_from_the_silhouette_alone(chairs, azimuth):
    """Free hypotheses in place of a network's, from their first places: after some steps the chosen one is the pose.

    One image alone must explore, or what fits best at first is all that is ever taught.
    """
    config = replace(SMALL, hypotheses=8, mask_size=24, hypothesis_size=24, samples=64, explored=0.5, mask_growth=0)
    torch.manual_seed(0)
    voxels, truth = torch.from_numpy(chairs.voxels[:1]).float(), rotation(azimuth)
    mask = (liao.project(voxels, truth, 24, config) > 0.5).float()
    raw = torch.zeros(1, 24, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.05)
    network = liao.PoseAwareNetwork(config)
    for _ in range(150):
        angles = network.angles_of(raw)
        consistency, choice = liao.pose_loss(angles, voxels, mask, config)
        update(consistency + choice, optimizer)
    R = liao.chosen_rotation(angles, angles.choice.argmax(1)).detach()
    assert float(torch.rad2deg(rotation_angle(R, truth))) < 4.0


def test_widened_masks_fit_the_fat_cells_of_the_true_pose_better(chairs):
    """Of rendered images, whose masks are those of the mesh and not of its voxels; else the elevation makes up for it."""
    voxels = torch.from_numpy(chairs.voxels[chairs.objects]).float()
    mask = torch.from_numpy(small_masks(chairs.masks, 48)).float()
    viewpoint = matrix_to_viewpoint(torch.from_numpy(chairs.R))
    angles = liao.Angles(viewpoint[:, :1], viewpoint[:, 1:2], torch.zeros(len(chairs), 1))
    config = replace(liao.LAPTOP, hypotheses=1)
    as_is, widened = (
        float(liao.pose_loss(angles, voxels, mask, replace(config, mask_growth=reach))[0]) for reach in (0, 1)
    )
    assert widened < 0.7 * as_is


def test_hypotheses_overlap_around_the_circle_and_stay_in_reach():
    network = liao.PoseAwareNetwork(replace(SMALL, hypotheses=8))
    low, high = (network.angles_of(torch.full((1, 24), value)) for value in (-50.0, 50.0))
    centres = torch.arange(8) * math.pi / 4
    torch.testing.assert_close(high.azimuth[0], centres + 1.5 * math.pi / 8)
    torch.testing.assert_close(low.azimuth[0], centres - 1.5 * math.pi / 8)
    torch.testing.assert_close(torch.rad2deg(low.elevation), torch.full((1, 8), -20.0))
    torch.testing.assert_close(torch.rad2deg(high.elevation), torch.full((1, 8), 60.0))


def test_only_one_hypothesis_is_taught_and_the_voxels_are_left_alone(chairs):
    config = replace(SMALL, explored=0.0)
    voxels = torch.from_numpy(chairs.voxels[:2]).float()
    mask = (liao.project(voxels, rotation(95.0).expand(2, -1, -1), config.mask_size, config) > 0.5).float()
    raw = torch.zeros(2, 3 * config.hypotheses, requires_grad=True)
    consistency, choice = liao.pose_loss(liao.PoseAwareNetwork(config).angles_of(raw), voxels, mask, config)
    (consistency + choice).backward()
    assert raw.grad is not None
    shift, lift, logits = raw.grad.chunk(3, dim=1)
    assert torch.equal((shift != 0).sum(1), torch.ones(2, dtype=torch.long))
    assert torch.equal((lift != 0).sum(1), torch.ones(2, dtype=torch.long))
    assert torch.equal(logits.argmin(1), torch.tensor([1, 1]))  # 90 of 0, 90, 180, 270 degrees is made more likely


def test_training_never_reads_a_true_rotation(chairs):
    """The same step with true rotations and with none."""
    blind = replace(chairs, R=np.full_like(chairs.R, np.nan))
    logs = []
    for images in (chairs, blind):
        method = SMALL.build()
        stage = next(method.stages(images, chairs))
        torch.manual_seed(1)
        logs.append(
            {name: float(x) for name, x in stage.step(0, stage.batch(np.random.default_rng(0)), update).items()}
        )
    assert logs[0] == logs[1]
    assert all(math.isfinite(value) for value in logs[0].values())


def test_score_does_not_depend_on_true_rotations(chairs):
    method = SMALL.build()
    turned = replace(chairs, R=np.ascontiguousarray(chairs.R[::-1]))
    one, other = (next(method.stages(chairs, val)).validate() for val in (chairs, turned))
    assert one["score"] == other["score"]
    assert one["rotation_error_deg"] != other["rotation_error_deg"]


def test_score_is_of_shape_and_projection(chairs, monkeypatch):
    stage = next(SMALL.build().stages(chairs, chairs))
    known = {"voxel_iou": np.array([0.25, 0.5]), "projection_iou": np.array([0.5, 1.0]), "mask_iou": np.ones(2)}
    monkeypatch.setattr(stage, "_validate", lambda rows: known)
    assert stage.validate()["score"] == 0.375 + 0.75


# --- network and training ------------------------------------------------------------------------------------------


def test_mask_decoder_sees_the_mean_alone():
    network = liao.PoseAwareNetwork(SMALL).train()
    images = torch.rand(4, 3, SMALL.image_size, SMALL.image_size)
    first, second = network(images), network(images)
    torch.testing.assert_close(first.mask_logits, second.mask_logits)
    assert not torch.allclose(first.voxel_logits, second.voxel_logits)


def test_encoder_gets_half_of_what_the_voxel_decoder_gets():
    network = liao.PoseAwareNetwork(SMALL).eval()
    output = network(torch.rand(1, 3, SMALL.image_size, SMALL.image_size))
    code = output.shape_mean.detach().requires_grad_()
    (whole,) = torch.autograd.grad(network.voxel_decoder(code).sum(), code)
    (got,) = torch.autograd.grad(output.voxel_logits.sum(), output.shape_mean)
    torch.testing.assert_close(got, whole / 2)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("stage", ["shared", "own"])
def test_a_share_of_the_poses_gradient_reaches_the_encoder(stage, share):
    weight = []
    for given in (share, 1.0):
        network = replace(SMALL, pose_stage=stage, pose_gradient=given).build().network.eval()
        angles = network(torch.linspace(0, 1, 3 * SMALL.image_size**2).view(1, 3, SMALL.image_size, -1)).angles
        angles.azimuth.sum().backward()
        weight.append(network.encoder.conv1.weight.grad)
        last = network.encoder.layer4[0].conv1.weight.grad
        assert last is None if stage == "own" else given == 0 or last.abs().max() > 0
    assert weight[1].abs().max() > 0
    torch.testing.assert_close(torch.zeros_like(weight[1]) if weight[0] is None else weight[0], share * weight[1])


def test_a_pose_stage_of_its_own_leaves_the_other_first_weights_as_they_are():
    shared, own = (replace(SMALL, pose_stage=stage).build().state_dict() for stage in ("shared", "own"))
    assert {name for name in own if name not in shared} == {name for name in own if ".pose_stage." in name} != set()
    for name, value in shared.items():
        assert torch.equal(value, own[name]), name


def test_without_pose_branch_the_shape_alone_is_learnt(chairs):
    method = replace(SMALL, pose="none").build()
    assert not [name for name in method.state_dict() if "pose" in name or "angles" in name]
    stage = next(method.stages(chairs, chairs))
    losses = stage.step(0, stage.batch(np.random.default_rng(0)), update)
    assert "consistency" not in losses
    found = method.predict(torch.rand(2, 3, SMALL.image_size, SMALL.image_size))
    assert np.isnan(found.R).all()
    assert np.isfinite(found.voxels).all()
    assert set(stage.validate()) == {"voxel_iou", "mask_iou", "score"}
    assert stage.picture().dtype == np.uint8


def test_learning_rate_falls_to_its_last_value(chairs):
    stage = next(SMALL.build().stages(chairs, chairs))
    batch = stage.batch(np.random.default_rng(0))
    rates = []
    for number in range(SMALL.steps):
        stage.step(number, batch, update)
        rates.append(stage.optimizers["all"].param_groups[0]["lr"])
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(SMALL.learning_rate)
    assert rates[-1] == pytest.approx(SMALL.last_learning_rate)


def test_picture_shows_images_beside_predictions(chairs):
    stage = next(SMALL.build().stages(chairs, subset(chairs, [0, 5])))
    picture = stage.picture()
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * (112 + 26), 8 * 112, 3)
    assert picture[:112, :112].max() > 200  # the white ground of the first image


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mask_size": 47}, "multiple of 8"),
        ({"voxel_side": 30}, "power of two"),
        ({"voxel_side": 2}, "power of two"),
        ({"hypotheses": 0}, "hypotheses is 0; give at least 1"),
        ({"width": 0}, "width"),
        ({"image_size": 8}, "image_size"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"validation_images": 0}, "validation_images"),
        ({"learning_rate": math.nan}, "learning_rate is nan; give a number above 0"),
        ({"last_learning_rate": -1.0}, "last_learning_rate"),
        ({"temperature": 0.0}, "temperature"),
        ({"lambda_kl": -0.1}, "lambda_kl"),
        ({"lambda_ray": math.inf}, "lambda_ray"),
        ({"mask_growth": -1}, "mask_growth"),
        ({"explored": 1.5}, "share from 0 to 1"),
        ({"low_elevation_deg": 70.0}, "low < high"),
        ({"high_elevation_deg": 91.0}, "low < high"),
        ({"distance": 1.0}, "distance"),
        ({"categories": ()}, "categories"),
        ({"categories": ("car", "car")}, "differ"),
    ],
)
def test_settings_that_cannot_be_are_named_when_they_are_made(change, words):
    with pytest.raises(InputError, match=words):
        replace(liao.Config(), **change)


@pytest.mark.parametrize(("name", "value"), [("depth", 20), ("pose", "some")])
def test_choices_that_there_are_not(name, value):
    config = replace(SMALL)
    object.__setattr__(config, name, value)  # as from a file: the signature would not take it
    with pytest.raises(InputError, match=f"no {name} {value!r}; give one of"):
        config.__post_init__()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_size": 32}, "render it with 32 px"),
        ({"voxel_side": 16}, "16 cells a side"),
        ({"distance": 3.0}, "turntable"),
        ({"focal": 1.0}, "turntable"),
    ],
)
def test_sets_that_do_not_fit_are_refused(chairs, change, words):
    with pytest.raises(InputError, match=words):
        next(replace(SMALL, **change).build().stages(chairs, chairs))
