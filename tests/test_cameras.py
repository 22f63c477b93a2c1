"""Cameras: projection, image changes, and each tool's frame against formulas written out here by hand."""

import math
import re
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from monoform import cameras
from monoform.cameras import Pinhole, WeakPerspective
from monoform.errors import InputError, SchemaError
from monoform.poses import Pose

seeds = st.integers(0, 2**32 - 1)
angles = st.floats(-math.pi, math.pi)
elevations = st.floats(-1.57, 1.57)


def tensor(values) -> torch.Tensor:
    return torch.as_tensor(np.asarray(values), dtype=torch.float64)


def random_camera(seed: int, skew: float = 0.0) -> Pinhole:
    """Unequal focal lengths and a principal point well off the centre of an oblong image."""
    rng = np.random.default_rng(seed)
    size_hw = (int(rng.integers(20, 500)), int(rng.integers(20, 500)))
    fx, fy = rng.uniform(50, 900, 2)
    cx, cy = rng.uniform(-0.3, 1.3, 2) * size_hw[::-1]
    return Pinhole(tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]]), size_hw)


def random_pose(seed: int) -> Pose:
    rng = np.random.default_rng(seed)
    t = [*rng.normal(size=2), rng.uniform(4, 9)]
    return Pose(tensor(Rotation.random(rng=rng).as_matrix()), tensor(t))


def random_points(seed: int, n: int = 20) -> torch.Tensor:
    return tensor(np.random.default_rng(seed).uniform(-1, 1, (n, 3)))


def assert_same(actual, expected, tolerance: float = 1e-9) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), atol=tolerance, rtol=tolerance)


def assert_same_view(found: tuple[Pinhole, Pose], camera: Pinhole, pose: Pose) -> None:
    assert_same(found[0].K, camera.K)
    assert found[0].size_hw == camera.size_hw
    assert_same(found[1].to_matrix(), pose.to_matrix())


# --- pinhole


@given(seeds)
def test_projection_equals_opencv(seed):
    camera, pose, points = random_camera(seed), random_pose(seed), random_points(seed)
    rotvec = Rotation.from_matrix(pose.R.numpy()).as_rotvec()
    expected, _ = cv2.projectPoints(points.numpy(), rotvec, pose.t.numpy(), camera.K.numpy(), None)
    assert_same(camera.project(pose.apply(points)), expected[:, 0], 1e-7)


@given(seeds, st.floats(-50, 50))
def test_unprojection_inverts_projection(seed, skew):
    camera, points = random_camera(seed, skew), random_pose(seed).apply(random_points(seed))
    pixels = camera.project(points)
    assert_same(camera.unproject(pixels, points[:, 2]), points)


def test_rays_go_through_pixel_centres():
    camera = random_camera(3, skew=7.0)
    rays = camera.rays()
    assert rays.shape == (*camera.size_hw, 3)
    assert_same(torch.linalg.vector_norm(rays, dim=-1), np.ones(camera.size_hw))
    i, j = 4, 11
    assert_same(camera.project(3 * rays[i, j][None]), [[j + 0.5, i + 0.5]])
    batch = Pinhole(camera.K.expand(2, 3, 3, 3), camera.size_hw)
    assert batch.rays().shape == (2, 3, *camera.size_hw, 3)


def test_field_of_view():
    camera = cameras.pinhole_from_fov(math.radians(90), (100, 200), torch.float64)
    assert_same(camera.K, [[100, 0, 100], [0, 100, 50], [0, 0, 1]])
    assert float(camera.fov_x()) == pytest.approx(math.radians(90))
    assert_same(camera.project(tensor([[-1, 0, 1], [0, 0.5, 1]])), [[0, 50], [100, 100]])


@pytest.mark.parametrize("fov", [0.0, math.pi, -1.0, 7.0, math.nan, math.inf])
def test_impossible_fields_of_view_are_refused(fov):
    with pytest.raises(InputError, match="field of view"):
        cameras.pinhole_from_fov(fov, (10, 10))


