"""Camera files: each tool's own projection formula, written out by hand, must land on OpenCV's pixels."""

import csv
import io
import json
import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform.errors import InputError
from monoform.files import cameras

K = np.array([[820.0, 0.0, 300.0], [0.0, 790.0, 260.0], [0.0, 0.0, 1.0]])
SIZE_WH = (640, 480)
R = Rotation.from_euler("xyz", [200.0, 35.0, -12.0], degrees=True).as_matrix()
T = np.array([0.1, -0.2, 2.5])
POINTS = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 3))


def opencv_pixels() -> np.ndarray:
    camera = POINTS @ R.T + T
    return np.stack([820.0 * camera[:, 0] / camera[:, 2] + 300.0, 790.0 * camera[:, 1] / camera[:, 2] + 260.0], axis=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    written = cameras.write_cameras(tmp_path, cameras.FORMATS, R, T, K, SIZE_WH, "m")
    assert all(path.is_file() for path in written)
    return tmp_path / "cameras"


def pixels_of_clip(clip: np.ndarray) -> np.ndarray:
    """The viewport transform of OpenGL: clip to pixels counted from the top left."""
    ndc = clip[:, :2] / clip[:, 3:]
    return np.stack([(ndc[:, 0] + 1.0) / 2.0 * 640.0, (1.0 - ndc[:, 1]) / 2.0 * 480.0], axis=1)


def homogeneous(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def test_opencv_file(folder: Path) -> None:
    camera = json.loads((folder / "opencv.json").read_text())
    np.testing.assert_array_equal(camera["camera_matrix"], K)
    np.testing.assert_array_equal(camera["R_model_to_camera"], R)
    np.testing.assert_array_equal(camera["t_model_to_camera"], T)


def test_opengl_file(folder: Path) -> None:
    camera = json.loads((folder / "opengl.json").read_text())
    view, projection = np.array(camera["model_to_camera_4x4_rows"]), np.array(camera["projection_4x4_rows"])
    clip = homogeneous(POINTS) @ view.T @ projection.T
    np.testing.assert_allclose(pixels_of_clip(clip), opencv_pixels(), atol=1e-9)
    np.testing.assert_allclose(view @ np.array(camera["camera_to_model_4x4_rows"]), np.eye(4), atol=1e-12)
    for distance, depth in ((camera["near"], -1.0), (camera["far"], 1.0)):
        clip = projection @ (0.0, 0.0, -distance, 1.0)
        assert clip[2] / clip[3] == pytest.approx(depth)


def test_threejs_file_is_column_major(folder: Path) -> None:
    camera = json.loads((folder / "threejs.json").read_text())
    world = np.array(camera["matrixWorld"]).reshape(4, 4).T
    projection = np.array(camera["projectionMatrix"]).reshape(4, 4).T
    clip = homogeneous(POINTS) @ np.linalg.inv(world).T @ projection.T
    np.testing.assert_allclose(pixels_of_clip(clip), opencv_pixels(), atol=1e-9)
    np.testing.assert_allclose(world[:3, 3], -R.T @ T, atol=1e-12)


def test_bop_file_is_row_wise_and_in_millimetres(folder: Path) -> None:
    (row,) = csv.DictReader(io.StringIO((folder / "bop.csv").read_text()))
    np.testing.assert_array_equal(np.array(row["R"].split(), float), [R[0, 0], R[0, 1], R[0, 2], *R[1], *R[2]])
    np.testing.assert_allclose(np.array(row["t"].split(), float), 1000.0 * T)
    scene = json.loads((folder / "bop_scene_camera.json").read_text())
    assert scene["0"]["cam_K"] == [820.0, 0.0, 300.0, 0.0, 790.0, 260.0, 0.0, 0.0, 1.0]


def run_in_blender(script: Path, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """Execute the snippet against a stand-in for bpy that records what is set."""
    record = types.SimpleNamespace()
    render = types.SimpleNamespace()
    scene = types.SimpleNamespace(
        render=render, collection=types.SimpleNamespace(objects=types.SimpleNamespace(link=lambda camera: None))
    )
    bpy = types.ModuleType("bpy")
    bpy.ops = types.SimpleNamespace(
        import_scene=types.SimpleNamespace(gltf=lambda filepath: setattr(record, "mesh", Path(filepath)))
    )
    bpy.context = types.SimpleNamespace(scene=scene, space_data=None)
    bpy.data = types.SimpleNamespace(
        cameras=types.SimpleNamespace(new=lambda name: types.SimpleNamespace()),
        objects=types.SimpleNamespace(new=lambda name, data: types.SimpleNamespace(data=data)),
    )
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    exec(compile(script.read_text(), str(script), "exec"), {"__file__": str(script)})
    record.camera, record.render = scene.camera, render
    return record


@pytest.mark.parametrize(("fx", "fy"), [(820.0, 790.0), (600.0, 900.0), (700.0, 700.0)])
def test_blender_snippet(fx: float, fy: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_K = np.array([[fx, 0.0, 300.0], [0.0, fy, 260.0], [0.0, 0.0, 1.0]])
    cameras.write_cameras(tmp_path, ("blender",), R, T, own_K, SIZE_WH, "file")
    made = run_in_blender(tmp_path / "cameras" / "blender.py", monkeypatch)
    assert made.mesh == tmp_path / "mesh_posed.glb"
    # Blender's glTF reader turns y up into z up; the camera, turned by 90 degrees about x, looks along +y.
    gltf = (POINTS @ R.T + T) * (1.0, -1.0, -1.0)
    world = np.stack([gltf[:, 0], -gltf[:, 2], gltf[:, 1]], axis=1)
    assert made.camera.location == (0.0, 0.0, 0.0)
    assert made.camera.rotation_euler == (math.pi / 2.0, 0.0, 0.0)
    right, ahead, up = world.T
    data, render = made.camera.data, made.render
    assert (render.resolution_x, render.resolution_y) == SIZE_WH
    assert min(render.pixel_aspect_x, render.pixel_aspect_y) == 1.0
    # Sensor coordinates in units of its width; the picture is one unit wide, shifts are in that unit too.
    x = right / ahead * data.lens / data.sensor_width - data.shift_x
    y = up / ahead * data.lens / data.sensor_width - data.shift_y
    pixel_height = render.pixel_aspect_y / render.pixel_aspect_x
    pixels = np.stack([320.0 + 640.0 * x, 240.0 - 640.0 * y / pixel_height], axis=1)
    camera = POINTS @ R.T + T
    expected = np.stack([fx * camera[:, 0] / camera[:, 2] + 300.0, fy * camera[:, 1] / camera[:, 2] + 260.0], axis=1)
    np.testing.assert_allclose(pixels, expected, atol=1e-6)


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "820,790,300,260",
        "820 790 300 260",
        json.dumps(K.tolist()),
        json.dumps({"cam_K": K.ravel().tolist()}),
        json.dumps({"K": K.tolist()}),
        "820 0 300\n0 790 260\n0 0 1\n",
    ],
)
def test_intrinsics_from_files(text: str, tmp_path: Path) -> None:
    (tmp_path / "K.txt").write_text(text)
    np.testing.assert_array_equal(cameras.parse_intrinsics(str(tmp_path / "K.txt")), K)


def test_intrinsics_from_text() -> None:
    np.testing.assert_array_equal(cameras.parse_intrinsics("820,790,300,260"), K)


@pytest.mark.parametrize("text", ["1,2,3", "nan,1,2,3", "missing.json", "", "a\0b"])
def test_bad_intrinsics(text: str) -> None:
    with pytest.raises(InputError):
        cameras.check_intrinsics(cameras.parse_intrinsics(text), SIZE_WH)


@pytest.mark.parametrize("content", ["{}", "[[1,2],[3]]", '{"K": "x"}', "null", "\xff\xfe", "[" * 9999])
def test_bad_intrinsics_file(content: str, tmp_path: Path) -> None:
    (tmp_path / "K.json").write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"K\.json"):
        cameras.parse_intrinsics(str(tmp_path / "K.json"))


@pytest.mark.parametrize(
    ("values", "cause"),
    [
        ((-800, 800, 320, 240), "positive"),
        ((0, 800, 320, 240), "positive"),
        ((800, 800, 3000, 240), "far outside"),
        ((800, 800, math.inf, 240), "NaN or infinity"),
    ],
)
def test_impossible_intrinsics(values: tuple[float, ...], cause: str) -> None:
    fx, fy, cx, cy = values
    with pytest.raises(InputError, match=cause):
        cameras.check_intrinsics(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), SIZE_WH)


