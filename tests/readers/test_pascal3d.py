"""PASCAL3D+: poses, splits and flags of a set written by other formulas, and every kind of damage."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from photo_fixtures import (
    annotated,
    cad_body,
    canonical_vertices,
    picture,
    refusal,
    save,
    silhouette,
    toolbox_mask,
    toolbox_pixels,
    view,
    write_cad_mat,
    write_pascal3d,
    write_record,
)
from PIL import Image
from proofs import assert_pose_fits, reprojection_iou

from monoform.data.readers.pascal3d import mirror, open_pascal3d
from monoform.data.readers.viewpoint_sets import AXES, Viewpoint
from monoform.data.samples import Sample, Source
from pictures import exif_record

VIEWS = [
    view(30.0, 15.0, 5.0, 20.0),
    view(140.0, -10.0, -40.0, 22.0),
    view(255.0, 40.0, 100.0, 25.0, px=100.0, py=120.0),
    view(320.0, 5.0, 0.0, 2.1, viewport=230.0),  # strong perspective
    view(0.0, 20.0, 0.0, 3.0, focal=2.0, viewport=230.0),
]


def overlap(sample: Sample, mask: np.ndarray) -> float:
    """IoU of a mask with the sample's mesh, drawn by the sample's own pose and camera."""
    return reprojection_iou(replace(sample, mask=mask))


def same_points(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two sets of points are equal, in any order."""
    return {tuple(p) for p in a.round(9) + 0.0} == {tuple(p) for p in b.round(9) + 0.0}


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """Five photos with a fine viewpoint each."""
    photos = {f"2008_{k:06d}": [annotated("car", given)] for k, given in enumerate(VIEWS)}
    return write_pascal3d(tmp_path_factory.mktemp("fine"), photos)


@pytest.mark.parametrize("index", range(len(VIEWS)))
def test_the_mesh_drawn_by_its_pose_meets_the_mask(fine, index):
    source = open_pascal3d(fine, subsets=["pascal"])
    sample = source.load(index)
    truth = toolbox_mask(VIEWS[index], (224, 224))
    assert 5000 < truth.sum() < 40000
    assert (sample.mask == truth).all()
    assert_pose_fits(sample, 0.995)
    assert np.allclose(sample.R @ sample.R.T, np.eye(3))
    assert np.linalg.det(sample.R) > 0


def test_the_body_tells_every_sign_of_the_viewpoint_apart():
    # What the overlap proves: with any sign or axis confused it would be far lower.
    given = VIEWS[2]
    truth = toolbox_mask(given, (224, 224))
    for key, wrong in (("azimuth", -given["azimuth"]), ("theta", -given["theta"]), ("elevation", -given["elevation"])):
        other = toolbox_mask({**given, key: wrong}, (224, 224))
        assert (truth & other).sum() / (truth | other).sum() < 0.9


def test_the_mesh_stands_in_the_canonical_frame(fine):
    sample = open_pascal3d(fine, subsets=["pascal"]).load(0)
    assert same_points(sample.mesh.vertices, canonical_vertices())


def test_the_library_names_the_same_angles(fine):
    from monoform.rotations import viewpoint_to_matrix

    for index, given in enumerate(VIEWS):
        angles = np.deg2rad([given["azimuth"], given["elevation"], given["theta"]])
        expected = viewpoint_to_matrix(*(torch.tensor(angle) for angle in angles))
        assert np.allclose(open_pascal3d(fine, subsets=["pascal"]).load(index).R, expected)


def test_items_splits_boxes_and_photos(fine):
    source = open_pascal3d(fine, subsets=["pascal"])
    assert isinstance(source, Source)
    items = source.items()
    assert [item.split for item in items] == ["train", "val", "val", "val", "val"]
    assert items[0].id == "car-2008_000000-01"
    assert {item.category for item in items} == {"car"}
    assert [item.object_id for item in items[:2]] == ["2008_000000", "2008_000001"]
    assert [i.id for i in open_pascal3d(fine, subsets=["pascal"], split="val").items()] == [i.id for i in items[1:]]
    assert source.load(0).box_xyxy.tolist() == [10.0, 20.0, 200.0, 190.0]
    assert source.cad_number(0) == 1
    difference = np.abs(source.load(1).image.astype(int) - picture((224, 224)))
    assert difference.mean() < 3


