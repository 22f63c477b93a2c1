"""Sets seen from posts: cameras by another formula, the object whole in the picture, masks and voxels of the stored pose."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from image_set_cases import iou, same, silhouette
from monoform.data.image_sets import (
    OTHER_LOOK,
    DrawnObjects,
    load_images,
    of_category,
    render_posts,
    save_images,
    shapes_for,
    subset,
)
from monoform.data.procedural import make_shape
from monoform.data.rendering.poses import viewpoint
from monoform.data.voxel_targets import make_target
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.meshes import Mesh, box
from monoform.projection.kernels import threads
from monoform.voxels import surface, voxelise_shell

SIZE = 64
CLASSES = ["sedan", "suv", "cargo"]
ENTRIES = [shapes_for("car", 1, 7, kind) for kind in CLASSES]
SHAPES, IDS = [entries[0] for entries, _ in ENTRIES], [ids[0] for _, ids in ENTRIES]


def posts(**changes) -> ImageSet:
    """Four views of a car of each class."""
    return render_posts(DrawnObjects(SHAPES, CLASSES, IDS), **{"size": SIZE, "views": 4, "seed": 5, **changes})


def meshes() -> list[Mesh]:
    """The cars with longest side 1."""
    found = [make_shape("car", 7, kind).mesh for kind in CLASSES]
    return [Mesh(mesh.vertices / np.ptp(mesh.vertices, axis=0).max(), mesh.faces) for mesh in found]


def centres(images: ImageSet) -> np.ndarray:
    """(n, 3) of the cameras, in the object's frame."""
    return -np.einsum("nji,nj->ni", images.R.astype(np.float64), images.t.astype(np.float64))


def looked_at(images: ImageSet) -> np.ndarray:
    """(n, 2) x and z at which the optical axes meet the plane of the object's centre."""
    eyes, forward = centres(images), images.R[:, 2].astype(np.float64)
    return (eyes - forward * (eyes[:, 1:2] / forward[:, 1:2]))[:, [0, 2]]


def test_cameras_stand_on_the_posts_of_the_paper_and_look_at_its_targets():
    images = posts(views=60, size=16)
    eyes = centres(images)
    np.testing.assert_allclose(eyes[:, 1], 1.5 / 6.0, atol=1e-5)
    # 10 x 10 posts 4/9 apart, the outermost 2 from the middle.
    number = (eyes[:, [0, 2]] + 2.0) * 9.0 / 4.0
    np.testing.assert_allclose(number, np.rint(number), atol=1e-4)
    assert number.min() > -0.5
    assert number.max() < 9.5
    taken = {tuple(row) for row in np.rint(number).astype(int).tolist()}
    assert len(taken) > 60
    assert not taken & {(i, j) for i in range(3, 7) for j in range(3, 7)}
    target = looked_at(images) * 4.0
    np.testing.assert_allclose(target, np.rint(target), atol=1e-3)
    assert {tuple(row) for row in np.rint(target).astype(int).tolist()} == {
        (i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)
    }
    np.testing.assert_allclose(images.K, np.broadcast_to([[17.5, 0, 8], [0, 17.5, 8], [0, 0, 1]], (180, 3, 3)))


def test_rotations_are_those_of_the_viewing_angles():
    images = posts(size=16)
    away = centres(images) - np.insert(looked_at(images), 1, 0.0, axis=1)
    azimuth = np.degrees(np.arctan2(-away[:, 0], -away[:, 2]))
    elevation = np.degrees(np.arctan2(away[:, 1], np.hypot(away[:, 0], away[:, 2])))
    for a, e, R in zip(azimuth, elevation, images.R, strict=True):
        np.testing.assert_allclose(R, viewpoint(a, e, 0.0), atol=1e-6)


def test_masks_are_the_silhouettes_in_the_stored_pose():
    cars, images = meshes(), posts(views=8)
    for row, R, t, K, mask in zip(images.objects, images.R, images.t, images.K, images.masks, strict=True):
        seen = silhouette(cars[row], R, t, K, SIZE)
        assert iou(seen >= 0.5, mask >= 128) > 0.97
        assert np.abs(seen - mask / 255.0).mean() < 0.002


def test_voxels_fill_the_grid_and_meet_the_mask():
    cars, images = meshes(), posts(views=8)
    for row, car in enumerate(cars):
        np.testing.assert_array_equal(images.voxels[row], make_target(car, 32, "solid", fill=1.0).grid)
        places = np.argwhere(images.voxels[row])
        assert (np.ptp(places, axis=0) + 1).max() == 32
        extents = np.ptp(car.vertices, axis=0)[::-1]
        np.testing.assert_allclose(np.ptp(places, axis=0) + 1, 32 * extents, atol=2)
    surfaces = [surface(grid).mesh for grid in images.voxels]
    for row, R, t, K, mask in zip(images.objects, images.R, images.t, images.K, images.masks, strict=True):
        seen = silhouette(surfaces[row], R, t, K, SIZE) >= 0.5
        # A cell is full where the surface only touches it, so that voxels look larger than the object.
        assert iou(seen, mask >= 128) > 0.8
        assert seen[mask == 255].mean() > 0.98
    shells = posts(kind="shell", side=16, views=1)
    assert shells.voxel_kind == "shell"
    inside = 1.0 - 1e-4 / 16
    np.testing.assert_array_equal(shells.voxels[0], voxelise_shell(Mesh(inside * cars[0].vertices, cars[0].faces), 16))


