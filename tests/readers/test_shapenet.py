"""ShapeNetCore's folders, both versions, and folders of binvox files."""

import numpy as np
import pytest
from fixtures_body import BODY, write
from fixtures_shapenet import CAR, MODEL, binvox, filling_cells, write_version_1, write_version_2
from proofs import assert_canonical, assert_voxels_fit, refused

from monoform.data.readers import SOURCES
from monoform.data.readers.binvox_folder import open_binvox
from monoform.data.readers.shapenet import open_shapenet
from monoform.data.samples import Source
from monoform.errors import InputError


@pytest.mark.parametrize("writer", [write_version_1, write_version_2])
def test_a_model_in_the_canonical_frame(tmp_path, writer):
    source = open_shapenet(writer(tmp_path))
    assert isinstance(source, Source)
    (item,) = source.items()
    assert (item.object_id, item.category, item.split) == (MODEL, "car", "")
    mesh = source.load(0).mesh
    assert_canonical(mesh)
    size = np.linalg.norm(BODY[:, 1].max(0) - BODY[:, 0].min(0))
    expected = (BODY.reshape(-1, 3) - (BODY[:, 1].max(0) + BODY[:, 0].min(0)) / 2) / size
    for corner in expected:
        assert np.abs(mesh.vertices - corner).max(1).min() < 1e-5


def test_voxels_of_version_2(tmp_path):
    sample = open_shapenet(write_version_2(tmp_path)).load(0)
    assert sample.voxels.shape == (128, 128, 128)
    assert_voxels_fit(sample, 0.95)
    assert open_shapenet(write_version_1(tmp_path / "1")).load(0).voxels is None


def test_splits_and_categories(tmp_path):
    write_version_1(tmp_path)
    write_version_1(tmp_path, model="b")
    write_version_1(tmp_path, synset="03001627", model="c")
    refused(lambda: open_shapenet(tmp_path, split="val"), tmp_path / "all.csv", "no such file")
    rows = ["id,synsetId,subSynsetId,modelId,split", f"1,2958343,x,{MODEL},train", "2,02958343,x,b,val"]
    write(tmp_path / "all.csv", "\n".join(rows))
    assert [item.split for item in open_shapenet(tmp_path).items()] == ["train", "val", ""]
    assert [item.object_id for item in open_shapenet(tmp_path, split="val").items()] == ["b"]
    assert [item.object_id for item in open_shapenet(tmp_path, category="chair").items()] == ["c"]
    assert len(open_shapenet(tmp_path, category=CAR).items()) == 2
    refused(lambda: open_shapenet(tmp_path, category="spoon"), tmp_path, "spoon")
    refused(lambda: open_shapenet(tmp_path, split="test"), tmp_path, "split 'test'")
    write(tmp_path / "all.csv", "id,model\n1,2\n")
    refused(lambda: open_shapenet(tmp_path), tmp_path / "all.csv", "modelId")


def test_missing_and_damaged_files(tmp_path):
    refused(lambda: open_shapenet(tmp_path / "none"), tmp_path / "none", "no such folder", "shapenet.org")
    refused(lambda: open_shapenet(tmp_path), tmp_path, "synset")
    path = write_version_2(tmp_path) / CAR / MODEL / "models" / "model_normalized.solid.binvox"
    source = open_shapenet(tmp_path)
    whole = path.read_bytes()
    write(path, whole[:-40])
    refused(lambda: source.load(0), path, "runs")
    write(path, binvox(np.zeros((8, 8, 8), bool)))
    refused(lambda: source.load(0), path, "empty")
    obj = path.with_name("model_normalized.obj")
    write(obj, "v 0 0 nan\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    refused(lambda: source.load(0), obj, "NaN")
    obj.unlink()
    refused(lambda: open_shapenet(tmp_path), tmp_path, "no such file")
    write_version_1(tmp_path, model="whole")
    one_lacking = open_shapenet(tmp_path)
    refused(lambda: one_lacking.load(0), tmp_path / CAR / MODEL / "model.obj", "no such file")
    assert_canonical(one_lacking.load(1).mesh)


def test_a_folder_of_binvox_files(tmp_path):
    write(tmp_path / CAR / "train" / "a.binvox", binvox(filling_cells(32)))
    write(tmp_path / "b.binvox", b"#binvox 1\n")
    source = SOURCES["binvox"](tmp_path)
    items = source.items()
    assert [(item.id, item.category, item.split) for item in items] == [
        (f"{CAR}-train-a", "car", "train"),
        ("b", "", ""),
    ]
    sample = source.load(0)
    np.testing.assert_array_equal(sample.voxels, filling_cells(32).transpose(2, 1, 0))
    scale, offset = sample.voxel_frame
    corners = np.array([[-0.5] * 3, (np.ptp(BODY.reshape(-1, 3), axis=0) / 0.84) - 0.5])
    np.testing.assert_allclose(offset, corners.mean(0), atol=1 / 32)
    assert scale == pytest.approx(np.linalg.norm(corners[1] - corners[0]), abs=2 / 32)
    refused(lambda: source.load(1), tmp_path / "b.binvox", "data")
    refused(lambda: open_binvox(tmp_path, split="test"), tmp_path, "split 'test'")


def test_sources_are_openers_by_name(tmp_path):
    for name, opener in SOURCES.items():
        assert opener.__name__ == f"open_{name}"
    for name in ("shapenet", "r2n2", "ptn", "mvc", "nmr", "softras", "modelnet", "binvox"):
        with pytest.raises(InputError, match="no such"):
            SOURCES[name](tmp_path / "missing")
