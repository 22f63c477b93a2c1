"""Reproducing tables: data without overlap, trainings made once, ours beside theirs, figures, and the two commands."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import tyro
from torch import nn

from monoform.cli import evaluate as evaluate_command
from monoform.cli import reproduce as reproduce_command
from monoform.cli import train as train_command
from monoform.cli.options import INTERRUPTED, OK, TERMINATED, UsageError
from monoform.data.image_sets import (
    DrawnObjects,
    load_images,
    render_posts,
    render_turntable,
    render_weak,
    save_images,
    shapes_for,
)
from monoform.data.procedural.shapes import make_shape
from monoform.errors import InputError
from monoform.evaluate import Cell, Liao2019Protocol, Zhu2017Protocol, evaluate_zhu2017, posed_grid
from monoform.files.images import load_image, save_png
from monoform.files.meshes import save_mesh
from monoform.interfaces import ImageSet, Prediction
from monoform.meshes import box
from monoform.metrics import HALF_TURN
from monoform.reproduction import (
    classed_cars,
    liao2019,
    markdown,
    palazzi2018,
    paper_data,
    reproduce,
    runs,
    tables,
    write_report,
    zhu2017,
)
from monoform.reproduction.figures import (
    CELL,
    LIAO_COLUMNS,
    ZHU_COLUMNS,
    liao2019_figure,
    shape_picture,
    surface_picture,
    telling_rows,
    zhu2017_figure,
)
from monoform.reproduction.refinement_figures import telling_refinements
from monoform.training import TrainReport

OTHER_LOOK_TEST = "procedural, other look, test"


class Oracle(nn.Module):
    """A stand-in that knows images by their bytes and says what it is given for them."""

    def __init__(self, images: ImageSet, said: Prediction):
        super().__init__()
        self.rows = {image.tobytes(): row for row, image in enumerate(images.images)}
        self.config, self.said = None, said

    def stages(self, train: ImageSet, val: ImageSet, natural: ImageSet | None = None):
        yield from ()

    def predict(self, images: torch.Tensor) -> Prediction:
        pixels = (images.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).numpy()
        rows = [self.rows[image.tobytes()] for image in pixels]
        return Prediction(*(getattr(self.said, name)[rows] for name in ("voxels", "R", "t", "posed", "mask")))


def drawn(weak: bool) -> ImageSet:
    entries, ids = shapes_for("car", 2, 50)
    if weak:
        return render_weak(DrawnObjects(entries, ["car"] * 2, ids), size=32, views=3, seed=0)
    return render_turntable(DrawnObjects(entries, ["car"] * 2, ids), size=32, views=3, seed=0)


def truth_of(images: ImageSet) -> Prediction:
    voxels = images.voxels[images.objects].astype(np.float32)
    side = voxels.shape[-1] * (1 if images.voxel_kind == "solid" else 3) // (1 if images.voxel_kind == "solid" else 2)
    posed = posed_grid(voxels, images.R, side, images.t * np.float32([1, 1, 0]))
    return Prediction(voxels, images.R, images.t, posed, images.masks / np.float32(255))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the smoke reproductions of this file keep their sets and trainings."""
    return tmp_path_factory.mktemp("reproduce")


@pytest.fixture
def workshop(tmp_path: Path) -> runs.Workshop:
    return runs.Workshop(tmp_path, "cpu", "float32", lambda line: None, None, {}, {})


# --- what the papers print -----------------------------------------------------------------------------------------


def test_printed_tables_have_a_number_a_category():
    for module in (liao2019, zhu2017, palazzi2018):
        for table in module.PRINTED.values():
            assert all(len(row.values) == len(table.categories) for row in table.rows)
    assert liao2019.PRINTED[1].rows[-1].values == (0.688, 0.807, 0.572)
    assert [round(np.mean(row.values), 3) for row in liao2019.PRINTED[4].rows] == [0.782, 0.784, 0.762, 0.759]
    assert [entry.printed for entry in zhu2017.TABLE_2 if entry.printed is not None] == [
        0.876,
        0.544,
        0.752,
        0.403,
        0.665,
    ]
    assert [row.values[0] for row in palazzi2018.PRINTED[1].rows][:6] == [0.89, 0.89, 0.59, 0.72, 5.7, 4.5]
    assert [row.values[0] for row in palazzi2018.PRINTED[2].rows if "256 px" in row.system] == [0.13, -1.29, -0.03]
    # Every printed quantity of Palazzi's table 1 stands above rows of ours.
    assert set(palazzi2018.PRINTED_1) <= {text for text, _, _ in palazzi2018.QUANTITIES}


