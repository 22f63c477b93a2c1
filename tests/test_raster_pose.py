"""Palazzi 2018's class and pose: the heads by hand and by SciPy, what cosines cannot say, frames, labels, representatives."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from monoform.data.representatives import Representatives
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.meshes import box, icosphere
from monoform.methods.raster_pose import SMOKE, Config, RasterPose, Spoken, heads, rows
from monoform.methods.raster_pose.learning import SAID_COLOUR, TRUE_COLOUR, Training, over
from monoform.networks.strided import StridedEncoder
from monoform.rotations import matrix_to_euler, matrix_to_sixd, rotation_angle, viewpoint_to_matrix
from raster_pose_cases import BRICKS, Update, brick, bricks_of, from_the_front, learn

MESHES = tuple(brick(extents) for extents in BRICKS)


def poses_of(azimuths: list[float], elevation: float = 10.0) -> heads.Placed:
    """Upright views, degrees, the object three sides away and off the axis."""
    azimuth = torch.tensor(azimuths).deg2rad()
    level = torch.zeros_like(azimuth)
    R = viewpoint_to_matrix(azimuth, level + math.radians(elevation), level)
    return heads.Placed(R, torch.tensor([0.3, -0.2, 3.0]).repeat(len(azimuths), 1))


def cosine_numbers(truth: heads.Placed) -> torch.Tensor:
    """The numbers whose cosines are those of the true Euler angles."""
    P = heads.camera_to_world(truth).double()
    cosines = matrix_to_euler(P[..., :3], "zyx").flip(-1).cos().clamp(-1 + 1e-12, 1 - 1e-12)
    return torch.cat([torch.atanh(cosines), P[..., 3]], dim=1).float()


def continuous_numbers(truth: heads.Placed) -> torch.Tensor:
    """The numbers that say a pose."""
    ray, depth = truth.t[:, :2] / truth.t[:, 2:], truth.t[:, 2:]
    sixd = matrix_to_sixd(heads.turn_to_ray(ray).mT @ truth.R)
    return torch.cat([sixd, ray, 2 * torch.atanh((depth / heads.START).log() / 2)], dim=1)


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return bricks_of(SMOKE, 12, 0)


@pytest.fixture
def method() -> RasterPose:
    built = SMOKE.build()
    built.set_representatives(Representatives(SMOKE.categories, MESHES))
    return built


# --- network -------------------------------------------------------------------------------------------------------


def test_the_encoder_has_the_papers_convolutions():
    encoder = StridedEncoder(128, 32, "none")
    convolutions = [layer for layer in encoder.layers if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.kernel_size[0] for layer in convolutions] == [5, 5, 5, 3, 3]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 64, 128, 256]
    assert all(layer.stride == (2, 2) for layer in convolutions)
    assert encoder(torch.rand(2, 3, 128, 128)).shape == (2, encoder.features) == (2, 256 * 4 * 4)


@pytest.mark.parametrize("size", [32, 50, 65])
def test_the_encoder_tells_its_features_at_any_size(size):
    encoder = StridedEncoder(size, 4, "batch").eval()
    assert encoder(torch.rand(1, 3, size, size)).shape == (1, encoder.features)


# --- cosines of Euler angles ---------------------------------------------------------------------------------------


def test_the_papers_pose_is_blenders_camera_in_a_world_with_z_up():
    """From the front, level, three sides away: the camera stands at 18 in front, looks back along x and has z up."""
    P = heads.camera_to_world(poses_of([0.0], 0.0)._replace(t=torch.tensor([[0.0, 0.0, 3.0]])))[0]
    expected = torch.tensor([[0.0, 0.0, 1.0, 18.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    torch.testing.assert_close(P, expected, atol=1e-5, rtol=0)


def test_the_papers_pose_and_back_is_the_pose():
    truth = poses_of([0.0, 77.0, 190.0])
    R, t = heads.from_camera_to_world(heads.camera_to_world(truth))
    torch.testing.assert_close(R, truth.R, atol=1e-5, rtol=0)
    torch.testing.assert_close(t, truth.t, atol=1e-5, rtol=0)


def test_cosines_make_scipys_rotation():
    numbers = torch.tensor([[0.3, -0.8, 1.2, 1.0, 2.0, 3.0], [-2.0, 0.0, 0.1, 0.0, 0.0, -1.0]])
    angles = np.arccos(np.tanh(numbers[:, :3].double().numpy()))
    expected = Rotation.from_euler("ZYX", angles[:, ::-1]).as_matrix()
    P = heads.cosine_matrix(numbers)
    np.testing.assert_allclose(P[..., :3], expected, atol=1e-6)
    assert torch.equal(P[..., 3], numbers[:, 3:])


def test_cosines_say_the_front_and_not_the_back():
    """A view from behind comes out mirrored in the object's cross plane: at 150 degrees as at 30."""
    truth = poses_of([-80.0, 0.0, 30.0, 80.0, 150.0, 180.0, 230.0])
    off = rotation_angle(heads.read_cosines(cosine_numbers(truth)).R, truth.R).rad2deg()
    assert float(off[:4].max()) < 0.1
    assert float(off[4:].min()) > 70
    mistaken = poses_of([30.0, 0.0, -50.0])
    assert float(rotation_angle(heads.read_cosines(cosine_numbers(truth)).R[4:], mistaken.R).rad2deg().max()) < 0.1