@pytest.mark.parametrize(
    "K",
    [
        [[0, 0, 5], [0, 9, 5], [0, 0, 1]],
        [[9, 0, 5], [0, -9, 5], [0, 0, 1]],
        [[9, 0, math.nan], [0, 9, 5], [0, 0, 1]],
        [[math.inf, 0, 5], [0, 9, 5], [0, 0, 1]],
        [[9, 0, 0], [0, 9, 0], [5, 5, 1]],
        [[9, 0, 5], [1, 9, 5], [0, 0, 1]],
        [[9, 0, 5], [0, 9, 5], [0, 0, 2]],
    ],
)
def test_impossible_intrinsics_are_refused(K):
    with pytest.raises(InputError, match="camera K"):
        Pinhole(tensor([np.eye(3), K]), (10, 10))


def test_empty_images_are_refused():
    with pytest.raises(InputError, match="image size 0 x 10"):
        Pinhole(torch.eye(3), (10, 0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_at_and_behind_the_camera_stay_finite(dtype):
    camera = cameras.pinhole_from_fov(1.0, (64, 64), dtype)
    z = torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e-7, -1.0, -1e6, 1e-3], dtype=dtype)
    points = torch.stack([torch.ones_like(z), -torch.ones_like(z), z], -1).requires_grad_()
    pixels = camera.project(points)
    (gradient,) = torch.autograd.grad(pixels.sum(), points)
    assert torch.isfinite(pixels).all()
    assert torch.isfinite(gradient).all()


def test_projection_gradients():
    camera, points = random_camera(1), random_pose(1).apply(random_points(1, 3))
    inputs = (camera.K.clone().requires_grad_(), points.clone().requires_grad_())

    def project(K, points):
        # K's constant entries are no parameters: perturbing them makes no camera.
        free = tensor([[1, 1, 1], [0, 1, 1], [0, 0, 0]])
        return Pinhole(torch.where(free > 0, K, camera.K), camera.size_hw).project(points)

    assert torch.autograd.gradcheck(project, inputs)


# --- weak perspective


@given(seeds, st.floats(0.5, 50))
def test_weak_perspective_agrees_with_the_pinhole_at_its_depth(seed, depth):
    pinhole = random_camera(seed)
    weak = cameras.weak_from_pinhole(pinhole, tensor(depth))
    points = random_points(seed)
    points[:, 2] = depth
    assert_same(weak.project(points), pinhole.project(points))
    assert_same(weak.unproject(weak.project(points), points[:, 2]), points)


def test_weak_perspective_is_the_limit_of_long_lenses():
    pinhole = Pinhole(tensor([[1e6, 0, 30], [0, 2e6, 20], [0, 0, 1]]), (40, 60))
    points = random_points(0)
    far = points + tensor([0, 0, 1e4])
    weak = cameras.weak_from_pinhole(pinhole, tensor(1e4))
    assert_same(weak.project(far), pinhole.project(far), 0.05)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_impossible_weak_cameras_are_refused(scale):
    with pytest.raises(InputError, match="weak-perspective"):
        WeakPerspective(tensor([1.0, scale]), tensor([0, 0]), (10, 10))


def test_skew_is_refused_where_there_is_none():
    camera, pose = random_camera(0, skew=1.0), random_pose(0)
    for convert in (
        lambda: cameras.weak_from_pinhole(camera, tensor(1.0)),
        lambda: cameras.blender_camera(camera),
        lambda: cameras.pytorch3d_camera(camera, pose),
        lambda: cameras.nerfstudio_frame(camera, pose),
    ):
        with pytest.raises(InputError, match="skew"):
            convert()


# --- crop, pad, resize, flip


