"""Image sets: what is drawn agrees with what is said about it, nothing depends on the order, and files are refused in time."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

from image_set_cases import iou, same, silhouette
from monoform.data.image_sets import (
    OTHER_LOOK,
    DrawnObjects,
    join,
    load_images,
    models_for,
    of_category,
    render_turntable,
    render_weak,
    save_images,
    shapes_for,
    subset,
)
from monoform.data.procedural import make
from monoform.data.rendering import prepare
from monoform.data.rendering.poses import viewpoint
from monoform.errors import InputError, SchemaError
from monoform.files.atomic import WriteError
from monoform.files.meshes import save_mesh
from monoform.interfaces import ImageSet
from monoform.meshes import Mesh, box
from monoform.projection.kernels import threads
from monoform.voxels import voxelise_shell, voxelise_solid

SIZE = 64
CATEGORIES = ["car", "sofa", "bus", "aeroplane"]
ENTRIES = [shapes_for(category, 1, 7) for category in CATEGORIES]
SHAPES, IDS = [entries[0] for entries, _ in ENTRIES], [ids[0] for _, ids in ENTRIES]


def turntable(**changes) -> ImageSet:
    """Three views of each shape."""
    options = {"size": SIZE, "views": 3, "seed": 5, **changes}
    return render_turntable(DrawnObjects(SHAPES, CATEGORIES, IDS), **options)


def weak(**changes) -> ImageSet:
    """The same with random scales and cameras."""
    options = {"size": SIZE, "views": 3, "seed": 5, **changes}
    return render_weak(DrawnObjects(SHAPES, CATEGORIES, IDS), **options)


def canonical() -> list[Mesh]:
    """The meshes of the shapes, box diagonal 1."""
    return [prepare(make(category, 7)).mesh for category in CATEGORIES]


def as_large_as_the_grid_holds() -> list[Mesh]:
    """They too; turned about the middle of its box, each has a vertex that touches the grid's sides and none that leaves."""
    farthest = [np.linalg.norm(mesh.vertices, axis=1).max() for mesh in canonical()]
    assert max(farthest) < 0.5 + 1e-6
    return [Mesh(0.5 / far * mesh.vertices, mesh.faces) for far, mesh in zip(farthest, canonical(), strict=True)]


def mask_ious(images: ImageSet, meshes: list[Mesh]) -> list[float]:
    """IoU of each mask with the silhouette of the mesh in the stored pose."""
    return [
        iou(silhouette(meshes[row], R, t, K, SIZE) >= 0.5, mask >= 128)
        for row, R, t, K, mask in zip(images.objects, images.R, images.t, images.K, images.masks, strict=True)
    ]


# --- drawn sets --------------------------------------------------------------------------------------------------


def test_turntable_has_the_cameras_of_the_paper():
    images = turntable(views=24)
    assert images.images.shape == (96, SIZE, SIZE, 3)
    assert images.voxels.shape == (4, 32, 32, 32)
    assert (images.t == [0, 0, 2]).all()
    np.testing.assert_allclose(images.K[0], [[120, 0, 32], [0, 120, 32], [0, 0, 1]], atol=1e-4)
    around = np.stack([viewpoint(15.0 * k, 30.0, 0.0) for k in range(24)])
    for row in range(4):
        nearest = np.abs(images.R[images.objects == row][:, None] - around).max(axis=(2, 3)).argmin(axis=1)
        assert np.abs(images.R[images.objects == row] - around[nearest]).max() < 1e-6
        assert len(set(nearest)) == 24
    assert min(mask_ious(images, canonical())) > 0.97


def test_turntable_voxels_are_the_canonical_shell_behind_the_mask():
    images = turntable()
    for row, category in enumerate(CATEGORIES):
        np.testing.assert_array_equal(images.voxels[row], voxelise_shell(prepare(make(category, 7)).mesh, 32))
    cells = [(np.argwhere(grid)[:, ::-1] + 0.5) / 32 - 0.5 for grid in images.voxels]
    for row, R, t, K, mask in zip(images.objects, images.R, images.t, images.K, images.masks, strict=True):
        points = (cells[row] @ R.T + t) @ K.T
        x, y = np.floor(points[:, :2] / points[:, 2:]).astype(int).T
        assert binary_dilation(mask >= 128, iterations=2)[y, x].mean() > 0.99


def test_turntable_elevations_and_solid():
    images = turntable(views=48, elevations=(0.0, 40.0), kind="solid", side=16)
    lifted = np.degrees(np.arcsin(-np.einsum("nji,nj->ni", images.R, np.broadcast_to([0.0, 0, 1], (192, 3)))[:, 1]))
    assert sorted(set(np.rint(lifted))) == [0, 40]
    np.testing.assert_array_equal(images.voxels[0], voxelise_solid(prepare(make("car", 7)).mesh, 16))
    with pytest.raises(InputError, match="more elevations"):
        turntable(views=25)


