"""Scenes: rendered streets with known places, what is hidden, one focal length, the ground, files, pictures, options."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation

from monoform.cli import main
from monoform.errors import EmptyMaskError, InputError, SchemaError
from monoform.files.cameras import OPENGL_FROM_OPENCV
from monoform.files.images import save_png
from monoform.files.meshes import load_mesh, save_mesh
from monoform.interfaces import Mask, Photo
from monoform.masks import mask_from_array
from monoform.meshes import Mesh, box
from monoform.metrics import rotation_angle_deg
from monoform.overlays import draw
from monoform.results import validate
from monoform.scene import find_scene, layout, library, upright, writing
from monoform.scene.library import from_meshes
from monoform.scene.pictures import overlay_picture, views, visible_parts
from monoform.scene.records import Found, Scene, Shape, Wanted
from monoform.scene.writing import scene_glb, to_record, write_scene
from scene_cases import CAMERA_HEIGHT, Parked, Street, car, knowing, ranked, small_pictures, street

SCHEMA = json.loads((Path(layout.__file__).parents[1] / "scene.schema.json").read_text())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_pictures(monkeypatch)


@pytest.fixture(scope="session")
def apart() -> Street:
    """Two cars that hide nothing of each other."""
    return street(
        [Parked(car("sedan", 1, 4.6), -1.8, 8.0, -40.0), Parked(car("suv", 2, 4.7), 2.0, 10.0, 150.0)], (720, 480)
    )


@pytest.fixture(scope="session")
def two_cars() -> Street:
    """A sedan, and an SUV behind it of which it hides a part."""
    return street([Parked(car("sedan", 1, 4.6), -0.9, 8.0, -40.0), Parked(car("suv", 2, 4.7), 0.7, 12.5, 150.0)])


@pytest.fixture(scope="session")
def known(two_cars: Street) -> Scene:
    """The scene by finders that know it."""
    return find_scene(two_cars.photo, two_cars.wanted("near", "far"), K=two_cars.K, unit="m")


def test_two_cars_are_found_by_their_masks_and_meshes(apart: Street) -> None:
    wanted = [
        Wanted(
            name,
            mask,
            from_meshes([Shape(name, parked.mesh)], upright=True, up_axis="y", seed=0, max_poses=4),
        )
        for name, mask, parked in zip(("near", "far"), apart.masks, apart.cars, strict=True)
    ]
    scene = find_scene(apart.photo, wanted, K=apart.K, unit="m", upright=True)
    (R_near, t_near), (R_far, t_far) = apart.poses
    near, far = scene.objects
    relative, truth = near.R.T @ far.R, R_near.T @ R_far
    assert rotation_angle_deg(relative, truth) < 1.0
    between, true_between = near.R.T @ (far.t - near.t), R_near.T @ (t_far - t_near)
    assert np.linalg.norm(between - true_between) < 0.03 * np.linalg.norm(true_between)
    assert min(near.visible_iou, far.visible_iou) > 0.96
    (pair,) = scene.pairs
    assert (pair.in_front, pair.shared, pair.inside) == ("near", 0.0, 0.0)
    assert scene.ground.common
    assert -scene.ground.offset == pytest.approx(CAMERA_HEIGHT, rel=0.03)


# --- files -------------------------------------------------------------------------------------------------------


def test_glb_holds_named_objects_before_the_photos_camera(known: Scene, tmp_path: Path) -> None:
    (tmp_path / "scene.glb").write_bytes(scene_glb(known))
    read = trimesh.load_scene(tmp_path / "scene.glb", process=False)
    for one in known.objects:
        matrix, geometry = read.graph[one.name]
        vertices = trimesh.transform_points(read.geometry[geometry].vertices, matrix)
        np.testing.assert_allclose(vertices, one.in_camera() @ OPENGL_FROM_OPENCV, atol=1e-4)
        np.testing.assert_array_equal(
            read.geometry[geometry].visual.vertex_attributes["color"][:, :3], one.shape.mesh.colours
        )
    np.testing.assert_array_equal(read.camera_transform, np.eye(4))
    tree = json.loads((tmp_path / "scene.glb").read_bytes()[20:].split(b"BIN\0")[0][:-4].rstrip(b"\0"))
    (camera,) = tree["cameras"]
    h, w = known.photo.size_hw
    assert camera["perspective"]["yfov"] == pytest.approx(2 * np.arctan(h / 2 / known.K[1, 1]))
    assert camera["perspective"]["aspectRatio"] == pytest.approx(w / h)
    assert camera["extras"]["K"] == known.K.tolist()
    whole = load_mesh(tmp_path / "scene.glb").vertices @ OPENGL_FROM_OPENCV
    points = np.concatenate([one.in_camera() for one in known.objects])
    np.testing.assert_allclose((whole.min(0), whole.max(0)), (points.min(0), points.max(0)), atol=1e-4)


def test_the_glbs_own_camera_sees_the_photo(known: Scene, tmp_path: Path) -> None:
    """Drawn by nothing but what the file says: nodes' matrices, the camera node's matrix and field of view."""
    (tmp_path / "scene.glb").write_bytes(scene_glb(known))
    read = trimesh.load_scene(tmp_path / "scene.glb", process=False)
    h, w = known.photo.size_hw
    tree = json.loads((tmp_path / "scene.glb").read_bytes()[20:].split(b"BIN\0")[0][:-4].rstrip(b"\0"))
    focal = h / 2 / np.tan(tree["cameras"][0]["perspective"]["yfov"] / 2)
    K = np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])
    to_opencv = np.diag([1.0, -1.0, -1.0])  # the camera looks along -z, y up
    (node,) = (node for node in tree["nodes"] if "camera" in node)
    in_camera = np.linalg.inv(np.reshape(node.get("matrix", np.eye(4)), (4, 4)).T)
    alphas = []
    for one in known.objects:
        matrix, geometry = read.graph[one.name]
        x = trimesh.transform_points(read.geometry[geometry].vertices, in_camera @ matrix) @ to_opencv
        alphas.append(draw(Mesh(x, read.geometry[geometry].faces), np.eye(3), np.zeros(3), K, (h, w)).alpha)
    seen = np.maximum.reduce(alphas)
    shown = np.maximum.reduce(visible_parts(known.objects, known.K, (h, w)))
    masks = np.maximum.reduce([one.mask.coverage for one in known.objects])
    assert np.minimum(seen, shown).sum() / np.maximum(seen, shown).sum() > 0.98
    assert np.minimum(seen, masks).sum() / np.maximum(seen, masks).sum() > 0.96


def test_an_interrupted_write_leaves_no_scene_json(
    known: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_scene(known, tmp_path)
    before = (tmp_path / "overlay.png").read_bytes()

    def interrupted(picture: np.ndarray, path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "save_png", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scene(known, tmp_path)
    assert not (tmp_path / "scene.json").exists()
    assert (tmp_path / "overlay.png").read_bytes() == before
    assert load_mesh(tmp_path / "scene.glb").faces.size > 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_record_against_its_schema_is_not_written(known: Scene, tmp_path: Path) -> None:
    broken = replace(known, unit="miles")
    with pytest.raises(SchemaError, match=r"scene\.unit is 'miles'"):
        write_scene(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    record = to_record(known)
    record["objects"][0]["scale"] = 0.0
    with pytest.raises(SchemaError, match=r"scene\.objects\[0\]\.scale is 0\.0; it must be greater than 0"):
        validate(record, SCHEMA, name="scene")


def test_a_mesh_without_colours_gets_its_objects_colour(two_cars: Street, tmp_path: Path) -> None:
    wanted = two_cars.wanted("near", "far")
    plain = Mesh(two_cars.cars[0].mesh.vertices, two_cars.cars[0].mesh.faces)
    wanted[0] = replace(wanted[0], find=knowing(Shape("plain", plain), two_cars.poses[0], two_cars.K))
    scene = find_scene(two_cars.photo, wanted, K=two_cars.K)
    (tmp_path / "scene.glb").write_bytes(scene_glb(scene))
    material = trimesh.load_scene(tmp_path / "scene.glb").geometry["near"].visual.material
    assert material.baseColorFactor[0] > 200 > material.baseColorFactor[2]


def test_record_follows_its_schema(known: Scene, tmp_path: Path) -> None:
    record = write_scene(known, tmp_path)
    jsonschema.validate(record, SCHEMA)
    assert record == json.loads((tmp_path / "scene.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {
        "scene.json", "scene.glb", "overlay.png", "view_elevated.png", "view_above.png", "turntable.png",
    }  # fmt: skip
    assert [one["name"] for one in record["objects"]] == ["near", "far"]
    assert record["ground"]["heights"].keys() == record["ground"]["tilts_deg"].keys() == {"near", "far"}


# --- pictures ----------------------------------------------------------------------------------------------------


def test_nearer_objects_hide_farther_ones_whatever_their_order(known: Scene) -> None:
    parts = visible_parts(known.objects, known.K, known.photo.size_hw)
    again = visible_parts(known.objects[::-1], known.K, known.photo.size_hw)[::-1]
    np.testing.assert_array_equal(parts, again)
    for part, one in zip(parts, known.objects, strict=True):
        both, either = np.minimum(part, one.mask.coverage).sum(), np.maximum(part, one.mask.coverage).sum()
        assert both / either > 0.97
    h, w = known.photo.size_hw
    picture = overlay_picture(known)
    assert picture.shape[1] == 2 * w + 4
    assert picture.shape[0] > h
    # Far within the near car's part, where the far car is behind it: the sedan is white, the SUV yellow.
    hidden = (parts[0] == 1.0) & (visible_parts(known.objects[1:], known.K, (h, w))[0] == 1.0)
    assert hidden.sum() > 10
    shown = picture[:h, w + 4 :][hidden].astype(int)
    assert np.abs(np.median(shown[:, 0] - shown[:, 2])) < 40


def test_views_show_all_objects_over_their_ground(known: Scene) -> None:
    pictures = views(known)
    assert pictures.keys() == {"elevated", "above", "turntable"}
    # From above, the far car is above the near one on the page.
    yellow = [(p[..., 0].astype(int) - p[..., 2] > 90) for p in (pictures["above"], pictures["elevated"])]
    white = (pictures["above"].min(axis=2) > 185) & (np.ptp(pictures["above"].astype(int), axis=2) < 14)
    assert all(mask.mean() > 0.01 for mask in yellow)
    assert np.nonzero(yellow[0])[0].mean() < pictures["above"].shape[0] / 2
    assert white.any()


def test_pictures_come_out_without_a_common_ground(two_cars: Street) -> None:
    wanted = two_cars.wanted("near", "far")
    R, t = two_cars.poses[1]
    lying = Rotation.from_euler("z", 80, degrees=True).as_matrix() @ R
    wanted[1] = replace(wanted[1], find=knowing(Shape("lying", two_cars.cars[1].mesh), (lying, t), two_cars.K))
    scene = find_scene(two_cars.photo, wanted, K=two_cars.K)
    assert not scene.ground.common
    assert any("do not stand on one plane" in warning for warning in scene.warnings)
    assert all(picture.std() > 5 for picture in (*views(scene).values(), overlay_picture(scene)))


# --- what hides what ---------------------------------------------------------------------------------------------


def test_a_hidden_object_is_refined_by_what_is_seen_of_it(two_cars: Street) -> None:
    objects = two_cars.objects("near", "far")
    R, t = two_cars.poses[1]
    off = Rotation.from_euler("y", 4, degrees=True).as_matrix() @ R, t * 1.04
    objects[1] = objects[1].moved(ranked(*off))
    refined = layout.measured(layout.refine_hidden(objects, two_cars.K), two_cars.K)
    assert rotation_angle_deg(refined[1].R, R) < 1.5
    assert np.linalg.norm(refined[1].t - t) < 0.1
    assert refined[1].visible_iou > layout.measured(objects, two_cars.K)[1].visible_iou + 0.02
    np.testing.assert_allclose(refined[0].t, objects[0].t, atol=0.02)


def test_a_mask_that_is_cut_off_does_not_keep_its_object_away(two_cars: Street) -> None:
    objects = two_cars.objects("near", "far")
    R, t = two_cars.poses[1]
    objects[1] = objects[1].moved(
        ranked(Rotation.from_euler("y", 8, degrees=True).as_matrix() @ R, 1.17 * t + [0.3, 0, 0])
    )
    before = layout.measured(objects, two_cars.K)[1]
    after = layout.measured(layout.refine_hidden(objects, two_cars.K), two_cars.K)[1]
    assert before.visible_iou < 0.9 < 0.95 < after.visible_iou
    assert np.linalg.norm(after.t - t) < 0.3 * np.linalg.norm(before.t - t)


def test_hidden_parts_do_not_count_against_a_pose(known: Scene, two_cars: Street) -> None:
    near, far = known.objects
    whole = visible_parts([far], known.K, known.photo.size_hw)[0]
    alone = np.minimum(whole, far.mask.coverage).sum() / np.maximum(whole, far.mask.coverage).sum()
    assert alone < 0.9 < 0.97 < far.visible_iou
    assert near.hidden < 0.02
    assert far.hidden == pytest.approx(1 - far.mask.coverage.sum() / whole.sum(), abs=0.05)


# --- two objects -------------------------------------------------------------------------------------------------


def test_objects_that_run_into_each_other_are_told(two_cars: Street) -> None:
    objects = two_cars.objects("near", "far")
    objects[1] = objects[1].moved(ranked(objects[1].R, objects[0].t + [0.8, 0.0, 0.5]))
    pairs = layout.compare(objects, two_cars.K, two_cars.photo.size_hw)
    assert pairs[0].inside > 0.2
    assert any("run into each other" in note for note in layout.doubts(pairs, objects))


def test_touching_is_not_running_into() -> None:
    side = box((1.0, 1.0, 1.0))
    mask = Mask(np.zeros((64, 64), np.float32), "array")
    apart = [
        layout.SceneObject(
            name, mask, Shape(name, side), (ranked(np.eye(3), np.array([x, 0.0, 6.0])),), False, "", "", ()
        )
        for name, x in (("left", -0.5), ("right", 0.5))
    ]
    K = np.array([[60.0, 0.0, 32.0], [0.0, 60.0, 32.0], [0.0, 0.0, 1.0]])
    assert layout.compare(apart, K, (64, 64))[0].inside == 0.0
    closer = [apart[0], apart[1].moved(ranked(np.eye(3), np.array([0.3, 0.0, 6.0])))]
    # An end face of each lies in the other one; the sides coincide, and the outermost cells do not count.
    assert layout.compare(closer, K, (64, 64))[0].inside == pytest.approx((46 / 48) ** 2 / 6, abs=0.02)


def test_masks_that_contradict_the_depths_are_told(two_cars: Street) -> None:
    objects = two_cars.objects("near", "far")
    shrunk = objects[0].resized(3.0)  # it looks the same, but now it is behind the other one
    pairs = layout.compare([shrunk, objects[1]], two_cars.K, two_cars.photo.size_hw)
    assert pairs[0].in_front == "far"
    assert pairs[0].contradicted > 0.5
    assert any("but the masks show near in front" in note for note in layout.doubts(pairs, [shrunk, objects[1]]))


# --- the ground --------------------------------------------------------------------------------------------------


def test_ground_is_where_the_cars_stand(known: Scene) -> None:
    assert known.ground.common
    assert known.ground.residual < 0.02
    assert known.ground.offset == pytest.approx(-CAMERA_HEIGHT, abs=0.03)
    np.testing.assert_allclose(known.ground.normal, [0.0, -np.cos(np.radians(6)), -np.sin(np.radians(6))], atol=0.01)


@pytest.mark.parametrize("factor", [0.3, 1.6])
def test_ground_tells_the_size_of_a_mesh_without_a_unit(two_cars: Street, factor: float) -> None:
    wanted = two_cars.wanted("near", "far")
    mesh, (R, t) = two_cars.cars[1].mesh, two_cars.poses[1]
    wrong = Shape("far.glb", mesh, factor)
    wanted[1] = replace(wanted[1], find=knowing(wrong, (R, factor * t), two_cars.K))
    before = find_scene(two_cars.photo, wanted, K=two_cars.K)
    after = find_scene(two_cars.photo, wanted, K=two_cars.K, scaled_by="ground")
    assert not before.ground.common
    assert after.ground.common
    assert after.objects[1].shape.scale == pytest.approx(1.0, rel=0.05)
    np.testing.assert_allclose(after.objects[1].t, t, rtol=0.05)
    assert to_record(after)["scaled_by"] == "ground"


def test_upright_objects_agree_on_what_is_up(apart: Street) -> None:
    """A pose that leans, found alone, stands up; the shape that fits better under the common up axis is taken."""
    wanted, found = apart.wanted("near", "far"), []
    wrong = Shape("long.glb", replace(apart.cars[0].mesh, vertices=apart.cars[0].mesh.vertices * [1.0, 0.8, 1.2]))
    for index, (one, pose) in enumerate(zip(wanted, apart.poses, strict=True)):
        leaning = Rotation.from_euler("x", (10.0, 0.0)[index], degrees=True).as_matrix() @ pose[0]
        own = knowing(Shape(f"{one.name}.glb", apart.cars[index].mesh), (leaning, pose[1]), apart.K)
        of = own(apart.photo, one.mask, apart.K)
        if index == 0:
            first = knowing(wrong, (leaning, pose[1]), apart.K)(apart.photo, one.mask, apart.K)
            of = replace(first, others=((of.shape, of.alignment),))
        found.append(of)
    near, far = upright.stand_together(apart.photo, wanted, found, apart.K, "y")
    assert near.shape.name == "near.glb"
    assert [one.name for one in near.candidates] == ["near.glb", "long.glb"]
    assert far.candidates == ()
    for of, (R, t) in zip((near, far), apart.poses, strict=True):
        assert rotation_angle_deg(of.alignment.poses[0].R, R) < 1.0
        assert np.linalg.norm(of.alignment.poses[0].t - t) < 0.02 * np.linalg.norm(t)
    ups = [of.alignment.poses[0].R[:, 1] for of in (near, far)]
    np.testing.assert_allclose(ups[0], ups[1], atol=1e-9)


def test_ground_above_the_camera_tells_no_size(two_cars: Street) -> None:
    objects = two_cars.objects("near", "far")
    flying = objects[1].moved(ranked(objects[1].R, objects[1].t - [0.0, 5.0, 0.0]))
    with pytest.raises(InputError, match="far cannot stand on the ground of near"):
        layout.scale_to_ground([objects[0], flying], "y")


# --- the camera --------------------------------------------------------------------------------------------------


def test_one_focal_length_is_searched_for_all_objects(apart: Street) -> None:
    scene = find_scene(apart.photo, apart.wanted("near", "far"))
    assert scene.K_source == "searched"
    assert scene.K[0, 0] == pytest.approx(apart.K[0, 0], rel=0.15)
    assert any("focal length is not known" in warning for warning in scene.warnings)
    assert min(one.visible_iou for one in scene.objects) > 0.95
    for one, (R, _) in zip(scene.objects, apart.poses, strict=True):
        assert rotation_angle_deg(one.R, R) < 5.0


def test_exif_and_field_of_view_tell_the_camera(two_cars: Street) -> None:
    photo = replace(two_cars.photo, focal_px=float(two_cars.K[0, 0]))
    scene = find_scene(photo, two_cars.wanted("near", "far"))
    assert (scene.K_source, scene.K[0, 0]) == ("exif", pytest.approx(two_cars.K[0, 0]))
    scene = find_scene(two_cars.photo, two_cars.wanted("near", "far"), fov_deg=50.0)
    assert (scene.K_source, scene.K[0, 0]) == ("fov", pytest.approx(two_cars.K[0, 0]))


# --- masks -------------------------------------------------------------------------------------------------------


def test_one_object_makes_a_scene(two_cars: Street) -> None:
    scene = find_scene(two_cars.photo, two_cars.wanted("near", "far")[:1], K=two_cars.K)
    assert scene.pairs == ()
    assert scene.ground.common
    jsonschema.validate(to_record(scene), SCHEMA)
    assert views(scene)["turntable"].std() > 5


def test_an_object_that_is_not_found_leaves_the_others(two_cars: Street, tmp_path: Path) -> None:
    near, far = two_cars.wanted("near", "far")

    def lost(photo: Photo, mask: Mask, K: np.ndarray) -> Found:
        raise InputError("nothing like it here")

    scene = find_scene(two_cars.photo, [replace(far, find=lost), near], K=two_cars.K)
    assert [one.name for one in scene.objects] == ["near"]
    record = write_scene(scene, tmp_path)
    jsonschema.validate(record, SCHEMA)
    assert record["failed"] == [{"name": "far", "reason": "nothing like it here"}]
    assert any("far was not found" in warning for warning in record["warnings"])
    whole = replace(far, mask=Mask(np.ones(two_cars.photo.size_hw, np.float32), "array"))
    (failed,) = find_scene(two_cars.photo, [near, whole], K=two_cars.K).failed
    assert "covers the whole photo" in failed.reason
    with pytest.raises(InputError, match="nothing like it"):
        find_scene(two_cars.photo, [replace(near, find=lost), whole], K=two_cars.K)


def test_masks_of_another_size_are_refused(two_cars: Street) -> None:
    near, far = two_cars.wanted("near", "far")
    small = replace(far, mask=Mask(far.mask.coverage[:-5], "array"))
    with pytest.raises(InputError, match="the mask of far is 360 x 235, the photo 360 x 240"):
        find_scene(two_cars.photo, [near, small], K=two_cars.K)


def test_objects_given_twice_are_refused(two_cars: Street) -> None:
    near, far = two_cars.wanted("near", "far")
    with pytest.raises(InputError, match="near and copy show the same object"):
        find_scene(two_cars.photo, [near, replace(near, name="copy")], K=two_cars.K)
    with pytest.raises(InputError, match="two objects are called near"):
        find_scene(two_cars.photo, [near, replace(far, name="near")], K=two_cars.K)
    with pytest.raises(InputError, match="at least one object"):
        find_scene(two_cars.photo, [], K=two_cars.K)
    empty = Mask(np.zeros(two_cars.photo.size_hw, np.float32), "array")
    with pytest.raises(EmptyMaskError):
        find_scene(two_cars.photo, [replace(near, mask=empty)], K=two_cars.K)


def test_overlapping_masks_are_told(two_cars: Street) -> None:
    near, far = two_cars.wanted("near", "far")
    both = np.maximum(far.mask.coverage, np.where(near.mask.coverage.cumsum(axis=1) < 45, near.mask.coverage, 0))
    scene = find_scene(two_cars.photo, [near, replace(far, mask=replace(far.mask, coverage=both))], K=two_cars.K)
    assert any("masks of near and far overlap by" in warning for warning in scene.warnings)


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def inputs(two_cars: Street, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a photo, two masks and two meshes; align() is replaced by a stand-in that knows the poses."""

    def stand_in(photo: Photo, mesh: Mesh, *, mask: Mask, K: np.ndarray, **options):
        which = int(np.argmax([np.abs(mask.coverage - one.coverage).sum() < 50 for one in two_cars.masks]))
        scale = np.ptp(mesh.vertices, axis=0).max() / np.ptp(two_cars.cars[which].mesh.vertices, axis=0).max()
        R, t = two_cars.poses[which]
        return knowing(Shape("", mesh), (R, scale * t), two_cars.K)(photo, mask, K).alignment

    monkeypatch.setattr(library, "align", stand_in)
    monkeypatch.setattr(
        library,
        "align_library",
        lambda photo, meshes, **options: [(n, stand_in(photo, m, **options)) for n, m in meshes],
    )
    monkeypatch.chdir(tmp_path)
    save_png(two_cars.photo.image, tmp_path / "photo.png")
    (tmp_path / "cars").mkdir()
    for name, mask, parked in zip(("near", "far"), two_cars.masks, two_cars.cars, strict=True):
        save_png(np.rint(255 * mask.coverage).astype(np.uint8), tmp_path / f"{name}.png")
        save_mesh(parked.mesh, tmp_path / f"cars/{name}.glb")
    save_png(np.zeros(two_cars.photo.size_hw, np.uint8), tmp_path / "empty.png")
    save_png(np.zeros((50, 50), np.uint8), tmp_path / "small.png")
    return tmp_path


