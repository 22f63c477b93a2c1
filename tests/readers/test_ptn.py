"""PTN's views and voxels: poses against masks, voxels against meshes, broken sets."""

import numpy as np
import pytest
from fixtures_body import write
from fixtures_ptn import write_set
from fixtures_shapenet import CAR, MODEL, write_version_1
from proofs import assert_canonical, assert_pose_fits, assert_voxels_fit, refused
from scipy.io import savemat

from monoform.data.readers.ptn import open_ptn

DRAWN = (0, 8, 23)  # azimuths 15, 135 and 360


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("ptn")
    return write_set(base / "ptn"), write_version_1(base / "shapenet")


@pytest.mark.parametrize("view", DRAWN)
def test_poses(folders, view: int):
    sample = open_ptn(folders[0], shapenet=folders[1]).load(view)
    assert_canonical(sample.mesh)
    assert_pose_fits(sample)
    assert sample.image.shape == (224, 224, 3)


def test_poses_at_the_size_of_the_set(folders, tmp_path):
    root = write_set(tmp_path, side=64)
    for view in DRAWN:
        assert_pose_fits(open_ptn(root, shapenet=folders[1]).load(view), 0.96)


def test_voxels(folders):
    assert_voxels_fit(open_ptn(folders[0], shapenet=folders[1]).load(0), 0.99)


def test_without_meshes_the_size_comes_from_the_voxels(folders):
    bare, full = open_ptn(folders[0]).load(8), open_ptn(folders[0], shapenet=folders[1]).load(8)
    np.testing.assert_allclose(bare.R, full.R)
    np.testing.assert_allclose(bare.t, full.t, rtol=0.03)
    assert bare.voxel_frame[0] == pytest.approx(full.voxel_frame[0], rel=0.03)


def test_items(folders):
    items = open_ptn(folders[0]).items()
    assert len(items) == 24
    assert items[0].id == f"car-{MODEL}-a015"
    assert items[-1].id == f"car-{MODEL}-a360"
    assert {item.split for item in items} == {"val"}
    refused(lambda: open_ptn(folders[0], split="train"), folders[0], "split 'train'")
    refused(lambda: open_ptn(folders[0], category="chair"), folders[0], "category 'chair'")


def test_missing_and_damaged_files(tmp_path):
    refused(lambda: open_ptn(tmp_path), tmp_path / "shapenetcore_ids", "prepare_data.sh")
    root = write_set(tmp_path, side=32)
    source = open_ptn(root)
    folder = root / "shapenetcore_viewdata" / CAR / MODEL
    write(folder / "imgs" / "a015_e030.jpg", (folder / "imgs" / "a015_e030.jpg").read_bytes()[:200])
    refused(lambda: source.load(0), folder / "imgs" / "a015_e030.jpg")
    (folder / "masks" / "a030_e030.jpg").unlink()
    refused(lambda: source.load(1), folder / "masks" / "a030_e030.jpg", "no such file")
    write(folder / "masks" / "a045_e030.jpg", b"not a jpeg")
    refused(lambda: source.load(2), folder / "masks" / "a045_e030.jpg")
    voxels = root / "shapenetcore_voxdata" / CAR / MODEL / "model_32.mat"
    for values, words in (
        (np.zeros((32, 32)), "cube"),
        (np.full((4, 4, 4), np.inf), "NaN"),
        (np.zeros((4, 4, 4)), "empty"),
    ):
        savemat(voxels, {"voxel": values})
        refused(lambda: source.load(3), voxels, words)
    write(root / "shapenetcore_ids" / f"{CAR}_testids.txt", f"{CAR}/absent\n")
    refused(lambda: open_ptn(root), root / "shapenetcore_viewdata" / CAR / "absent", "no such folder")