@pytest.mark.parametrize("value", [0.0, 60.0, -300.0])
def test_cosines_have_finite_gradients_at_the_ends(value):
    numbers = torch.full((1, 6), value, requires_grad=True)
    loss = heads.matrix_loss(numbers, poses_of([20.0]))
    (gradient,) = torch.autograd.grad(loss, numbers)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


def test_the_matrix_loss_sums_entries_and_averages_images():
    truth, said = poses_of([0.0, 40.0]), poses_of([10.0, 40.0])
    apart = (heads.camera_to_world(truth) - heads.camera_to_world(said)).numpy().astype(np.float64)
    loss = heads.matrix_loss(cosine_numbers(said), truth)
    assert float(loss) == pytest.approx((apart**2).sum((1, 2)).mean(), rel=1e-3)
    assert (apart[1] == 0).all()


# --- continuous ----------------------------------------------------------------------------------------------------


def test_every_pose_can_be_said_and_then_costs_nothing():
    truth = poses_of([0.0, 60.0, 180.0, 300.0])
    numbers = continuous_numbers(truth)
    R, t = heads.read_continuous(numbers)
    torch.testing.assert_close(R, truth.R, atol=1e-5, rtol=0)
    torch.testing.assert_close(t, truth.t, atol=1e-4, rtol=0)
    assert float(heads.angle_loss(numbers, truth)) < 2e-3


def test_the_angle_loss_by_hand():
    truth = poses_of([0.0, 0.0])
    turned = poses_of([10.0, 0.0]).R
    said = heads.Placed(turned, truth.t * torch.tensor([[1.0, 1.0, 1.0], [1.1, 1.1, 1.1]]))
    expected = (math.radians(10) + heads.PLACE_WEIGHT * math.log(1.1)) / 2
    assert float(heads.angle_loss(continuous_numbers(said), truth)) == pytest.approx(expected, abs=2e-3)