def test_every_row_of_ours_is_a_quantity_that_the_protocol_has(out):
    images = drawn(weak=False)
    found = liao2019.evaluate_liao2019(Oracle(images, truth_of(images)), images, images, Liao2019Protocol(resamples=10))
    for table in liao2019.PRINTED:
        asked = [quantity for _, quantity, _ in liao2019.quantities(table)]
        assert set(asked) <= set(found.table)
        assert len(asked) == len(set(asked))
    assert "projection_iou.true_shape.true_pose.fixed" in {quantity for _, quantity, _ in liao2019.quantities(4)}


# --- data ----------------------------------------------------------------------------------------------------------


def test_no_two_parts_share_a_procedural_shape():
    spans = sorted((first, first + paper_data.LARGEST_PART) for first in paper_data.FIRST_SEED.values())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    ids = {part: set(paper_data.seeded_shapes("car", part, 5).load()[1]) for part in paper_data.FIRST_SEED}
    assert len(set.union(*ids.values())) == 5 * len(ids)
    with pytest.raises(InputError, match="no two parts share a seed"):
        paper_data.seeded_shapes("car", "train", paper_data.LARGEST_PART + 1)


def test_a_set_is_made_once_and_again_for_other_settings(workshop):
    made = []

    def make() -> ImageSet:
        made.append(1)
        return drawn(weak=False)

    first = workshop.image_set("cars", {"views": 3}, make)
    again = workshop.image_set("cars", {"views": 3}, make)
    assert np.array_equal(first.images, again.images)
    workshop.image_set("cars", {"views": 4}, make)
    assert len(made) == 2
    assert workshop.sets["cars"] == {"images": 6, "objects": 2, "views": 4}
    for place in (workshop.folder / "sets").iterdir():
        data = bytearray((place / "images.npy").read_bytes())
        data[-1] ^= 1
        (place / "images.npy").write_bytes(data)
    with pytest.raises(InputError, match=r"images\.npy"):
        workshop.image_set("cars", {"views": 3}, make)


def test_images_without_truth_have_masks_alone():
    bare = runs.without_truth(drawn(weak=True))
    assert np.isnan(bare.R).all()
    assert bare.voxel_kind == ""
    assert bare.voxels.shape == (2, 0, 0, 0)
    assert np.array_equal(bare.masks, drawn(weak=True).masks)


def test_real_models_join_training_and_have_a_row_of_their_own(out, tmp_path):
    files = {"a": "train", "b": "test"}
    for number, name in enumerate(files):
        save_mesh(box((1.0, 0.5 + 0.1 * number, 2.0)), tmp_path / f"{name}.glb")
    listed = [{"id": n, "file": f"{n}.glb", "category": "car", "suggested_split": s} for n, s in files.items()]
    (tmp_path / "manifest.json").write_text(json.dumps({"models": listed}))
    report = reproduce("liao2019", 2, "smoke", out, categories=["car"], models=tmp_path)
    assert {row.source for row in report.rows} == {tables.PAPER, "procedural, test", "real models, test"}
    assert report.data["liao2019-smoke-real-car-train"]["objects"] == 1
    assert "liao2019-smoke-procedural-car-train" in report.data


def test_the_papers_own_models_go_by_the_lists_of_the_split(tmp_path):
    names = ["aa", "bb", "cc"]
    for number, name in enumerate(names):
        folder = tmp_path / "ShapeNetCore.v1" / "02958343" / name
        folder.mkdir(parents=True)
        save_mesh(box((1.0, 0.4 + 0.1 * number, 0.5)), folder / "model.obj")
    (tmp_path / "ptn" / "shapenetcore_ids").mkdir(parents=True)
    for split, chosen in (("train", "02958343/aa\n02958343/cc\n"), ("val", "02958343/bb\n"), ("test", "02958343/dd\n")):
        (tmp_path / "ptn" / "shapenetcore_ids" / f"02958343_{split}ids.txt").write_text(chosen)
    entries, ids = paper_data.ptn_models(tmp_path, "car", "train").load()
    assert len(entries) == 2
    assert all(any(name in found for found in ids) for name in ("aa", "cc"))
    assert np.ptp(entries[0].vertices, axis=0)[2] > np.ptp(entries[0].vertices, axis=0)[0], "the front is along z"
    with pytest.raises(InputError, match="none of the split's models"):
        paper_data.ptn_models(tmp_path, "car", "test").load()
    for task in (liao2019.Task("paper"), zhu2017.Task("paper")):
        module = liao2019 if isinstance(task, liao2019.Task) else zhu2017
        with pytest.raises(InputError, match="--data"):
            module.image_sets("car", task, runs.Workshop(tmp_path, "cpu", "float32", lambda line: None, None, {}, {}))


