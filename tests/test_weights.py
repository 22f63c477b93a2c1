"""Folders of weights: what goes in comes out, and nothing damaged, foreign or unfinished does."""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn
from safetensors.numpy import load_file

from monoform.errors import InputError, NumericError, SchemaError
from monoform.files.atomic import WriteError
from monoform.files.weights import fit_arrays, load_record, load_weights, save_weights

ARRAYS = {
    "encoder.weight": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "steps": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), dtype=np.float32),
    "mask": np.array([True, False]),
}
RECORD = {"method": "toy", "config": {"width": 4, "rate": 0.1, "names": ["a", "ü"]}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_weights(tmp_path / "model", {"model": ARRAYS}, RECORD)
    return tmp_path / "model"


def test_what_goes_in_comes_out(folder: Path) -> None:
    files, record = load_weights(folder)
    assert record == RECORD == load_record(folder)
    assert files.keys() == {"model"}
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(files["model"][name], array, strict=True)


def test_other_programs_read_the_files(folder: Path) -> None:
    np.testing.assert_array_equal(load_file(folder / "model.safetensors")["encoder.weight"], ARRAYS["encoder.weight"])


@given(hn.arrays(st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]),
                 hn.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
                 elements={"allow_nan": False, "allow_infinity": False}))  # fmt: skip
def test_any_finite_array_is_kept_bit_by_bit(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("any") / "w"
    save_weights(folder, {"x": {"a": array}}, {})
    loaded = load_weights(folder)[0]["x"]["a"]
    assert (loaded.dtype, loaded.shape, loaded.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_an_older_folder_is_replaced_and_nothing_else_left(folder: Path) -> None:
    save_weights(folder, {"model": {"a": np.ones(2)}}, {"new": True})
    files, record = load_weights(folder)
    assert record == {"new": True}
    assert files["model"].keys() == {"a"}
    assert os.listdir(folder.parent) == ["model"]


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "car.jpg").write_bytes(b"x")
    with pytest.raises(InputError, match="no folder of weights"):
        save_weights(tmp_path / "photos", {}, {})
    assert (tmp_path / "photos" / "car.jpg").exists()


def test_a_record_must_be_plain(tmp_path: Path) -> None:
    for value in (np.float32(1), Path("x"), float("nan")):
        with pytest.raises((TypeError, ValueError)):
            save_weights(tmp_path / "w", {}, {"value": value})
    assert os.listdir(tmp_path) == []


# --- damage ------------------------------------------------------------------------------------------------------


def change_manifest(folder: Path, change: Callable[[dict], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def truncated(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 20)


def emptied(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def flipped(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-9] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def lengthened(folder: Path) -> None:
    with open(folder / "model.safetensors", "ab") as file:
        file.write(b"\0")


def record_changed(folder: Path) -> None:
    text = (folder / "record.json").read_text().replace('"width": 4', '"width": 8')
    (folder / "record.json").write_text(text)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "model.safetensors: breaks off after 20 of"),
        (emptied, "model.safetensors: is empty"),
        (flipped, "model.safetensors: damaged or changed, its SHA-256"),
        (lengthened, "damaged or changed"),
        (record_changed, "record.json: damaged or changed"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: missing"),
        (lambda f: (f / "manifest.json").unlink(), "no manifest.json, so not finished"),
        (lambda f: (f / "manifest.json").write_bytes(b"\xff{"), "manifest.json: not JSON"),
        (lambda f: (f / "manifest.json").write_text("[1]"), "not a JSON object"),
        (lambda f: change_manifest(f, lambda m: m.update(schema_version=2)), "version 2.*update monoform"),
        (lambda f: change_manifest(f, lambda m: m.update(format="other")), "not a manifest of weights"),
        (lambda f: change_manifest(f, lambda m: m["files"].pop("record.json")), "lists no record.json"),
        (lambda f: change_manifest(f, lambda m: m["files"].update({"../x.safetensors": {"bytes": 1, "sha256": ""}})),
         "damaged or changed"),
    ],
)  # fmt: skip
def test_damage_is_told_in_one_line_before_anything_is_handed_out(folder: Path, damage: Callable, words: str) -> None:
    damage(folder)
    with pytest.raises(InputError, match=words) as caught:
        load_weights(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"m": {"a": np.arange(3.0)}}, {"k": 1})
    for file in (tmp_path / "w").iterdir():
        data = file.read_bytes()
        for place in range(len(data)):
            file.write_bytes(data[:place] + bytes([data[place] ^ (1 << (place % 8))]) + data[place + 1 :])
            try:
                files, record = load_weights(tmp_path / "w")
            except InputError:
                continue
            # White space of the manifest is the one thing that may change unnoticed.
            assert file.name == "manifest.json"
            assert record == {"k": 1}
            assert files["m"]["a"].tolist() == [0.0, 1.0, 2.0]
        file.write_bytes(data)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        save_weights(tmp_path / "w", {"m": {"good": np.ones(2), "bad": np.array([0.0, value])}}, {})
        with pytest.raises(NumericError, match="NaN or infinity in bad"):
            load_weights(tmp_path / "w")


def test_pickles_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"PK\x03\x04")
    (tmp_path / "weights").write_bytes(b"\x80\x04.")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "net.pth.tar").write_bytes(b"\x80\x02")
    for name in ("model.pt", "weights", "old", "absent.ckpt"):
        with pytest.raises(InputError, match="pickle"):
            load_weights(tmp_path / name)