def test_images_of_imagenet_have_their_own_lists_and_no_masks(tmp_path):
    root = write_pascal3d(tmp_path, {"n01_1": [annotated("sofa", VIEWS[0])]}, subset="imagenet", cls="sofa")
    source = open_pascal3d(root, subsets=["imagenet"], split="train")
    sample = source.load(0)
    assert sample.item.split == "train"
    assert sample.mask is None
    assert overlap(sample, toolbox_mask(VIEWS[0], (224, 224))) >= 0.995


def test_categories_go_by_either_name(tmp_path):
    write_pascal3d(tmp_path, {"2008_000001": [annotated("diningtable", VIEWS[0])]}, cls="diningtable")
    write_pascal3d(tmp_path, {"2008_000002": [annotated("car", VIEWS[0])]})
    for name in ("table", "diningtable"):
        items = open_pascal3d(tmp_path, category=name, subsets=["pascal"]).items()
        assert [item.category for item in items] == ["table"]
    assert len(open_pascal3d(tmp_path).items()) == 2
    assert "'fish'" in refusal(lambda: open_pascal3d(tmp_path, category="fish"))


def test_flags_and_rows_without_a_fine_viewpoint(tmp_path):
    coarse = {"azimuth_coarse": 90.0, "elevation_coarse": 10.0}
    none = {"azimuth": 0.0, "elevation": 0.0, "theta": 0.0, "distance": 5.0}
    objects = [
        annotated("car", VIEWS[0], truncated=1, occluded=1),
        annotated("car", none, difficult=1),
        annotated("car", {**VIEWS[0], "distance": 0.0}),
        annotated("car", {**none, **coarse}),
        annotated("car", None, None),
        annotated("bicycle", VIEWS[0]),
    ]
    source = open_pascal3d(write_pascal3d(tmp_path, {"2008_000001": objects}), category="car", subsets=["pascal"])
    flags = [set(item.flags) for item in source.items()]
    assert all(("approximate" in found) == (index != 4) for index, found in enumerate(flags))
    assert [found - {"approximate"} for found in flags] == [
        {"truncated", "occluded"},
        {"difficult", "unannotated"},
        {"unannotated"},
        {"unannotated", "coarse"},
        {"unannotated"},
    ]
    for index in (1, 2, 4):
        sample = source.load(index)
        assert sample.R is None
        assert sample.t is None
        assert sample.K is None
    sample = source.load(3)
    assert sample.t is None
    assert sample.K is None
    # At azimuth 90 the camera is at the object's left: its nose (-z) points to image left, -x.
    assert np.allclose(sample.R @ [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0])


def test_at_azimuth_90_a_car_shows_its_own_left_and_heads_to_the_left():
    # Wheels of a car that heads to -y with z up: whoever sits in it has +x on the left, as up x forward is.
    forward, up = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    own_left = np.cross(up, forward)
    assert own_left.tolist() == [1.0, 0.0, 0.0]
    front_left, front_right, back_left = (
        0.3 * along * forward + 0.2 * side * own_left for along, side in ((1, 1), (1, -1), (-1, 1))
    )
    given = view(90.0, 10.0, 0.0, 3.0)
    ours = Viewpoint(90.0, 10.0, 0.0, 3.0).rotation()
    # OpenCV's z is the distance: the left wheel is nearer, so it hides the right one.
    assert (ours @ front_left)[2] < (ours @ front_right)[2]
    assert (ours @ front_left)[0] < (ours @ back_left)[0]
    (front_x, _), (back_x, _) = toolbox_pixels(np.stack([front_left, back_left]), given)
    assert front_x < back_x
    # In the canonical frame the object's own left is -x.
    assert np.allclose(np.array(AXES) @ own_left, [-1.0, 0.0, 0.0])


def test_visible_anchors_are_keypoints_in_our_pixels(tmp_path):
    anchors = {
        "left_front_wheel": {"location": np.array([[50.0, 60.0]]), "status": 1},
        "hood": {"location": np.zeros((0, 0)), "status": 2},
    }
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0], anchors=anchors)]})
    keypoints = open_pascal3d(root, subsets=["pascal"]).load(0).keypoints
    assert list(keypoints) == ["left_front_wheel"]
    assert keypoints["left_front_wheel"].tolist() == [49.5, 59.5]


