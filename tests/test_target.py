"""The mask, cropped and sampled: pixels and validity against plain averages, outlines against a circle."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from monoform.errors import EmptyMaskError, InputError
from monoform.target import MARGIN, Crop, checked_intrinsics, crop_around, level, outline_points, sample


def disc(h: int, w: int, x: float, y: float, radius: float) -> np.ndarray:
    """Antialiased disc: the covered share of every pixel from 8x8 samples."""
    at = (np.arange(8 * max(h, w)) + 0.5) / 8
    inside = (at[None, : 8 * w] - x) ** 2 + (at[: 8 * h, None] - y) ** 2 < radius**2
    return inside.reshape(h, 8, w, 8).mean((1, 3)).astype(np.float32)


def test_the_crop_is_a_square_about_the_foreground() -> None:
    mask = np.zeros((100, 200), np.float32)
    mask[20:60, 30:130] = 1
    crop = crop_around(mask)
    assert crop.side == pytest.approx(MARGIN * 100)
    assert (crop.left + crop.side / 2, crop.top + crop.side / 2) == pytest.approx((80, 40))
    one = np.zeros((50, 50), np.float32)
    one[10, 10] = 1
    assert crop_around(one).side == 16


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_mask_without_foreground_is_named(value: float) -> None:
    with pytest.raises(EmptyMaskError, match="empty"):
        crop_around(np.full((20, 20), value, np.float32))


def test_the_crops_camera_projects_to_where_the_crop_shows_the_photo() -> None:
    """Unequal focal lengths, principal point off the centre, crop past the border."""
    K = np.array([[700.0, 0, 311], [0, 500.0, -40], [0, 0, 1]])
    crop = Crop(-12.5, 30.25, 90.0)
    point = np.array([0.1, 0.3, 2.0])
    fx, fy, cx, cy = crop.camera(K, 128)
    seen = np.array([fx * point[0] / 2 + cx, fy * point[1] / 2 + cy, 1])
    photo = K @ point / point[2]
    np.testing.assert_allclose(crop.to_original(128) @ seen, photo, atol=1e-3)


@pytest.mark.parametrize(("left", "top"), [(8, 12), (-6, 4), (30, -10), (50, 60), (-100, 0), (4, 200)])
def test_sampling_is_a_box_average_and_zero_and_invalid_outside(left: int, top: int) -> None:
    image = np.random.default_rng(0).random((80, 64)).astype(np.float32)
    found, valid = sample(image, Crop(left, top, 32), 16)
    padded, inside = np.pad(image, 250), np.pad(np.ones_like(image), 250)
    window = np.s_[250 + top : 282 + top, 250 + left : 282 + left]
    averaged, share = (a[window].reshape(16, 2, 16, 2).mean((1, 3)) for a in (padded, inside))
    np.testing.assert_allclose(found, averaged, atol=1e-6)
    np.testing.assert_array_equal(valid, share == 1)


@pytest.mark.parametrize("crop", [Crop(10.3, 7.7, 20.4), Crop(-3.3, 40.1, 90.9), Crop(35.5, -20.2, 61.7)])
@pytest.mark.parametrize("resolution", [16, 64, 128])
def test_only_the_window_is_read_yet_nothing_differs(crop: Crop, resolution: int) -> None:
    """Against a resize of the whole photo, padded far."""
    image = np.random.default_rng(1).random((90, 70)).astype(np.float32)
    padded = np.pad(image, 200)
    if crop.side > resolution:
        # the mean over a square, by interpolating the integral of the pixels: exact, as they are constant
        integral = np.pad(padded.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        edges = np.arange(resolution + 1) * crop.side / resolution + 200
        grid = np.stack(np.meshgrid(edges + crop.top, edges + crop.left, indexing="ij"))
        at = ndimage.map_coordinates(integral, grid, order=1, prefilter=False)
        whole = np.diff(np.diff(at, axis=0), axis=1) / (crop.side / resolution) ** 2
    else:
        box = (crop.left + 200, crop.top + 200, crop.left + 200 + crop.side, crop.top + 200 + crop.side)
        whole = np.asarray(Image.fromarray(padded).resize((resolution,) * 2, Image.Resampling.BILINEAR, box=box))
    np.testing.assert_allclose(sample(image, crop, resolution)[0], whole, atol=1e-5)


def test_outline_points_lie_on_the_circle_and_look_outward() -> None:
    at = level(disc(120, 160, 70.3, 55.6, 30.0), Crop(20.0, 5.0, 100.0), 100)
    centre = np.array([50.3, 50.6])
    arm = at.outline[:, :2] - centre
    length = np.linalg.norm(arm, axis=1)
    assert len(at.outline) > 150
    np.testing.assert_allclose(length, 30.0, atol=0.2)
    assert abs(length.mean() - 30.0) < 0.02
    np.testing.assert_allclose(np.linalg.norm(at.outline[:, 2:], axis=1), 1.0, atol=1e-5)
    assert (at.outline[:, 2:] * arm / length[:, None]).sum(1).min() > 0.98


def test_half_a_pixel_is_kept_at_every_resolution() -> None:
    mask, crop = disc(120, 160, 70.3, 55.6, 30.0), Crop(20.0, 5.0, 100.0)
    for resolution in (50, 100, 256):
        outline = level(mask, crop, resolution).outline[:, :2].astype(np.float64)
        equations = np.column_stack([2 * outline, np.ones(len(outline))])  # least-squares circle
        x, y, _ = np.linalg.lstsq(equations, (outline**2).sum(1))[0]
        np.testing.assert_allclose((crop.to_original(resolution) @ [x, y, 1])[:2], [70.3, 55.6], atol=0.05)


def test_the_photos_border_is_no_outline() -> None:
    mask = disc(100, 100, 0.0, 50.0, 30.0)
    at = level(mask, Crop(-40.0, 10.0, 80.0), 80)
    assert not at.valid[:, :40].any()
    assert at.valid[:, 41:].all()
    assert at.outline[:, 0].min() > 40
    clear = at.outline[at.outline[:, 0] > 44]  # nearer, the empty outside bends the normals
    assert clear[:, 2].min() > 0, "nothing looks left, where the photo ends"


def test_outline_points_are_at_most_the_limit_and_spread_evenly() -> None:
    alpha, valid = disc(128, 128, 64.0, 64.0, 50.0), np.ones((128, 128), np.uint8)
    points = outline_points(alpha, valid, 40)
    assert points.shape == (40, 4)
    angles = np.sort(np.arctan2(points[:, 1] - 64, points[:, 0] - 64))
    assert np.diff(angles).max() < 3 * 2 * np.pi / 40
    assert outline_points(np.zeros((8, 8), np.float32), np.ones((8, 8), np.uint8)).shape == (0, 4)


@pytest.mark.parametrize(
    "entries",
    [
        {(0, 0): 0.0}, {(1, 1): -5.0}, {(0, 0): np.nan}, {(0, 2): np.inf}, {(0, 0): 1e200},
        {(0, 1): 50.0}, {(2, 2): 2.0}, {(2, 0): 1.0},
    ],
)  # fmt: skip
def test_intrinsics_that_would_be_misread_are_named(entries: dict) -> None:
    K = np.array([[300.0, 0, 160], [0, 400.0, 120], [0, 0, 1]])
    np.testing.assert_array_equal(checked_intrinsics(K), K)
    for place, value in entries.items():
        K[place] = value
    with pytest.raises(InputError, match="give fx, fy, cx, cy"):
        checked_intrinsics(K)
