"""Folders with a manifest: meshes by group, photos by film, and every kind of damage."""

import hashlib
import json

import numpy as np
import pytest
from photo_fixtures import body, canonical_vertices, picture, refusal, save, write_off, write_text
from proofs import assert_canonical

from monoform.data.readers.models import Models, Photos, open_models
from monoform.data.samples import Source
from monoform.interfaces import Photo
from pictures import disc


def write_meshes(root):
    """Two cars of one group in the training split, and a monitor."""
    vertices, faces = body((1, 0, 0), (0, 1, 0), (0, 0, -1))
    records = []
    for name, category, group, split in (
        ("car/a", "car", "car/a", "train"),
        ("car/b", "car", "car/a", "train"),
        ("tvmonitor/c", "tvmonitor", "tvmonitor/c", "val"),
    ):
        path = write_off(root / "models" / f"{name}.off", 3.0 * vertices + 1.0, faces)
        record = {"id": name, "file": f"models/{name}.off", "category": category, "group": group}
        record |= {"suggested_split": split, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}
        records.append(record)
    write_text(root / "manifest.json", json.dumps({"convention": "y up, front -z", "models": records}))
    return root


def write_photos(root):
    """Two photos of one film, the first with its yaw."""
    records = []
    for number, given in enumerate(({"yaw_view_deg": 90, "yaw_tolerance_deg": 20}, {"touches_border": True})):
        save(picture((40, 60)), root / "images" / f"film_{number}.png")
        save(disc(40, 60) * np.uint8(255), root / "masks" / f"film_{number}.png")
        record = {"image": f"images/film_{number}.png", "mask": f"masks/film_{number}.png"}
        records.append({**record, "category": "car", "sequence": "film", **given})
    write_text(root / "manifest.json", json.dumps({"items": records}))
    return root


def test_files_that_differ_in_capitals_only_are_two_items(tmp_path):
    manifest = write_meshes(tmp_path) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["models"].append({**content["models"][0], "id": "car/A"})
    manifest.write_text(json.dumps(content))
    assert [item.id for item in open_models(tmp_path).items()] == ["car-a", "car-b", "tvmonitor-c", "car-A-3"]
    assert [item.id for item in open_models(tmp_path, split="train").items()] == ["car-a", "car-b", "car-A-3"]


def test_meshes_groups_and_splits(tmp_path):
    source = open_models(write_meshes(tmp_path))
    assert isinstance(source, Source)
    assert isinstance(source, Models)
    assert [item.id for item in source.items()] == ["car-a", "car-b", "tvmonitor-c"]
    assert [item.object_id for item in source.items()] == ["car-a", "car-a", "tvmonitor-c"]
    assert [item.category for item in source.items()] == ["car", "car", "monitor"]
    assert [item.split for item in source.items()] == ["train", "train", "val"]
    assert len(open_models(tmp_path, category="monitor").items()) == 1
    assert len(open_models(tmp_path, split="train", category="car").items()) == 2
    vertices = source.load(0).mesh.vertices
    assert np.allclose(np.sort(vertices, 0), np.sort(canonical_vertices(), 0))
    assert_canonical(source.load(2).mesh)


def test_photos_masks_and_yaw(tmp_path):
    source = open_models(write_photos(tmp_path))
    assert isinstance(source, Source)
    assert isinstance(source, Photos)
    assert [item.object_id for item in source.items()] == ["film", "film"]
    assert [set(item.flags) for item in source.items()] == [{"coarse"}, {"truncated"}]
    assert source.yaw_deg(0) == (90.0, 20.0)
    assert source.yaw_deg(1) is None
    sample = source.load(0)
    assert (sample.mask == disc(40, 60)).all()
    assert (sample.image == picture((40, 60))).all()
    assert source.load(1).R is None


@pytest.mark.parametrize(("yaw", "nose"), [(0, [0, 0, -1]), (90, [1, 0, 0]), (180, [0, 0, 1]), (-90, [-1, 0, 0])])
def test_the_nose_points_where_the_yaw_says(tmp_path, yaw, nose):
    root = write_photos(tmp_path)
    content = json.loads((root / "manifest.json").read_text())
    content["items"][0]["yaw_view_deg"] = yaw
    write_text(root / "manifest.json", json.dumps(content))
    R = open_models(root).load(0).R
    assert np.allclose(R @ [0.0, 0.0, -1.0], nose)
    assert np.allclose(R @ [0.0, 1.0, 0.0], [0.0, -1.0, 0.0])


def test_missing_and_damaged_files_are_named(tmp_path):
    assert "manifest.json" in refusal(lambda: open_models(tmp_path))
    root = write_meshes(tmp_path)
    assert "'boat'" in refusal(lambda: open_models(root, category="boat"))
    source = open_models(root)
    path = root / "models" / "car" / "a.off"
    whole = path.read_text()
    path.write_text(whole.replace("0.", "0.1", 1))
    assert "SHA-256" in refusal(lambda: source.load(0))
    path.write_text(whole[:100])
    assert "a.off" in refusal(lambda: source.load(0))
    path.unlink()
    assert "a.off" in refusal(lambda: open_models(root))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"models": 3}', '{"models": [3]}', '{"models": []}', '{"models": [{"category": "car"}]}'],
)
def test_damaged_manifests_are_named(tmp_path, text):
    write_text(tmp_path / "manifest.json", text)
    assert "manifest.json" in refusal(lambda: open_models(tmp_path))


def test_a_yaw_or_a_path_that_cannot_be_used_is_named(tmp_path):
    root = write_photos(tmp_path)
    content = json.loads((root / "manifest.json").read_text())
    content["items"][0] |= {"yaw_view_deg": "left"}
    write_text(root / "manifest.json", json.dumps(content))
    assert "yaw_view_deg" in refusal(lambda: open_models(root).load(0))
    content["items"][0] |= {"image": "../secret.png"}
    write_text(root / "manifest.json", json.dumps(content))
    assert "secret.png" in refusal(lambda: open_models(root))


def test_real_meshes_and_photos(shared):
    models = open_models(shared / "data" / "models")
    assert len(models.items()) > 600
    assert {"train", "val", "test"} == {item.split for item in models.items()}
    for index in range(0, len(models.items()), 150):
        assert_canonical(models.load(index).mesh)
    photos = open_models(shared / "data" / "photos", category="car")
    sample = photos.load(0)
    assert Photo(sample.image).size_hw == sample.mask.shape
    assert sample.R is not None


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"category": None}, "its category is no text"),
        ({"suggested_split": ["a"]}, "its suggested_split is no text"),
        ({"suggested_split": "weird"}, "none of train, val, test"),
        ({"id": 7}, "its id is no text"),
        ({"group": {}}, "its group is no text"),
        ({"id": "car/b"}, "is called 'car-b'"),
    ],
)
def test_an_entry_of_other_types_or_with_anothers_id_is_named(tmp_path, change, cause):
    root = write_meshes(tmp_path)
    content = json.loads((root / "manifest.json").read_text())
    content["models"][0] |= change
    write_text(root / "manifest.json", json.dumps(content))
    message = refusal(lambda: open_models(root))
    assert cause in message
    assert "entry 0" in message or "a.off" in message