# --- training ------------------------------------------------------------------------------------------------------


def test_a_stopped_training_goes_on_and_its_hours_add_up(workshop, monkeypatch):
    calls = []

    def stopped(stages, run, settings, *, model, describe, listener):
        calls.append(settings.resume)
        run.mkdir(parents=True, exist_ok=True)
        return TrainReport("interrupted", 2, (), "cpu", 1800.0, None)

    monkeypatch.setattr(runs, "train", stopped)
    images = drawn(weak=False)

    def ask() -> None:
        workshop.trained("x", "self_consistency", liao2019.SMOKE, lambda m: iter(()), sets={"train": images}, seed=0)

    for _ in range(2):
        with pytest.raises(runs.Stopped, match="interrupted; what was trained is kept"):
            ask()
    assert calls == [False, True]
    (summary,) = (workshop.folder / "runs").glob("*.json")
    assert json.loads(summary.read_text())["hours"] == pytest.approx(1.0)


def test_other_shapes_make_another_run_and_the_same_shapes_the_same(workshop, monkeypatch):
    begun = []

    def stopped(stages, run, settings, *, model, describe, listener):
        begun.append(run.name)
        raise runs.Stopped("interrupted")

    monkeypatch.setattr(runs, "train", stopped)
    for first in (50, 60, 50):
        entries, _ = shapes_for("car", 2, first)
        images = workshop.image_set(
            f"cars-{first}",
            {},
            lambda e=entries: render_turntable(DrawnObjects(e, ["car"] * 2, ["a", "b"]), size=32, views=1, seed=0),
        )
        with pytest.raises(runs.Stopped):
            workshop.trained(
                "x", "self_consistency", liao2019.SMOKE, lambda m: iter(()), sets={"train": images}, seed=0
            )
    assert begun[0] == begun[2] != begun[1]
    with pytest.raises(InputError, match="the validation set: 2 of its 2 objects"):
        workshop.trained(
            "x", "self_consistency", liao2019.SMOKE, lambda m: iter(()), sets={"train": images, "val": images}, seed=0
        )


def test_trainings_of_another_precision_are_others(workshop, monkeypatch):
    begun = []

    def stopped(stages, run, settings, *, model, describe, listener):
        begun.append((settings.precision, describe["precision"], run.name))
        raise runs.Stopped("interrupted")

    monkeypatch.setattr(runs, "train", stopped)
    images = drawn(weak=False)
    for precision in ("float32", "mixed", "float32"):
        with pytest.raises(runs.Stopped):
            replace(workshop, precision=precision).trained(
                "x", "self_consistency", liao2019.SMOKE, lambda m: iter(()), sets={"train": images}, seed=0
            )
    assert [one[:2] for one in begun] == [("float32", "float32"), ("mixed", "mixed"), ("float32", "float32")]
    assert begun[0] == begun[2]
    assert begun[0][2] != begun[1][2]


def test_a_group_in_two_splits_of_real_models_is_refused(tmp_path):
    for name in "ab":
        save_mesh(box((1.0, 0.5, 2.0)), tmp_path / f"{name}.glb")
    listed = [{"file": f"{n}.glb", "category": "car", "group": "g7", "suggested_split": s}
              for n, s in (("a", "train"), ("b", "test"))]  # fmt: skip
    (tmp_path / "manifest.json").write_text(json.dumps({"models": listed}))
    with pytest.raises(InputError, match="the group 'g7' is in the splits train and test"):
        paper_data.real_models(tmp_path, "car", "train")
    listed[1]["suggested_split"] = "train"
    (tmp_path / "manifest.json").write_text(json.dumps({"models": listed}))
    assert len(paper_data.real_models(tmp_path, "car", "train").load()[1]) == 2


def test_stages_are_taken_by_their_names():
    class Named:
        def __init__(self, name: str):
            self.name = name

    stages = [Named("pose"), Named("fine_tuning")]
    assert [stage.name for stage in zhu2017.stages_named(stages, ("fine_tuning",))] == ["fine_tuning"]
    assert [stage.name for stage in zhu2017.stages_named(stages, None)] == ["pose", "fine_tuning"]
    assert list(zhu2017.stages_named(stages, ())) == []
    with pytest.raises(InputError, match="no stage named joint"):
        list(zhu2017.stages_named(stages, ("joint",)))


# --- end to end ----------------------------------------------------------------------------------------------------


