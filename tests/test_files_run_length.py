"""Run-length masks decode to what was encoded, and hostile ones never get far."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monoform.errors import InputError, SchemaError
from monoform.files.images import load_mask_file
from monoform.files.run_length import decode_rle
from pictures import disc, encode_rle, one_line


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_run_lengths_plain_and_compressed_decode_to_the_mask(seed, height, width, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    runs, text = encode_rle(mask)
    for counts in (runs, text, text.encode()):
        assert (decode_rle({"size": [height, width], "counts": counts}, (height, width)) == mask).all()


def test_a_run_length_mask_of_a_known_tool():
    # pycocotools 2.0: encode(asfortranarray([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]]))
    mask = np.array([[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]], bool)
    assert encode_rle(mask)[0] == [2, 5, 5]
    assert (decode_rle({"size": [3, 4], "counts": "255"}, (3, 4)) == mask).all()


@pytest.mark.parametrize(
    "record",
    [
        {"size": [24, 40], "counts": [10, 951]},  # longer than the picture
        {"size": [24, 40], "counts": [10, 949]},
        {"size": [24, 40], "counts": [970, -10]},
        {"size": [24, 40], "counts": [10**30]},
        {"size": [24, 40], "counts": [960.0]},
        {"size": [24, 40], "counts": [True] * 960},
        {"size": [24, 40], "counts": [0] * 5000 + [960]},
        {"size": [24, 40], "counts": None},
        {"size": [24, 40], "counts": "P" * 50},
        {"size": [24, 40], "counts": "o" * 5},
        {"size": [24, 40], "counts": "\u4e2d"},
        {"size": [24, 40], "counts": "~"},
        {"size": [24, 40], "counts": "0" * 100_000},
        {"size": [200_000, 200_000], "counts": [4 * 10**10]},
        {"size": [40, 24], "counts": [960]},
        {"size": [24], "counts": [960]},
        {"size": "24", "counts": [960]},
        {"size": [24, "40"], "counts": [960]},
        {"counts": [960]},
        {"segmentation": [[1, 2, 3, 4, 5, 6]]},
        [1, 2],
        None,
    ],
)
def test_run_lengths_that_do_not_fit_the_picture_are_refused_before_decoding(record):
    with pytest.raises(SchemaError) as caught:
        decode_rle(record, (24, 40))
    assert len(one_line(caught.value)) < 250


def test_a_json_file_is_read_as_a_run_length_mask(tmp_path):
    path = tmp_path / "mask.json"
    path.write_text(json.dumps({"size": [24, 40], "counts": encode_rle(disc())[1]}))
    assert (load_mask_file(path, (24, 40)) == disc()).all()
    for broken in ("", "{", "[" * 100_000, "\xff\xfe"):
        path.write_text(broken)
        with pytest.raises(InputError) as caught:
            load_mask_file(path, (24, 40))
        one_line(caught.value)