MASKS = ["--masks", "near.png", "far.png"]
MESHES = ["--mesh", "cars/near.glb", "cars/far.glb"]


def test_scene_command_writes_the_scene_and_only_json_on_stdout(inputs: Path, capsys) -> None:
    command = ["scene", "photo.png", *MASKS, *MESHES, "--fov", "50", "--unit", "m", "-o", "out", "--json"]
    assert main(command) == 0
    record = json.loads(capsys.readouterr().out)
    jsonschema.validate(record, SCHEMA)
    assert record == json.loads((inputs / "out/scene.json").read_text())
    assert [one["mesh"]["name"] for one in record["objects"]] == ["near.glb", "far.glb"]
    assert (record["unit"], record["K_source"], record["pairs"][0]["in_front"]) == ("m", "fov", "near")
    with Image.open(inputs / "out/overlay.png") as picture:
        assert picture.width == 2 * 360 + 4
    assert main([*command[:-3], "-o", "again", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    for name in ("scene.glb", "overlay.png", "view_above.png", "turntable.png"):
        assert (inputs / "out" / name).read_bytes() == (inputs / "again" / name).read_bytes()


def test_scene_command_with_a_library_names_and_lengths(inputs: Path, capsys) -> None:
    command = ["scene", "photo.png", *MASKS, "--mesh-library", "cars", "--K", "386,386,180,120"]
    assert main([*command, "--names", "left", "right", "--lengths", "9.2", "--unit", "m", "-o", "out"]) == 0
    out, err = capsys.readouterr()
    assert "left" in out
    assert "Traceback" not in err
    record = json.loads((inputs / "out/scene.json").read_text())
    assert [one["name"] for one in record["objects"]] == ["left", "right"]
    assert [len(one["candidates"]) for one in record["objects"]] == [2, 2]
    assert all(max(one["size"]) == pytest.approx(9.2) for one in record["objects"])
    assert record["objects"][0]["poses"][0]["t_model_to_camera"][2] > 12


def test_scene_command_with_boxes(inputs: Path, two_cars: Street, capsys) -> None:
    pytest.importorskip("cv2")
    boxes = []
    for mask in two_cars.masks:
        rows, columns = (np.flatnonzero((mask.coverage > 0.5).any(axis)) for axis in (1, 0))
        boxes += ["--box", f"{columns[0] - 2},{rows[0] - 2},{columns[-1] + 3},{rows[-1] + 3}"]
    assert main(["scene", "photo.png", *boxes, *MESHES, "--fov", "50", "-o", "out"]) == 0
    record = json.loads((inputs / "out/scene.json").read_text())
    assert [(one["name"], one["mask_source"]) for one in record["objects"]] == [("object1", "box"), ("object2", "box")]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["photo.png", *MESHES], 2, "--masks"),
        (["photo.png", *MASKS], 2, "--mesh"),
        (["photo.png", *MASKS, *MESHES, "--mesh-library", "cars"], 2, "--mesh-library"),
        (["photo.png", *MASKS, *MESHES, "--box", "1,2,3,4"], 2, "--box"),
        (["photo.png", "--masks", "near.png", *MESHES], 2, "2 for 1 objects"),
        (["photo.png", *MASKS, *MESHES, "--names", "a"], 2, "--names"),
        (["photo.png", *MASKS, *MESHES, "--lengths", "1", "2", "3"], 2, "--lengths"),
        (["photo.png", *MASKS, *MESHES, "--lengths", "0"], 2, "positive"),
        (["photo.png", *MASKS, *MESHES, "--lengths", "nan"], 2, "positive"),
        (["photo.png", *MASKS, *MESHES, "--fov", "0"], 2, "--fov"),
        (["photo.png", *MASKS, *MESHES, "--fov", "9", "--K", "1,1,1,1"], 2, "--K"),
        (["photo.png", *MASKS, *MESHES, "--max-poses", "0"], 2, "--max-poses"),
        (["photo.png", "--box", "1,2,3", *MESHES[:2]], 2, "--box"),
        (["photo.png", *MASKS, "--weights", "run", "--unit", "mm"], 2, "--weights"),
        (["photo.png", *MASKS, "--weights", "run"], 4, "run"),
        (["none.png", *MASKS, *MESHES], 4, "none.png"),
        (["photo.png", "--masks", "near.png", "none.png", *MESHES], 4, "none.png"),
        (["photo.png", "--masks", "empty.png", "empty.png", *MESHES], 4, "empty.png: the mask is empty"),
        (["photo.png", *MASKS, *MESHES, "--fov", "50", "-o", "near.png"], 2, "--out near.png: a file"),
        (["photo.png", "--masks", "near.png", "small.png", *MESHES], 4, "small.png"),
        (["photo.png", "--masks", "near.png", "near.png", *MESHES, "--fov", "50"], 4, "same object"),
        (["photo.png", *MASKS, *MESHES, "--names", "a", "a", "--fov", "50"], 4, "two objects are called a"),
        (["photo.png", *MASKS, *MESHES, "--K", "-5,5,1,1"], 4, "positive"),
        (["photo.png", *MASKS, "--mesh", "photo.png"], 4, "photo.png"),
        (["photo.png", *MASKS, "--mesh-library", "near.png"], 4, "near.png"),
    ],
)
def test_bad_calls(arguments: list[str], code: int, text: str, inputs: Path, capsys) -> None:
    assert main(["scene", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    assert not (inputs / "scene").exists()


@pytest.mark.parametrize("bad", ["empty.png", "white.png"])
def test_scene_command_writes_the_objects_that_are_found(bad: str, inputs: Path, capsys) -> None:
    save_png(np.full((240, 360), 255, np.uint8), inputs / "white.png")
    command = ["scene", "photo.png", "--masks", "near.png", bad, *MESHES, "--fov", "50", "-o", "out", "--json"]
    assert main([*command, "--invert-mask", "never"]) == 5
    record = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in record["objects"]] == ["near"]
    assert [one["name"] for one in record["failed"]] == [Path(bad).stem]
    assert record == json.loads((inputs / "out/scene.json").read_text())


@pytest.mark.parametrize("module", ["scene", "scene.writing", "scene.pictures", "scene.library", "cli.scene"])
def test_scenes_of_meshes_need_no_torch(module: str) -> None:
    code = f"import sys, monoform.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code]).returncode == 0


# --- a real photo ------------------------------------------------------------------------------------------------


def test_a_composite_of_two_real_photos(shared: Path) -> None:
    """Two frames of one video laid over each other: the nearer car hides a part of the farther one."""
    folder = shared / "data" / "photos"

    def frame(number: int, shift: int) -> tuple[np.ndarray, np.ndarray]:
        name = f"davis_car-turn_{number:05}"
        image = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"))
        mask = np.asarray(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 127
        return np.roll(image, shift, axis=1), np.roll(mask, shift, axis=1)

    (front, near), (behind, far) = frame(48, 0), frame(30, -330)
    far &= ~near
    photo = Photo(np.where(far[..., None], behind, front))
    mesh = load_mesh(shared / "data" / "models" / "models" / "car" / "gazebo_models__suv.glb")
    shape = Shape("suv", mesh, 3.65 / np.ptp(mesh.vertices, axis=0).max())
    find = from_meshes([shape], upright=True, up_axis="y", seed=0, max_poses=4)
    wanted = [Wanted(name, mask_from_array(mask, far.shape), find) for name, mask in (("near", near), ("far", far))]
    scene = find_scene(photo, wanted, fov_deg=40.0, upright=True, unit="m")
    assert min(one.visible_iou for one in scene.objects) > 0.85
    (pair,) = scene.pairs
    assert pair.in_front == "near"
    assert pair.contradicted < 0.1
    assert scene.objects[1].hidden > 0.03
    ups = [one.R[:, 1] for one in scene.objects]
    assert ups[0] @ ups[1] > np.cos(np.radians(0.1))
    # Neither car leans, and the camera stands at a height of 1 to 3 m and looks down a little.
    assert abs(np.degrees(np.arcsin(ups[0][0]))) < 4.0
    assert 0.0 < np.degrees(np.arcsin(-ups[0][2])) < 12.0
    assert 1.0 < -scene.ground.offset < 3.5
    assert scene.objects[0].t[2] < scene.objects[1].t[2]