def test_liaos_tables_from_nothing_and_the_second_from_what_is_there(out):
    first = reproduce("liao2019", 3, "smoke", out, categories=["car"])
    assert {path.name for path in out.glob("liao2019-table-3-smoke.*")} == {
        f"liao2019-table-3-smoke.{end}" for end in ("md", "json", "png")
    }
    sources = [row.source for row in first.rows]
    assert sources.count(tables.PAPER) == 3
    ours = [row for row in first.rows if row.source == "procedural, test"]
    assert all(0 <= cell.low <= cell.value <= cell.high <= 1 for row in ours for cell in row.values.values())
    assert list(first.runs) == ["liao2019-smoke-car-0"]
    assert first.runs["liao2019-smoke-car-0"]["steps"] == liao2019.SMOKE.steps
    told = []
    second = reproduce("liao2019", 4, "smoke", out, categories=["car"], tell=told.append)
    assert not [line for line in told if "training" in line or "drawing" in line]
    assert [
        row.label for row in second.rows if "true shape, true pose" in row.label and row.source != tables.PAPER
    ] == ["monoform: true shape, true pose"]
    again = reproduce("liao2019", 3, "smoke", out, categories=["car"])
    assert again.record()["rows"] == first.record()["rows"]
    page = load_image(out / "liao2019-table-3-smoke.png").image
    assert page.shape[1] == len(LIAO_COLUMNS) * (CELL + 4)


def test_zhus_tables_before_and_after_fine_tuning(out):
    report = reproduce("zhu2017", 4, "smoke", out, categories=["car"])
    labels = [row.label for row in report.rows]
    assert labels == [
        f"{system}, {when} fine-tuning: 2D AP" for system in ("p-TL", "p-3D-VAE-GAN") for when in ("before", "after")
    ]
    tuned = report.runs["zhu2017-smoke-p-TL-car-0-tuned"]
    assert tuned["steps"] == zhu2017.SCALES["smoke"].config.tune_steps, (
        "fine-tuning begins from the trained weights, not anew"
    )
    assert "ends before the table" in markdown(report)
    assert load_image(out / "zhu2017-table-4-smoke.png").image.shape[1] == len(ZHU_COLUMNS) * (CELL + 4)


def test_photos_with_masks_are_a_test_set_of_their_own(out, tmp_path):
    images = drawn(weak=True)
    for row in (0, 4):
        save_png(images.images[row], tmp_path / f"{row}.png")
        save_png(images.masks[row], tmp_path / f"{row}-mask.png")
    listed = [{"image": f"{row}.png", "mask": f"{row}-mask.png", "category": "car"} for row in (0, 4)]
    (tmp_path / "manifest.json").write_text(json.dumps({"items": listed}))
    asked = {"categories": ["car"], "natural": tmp_path}
    table_3 = reproduce("zhu2017", 3, "smoke", out, **asked).rows
    assert {row.source for row in table_3} == {OTHER_LOOK_TEST}
    assert [row.label for row in table_3 if "mean training" in row.label] == [
        f"the mean training shape, {kind}" for kind in ("aligned", "pose-aware")
    ]
    rows = [row for row in reproduce("zhu2017", 4, "smoke", out, **asked).rows if row.source == "photos"]
    assert [row.values["car"].images for row in rows] == [2] * 4
    assert paper_data.has_photos(tmp_path, "car")
    assert not paper_data.has_photos(tmp_path, "chair")


