"""ShapeNetCore folders of one model, and binvox files written by the format's own rules."""

from pathlib import Path

import numpy as np
from fixtures_body import BODY, HIGH, LONGEST, LOW, V1_BODY, cells, obj_text, write

CAR, MODEL = "02958343", "1a0c91c02ef35fbe68f60a737d94994a"


def write_version_1(root: Path, boxes: np.ndarray = V1_BODY, synset: str = CAR, model: str = MODEL) -> Path:
    write(root / synset / model / "model.obj", obj_text(boxes))
    return root


def write_version_2(root: Path) -> Path:
    folder = root / CAR / MODEL / "models"
    write(folder / "model_normalized.obj", obj_text(BODY))
    write(folder / "model_normalized.solid.binvox", binvox(filling_cells(128)))
    return root


def filling_cells(size: int, boxes: np.ndarray = BODY) -> np.ndarray:
    """[x, y, z] cells that the body touches once its lowest corner and longest side are the grid's."""
    return cells((boxes - boxes[:, 0].min(0)) / LONGEST - 0.5, size, touch=True)


def binvox(grid: np.ndarray) -> bytes:
    """An [x, y, z] grid: x slowest, then z, then y; runs of at most 255 as (value, length)."""
    size = len(grid)
    head = f"#binvox 1\ndim {size} {size} {size}\ntranslate {LOW[0]} {LOW[1]} {LOW[2]}\nscale {(HIGH - LOW).max()}\n"
    body, value, length = bytearray(), 0, 0
    for x in range(size):
        for z in range(size):
            for cell in grid[x, :, z].tolist():
                if cell == value and length < 255:
                    length += 1
                    continue
                if length:
                    body += bytes([value, length])
                value, length = int(cell), 1
    return head.encode() + b"data\n" + bytes(body) + bytes([value, length])
