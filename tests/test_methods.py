"""What every method keeps to, whatever its paper: at the size of SMOKE, over all of METHODS."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from monoform.checkpoints import describe_method, load_method, save_method
from monoform.data.image_sets import DrawnObjects, render_posts, render_turntable, render_weak, shapes_for, subset
from monoform.errors import InputError
from monoform.interfaces import ImageSet, Method, Stage
from monoform.methods import METHODS
from monoform.methods.image_tensors import area_mean, small_masks
from monoform.training import TrainSettings, train

NAMES = sorted(METHODS)
RENDERERS: dict[str, Callable[..., ImageSet]] = {
    "raster_pose": render_posts,
    "reprojection": render_weak,
    "self_consistency": render_turntable,
}
"""The kind of set that each learns from, its defaults its paper's."""


def smoke(name: str) -> Any:
    """The config of that name's SMOKE."""
    return import_module(METHODS[name].__module__).SMOKE


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def images(name) -> ImageSet:
    config = smoke(name)
    entries, categories, ids = classed_cars(config) if name == "raster_pose" else shapes(config)
    return RENDERERS[name](DrawnObjects(entries, categories, ids), size=config.image_size, views=4, seed=0)


def shapes(config: Any) -> tuple[list[Any], list[str], list[str]]:
    """Three shapes of the first category, and their ids."""
    category = config.categories[0]
    entries, ids = shapes_for(category, 3, 0)
    return entries, [category] * 3, ids


def classed_cars(config: Any) -> tuple[list[Any], list[str], list[str]]:
    """A car of each class; the classes are kinds of cars."""
    cars = [shapes_for("car", 1, 0, kind) for kind in config.categories]
    return [car[0][0] for car in cars], list(config.categories), [car[1][0] for car in cars]


class PlainUpdate:
    """An update without the loop; keeps the losses it was given."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def __call__(self, loss, optimizer, *, keep_graph=False) -> bool:
        optimizer.zero_grad()
        loss.backward(retain_graph=keep_graph)
        optimizer.step()
        self.losses.append(float(loss.detach()))
        return True


def first_stage(method: Method, images: ImageSet) -> Stage:
    return next(method.stages(images, images))


def weights(method: Any) -> dict[str, torch.Tensor]:
    return {key: value.detach().clone() for key, value in method.state_dict().items()}


def assert_equal_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [key for key in a if not torch.equal(a[key], b[key])] == []


def some_images(config: Any, count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, config.image_size, config.image_size, generator=torch.Generator().manual_seed(0))


def test_method_and_stages_are_what_the_interface_names(name, images):
    method = smoke(name).build()
    assert isinstance(method, Method)
    assert isinstance(method, torch.nn.Module)
    assert method.config == smoke(name)
    assert isinstance(first_stage(method, images), Stage)


def test_build_is_repeatable_and_leaves_torchs_generator(name):
    config = smoke(name)
    before = torch.random.get_rng_state()
    first = config.build()
    assert torch.equal(torch.random.get_rng_state(), before)
    assert_equal_weights(weights(first), weights(config.build()))
    other = weights(replace(config, seed=config.seed + 1).build())
    assert any(not torch.equal(value, other[key]) for key, value in weights(first).items())


def test_prediction_has_the_promised_shapes_and_ranges(name):
    method = smoke(name).build()
    found = method.predict(some_images(method.config))
    for array in (found.voxels, found.R, found.t, found.posed, found.mask):
        assert array.dtype == np.float32
        assert np.isfinite(array).all()
        assert len(array) == 3
    assert found.R.shape == (3, 3, 3)
    assert found.t.shape == (3, 3)
    for array, axes in ((found.voxels, 3), (found.posed, 3), (found.mask, 2)):
        assert array.ndim == 1 + axes
        assert len(set(array.shape[1:])) == 1
        assert array.min() >= 0
        assert array.max() <= 1 + 1e-6
    np.testing.assert_allclose(found.R @ found.R.transpose(0, 2, 1), np.tile(np.eye(3), (3, 1, 1)), atol=1e-5)
    assert (np.linalg.det(found.R) > 0).all()


def test_prediction_of_an_image_does_not_depend_on_its_neighbours(name):
    method, batch = smoke(name).build(), some_images(smoke(name))
    whole, alone = method.predict(batch), method.predict(batch[1:2])
    np.testing.assert_allclose(whole.voxels[1:2], alone.voxels, atol=1e-5)
    np.testing.assert_allclose(whole.R[1:2], alone.R, atol=1e-4)


def test_every_stage_updates_once_and_stays_finite(name, images):
    torch.manual_seed(0)
    method = smoke(name).build()
    names = []
    for stage in method.stages(images, images):
        names.append(stage.name)
        assert stage.steps > 0
        before, update = weights(method), PlainUpdate()
        logged = stage.step(0, stage.batch(np.random.default_rng(0)), update)
        after = weights(method)
        assert update.losses
        assert np.isfinite(update.losses).all()
        assert all(np.isfinite(float(value)) for value in logged.values())
        assert all(bool(torch.isfinite(value).all()) for value in after.values())
        assert any(not torch.equal(before[key], after[key]) for key in before)
        assert np.isfinite(stage.validate()["score"])
    assert len(set(names)) == len(names)


def test_one_batch_can_be_learnt_by_heart(name, images):
    torch.manual_seed(0)
    stage = first_stage(smoke(name).build(), images)
    batch, update = stage.batch(np.random.default_rng(0)), PlainUpdate()
    for _ in range(80):
        stage.step(0, batch, update)
    each = np.array(update.losses).reshape(80, -1).sum(1)
    assert each[-5:].mean() < 0.5 * each[:3].mean()


def test_batches_and_steps_follow_their_seeds_alone(name, images):
    results = []
    for noise in (1, 2):
        np.random.seed(noise)  # noqa: NPY002 (the global generator must not matter)
        torch.manual_seed(noise)
        method = smoke(name).build()
        stage = first_stage(method, images)
        batch = stage.batch(np.random.default_rng(5))
        torch.manual_seed(7)
        stage.step(0, batch, PlainUpdate())
        results.append(({key: value.clone() for key, value in batch.items()}, weights(method)))
    assert_equal_weights(results[0][0], results[1][0])
    assert_equal_weights(results[0][1], results[1][1])


def test_saved_method_predicts_the_same(name, images, tmp_path):
    method = smoke(name).build()
    stage = first_stage(method, images)
    stage.step(0, stage.batch(np.random.default_rng(0)), PlainUpdate())
    save_method(method, name, tmp_path / "saved")
    loaded = load_method(tmp_path / "saved")
    assert loaded.config == method.config
    batch = some_images(method.config)
    np.testing.assert_array_equal(loaded.predict(batch).voxels, method.predict(batch).voxels)
    np.testing.assert_array_equal(loaded.predict(batch).R, method.predict(batch).R)


class StopAfter:
    """A listener that interrupts the training, as Ctrl-C does, after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def begin(self, stage, steps, done) -> None:
        pass

    def step(self, stage, done, values) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def validated(self, stage, done, scores, best) -> None:
        pass

    def warn(self, text) -> None:
        pass