def test_zhus_table_2_for_two_seeds(out):
    report = reproduce("zhu2017", 2, "smoke", out, categories=["car"], seeds=[0, 1])
    assert sum(row.source == tables.PAPER for row in report.rows) == 5
    means = [row for row in report.rows if row.label.endswith("mean of 2 seeds")]
    assert len(means) == 2 + len(zhu2017.MAIN_ROWS), "baselines are trained with the first seed alone"
    assert not [name for name in report.runs if name.startswith("zhu2017-smoke-coupled") and name.endswith("-1")]
    assert [row.label for row in report.rows[-2:]] == [
        f"the mean training shape, {kind}" for kind in ("aligned", "pose-aware")
    ]
    assert report.runs["zhu2017-smoke-p-3D-VAE-GAN-features-car-0"]["steps"] == 0, "put together from what is trained"
    alone = [run for name, run in report.runs.items() if "features" in name]
    assert [run["config"]["voxel_weight"] for run in alone] == [0.0] * 3
    assert sum("features alone" in row.label for row in report.rows) == 3
    each = [row for row in report.rows if row.label.startswith(means[0].label.removesuffix("mean of 2 seeds") + "seed")]
    one, two = (row.values["macro"].value for row in each)
    assert means[0].values["macro"] == pytest.approx((one + two) / 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"paper": "wu2022"}, "no paper 'wu2022'"),
        ({"table": 9}, "no table 9"),
        ({"scale": "huge"}, "no scale 'huge'"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": []}, "seeds"),
        ({"categories": ["chair", "car", "chair"]}, "'chair' is given twice"),
        ({"photos": Path("photos")}, "go with zhu2017"),
        ({"natural": Path("photos")}, "go with zhu2017"),
        ({"what": "figure"}, "liao2019 has no figure 1 to reproduce; give a table"),
        ({"paper": "palazzi2018", "table": 6}, "no table 6 to reproduce; give 1, 2"),
        ({"paper": "palazzi2018", "what": "figure", "table": 5}, "no figure 5 to reproduce; give 6"),
        ({"paper": "palazzi2018", "natural": Path("photos")}, "go with zhu2017"),
        ({"paper": "palazzi2018", "categories": ("sedan",)}, "two or more classes"),
    ],
)
def test_what_cannot_be_reproduced_is_named(changes, said, tmp_path):
    asked = {"paper": "liao2019", "table": 1, "scale": "smoke", "seeds": [0], **changes}
    with pytest.raises(InputError, match=said):
        reproduce(asked.pop("paper"), asked.pop("table"), asked.pop("scale"), tmp_path, **asked)


CARS = ("sedan", "cargo")


def test_palazzis_table_1_has_the_papers_rows_above_ours(out):
    report = reproduce("palazzi2018", 1, "smoke", out, categories=CARS)
    labels = [row.label for row in report.rows]
    first = labels.index("Palazzi 2018, encoder: mIoU")
    ways = list(palazzi2018.WAYS)
    assert labels[first : first + 2 + len(ways)] == [
        "Palazzi 2018, encoder: mIoU", "Palazzi 2018, encoder + refinement: mIoU", *(f"{way}: mIoU" for way in ways),
    ]  # fmt: skip
    by_label = {row.label: row.values for row in report.rows}
    assert by_label["encoder: accuracy of class"]["pooled"].objects == 2
    ious = [
        by_label[f"{label}: mIoU"]["pooled"].value
        for label in ("encoder", "encoder + refinement of the pose, coverage")
    ]
    assert ious[1] > ious[0]
    assert all(0 < by_label[f"{way}: milliseconds an image"]["pooled"] < 1e5 for way in ways)
    assert {"palazzi2018-smoke-0", "palazzi2018-smoke-cosine-0", "palazzi2018-smoke-mask-0"} == set(report.runs)
    assert report.protocol["resampled"] == {"procedural, test": "objects"}
    assert load_image(out / "palazzi2018-table-1-smoke.png").image.shape[1] == (1 + len(ways)) * (CELL + 4)


def test_palazzis_table_2_tells_gains_by_resolution(out):
    report = reproduce("palazzi2018", 2, "smoke", out, categories=CARS)
    assert sum(row.source == tables.PAPER for row in report.rows) == 15
    by_label = {row.label: row.values for row in report.rows}
    for px in (16, 64):
        assert by_label[f"encoder + refinement of the pose, coverage, {px} px: change of IoU"]["pooled"].value > 0
    assert f"{palazzi2018.TUNED.format('edge_product')}, 64 px: change of the translation error" in by_label


def test_palazzis_figure_6_shows_steps_and_failures(out):
    told = []
    report = reproduce("palazzi2018", 6, "smoke", out, what="figure", categories=CARS, tell=told.append)
    assert report.name == "palazzi2018-figure-6-smoke"
    assert {path.suffix for path in out.glob("palazzi2018-figure-6-smoke.*")} == {".md", ".json", ".png"}
    record = json.loads((out / "palazzi2018-figure-6-smoke.json").read_text())
    assert record["figure"] == 6
    assert "figure 6, errors over the steps" in markdown(report)
    last = palazzi2018.SCALES["smoke"].way.steps
    label = "encoder + refinement of the pose, coverage, step {}: IoU, mean"
    ious = {row.label: row.values["pooled"].value for row in report.rows}
    assert ious[label.format(last)] > ious[label.format(0)]
    assert load_image(out / "palazzi2018-figure-6-smoke.png").image.shape[1] == 3 * 380