def blob(size_hw: tuple[int, int], centre_xy) -> Image.Image:
    """A soft spot centred at a pixel coordinate."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    square = (x - centre_xy[0]) ** 2 + (y - centre_xy[1]) ** 2
    return Image.fromarray(np.exp(-square / (2 * 4.0**2)).astype(np.float32))


def centroid(image: Image.Image) -> np.ndarray:
    weights = np.asarray(image, dtype=np.float64)
    y, x = np.mgrid[: weights.shape[0], : weights.shape[1]] + 0.5
    return np.array([np.average(x, weights=weights), np.average(y, weights=weights)])


@given(seeds)
@settings(max_examples=25)
def test_image_changes_move_the_picture_as_they_move_the_camera(seed):
    """Pillow changes a picture of a spot; the changed camera must project the point onto the spot to 0.1 px."""
    rng = np.random.default_rng(seed)
    camera = Pinhole(tensor([[300, 0, 70], [0, 350, 120], [0, 0, 1]]), (200, 240))
    pixel = rng.uniform([90, 70], [150, 130])
    point = camera.unproject(tensor(pixel)[None], tensor([2.0]))
    picture = blob(camera.size_hw, pixel)
    left, top = (int(v) for v in rng.integers(-30, 50, 2))
    right, bottom = (int(v) for v in rng.integers([190, 170], [270, 230]))
    size_hw = tuple(int(v) for v in rng.integers(50, 400, 2))
    cut = (left, top, right, bottom)
    fraction = tuple(rng.uniform([0, 0, 200, 170], [40, 30, 240, 200]))
    bilinear = Image.Resampling.BILINEAR
    changes = [
        (cameras.crop(camera, cut), picture.crop(cut)),
        (cameras.resize(camera, size_hw), picture.resize(size_hw[::-1], bilinear)),
        (cameras.window(camera, fraction, size_hw), picture.resize(size_hw[::-1], bilinear, box=fraction)),
        (cameras.pad(camera, 7, 0, 3, 11), picture.crop((-7, 0, 243, 211))),
        (cameras.resize(cameras.crop(camera, cut), size_hw), picture.crop(cut).resize(size_hw[::-1], bilinear)),
    ]
    for changed, image in changes:
        assert changed.size_hw == image.size[::-1]
        np.testing.assert_allclose(changed.project(point)[0].numpy(), centroid(image), atol=0.1)
    flipped = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    mirrored = point * tensor([-1, 1, 1])
    np.testing.assert_allclose(cameras.flip(camera).project(mirrored)[0].numpy(), centroid(flipped), atol=0.1)


@given(seeds, st.floats(-20, 20))
def test_image_changes_compose_and_invert(seed, skew):
    camera, points = random_camera(seed, skew), random_pose(seed).apply(random_points(seed))
    rng = np.random.default_rng(seed)
    box = tuple(rng.uniform([-50, -50, 60, 60], [50, 50, 300, 300]))
    pixel_map = cameras.window_map(box, (64, 48))
    changed = cameras.window(camera, box, (64, 48))
    homogeneous = torch.cat([changed.project(points), torch.ones(len(points), 1)], -1)
    back = homogeneous @ torch.linalg.inv(pixel_map).mT
    assert_same(back[:, :2], camera.project(points), 1e-7)
    assert_same(cameras.flip(cameras.flip(camera)).K, camera.K)
    weak = cameras.weak_from_pinhole(random_camera(seed), tensor(5.0))
    assert_same(cameras.window(weak, box, (64, 48)).project(points), apply_map(pixel_map, weak.project(points)), 1e-7)
    mirrored = points * tensor([-1, 1, 1])
    for one in (camera, weak):
        expected = one.project(points) * tensor([-1, 1]) + tensor([one.size_hw[1], 0])
        assert_same(cameras.flip(one).project(mirrored), expected, 1e-7)


def apply_map(pixel_map: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    return pixels @ pixel_map[:2, :2].mT + pixel_map[:2, 2]


@given(seeds)
def test_flipped_image_shows_the_mirrored_object_at_the_mirrored_pose(seed):
    camera, pose, points = random_camera(seed), random_pose(seed), random_points(seed)
    normal = tensor(np.random.default_rng(seed).normal(size=3))
    mirrored_points = points - 2 * (points @ normal)[:, None] * normal / (normal @ normal)
    mirrored_pose = cameras.mirror_pose(pose, normal)
    assert float(torch.linalg.det(mirrored_pose.R)) == pytest.approx(1)
    found = cameras.flip(camera).project(mirrored_pose.apply(mirrored_points))
    expected = camera.project(pose.apply(points))
    assert_same(found, torch.stack([camera.size_hw[1] - expected[:, 0], expected[:, 1]], -1), 1e-7)


@given(angles, elevations, angles)
def test_mirrored_viewpoint_has_azimuth_and_tilt_negated(azimuth, elevation, tilt):
    pose = cameras.orbit_pose(tensor(azimuth), tensor(elevation), tensor(tilt), tensor(3.0))
    expected = cameras.orbit_pose(tensor(-azimuth), tensor(elevation), tensor(-tilt), tensor(3.0))
    assert_same(cameras.mirror_pose(pose, tensor([1, 0, 0])).to_matrix(), expected.to_matrix())


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 0, 5, 9), (0, 0, math.nan, 5)])
def test_empty_boxes_are_refused(box):
    with pytest.raises(InputError, match="crop box"):
        cameras.window(random_camera(0), box, (10, 10))


# --- viewpoints


@given(seeds)
def test_look_at_sees_the_target_ahead_and_up_upright(seed):
    rng = np.random.default_rng(seed)
    eye, target, up = tensor(rng.normal(size=(3, 4, 3)))
    pose = cameras.look_at(eye, target, up)
    assert_same(torch.linalg.det(pose.R), np.ones(4))
    assert_same(pose.apply(eye[:, None]), np.zeros((4, 1, 3)))
    distance = torch.linalg.vector_norm(target - eye, dim=-1)
    assert_same(pose.apply(target[:, None])[:, 0], torch.stack([0 * distance, 0 * distance, distance], -1))
    up_camera = (pose.R @ up[..., None])[..., 0]
    assert_same(up_camera[:, 0], np.zeros(4))
    assert (up_camera[:, 1] < 0).all()


@given(angles, elevations, st.floats(0.1, 100))
def test_orbit_is_a_look_at(azimuth, elevation, distance):
    c, s = math.cos(elevation), math.sin(elevation)
    eye = distance * tensor([-c * math.sin(azimuth), s, -c * math.cos(azimuth)])
    expected = cameras.look_at(eye, tensor([0, 0, 0]), tensor([0, 1, 0]))
    pose = cameras.orbit_pose(tensor(azimuth), tensor(elevation), tensor(0.0), tensor(distance))
    assert_same(pose.to_matrix(), expected.to_matrix())


@pytest.mark.parametrize(
    ("eye", "target", "up"),
    [([1, 2, 3], [1, 2, 3], [0, 1, 0]), ([0, 5, 0], [0, 0, 0], [0, 1, 0]), ([0, 0, 5], [0, 0, 0], [0, 0, 0])],
)
def test_look_at_without_a_direction_is_refused(eye, target, up):
    with pytest.raises(InputError, match="look-at"):
        cameras.look_at(tensor(eye), tensor(target), tensor(up))


# --- OpenGL and Blender


@given(seeds, st.floats(-30, 30))
def test_opengl_draws_each_point_at_its_pixel(seed, skew):
    camera, pose, points = random_camera(seed, skew), random_pose(seed), random_points(seed)
    camera_to_world = cameras.opengl_camera_to_world(pose)
    view = torch.linalg.inv(camera_to_world)
    clip = cameras.opengl_projection(camera, 0.5, 20.0) @ view @ torch.cat([points, torch.ones(20, 1)], -1).mT
    x, y, z = (clip[:3] / clip[3]).numpy()
    height, width = camera.size_hw
    # glViewport with the origin in the lower left corner, as OpenGL has it; our rows count from the top.
    window = np.stack([(x + 1) / 2 * width, height - (y + 1) / 2 * height], -1)
    assert_same(window, camera.project(pose.apply(points)), 1e-7)
    depth = pose.apply(points)[:, 2].numpy()
    assert_same(z, (20.5 - 2 * 0.5 * 20 / depth) / 19.5, 1e-7)
    found = cameras.pinhole_from_opengl(cameras.opengl_projection(camera, 0.5, 20.0), camera.size_hw)
    assert_same_view((found, cameras.pose_from_opengl(camera_to_world)), camera, pose)


def test_opengl_projection_of_a_centred_camera_is_gluperspective():
    camera = cameras.pinhole_from_fov(2 * math.atan(math.tan(0.4) * 1.5), (100, 150), torch.float64)
    f = 1 / math.tan(0.4)
    expected = [[f / 1.5, 0, 0, 0], [0, f, 0, 0], [0, 0, -11 / 9, -20 / 9], [0, 0, -1, 0]]
    assert_same(cameras.opengl_projection(camera, 1.0, 10.0), expected)
    with pytest.raises(InputError, match="clip planes"):
        cameras.opengl_projection(camera, 0.0, 10.0)
    with pytest.raises(InputError, match="clip matrix"):
        cameras.pinhole_from_opengl(tensor(expected).mT, (100, 150))


def test_opengl_camera_axes():
    """A camera at (0, 0, 5) of the world that looks at the origin, y up, is OpenGL's unturned camera."""
    pose = cameras.look_at(tensor([0, 0, 5]), tensor([0, 0, 0]), tensor([0, 1, 0]))
    expected = np.eye(4)
    expected[2, 3] = 5
    assert_same(cameras.opengl_camera_to_world(pose), expected)


