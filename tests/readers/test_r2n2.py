"""3D-R2N2's renders and voxels: poses against masks, voxels against meshes, broken sets."""

import json

import numpy as np
import pytest
from fixtures_body import png, rgba, write
from fixtures_r2n2 import VIEWS, write_set
from fixtures_shapenet import CAR, MODEL, write_version_1, write_version_2
from proofs import assert_canonical, assert_pose_fits, assert_voxels_fit, refused

from monoform.data.readers.r2n2 import open_r2n2


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("r2n2")
    return write_set(base / "r2n2"), write_version_1(base / "shapenet")


@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_poses(folders, view: int):
    sample = open_r2n2(folders[0], shapenet=folders[1]).load(view)
    assert_canonical(sample.mesh)
    assert_pose_fits(sample)
    assert sample.image.shape == (224, 224, 3)
    assert (sample.image[sample.mask == 0] == 255).all()


def test_azimuth_0_sees_the_front_and_version_2_is_no_version_1(folders, tmp_path):
    sample = open_r2n2(folders[0], shapenet=folders[1]).load(1)
    # 20 degrees from the front towards the object's right (+x), from above.
    eye = -sample.R[2]
    assert np.degrees(np.arctan2(eye[0], -eye[2])) == pytest.approx(VIEWS[1][0])
    other = open_r2n2(folders[0], shapenet=write_version_2(tmp_path))
    refused(lambda: other.load(0), tmp_path / CAR / MODEL / "model.obj", "version 1")


def test_voxels(folders):
    assert_voxels_fit(open_r2n2(folders[0], shapenet=folders[1]).load(0), 0.94)


def test_without_meshes(folders):
    bare, full = open_r2n2(folders[0]).load(1), open_r2n2(folders[0], shapenet=folders[1]).load(1)
    assert bare.mesh is None
    np.testing.assert_allclose(bare.R, full.R)
    np.testing.assert_allclose(bare.t, [0, 0, 1.75 * VIEWS[1][2]])
    np.testing.assert_array_equal(bare.voxels, full.voxels)
    assert bare.voxel_frame[0] == pytest.approx(full.voxel_frame[0], abs=2 / 32)
    np.testing.assert_allclose(bare.voxel_frame[1], full.voxel_frame[1])


def test_items_and_splits(folders, tmp_path):
    items = open_r2n2(folders[0]).items()
    assert [item.id for item in items] == [f"car-{MODEL}-{k:02d}" for k in range(3)]
    assert {item.object_id for item in items} == {MODEL}
    root = write_set(tmp_path, side=32)
    refused(lambda: open_r2n2(root, split="val"), root / "R2N2_split.json", "no such file")
    write(root / "R2N2_split.json", json.dumps({"train": {CAR: {MODEL: [0, 2]}}, "val": {CAR: {MODEL: [1]}}}))
    assert [item.id[-2:] for item in open_r2n2(root, split="train").items()] == ["00", "02"]
    refused(lambda: open_r2n2(root, split="test"), root, "split 'test'")
    for broken in ("[1]", '{"train": [1]}', "{", '{"train": {"a": {"b": ["x"]}}}'):
        write(root / "R2N2_split.json", broken)
        refused(lambda: open_r2n2(root), root / "R2N2_split.json")


@pytest.mark.parametrize(
    ("line", "words"),
    [("1 2 3", "five numbers"), ("1 2 0 x 25", "five numbers"), ("nan 25 0 0.7 25", "no camera"),
     ("1 25 0 -0.7 25", "no camera"), ("1 90 0 0.7 25", "no camera"), ("1 25 4 0.7 25", "in-plane"), ("", "none for view")],
)  # fmt: skip
def test_damaged_cameras(tmp_path, line: str, words: str):
    root = write_set(tmp_path, side=32)
    path = root / "ShapeNetRendering" / CAR / MODEL / "rendering" / "rendering_metadata.txt"
    write(path, line)
    refused(lambda: open_r2n2(root).load(0), path, words)


def test_missing_and_damaged_files(tmp_path):
    refused(lambda: open_r2n2(tmp_path), tmp_path / "ShapeNetRendering", "3d-r2n2")
    root = write_set(tmp_path, side=32)
    refused(lambda: open_r2n2(root, shapenet=tmp_path / "no"), tmp_path / "no", "no such folder")
    refused(lambda: open_r2n2(root, shapenet=tmp_path).load(0), tmp_path, "no such file")
    source = open_r2n2(root)
    folder = root / "ShapeNetRendering" / CAR / MODEL / "rendering"
    write(folder / "00.png", (folder / "00.png").read_bytes()[:-30])
    refused(lambda: source.load(0), folder / "00.png")
    write(folder / "01.png", png(rgba(np.ones((32, 32)))))
    refused(lambda: source.load(1), folder / "01.png", "transparent")
    source = open_r2n2(write_set(tmp_path, side=32))
    voxels = root / "ShapeNetVox32" / CAR / MODEL / "model.binvox"
    write(voxels, voxels.read_bytes()[:60])
    refused(lambda: source.load(2), voxels)
    (folder / "rendering_metadata.txt").unlink()
    refused(lambda: open_r2n2(root).load(1), folder / "rendering_metadata.txt", "no such file")
