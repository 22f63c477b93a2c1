"""Protocols: a perfect method has a perfect table, known mistakes give known numbers, and nothing is left unsaid."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

from monoform.data.image_sets import of_category, subset
from monoform.data.representatives import Representatives
from monoform.data.voxel_targets import make_target
from monoform.errors import InputError, NumericError
from monoform.evaluate import (
    MACRO,
    POOLED,
    Evaluation,
    Liao2019Protocol,
    Palazzi2018Protocol,
    Views,
    Way,
    Zhu2017Protocol,
    evaluate_liao2019,
    evaluate_mean_shape,
    evaluate_palazzi2018,
    evaluate_reconstruction,
    evaluate_steps,
    evaluate_training_shapes,
    evaluate_zhu2017,
    gains,
    joined,
    posed_grid,
    posed_side,
    retrieval,
    true_objects,
    true_posed,
)
from monoform.files.meshes import save_mesh
from monoform.interfaces import ImageSet, Method, Prediction
from monoform.meshes import Mesh, box, concatenate, icosphere
from monoform.methods.image_tensors import area_mean
from monoform.methods.raster_pose import SMOKE, RasterPose, Spoken
from monoform.metrics import HALF_TURN, mask_iou, voxel_iou
from monoform.projection.coverage import coverage
from monoform.projection.rays import ray_silhouette
from monoform.projection.voxel_max import voxel_max
from monoform.reproduction.liao2019 import TRAINING_SHAPES, Task, training_shapes
from monoform.reproduction.runs import Workshop
from monoform.rotations import viewpoint_to_matrix

PX = 64
FAST = {"resamples": 50, "batch_size": 4}
LIAO, ZHU = Liao2019Protocol(**FAST), Zhu2017Protocol(**FAST)


class Oracle(nn.Module):
    """A stand-in that reads an image's row from its first pixel and says what it is given for it."""

    def __init__(self, said: Prediction):
        super().__init__()
        self.config, self.said = None, said

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None):
        return iter(())

    def predict(self, images: torch.Tensor) -> Prediction:
        rows = (images[:, 0, 0, 0] * 255).round().long().numpy()
        return Prediction(*(getattr(self.said, name)[rows] for name in ("voxels", "R", "t", "posed", "mask")))