@given(seeds, st.floats(1, 100))
def test_blender_geometry_gives_each_point_its_pixel(seed, sensor_width):
    camera, points = random_camera(seed), random_pose(seed).apply(random_points(seed))
    found = cameras.blender_camera(camera, sensor_width)
    # On the sensor, in mm: the lens draws x at lens * x / depth; the shifted sensor is the window.
    x, y, depth = (points * tensor([1, -1, 1])).T.numpy()
    sensor_x, sensor_y = found.lens * x / depth, found.lens * y / depth
    width, height = found.resolution_x, found.resolution_y
    sensor_height = sensor_width * (height * found.pixel_aspect_y) / (width * found.pixel_aspect_x)
    u = width * (0.5 + sensor_x / sensor_width - found.shift_x)
    v = height * (0.5 - (sensor_y - found.shift_y * sensor_width) / sensor_height)
    assert_same(np.stack([u, v], -1), camera.project(points), 1e-7)
    assert min(found.pixel_aspect_x, found.pixel_aspect_y) == 1
    back = cameras.pinhole_from_blender(found, torch.float64)
    assert_same(back.K, camera.K)
    assert back.size_hw == camera.size_hw


@pytest.mark.parametrize(
    ("lens", "sensor", "side", "focal_px"),
    [(60, 32, 224, 420), (35, 32, 128, 140), (1.866025403784439, 1, 64, 32 / math.tan(math.radians(15)))],
)
def test_blender_lenses_of_published_renders(lens, sensor, side, focal_px):
    settings_ = cameras.BlenderCamera(float(lens), float(sensor), 0.0, 0.0, 1.0, 1.0, side, side)
    K = cameras.pinhole_from_blender(settings_, torch.float64).K
    assert_same(K, [[focal_px, 0, side / 2], [0, focal_px, side / 2], [0, 0, 1]])