def test_suspicious_intrinsics_are_told() -> None:
    assert cameras.check_intrinsics(K, SIZE_WH) == []
    outside = K + np.array([[0, 0, 400.0], [0, 0, 0], [0, 0, 0]])
    assert "cropped" in cameras.check_intrinsics(outside, SIZE_WH)[0]
    assert "unusual" in cameras.check_intrinsics(np.diag([20.0, 20.0, 1.0]), SIZE_WH)[0]


def test_pose_from_text() -> None:
    rotation, translation = cameras.parse_pose(",".join(map(repr, [*R.ravel().tolist(), *T.tolist()])))
    np.testing.assert_allclose(rotation, R, atol=1e-14)
    np.testing.assert_array_equal(translation, T)


@given(noise=st.floats(-2e-4, 2e-4))
def test_rounded_rotation_is_mended(noise: float) -> None:
    mended = cameras.nearest_rotation(R + noise)
    np.testing.assert_allclose(mended @ mended.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(mended) == pytest.approx(1.0)


@pytest.mark.parametrize("matrix", [1.1 * R, R @ np.diag([1.0, 1.0, -1.0]), np.full((3, 3), np.nan), np.zeros((3, 3))])
def test_what_is_no_rotation_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(InputError, match="R "):
        cameras.nearest_rotation(matrix)


# --- the torch world's converters say the same --------------------------------------------------------------------


@pytest.mark.parametrize(("fx", "fy"), [(820.0, 790.0), (600.0, 900.0)])
def test_files_agree_with_the_library_of_cameras(fx: float, fy: float, tmp_path: Path, monkeypatch) -> None:
    import torch

    from monoform import cameras as converters
    from monoform.poses import Pose

    own_K = np.array([[fx, 0.0, 300.0], [0.0, fy, 260.0], [0.0, 0.0, 1.0]])
    camera = converters.Pinhole(torch.tensor(own_K), (480, 640))
    cameras.write_cameras(tmp_path, cameras.FORMATS, R, T, own_K, SIZE_WH, "file")
    opengl = json.loads((tmp_path / "cameras/opengl.json").read_text())
    projection = converters.opengl_projection(camera, opengl["near"], opengl["far"])
    np.testing.assert_allclose(opengl["projection_4x4_rows"], projection, rtol=1e-9, atol=1e-12)
    to_world = converters.opengl_camera_to_world(Pose(torch.tensor(R), torch.tensor(T)))
    np.testing.assert_allclose(opengl["camera_to_model_4x4_rows"], to_world, atol=1e-9)
    made, settings = (
        run_in_blender(tmp_path / "cameras/blender.py", monkeypatch),
        converters.blender_camera(camera),
    )
    for name in ("lens", "sensor_width", "shift_x", "shift_y"):
        assert getattr(made.camera.data, name) == pytest.approx(getattr(settings, name))
    for name in ("pixel_aspect_x", "pixel_aspect_y", "resolution_x", "resolution_y"):
        assert getattr(made.render, name) == pytest.approx(getattr(settings, name))
