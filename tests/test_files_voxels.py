"""Voxel files: round trips, trimesh as the other reader of binvox, and broken files that must be one InputError each."""

import io
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from monoform.errors import InputError, NumericError
from monoform.files.voxels import load_voxels, save_voxels

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def refused(path: Path, *words: str, kind: type[Exception] = InputError) -> None:
    with pytest.raises(kind) as caught:
        load_voxels(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@given(SHAPES.flatmap(lambda shape: arrays.arrays(bool, shape)))
def test_binvox_round_trip(tmp_path_factory, grid: np.ndarray):
    path = tmp_path_factory.mktemp("binvox") / "a.binvox"
    save_voxels(grid, path, translate=(1, -2, 0.1), scale=0.3)
    read = load_voxels(path)
    np.testing.assert_array_equal(read.grid, grid)
    assert (read.translate.tolist(), read.scale) == ([1, -2, 0.1], 0.3)


@given(SHAPES.flatmap(lambda shape: arrays.arrays(st.sampled_from([np.float32, np.uint8, bool, np.float64]), shape,
                                                  elements={"allow_nan": False, "allow_infinity": False})))  # fmt: skip
def test_npz_round_trip(tmp_path_factory, grid: np.ndarray):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    save_voxels(grid, path)
    read = load_voxels(path)
    np.testing.assert_array_equal(read.grid, grid)
    assert read.grid.dtype == grid.dtype
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["voxels"], grid)
        np.testing.assert_array_equal(archive["translate"], [-0.5] * 3)


def test_trimesh_reads_our_binvox_in_the_same_place(tmp_path):
    grid = np.zeros((12, 12, 12), bool)
    grid[2, 5, 9] = grid[3, 5, 9] = True
    save_voxels(grid, tmp_path / "a.binvox")
    with open(tmp_path / "a.binvox", "rb") as file:
        oracle = trimesh.exchange.binvox.load_binvox(file)
    # trimesh calls the corner of the grid the centre of its first cell, and spreads the scale over one cell fewer.
    cells = np.sort(np.round(oracle.matrix.nonzero()), axis=1).T
    np.testing.assert_array_equal(cells[np.argsort(cells[:, 2])].tolist(), [[9, 5, 2], [9, 5, 3]])


def test_long_runs(tmp_path):
    grid = np.zeros((64, 64, 64), bool)
    grid[:40] = True
    for name in ("a.binvox", "a.npz"):
        save_voxels(grid, tmp_path / name)
        np.testing.assert_array_equal(load_voxels(tmp_path / name).grid, grid)


def test_same_grid_same_bytes(tmp_path):
    grid = np.random.default_rng(0).random((8, 8, 8)) < 0.5
    for name in ("binvox", "npz"):
        for copy in ("a", "b"):
            save_voxels(grid, tmp_path / f"{copy}.{name}")
        assert (tmp_path / f"a.{name}").read_bytes() == (tmp_path / f"b.{name}").read_bytes()


def test_what_is_not_written(tmp_path):
    grid = np.zeros((4, 4, 4))
    for bad, name in ((grid, "a.binvox"), (grid[0], "a.npz"), (grid[:0], "a.npz"), (grid, "a.vox"),
                      (np.zeros((1, 1, 600)), "a.npz"), (grid.astype(complex), "a.npz")):  # fmt: skip
        with pytest.raises(InputError, match=r"write|written|binvox"):
            save_voxels(bad, tmp_path / name)
    assert not list(tmp_path.iterdir())


HEAD = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "#binvox"),
        (b"hello", "#binvox"),
        (b"#binvox 1\ndim 2 2 2\n", "data"),
        (HEAD, "0 cells of 8"),
        (HEAD + b"\x01\x07", "7 cells of 8"),
        (HEAD + b"\x01\x09", "9 cells of 8"),
        (HEAD + b"\x02\x08", "cells"),
        (HEAD + b"\x01\x08\x00", "middle of a pair"),
        (HEAD.replace(b"2 2 2", b"100000 100000 100000") + b"\x01\xff", "512"),
        (HEAD.replace(b"2 2 2", b"-2 2 -2") + b"\x01\x08", "512"),
        (HEAD.replace(b"2 2 2", b"2 4") + b"\x01\x08", "three sides"),
        (HEAD.replace(b"2 2 2", b"two 2 2") + b"\x01\x08", "damaged"),
        (HEAD.replace(b"dim", b"dam") + b"\x01\x08", "damaged"),
        (HEAD.replace(b"scale 1", b"scale nan") + b"\x01\x08", "scale"),
        (HEAD.replace(b"translate 0 0 0", b"translate 0 0") + b"\x01\x08", "translate"),
    ],
)
def test_bad_binvox(tmp_path, content: bytes, words: str):
    refused(written(tmp_path, "a.binvox", content), words)