def test_a_missing_folder_and_a_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="no such folder"):
        load_weights(tmp_path / "absent")
    with pytest.raises(InputError, match="is a file"):
        load_weights(tmp_path / "model.safetensors")


def test_a_crafted_file_with_a_true_hash_is_still_refused(folder: Path) -> None:
    import hashlib

    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    data = len(header).to_bytes(8, "little") + header
    (folder / "model.safetensors").write_bytes(data)
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change_manifest(folder, lambda m: m["files"].update({"model.safetensors": entry}))
    with pytest.raises(InputError, match="no safetensors file"):
        load_weights(folder)


def test_a_manifest_of_another_kind_is_a_schema_error(folder: Path) -> None:
    change_manifest(folder, lambda m: m.update(schema_version=99))
    with pytest.raises(SchemaError):
        load_record(folder)


# --- fitting -----------------------------------------------------------------------------------------------------


def test_all_differences_stand_in_one_line() -> None:
    arrays = {"a": np.zeros((2, 3)), "c": np.zeros(1)}
    with pytest.raises(InputError) as caught:
        fit_arrays(arrays, {"a": (3, 2), "b": (4,)}, "run/model")
    text = str(caught.value)
    assert text.startswith("run/model: does not fit the model")
    for words in (
        "1 missing: b (4,)",
        "1 not the model's: c (1,)",
        "1 of another shape: a (2, 3), the model has (3, 2)",
    ):
        assert words in text
    assert "\n" not in text


def test_the_prefix_of_parallel_training_is_taken_off() -> None:
    fitted = fit_arrays({"module.a": np.ones(2)}, {"a": (2,)}, "w")
    assert fitted.keys() == {"a"}
    assert fit_arrays({"module.a": np.ones(2)}, {"module.a": (2,)}, "w").keys() == {"module.a"}


# --- faults while writing ----------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process may grow over `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_older_weights(folder: Path) -> None:
    with largest_file(1000), pytest.raises(WriteError, match=r"cannot write .*model/big.safetensors"):
        save_weights(folder, {"big": {"a": np.zeros(10_000)}}, {})
    assert load_weights(folder)[1] == RECORD
    assert os.listdir(folder.parent) == ["model"]


SAVER = """
import sys
from pathlib import Path
import numpy as np
from monoform.files.atomic import remove_folder
from monoform.files.weights import save_weights
root = Path(sys.argv[1])
for k in range(100_000):
    arrays = {"a": np.full(300_000, k, np.float32), "b": np.arange(300_000, dtype=np.float64)}
    save_weights(root / f"step-{k:08d}", {"model": arrays}, {"k": k})
    save_weights(root / "model", {"model": arrays}, {"k": k})
    if k > 1:
        remove_folder(root / f"step-{k - 2:08d}")
"""


def kill_while_saving(root: Path, seed: int) -> None:
    """Kill a process that saves and removes without pause, at a random time; all that has a name must be whole."""
    root.mkdir()
    child = subprocess.Popen([sys.executable, "-c", SAVER, str(root)])
    deadline = time.monotonic() + 60
    while not (root / "step-00000000").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(random.Random(seed).uniform(0.0, 0.25))
    child.kill()
    child.wait()
    named = [path for path in root.iterdir() if not path.name.startswith(".")]
    steps = [path for path in named if path.name.startswith("step")]
    assert steps
    for path in named:
        files, record = load_weights(path)
        assert (files["model"]["a"] == record["k"]).all()


def test_killed_while_saving(tmp_path: Path) -> None:
    for seed in range(5):
        kill_while_saving(tmp_path / str(seed), seed)


@pytest.mark.slow
def test_killed_while_saving_fifty_times(tmp_path: Path) -> None:
    for seed in range(50):
        kill_while_saving(tmp_path / str(seed), 1000 + seed)
