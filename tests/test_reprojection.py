"""Zhu 2017's systems: losses by hand and against wrong forms, the pi of the twist, stages that learn, what they predict."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from monoform.errors import InputError
from monoform.interfaces import ImageSet, Method, Stage
from monoform.methods.reprojection import LAPTOP, SMOKE, SYSTEMS, Config, Reprojection, rows
from monoform.methods.reprojection import poses as posing
from monoform.methods.reprojection.inference import placed, placed_best, placed_mixture
from monoform.methods.reprojection.pose_aware import reprojection_loss
from monoform.methods.reprojection.shapes import INITIAL_LOG_VARIANCE, divergence, posterior, tell_apart
from monoform.projection.voxel_max import voxel_max
from monoform.rotations import (
    axis_rotation,
    limit_twist,
    matrix_to_twist,
    rotation_angle,
    twist_to_matrix,
    viewpoint_to_matrix,
)


class Update:
    """The training loop's part of a step, without clipping."""

    def __call__(self, loss, optimizer, *, keep_graph=False):
        optimizer.zero_grad()
        loss.backward(retain_graph=keep_graph)
        optimizer.step()
        return True


def images_of(count: int, seed: int, size: int = 64) -> ImageSet:
    """Bricks of two shapes in random poses, painted by their own silhouettes; a picture tells where the brick is."""
    rng = np.random.default_rng(seed)
    voxels = np.zeros((2, 30, 30, 30), bool)
    voxels[0, 12:18, 10:20, 5:25] = True
    voxels[1, 13:17, 6:24, 11:19] = True
    objects = rng.integers(2, size=count)
    angles = torch.from_numpy(rng.uniform((-0.6, 0.0, 0.0), (0.6, 0.4, 0.01), (count, 3))).float()
    R = viewpoint_to_matrix(*angles.unbind(-1))
    t = torch.from_numpy(rng.uniform(-0.1, 0.1, (count, 3))).float() * torch.tensor([1.0, 1.0, 0.0])
    seen = voxel_max(torch.from_numpy(voxels[objects]).float(), R, t)
    large = torch.nn.functional.interpolate(seen[:, None], (size, size), mode="bilinear", align_corners=False)
    masks = (large[:, 0] * 255).round().byte().numpy()
    images = np.repeat(masks[..., None], 3, axis=3) // 2 + 40
    t[:, 2] = 5.0
    K = np.broadcast_to(
        np.array([[5.0 * size, 0, size / 2], [0, 5.0 * size, size / 2], [0, 0, 1]], np.float32), (count, 3, 3)
    )
    return ImageSet(images, masks, R.numpy(), t.numpy(), K, objects, voxels, ("a", "b"), ("car", "car"), "solid")  # fmt: skip


def natural_of(images: ImageSet) -> ImageSet:
    """The same with masks alone."""
    unknown = np.full_like(images.R, np.nan)
    return replace(images, R=unknown, t=unknown[:, 0], K=unknown, voxels=np.zeros((2, 0, 0, 0), bool), voxel_kind="")


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return images_of(24, 0)


@pytest.fixture(scope="module")
def val() -> ImageSet:
    return images_of(6, 1)


# --- pose ----------------------------------------------------------------------------------------------------------


def test_twists_on_either_side_of_pi_are_near():
    """179 and -179 degrees about one axis: two degrees apart as rotations; the plain Euclidean loss says 358."""
    axis = torch.tensor([[0.0, 0.6, 0.8]])
    twist, R = math.radians(179) * axis, twist_to_matrix(math.radians(-179) * axis)
    assert float(posing.twist_loss(twist, R)) == pytest.approx(math.radians(2) ** 2, rel=1e-2)
    assert float(posing.geodesic_loss(twist, R)) == pytest.approx(math.radians(2), rel=1e-2)