def test_refinements_that_failed_are_among_those_shown():
    def found(iou: list[float], degrees: list[float]) -> SimpleNamespace:
        numbers = {"iou": np.array(iou), "rotation_error_deg": np.array(degrees)}
        return SimpleNamespace(per_image=numbers, objects=np.arange(4))

    before, after = found([0.5] * 4, [10.0, 10, 40, 90]), found([0.6, 0.9, 0.7, 0.61], [20.0, 5, 8, 95])
    groups = {group.title: group.rows for group in telling_refinements(before, after, 1)}
    assert groups["largest gain of the rotation"] == (2,)
    assert groups["failures: the IoU rose and the rotation error with it"] == (0,)
    assert groups["failures: largest rotation error after all steps"] == (3,)
    better = found([0.9] * 4, [1.0] * 4)
    assert [group.title[:8] for group in telling_refinements(before, better, 1)] == ["largest ", "usual ga", "failures"]


def real_cars_folder(root: Path, files: dict[str, tuple[str, str]]) -> Path:
    """A folder of boxes with a manifest. files: name to category and split."""
    for number, name in enumerate(files):
        save_mesh(box((0.4, 0.2 + 0.04 * number, 1.0)), root / f"{name}.glb")
    listed = [{"file": f"{n}.glb", "category": c, "suggested_split": s} for n, (c, s) in files.items()]
    (root / "manifest.json").write_text(json.dumps({"models": listed}))
    return root


def test_real_cars_are_classed_by_kind_name_or_nearest_medoid(tmp_path):
    files = {
        "delivery": ("van", "train"),
        "big_suv": ("car", "train"),
        "red": ("car", "train"),
        "hut": ("chair", "train"),
    }
    root = real_cars_folder(tmp_path, files)
    cars = classed_cars.real_cars(root, "train", ("sedan", "suv", "cargo"), 2)
    classes = dict(zip(cars.load().ids, cars.load().classes, strict=True))
    assert classes["delivery"] == "cargo"
    assert classes["big_suv"] == "suv"
    assert classes["red"] in ("sedan", "suv")
    assert cars.groups is not None
    assert set(cars.groups) == {"delivery", "big_suv", "red"}
    with pytest.raises(InputError, match="no car of the classes"):
        classed_cars.real_cars(real_cars_folder(tmp_path, {"big_suv": ("car", "train")}), "train", CARS, 2).load()


def test_real_cars_are_a_test_set_of_their_own(out, tmp_path):
    files = {"sedan-a": ("car", "train"), "sedan-b": ("car", "test"), "van-a": ("van", "test")}
    root = real_cars_folder(tmp_path, files)
    task = palazzi2018.Task("smoke", CARS, models=root)
    shop = runs.Workshop(out, "cpu", "float32", lambda line: None, None, {}, {})
    sets = palazzi2018.image_sets(task, shop)
    assert set(sets.tests) == {"procedural, test", "real models, test"}
    real = sets.tests["real models, test"]
    assert real.images.categories == ("sedan", "cargo")
    assert real.groups == {"sedan-b": "sedan-b", "van-a": "van-a"}
    assert np.ptp(real.objects["van-a"].mesh.vertices, axis=0).max() == pytest.approx(1)
    assert len(sets.train.object_ids) == 2 * palazzi2018.SCALES["smoke"].train + 1


def test_procedural_cars_of_all_parts_and_their_medoids_differ():
    ids = [set(classed_cars.procedural_cars(CARS, part, 3).load().ids) for part in ("train", "val", "test")]
    assert len(set.union(*ids)) == 18
    first = classed_cars.compared(CARS, 3)["first_seed"]
    assert first >= max(paper_data.FIRST_SEED.values()) + paper_data.LARGEST_PART
    listed = classed_cars.procedural_cars(CARS, "val", 1).load()
    for mesh in classed_cars.own_meshes(listed).values():
        assert np.ptp(mesh.vertices, axis=0).max() == pytest.approx(1)
        assert np.abs(mesh.vertices.max(0) + mesh.vertices.min(0)).max() < 1e-6


def test_shapenets_cars_are_clustered_and_split_without_the_medoids(tmp_path):
    for kind in CARS:
        entries, ids = shapes_for("car", 6, 70, kind)
        for entry, name in zip(entries, ids, strict=True):
            place = tmp_path / "ShapeNetCore.v2" / "02958343" / name / "models"
            place.mkdir(parents=True)
            mesh = make_shape("car", entry.seed, kind).mesh
            save_mesh(replace(mesh, colours=None), place / "model_normalized.obj")
    parts = {part: classed_cars.shapenet_cars(tmp_path, part, CARS, 2).load() for part in ("train", "val", "test")}
    taken = [name for listed in parts.values() for name in listed.ids]
    assert len(taken) == len(set(taken)) == 10, "two medoids are in no part"
    assert len(parts["train"].ids) > len(parts["test"].ids) > 0
    assert all(kind in name for listed in parts.values() for name, kind in zip(listed.ids, listed.classes, strict=True))
    with pytest.raises(InputError, match="--data"):
        classed_cars.shapenet_cars(None, "train", CARS, 2)


