"""Scenes by a trained method: the virtual camera, the way back to the photo's camera, classes and lengths, the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from monoform.checkpoints import save_method
from monoform.cli import main
from monoform.data.representatives import Representatives, reduce_faces
from monoform.errors import InputError
from monoform.files.images import save_png
from monoform.meshes import Mesh
from monoform.methods import self_consistency
from monoform.methods.raster_pose import SMOKE, RasterPose, Spoken
from monoform.methods.raster_pose.rows import intrinsics
from monoform.metrics import rotation_angle_deg
from monoform.overlays import draw
from monoform.scene import find_scene, learned
from monoform.scene.camera import turn_between
from monoform.scene.learned import Look, from_method, in_photo, load_raster_pose, look_at, seen
from monoform.scene.records import Wanted
from scene_cases import Parked, Street, car, small_pictures, street

CLASSES = ("sedan", "suv")


@pytest.fixture(scope="module")
def two_cars() -> Street:
    return street([Parked(car("sedan", 1, 4.6), -2.0, 9.0, -40.0), Parked(car("suv", 2, 4.7), 2.2, 11.5, 150.0)])


@pytest.fixture(scope="module")
def method(two_cars: Street) -> RasterPose:
    """An untrained method whose representatives are the street's own cars."""
    built = replace(SMOKE, categories=CLASSES, input="mask").build()
    units = [Mesh(one.mesh.vertices / np.ptp(one.mesh.vertices, axis=0).max(), one.mesh.faces) for one in two_cars.cars]
    built.set_representatives(Representatives(CLASSES, tuple(reduce_faces(mesh, 1500) for mesh in units)))
    return built


def said_of(street: Street, which: int, look: Look, own: np.ndarray, length: float) -> tuple[np.ndarray, np.ndarray]:
    """What a perfect method says of the virtual picture: the inverse of `in_photo`."""
    R, t = street.poses[which]
    R, t = look.turn @ R, look.turn @ t
    pixel = look.K @ t / t[2]
    said = np.linalg.inv(own) @ pixel * t[2] * own[0, 0] / look.K[0, 0]
    return turn_between(t, said) @ R, said / length


def test_virtual_camera_shows_the_object_in_the_middle_at_the_size_it_asks_for(two_cars: Street) -> None:
    for mask in two_cars.masks:
        for share in (0.45, 0.75):
            look = look_at(mask.coverage, two_cars.K, share, 64)
            picture = seen(two_cars.photo, mask, look, two_cars.K, 64, "mask")
            assert picture.shape == (3, 64, 64)
            rows, columns = np.nonzero(picture[0] > 0.5)
            assert max(np.ptp(rows), np.ptp(columns)) + 1 == pytest.approx(64 * share, abs=1.5)
            for place in (rows, columns):
                assert (place.min() + place.max() + 1) / 2 == pytest.approx(32, abs=1.5)


def test_virtual_picture_is_what_a_camera_there_would_see(two_cars: Street) -> None:
    look = look_at(two_cars.masks[0].coverage, two_cars.K, 0.6, 96)
    R, t = two_cars.poses[0]
    view = draw(two_cars.cars[0].mesh, look.turn @ R, look.turn @ t, look.K, (96, 96), samples=3)
    mask = seen(two_cars.photo, two_cars.masks[0], look, two_cars.K, 96, "mask")[0]
    assert np.minimum(mask, view.alpha).sum() / np.maximum(mask, view.alpha).sum() > 0.97
    image = seen(two_cars.photo, two_cars.masks[0], look, two_cars.K, 96, "image").transpose(1, 2, 0)
    inside = view.alpha == 1.0
    assert np.abs(image - view.colour)[inside].mean() < 0.04