def test_the_twist_loss_is_euclidean_where_nothing_jumps():
    twist, truth = torch.tensor([[0.3, -0.2, 0.5]]), torch.tensor([[0.1, 0.1, -0.4]])
    assert float(posing.twist_loss(twist, twist_to_matrix(truth))) == pytest.approx(0.04 + 0.09 + 0.81, rel=1e-4)


@pytest.mark.parametrize("loss", ["twist", "geodesic"])
@pytest.mark.parametrize("twist", [(0.0, 0.0, 0.0), (math.pi, 0.0, 0.0), (0.0, math.pi - 1e-4, 0.0)])
def test_rotation_losses_and_their_gradients_are_finite(loss, twist):
    raw = torch.zeros(1, 3, requires_grad=True)
    value = posing.ROTATION_LOSSES[loss](limit_twist(raw), twist_to_matrix(torch.tensor([twist])))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@pytest.mark.parametrize("anchors", [1, 8])
def test_the_true_numbers_give_the_true_pose_and_no_loss(anchors):
    config = replace(LAPTOP, anchors=anchors)
    R = viewpoint_to_matrix(
        *torch.tensor([[0.0, 40.0, 170.0, 301.0], [0.0, 12.0, 30.0, 5.0], [0.0, 3.0, -4.0, 1.0]]).deg2rad()
    )
    t = torch.tensor([[0.05, -0.1, 0.0]]).repeat(4, 1)
    empty = posing.read_poses(torch.zeros(4, posing.pose_numbers(anchors)), anchors)
    from_anchors = R[:, None] @ empty.anchors.mT
    nearest = rotation_angle(from_anchors, torch.eye(3)).argmin(1)
    twist = posing.matrix_to_twist(from_anchors)
    angle = torch.linalg.vector_norm(twist, dim=-1, keepdim=True)
    raw = torch.atanh(angle / math.pi) * twist / angle.clamp(min=1e-9)
    scores = 30.0 * torch.nn.functional.one_hot(nearest, anchors)
    poses = posing.read_poses(torch.cat([scores, raw.nan_to_num().flatten(1), t[:, :2]], 1), anchors)
    assert float(rotation_angle(posing.best_rotation(poses), R).max()) < 2e-3
    assert float(posing.pose_loss(poses, R, t, config)) < 3e-3


def test_anchors_keep_the_twist_far_from_the_jump():
    """From the nearest of eight azimuths a level camera is at most 22.5 degrees off, from one up to 180."""
    azimuths = torch.linspace(0, 2 * math.pi, 161)
    R = viewpoint_to_matrix(azimuths, torch.zeros(161), torch.zeros(161))
    farthest = [
        float(
            rotation_angle(R[:, None] @ posing.read_poses(torch.zeros(1, 4 * k + 2), k).anchors.mT, torch.eye(3))
            .amin(1)
            .max()
        )
        for k in (1, 8)
    ]
    assert farthest == pytest.approx([math.pi, math.radians(22.5)], abs=1e-3)


def test_positive_angles_turn_counter_clockwise():
    assert torch.allclose(
        twist_to_matrix(torch.tensor([0.0, 0.0, math.pi / 2])), axis_rotation("z", torch.tensor(math.pi / 2)), atol=1e-6
    )


def test_a_mixture_of_sure_poses_is_the_best_and_of_two_their_mean():
    voxels = torch.zeros(1, 30, 30, 30)
    voxels[0, 10:14, 12:20, 5:24] = 1
    numbers = torch.zeros(1, posing.pose_numbers(4))
    numbers[0, 1] = 50.0
    sure = posing.read_poses(numbers, 4)
    best, mixture = placed_best(voxels, sure), placed_mixture(voxels, sure, 0.0)
    assert torch.allclose(mixture.posed, best.posed, atol=1e-5)
    numbers[0, 3] = 50.0
    other = posing.read_poses(torch.nn.functional.one_hot(torch.tensor([3]), 18) * 50.0, 4)
    mean = (best.posed + placed_best(voxels, other).posed) / 2
    assert torch.allclose(placed_mixture(voxels, posing.read_poses(numbers, 4), 0.0).posed, mean, atol=1e-5)