def test_models_come_from_matlab_files_where_there_are_no_off_files(tmp_path):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0], 2)]})
    write_cad_mat(root / "CAD" / "car.mat", "car", 2)
    sample = open_pascal3d(root, subsets=["pascal"]).load(0)
    vertices, faces = cad_body()
    points = toolbox_pixels(2 * vertices, VIEWS[0])
    assert overlap(sample, silhouette(points, faces, (224, 224), 1.0)) >= 0.995


def test_photos_are_not_turned_by_exif(tmp_path):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0])]})
    path = root / "Images" / "car_pascal" / "2008_000001.jpg"
    stored = picture((200, 240))
    (root / "PASCAL/VOCdevkit/VOC2012/SegmentationObject/2008_000001.png").unlink()
    for orientation in range(1, 9):
        Image.fromarray(stored).save(path, exif=exif_record(orientation=orientation), quality=95)
        image = open_pascal3d(root, subsets=["pascal"]).load(0).image
        assert image.shape == stored.shape
        assert np.abs(image.astype(int) - stored).max() < 20


# --- mirroring ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", range(3))
def test_a_mirrored_sample_meets_its_mirrored_mask(fine, index):
    sample = open_pascal3d(fine, subsets=["pascal"]).load(index)
    mirrored = mirror(sample)
    assert overlap(mirrored, toolbox_mask(VIEWS[index], (224, 224))[:, ::-1]) >= 0.995
    assert (mirrored.image == sample.image[:, ::-1]).all()
    assert np.linalg.det(mirrored.R) > 0


def test_mirroring_turns_azimuth_and_theta_round(fine):
    from monoform.rotations import viewpoint_to_matrix

    for index, given in enumerate(VIEWS):
        angles = np.deg2rad([360.0 - given["azimuth"], given["elevation"], -given["theta"]])
        expected = viewpoint_to_matrix(*(torch.tensor(angle) for angle in angles))
        assert np.allclose(mirror(open_pascal3d(fine, subsets=["pascal"]).load(index)).R, expected)


def test_mirroring_twice_changes_nothing(fine):
    rng = np.random.default_rng(0)
    sample = replace(
        open_pascal3d(fine, subsets=["pascal"]).load(1),
        voxels=rng.random((4, 4, 4)) < 0.5,
        voxel_frame=(0.9, np.array([0.1, 0.2, 0.3])),
        depth=rng.random((224, 224)).astype(np.float32),
        normals=rng.random((224, 224, 3)).astype(np.float32),
        keypoints={"left_eye": np.array([10.0, 20.0]), "tip": np.array([0.1, 0.2, 0.3])},
    )
    once = mirror(sample)
    assert once.box_xyxy.tolist() == [24.0, 20.0, 214.0, 190.0]
    assert once.keypoints["right_eye"].tolist() == [214.0, 20.0]
    assert once.keypoints["tip"].tolist() == [-0.1, 0.2, 0.3]
    assert (once.depth == sample.depth[:, ::-1]).all()
    assert once.voxel_frame[1].tolist() == [-0.1, 0.2, 0.3]
    twice = mirror(once)
    for name in ("image", "mask", "R", "t", "K", "voxels", "depth", "normals", "box_xyxy"):
        assert np.allclose(getattr(twice, name), getattr(sample, name)), name
    assert (twice.mesh.vertices == sample.mesh.vertices).all()
    assert twice.keypoints.keys() == sample.keypoints.keys()


# --- bad input ---------------------------------------------------------------------------------------------------


def test_missing_parts_are_named(tmp_path):
    assert "Annotations" in refusal(lambda: open_pascal3d(tmp_path))
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0])]})
    assert "car_imagenet" in refusal(lambda: open_pascal3d(root, category="car"))
    assert "'test'" in refusal(lambda: open_pascal3d(root, split="test"))
    (root / "PASCAL/VOCdevkit/VOC2012/ImageSets/Main/val.txt").unlink()
    assert "val.txt" in refusal(lambda: open_pascal3d(root, split="train"))
    (root / "Images" / "car_pascal" / "2008_000001.jpg").unlink()
    assert "2008_000001.jpg" in refusal(lambda: open_pascal3d(root).load(0))


