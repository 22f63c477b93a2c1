"""MATLAB structs: the same content as SciPy reads, whatever SciPy wrote; and no damage gets further than an InputError."""

import zlib

import numpy as np
import pytest
from photo_fixtures import refusal, struct_array
from scipy.io import loadmat, savemat

from monoform.data.readers import matlab
from monoform.data.readers.matlab import mat_array, read_mat, structs
from monoform.errors import InputError

CONTENT = {
    "name": "a wheel",
    "empty": np.zeros((0, 0)),
    "number": 3.5,
    "table": np.arange(12.0).reshape(4, 3),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "flags": np.array([[True, False]]),
    "inner": {"deep": {"x": np.float32(1.5)}},
}


def write(path, content, **options):
    savemat(path, {"other": 1.0, "record": content}, **options)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_content_comes_back_as_scipy_reads_it(tmp_path, packed):
    path = write(tmp_path / "a.mat", CONTENT, do_compression=packed)
    found = read_mat(path, "record", "")
    expected = loadmat(path, simplify_cells=True)["record"]
    assert found.keys() == expected.keys()
    assert found["name"] == "a wheel"
    assert found["inner"]["deep"]["x"].item() == 1.5
    for key in ("empty", "number", "table", "bytes", "cube", "flags"):
        assert np.array_equal(np.squeeze(found[key]), np.squeeze(CONTENT[key])), key
        assert found[key].dtype.itemsize == np.asarray(expected[key]).dtype.itemsize or found[key].size <= 1, key


@pytest.mark.parametrize("count", [1, 2, 5])
def test_struct_arrays_are_lists(tmp_path, count):
    rows = [{"x": float(k), "name": f"part {k}"} for k in range(count)]
    found = structs(read_mat(write(tmp_path / "a.mat", struct_array(rows)), "record", ""))
    assert [row["name"] for row in found] == [f"part {k}" for k in range(count)]
    assert [row["x"].item() for row in found] == list(range(count))


def test_cells_are_lists_and_empty_structs_are_none(tmp_path):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = "left", np.array([[1.0, 2.0]])
    found = read_mat(write(tmp_path / "a.mat", cells), "record", "")
    assert found[0] == "left"
    assert found[1].tolist() == [[1.0, 2.0]]
    assert structs(np.zeros((0, 0))) == []


def test_an_array_is_finite_numbers(tmp_path):
    path = write(tmp_path / "a.mat", np.array([[1, 2], [3, 4]], np.int16))
    values = mat_array(path, "record", "")
    assert values.dtype == np.float64
    assert values.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    for stored, cause in ((CONTENT, "not numbers"), ("text", "not numbers"), (np.array([1.0, np.nan]), "NaN")):
        write(path, stored)
        assert cause in refusal(lambda: mat_array(path, "record", "get it again"))


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_bytes_end_in_one_line(tmp_path, packed):
    path = write(tmp_path / "a.mat", {**CONTENT, "rows": struct_array([{"x": 1.0}, {"x": 2.0}])}, do_compression=packed)
    whole, rng, messages = path.read_bytes(), np.random.default_rng(0), []
    for trial in range(400):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(len(data))] if trial % 5 == 0 else data)
        try:
            read_mat(path, "record", "get it again")
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 100
    assert all("\n" not in message and str(path) in message for message in messages)


def test_what_is_no_such_file_is_named(tmp_path):
    path = tmp_path / "a.mat"
    assert "a.mat" in refusal(lambda: read_mat(path, "record", "get it again"))
    write(path, CONTENT)
    assert "'absent'" in refusal(lambda: read_mat(path, "absent", "get it again"))
    for data in (b"", b"text", b"\x89HDF" + bytes(200), b"MATLAB 7.3 MAT-file" + bytes(200), bytes(300)):
        path.write_bytes(data)
        assert "a.mat" in refusal(lambda: read_mat(path, "record", "get it again"))


def test_sizes_are_checked_before_they_are_believed(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mat", {"zeros": np.zeros((1000, 1000))}, do_compression=True)
    assert path.stat().st_size < 20_000
    monkeypatch.setattr(matlab, "_LARGEST_INFLATED", 1 << 20)
    assert "too large" in refusal(lambda: read_mat(path, "record", "get it again"))
    monkeypatch.setattr(matlab, "_LARGEST_FILE", 1000)
    assert "limit" in refusal(lambda: read_mat(path, "record", "get it again"))


@pytest.mark.parametrize("kind", [1, 2, 4, 6])
def test_a_claim_of_a_billion_elements_costs_nothing(tmp_path, kind):
    def element(number: int, body: bytes) -> bytes:
        return number.to_bytes(4, "little") + len(body).to_bytes(4, "little") + body + bytes(-len(body) % 8)

    shape = np.array([1 << 15, 1 << 15], "<i4").tobytes()
    array = element(6, np.array([kind, 0], "<u4").tobytes()) + element(5, shape) + element(1, b"record")
    array += element(5, np.array([8], "<i4").tobytes()) + element(1, b"")
    data = bytes(124) + b"\x00\x01IM" + element(15, zlib.compress(element(14, array)))
    (tmp_path / "a.mat").write_bytes(data)
    if kind == 2:
        assert read_mat(tmp_path / "a.mat", "record", "") == []
    else:
        assert "a.mat" in refusal(lambda: read_mat(tmp_path / "a.mat", "record", "get it again"))