def test_the_turns_of_a_spread_have_the_moments_of_a_normal_distribution():
    like = torch.zeros(1, dtype=torch.float64)
    twists = matrix_to_twist(posing.turns_about(5.0, like)).rad2deg()
    assert torch.allclose(twists.mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(twists.T @ twists / len(twists), 25 * torch.eye(3, dtype=torch.float64), atol=1e-9)
    assert torch.equal(posing.turns_about(0.0, like), torch.eye(3, dtype=torch.float64)[None])


def test_a_spread_mixture_is_the_mean_over_turns_about_the_pose():
    voxels = torch.zeros(1, 30, 30, 30)
    voxels[0, 10:14, 12:20, 5:24] = 1
    numbers = torch.zeros(1, posing.pose_numbers(4))
    numbers[0, 1], numbers[0, -1] = 50.0, 0.1
    poses = posing.read_poses(numbers, 4)
    R = posing.best_rotation(poses)
    around = Rotation.from_rotvec(math.sqrt(3) * np.radians(8.0) * np.concatenate([np.eye(3), -np.eye(3)])).as_matrix()
    wanted = [placed(voxels, torch.from_numpy(turn).float() @ R, poses.t) for turn in around]
    found = placed_mixture(voxels, poses, 8.0)
    assert torch.allclose(found.posed, torch.stack([each.posed for each in wanted]).mean(0), atol=1e-5)
    assert torch.allclose(found.mask, torch.stack([each.mask for each in wanted]).mean(0), atol=1e-5)
    assert torch.equal(found.R, R)


# --- losses and batches --------------------------------------------------------------------------------------------


def test_the_silhouettes_loss_by_hand_and_where_nothing_is_seen():
    mask, truth = torch.tensor([[[0.8, 0.4]]]), torch.tensor([[[1.0, 0.0]]])
    assert float(reprojection_loss(mask, truth)) == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, rel=1e-5)
    assert float(reprojection_loss(torch.zeros(1, 2, 2), torch.ones(1, 2, 2))) == pytest.approx(
        -math.log(1e-6), rel=1e-4
    )


def test_the_divergence_by_hand():
    mean, log_variance = posterior(
        torch.tensor([[1.0, -2.0, -INITIAL_LOG_VARIANCE, math.log(4.0) - INITIAL_LOG_VARIANCE]])
    )
    assert float(divergence(mean, log_variance)) * 27000 == pytest.approx(
        0.5 * (1 + 0 + 4 + 4 - 1 - math.log(4.0)), rel=1e-5
    )
    assert float(divergence(torch.zeros(3, 5), torch.zeros(3, 5))) == 0


def test_styles_are_certain_before_anything_is_learnt():
    """Or the generator would meet noise alone and learn to do without it."""
    method = SMOKE.build()
    with torch.no_grad():
        mean, log_variance = posterior(method.networks["style"](torch.rand(8, 3, SMOKE.image_size, SMOKE.image_size)))
    assert float((0.5 * log_variance).exp().mean()) < 0.5 * float(mean.std())


def test_true_posed_shapes_are_the_same_in_mixed_precision(train):
    batch = rows.pick_rendered(train, np.arange(8))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = rows.posed(batch)
    assert torch.equal(mixed, rows.posed(batch))


def test_the_posed_shape_covers_the_mask(train):
    """The rows' frames agree: voxels, R and t give the silhouette that the image was painted by."""
    batch = rows.pick_rendered(train, np.arange(8))
    seen = rows.posed(batch).amax(1)
    overlap = torch.minimum(seen, batch["mask"]).sum() / torch.maximum(seen, batch["mask"]).sum()
    assert overlap > 0.85


