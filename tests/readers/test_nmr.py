"""NMR's packed views and SoftRas's: the mirror undone, colours turned back, voxels in order, broken files."""

import io
import zipfile

import numpy as np
import pytest
from fixtures_body import write
from fixtures_nmr import COLOUR, write_set, write_softras
from fixtures_shapenet import CAR, write_version_1
from proofs import assert_canonical, assert_pose_fits, assert_voxels_fit, refused, reprojection_iou

from monoform.data.readers.nmr import open_nmr, open_softras
from monoform.projection.soft_raster import soft_raster
from monoform.voxels import voxelise_solid


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("nmr")
    return write_set(base / "nmr"), write_version_1(base / "shapenet")


@pytest.mark.parametrize("view", [2, 9, 19])
def test_poses(folders, view: int):
    sample = open_nmr(folders[0], shapenet=folders[1]).load(view)
    assert_canonical(sample.mesh)
    assert_pose_fits(sample)


def test_voxels(folders):
    assert_voxels_fit(open_nmr(folders[0], shapenet=folders[1]).load(2), 0.85, voxelise_solid)


def test_colours_are_turned_back(folders):
    sample = open_nmr(folders[0]).load(2)
    assert (sample.image[sample.mask == 1] == COLOUR).all()
    assert (sample.image[sample.mask == 0] == 255).all()
    stored = open_nmr(folders[0], inverted=False).load(2).image
    np.testing.assert_array_equal(stored, 255 - sample.image)


def test_without_meshes_the_size_comes_from_the_voxels(folders):
    bare, full = open_nmr(folders[0]).load(9), open_nmr(folders[0], shapenet=folders[1]).load(9)
    assert bare.mesh is None
    np.testing.assert_allclose(bare.R, full.R)
    np.testing.assert_allclose(bare.t, full.t, rtol=0.03)
    assert bare.voxel_frame[0] == pytest.approx(full.voxel_frame[0], rel=0.03)


def test_items(folders, tmp_path):
    items = open_nmr(folders[0], split="test", category="car").items()
    assert len(items) == 24
    assert len({item.id for item in items}) == 24
    assert len({item.object_id for item in items}) == 1
    root = write_set(tmp_path, side=16, ids=False)
    assert open_nmr(root).items()[0].object_id == "test00000"
    path = root / "shapenetcore_ids" / f"{CAR}_testids.txt"
    refused(lambda: open_nmr(root, shapenet=folders[1]), path, "no such file")
    write(path, "a/b\na/c\n")
    refused(lambda: open_nmr(root), path, "names 2 objects")
    refused(lambda: open_nmr(root, split="val"), root, "split 'val'")


def npz(header: dict, body: bytes, names: tuple[str, ...] = ("arr_0.npy",)) -> bytes:
    """An npz file whose array header may lie."""
    member, archive = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "|u1", "fortran_order": False} | header)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            file.writestr(name, member.getvalue() + body)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged"),
        (b"PK\x03\x04 cut off", "damaged"),
        (npz({"shape": (1, 24, 4, 16, 16)}, bytes(10)), "claims shape"),
        (npz({"shape": (10**6, 24, 4, 64, 64)}, bytes(10)), "over the limit"),
        (npz({"shape": (-1, 24, 4, 16, 16)}, bytes(10)), "over the limit"),
        (npz({"shape": (1, 3)}, bytes(3)), "not (n, 24, 4"),
        (npz({"shape": (1, 24, 3, 16, 16)}, bytes(24 * 3 * 256)), "not (n, 24, 4"),
        (npz({"shape": (1,), "descr": "|O"}, bytes(8)), "not numbers"),
        (npz({"shape": (1,)}, bytes(1), ("a.npy", "b.npy")), "2 arrays"),
    ],
)
def test_damaged_npz(tmp_path, content: bytes, words: str):
    root = write_set(tmp_path, side=16, ids=False)
    path = root / f"{CAR}_test_images.npz"
    write(path, content)
    refused(lambda: open_nmr(root), path, words)


def test_a_pickle_inside_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('ran')",))

    root = write_set(tmp_path, side=16, ids=False)
    for name in ("images", "voxels"):
        np.savez(root / f"{CAR}_test_{name}.npz", np.array([Bomb()], dtype=object))
    refused(lambda: open_nmr(root), root / f"{CAR}_test_images.npz", "not numbers")
    np.save(write_softras(tmp_path / "b", 16) / "camera.npy", np.array([Bomb()], dtype=object))
    refused(lambda: open_softras(tmp_path / "b"), tmp_path / "b" / "camera.npy", "not numbers")


def test_more_damage(tmp_path):
    refused(lambda: open_nmr(tmp_path / "no"), tmp_path / "no", "no such folder", "download_dataset.sh")
    refused(lambda: open_nmr(tmp_path), tmp_path, "no items")
    root = write_set(tmp_path, side=16, ids=False)
    images, voxels = (root / f"{CAR}_test_{name}.npz" for name in ("images", "voxels"))
    whole, source = images.read_bytes(), open_nmr(root)
    write(images, whole[:60] + bytes(20) + whole[80:])
    refused(lambda: source.load(0), images)
    write(images, whole)
    np.savez_compressed(voxels, np.zeros((1, 32, 32, 32), bool))
    refused(lambda: open_nmr(root).load(0), voxels, "empty")
    np.savez_compressed(voxels, np.zeros((2, 32, 32, 32), bool))
    refused(lambda: open_nmr(root), voxels, "not (1, 32")
    voxels.unlink()
    refused(lambda: open_nmr(root), voxels, "no such file")


def test_softras_views(tmp_path):
    source = open_softras(write_softras(tmp_path), category="car")
    assert [item.id for item in source.items()] == ["body-000", "body-001", "body-002"]
    for view in range(3):
        sample = source.load(view)
        assert_canonical(sample.mesh)
        assert_pose_fits(sample)
        assert (sample.image[sample.mask == 0] == 255).all()


def test_softras_own_views(shared):
    """The published views against the published mesh, drawn soft as they are: the set itself allows no more than 0.9."""
    source = open_softras(shared / "fixtures" / "softras", category="aeroplane")
    samples = [source.load(view) for view in range(120)]

    def mean_iou(mirror: tuple[int, int, int]) -> float:
        return float(np.mean([reprojection_iou(sample, mirror, draw=soft_raster) for sample in samples]))

    assert len(source.items()) == 120
    assert mean_iou((1, 1, 1)) > 0.89
    # The plane is its own mirror image left to right.
    assert mean_iou((1, -1, 1)) < 0.6
    assert mean_iou((1, 1, -1)) < 0.6


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("camera", np.full((3, 3), np.nan), "NaN"),
        ("camera", np.zeros((2, 3)), "(3, 3)"),
        ("camera", np.full((3, 3), 90.0), "elevations"),
        ("source", np.zeros((3, 3, 8, 8), np.uint8), "(n, 4, h, w)"),
        ("source", np.zeros((3, 4, 8, 8)), "uint8"),
    ],
)
def test_damaged_softras_files(tmp_path, name: str, values: np.ndarray, words: str):
    path = write_softras(tmp_path, 16) / f"{name}.npy"
    np.save(path, values)
    refused(lambda: open_softras(tmp_path), path, words)
    write(path, path.read_bytes()[:-9])
    refused(lambda: open_softras(tmp_path), path, "claims shape")


def test_softras_needs_one_mesh(tmp_path):
    root = write_softras(tmp_path, 16)
    (root / "body.obj").unlink()
    refused(lambda: open_softras(root), root, "0 OBJ files")
