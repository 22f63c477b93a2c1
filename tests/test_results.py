"""The record, its schema against jsonschema as the oracle, the folder, and names."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform import results
from monoform.errors import SchemaError
from monoform.files.images import load_image
from monoform.files.meshes import load_mesh
from monoform.results import PhotoMatch, folder_names, load_result, safe_name, to_record, validate, write_result

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def folder(car_match: PhotoMatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("result") / "car"
    write_result(car_match, out, car_match.photo.image, cameras=("opencv", "bop"))
    return out


def test_folder_is_complete_and_result_is_written_last(folder: Path) -> None:
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {"result.json", "overlay.png", "mask.png", "mesh_posed.glb", "refine.json", "cameras/opencv.json"}
    assert names == expected | {"cameras/bop.csv", "cameras/bop_scene_camera.json"}
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert times[folder / "result.json"] == max(times.values())


def test_record_holds_what_the_alignment_says(folder: Path, car_match: PhotoMatch) -> None:
    record = load_result(folder)
    found = car_match.alignment
    assert record["image_size_wh"] == [192, 144]
    np.testing.assert_array_equal(record["K"], found.K)
    np.testing.assert_array_equal(record["crop_to_original"], found.crop_to_original)
    assert record["photo"] == "car.png"
    assert record["ambiguous"] is True
    assert record["ambiguity"] == "half-turn"
    assert record["K_assumed"] is False
    assert record["warnings"] == ["its EXIF is damaged"]
    for written, pose in zip(record["poses"], found.poses, strict=True):
        np.testing.assert_array_equal(written["R_model_to_camera_opencv"], pose.R)
        np.testing.assert_array_equal(written["t_model_to_camera"], pose.t)
        assert written["quaternion_wxyz"][0] >= 0
        turned = Rotation.from_quat(np.roll(written["quaternion_wxyz"], -1)).as_matrix()
        np.testing.assert_allclose(turned, pose.R, atol=1e-12)


def test_not_a_number_becomes_null(folder: Path) -> None:
    assert load_result(folder)["poses"][1]["appearance"] is None
    assert "NaN" not in (folder / "result.json").read_text()


def test_posed_mesh_stands_in_front_of_a_gltf_camera(folder: Path, car_match: PhotoMatch) -> None:
    posed, best = load_mesh(folder / "mesh_posed.glb"), car_match.alignment.poses[0]
    opencv = car_match.mesh.vertices @ best.R.T + best.t
    low, high = posed.vertices.min(axis=0), posed.vertices.max(axis=0)
    np.testing.assert_allclose(low, [opencv[:, 0].min(), -opencv[:, 1].max(), -opencv[:, 2].max()], atol=1e-6)
    np.testing.assert_allclose(high, [opencv[:, 0].max(), -opencv[:, 1].min(), -opencv[:, 2].min()], atol=1e-6)


def test_mask_and_refinement_are_kept(folder: Path, car_match: PhotoMatch) -> None:
    mask = load_image(folder / "mask.png").image[..., 0]
    np.testing.assert_allclose(mask / 255.0, car_match.mask.coverage, atol=0.5 / 255 + 1e-6)
    steps = json.loads((folder / "refine.json").read_text())["steps"]
    assert [step["loss"] for step in steps] == [0.2, 0.1]


def test_same_match_gives_the_same_bytes(folder: Path, car_match: PhotoMatch, tmp_path: Path) -> None:
    slower = replace(car_match, alignment=replace(car_match.alignment, timings_s={"search": 9.0}))
    write_result(slower, tmp_path, car_match.photo.image, cameras=("opencv", "bop"))
    for path in folder.rglob("*"):
        again = tmp_path / path.relative_to(folder)
        if path.name == "result.json":
            first, second = json.loads(path.read_text()), json.loads(again.read_text())
            assert (first.pop("timings"), second.pop("timings")) == ({"search": 0.5}, {"search": 9.0})
            assert json.dumps(first) == json.dumps(second)
        elif path.is_file():
            assert path.read_bytes() == again.read_bytes(), path.name


def test_failed_write_leaves_no_result(car_match: PhotoMatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_result(car_match, tmp_path, car_match.photo.image)

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "write_cameras", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_result(car_match, tmp_path, car_match.photo.image)
    assert not (tmp_path / "result.json").exists()


def test_library_candidates_are_listed(car_match: PhotoMatch) -> None:
    match = replace(car_match, candidates=(("car.glb", car_match.alignment), ("van.glb", car_match.alignment)))
    record = to_record(match)
    validate(record)
    assert record["candidates"][1] == {"mesh": "van.glb", "iou": 0.97, "contour_px": 0.4}


# --- the schema --------------------------------------------------------------------------------------------------


def test_schema_is_a_schema_and_the_record_follows_it(car_match: PhotoMatch) -> None:
    jsonschema.Draft202012Validator.check_schema(results.schema())
    jsonschema.validate(to_record(car_match), results.schema())


def paths_of(value: object, path: tuple = ()) -> list[tuple]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [p for key, item in children for p in paths_of(item, (*path, key))]


@given(data=st.data(), value=JSON_VALUES)
def test_validator_agrees_with_jsonschema_on_damaged_records(car_match: PhotoMatch, data: st.DataObject, value) -> None:
    record = to_record(car_match)
    path = data.draw(st.sampled_from(paths_of(record)[1:]))
    parent = record
    for key in path[:-1]:
        parent = parent[key]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    # json.loads makes what a file can hold; jsonschema has no opinion on NaN and takes 1.0 for an integer.
    oracle = jsonschema.Draft202012Validator(results.schema()).is_valid(record)
    finite = not any(isinstance(v, float) and not math.isfinite(v) for v in leaves(record))
    try:
        validate(record)
        accepted = True
    except SchemaError:
        accepted = False
    assert accepted == (oracle and finite) or any(isinstance(v, float) and v.is_integer() for v in leaves(value))


def leaves(value: object) -> list:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@given(value=JSON_VALUES)
def test_any_json_is_a_schema_error(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    with pytest.raises(SchemaError, match=r"any\.json"):
        load_result(path)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_schema_error(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(data)
    with pytest.raises(SchemaError):
        load_result(path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": NaN}', "\ufeff{}", "1e999", ""])
def test_hostile_json_is_a_schema_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(SchemaError):
        load_result(tmp_path)


def test_infinite_number_is_refused(car_match: PhotoMatch, tmp_path: Path) -> None:
    text = json.dumps(to_record(car_match)).replace("0.97", "1e999", 1)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(SchemaError, match="finite"):
        load_result(tmp_path)


def test_missing_file_is_a_schema_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        load_result(tmp_path / "nothing.json")


def test_message_names_the_place(car_match: PhotoMatch) -> None:
    record = copy.deepcopy(to_record(car_match))
    record["poses"][1]["t_model_to_camera"] = [1.0, "two", 3.0]
    with pytest.raises(SchemaError, match=r"result\.poses\[1\]\.t_model_to_camera\[1\] is 'two'"):
        validate(record)


# --- names -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("car 1", "car 1"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\nb\x1b[31m", "a_b__31m"),
        ('<script>"x"</script>', "_script__x___script_"),
        ("...", "_"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("results.jsonl", "_results.jsonl"),
        ("Auto größe 車", "Auto größe 車"),
        ("\udcff", "_"),
    ],
)
def test_names_are_safe(stem: str, name: str) -> None:
    assert safe_name(stem).replace("?", "_") == name


@given(stem=st.text(max_size=300))
def test_any_name_can_be_a_folder(stem: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    name = safe_name(stem)
    assert 0 < len(name.encode()) <= results.MAX_NAME_BYTES + 1
    base = tmp_path_factory.getbasetemp()
    (base / name).mkdir(exist_ok=True)
    assert (base / name).resolve().parent == base.resolve()


def test_colliding_names_all_get_a_suffix_of_their_path() -> None:
    names = folder_names([Path("a/1.png"), Path("b/1.png"), Path("b/2.png"), Path("c/X.jpg"), Path("c/x.png")])
    assert len(set(map(str.casefold, names))) == 5
    assert names[2] == "2"
    assert names[0].startswith("1-")
    assert folder_names([Path("b/1.png"), Path("a/1.png")]) == [names[1], names[0]]