def test_turntable_backgrounds(tmp_path):
    white, scenery = turntable(), turntable(background="scenery")
    Image.new("RGB", (40, 40), (10, 200, 30)).save(tmp_path / "green.png")
    green = turntable(background="photos", backgrounds=tmp_path)
    empty = white.masks == 0
    assert (white.images[empty] == 255).all()
    assert (np.abs(green.images[empty].astype(int) - [10, 200, 30]) <= 1).all()
    assert scenery.images[empty].std() > 20
    inside = white.masks == 255
    assert np.abs(white.images[inside].astype(int) - green.images[inside]).max() <= 2
    Image.new("RGB", (16, 16), "white").save(tmp_path / "green.png")
    np.testing.assert_array_equal(turntable(background="photos", backgrounds=tmp_path).images, white.images)
    with pytest.raises(InputError, match="goes with"):
        turntable(background="photos")


@pytest.mark.parametrize("draw", [
    lambda folder: turntable(background="photos", backgrounds=folder).made_by["backgrounds"],
    lambda folder: weak(photos=folder).made_by["photos"],
])  # fmt: skip
def test_the_record_knows_the_photos_but_not_where_they_were(draw: Callable[[Path], dict], tmp_path):
    records = []
    for place in ("here", "there"):
        folder = tmp_path / place / "streets"
        (folder / "wet").mkdir(parents=True)
        Image.new("RGB", (40, 40), (10, 200, 30)).save(folder / "wet" / "green.png")
        records.append(draw(folder))
    assert records[0] == records[1]
    assert (records[0]["folder"], records[0]["photos"], len(records[0]["sha256"])) == ("streets", 1, 64)
    (folder / "wet" / "green.png").rename(folder / "wet" / "lime.png")
    assert draw(folder)["sha256"] != records[0]["sha256"]
    assert str(tmp_path) not in json.dumps(records)


def test_weak_pose_and_mesh_meet_the_mask():
    images = weak(scales=(0.8, 0.8), viewpoints="any")
    meshes = [Mesh(0.8 * mesh.vertices, mesh.faces) for mesh in as_large_as_the_grid_holds()]
    assert min(mask_ious(images, meshes)) > 0.97
    np.testing.assert_allclose(images.K[:, 0, 0], images.t[:, 2] * SIZE, rtol=1e-6)
    assert np.abs(images.t[:, :2]).max() <= 0.1
    assert np.abs(images.t[:, :2]).max() > 0.03
    assert images.t[:, 2].min() >= 3
    assert images.t[:, 2].max() <= 10


def test_weak_voxels_turned_and_seen_along_the_axis_meet_the_mask():
    torch = pytest.importorskip("torch")
    from monoform.projection.voxel_max import voxel_max

    images = weak(views=6)
    small = np.stack(
        [np.asarray(Image.fromarray(mask).resize((30, 30), Image.Resampling.BOX)) for mask in images.masks]
    )
    grids, R = torch.tensor(images.voxels[images.objects], dtype=torch.float32), torch.tensor(images.R)

    def mean_iou(t: np.ndarray) -> float:
        seen = voxel_max(grids, R, torch.tensor(t, dtype=torch.float32)).numpy()
        # A cell is full where the surface only touches it, so that voxels look larger than the object.
        return float(np.mean([iou(a >= 0.5, b >= 64) for a, b in zip(seen, small, strict=True)]))

    shift = images.t * [1, 1, 0]
    assert mean_iou(shift) > 0.8
    assert mean_iou(shift) > mean_iou(-shift) + 0.1


def test_weak_scales_are_the_objects_own_and_in_the_voxels():
    images = weak()
    meshes = as_large_as_the_grid_holds()
    extents = [np.ptp(np.argwhere(grid), axis=0).max() + 1 for grid in images.voxels]
    scales = [n / 30 / np.ptp(mesh.vertices, axis=0).max() for n, mesh in zip(extents, meshes, strict=True)]
    assert min(scales) > 0.55
    assert max(scales) < 1.1
    assert max(scales) / min(scales) > 1.1
    larger = weak(scales=(1.0, 1.0))
    for grid, mesh in zip(larger.voxels, meshes, strict=True):
        np.testing.assert_array_equal(grid, voxelise_solid(mesh, 30))
    assert larger.masks.sum() > images.masks.sum()