def test_a_mirrored_row_is_still_true(train):
    twin = rows.mirror(rows.pick_rendered(train, np.arange(8)))
    assert torch.allclose(torch.linalg.det(twin["R"]), torch.ones(8), atol=1e-5)
    seen = voxel_max(twin["voxels"], twin["R"], twin["t"])
    assert float((seen - twin["mask"]).abs().mean()) < 0.03
    twice = rows.mirror(twin)
    assert all(torch.equal(twice[name], x) for name, x in rows.pick_rendered(train, np.arange(8)).items())


def test_natural_objects_are_held_back_with_all_their_rows(train):
    natural = natural_of(train)
    natural = replace(
        natural,
        images=np.arange(24, dtype=np.uint8)[:, None, None, None] + np.zeros_like(natural.images),
        objects=np.arange(24) // 2,
    )
    assert rows.held_back(natural).tolist() == [0, 1, 20, 21]
    drawn = rows.draw_natural(natural, 200, np.random.default_rng(0))["image"][:, 0, 0, 0] * 255
    assert set(drawn.round().int().tolist()) == set(range(24)) - {0, 1, 20, 21}


def test_masks_are_the_covered_share_of_each_cell(train):
    """64 px on 30 cells: by counting on a grid that both sides divide."""
    found = rows.pick(train, np.arange(3))["mask"]
    fine = np.kron(train.masks[:3].astype(np.float64) / 255, np.ones((1, 15, 15)))
    counted = fine.reshape(3, 30, 32, 30, 32).mean((2, 4))
    assert torch.allclose(found.double(), torch.from_numpy(counted), atol=1e-6)


def test_half_of_a_fine_tuning_batch_is_rendered_with_its_own_truth(train, val):
    """White stands for natural; the labels belong to the images that are not white."""
    natural = natural_of(replace(train, images=np.full_like(train.images, 255)))
    *_, tuning = replace(SMOKE, batch_size=8, mirrored=0.0).build().stages(train, val, natural)
    batch = tuning.batch(np.random.default_rng(0))
    white = batch["image"].flatten(1).min(1).values == 1
    assert white.tolist() == [False] * 4 + [True] * 4
    assert len(batch["voxels"]) == len(batch["R"]) == len(batch["t"]) == 4
    seen = voxel_max(batch["voxels"], batch["R"], batch["t"])
    assert float((seen - batch["mask"][:4]).abs().mean()) < 0.03


