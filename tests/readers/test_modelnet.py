"""ModelNet's OFF files: both kinds of header, z up to y up, broken files."""

from pathlib import Path

import numpy as np
import pytest
from fixtures_body import BODY, moved, write
from proofs import assert_canonical, refused

from monoform.data.readers.modelnet import open_modelnet
from monoform.errors import InputError


def off(boxes: np.ndarray, broken_header: bool) -> str:
    """The boxes as OFF quads; the broken header has its counts right behind the word, as hundreds of ModelNet40's have."""
    corners = [[box[k >> axis & 1][axis] for axis in range(3)] for box in boxes for k in range(8)]
    quads = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))
    faces = [[4] + [8 * i + k for k in quad] for i in range(len(boxes)) for quad in quads]
    rows = [" ".join(map(str, row)) for row in [*corners, *faces]]
    head = f"OFF{'' if broken_header else chr(10)}{len(corners)} {len(faces)} 0"
    return "\n".join([head, *rows]) + "\n"


def write_set(root: Path) -> Path:
    """The body z up, front -y, in centimetres."""
    boxes = 100 * moved(BODY, lambda x, y, z: [-x, z, y])
    write(root / "car" / "train" / "car_0001.off", off(boxes, broken_header=False))
    write(root / "car" / "test" / "car_0198.off", off(boxes, broken_header=True))
    write(root / "airplane" / "train" / "airplane_0001.off", off(boxes, broken_header=True))
    return root


def test_both_headers_give_the_canonical_body(tmp_path):
    source = open_modelnet(write_set(tmp_path))
    assert [item.category for item in source.items()] == ["aeroplane", "car", "car"]
    assert [item.split for item in source.items()] == ["train", "train", "test"]
    low, high = BODY[:, 0].min(0), BODY[:, 1].max(0)
    expected = (BODY.reshape(-1, 3) - (low + high) / 2) / np.linalg.norm(high - low)
    for index in range(3):
        mesh = source.load(index).mesh
        assert_canonical(mesh)
        for corner in expected:
            assert np.abs(mesh.vertices - corner).max(1).min() < 1e-9


def test_choices(tmp_path):
    root = write_set(tmp_path)
    assert [item.id for item in open_modelnet(root, split="test").items()] == ["car_0198"]
    for name in ("aeroplane", "airplane"):
        assert [item.id for item in open_modelnet(root, category=name).items()] == ["airplane_0001"]
    refused(lambda: open_modelnet(root, category="spoon"), root, "category 'spoon'")
    refused(lambda: open_modelnet(root / "no"), root / "no", "no such folder", "modelnet")


@pytest.mark.parametrize("content", ["", "OFF", "OFF8 6 0\n0 0 0\n", "PLY\n", "OFF-1 1 0\n"])
def test_damaged_files(tmp_path, content: str):
    path = write(write_set(tmp_path) / "car" / "test" / "car_0198.off", content)
    refused(lambda: open_modelnet(tmp_path).load(2), path)


def test_counts_that_the_file_cannot_hold(tmp_path):
    path = write(write_set(tmp_path) / "car" / "test" / "car_0198.off", "OFF1000000000 1 0\n")
    with pytest.raises(InputError, match="claims 1,000,000,000 vertices"):
        open_modelnet(tmp_path).load(2)
    assert path.stat().st_size < 100