# --- PyTorch3D


@given(seeds)
def test_pytorch3d_formulas_give_each_point_its_pixel(seed):
    camera, pose, points = random_camera(seed), random_pose(seed), random_points(seed)
    record = cameras.pytorch3d_camera(camera, pose)
    view = points.numpy() @ record.R.numpy() + record.T.numpy()
    assert np.linalg.det(record.R.numpy()) == pytest.approx(1)
    ndc = record.focal_length.numpy() * view[:, :2] / view[:, 2:] + record.principal_point.numpy()
    height, width = camera.size_hw
    side = min(height, width)
    screen = np.array([width / 2, height / 2]) - ndc * side / 2  # NDC's x points left, y up
    assert_same(screen, camera.project(pose.apply(points)), 1e-7)
    assert_same_view(cameras.parse_pytorch3d_camera(record), camera, pose)


# --- BOP


@given(seeds, st.sampled_from([0.0, 0.5]))
def test_bop_records_hold_rows_and_millimetres(seed, pixel_centre):
    camera, pose = random_camera(seed, 3.0), random_pose(seed)
    record = {**cameras.bop_pose(pose, 1000.0), **cameras.bop_camera(camera, pixel_centre)}
    R = np.array(record["cam_R_m2c"]).reshape(3, 3)
    point_mm = np.array([100.0, -200.0, 300.0])
    K = np.array(record["cam_K"]).reshape(3, 3)
    u, v, w = K @ (R @ point_mm + record["cam_t_m2c"])
    pixel = camera.project(pose.apply(tensor(point_mm)[None] / 1000))[0]
    assert_same([u / w + 0.5 - pixel_centre, v / w + 0.5 - pixel_centre], pixel, 1e-7)
    found = cameras.pinhole_from_bop(record, camera.size_hw, pixel_centre), cameras.pose_from_bop(record, 1000.0)
    assert_same_view(found, camera, pose)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"cam_R_m2c": [1, 0, 0], "cam_t_m2c": [0, 0, 1]},
        {"cam_R_m2c": "abc", "cam_t_m2c": [0, 0, 1]},
        {"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": [0, 0, math.nan]},
        {"cam_R_m2c": [1, 0, 0, 0, 1, 0, 0, 0, 1], "cam_t_m2c": None},
        {"cam_R_m2c": [2, 0, 0, 0, 2, 0, 0, 0, 2], "cam_t_m2c": [0, 0, 1]},
    ],
)
def test_bad_bop_records_are_refused(record):
    with pytest.raises(InputError):
        cameras.pose_from_bop(record, 1.0)