def test_weak_keeps_the_largest_shape_inside():
    thin = box((1.0, 0.01, 0.01))
    images = render_weak(
        DrawnObjects([thin], ["bar"], ["bar"]), size=64, views=40, seed=0, scales=(1.0, 1.0), viewpoints="any"
    )
    border = np.ones((64, 64), bool)
    border[1:-1, 1:-1] = False
    assert images.masks[:, border].mean() < 1.0
    smaller = render_weak(
        DrawnObjects([thin], ["bar"], ["bar"]), size=64, views=40, seed=0, scales=(0.9, 0.9), viewpoints="any"
    )
    assert (smaller.masks[:, border] == 0).all()


def test_other_look_changes_the_images_alone():
    plain, other = weak(), weak(style=OTHER_LOOK)
    assert same(replace(plain, images=other.images), other)
    assert (plain.images != other.images).any(axis=(1, 2, 3)).all()
    assert other.made_by["style"]["photo_share"] == 1.0


@pytest.mark.parametrize("draw", [turntable, weak])
def test_an_image_depends_on_its_id_number_and_seed_alone(draw: Callable[..., ImageSet], monkeypatch):
    whole = draw()
    assert same(whole, draw())
    assert not np.array_equal(whole.images, draw(seed=6).images)
    module = sys.modules[__name__]
    for name in ("SHAPES", "CATEGORIES", "IDS"):
        monkeypatch.setattr(module, name, getattr(module, name)[::-1])
    try:
        threads.set_threads(3)
        backwards = draw(views=2)
    finally:
        threads.set_threads(0)
    wanted = subset(whole, [9, 10, 6, 7, 3, 4, 0, 1])
    rows = {name: row for row, name in enumerate(wanted.object_ids)}
    order = [rows[name] for name in backwards.object_ids]
    for name in ("images", "masks", "R", "t", "K"):
        np.testing.assert_array_equal(getattr(backwards, name), getattr(wanted, name))
    np.testing.assert_array_equal(backwards.voxels, wanted.voxels[order])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: turntable(size=4), "at least 8"),
        (lambda: turntable(kind="hollow"), "solid or shell"),
        (lambda: weak(scales=(0.5, 1.2)), "0 < low <= high <= 1"),
        (lambda: weak(viewpoints="side"), "prior, upright or any"),
        (lambda: render_weak(DrawnObjects([box()], ["teapot"], ["a"]), size=32, views=1, seed=0), "no view prior"),
        (
            lambda: render_turntable(DrawnObjects([box(), box()], ["a", "a"], ["x", "x"]), size=32, views=1, seed=0),
            "one id",
        ),
        (lambda: render_turntable(DrawnObjects([box()], ["a"], []), size=32, views=1, seed=0), "one each"),
        (lambda: turntable(background="black"), "white, scenery or photos"),
        (lambda: shapes_for("car", 0, 0), "at least one"),
        (lambda: shapes_for("teapot", 1, 0), "no shapes of the category"),
    ],
)
def test_drawing_refuses(change: Callable[[], object], message: str):
    with pytest.raises(InputError, match=message):
        change()


def test_shapes_of_a_recipe_and_of_a_folder(tmp_path):
    entries, ids = shapes_for("chair", 2, 10)
    assert ids == ["chair-000010", "chair-000011"]
    assert [entry.seed for entry in entries] == [10, 11]
    models = [
        {"file": f"{name}.glb", "category": "car", "suggested_split": split}
        for name, split in zip("ab", ("train", "val"))
    ]
    for name in "ab":
        save_mesh(make("car", 1), tmp_path / f"{name}.glb")
    (tmp_path / "manifest.json").write_text(json.dumps({"models": models}))
    meshes, names = models_for(tmp_path, "car", "val")
    assert names == ["b"]
    images = render_turntable(DrawnObjects(meshes, ["car"], names), size=32, views=1, seed=0)
    assert images.masks.any()
    assert images.object_ids == ("b",)


# --- parts -------------------------------------------------------------------------------------------------------


def test_subset_category_and_join():
    images = turntable()
    few = subset(images, [10, 0, 11])
    assert few.object_ids == (IDS[0], IDS[3])
    assert few.objects.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(few.images[0], images.images[10])
    np.testing.assert_array_equal(few.voxels[1], images.voxels[3])
    cars = of_category(images, "car")
    assert len(cars) == 3
    assert cars.object_ids == (IDS[0],)
    both = join(cars, few)
    assert len(both) == 6
    assert both.objects.tolist() == [0, 0, 0, 1, 0, 1]
    assert len(both.voxels) == 2
    np.testing.assert_array_equal(both.masks[3:], few.masks)
    with pytest.raises(InputError, match="it holds aeroplane, bus, car, sofa"):
        of_category(images, "boat")
    with pytest.raises(InputError, match="images differ"):
        join(images, turntable(size=32))
    with pytest.raises(IndexError):
        subset(images, [12])


