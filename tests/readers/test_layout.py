"""The array files that readers share: whatever their bytes, they give numbers or one InputError."""

import random
from pathlib import Path

import numpy as np
import pytest
from fixtures_body import write
from proofs import refused
from scipy.io import savemat

from monoform.data.readers.layout import blender_orbit, npy_array, npz_array, read_id_list
from monoform.data.readers.matlab import mat_array
from monoform.errors import InputError

VALUES = np.random.default_rng(0).random((5, 6, 7)) < 0.4


def written(folder: Path, kind: str) -> Path:
    path = folder / f"a.{kind}"
    match kind:
        case "npz":
            np.savez_compressed(path, VALUES)
        case "npy":
            np.save(path, np.asfortranarray(VALUES))
        case "mat":
            savemat(path, {"Volume": VALUES, "other": np.eye(3)}, do_compression=True)
    return path


READ = {
    "npz": npz_array,
    "npy": lambda path: npy_array(path, "get it again"),
    "mat": lambda path: mat_array(path, "Volume", "get it again"),
}


@pytest.mark.parametrize("kind", READ)
def test_what_was_written_is_read(tmp_path, kind: str):
    np.testing.assert_array_equal(READ[kind](written(tmp_path, kind)), VALUES)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip a bit, or overwrite four bytes with an extreme number."""
    at = rng.randrange(len(data))
    number = rng.choice([0, 1, 1 << 31, (1 << 32) - 1]).to_bytes(4, "little")
    flipped = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    return rng.choice([data[:at], flipped, data[:at] + number + data[at + 4 :]])


@pytest.mark.parametrize("kind", READ)
def test_any_bytes(tmp_path, kind: str):
    whole, rng, messages = written(tmp_path, kind).read_bytes(), random.Random(0), []
    for attempt in range(300):
        path = write(tmp_path / f"{attempt}.{kind}", mutate(whole, rng))
        try:
            assert np.isfinite(READ[kind](path)).all()
        except InputError as error:
            messages.append(str(error).replace(str(path), "FILE", 1))
    assert 50 < len(messages) < 300
    assert all(message.startswith("FILE: ") and ";" in message and "\n" not in message for message in messages)


@pytest.mark.parametrize("kind", READ)
def test_missing_files(tmp_path, kind: str):
    with pytest.raises(InputError, match=r"no such file|cannot be read"):
        READ[kind](tmp_path / f"a.{kind}")


def test_id_lists(tmp_path):
    path = write(tmp_path / "ids.txt", "02958343/abc\n\ndef\r\n")
    assert read_id_list(path, "get it again") == ["abc", "def"]
    refused(lambda: read_id_list(tmp_path / "no.txt", "get it again"), tmp_path / "no.txt", "get it again")


def test_the_orbit_of_blender_renders():
    """Azimuth 0 sees the front, -z, azimuth 90 the right side, +x; up stays up."""
    for azimuth, eye in ((0, [0, 0, -2]), (90, [2, 0, 0])):
        R, t = blender_orbit(azimuth, 0, 2)
        np.testing.assert_allclose(-R.T @ t, eye, atol=1e-12)
        np.testing.assert_allclose(R @ [0, 1, 0], [0, -1, 0], atol=1e-12)
        assert np.linalg.det(R) == pytest.approx(1)