def test_what_is_said_of_the_virtual_picture_comes_back_to_the_photo(two_cars: Street) -> None:
    own = intrinsics(SMOKE.focal, 64)
    for which, mask in enumerate(two_cars.masks):
        look = look_at(mask.coverage, two_cars.K, 0.6, 64)
        R, t = in_photo(*said_of(two_cars, which, look, own, 1.0), look, own)
        np.testing.assert_allclose(R, two_cars.poses[which][0], atol=1e-9)
        np.testing.assert_allclose(t, two_cars.poses[which][1], atol=1e-9)


def test_a_perfect_method_gives_classes_lengths_and_poses(
    two_cars: Street, method: RasterPose, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(range(2))

    def perfect(images: torch.Tensor) -> Spoken:
        which = next(asked)
        own, length = intrinsics(method.config.focal, 64), (4.6, 4.7)[which]
        looks = [look_at(two_cars.masks[which].coverage, two_cars.K, share, 64) for share in learned.SHOWN]
        answers = [said_of(two_cars, which, look, own, length) for look in looks]
        R, t = (torch.from_numpy(np.stack(part)).float() for part in zip(*answers, strict=True))
        return Spoken(4.0 * torch.eye(2)[which].repeat(3, 1), R, t)

    monkeypatch.setattr(method, "say", perfect)
    find = from_method(method, up_axis="y", length=None)
    wanted = [Wanted(name, mask, find) for name, mask in zip(CLASSES, two_cars.masks, strict=True)]
    scene = find_scene(two_cars.photo, wanted, K=two_cars.K, unit="m")
    for one, length, (R, t) in zip(scene.objects, (4.6, 4.7), two_cars.poses, strict=True):
        assert one.shape.name == one.name == one.candidates[0].name
        assert one.candidates[0].probability == pytest.approx(1 / (1 + np.exp(-4)), abs=1e-5)
        assert np.isnan(one.candidates[1].iou)
        assert np.ptp(one.shape.sized.vertices, axis=0).max() == pytest.approx(length)
        best = min(one.poses, key=lambda pose: rotation_angle_deg(pose.R, R))
        assert rotation_angle_deg(best.R, R) < 2.0
        assert np.linalg.norm(best.t - t) < 0.03 * np.linalg.norm(t)
        assert one.visible_iou > 0.95
    assert scene.ground.common


def test_lengths_are_known_or_asked_for(two_cars: Street, method: RasterPose) -> None:
    shape = learned._representative(method, 1, 5.5)
    assert np.ptp(shape.sized.vertices, axis=0).max() == pytest.approx(5.5)
    other = replace(SMOKE, categories=("tram", "bus"), input="mask").build()
    with pytest.raises(InputError, match="length of the class 'tram' is not known"):
        from_method(other, up_axis="y", length=None)(two_cars.photo, two_cars.masks[0], two_cars.K)


def test_scene_command_with_weights(
    two_cars: Street, method: RasterPose, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    small_pictures(monkeypatch)
    save_method(method, "raster_pose", tmp_path / "run")
    save_png(two_cars.photo.image, tmp_path / "photo.png")
    for name, mask in zip("ab", two_cars.masks, strict=True):
        save_png(np.rint(255 * mask.coverage).astype(np.uint8), tmp_path / f"{name}.png")
    masks = ["--masks", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    command = ["scene", str(tmp_path / "photo.png"), *masks, "--weights", str(tmp_path / "run"), "--fov", "50"]
    assert main([*command, "--lengths", "5", "-o", str(tmp_path / "out"), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["unit"] == "m"
    for one in record["objects"]:
        assert one["mesh"]["name"] in CLASSES
        assert sum(candidate["probability"] for candidate in one["candidates"]) == pytest.approx(1.0)
        assert max(one["size"]) == pytest.approx(5.0)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    save_method(self_consistency.SMOKE.build(), "self_consistency", tmp_path / "other")
    with pytest.raises(InputError, match="holds the method self_consistency; give one of raster_pose"):
        load_raster_pose(tmp_path / "other")
    save_method(SMOKE.build(), "raster_pose", tmp_path / "bare")
    with pytest.raises(InputError, match="no representative meshes"):
        load_raster_pose(tmp_path / "bare")