def test_a_damaged_annotation_is_an_item_that_tells_when_loaded(tmp_path):
    names = ["2008_000001", "2008_000002", "2008_000003"]
    root = write_pascal3d(tmp_path, {name: [annotated("car", VIEWS[0])] for name in names})
    path = root / "Annotations" / "car_pascal" / "2008_000002.mat"
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"junk" * 100, whole[:200] + b"\xff" * 50 + whole[250:]):
        path.write_bytes(broken)
        source = open_pascal3d(root, subsets=["pascal"])
        assert len(source.items()) == 3
        assert "unannotated" in source.items()[1].flags
        assert "2008_000002.mat" in refusal(lambda source=source: source.load(1))
        assert source.load(2).R is not None


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"viewpoint": {**VIEWS[0], "azimuth": float("nan")}}, "azimuth"),
        ({"viewpoint": {**VIEWS[0], "px": float("inf")}}, "px"),
        ({"viewpoint": {**VIEWS[0], "distance": -3.0}}, "distance"),
        ({"viewpoint": {**VIEWS[0], "theta": "wide"}}, "theta"),
        ({"bbox": np.array([[1.0, 2.0, 3.0]])}, "box"),
        ({"cad_index": np.zeros((0, 0))}, "no CAD model"),
        ({"cad_index": 7}, "07.off"),
        ({"class": "../car"}, "class"),
        ({"class": 3.0}, "class"),
        ({"anchors": {"hood": {"location": np.array([[np.nan, 1.0]]), "status": 1}}}, "hood"),
    ],
)
def test_values_that_cannot_be_used_are_named(tmp_path, changes, cause):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0])]})
    path = root / "Annotations" / "car_pascal" / "2008_000001.mat"
    write_record(path, "2008_000001.jpg", [{**annotated("car", VIEWS[0]), **changes}])
    source = open_pascal3d(root, subsets=["pascal"])
    assert cause in refusal(lambda: source.load(0))


def test_an_absent_model_and_one_out_of_range_are_named(tmp_path):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0], 3)]})
    source = open_pascal3d(root, subsets=["pascal"])
    assert "03.off" in refusal(lambda: source.load(0))
    write_cad_mat(root / "CAD" / "car.mat", "car", 2)
    message = refusal(lambda: source.load(0))
    assert "number 3" in message
    assert "car.mat" in message


def test_files_outside_of_the_set_are_not_opened(tmp_path):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0])]})
    path = root / "Annotations" / "car_pascal" / "2008_000001.mat"
    for name in ("../../secret.jpg", "/etc/passwd", "a\\b.jpg", ""):
        write_record(path, name, [annotated("car", VIEWS[0])])
        assert "2008_000001.mat" in refusal(lambda: open_pascal3d(root, subsets=["pascal"]).load(0))


def test_masks_and_photos_that_do_not_fit_are_refused(tmp_path):
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", VIEWS[0])]})
    source = open_pascal3d(root, subsets=["pascal"])
    path = root / "PASCAL/VOCdevkit/VOC2012/SegmentationObject/2008_000001.png"
    save(np.zeros((30, 40, 3), np.uint8), path)
    assert "size" in refusal(lambda: source.load(0))
    save(np.zeros((224, 224, 3), np.uint8), path)
    assert "empty" in refusal(lambda: source.load(0))
    photo = root / "Images" / "car_pascal" / "2008_000001.jpg"
    photo.write_bytes(photo.read_bytes()[:700])
    assert "2008_000001.jpg" in refusal(lambda: source.load(0))


def test_objects_of_a_photo_have_masks_of_their_own(tmp_path):
    views = [view(30.0, 15.0, 5.0, 60.0, px=50.0), view(200.0, 10.0, 0.0, 60.0, px=170.0)]
    root = write_pascal3d(tmp_path, {"2008_000001": [annotated("car", given) for given in views]})
    source = open_pascal3d(root, subsets=["pascal"])
    for index, given in enumerate(views):
        assert (source.load(index).mask == toolbox_mask(given, (224, 224))).all()
    assert not any((source.load(i).mask * source.load(j).mask).any() for i, j in itertools.combinations(range(2), 2))