def test_bop_units_and_batches_are_checked():
    with pytest.raises(InputError, match="unit"):
        cameras.bop_pose(random_pose(0), 0.0)
    batch = Pose(torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3))
    with pytest.raises(InputError, match="batch"):
        cameras.bop_pose(batch, 1.0)
    with pytest.raises(InputError, match="batch"):
        cameras.bop_camera(Pinhole(torch.eye(3).expand(2, 3, 3), (1, 1)), 0.5)


# --- nerfstudio


@given(seeds)
def test_nerfstudio_rays_hit_each_point(seed):
    camera, pose, points = random_camera(seed), random_pose(seed), random_points(seed)
    frame = cameras.nerfstudio_frame(camera, pose)
    # Its ray of a pixel coordinate: ((u - cx) / fl_x, -(v - cy) / fl_y, -1) in camera axes, turned by camera -> world.
    u, v = camera.project(pose.apply(points)).T.numpy()
    directions = np.stack([(u - frame["cx"]) / frame["fl_x"], -(v - frame["cy"]) / frame["fl_y"], -np.ones(20)], -1)
    matrix = np.array(frame["transform_matrix"])
    world = directions @ matrix[:3, :3].T
    depth = pose.apply(points)[:, 2:].numpy()
    assert_same(matrix[:3, 3] + depth * world, points, 1e-7)
    assert (frame["h"], frame["w"]) == camera.size_hw
    assert_same_view(cameras.parse_nerfstudio_frame(frame), camera, pose)


def test_bad_nerfstudio_frames_are_refused():
    frame = cameras.nerfstudio_frame(random_camera(0), random_pose(0))
    missing = {key: value for key, value in frame.items() if key != "fl_x"}
    for bad in (missing, {**frame, "w": "wide"}, {**frame, "transform_matrix": [[1, 0], [0, 1]]}):
        with pytest.raises(SchemaError, match="nerfstudio"):
            cameras.parse_nerfstudio_frame(bad)
    for bad in ({**frame, "k1": 0.1}, {**frame, "camera_model": "OPENCV_FISHEYE"}):
        with pytest.raises(InputError, match="undistort"):
            cameras.parse_nerfstudio_frame(bad)


# --- PASCAL3D+


def pascal3d_toolbox_pixels(points, azimuth, elevation, theta, distance, principal, f):
    """The toolbox's projection, written out: centre, two rotations, f x / -z, then theta turns the picture."""
    a, e = -azimuth, -(math.pi / 2 - elevation)
    flat = distance * math.cos(elevation)
    centre = [flat * math.sin(azimuth), -flat * math.cos(azimuth), distance * math.sin(elevation)]
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(e), -math.sin(e)], [0, math.sin(e), math.cos(e)]])
    x, y, z = about_x @ about_z @ (points - centre).T
    u, v = f * x / -z, f * y / -z
    turned_u = math.cos(theta) * u - math.sin(theta) * v
    turned_v = math.sin(theta) * u + math.cos(theta) * v
    return np.stack([turned_u + principal[0], -turned_v + principal[1]], -1)


@given(angles, elevations, angles, st.floats(3, 20), seeds)
def test_pascal3d_toolbox_projects_to_the_same_pixels(azimuth, elevation, theta, distance, seed):
    points = random_points(seed)
    camera = cameras.pascal3d_pinhole((251.0, 190.5), (375, 500))
    pose = cameras.pascal3d_pose(*map(tensor, (azimuth, elevation, theta, distance)))
    matlab = pascal3d_toolbox_pixels(points.numpy(), azimuth, elevation, theta, distance, (251.0, 190.5), 3000.0)
    assert_same(camera.project(pose.apply(points)) + 0.5, matlab, 1e-6)


