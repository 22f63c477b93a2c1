"""Pix3D: poses, voxels and flags of a set written by other formulas, and every kind of damage."""

import json

import numpy as np
import pytest
from photo_fixtures import (
    canonical_vertices,
    is_inside_body,
    picture,
    pix3d_mask,
    pix3d_record,
    refusal,
    save,
    write_pix3d,
)
from proofs import assert_pose_fits, assert_voxels_fit
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from monoform.data.readers.pix3d import _voxels, open_pix3d
from monoform.data.samples import Source

POSES = [
    (Rotation.from_rotvec([0.2, 0.5, -0.1]).as_matrix(), [0.1, -0.3, 2.2], 35.0),
    (Rotation.from_rotvec([-0.4, 2.5, 0.3]).as_matrix(), [-0.2, 0.1, 1.6], 28.0),
    (Rotation.from_rotvec([1.0, -1.0, 1.5]).as_matrix(), [0.3, 0.0, 4.0], 80.0),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    records = [pix3d_record(k, *pose) for k, pose in enumerate(POSES)]
    return write_pix3d(tmp_path_factory.mktemp("pix3d"), records)


@pytest.mark.parametrize("index", range(3))
def test_the_mesh_drawn_by_its_pose_meets_the_mask(root, index):
    sample = open_pix3d(root).load(index)
    truth = pix3d_mask(pix3d_record(index, *POSES[index]))
    assert truth.sum() > 3000
    assert (sample.mask == truth).all()
    assert_pose_fits(sample, 0.995)
    assert (sample.image == picture((192, 224))).all()
    assert np.allclose(np.sort(sample.mesh.vertices, 0), np.sort(canonical_vertices(), 0))


def test_items_flags_and_keypoints(tmp_path):
    records = [
        pix3d_record(1, *POSES[0], slightly_occluded=True),
        pix3d_record(2, *POSES[0], truncated=True, occluded=True, category="sofa"),
    ]
    source = open_pix3d(write_pix3d(tmp_path, records))
    assert isinstance(source, Source)
    assert [set(item.flags) for item in source.items()] == [{"occluded"}, {"truncated", "occluded"}]
    assert [item.object_id for item in source.items()] == ["chair-IKEA_TEST", "sofa-IKEA_TEST"]
    assert [item.id for item in open_pix3d(tmp_path, category="sofa").items()] == ["sofa-0002"]
    keypoints = source.load(0).keypoints
    assert list(keypoints) == ["00"]
    assert keypoints["00"].tolist() == [11.0, 22.0]
    assert source.load(0).box_xyxy.tolist() == [5.0, 6.0, 100.0, 120.0]


@pytest.mark.parametrize("hollow", [False, True])
def test_voxels_lie_on_the_mesh(tmp_path, hollow):
    sample = open_pix3d(write_pix3d(tmp_path, [pix3d_record(0, *POSES[0])], hollow=hollow)).load(0)
    assert sample.voxel_kind == ("shell" if hollow else "solid")
    z, y, x = np.nonzero(sample.voxels)
    scale, offset = sample.voxel_frame
    centres = ((np.stack([x, y, z], 1) + 0.5) / len(sample.voxels) - 0.5 - offset) / scale
    assert is_inside_body(centres).mean() > 0.97
    assert_voxels_fit(sample, 0.9)


def test_photos_without_voxels_are_read(tmp_path):
    root = write_pix3d(tmp_path, [pix3d_record(0, *POSES[0])])
    (root / "model/chair/IKEA_TEST/voxel.mat").unlink()
    sample = open_pix3d(root).load(0)
    assert sample.voxels is None
    assert sample.voxel_kind == ""


# --- bad input ---------------------------------------------------------------------------------------------------


def test_missing_and_damaged_files_are_named(tmp_path):
    assert "pix3d.json" in refusal(lambda: open_pix3d(tmp_path))
    root = write_pix3d(tmp_path, [pix3d_record(0, *POSES[0])])
    assert "'train'" in refusal(lambda: open_pix3d(root, split="train"))
    assert "'boat'" in refusal(lambda: open_pix3d(root, category="boat"))
    voxels = root / "model/chair/IKEA_TEST/voxel.mat"
    voxels.write_bytes(voxels.read_bytes()[:300])
    assert "voxel.mat" in refusal(lambda: open_pix3d(root).load(0))
    for stored in (np.zeros((4, 4, 5)), np.zeros((4, 4, 4)), "solid"):
        savemat(voxels, {"voxel": stored})
        assert "voxel.mat" in refusal(lambda: open_pix3d(root).load(0))
        _voxels.cache_clear()
    voxels.unlink()
    save(np.zeros((192, 224), np.uint8), root / "mask/chair/0000.png")
    assert "empty" in refusal(lambda: open_pix3d(root).load(0))
    save(np.full((100, 100), 255, np.uint8), root / "mask/chair/0000.png")
    assert "0000.png" in refusal(lambda: open_pix3d(root).load(0))
    save(picture((100, 100)), root / "img/chair/0000.png")
    assert "100 x 100" in refusal(lambda: open_pix3d(root).load(0))
    (root / "img/chair/0000.png").unlink()
    assert "0000.png" in refusal(lambda: open_pix3d(root).load(0))
    for broken in ("", "{", "{}", "[1]"):
        (root / "pix3d.json").write_text(broken)
        assert "pix3d.json" in refusal(lambda: open_pix3d(root))


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"rot_mat": np.diag([1.0, 1.0, -1.0]).tolist()}, "rot_mat"),
        ({"rot_mat": (1.1 * np.eye(3)).tolist()}, "rot_mat"),
        ({"rot_mat": [[1, 0], [0, 1]]}, "rot_mat"),
        ({"trans_mat": [0.0, float("nan"), 1.0]}, "trans_mat"),
        ({"trans_mat": "far"}, "trans_mat"),
        ({"focal_length": 0.0}, "focal_length"),
        ({"focal_length": None}, "focal_length"),
        ({"2d_keypoints": [[[1.0, 2.0]], [[1.0]]]}, "2d_keypoints"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, "bbox"),
        ({"model": "model/chair/absent.obj"}, "absent.obj"),
        ({"model": "../../etc/passwd"}, "passwd"),
        ({"mask": None}, "None"),
    ],
)
def test_records_that_cannot_be_used_are_named(tmp_path, changes, cause):
    record = pix3d_record(0, *POSES[0])
    root = write_pix3d(tmp_path, [record])
    (root / "pix3d.json").write_text(json.dumps([{**record, **changes}]))
    assert cause in refusal(lambda: open_pix3d(root).load(0))