@settings(max_examples=15)
@example((1.0, 1.0, 1.0), "posts", 0)
@example((0.02, 1.0, 0.02), "posts", 0)
@given(st.tuples(*[st.floats(0.02, 1.0)] * 3), st.sampled_from(["posts", "anywhere"]), st.integers(0, 99))
def test_any_box_is_whole_in_the_picture_and_kept_clear_of(sides: tuple[float, ...], places: str, seed: int):
    images = render_posts(
        DrawnObjects([box(sides)], ["sedan"], ["box"]), size=24, views=6, seed=seed, side=8, places=places
    )  # type: ignore[arg-type]
    half = np.array(sides) / max(sides) / 2.0
    corners = half * [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    points = np.einsum("nij,cj->nci", images.R, corners) + images.t[:, None]
    assert points[..., 2].min() > 0
    pixels = np.einsum("nij,ncj->nci", images.K, points)
    pixels = pixels[..., :2] / pixels[..., 2:]
    assert pixels.min() > 0
    assert pixels.max() < 24
    border = np.ones((24, 24), bool)
    border[1:-1, 1:-1] = False
    # The margin is half a pixel here, so that a border pixel is touched, but never covered.
    assert images.masks[:, border].max(initial=0) < 160
    assert (images.masks.max(axis=(1, 2)) > 0).all()
    gap = np.linalg.norm(np.maximum(np.abs(centres(images)) - half, 0.0), axis=1)
    assert gap.min() >= 0.5 - 1e-5


def test_places_between_the_posts_are_never_the_same():
    images = posts(places="anywhere", views=40, size=16)
    eyes, targets = centres(images), looked_at(images)
    assert len(np.unique(eyes.round(4), axis=0)) == 120
    assert np.abs(eyes[:, [0, 2]]).max() <= 2.0 + 1e-5
    assert np.abs(targets).max() <= 0.25 + 1e-4
    np.testing.assert_allclose(eyes[:, 1], 0.25, atol=1e-5)
    assert images.made_by["places"] == "anywhere"


def test_an_image_depends_on_its_id_number_and_seed_alone(monkeypatch):
    whole = posts()
    assert same(whole, posts())
    assert not np.array_equal(whole.R, posts(seed=6).R)
    module = sys.modules[__name__]
    for name in ("SHAPES", "CLASSES", "IDS"):
        monkeypatch.setattr(module, name, getattr(module, name)[::-1])
    try:
        threads.set_threads(3)
        backwards = posts(views=2)
    finally:
        threads.set_threads(0)
    wanted = subset(whole, [8, 9, 4, 5, 0, 1])
    for name in ("images", "masks", "R", "t", "K"):
        np.testing.assert_array_equal(getattr(backwards, name), getattr(wanted, name))


def test_photos_and_style_change_the_images_alone(tmp_path: Path):
    Image.new("RGB", (40, 40), (10, 200, 30)).save(tmp_path / "green.png")
    plain = posts()
    green = posts(photos=tmp_path, style=replace(OTHER_LOOK, augment=replace(OTHER_LOOK.augment, blurred=0.0)))
    assert same(plain, replace(green, images=plain.images))
    assert (plain.images != green.images).any(axis=(1, 2, 3)).all()
    assert green.made_by["photos"]["photos"] == 1
    assert plain.made_by["photos"] is None
    empty = green.images[green.masks == 0].astype(float).mean(axis=0)
    assert empty[1] > 120
    assert empty[1] > 3 * empty[0]


def test_classes_are_the_categories_of_the_set(tmp_path: Path):
    images = posts(views=1, size=16)
    assert images.categories == tuple(CLASSES)
    assert images.object_ids == ("car-sedan-000007", "car-suv-000007", "car-cargo-000007")
    assert of_category(images, "suv").object_ids == ("car-suv-000007",)
    save_images(images, tmp_path / "set")
    found = load_images(tmp_path / "set")
    assert same(images, found)
    assert found.made_by == images.made_by
    assert found.made_by["function"] == "render_posts"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: posts(size=4), "at least 8"),
        (lambda: posts(views=0), "at least 8, 1 and 0"),
        (lambda: posts(kind="hollow"), "of the kind .hollow."),
        (lambda: posts(places="sky"), "posts or anywhere"),
        (lambda: posts(photos=Path("/nowhere")), "no folder of backgrounds"),
        (
            lambda: render_posts(DrawnObjects([box(), box()], ["a", "a"], ["x", "x"]), size=16, views=1, seed=0),
            "one id",
        ),
        (lambda: render_posts(DrawnObjects([box()], ["a"], []), size=16, views=1, seed=0), "one each"),
        (lambda: shapes_for("car", 1, 0, "tank"), "of the kind 'tank'; give one of sedan, suv"),
    ],
)
def test_posts_refuse(change, message: str):
    with pytest.raises(InputError, match=message):
        change()