@given(angles, elevations, angles)
def test_viewpoints_and_keypoints_store_the_transpose(azimuth, elevation, theta):
    def passive(angle, axis):  # MATLAB's angle2dcm turns the axes, not the vector
        return Rotation.from_euler(axis, angle).as_matrix().T

    stored = passive(-azimuth, "z") @ passive(elevation - math.pi / 2, "x") @ passive(theta, "z")
    found = cameras.viewpoints_and_keypoints_rotation(*map(tensor, (azimuth, elevation, theta)))
    assert_same(found, stored)
    pose = cameras.pascal3d_pose(*map(tensor, (azimuth, elevation, theta, 1.0)))
    assert_same(np.diag([1, -1, -1]) @ stored.T, pose.R)


@given(angles, elevations, angles, seeds)
def test_pascal3d_angles_mean_the_same_in_the_canonical_frame(azimuth, elevation, theta, seed):
    values = [tensor(v) for v in (azimuth, elevation, theta, 5.0)]
    points = random_points(seed)
    expected = cameras.pascal3d_pose(*values).apply(points)
    assert_same(cameras.orbit_pose(*values).apply(cameras.canonical_from_pascal3d(points)), expected)
    assert_same(cameras.canonical_from_pascal3d(tensor([[0, 0, 1], [0, -1, 0]])), [[0, 1, 0], [0, 0, -1]])


@given(angles, elevations, angles, st.floats(3, 20))
def test_pascal3d_pose_is_the_stated_camera(azimuth, elevation, theta, distance):
    pose = cameras.pascal3d_pose(*map(tensor, (azimuth, elevation, theta, distance)))
    c, s = math.cos(elevation), math.sin(elevation)
    centre = distance * np.array([c * math.sin(azimuth), -c * math.cos(azimuth), s])
    assert_same(-pose.R.mT @ pose.t, centre)
    back = cameras.pascal3d_viewpoint(pose)
    assert_same(np.exp(1j * back[:3].numpy()), np.exp(1j * np.array([azimuth, elevation, theta])), 1e-6)
    assert float(back[3]) == pytest.approx(distance)
    assert_same(cameras.pascal3d_pose(*back).to_matrix(), pose.to_matrix())


# --- Neural Mesh Renderer and SoftRas


def softras_pixels(points: np.ndarray, azimuth: float, elevation: float, distance: float, side: int) -> np.ndarray:
    """SoftRas's own projection, written out: its left-handed look_at, then the half angle of 15 degrees."""
    flat = distance * math.cos(elevation)
    eye = np.array([flat * math.sin(azimuth), distance * math.sin(elevation), -flat * math.cos(azimuth)])
    z = -eye / np.linalg.norm(eye)
    x = np.cross([0, 1, 0], z)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    x, y, z = np.stack([x, y, z]) @ (points - eye).T
    tangent = math.tan(math.radians(15))
    return np.stack([(1 + x / z / tangent) * side / 2, (1 - y / z / tangent) * side / 2], -1)


@given(angles, elevations, st.floats(2, 9), seeds)
def test_softras_draws_the_unmirrored_mesh_at_the_same_pixels(azimuth, elevation, distance, seed):
    theirs = random_points(seed) / 2
    ours, _ = cameras.mirror_nmr_mesh(theirs, torch.zeros(1, 3, dtype=torch.int64))
    pose = cameras.nmr_pose(*map(tensor, (azimuth, elevation, distance)))
    pixels = cameras.nmr_pinhole(64, dtype=torch.float64).project(pose.apply(ours))
    assert_same(pixels, softras_pixels(theirs.numpy(), azimuth, elevation, distance, 64), 1e-7)
    assert_same(cameras.nmr_viewpoint(pose), [azimuth, elevation, distance], 1e-6)


def test_data_set_views_are_at_minus_fifteen_degrees_of_the_mirrored_mesh():
    """View k: true eye around the OBJ, and the mesh (-Z, Y, -X) of the OBJ at azimuth -15 k in their renderer."""
    obj = random_points(5) / 2
    poses = cameras.nmr_view_pose(torch.arange(24), torch.float64)
    camera = cameras.nmr_pinhole(64, dtype=torch.float64)
    theirs = np.stack([-obj[:, 2], obj[:, 1], -obj[:, 0]], -1)
    flat, height = 2.732 * math.cos(math.pi / 6), 2.732 * math.sin(math.pi / 6)
    for k in range(24):
        a = math.radians(15 * k)
        pose = Pose(poses.R[k], poses.t[k])
        assert_same(-pose.R.mT @ pose.t, [flat * math.cos(a), height, flat * math.sin(a)])
        expected = softras_pixels(theirs, -a, math.pi / 6, 2.732, 64)
        assert_same(camera.project(pose.apply(obj)), expected, 1e-7)