def blocks(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Shapes of a body and a fin, within the grid's inner sphere and without symmetry."""
    grids = np.zeros((count, side, side, side), bool)
    low, high = side // 4, side - side // 4
    for grid in grids:
        a, b = rng.integers(1, side // 8 + 1, 2)
        grid[low + a : high, low + b : high - b, side // 2 - 2 : side // 2 + 2] = True
        grid[low : low + 3 + a, side // 2 : high, low + 2 : high - 2] = True
    return grids


def turns(azimuths_deg: np.ndarray, elevation_deg: float = 30.0) -> np.ndarray:
    azimuth = torch.tensor(azimuths_deg, dtype=torch.float64).deg2rad()
    elevation = torch.full_like(azimuth, elevation_deg).deg2rad()
    return viewpoint_to_matrix(azimuth, elevation, torch.zeros_like(azimuth)).numpy().astype(np.float32)


def marked(masks: np.ndarray) -> np.ndarray:
    """Images that carry their row in the first pixel."""
    images = np.repeat(masks[..., None], 3, axis=-1)
    images[:, 0, 0] = np.arange(len(images))[:, None]
    return images


@pytest.fixture(scope="module")
def turntable() -> ImageSet:
    """Three objects in two categories, four views each, through MVC's camera; masks are the voxels' own projections."""
    voxels = blocks(np.random.default_rng(0), 3, 32)
    objects, R = np.repeat(np.arange(3), 4), turns(np.tile([0.0, 75.0, 180.0, 285.0], 3))
    t, K = np.tile(np.float32([0, 0, 2]), (12, 1)), np.float32([[120, 0, 32], [0, 120, 32], [0, 0, 1]])
    occupancy = torch.from_numpy(voxels[objects]).float()
    shown = ray_silhouette(
        occupancy, torch.from_numpy(R), torch.from_numpy(t), K=torch.from_numpy(K)[None], size_hw=(PX, PX),
        near_far=(1.0, 3.0),
    )  # fmt: skip
    masks = np.where(shown.numpy() >= 0.5, 255, 0).astype(np.uint8)
    return ImageSet(
        marked(masks), masks, R, t, np.tile(K, (12, 1, 1)), objects, voxels, ("a", "b", "c"), ("car", "car", "chair"),
        "shell",
    )  # fmt: skip


@pytest.fixture(scope="module")
def weak() -> ImageSet:
    """Three objects, four views each, in weak perspective, shifted in the image."""
    voxels = blocks(np.random.default_rng(1), 3, 30)
    objects, R = np.repeat(np.arange(3), 4), turns(np.tile([10.0, 100.0, 200.0, 300.0], 3), 15.0)
    t = np.tile(np.float32([0.1, -0.1, 5]), (12, 1))
    flat = torch.from_numpy(t * np.float32([1, 1, 0]))
    shown = voxel_max(torch.from_numpy(voxels[objects]).float(), torch.from_numpy(R), flat).numpy() >= 0.5
    masks = np.kron(shown, np.ones((2, 2))).astype(np.uint8) * 255
    return ImageSet(
        marked(masks), masks, R, t, np.full((12, 3, 3), np.nan, np.float32), objects, voxels, ("a", "b", "c"),
        ("car", "car", "chair"), "solid",
    )  # fmt: skip


def truth_of(images: ImageSet, mask_px: int) -> Prediction:
    voxels = images.voxels[images.objects].astype(np.float32)
    shift = images.t * np.float32([1, 1, 0])
    posed = (posed_grid(voxels, images.R, voxels.shape[-1], shift) >= 0.5).astype(np.float32)
    step = images.masks.shape[-1] // mask_px
    mask = (images.masks[:, ::step, ::step] > 0).astype(np.float32)
    return Prediction(voxels, images.R, images.t, posed, mask)


def values(found: Evaluation, column: str = POOLED) -> dict[str, float]:
    return {name: row[column].value for name, row in found.table.items()}


# --- Liao 2019


def test_a_perfect_method_has_perfect_tables(turntable):
    found = evaluate_liao2019(Oracle(truth_of(turntable, PX)), turntable, turntable, LIAO)
    for name, value in values(found).items():
        if name.startswith("projection"):
            assert value > 0.9, "projections at 48 px against masks of 64 px: high, but limited by resolution"
        elif "iou" in name:
            assert value == 1, name
        else:
            assert value == pytest.approx(0, abs=0.05), name
    assert found.protocol["tuned_thresholds"] == {
        name: {"voxels": 0.5, "posed": 0.5, "projection": found.protocol["tuned_thresholds"][name]["projection"]}
        for name in ("car", "chair")
    }


def test_true_shape_in_true_pose_shows_the_resolution_ceiling_whatever_is_predicted(turntable):
    said = truth_of(turntable, PX)
    wrong = replace(said, voxels=np.zeros_like(said.voxels), R=said.R @ HALF_TURN.astype(np.float32))
    perfect, found = (values(evaluate_liao2019(Oracle(s), turntable, None, LIAO)) for s in (said, wrong))
    name = "projection_iou.true_shape.true_pose.fixed"
    assert 0.9 < found[name] < 1
    assert found[name] == perfect[name] == perfect["projection_iou.predicted_shape.predicted_pose.fixed"]
    assert found["posed_iou.true_shape.true_pose.fixed"] == 1
    assert found["voxel_iou.fixed"] == found["posed_iou.predicted_shape.true_pose.fixed"] == 0


def test_poses_flipped_by_a_half_turn_give_the_known_numbers(turntable):
    said = truth_of(turntable, PX)
    flipped = np.arange(12) % 2 == 0
    R = np.where(flipped[:, None, None], said.R @ HALF_TURN.astype(np.float32), said.R)
    found = values(evaluate_liao2019(Oracle(replace(said, R=R)), turntable, None, LIAO))
    assert found["rotation_error_deg"] == pytest.approx(90, abs=0.05)
    assert found["rotation_error_deg.median"] == pytest.approx(90, abs=0.05)
    assert found["half_turn_error_deg"] == pytest.approx(0, abs=0.05)
    assert found["flipped"] == 0.5
    assert found["elevation_error_deg"] == pytest.approx(0, abs=0.05)
    for shape in ("predicted", "true"):
        assert found[f"posed_iou.{shape}_shape.predicted_pose.fixed"] < 0.9
        assert found[f"posed_iou.{shape}_shape.resolved_pose.fixed"] == 1


def test_the_resolved_pose_is_the_nearer_of_the_two_however_far_off(turntable):
    """An azimuth 120 degrees off is no flip, but its half-turn is 60 degrees off."""
    azimuths = np.tile([0.0, 75.0, 180.0, 285.0], 3)
    said, rows = replace(truth_of(turntable, PX), R=turns(azimuths + 120.0)), np.arange(12)
    views = Views(said, turntable, rows, LIAO)
    nearer = posed_grid(turntable.voxels[turntable.objects].astype(np.float32), turns(azimuths - 60.0), 48)
    assert np.allclose(views.posed("true", "resolved"), nearer, atol=1e-3)
    found = evaluate_liao2019(Oracle(said), turntable, None, LIAO)
    assert values(found)["flipped"] == 0
    assert "135" in found.protocol["flipped"]


def test_pose_aware_grids_are_half_as_wide_again_with_cells_of_the_same_size(turntable):
    assert [posed_side(side, LIAO) for side in (16, 30, 32, 64)] == [24, 44, 48, 96]
    views = Views(truth_of(turntable, PX), turntable, np.arange(12), LIAO)
    assert views.true_posed.shape == (12, 48, 48, 48)
    cells = views.posed("true", "predicted").sum((1, 2, 3)) / turntable.voxels[turntable.objects].sum((1, 2, 3))
    assert cells == pytest.approx(1, abs=0.01)


def test_an_elevation_that_is_off_shows_as_such(turntable):
    said = replace(truth_of(turntable, PX), R=turns(np.tile([0.0, 75.0, 180.0, 285.0], 3), 37.0))
    found = values(evaluate_liao2019(Oracle(said), turntable, None, LIAO))
    assert found["elevation_error_deg"] == pytest.approx(7, abs=1e-3)
    assert found["azimuth_error_deg"] == pytest.approx(0, abs=1e-3)
    assert found["flipped"] == 0


def test_thresholds_are_tuned_on_validation_for_each_category(turntable):
    said = truth_of(turntable, PX)
    # Of cars every cell of the truth has 0.3 and every other 0.1; of chairs 0.9 and 0.6.
    car = (np.array(turntable.categories)[turntable.objects] == "car")[:, None, None, None]
    high, low = np.where(car, 0.3, 0.9), np.where(car, 0.1, 0.6)
    said = replace(said, voxels=np.where(said.voxels > 0, high, low).astype(np.float32))
    found = evaluate_liao2019(Oracle(said), turntable, turntable, LIAO)
    tuned = {name: row["voxels"] for name, row in found.protocol["tuned_thresholds"].items()}
    assert tuned == {"car": 0.3, "chair": 0.61}
    assert found.table["voxel_iou.tuned"][POOLED].value == 1
    assert found.table["voxel_iou.fixed"]["car"].value == 0
    without = evaluate_liao2019(Oracle(said), turntable, None, LIAO)
    assert without.protocol["tuned_thresholds"] == {}
    assert "voxel_iou.tuned" not in without.table


def test_a_category_without_validation_images_is_named(turntable):
    cars = replace(turntable, categories=("car", "car", "car"))
    with pytest.raises(InputError, match="no validation images of chair"):
        evaluate_liao2019(Oracle(truth_of(turntable, PX)), turntable, cars, LIAO)


def test_a_method_without_poses_is_measured_by_its_shapes_alone(turntable):
    said = truth_of(turntable, PX)
    blind = replace(said, R=np.full_like(said.R, np.nan), posed=np.full_like(said.posed, np.nan))
    found = evaluate_liao2019(Oracle(blind), turntable, turntable, LIAO)
    assert set(found.table) == {"mask_iou", "voxel_iou.fixed", "voxel_iou.tuned"}
    assert found.table["voxel_iou.tuned"][POOLED].value == 1


def test_macro_and_pooled_means_are_told_apart(turntable):
    said = truth_of(turntable, PX)
    voxels = said.voxels.copy()
    voxels[8:] = 0  # the chair's four of twelve images
    row = evaluate_liao2019(Oracle(replace(said, voxels=voxels)), turntable, None, LIAO).table["voxel_iou.fixed"]
    assert {name: cell.value for name, cell in row.items()} == pytest.approx(
        {"car": 1, "chair": 0, MACRO: 0.5, POOLED: 2 / 3}
    )
    assert row["car"].low == row["car"].high == 1
    assert row[POOLED].low < 2 / 3 < row[POOLED].high
    assert (row[POOLED].images, row[POOLED].objects, row["chair"].objects) == (12, 3, 1)


def test_the_macro_interval_is_that_of_the_categories_mean(turntable):
    """One car, always right; two chairs, one of them never: the mean of both lies between a half and 1."""
    other = replace(turntable, categories=("chair", "chair", "car"))
    said = truth_of(other, PX)
    voxels = said.voxels.copy()
    voxels[:4] = 0
    row = evaluate_liao2019(Oracle(replace(said, voxels=voxels)), other, None, LIAO).table["voxel_iou.fixed"]
    assert (row["car"].low, row["car"].high) == (1, 1)
    assert (row["chair"].low, row["chair"].high) == (0, 1)
    assert (row[MACRO].low, row[MACRO].high) == (0.5, 1)


def test_near_duplicates_are_drawn_together(turntable, weak):
    """Of two alike cars one is never right: drawn each for itself they make an interval, drawn as one none."""
    said = truth_of(turntable, PX)
    voxels = said.voxels.copy()
    voxels[:4] = 0
    method, groups = Oracle(replace(said, voxels=voxels)), {"a": "one", "b": "one", "c": "two"}
    apart, together = (evaluate_liao2019(method, turntable, None, LIAO, given) for given in (None, groups))
    cells = [found.table["voxel_iou.fixed"]["car"] for found in (apart, together)]
    assert [(cell.low, cell.high) for cell in cells] == [(0, 1), (0.5, 0.5)]
    assert [cell.objects for cell in cells] == [2, 2]
    assert apart.protocol["resampled"] == "objects"
    assert together.protocol["resampled"] == "groups of near-duplicates (2)"
    assert joined([together, together], LIAO).protocol["resampled"] == "groups of near-duplicates (4)"
    with pytest.raises(InputError, match="object 'c'"):
        evaluate_zhu2017(Oracle(truth_of(weak, 30)), weak, ZHU, {"a": "one", "b": "one"})


# --- training shapes


def shapes_of(grids: np.ndarray, categories: tuple[str, ...], images: ImageSet) -> ImageSet:
    """A set with these shapes, an image each."""
    rows = np.arange(len(grids))
    ids = tuple(f"{category}-{row}" for category, row in zip(categories, rows))
    per_image = {name: getattr(images, name)[rows] for name in ("images", "masks", "R", "t", "K")}
    return replace(images, **per_image, objects=rows, voxels=grids, object_ids=ids, categories=categories)


def test_the_mean_and_the_nearest_training_shape_are_those_counted_out(turntable):
    rng = np.random.default_rng(3)
    names = ("car", "car", "car", "car", "chair", "chair")
    train, val = (shapes_of(rng.random((6, 8, 8, 8)) < share, names, turntable) for share in (0.4, 0.3))
    test = replace(turntable, voxels=rng.random((3, 8, 8, 8)) < 0.35)
    found = evaluate_training_shapes(train, test, val, LIAO)
    for name, own in (("car", slice(0, 4)), ("chair", slice(4, 6))):
        mean, tried = train.voxels[own].mean(0), np.arange(1, 100) / 100
        ious = [voxel_iou(val.voxels[own], np.stack([mean >= cut] * len(val.voxels[own]))).mean() for cut in tried]
        cut = found.protocol["tuned_thresholds"][name]
        assert ious[round(100 * cut) - 1] == max(ious)
        objects = np.flatnonzero(np.array(test.categories) == name)
        row = found.table["voxel_iou.mean_shape"][name]
        assert row.value == pytest.approx(np.mean([voxel_iou(test.voxels[k], mean >= cut) for k in objects]))
        nearest = [max(voxel_iou(test.voxels[k], shape) for shape in train.voxels[own]) for k in objects]
        assert found.table["voxel_iou.nearest_shape"][name].value == pytest.approx(np.mean(nearest))
    assert found.table["voxel_iou.nearest_shape"][POOLED].images == 12


def test_training_shapes_that_cannot_be_compared_are_named(turntable):
    only = replace(turntable, categories=("car", "car", "car"))
    bare = replace(turntable, voxel_kind="", voxels=np.zeros((3, 0, 0, 0), bool))
    small = replace(turntable, voxels=turntable.voxels[:, 1:, 1:, 1:])
    for train, said in ((only, "no chair in the training set"), (bare, "masks alone"), (small, "make them alike")):
        with pytest.raises(InputError, match=said):
            evaluate_training_shapes(train, turntable, turntable, LIAO)


def test_a_reproduction_compares_with_training_shapes_and_draws_near_duplicates_together(tmp_path):
    listed = []
    for number, split in enumerate(("train", "test", "test")):
        save_mesh(box((1.0, 0.5 + 0.1 * number, 2.0)), tmp_path / f"{number}.glb")
        model = {"id": f"car/{number}", "file": f"{number}.glb", "category": "car", "suggested_split": split}
        listed.append({**model, "group": f"car/{min(number, 1)}"})
    (tmp_path / "manifest.json").write_text(json.dumps({"models": listed}))
    shop = Workshop(tmp_path / "out", "cpu", "float32", lambda line: None, None, {}, {})
    found = training_shapes(Task("smoke", ("car",), models=tmp_path), shop)
    assert found["procedural, test"].protocol["resampled"] == "objects"
    assert found["real models, test"].protocol["resampled"] == "groups of near-duplicates (1)"
    for evaluation in found.values():
        assert {quantity for _, quantity in TRAINING_SHAPES} == set(evaluation.table)


def test_what_cannot_be_measured_is_refused(turntable, weak):
    said = truth_of(turntable, PX)
    with pytest.raises(InputError, match="use the protocol zhu2017"):
        evaluate_liao2019(Oracle(replace(said, t=0 * said.t)), turntable, None, LIAO)
    with pytest.raises(InputError, match="gives no mask, which this protocol needs; use the protocol zhu2017"):
        evaluate_liao2019(Oracle(replace(said, mask=np.full_like(said.mask, np.nan))), turntable, None, LIAO)
    half_nan = said.R.copy()
    half_nan[3] = np.nan
    for name, broken in (("R", half_nan), ("voxels", np.where(said.voxels > 0, np.nan, said.voxels))):
        with pytest.raises(NumericError, match=f"NaN or infinity in '{name}'"):
            evaluate_liao2019(Oracle(replace(said, **{name: broken})), turntable, None, LIAO)
    nothing = {name: np.full_like(getattr(said, name), np.nan) for name in ("voxels", "posed")}
    with pytest.raises(NumericError, match="diverged"):
        evaluate_liao2019(Oracle(replace(said, **nothing)), turntable, None, LIAO)
    with pytest.raises(InputError, match="32 cells a side, the method's 30"):
        evaluate_liao2019(Oracle(truth_of(weak, 30)), turntable, None, LIAO)
    with pytest.raises(InputError, match="no images"):
        evaluate_liao2019(Oracle(said), replace(turntable, images=turntable.images[:0]), None, LIAO)


# --- Zhu 2017


def test_a_perfect_method_has_average_precision_one(weak):
    found = evaluate_zhu2017(Oracle(truth_of(weak, 30)), weak, ZHU)
    for name, value in values(found, MACRO).items():
        assert value == pytest.approx(0 if "error" in name or name == "flipped" else 1, abs=0.05), name
    assert {"ap_2d", "ap_3d.aligned", "ap_3d.posed", "accuracy"} <= set(found.table)


def test_the_pose_aware_truth_is_shifted_as_the_silhouette_is(weak):
    said = truth_of(weak, 30)
    unmoved = posed_grid(said.voxels, weak.R, 30)
    found = values(evaluate_zhu2017(Oracle(replace(said, posed=unmoved)), weak, ZHU))
    assert found["ap_3d.posed"] < 0.8
    # Seen along the optical axis, the truth's silhouette is the mask.
    assert np.array_equal(said.posed.max(1) > 0, said.mask > 0)


def test_shape_and_pose_are_told_apart(weak):
    """Each with the truth of the other: a right one has the best, and what is wrong with it costs."""
    said = truth_of(weak, 30)
    flat = np.flip(said.voxels, 2)
    turned = said.R @ turns(np.full(12, 90.0), 0.0)
    for wrong, kept, broken in (
        ({"voxels": flat}, "true_shape.predicted_pose", "predicted_shape.true_pose"),
        ({"R": turned}, "predicted_shape.true_pose", "true_shape.predicted_pose"),
    ):
        found = values(evaluate_zhu2017(Oracle(replace(said, **wrong)), weak, ZHU))
        right = values(evaluate_zhu2017(Oracle(said), weak, ZHU))
        assert found[f"ap_3d.{kept}"] == right[f"ap_3d.{kept}"] > 0.95
        assert found[f"ap_3d.{broken}"] < 0.9 * right[f"ap_3d.{broken}"]


def test_shape_and_pose_are_told_apart_in_a_larger_grid_too(turntable):
    """As of Liao 2019's networks: posed in 48 cells a side, and a depth that moves nothing."""
    voxels = turntable.voxels[turntable.objects].astype(np.float32)
    posed = posed_grid(voxels, turntable.R, 48)
    said = Prediction(voxels, turntable.R, turntable.t, posed, turntable.masks / np.float32(255))
    found = values(evaluate_zhu2017(Oracle(said), turntable, ZHU))
    for name in ("posed", "true_shape.predicted_pose", "predicted_shape.true_pose"):
        assert found[f"ap_3d.{name}"] == pytest.approx(1, abs=0.01)


def test_the_mean_training_shape_by_hand(weak, monkeypatch):
    """Of the other category's object nothing comes in; the pose-aware mean is of what cameras see."""
    monkeypatch.setattr(retrieval, "MEAN_IMAGES", 3)
    train = replace(weak, voxels=np.flip(weak.voxels, 2).copy())
    found = evaluate_mean_shape(train, weak, ZHU)
    seen = {"car": np.linspace(0, 7, 3).astype(int), "chair": 8 + np.linspace(0, 3, 3).astype(int)}
    for name, objects, rows in (("car", [0, 1], range(8)), ("chair", [2], range(8, 12))):
        mean = train.voxels[objects].mean(0)
        aligned = [average_precision_score(weak.voxels[weak.objects[row]].ravel(), mean.ravel()) for row in rows]
        assert found.per_image["ap_3d.aligned"][list(rows)] == pytest.approx(aligned)
        shown = true_posed(train, seen[name], 30, ZHU).mean(0)
        truth = true_posed(weak, np.array(rows), 30, ZHU)
        posed = [average_precision_score(one.ravel(), shown.ravel()) for one in truth]
        assert found.per_image["ap_3d.posed"][list(rows)] == pytest.approx(posed)
    grouped = evaluate_mean_shape(train, weak, ZHU, {"a": "one", "b": "one", "c": "two"})
    assert grouped.per_image["ap_3d.posed"].tolist() == found.per_image["ap_3d.posed"].tolist()
    assert grouped.protocol["resampled"] == "groups of near-duplicates (2)"


def test_a_mean_over_nothing_is_refused(weak):
    with pytest.raises(InputError, match="no chair in the training set"):
        evaluate_mean_shape(replace(weak, categories=("car", "car", "car")), weak, ZHU)
    unseen = subset(weak, np.arange(8))
    with pytest.raises(InputError, match="no image of chair in the training set"):
        evaluate_mean_shape(
            replace(unseen, object_ids=weak.object_ids, voxels=weak.voxels, categories=weak.categories), weak, ZHU
        )


def test_a_guess_without_knowledge_has_the_share_of_filled_cells(weak):
    said = truth_of(weak, 30)
    flat = replace(said, voxels=np.full_like(said.voxels, 0.3))
    found = evaluate_zhu2017(Oracle(flat), weak, ZHU)
    assert found.per_image["ap_3d.aligned"] == pytest.approx(said.voxels.mean((1, 2, 3)), abs=1e-6)


def test_natural_images_and_systems_without_a_pose_have_what_they_can(weak):
    said = truth_of(weak, 30)
    unknown = np.full((12, 3, 3), np.nan, np.float32)
    natural = replace(weak, R=unknown, K=unknown, t=unknown[:, 0], voxels=np.zeros((3, 0, 0, 0), bool), voxel_kind="")
    assert set(evaluate_zhu2017(Oracle(said), natural, ZHU).table) == {"ap_2d"}
    none = {name: np.full_like(getattr(said, name), np.nan) for name in ("voxels", "R", "t")}
    found = evaluate_zhu2017(Oracle(replace(said, **none)), weak, ZHU)
    assert set(found.table) == {"ap_2d", "ap_3d.posed"}


def test_bigger_masks_of_a_method_are_brought_to_the_grids_side(weak):
    said = truth_of(weak, 30)
    large = replace(said, mask=np.kron(said.mask, np.ones((2, 2))).astype(np.float32))
    assert evaluate_zhu2017(Oracle(large), weak, ZHU).table["ap_2d"][POOLED].value == 1


class Autoencoder(nn.Module):
    """Gives back what it is given, and remembers it."""

    def __init__(self, system: str):
        super().__init__()
        self.config, self.given = SimpleNamespace(system=system), []

    def reconstruct(self, voxels: torch.Tensor) -> torch.Tensor:
        self.given.append(voxels.numpy())
        return voxels


def test_coupled_systems_reconstruct_posed_shapes_and_others_aligned_ones(weak):
    for system, truth in (
        ("3D-VAE", weak.voxels[weak.objects]),
        ("coupled-3D-VAE", true_posed(weak, np.arange(12), 30, ZHU)),
    ):
        method = Autoencoder(system)
        assert evaluate_reconstruction(method, weak, ZHU).table["ap_v2v"][MACRO].value == 1
        assert np.array_equal(np.concatenate(method.given) > 0.5, truth)


# --- Palazzi 2018

CLASSES = ("sedan", "suv", "cargo")
POSTS_PX = SMOKE.image_size
PALAZZI = Palazzi2018Protocol(mask_px=POSTS_PX, resamples=50, batch_size=4)


def vehicle(number: int) -> Mesh:
    """A body with a cab at one end: no symmetry but its mirror, box centred, longest side 1."""
    height = 0.2 + 0.1 * number
    cab = box((0.3, 0.2, 0.3), (0.0, height / 2 + 0.1, -0.2 + 0.15 * number))
    mesh = concatenate([box((0.4, height, 1.0)), cab])
    return Mesh(mesh.vertices - (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2, mesh.faces)


VEHICLES = [vehicle(number) for number in range(3)]


def seen_from_posts(meshes: list[Mesh], size: int) -> ImageSet:
    """The first of the meshes as a sedan, and so on, four views each, as `render_posts` has them."""
    count = 4 * len(meshes)
    objects, R = np.repeat(np.arange(len(meshes)), 4), turns(np.tile([10.0, 100.0, 200.0, 300.0], len(meshes)), 10.0)
    t = np.tile(np.float32([0.1, -0.05, 2.5]), (count, 1))
    K = np.tile(
        np.float32([[SMOKE.focal * size, 0, size / 2], [0, SMOKE.focal * size, size / 2], [0, 0, 1]]), (count, 1, 1)
    )
    masks = np.stack([silhouette(meshes[i], R[row], t[row], K[row], size) for row, i in enumerate(objects)])
    masks = np.rint(255 * masks).astype(np.uint8)
    grids = np.stack([make_target(mesh, 32, "solid", fill=1.0).grid for mesh in meshes])
    ids = tuple("abc"[: len(meshes)])
    return ImageSet(marked(masks), masks, R, t, K, objects, grids, ids, CLASSES[: len(meshes)], "solid")


def silhouette(mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray, size: int) -> np.ndarray:
    points = torch.from_numpy(mesh.vertices @ R.T + t).float()[None]
    return coverage(points, torch.from_numpy(mesh.faces)[None], torch.from_numpy(K)[None], (size, size))[0].numpy()


class Speaker(RasterPose):
    """The method with a branch that reads an image's row from its first pixel and says what it is given for it."""

    def __init__(self, scores: np.ndarray, R: np.ndarray, t: np.ndarray):
        super().__init__(SMOKE)
        self.told, self.given = [torch.from_numpy(part).float() for part in (scores, R, t)], []
        self.set_representatives(Representatives(CLASSES, tuple(VEHICLES)))

    def say(self, images: torch.Tensor) -> Spoken:
        self.given.append(images)
        rows = (images[:, 0, 0, 0] * 255).round().long()
        return Spoken(*(part[rows] for part in self.told))


def knowing(images: ImageSet, **changes: np.ndarray) -> Speaker:
    said = {
        "scores": np.eye(3)[[CLASSES.index(images.categories[i]) for i in images.objects]],
        "R": images.R,
        "t": images.t,
    }
    return Speaker(**(said | changes))


@pytest.fixture(scope="module")
def posts() -> ImageSet:
    return seen_from_posts(VEHICLES, POSTS_PX)


@pytest.fixture(scope="module")
def vehicles(posts):
    return true_objects(posts, dict(zip("abc", VEHICLES, strict=True)), PALAZZI)


def test_a_perfect_encoder_has_perfect_numbers(posts, vehicles):
    for mesh in ("predicted", "true_class", "true_mesh"):
        found = evaluate_palazzi2018(knowing(posts), posts, Way(mesh=mesh), PALAZZI, vehicles)
        perfect = {"class_accuracy": 1, "accuracy": 1, "iou": 1}
        assert values(found) == pytest.approx({name: perfect.get(name, 0) for name in found.table}, abs=1e-4)
        assert values(found)["iou"] == 1


def test_known_mistakes_of_a_pose_give_known_numbers(posts, vehicles):
    away = posts.t + np.float32([0, 0.3, 0.4])
    found = values(evaluate_palazzi2018(knowing(posts, t=away), posts, Way(), PALAZZI, vehicles))
    for name in ("translation_error", "add", "mssd"):
        assert found[name] == pytest.approx(0.5, abs=1e-5)
    assert found["translation_error.relative"] == pytest.approx(0.5 / np.linalg.norm(posts.t[0]), abs=1e-5)
    assert 0 < found["add_s"] < 0.5
    assert found["rotation_error_deg.median"] == pytest.approx(0, abs=0.05)
    turned = turns(np.tile([55.0, 100.0, 200.0, 300.0], 3), 10.0)
    found = values(evaluate_palazzi2018(knowing(posts, R=turned), posts, Way(), PALAZZI, vehicles))
    assert found["accuracy"] == 0.75
    assert found["rotation_error_deg"] == pytest.approx(45 / 4, rel=0.05)
    assert found["translation_error"] == 0
    # By hand, the farthest vertex of each of the three vehicles after the one wrong turn of four.
    far = [np.linalg.norm(mesh.vertices @ (turned[0] - posts.R[0]).T, axis=1).max() for mesh in VEHICLES]
    assert found["mssd"] == pytest.approx(np.mean(far) / 4, rel=1e-4)


def test_the_mask_of_the_chosen_mesh_is_what_is_compared(posts, vehicles):
    wrong = np.roll(np.eye(3), 1, axis=1)[posts.objects]
    method = knowing(posts, scores=wrong)

    def iou_of(meshes: list[Mesh]) -> float:
        drawn = [silhouette(m, posts.R[i], posts.t[i], posts.K[i], POSTS_PX) for i, m in enumerate(meshes)]
        return float(mask_iou(np.stack(drawn) >= 0.5, posts.masks >= 127.5).mean())

    said = [VEHICLES[(i + 1) % 3] for i in posts.objects]
    others = [VEHICLES[(i + 1 + row % 2) % 3] for row, i in enumerate(posts.objects)]
    for mesh, expected in (("predicted", iou_of(said)), ("wrong_class", iou_of(others)), ("true_class", 1.0)):
        found = values(evaluate_palazzi2018(method, posts, Way(mesh=mesh), PALAZZI, vehicles))
        assert found["iou"] == pytest.approx(expected, abs=1e-3), mesh
        assert found["class_accuracy"] == 0
    assert iou_of(said) < 0.95


def test_the_encoder_is_given_area_means_of_larger_images(vehicles):
    large = seen_from_posts(VEHICLES, 2 * POSTS_PX)
    large = replace(large, images=np.repeat(large.masks[..., None], 3, -1))
    for row in range(len(large)):
        large.images[row, :2, :2] = row
    method = knowing(large)
    found = evaluate_palazzi2018(method, large, Way(), Palazzi2018Protocol(resamples=10, batch_size=12), vehicles)
    expected = area_mean(large.images[..., 0], POSTS_PX)
    assert np.abs(255 * method.given[0][:, 0].numpy() - expected).max() <= 0.5
    assert values(found)["iou"] == 1


def test_a_turn_that_maps_the_object_onto_itself_is_forgiven_where_the_protocol_says_so(posts):
    brick = seen_from_posts([box((0.5, 0.3, 1.0))] * 3, POSTS_PX)
    objects = true_objects(brick, dict.fromkeys("abc", box((0.5, 0.3, 1.0))), PALAZZI)
    assert len(objects["a"].symmetries) == 4
    turned = brick.R @ HALF_TURN.astype(np.float32)
    found = values(evaluate_palazzi2018(knowing(brick, R=turned), brick, Way(), PALAZZI, objects))
    assert found["mssd"] == pytest.approx(0, abs=1e-5)
    assert found["mspd"] == pytest.approx(0, abs=1e-3)
    assert found["rotation_error_deg"] == pytest.approx(180, abs=0.1)
    assert found["half_turn_error_deg"] == pytest.approx(0, abs=0.1)
    assert found["flipped"] == 1
    assert found["add"] > 0.5


def test_objects_without_a_mesh_have_the_surface_of_their_voxels(posts):
    found = true_objects(posts, {"a": VEHICLES[0]}, PALAZZI)
    assert found["a"].mesh is VEHICLES[0]
    apart = [np.abs(found["b"].mesh.vertices[None] - v).max(-1).min() for v in VEHICLES[1].vertices]
    assert max(apart) < 1 / 16, "every corner has a vertex within two cells"
    with pytest.raises(InputError, match="round object"):
        true_objects(posts, {"a": icosphere(3, 0.5)}, PALAZZI)
    with pytest.raises(InputError, match="'c' has no voxels"):
        true_objects(
            replace(posts, voxels=posts.voxels & np.array([True, True, False])[:, None, None, None]), None, PALAZZI
        )


@pytest.mark.parametrize("operator", ["edge_product", "soft_raster", "coverage"])
def test_a_refined_pose_covers_more_of_the_mask(posts, vehicles, operator):
    off = posts.t + np.float32([0.08, 0.05, 0.2])
    way = Way("poses", operator, steps=4, px=POSTS_PX)
    method = knowing(posts, t=off)
    before = evaluate_palazzi2018(method, posts, Way(), PALAZZI, vehicles)
    after = evaluate_palazzi2018(method, posts, way, PALAZZI, vehicles)
    changed = values(gains(before, after, PALAZZI))
    assert changed["iou"] > 0.05
    assert changed["translation_error"] < 0
    assert changed["class_accuracy"] == 0
    steps = evaluate_steps(method, posts, way, PALAZZI)
    assert values(steps)["translation_error.0"] == pytest.approx(values(before)["translation_error"])
    assert values(steps)["iou.4"] > values(steps)["iou.0"]
    assert after.protocol["way"]["operator"] == operator


def test_refining_weights_changes_the_pose_and_leaves_the_method_as_it_is(posts, vehicles):
    method = SMOKE.build().eval()
    method.set_representatives(Representatives(CLASSES, tuple(VEHICLES)))
    kept = {name: value.clone() for name, value in method.state_dict().items()}
    way = Way("weights", steps=3, px=POSTS_PX, rate=1e-3)
    before, after = (evaluate_palazzi2018(method, posts, each, PALAZZI, vehicles) for each in (Way(), way))
    assert any(np.abs(values(gains(before, after, PALAZZI))[name]) > 1e-4 for name in ("rotation_error_deg", "add"))
    assert all(torch.equal(kept[name], value) for name, value in method.state_dict().items())


def test_gains_are_of_the_same_images(posts, vehicles, turntable):
    found = evaluate_palazzi2018(knowing(posts), posts, Way(), PALAZZI, vehicles)
    fewer = of_category(posts, "suv")
    other = evaluate_palazzi2018(knowing(posts), fewer, Way(), PALAZZI, vehicles)
    with pytest.raises(InputError, match="different images"):
        gains(found, other, PALAZZI)
    assert set(values(gains(found, found, PALAZZI)).values()) == {0.0}


def test_sets_and_ways_that_cannot_be_measured_are_named(posts, vehicles, turntable):
    method = knowing(posts)
    for changes, said in (
        ({"voxel_kind": ""}, "masks alone"),
        ({"K": posts.K * np.float32(2)}, "lens"),
        ({"categories": ("sedan", "suv", "tram")}, "tram"),
        ({"images": posts.images[:0]}, "no images"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate_palazzi2018(method, replace(posts, **changes), Way(), PALAZZI, vehicles)
    with pytest.raises(InputError, match="measures raster_pose"):
        evaluate_palazzi2018(Oracle(truth_of(turntable, PX)), turntable, Way(), PALAZZI, vehicles)
    with pytest.raises(InputError, match="to compare at 128"):
        evaluate_palazzi2018(method, posts, Way(), replace(PALAZZI, mask_px=128), vehicles)
    with pytest.raises(InputError, match="to compare at 128"):
        evaluate_palazzi2018(method, posts, Way("poses"), PALAZZI, vehicles)
    with pytest.raises(InputError, match="no steps to follow"):
        evaluate_steps(method, posts, Way(), PALAZZI)
    with pytest.raises(NumericError, match="diverged"):
        evaluate_palazzi2018(knowing(posts, t=np.full_like(posts.t, np.nan)), posts, Way(), PALAZZI, vehicles)
    for changes in ({"refine": "all"}, {"operator": "max"}, {"mesh": "none"}, {"steps": 0}, {"rate": 0.0}):
        with pytest.raises(InputError):
            Way(**changes)


# --- shared


def test_methods_of_a_category_each_are_measured_as_one(turntable):
    rng = np.random.default_rng(0)
    said = truth_of(turntable, PX)
    said = replace(said, voxels=np.clip(said.voxels * rng.random(said.voxels.shape), 0, 1).astype(np.float32))
    method = Oracle(said)
    parts = [evaluate_liao2019(method, of_category(turntable, name), turntable, LIAO) for name in ("car", "chair")]
    together, apart = evaluate_liao2019(method, turntable, turntable, LIAO), joined(parts, LIAO)
    for column in ("car", "chair", MACRO, POOLED):
        assert values(apart, column) == pytest.approx(values(together, column))
    assert apart.table["voxel_iou.fixed"][POOLED].objects == 3
    assert apart.protocol["tuned_thresholds"] == together.protocol["tuned_thresholds"]


def test_the_record_holds_every_choice_and_the_same_run_the_same_numbers(weak):
    first, second = (evaluate_zhu2017(Oracle(truth_of(weak, 30)), weak, ZHU) for _ in range(2))
    assert first.record() == second.record()
    protocol = first.record()["protocol"]
    assert protocol["name"] == "zhu2017"
    assert {"true_threshold", "mask_px", "accuracy_deg", "resamples", "level", "seed", "images", "objects"} <= set(
        protocol
    )
    assert len(first.categories) == len(first.objects) == 12
    assert isinstance(Oracle(truth_of(weak, 30)), Method)


def test_a_posed_grid_keeps_cells_and_centre():
    grid = np.zeros((1, 4, 4, 4), np.float32)
    grid[0, 3, 0, 2] = 1
    wide = posed_grid(grid, np.eye(3, dtype=np.float32)[None], 8)
    assert np.argwhere(wide[0]).tolist() == [[5, 2, 4]]
    quarter = np.array([[[0, -1, 0], [1, 0, 0], [0, 0, 1]]], np.float32)  # x to y
    assert np.argwhere(posed_grid(grid, quarter, 4)[0] > 0.5).tolist() == [[3, 2, 3]]
    moved = posed_grid(grid, np.eye(3, dtype=np.float32)[None], 8, np.array([[0.25, 0.5, 0.0]], np.float32))
    assert np.argwhere(moved[0] > 0.5).tolist() == [[5, 4, 5]]
    with pytest.raises(ValueError, match="cannot stand at the middle"):
        posed_grid(grid, quarter, 7)
