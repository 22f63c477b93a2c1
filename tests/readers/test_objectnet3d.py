"""ObjectNet3D: poses and layout of a set written by other formulas."""

from dataclasses import replace

import numpy as np
import pytest
from photo_fixtures import (
    annotated,
    canonical_vertices,
    refusal,
    toolbox_mask,
    view,
    write_cad_mat,
    write_objectnet3d,
)
from proofs import assert_pose_fits

from monoform.data.readers.objectnet3d import open_objectnet3d
from monoform.data.samples import Source

VIEWS = [
    view(200.0, 25.0, 30.0, 14.0, viewport=2000.0),
    view(75.0, -20.0, -60.0, 16.0, viewport=2000.0, px=90.0),
    view(310.0, 60.0, 170.0, 15.0, viewport=2000.0),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    photos = {f"n0{k}_1": [annotated("car", given)] for k, given in enumerate(VIEWS)}
    return write_objectnet3d(tmp_path_factory.mktemp("objectnet3d"), photos)


@pytest.mark.parametrize("index", range(3))
def test_the_mesh_drawn_by_its_pose_meets_the_mask(root, index):
    sample = open_objectnet3d(root).load(index)
    truth = toolbox_mask(VIEWS[index], (224, 224))
    assert truth.sum() > 5000
    assert_pose_fits(replace(sample, mask=truth), 0.995)
    assert np.allclose(np.sort(sample.mesh.vertices[:, 1]), np.sort(canonical_vertices()[:, 1]))


def test_items_and_splits(root):
    source = open_objectnet3d(root)
    assert isinstance(source, Source)
    assert [item.split for item in source.items()] == ["train", "val", "test"]
    assert [item.id for item in open_objectnet3d(root, split="val").items()] == ["car-n01_1-01"]
    assert len(open_objectnet3d(root, category="car").items()) == 3
    assert source.load(0).mask is None
    # The box is 11..200, 21..190 in MATLAB's pixels, the last ones included.
    assert source.load(0).box_xyxy.tolist() == [10.0, 20.0, 200.0, 190.0]


def test_what_an_annotation_leaves_out_is_filled_as_the_toolbox_does(tmp_path):
    given = {key: VIEWS[0][key] for key in ("azimuth", "elevation", "theta", "distance")}
    source = open_objectnet3d(write_objectnet3d(tmp_path, {"n01_1": [annotated("car", given)]}))
    # The box is 11..200, 21..190: the middle in MATLAB's pixels is (105.5, 105.5), in ours half a pixel less.
    assert source.load(0).K.tolist() == [[2000.0, 0.0, 105.0], [0.0, 2000.0, 105.0], [0.0, 0.0, 1.0]]


def test_models_come_from_matlab_files_where_there_are_no_off_files(tmp_path):
    root = write_objectnet3d(tmp_path, {"n01_1": [annotated("car", VIEWS[1])]})
    (root / "CAD" / "off" / "car" / "01.off").unlink()
    write_cad_mat(root / "CAD" / "mat" / "car.mat", "car", 1)
    assert_pose_fits(replace(open_objectnet3d(root).load(0), mask=toolbox_mask(VIEWS[1], (224, 224))), 0.995)


def test_missing_parts_and_damage_are_named(tmp_path):
    assert "Annotations" in refusal(lambda: open_objectnet3d(tmp_path))
    photos = {f"n0{k}_1": [annotated("car", VIEWS[0])] for k in range(2)}
    root = write_objectnet3d(tmp_path, photos)
    assert "'bed'" in refusal(lambda: open_objectnet3d(root, category="bed"))
    assert "'dev'" in refusal(lambda: open_objectnet3d(root, split="dev"))
    path = root / "Annotations" / "n00_1.mat"
    path.write_bytes(path.read_bytes()[:150])
    source = open_objectnet3d(root, category="car")
    assert [item.category for item in source.items()] == ["", "car"]
    assert "n00_1.mat" in refusal(lambda: source.load(0))
    (root / "Image_sets" / "val.txt").unlink()
    assert "val.txt" in refusal(lambda: open_objectnet3d(root, split="train"))