def npz(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return archive.getvalue()


def npy(array: np.ndarray, **header) -> bytes:
    """An .npy file whose header may lie."""
    buffer = io.BytesIO()
    fields = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape, **header}
    np.lib.format.write_array_header_1_0(buffer, fields)
    return buffer.getvalue() + array.tobytes()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "damaged"),
        ({"a.npy": npy(np.zeros((2, 2, 2))), "b.npy": npy(np.zeros(2))}, "'voxels'"),
        ({"voxels.npy": npy(np.zeros((2, 2)))}, "three sides"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), shape=(2, 2, 3))}, "claims 12"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), shape=(10**5,) * 3)}, "512"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), shape=(10**6, 10**6))}, "claims"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), shape=(-2, 2, -2))}, "512"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), descr="|O")}, "not numbers"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2)), descr="<c16")}, "not numbers"),
        ({"voxels.npy": b"garbage"}, "damaged"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2))), "scale.npy": npy(np.array(-1.0))}, "scale"),
        ({"voxels.npy": npy(np.zeros((2, 2, 2))), "translate.npy": npy(np.zeros(2))}, "translate"),
        ({f"{i}.npy": b"" for i in range(20)}, "20 arrays"),
    ],
)
def test_bad_npz(tmp_path, members: dict[str, bytes], words: str):
    refused(written(tmp_path, "a.npz", npz(members)), words)


def test_more_bad_npz(tmp_path):
    good = {"voxels.npy": npy(np.zeros((2, 2, 2)))}
    refused(written(tmp_path, "a.npz", npz(good, zipfile.ZIP_LZMA)), "unusual")
    refused(written(tmp_path, "a.npz", npz(good)[:-30]), "damaged")
    refused(written(tmp_path, "a.npz", b"not a zip"), "damaged")
    refused(tmp_path / "missing.npz", "cannot be read")
    refused(tmp_path / "missing.binvox", "cannot be read")
    refused(written(tmp_path, "a.vox", b""), ".binvox or .npz")
    broken = npy(np.full((2, 2, 2), np.nan))
    refused(written(tmp_path, "a.npz", npz({"voxels.npy": broken})), "NaN", kind=NumericError)


def test_a_pickle_inside_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    np.savez(tmp_path / "a.npz", voxels=np.array([[[Bomb()]]], dtype=object))
    refused(tmp_path / "a.npz", "not numbers")


def test_a_bomb_is_refused_by_its_header(tmp_path):
    zeros = npy(np.zeros((1, 1, 1)), shape=(4000, 4000, 4000))[:-8]
    with (
        zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("voxels.npy", "w") as member,
    ):
        member.write(zeros)
        for _ in range(64):
            member.write(bytes(1 << 20))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    refused(tmp_path / "a.npz", "512")


def test_fortran_order_and_a_single_array_of_any_name(tmp_path):
    grid = np.random.default_rng(0).random((3, 4, 5))
    np.savez_compressed(tmp_path / "a.npz", occupancy=np.asfortranarray(grid))
    np.testing.assert_array_equal(load_voxels(tmp_path / "a.npz").grid, grid)


def mutate(data: bytes, seed: int) -> bytes:
    """Cut, flip bits of, splice, or overwrite four bytes of a file; always the same for a seed."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        at, start = rng.randrange(len(data)), rng.randrange(len(data))
        data = rng.choice(
            [
                data[: max(at, 1)],
                data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :],
                data[:at] + data[start : start + rng.randrange(64)] + data[at:],
                data[:at] + struct.pack("<I", rng.choice([0, 1, 2**31 - 1, 2**32 - 1])) + data[at + 4 :],
            ]
        )
    return data


@pytest.mark.parametrize("suffix", ["binvox", "npz"])
def test_any_bytes_give_a_grid_or_an_input_error(tmp_path, suffix: str):
    grid = np.random.default_rng(0).random((6, 6, 6)) < 0.3
    save_voxels(grid, tmp_path / f"a.{suffix}")
    data = (tmp_path / f"a.{suffix}").read_bytes()
    survived, messages = 0, []
    for seed in range(400):
        path = written(tmp_path, f"b.{suffix}", mutate(data, seed))
        try:
            read = load_voxels(path)
        except InputError as error:
            messages.append(str(error))
            continue
        survived += 1
        assert read.grid.ndim == 3
        assert np.isfinite(read.grid).all()
    assert 0 < survived < 400
    assert not any("\n" in message for message in messages)