class Critic(torch.nn.Module):
    """Judges every shape alike."""

    def __init__(self, verdict: float):
        super().__init__()
        self.verdict = torch.nn.Parameter(torch.tensor(verdict))

    def forward(self, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.verdict.expand(len(voxels)), voxels.flatten(1)[:, :9]


def test_the_critic_calls_real_what_is_real():
    class Judge(torch.nn.Module):
        def forward(self, voxels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return 6 * voxels.flatten(1).mean(1) - 3, voxels

    loss, right = tell_apart(Judge(), torch.ones(2, 4, 4, 4), torch.zeros(3, 4, 4, 4))
    assert float(loss) == pytest.approx(2 * math.log1p(math.exp(-3)), rel=1e-5)
    assert float(right) == 1


def test_the_generator_gains_where_its_shapes_pass_for_real(train, val):
    found = []
    for verdict in (3.0, -3.0):
        method = replace(SMOKE, system="3D-VAE-GAN").build()
        method.networks["discriminator"] = Critic(verdict)
        (stage,) = method.stages(train, val)
        found.append(float(stage.step(0, stage.batch(np.random.default_rng(0)), Update())["adversarial"]))
    assert found == pytest.approx([math.log1p(math.exp(-3)), math.log1p(math.exp(3))], rel=1e-2)


def test_the_autoencoder_is_fixed_while_styles_are_regressed(train, val):
    method = replace(SMOKE, system="TL").build().train()
    _, style, _ = method.stages(train, val)
    before = {name: x.clone() for name, x in method.state_dict().items()}
    style.step(0, style.batch(np.random.default_rng(0)), Update())
    changed = {name.split(".")[1] for name, x in method.state_dict().items() if not torch.equal(x, before[name])}
    assert changed == {"style"}


class Recorder(Update):
    """Keeps the losses."""

    def __init__(self):
        self.losses = []

    def __call__(self, loss, optimizer, *, keep_graph=False):
        self.losses.append(loss.detach())
        with torch.autocast("cpu", enabled=False):
            return super().__call__(loss, optimizer, keep_graph=keep_graph)


@pytest.mark.parametrize("system", ["p-TL", "p-3D-VAE-GAN"])
def test_losses_are_in_single_precision_where_networks_are_not(system, train, val):
    found = []
    # Steps too small to matter: they would make more of what rounding does.
    config = replace(
        SMOKE, system=system, batch_size=16, rate=1e-9, discriminator_rate=1e-9, joint_rate=1e-9, tune_rate=1e-9
    )
    for mixed in (False, True):
        method, update = config.build(), Recorder()
        for stage in method.stages(train, val, natural_of(train)):
            torch.manual_seed(0)
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                stage.step(0, stage.batch(np.random.default_rng(0)), update)
        assert {loss.dtype for loss in update.losses} == {torch.float32}
        found.append(torch.stack(update.losses))
    assert torch.allclose(*found, rtol=0.1, atol=0.05)


# --- systems -------------------------------------------------------------------------------------------------------


def learn(method: Reprojection, train: ImageSet, val: ImageSet, natural: ImageSet | None) -> list[Stage]:
    done = []
    for number, stage in enumerate(method.stages(train, val, natural)):
        assert isinstance(stage, Stage)
        for k in range(stage.steps):
            torch.manual_seed(k)
            numbers = stage.step(k, stage.batch(np.random.default_rng([0, number, k, 0])), Update())
            assert all(np.isfinite(float(x)) for x in numbers.values())
        done.append(stage)
    return done


@pytest.mark.parametrize("system", list(SYSTEMS))
def test_every_system_trains_validates_and_predicts(system, train, val):
    method = replace(SMOKE, system=system).build()
    assert isinstance(method, Method)
    stages = learn(method, train, val, natural_of(train))
    numbers = stages[-1].validate()
    assert np.isfinite(list(numbers.values())).all()
    assert "score" in numbers
    if "style" not in method.networks:
        with pytest.raises(InputError, match="reconstruct"):
            method.predict(torch.zeros(2, 3, 64, 64))
        assert method.reconstruct(torch.zeros(2, 30, 30, 30)).shape == (2, 30, 30, 30)
        return
    picture = stages[-1].picture()
    assert picture is not None
    assert picture.dtype == np.uint8
    found = method.predict(torch.rand(2, 3, 64, 64))
    assert found.voxels.shape == found.posed.shape == (2, 30, 30, 30)
    assert found.mask.shape == (2, 30, 30)
    coupled = system.startswith("coupled")
    assert np.isfinite(found.posed if coupled else found.voxels).all()
    assert np.isnan(found.voxels).all() == coupled
    assert np.isnan(found.R).all() == (coupled or system in ("TL", "3D-VAE-GAN"))


def test_the_predicted_mask_is_equation_3_of_the_predicted_shape_and_pose(val):
    method = replace(SMOKE, placing="best", pose_spread=0.0).build()
    found = method.predict(torch.from_numpy(val.images).permute(0, 3, 1, 2).float() / 255)
    seen = voxel_max(*(torch.from_numpy(x) for x in (found.voxels, found.R, found.t)))
    assert np.allclose(found.mask, seen.numpy(), atol=1e-5)
    assert np.allclose(found.mask, found.posed.max(1), atol=1e-5)


def test_the_stages_of_each_system(train, val):
    def names(system: str, natural: ImageSet | None) -> list[str]:
        return [stage.name for stage in replace(SMOKE, system=system).build().stages(train, val, natural)]

    assert names("p-TL", natural_of(train)) == ["autoencoder", "style", "joint", "pose", "fine_tuning"]
    assert names("p-3D-VAE-GAN", None) == ["vae_gan", "pose"]
    assert names("coupled-3D-VAE-GAN", natural_of(train)) == ["vae_gan"]


def test_fine_tuning_leaves_the_generator_as_it_was(train, val):
    method = SMOKE.build()
    *_, tuning = method.stages(train, val, natural_of(train))
    before = {name: x.clone() for name, x in method.state_dict().items()}
    for k in range(2):
        tuning.step(k, tuning.batch(np.random.default_rng(k)), Update())
    after = method.state_dict()
    changed = {name.split(".")[1] for name, x in after.items() if not torch.equal(x, before[name])}
    assert changed == {"style", "pose"}


def test_a_batch_depends_on_its_generator_alone(train, val):
    stages = list(SMOKE.build().stages(train, val, natural_of(train)))
    for stage in stages:
        first, again = (stage.batch(np.random.default_rng(3)) for _ in range(2))
        assert all(torch.equal(x, again[name]) for name, x in first.items())


def test_the_seed_decides_the_weights_and_leaves_the_global_generator():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (replace(SMOKE, seed=seed).build() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    weights = [next(method.parameters()) for method in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_pose_is_learnt(train):
    """From bricks in two dozen pictures: the error on pictures that were seen halves."""
    config = replace(SMOKE, batch_size=12, image_width=4, pose_steps=100, anchors=1, mirrored=0.0, rate=3e-3)
    _, pose = config.build().stages(train, train)
    before = pose.validate()["rotation_deg"]
    for k in range(pose.steps):
        pose.step(k, pose.batch(np.random.default_rng(k)), Update())
    assert pose.validate()["rotation_deg"] < before / 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"image_size": 32}, "at least 64"),
        ({"mirrored": 2.0}, "share"),
        ({"batch_size": 2}, "at least 4"),
        ({"anchors": 0}, "anchors is 0; give at least 1"),
        ({"shape_steps": -3}, "shape_steps"),
        ({"pose_steps": 0}, "pose_steps"),
        ({"tune_steps": -1}, "tune_steps"),
        ({"rate": math.nan}, "rate is nan"),
        ({"tune_rate": 0.0}, "above 0"),
        ({"kl_weight": -1.0}, "kl_weight"),
        ({"categories": ()}, "categories"),
        ({"seed": -1}, "seed"),
        ({"placing": "best", "pose_spread": 3.0}, "with .mixture."),
    ],
)
def test_settings_that_cannot_be(change, says):
    with pytest.raises(InputError, match=says):
        replace(Config(), **change)