# --- files -------------------------------------------------------------------------------------------------------


def test_saved_and_loaded_sets_are_equal(tmp_path):
    images = turntable()
    save_images(images, tmp_path / "set")
    found = load_images(tmp_path / "set")
    assert same(images, found)
    assert isinstance(found.images, np.memmap)
    assert (found.object_ids, found.categories, found.voxel_kind) == (tuple(IDS), tuple(CATEGORIES), "shell")
    assert found.made_by == images.made_by
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    with pytest.raises(InputError, match="is there already"):
        save_images(images, tmp_path / "set")
    drawn = weak(size=16, views=1)
    save_images(drawn, tmp_path / "weak")
    assert load_images(tmp_path / "weak").made_by == drawn.made_by
    save_images(subset(found, [0]), tmp_path / "part")
    assert same(load_images(tmp_path / "part"), subset(images, [0]))


def test_a_set_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    images = turntable()
    with pytest.raises(InputError, match="its masks are"):
        save_images(replace(images, masks=images.masks[1:]), tmp_path / "set")
    with pytest.raises(WriteError, match="no such file"):
        save_images(images, tmp_path / "missing" / "set")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(WriteError, match="no space left"):
        save_images(images, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A small set on disk."""
    folder = tmp_path_factory.mktemp("sets") / "set"
    save_images(turntable(size=16, views=1), folder)
    return folder


def _flip(folder: Path) -> None:
    data = bytearray((folder / "voxels.npy").read_bytes())
    data[-1] ^= 1
    (folder / "voxels.npy").write_bytes(data)


def _claim_more(folder: Path) -> None:
    """999 masks where 4 are, in the header and in the record."""
    path = folder / "masks.npy"
    path.write_bytes(path.read_bytes().replace(b"(4, 16, 16)", b"(999,16,16)"))
    _record(folder, lambda record: record["files"]["masks"].update(shape=[999, 16, 16]))


def _record(folder: Path, change: Callable[[dict], object]) -> None:
    record = json.loads((folder / "record.json").read_text())
    change(record)
    (folder / "record.json").write_text(json.dumps(record))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped bit": (_flip, "SHA-256"),
    "cut": (lambda f: (f / "images.npy").write_bytes((f / "images.npy").read_bytes()[:-9]), "as the record says"),
    "no header": (lambda f: (f / "t.npy").write_bytes(b"x"), "not a sound .npy"),
    "pickle": (lambda f: np.save(f / "t.npy", np.array([{}]), allow_pickle=True), "holds object"),
    "missing": (lambda f: (f / "K.npy").unlink(), "cannot be read"),
    "bomb": (_claim_more, "takes"),
    "other type": (lambda f: np.save(f / "R.npy", np.zeros((4, 3, 3))), "not float32"),
    "other length": (lambda f: np.save(f / "t.npy", np.zeros((3, 3), np.float32)), "as the record says"),
    "no JSON": (lambda f: (f / "record.json").write_text("{"), "no valid JSON"),
    "no record": (lambda f: (f / "record.json").unlink(), "cannot be read"),
    "other format": (lambda f: _record(f, lambda r: r.update(format="x")), "not the record"),
    "newer": (lambda f: _record(f, lambda r: r.update(schema_version=2)), "update monoform"),
    "field gone": (lambda f: _record(f, lambda r: r.pop("categories")), "missing or have other types"),
    "file gone": (lambda f: _record(f, lambda r: r["files"].pop("K")), "does not list"),
    "id gone": (lambda f: _record(f, lambda r: r["object_ids"].pop()), "categories for|not"),
    "other kind": (lambda f: _record(f, lambda r: r.update(voxel_kind="soft")), "kind 'soft'"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_sets_are_refused_in_one_line(name: str, saved: Path, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(saved, folder)
    damage, message = DAMAGES[name]
    damage(folder)
    with pytest.raises((InputError, SchemaError), match=message) as caught:
        load_images(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    assert ";" in str(caught.value)
    if name == "flipped bit":
        assert len(load_images(folder, verify=False)) == 4


def test_rows_beyond_the_objects_are_refused(tmp_path):
    images = turntable(size=16, views=1)
    with pytest.raises(InputError, match="shows object 4 of 4"):
        save_images(replace(images, objects=images.objects + 1), tmp_path / "set")


def test_sets_need_no_torch():
    code = "import sys, monoform.data.image_sets; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