# --- the page ------------------------------------------------------------------------------------------------------


def report_of(rows: list[tables.Row]) -> tables.Report:
    return tables.Report(
        "liao2019", "Someone", 1, "things", "smoke", ("car", "macro"), tuple(rows), {"threshold": 0.5},
        {"set": {"images": 3, "objects": 2}}, {"run": {"steps": 5, "hours": 0.25, "device": "cpu"}}, ("A note.",),
    )  # fmt: skip


def test_the_page_cites_the_paper_and_marks_whose_numbers_are_whose(tmp_path):
    cell = Cell(0.5, 0.25, 0.75, 10, 5)
    rows = [tables.Row("theirs", tables.PAPER, {"car": 0.807}), tables.Row("ours", "procedural", {"car": cell})]
    page, record = write_report(report_of(rows), tmp_path / "new")
    text = page.read_text()
    assert "| theirs | *paper, other data* | 0.807 |  |" in text
    assert "| ours | procedural | 0.500 [0.250, 0.750] |  |" in text
    for said in ("`0.5`", "| set | 3 | 2 |", "| run | 5 | 0.250 | cpu |", "- A note."):
        assert said in text
    assert json.loads(record.read_text())["rows"][1]["values"]["car"] == {
        "value": 0.5, "low": 0.25, "high": 0.75, "images": 10, "objects": 5,
    }  # fmt: skip


def test_several_seeds_have_their_mean():
    cells = {seed: {"car": Cell(value, 0.0, 1.0, 4, 2)} for seed, value in ((0, 0.25), (3, 0.75))}
    rows = tables.measured_rows("IoU", "set", cells)
    assert [row.label for row in rows] == ["IoU, seed 0", "IoU, seed 3", "IoU, mean of 2 seeds"]
    assert rows[-1].values == {"car": 0.5}
    assert [row.label for row in tables.measured_rows("IoU", "set", {0: cells[0]})] == ["IoU"]


# --- figures -------------------------------------------------------------------------------------------------------


def test_liaos_figure_shows_a_perfect_prediction_as_the_truth():
    images = drawn(weak=False)
    picture = liao2019_figure(Oracle(images, truth_of(images)), images, [0, 4], Liao2019Protocol())
    panels = [picture[20 : 20 + CELL, (CELL + 4) * k : (CELL + 4) * (k + 1)] for k in range(len(LIAO_COLUMNS))]
    true_shape, shape = panels[4], panels[5]
    assert np.array_equal(true_shape, shape)
    assert len(np.unique(shape.reshape(-1, 3), axis=0)) > 20
    assert not np.array_equal(panels[6], panels[7])


def test_zhus_figure_shows_gains_and_what_stays_worst():
    images = drawn(weak=True)
    new = truth_of(images)
    R = new.R.copy()
    R[4] = R[4] @ HALF_TURN.astype(np.float32)
    old = replace(new, R=R, voxels=np.where(np.arange(6)[:, None, None, None] == 1, 0.2, new.voxels).astype(np.float32))
    methods = [Oracle(images, said) for said in (old, new)]
    protocol = Zhu2017Protocol(resamples=10)
    groups = telling_rows(*(evaluate_zhu2017(method, images, protocol) for method in methods), 1)
    assert [group.rows for group in groups[:2]] == [(1,), (4,)]
    picture = zhu2017_figure(*methods, images, groups, protocol)
    assert picture.shape == (20 + 3 * (20 + CELL + 4), len(ZHU_COLUMNS) * (CELL + 4), 3)


def test_surer_cells_are_warmer_and_an_empty_grid_is_bare():
    grid = np.zeros((4, 4, 4), np.float32)
    bare = shape_picture(grid)
    assert np.ptp(bare) == 0
    assert np.array_equal(bare, surface_picture(grid))
    grid[1:3, 1:3, 1:3] = 0.5
    cold, warm = shape_picture(grid).astype(int), shape_picture(2 * grid).astype(int)
    assert cold[..., 2].sum() > warm[..., 2].sum()
    assert warm[..., 0].sum() > cold[..., 0].sum()


# --- commands ------------------------------------------------------------------------------------------------------