@pytest.mark.parametrize("name", ["placing", "rotation_loss"])
def test_choices_that_there_are_not(name):
    config = replace(SMOKE)
    object.__setattr__(config, name, "worst")
    with pytest.raises(InputError, match=f"no {name} 'worst'; give one of"):
        config.__post_init__()


def test_sets_that_do_not_fit_are_refused(train, val):
    with pytest.raises(InputError, match="make them alike"):
        next(replace(SMOKE, image_size=96).build().stages(train, val))
    with pytest.raises(InputError, match="voxels of side 0"):
        next(SMOKE.build().stages(natural_of(train), val))
    one = replace(natural_of(train), objects=np.zeros(24, np.int64))
    with pytest.raises(InputError, match="show one object"):
        next(SMOKE.build().stages(train, val, one))
    with pytest.raises(InputError, match="give \\(b, 3, 64, 64\\)"):
        SMOKE.build().predict(torch.zeros(2, 3, 32, 32))


def test_an_unknown_system_is_refused():
    config = replace(SMOKE)
    object.__setattr__(config, "system", "p-GAN")  # as from a file: the signature would not take it
    with pytest.raises(InputError, match="no system 'p-GAN'; give one of p-TL"):
        config.__post_init__()
    with pytest.raises(InputError, match="no system 'p-GAN'; give one of p-TL"):
        Reprojection(config)