def test_the_ray_is_turned_to_by_the_smallest_rotation():
    rays = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-0.5, 0.1]])
    turn = heads.turn_to_ray(rays)
    directions = torch.nn.functional.normalize(torch.nn.functional.pad(rays, (0, 1), value=1.0), dim=1)
    torch.testing.assert_close(turn[..., 2], directions)
    expected = torch.acos(directions[:, 2].clamp(max=1))
    torch.testing.assert_close(rotation_angle(turn, torch.eye(3)), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("value", [0.0, 30.0, -30.0])
def test_objects_stay_before_the_camera_with_finite_gradients(value):
    numbers = torch.full((1, 9), value, requires_grad=True)
    assert 0.4 < float(heads.read_continuous(numbers.detach()).t[0, 2]) < 22.2
    (gradient,) = torch.autograd.grad(heads.angle_loss(numbers, poses_of([20.0])), numbers)
    assert torch.isfinite(gradient).all()


# --- frames and labels ---------------------------------------------------------------------------------------------


def test_representatives_in_true_poses_cover_the_masks(method, images):
    every = np.arange(len(images))
    classes = torch.from_numpy(rows.classes_of(images, every, SMOKE))
    seen = method.silhouettes(classes, torch.from_numpy(images.R), torch.from_numpy(images.t)).numpy()
    both, either = (f(seen, images.masks / 255).sum((1, 2)) for f in (np.minimum, np.maximum))
    assert (both / either).min() > 0.95


def test_a_mirrored_row_is_what_a_camera_sees(method, images):
    """A brick is its own mirror image, so its silhouette in the mirrored pose is the mirrored silhouette."""
    batch = rows.draw(images, replace(SMOKE, colour_shift=0.0, mirrored=0.0), np.random.default_rng(0))
    other = rows.mirror(batch)
    assert torch.equal(other["image"], batch["image"].flip(-1))
    assert torch.equal(other["class"], batch["class"])
    seen = method.silhouettes(batch["class"], batch["R"], batch["t"])
    mirrored = method.silhouettes(other["class"], other["R"], other["t"])
    torch.testing.assert_close(mirrored, seen.flip(-1), atol=1e-3, rtol=0)
    assert not torch.allclose(mirrored, seen, atol=0.1)


def test_the_share_of_mirrored_rows_is_as_asked(images):
    plain = replace(SMOKE, colour_shift=0.0, mirrored=0.0, batch_size=400)
    batch = rows.draw(images, plain, np.random.default_rng(0))
    mixed = rows.draw(images, replace(plain, mirrored=0.25), np.random.default_rng(0))
    changed = (batch["t"] != mixed["t"]).any(1)
    assert 60 < int(changed.sum()) < 140
    assert torch.equal(mixed["image"][changed], batch["image"][changed].flip(-1))


def test_classes_are_counted_as_the_config_has_them(images):
    other = replace(SMOKE, categories=("cargo", "sedan", "suv"))
    assert rows.classes_of(images, np.arange(3), SMOKE).tolist() == [0, 1, 2]
    assert rows.classes_of(images, np.arange(3), other).tolist() == [1, 2, 0]


def test_masks_can_be_what_is_seen(images):
    config = replace(SMOKE, input="mask", mirrored=0.0)
    batch = rows.draw(images, config, np.random.default_rng(0))
    drawn = np.random.default_rng(0).integers(len(images), size=config.batch_size)
    expected = torch.from_numpy(images.masks[drawn] / np.float32(255))
    for channel in range(3):
        torch.testing.assert_close(batch["image"][:, channel], expected)
    stage = next(config.build().stages(images, images))
    stage.step(0, batch, Update())
    assert math.isfinite(stage.validate()["score"])


@pytest.mark.parametrize("wrong", ["class", "lens", "pose", "behind", "voxels"])
def test_sets_of_another_kind_are_refused(images, wrong):
    broken = {
        "class": {"categories": ("sedan", "suv", "boat")},
        "lens": {"K": images.K * np.float32(1.2)},
        "pose": {"R": np.full_like(images.R, np.nan)},
        "behind": {"t": -images.t},
        "voxels": {"voxels": images.voxels[:, ::2, ::2, ::2]},
    }[wrong]
    with pytest.raises(InputError, match="validation set"):
        next(SMOKE.build().stages(images, replace(images, **broken)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"categories": ("sedan",)}, {"categories": ("sedan", "sedan")}, {"image_size": 16}, {"width": 0},
        {"batch_size": 1}, {"dropout": 1.0}, {"rate": 0.0}, {"mirrored": 1.5}, {"focal": math.nan}, {"weight_decay": -1.0},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        Config(**wrong)


# --- representatives -----------------------------------------------------------------------------------------------


def test_without_representatives_nothing_is_drawn():
    found = SMOKE.build().predict(torch.rand(2, 3, 64, 64))
    assert not found.mask.any()
    assert not found.voxels.any()


def test_representatives_that_do_not_fit_are_refused():
    method, capacity = SMOKE.build(), SMOKE.faces
    ball = icosphere(4)
    assert len(ball.faces) > capacity
    with pytest.raises(InputError, match="in this order"):
        method.set_representatives(Representatives(("suv", "sedan", "cargo"), MESHES))
    with pytest.raises(InputError, match=f"'cargo' has .* {capacity}"):
        method.set_representatives(Representatives(SMOKE.categories, (*MESHES[:2], ball)))


def test_representatives_that_were_set_are_kept_and_saved(method, images):
    next(method.stages(images, images))
    assert int((method.faces[:, :, 0] >= 0).sum()) == 3 * 12
    other = SMOKE.build()
    other.load_state_dict(method.state_dict())
    poses = (torch.tensor([0, 2]), torch.from_numpy(images.R[:2]), torch.from_numpy(images.t[:2]))
    assert torch.equal(other.silhouettes(*poses), method.silhouettes(*poses))


def test_setting_smaller_representatives_leaves_nothing_of_the_larger():
    method = SMOKE.build()
    method.set_representatives(Representatives(SMOKE.categories, (icosphere(2, 0.5),) * 3))
    method.set_representatives(Representatives(SMOKE.categories, tuple(box(extents) for extents in BRICKS)))
    fresh = SMOKE.build()
    fresh.set_representatives(Representatives(SMOKE.categories, tuple(box(extents) for extents in BRICKS)))
    for name in ("vertices", "faces", "voxels"):
        assert torch.equal(getattr(method, name), getattr(fresh, name))


def test_a_class_without_meshes_is_stood_for_by_its_medoid(images):
    """Of three shapes of a class, the one between the others."""
    low, middle, high = np.zeros((3, *images.voxels.shape[1:]), bool)
    low[:, 14:18, 8:24] = middle[:, 12:20, 8:24] = high[:, 10:22, 8:24] = True
    voxels = np.stack([images.voxels[0], images.voxels[1], low, high, middle])
    categories = ("sedan", "suv", "cargo", "cargo", "cargo")
    method = SMOKE.build()
    next(method.stages(replace(images, voxels=voxels, categories=categories, object_ids=tuple("abcde")), images))
    np.testing.assert_allclose(np.ptp(method.vertices[2].numpy(), axis=0), [16 / 32, 8 / 32, 1], atol=0.03)


# --- learning and prediction ---------------------------------------------------------------------------------------


def test_true_answers_score_in_full(method, images, monkeypatch):
    """And those of one wrong class, a turn of 40 degrees and a shift lose what they should."""
    stage = Training(method, images, images)
    count = len(stage.val)
    classes = torch.from_numpy(rows.classes_of(stage.val, np.arange(count), SMOKE))
    said = Spoken(10.0 * torch.nn.functional.one_hot(classes, 3), *map(torch.from_numpy, (stage.val.R, stage.val.t)))
    monkeypatch.setattr(method, "say", lambda images: said)
    numbers = stage.validate()
    assert (numbers["accuracy"], numbers["acc_pi_6"]) == (1, 1)
    assert numbers["rotation_deg"] < 0.1
    assert numbers["translation"] == 0
    assert numbers["score"] == pytest.approx((2 + numbers["mask_iou"]) / 3)
    assert numbers["score"] > 0.97

    R, t, logits = said.R.clone(), said.t.clone(), said.class_logits.clone()
    R[0] = R[0] @ torch.from_numpy(Rotation.from_euler("y", 40, degrees=True).as_matrix()).float()
    t[1, 0] += 0.4
    logits[2] = logits[2].roll(1)
    monkeypatch.setattr(method, "say", lambda images: Spoken(logits, R, t))
    worse = stage.validate()
    assert worse["accuracy"] == worse["acc_pi_6"] == pytest.approx(1 - 1 / count)
    assert worse["rotation_deg"] == pytest.approx(40 / count, abs=0.1)
    assert worse["translation"] == pytest.approx(0.4 / count, abs=1e-5)
    assert worse["mask_iou"] < numbers["mask_iou"] - 0.5 / count


def test_only_convolutions_decay_and_the_rate_falls(method, images):
    stage = Training(method, images, images)
    decaying, others = stage.optimizers["all"].param_groups
    assert [weight.ndim for weight in decaying["params"]] == [4] * 5
    assert (decaying["weight_decay"], others["weight_decay"]) == (SMOKE.weight_decay, 0)
    assert len(decaying["params"]) + len(others["params"]) == len(list(method.parameters()))
    rates = []
    for number in range(stage.steps):
        stage.step(number, stage.batch(np.random.default_rng(number)), Update())
        rates.append(decaying["lr"])
    assert rates[0] == SMOKE.rate
    assert rates == sorted(rates, reverse=True)
    assert SMOKE.last_rate < rates[-1] < 0.5 * SMOKE.rate


@pytest.mark.parametrize(("head", "accuracy"), [("cosine", 0.0), ("continuous", 0.7)])
def test_class_and_pose_of_unseen_bricks_are_learnt(head, accuracy):
    """Of bricks seen from the front, which both heads can say. Classes take longer beside Eq. 2, a large number."""
    config = replace(SMOKE, head=head, batch_size=16, mirrored=0.0, colour_shift=0.0, validation_images=32, steps=100)
    train, val = (from_the_front(bricks_of(config, count, seed)) for count, seed in ((240, 1), (60, 2)))
    stage = next(config.build().stages(train, val))
    before = stage.validate()
    learn(stage)
    after = stage.validate()
    assert after["accuracy"] >= accuracy
    assert after["rotation_deg_median"] < 30 < 0.5 * before["rotation_deg_median"] + 5
    assert after["mask_iou"] > before["mask_iou"] + 0.1


def test_prediction_is_the_said_representative_in_the_said_pose(method, images, monkeypatch):
    R, t = torch.eye(3)[None], torch.tensor([[0.1, 0.0, 2.5]])
    monkeypatch.setattr(method, "say", lambda images: Spoken(torch.tensor([[0.0, 5.0, 1.0]]), R, t))
    found = method.predict(torch.rand(1, 3, 64, 64))
    middle = slice(8, 40)
    np.testing.assert_array_equal(found.voxels[0], images.voxels[1] | (found.voxels[0] > 0))
    np.testing.assert_allclose(found.posed[0, middle, middle, middle], found.voxels[0], atol=1e-5)
    assert found.posed.sum() == pytest.approx(found.voxels.sum(), rel=1e-5)
    np.testing.assert_array_equal(found.mask, method.silhouettes(torch.tensor([1]), R, t).numpy())


def test_the_picture_tells_mask_and_silhouette_apart(method, images):
    mask, shown = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)
    mask[0], shown[:, 0] = 1, 1
    picture = over(mask, shown)
    expected = [[(255, 255, 255), TRUE_COLOUR], [SAID_COLOUR, (0, 0, 0)]]
    np.testing.assert_array_equal(picture, expected)
    sheet = Training(method, images, images).picture()
    assert sheet.dtype == np.uint8
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 20