def test_reproduce_prints_the_table_and_tells_where_it_is(out, capsys):
    asked = ["liao2019", "--table", "2", "--scale", "smoke", "-o", str(out), "--categories", "car"]
    config = tyro.cli(reproduce_command.Reproduce, args=asked, config=(tyro.conf.OmitSubcommandPrefixes,))
    assert reproduce_command.run(config) == OK
    printed = capsys.readouterr().out
    assert "share of poses flipped by a half-turn" in printed
    assert "liao2019-table-2-smoke.md" in printed
    assert reproduce_command.run(replace(config, common=replace(config.common, json=True, quiet=True))) == OK
    assert json.loads(capsys.readouterr().out)["table"] == 2


def test_reproduce_refuses_what_does_not_fit(monkeypatch, tmp_path):
    config = reproduce_command.Reproduce("liao2019", 1, "smoke", tmp_path)
    for changes in ({"seeds": "one"}, {"data": tmp_path}, {"table": None}, {"figure": 6}):
        with pytest.raises(UsageError):
            reproduce_command.run(replace(config, **changes))
    for status, code in (("interrupted", INTERRUPTED), ("terminated", TERMINATED)):

        def stop(*_, status=status, **__):
            raise runs.Stopped(status)

        monkeypatch.setattr("monoform.reproduction.reproduce", stop)
        assert reproduce_command.run(config) == code


def test_evaluate_measures_a_run_and_keeps_the_numbers_of_each_image(out, tmp_path, capsys):
    reproduce("liao2019", 2, "smoke", out, categories=["car"])
    run = next(
        path for path in (out / "runs").iterdir() if path.name.startswith("liao2019-smoke-car-0") and path.is_dir()
    )
    place = next(path for path in (out / "sets").iterdir() if "procedural-car-test" in path.name)
    val = next(path for path in (out / "sets").iterdir() if "procedural-car-val" in path.name)
    config = evaluate_command.Evaluate(run, "liao2019", place, val=val, out=tmp_path / "found.json")
    assert evaluate_command.run(config) == OK
    printed = capsys.readouterr().out
    for said in ("threshold: 0.5", "tuned_thresholds: {'car'", "voxel_iou.tuned", "macro", "pooled"):
        assert said in printed
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["images"]["voxel_iou.fixed"]) == len(load_images(place))
    with pytest.raises(InputError, match="are in the --val set too"):
        evaluate_command.run(replace(config, val=place))
    with pytest.raises(InputError, match="are in the run's val set too"):
        evaluate_command.run(replace(config, data=val, val=None))
    with pytest.raises(UsageError, match="no threshold to tune"):
        evaluate_command.run(replace(config, protocol="zhu2017"))


def test_raster_pose_is_trained_on_drawn_cars_and_measured(tmp_path, capsys):
    run = tmp_path / "run"
    asked = [
        "raster_pose",
        "-o",
        str(run),
        "--scale",
        "smoke",
        "--shapes",
        "2",
        "--views",
        "1",
        "--categories",
        "sedan,cargo",
    ]
    config = tyro.cli(train_command.Train, args=asked, config=(tyro.conf.OmitSubcommandPrefixes,))
    assert train_command.run(config) == OK
    entries, ids = shapes_for("car", 2, 80, "sedan")
    save_images(render_posts(DrawnObjects(entries, ["sedan"] * 2, ids), size=64, views=1, seed=0), tmp_path / "test")
    config = evaluate_command.Evaluate(run, "palazzi2018", tmp_path / "test", refine="poses", operator="soft_raster")
    assert evaluate_command.run(config) == OK
    printed = capsys.readouterr().out
    for said in ("mask_px: 64", "'operator': 'soft_raster'", "class_accuracy", "mssd", "translation_error.relative"):
        assert said in printed
    for changes in ({"protocol": "liao2019"}, {"refine": "none"}):
        with pytest.raises(UsageError, match="goes with"):
            evaluate_command.run(replace(config, **changes))


def test_evaluate_refuses_a_set_that_does_not_fit(out, tmp_path):
    reproduce("liao2019", 2, "smoke", out, categories=["car"])
    run = next(
        path for path in (out / "runs").iterdir() if path.name.startswith("liao2019-smoke-car-0") and path.is_dir()
    )
    save_images(drawn(weak=False), tmp_path / "small")
    with pytest.raises(InputError, match="64"):
        evaluate_command.run(evaluate_command.Evaluate(run, "liao2019", tmp_path / "small"))


@pytest.mark.parametrize("module", ["metrics", "cli.evaluate", "cli.reproduce"])
def test_torch_is_not_imported_for_help(module):
    code = f"import sys, monoform.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
