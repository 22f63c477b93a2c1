"""Medoids against brute force, splits against their definition, classes of real models by name, category and shape."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from image_set_cases import iou, silhouette
from monoform.data.image_sets import shapes_for
from monoform.data.procedural import make_shape
from monoform.data.rendering.poses import intrinsics, viewpoint
from monoform.data.representatives import (
    MOST_FACES,
    Representatives,
    choose_representatives,
    describe,
    medoid,
    nearest,
    reduce_faces,
    split_shapes,
)
from monoform.data.vehicle_classes import CLASSES, classed_models, seeded_vehicles
from monoform.errors import InputError
from monoform.files.meshes import save_mesh
from monoform.meshes import Mesh, bounds, box, concatenate, icosphere


def car(kind: str, seed: int = 3) -> Mesh:
    """A procedural car."""
    return make_shape("car", seed, kind).mesh


@pytest.fixture(scope="module")
def medoids() -> Representatives:
    """Of five cars of each class."""
    return choose_representatives(seeded_vehicles(5, 0))[0]


# --- features ----------------------------------------------------------------------------------------------------


def test_features_know_the_shape_but_neither_size_nor_place_nor_colour():
    mesh = car("sedan")
    moved = Mesh(7.0 * mesh.vertices + (3.0, -1.0, 2.0), mesh.faces)
    # Two views of 12 x 12 cells: 11 x 11 blocks of 2 x 2 cells with 9 bins.
    assert describe(mesh).shape == (2 * 11 * 11 * 4 * 9,)
    np.testing.assert_allclose(describe(mesh), describe(moved), atol=1e-2)
    assert np.linalg.norm(describe(mesh) - describe(car("suv"))) > 5.0
    with pytest.raises(InputError, match="one point"):
        describe(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])))


def test_features_are_of_the_front_and_of_the_side():
    def halves(x: float, y: float, bump: float) -> np.ndarray:
        return describe(concatenate([box((x, y, 1.0)), box((x, 0.3, 0.2), (0.0, 0.2, bump))])).reshape(2, -1)

    narrow, wide, shifted = halves(0.4, 0.3, 0.0), halves(0.6, 0.3, 0.0), halves(0.4, 0.3, 0.3)
    (front, side), (front_shifted, side_shifted) = (np.linalg.norm(narrow - other, axis=1) for other in (wide, shifted))
    assert front > 4.0 * side
    assert side_shifted > 4.0 * front_shifted


def test_classes_of_procedural_cars_are_told_by_the_nearest_medoid(medoids: Representatives):
    features = np.stack([describe(mesh) for mesh in medoids.meshes])
    told = [[nearest(describe(car(kind, seed)), features) for seed in range(20, 24)] for kind in CLASSES]
    assert np.mean(np.array(told) == np.arange(3)[:, None]) > 0.9


@given(arrays.arrays(float, st.tuples(st.integers(1, 8), st.integers(1, 4)), elements=st.floats(-9, 9, width=32)))
def test_medoid_and_nearest_are_those_of_brute_force(features: np.ndarray):
    def mean_distance(one: int) -> float:
        return float(np.mean([sum((a - b) ** 2 for a, b in zip(features[one], row)) ** 0.5 for row in features]))

    least = min(mean_distance(one) for one in range(len(features)))
    assert mean_distance(medoid(features)) <= least + 1e-9
    point = features[0] + 0.25
    apart = [sum((point - row) ** 2) for row in features]
    assert apart[nearest(point, features)] <= min(apart) + 1e-9


def test_no_shapes_have_no_medoid():
    with pytest.raises(InputError, match="at least one"):
        medoid(np.zeros((0, 3)))


# --- meshes ------------------------------------------------------------------------------------------------------


def test_representatives_are_the_medoids_of_their_classes():
    shapes = {kind: shapes_for("car", 5, 40, kind) for kind in ("cargo", "sedan")}
    found, ids = choose_representatives(shapes)
    assert found.classes == ("cargo", "sedan")
    for kind, mesh, name in zip(found.classes, found.meshes, ids, strict=True):
        features = [describe(car(kind, seed)) for seed in range(40, 45)]
        total = [sum(np.linalg.norm(one - other) for other in features) for one in features]
        assert name == f"car-{kind}-{40 + int(np.argmin(total)):06d}"
        low, high = bounds(mesh.vertices)
        np.testing.assert_allclose(low, -high, atol=1e-12)
        assert (high - low).max() == pytest.approx(1.0)
        assert len(mesh.faces) <= MOST_FACES


@pytest.mark.parametrize("mesh", [car("sedan"), car("cargo"), icosphere(4)])
def test_reduced_meshes_keep_their_silhouette(mesh: Mesh):
    whole, few = reduce_faces(mesh, 10**6), reduce_faces(mesh, MOST_FACES)
    assert len(few.faces) <= MOST_FACES < len(whole.faces)
    K, t = intrinsics(40.0, (128, 128)), np.array([0.0, 0.0, 2.0])
    for azimuth in (0.0, 50.0, 90.0, 200.0):
        R = viewpoint(azimuth, 10.0, 0.0)
        assert iou(silhouette(whole, R, t, K, 128) >= 0.5, silhouette(few, R, t, K, 128) >= 0.5) > 0.975


def test_what_cannot_be_reduced_is_refused():
    assert len(reduce_faces(box((1.0, 2.0, 3.0)), 12).faces) == 12
    with pytest.raises(InputError, match="cannot be reduced to 2"):
        reduce_faces(icosphere(2), 2)


@pytest.mark.parametrize(("classes", "count"), [((), 0), (("a",), 2), (("a", "a"), 2)])
def test_each_class_has_one_mesh(classes: tuple[str, ...], count: int):
    with pytest.raises(InputError, match="give each class one"):
        Representatives(classes, (box(),) * count)


# --- splits ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 50))
def test_each_class_is_divided_by_the_shares(first: int, second: int, seed: int):
    classes = ["a"] * (5 * first + 1) + ["b"] * (5 * second + 1)
    ids = [f"{name}-{i}" for i, name in enumerate(classes)]
    medoids = [ids[0], ids[-1]]
    rows = split_shapes(ids, classes, medoids, seed)
    for name, count in (("a", first), ("b", second)):
        found = [sum(classes[row] == name for row in rows[split]) for split in ("train", "val", "test")]
        assert found == [3 * count, count, count]
    together = np.concatenate(list(rows.values()))
    assert sorted(ids[row] for row in together) == sorted(set(ids) - set(medoids))
    # The split of a shape does not depend on the order in which the shapes are given.
    back = split_shapes(ids[::-1], classes[::-1], medoids, seed)
    assert {split: {ids[::-1][row] for row in found} for split, found in back.items()} == {
        split: {ids[row] for row in found} for split, found in rows.items()
    }


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=40), st.integers(0, 5))
def test_groups_stay_together_and_leave_with_a_medoid(shapes: list[tuple[str, int]], seed: int):
    ids, groups = [f"s{i}" for i in range(len(shapes))], [f"g{number}" for _, number in shapes]
    rows = split_shapes(ids, [name for name, _ in shapes], ["s0"], seed, groups=groups)
    of_split = {split: {groups[row] for row in found} for split, found in rows.items()}
    assert not of_split["train"] & of_split["val"]
    assert not (of_split["train"] | of_split["val"]) & of_split["test"]
    assert set.union(*of_split.values()) == set(groups) - {groups[0]}
    assert sorted(np.concatenate(list(rows.values()))) == [i for i, g in enumerate(groups) if g != groups[0]]


def test_splits_follow_the_seed_and_the_shares():
    ids, classes = [f"s{i}" for i in range(40)], ["a"] * 40
    first, second = (split_shapes(ids, classes, [], seed, (0.5, 0.25, 0.25)) for seed in (0, 1))
    assert [len(found) for found in first.values()] == [20, 10, 10]
    assert set(first["test"]) != set(second["test"])
    with pytest.raises(InputError, match="three of 0 or more"):
        split_shapes(ids, classes, [], 0, (0.5, 0.5))


# --- classes of real models --------------------------------------------------------------------------------------


def folder_of(root: Path, models: dict[str, tuple[str, Mesh]]) -> Path:
    """A folder of models: id to category and mesh; names up to a dot are groups."""
    rows = []
    for name, (category, mesh) in models.items():
        save_mesh(mesh, root / f"{name}.glb")
        rows.append({"id": name, "file": f"{name}.glb", "category": category, "group": name.split(".")[0]})
        rows[-1]["suggested_split"] = "val"
    (root / "manifest.json").write_text(json.dumps({"models": rows}))
    return root


def test_models_are_classed_by_category_name_and_shape(tmp_path: Path, medoids: Representatives):
    ring = concatenate([box((0.02, 0.9, 0.02), (0.0, 0.0, z)) for z in np.linspace(-0.5, 0.5, 9)])
    models = {
        "toys__Cop_SUV": ("car", car("sedan"), "suv", "name"),
        "toys__SUVs.2": ("car", car("sedan"), "sedan", "shape"),
        "toys__NewTaxi": ("car", car("suv"), "sedan", "name"),
        "suv__thing": ("car", car("sedan"), "sedan", "shape"),
        "a.1": ("car", car("suv"), "suv", "shape"),
        "a.2": ("car", car("cargo"), "suv", "shape"),
        "RaceCar": ("car", car("sports"), "", "name"),
        "grid": ("car", ring, "", "shape"),
        "sedan-van": ("van", car("cargo"), "cargo", "category"),
        "lorry": ("truck", ring, "cargo", "category"),
    }
    root = folder_of(tmp_path, {name: row[:2] for name, row in models.items()})
    found = classed_models(root, medoids, ("car", "van", "truck"))
    assert {one.id: (one.name, one.told_by) for one in found} == {name: row[2:] for name, row in models.items()}
    assert {one.id: one.group for one in found}["a.2"] == "a"
    assert {one.split for one in found} == {"val"}
    features = np.stack([describe(mesh) for mesh in medoids.meshes])
    for one in found:
        np.testing.assert_allclose(one.distances, [np.linalg.norm(describe(one.mesh) - row) for row in features])
    assert {one.id for one in classed_models(root, medoids)} == set(models) - {"lorry"}


def test_other_classes_and_categories_are_refused(tmp_path: Path, medoids: Representatives):
    with pytest.raises(InputError, match="models of car, van, truck"):
        classed_models(tmp_path, medoids, ("chair",))
    with pytest.raises(InputError, match="give medoids of sedan, suv, cargo"):
        classed_models(tmp_path, Representatives(("suv",), medoids.meshes[:1]))
    (tmp_path / "manifest.json").write_text(
        json.dumps({"items": [{"image": "a.png", "mask": "a.png", "category": "car"}]})
    )
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match="lists photos"):
        classed_models(tmp_path, medoids, ("car",))


def test_real_models_are_in_all_classes(shared: Path, medoids: Representatives):
    found = classed_models(shared / "data" / "models", medoids)
    count = {name: sum(one.name == name for one in found) for name in (*CLASSES, "")}
    assert min(count[name] for name in CLASSES) >= 10
    assert count[""] <= 8
    rows = split_shapes(
        [one.id for one in found], [one.name for one in found], [], 0, groups=[one.group for one in found]
    )
    for name in CLASSES:
        assert all(any(found[row].name == name for row in part) for part in rows.values())


def test_no_torch_is_needed():
    code = "import sys, monoform.data.vehicle_classes; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