def test_mirroring_the_mesh_keeps_it_right_side_out():
    vertices, faces = torch.eye(3, dtype=torch.float64), torch.tensor([[0, 1, 2]])
    mirrored, turned = cameras.mirror_nmr_mesh(vertices, faces)
    a, b, c = mirrored[turned[0]]
    assert_same(torch.linalg.cross(b - a, c - a), [-1, 1, 1])
    again, back = cameras.mirror_nmr_mesh(mirrored, turned)
    assert torch.equal(again, vertices)
    assert torch.equal(back, faces)


def silhouette(pixels: np.ndarray, faces: np.ndarray, side: int, oversampling: int = 4) -> np.ndarray:
    """Antialiased union of triangles, grown by half a pixel, which is how far SoftRas's soft edge reaches."""
    image = Image.new("L", (side * oversampling, side * oversampling))
    draw = ImageDraw.Draw(image)
    for triangle in pixels[faces] * oversampling - 0.5:
        draw.polygon([tuple(corner) for corner in triangle], fill=255)
    grown = distance_transform_edt(np.asarray(image) == 0) <= 0.5 * oversampling
    return grown.reshape(side, oversampling, side, oversampling).mean((1, 3))


def test_softras_own_pictures_show_the_mesh_where_the_camera_puts_it(shared):
    """120 stored views; the stored mesh is a fit to them, so that the thin wings differ and no IoU reaches 1."""
    folder = shared / "fixtures" / "softras"
    lines = [line.split() for line in (folder / "plane.obj").read_text().splitlines()]
    theirs = tensor([[float(x) for x in line[1:4]] for line in lines if line[:1] == ["v"]])
    faces = torch.tensor([[int(x.split("/")[0]) - 1 for x in line[1:4]] for line in lines if line[:1] == ["f"]])
    mesh, faces = cameras.mirror_nmr_mesh(theirs, faces)
    distance, elevation, azimuth = tensor(np.load(folder / "camera.npy")).T
    alphas = np.load(folder / "source.npy")[:, 3] / 255
    camera = cameras.nmr_pinhole(64, dtype=torch.float64)
    elevation, azimuth = torch.deg2rad(elevation), torch.deg2rad(azimuth)

    def mean_iou(views: range, sign: int = 1, zoom: float = 1.0, shift=(0.0, 0.0)) -> float:
        pixels = camera.project(cameras.nmr_pose(sign * azimuth, elevation, distance).apply(mesh)).numpy()
        ious = []
        for k in views:
            drawn = silhouette((pixels[k] - 32) * zoom + 32 + shift, faces.numpy(), 64)
            ious.append(np.minimum(drawn, alphas[k]).sum() / np.maximum(drawn, alphas[k]).sum())
        return float(np.mean(ious))

    assert mean_iou(range(120)) > 0.86
    some = range(0, 120, 7)
    best = mean_iou(some)
    assert mean_iou(some, sign=-1) < 0.5
    for wrong in ({"zoom": 0.95}, {"zoom": 1.05}, *({"shift": s} for s in ((0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)))):
        assert mean_iou(some, **wrong) < best - 0.01


# --- the pictures of docs/conventions.md


def test_conventions_page_shows_what_the_script_draws(tmp_path):
    docs = Path(__file__).resolve().parents[1] / "docs"
    script = runpy.run_path(str(docs / "draw_conventions.py"))
    names = sorted(path.name for path in script["draw_all"](tmp_path))
    page = (docs / "conventions.md").read_text(encoding="utf-8")
    assert names == sorted(set(re.findall(r"images/(conventions_\w+\.png)", page)))
    assert names == sorted(path.name for path in (docs / "images").glob("conventions_*.png"))
    for name in names:
        with Image.open(tmp_path / name) as drawn, Image.open(docs / "images" / name) as stored:
            assert drawn.size == stored.size
            assert len(drawn.convert("RGB").getcolors(2**24)) > 20
