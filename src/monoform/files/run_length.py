"""COCO's run-length masks, compressed and not, decoded without trusting a number in them."""

import numpy as np

from monoform.errors import SchemaError

_MEND = "give a COCO run-length mask {'size': [h, w], 'counts': [...] or '...'} of this photo"


def decode_rle(record: object, size_hw: tuple[int, int]) -> np.ndarray:
    """Decode a COCO run-length mask of a photo of `size_hw` to (h, w) bool.

    Runs alternate background and object, column by column. Their sizes are compared with the photo's before anything
    is allocated. Raises SchemaError. Compressed form: maskApi.c of the COCO API (Dollar and Lin, 2015).
    """
    if not isinstance(record, dict) or not {"size", "counts"} <= record.keys():
        raise SchemaError(f"run-length mask: no 'size' and 'counts' (polygons are not read); {_MEND}")
    size, counts = record["size"], record["counts"]
    if not isinstance(size, (list, tuple)) or [type(n) for n in size] != [int, int] or tuple(size) != tuple(size_hw):
        raise SchemaError(f"run-length mask: size {str(size)[:40]} is not the photo's {list(size_hw)}; {_MEND}")
    height, width = size_hw
    runs = _uncompress(counts, height * width) if isinstance(counts, (str, bytes)) else counts
    if not isinstance(runs, (list, tuple)) or len(runs) > height * width + 2:
        raise SchemaError(f"run-length mask: 'counts' is not a list of runs that fits the photo; {_MEND}")
    if not all(type(run) is int and 0 <= run <= height * width for run in runs) or sum(runs) != height * width:
        raise SchemaError(f"run-length mask: the runs do not add up to {height} x {width} pixels; {_MEND}")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _uncompress(text: str | bytes, pixels: int) -> list[int]:
    """Runs from the text: 5 bits a character, least first, bit 5 for "goes on"; from run 3 on, minus run n - 2."""
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("ascii", "replace") if isinstance(text, str) else text:
        bits = code - 48
        if not 0 <= bits < 64 or shift > 30 or len(runs) > pixels + 2:
            raise SchemaError(f"run-length mask: 'counts' is not compressed run-length text; {_MEND}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign of a difference
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise SchemaError(f"run-length mask: 'counts' breaks off inside a number; {_MEND}")
    return runs
