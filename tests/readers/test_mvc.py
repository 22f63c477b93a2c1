"""DRC's and MVC's renders: poses and depths against meshes, hollow voxels, broken sets."""

import io
import struct
import zlib

import numpy as np
import pytest
from fixtures_body import png, write
from fixtures_mvc import VIEWS, write_set
from fixtures_shapenet import CAR, MODEL, write_version_1
from proofs import assert_canonical, assert_pose_fits, assert_voxels_fit, refused
from scipy.io import savemat
from scipy.ndimage import minimum_filter

from monoform.data.readers import matlab
from monoform.data.readers.mvc import open_mvc
from monoform.meshes import sample_surface


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("mvc")
    return write_set(base / "mvc"), write_version_1(base / "shapenet")


@pytest.fixture
def views(folders, tmp_path):
    """A copy to break, and the folder of its views."""
    from shutil import copytree

    root = copytree(folders[0], tmp_path / "mvc")
    return root, root / "blenderRenderPreprocess" / CAR / MODEL


@pytest.mark.parametrize("view", range(len(VIEWS)))
def test_poses_and_depths(folders, view: int):
    sample = open_mvc(folders[0], shapenet=folders[1]).load(view)
    assert_canonical(sample.mesh)
    assert_pose_fits(sample)
    points = sample_surface(sample.mesh, 4000, np.random.default_rng(0)) @ sample.R.T + sample.t
    pixels = points @ sample.K.T
    columns, rows = np.floor(pixels[:, :2] / pixels[:, 2:]).astype(int).T
    # No point of the surface lies before the nearest depth around its pixel, and many lie on it.
    behind = points[:, 2] - minimum_filter(sample.depth, 3)[rows, columns]
    assert behind.min() > -0.005
    assert (behind < 0.02).mean() > 0.15
    assert np.isinf(sample.depth[sample.mask == 0]).all()


def test_hollow_voxels(folders):
    sample = open_mvc(folders[0], shapenet=folders[1]).load(0)
    assert sample.voxel_kind == "shell"
    assert_voxels_fit(sample, 0.97)


def test_without_meshes(folders):
    bare, full = open_mvc(folders[0]).load(0), open_mvc(folders[0], shapenet=folders[1]).load(0)
    np.testing.assert_allclose(bare.R, full.R)
    # The same camera in ShapeNet's units: x_file = size * x + centre.
    size = full.voxel_frame[0]
    np.testing.assert_allclose(bare.t + bare.R @ full.voxel_frame[1], size * full.t)
    np.testing.assert_allclose(bare.depth, size * full.depth, rtol=1e-5)
    assert bare.voxel_frame[0] == 1


def test_items_and_splits(views):
    root, _ = views
    assert [item.id for item in open_mvc(root, category="car").items()] == [f"car-{MODEL}-{k:02d}" for k in range(3)]
    refused(lambda: open_mvc(root, split="train"), root / "splits", "as text")
    write(root / "splits" / f"{CAR}_train.txt", MODEL)
    assert {item.split for item in open_mvc(root, split="train").items()} == {"train"}
    refused(lambda: open_mvc(root, split="test"), root, "split 'test'")


def test_missing_and_damaged_pictures(views):
    root, folder = views
    source = open_mvc(root)
    write(folder / "render_0.png", (folder / "render_0.png").read_bytes()[:2000])
    refused(lambda: source.load(0), folder / "render_0.png")
    for content, words in (
        ((folder / "depth_1.png").read_bytes()[:900], "damaged"),
        (png(np.zeros((8, 8), np.uint16)), "16-bit"),
        (png(np.zeros((224, 224, 4), np.uint8)), "16-bit"),
    ):
        write(folder / "depth_1.png", content)
        refused(lambda: source.load(1), folder / "depth_1.png", words)
    (folder / "depth_1.png").unlink()
    assert source.load(1).depth is None
    refused(lambda: open_mvc(root / "no"), root / "no", "no such folder", "drc")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"K": np.eye(2)}, "shape"),
        ({"K": np.full((3, 3), np.nan)}, "NaN"),
        ({"extrinsic": np.diag([-1.0, 1, 1, 1])}, "no rotation"),
        ({"extrinsic": 2 * np.eye(4)}, "no rotation"),
        ({"K": "text"}, "not numbers"),
        ({"K": np.array([{}, 1], object)}, "not numbers"),
        ({"K": None}, "no variable 'K'"),
    ],
)
def test_damaged_cameras(views, change: dict, words: str):
    root, folder = views
    fields = {"K": np.eye(3), "extrinsic": np.eye(4)} | change
    savemat(folder / "camera_0.mat", {key: value for key, value in fields.items() if value is not None})
    refused(lambda: open_mvc(root).load(0), folder / "camera_0.mat", words)


def test_damaged_matlab_files(views, monkeypatch):
    monkeypatch.setattr(matlab, "_LARGEST_INFLATED", 10 << 20)
    root, folder = views
    path, source = folder / "camera_0.mat", open_mvc(root)
    whole = path.read_bytes()
    bomb = zlib.compress(bytes(20 << 20))
    element = whole[:128] + struct.pack("<II", 15, len(bomb)) + bomb
    large = io.BytesIO()
    savemat(large, {"K": np.zeros((4000, 4000), np.uint8)}, do_compression=True)
    for content, words in (
        (b"", "damaged"),
        (b"hello", "damaged"),
        (whole[:-50], ""),
        (b"\x89HDF\r\n" + whole, "-v7"),
        (element, "too large"),
        (large.getvalue(), "too large"),
    ):
        write(path, content)
        refused(lambda: source.load(0), path, words)
    voxels = root / "shapenet" / "modelVoxels" / CAR / f"{MODEL}.mat"
    savemat(voxels, {"Volume": np.zeros((32, 32, 31))})
    refused(lambda: source.load(1), voxels, "cube")