def test_resumed_training_ends_where_an_unbroken_one_does(name, images, tmp_path):
    def run(folder: str, **settings: Any) -> dict[str, torch.Tensor]:
        method = smoke(name).build()
        listener = settings.pop("listener", None)
        train(
            method.stages(images, images),
            tmp_path / folder,
            TrainSettings(device="cpu", checkpoint_every=2, validate_every=0, **settings),
            model=method,
            describe=describe_method(name, method.config),
            listener=listener,
        )
        return weights(method)

    unbroken = run("unbroken")
    stopped = run("stopped", listener=StopAfter(3))
    assert any(not torch.equal(value, stopped[key]) for key, value in unbroken.items())
    assert_equal_weights(unbroken, run("stopped", resume=True))


def test_losses_are_near_in_mixed_precision(name, images):
    losses = []
    for mixed in (False, True):
        stage, update = first_stage(smoke(name).build(), images), PlainUpdate()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            stage.step(0, stage.batch(np.random.default_rng(0)), update)
        losses.append(update.losses)
    assert losses[1] == pytest.approx(losses[0], rel=0.05, abs=0.02)
    assert losses[1] != losses[0]


def test_area_means_are_exact_where_sides_do_not_divide():
    picture = np.random.default_rng(0).integers(0, 256, (2, 6, 6), np.uint8)
    counted = np.kron(picture, np.ones((1, 2, 2))).reshape(2, 4, 3, 4, 3).mean((2, 4))
    np.testing.assert_allclose(area_mean(picture, 4), counted, rtol=1e-5)
    assert np.array_equal(small_masks(picture, 4), counted >= 127.5)
    np.testing.assert_allclose(area_mean(picture, 12), np.kron(picture, np.ones((1, 2, 2))), rtol=1e-6)


def test_images_that_cannot_be_used_are_refused(name):
    method = smoke(name).build()
    good = some_images(method.config)
    broken = good.clone()
    broken[0, 0, 3, 3] = torch.nan
    for images in (good[:, :, 1:], good[:, :2], good[:0], broken):
        with pytest.raises(InputError):
            method.predict(images)


def test_sets_that_cannot_be_learnt_from_are_refused(name, images):
    empty, small = subset(images, []), replace(images, images=images.images[:, 1:, 1:])
    for first, second in ((empty, images), (images, empty), (small, images)):
        with pytest.raises(InputError):
            next(smoke(name).build().stages(first, second))
