"""Mesh files: round trips read back by independent readers, and broken files that must be one InputError each."""

import base64
import json
import os
import random
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from monoform.errors import InputError
from monoform.files import gltf
from monoform.files.mesh_parts import triangulate
from monoform.files.meshes import load_mesh, load_mesh_with_report, save_mesh
from monoform.meshes import Mesh, box, concatenate, icosphere, is_watertight, signed_volume, surface_area

FORMATS = ("obj", "ply", "stl", "glb", "usdz")


def coloured() -> Mesh:
    mesh = concatenate([icosphere(1), box((1, 2, 3), (4, 0, 0))])
    rng = np.random.default_rng(0)
    return Mesh(
        mesh.vertices + 0.01 * rng.random(mesh.vertices.shape), mesh.faces, rng.integers(0, 256, mesh.vertices.shape)
    )


def corners(mesh) -> np.ndarray:
    return np.asarray(mesh.vertices)[np.asarray(mesh.faces)]


def refused(path: Path, *words: str, **limits) -> None:
    """Loading raises one line that names the file and holds the words."""
    with pytest.raises(InputError) as caught:
        load_mesh(path, **limits)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def glb(tree: dict, binary: bytes = b"") -> bytes:
    """A GLB file of any JSON and buffer, well-formed outside."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def triangle_tree(**changes) -> tuple[dict, bytes]:
    """A glTF tree with one triangle (0 0 0), (1 0 0), (0 1 0); `changes` replace top-level entries."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    }
    return {**tree, **changes}, positions


# --- round trips -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS[:4])
def test_round_trip_by_two_readers(tmp_path, suffix: str):
    mesh, path = coloured(), tmp_path / f"mesh.{suffix}"
    save_mesh(mesh, path)
    own = load_mesh(path)
    np.testing.assert_allclose(corners(own), corners(mesh), atol=1e-6)
    other = trimesh.load_mesh(path, process=False)
    np.testing.assert_allclose(corners(other), corners(mesh), atol=1e-6)
    if suffix != "stl":
        np.testing.assert_array_equal(own.faces, mesh.faces)
        assert own.colours is not None
        assert mesh.colours is not None
        assert np.abs(own.colours.astype(int) - mesh.colours).max() == 0
        visual = next(iter(trimesh.load_scene(path, process=False).geometry.values())).visual
        read = visual.vertex_attributes["color"] if suffix == "glb" else visual.vertex_colors
        assert np.abs(np.asarray(read)[:, :3].astype(int) - mesh.colours).max() <= 1


def test_usdz_is_read_by_openusd(tmp_path):
    usd = pytest.importorskip("pxr.Usd", reason="needs usd-core, the oracle for USDZ")
    from pxr import UsdGeom

    mesh, path = coloured(), tmp_path / "mesh.usdz"
    save_mesh(mesh, path)
    stage = usd.Stage.Open(str(path))
    assert UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.y
    prim = UsdGeom.Mesh(next(prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)))
    faces = np.array(prim.GetFaceVertexIndicesAttr().Get()).reshape(-1, 3)
    np.testing.assert_array_equal(faces, mesh.faces)
    np.testing.assert_allclose(np.array(prim.GetPointsAttr().Get()), mesh.vertices, atol=1e-6)
    assert set(prim.GetFaceVertexCountsAttr().Get()) == {3}
    colours = np.array(prim.GetDisplayColorPrimvar().Get())
    assert mesh.colours is not None
    np.testing.assert_allclose(gltf.linear_to_srgb(colours) * 255, mesh.colours, atol=0.01)


def test_usdz_is_stored_and_aligned(tmp_path):
    save_mesh(box(), tmp_path / "box.usdz")
    data = (tmp_path / "box.usdz").read_bytes()
    with zipfile.ZipFile(tmp_path / "box.usdz") as archive:
        entries = archive.infolist()
    for entry in entries:
        name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
        assert entry.compress_type == zipfile.ZIP_STORED
        assert (entry.header_offset + 30 + name + extra) % 64 == 0


@pytest.mark.parametrize("suffix", FORMATS)
def test_same_mesh_same_bytes_and_the_file_is_replaced_whole(tmp_path, suffix: str):
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    save_mesh(box(), first)
    save_mesh(coloured(), first)
    save_mesh(coloured(), second)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(os.listdir(tmp_path)) == sorted([first.name, second.name])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_mesh_without_faces_is_not_written(tmp_path, suffix: str):
    with pytest.raises(InputError, match="without faces"):
        save_mesh(Mesh(np.eye(3), np.zeros((0, 3), int)), tmp_path / f"empty.{suffix}")
    assert not list(tmp_path.iterdir())


def test_unknown_suffixes_are_refused(tmp_path):
    with pytest.raises(InputError, match="name it"):
        save_mesh(box(), tmp_path / "box.fbx")
    refused(written(tmp_path, "box.3mf", "x"), "not a mesh format")
    refused(tmp_path / "box.obj", "no such file")
    (tmp_path / "folder.obj").mkdir()
    refused(tmp_path / "folder.obj", "no such file")


# --- what readers must understand --------------------------------------------------------------------------------


def test_obj_polygons_negative_ids_and_extras(tmp_path):
    text = """# a comment
mtllib ../../etc/passwd
o thing
v 0 0 0
v 2 0 0
v 2 2 0
v 0 2 0
vt 0 0
vn 0 0 1
usemtl red
f -4/1/1 -3//1 -2/1 -1
v 0 0 1
v 1 0 1
v 0.2 0.2 1
v 0 1 1 # concave
f 5 6 7 8
l 1 2
f 1 2 \\
  5
"""
    mesh = load_mesh(written(tmp_path, "a.obj", text))
    assert surface_area(mesh) == pytest.approx(4 + 0.2 + 1)
    assert load_mesh(written(tmp_path, "b.obj", text.replace("\n", "\r\n"))).faces.tolist() == mesh.faces.tolist()


def test_concave_polygons_keep_their_area_in_any_plane():
    star = np.array([[np.cos(a) * r, np.sin(a) * r, 0] for a, r in
                     zip(np.linspace(0, 2 * np.pi, 11)[:-1], [1, 0.4] * 5, strict=True)])  # fmt: skip
    area = 0.5 * abs(sum(a[0] * b[1] - a[1] * b[0] for a, b in zip(star, np.roll(star, -1, axis=0), strict=True)))
    for turn in (np.eye(3), np.eye(3)[[1, 2, 0]], np.eye(3)[[2, 0, 1]], np.diag([1, -1, 1.0])):
        vertices = star @ turn
        faces = triangulate([list(range(10))], vertices)
        vectors = np.cross(vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]])
        assert np.linalg.norm(vectors, axis=1).sum() / 2 == pytest.approx(area)
        assert np.linalg.norm(vectors.sum(axis=0)) / 2 == pytest.approx(area)


def test_off_with_counts_on_the_first_line_quads_and_colours(tmp_path):
    square = "4 1 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n4 0 1 2 3\n"
    for head in ("OFF\n", "OFF ", "OFF", "# made by hand\nOFF\n\n"):
        assert surface_area(load_mesh(written(tmp_path, "a.off", head + square))) == pytest.approx(1)
    text = "COFF\n3 1 0\n0 0 0 255 0 0 255\n1 0 0 0 255 0 255\n0 1 0 0 0 255 255\n3 0 1 2\n"
    colours = load_mesh(written(tmp_path, "c.off", text)).colours
    assert colours is not None
    np.testing.assert_array_equal(colours, np.eye(3) * 255)


def test_text_stl_and_text_ply(tmp_path):
    facets = "".join(
        "facet normal 0 0 0\nouter loop\n"
        + "".join("vertex {:e} {} {}\n".format(*p) for p in triangle)
        + "endloop\nendfacet\n"
        for triangle in corners(box())
    )
    mesh, report = load_mesh_with_report(written(tmp_path, "a.stl", f"solid box\n{facets}endsolid box\n"))
    assert report.merged_vertices == 28
    assert report.watertight
    assert signed_volume(mesh) == pytest.approx(1)
    refused(written(tmp_path, "b.stl", f"solid box\n{facets}"), "cut off")
    head = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    body = "element face 2\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
    for faces, area in (("4 0 1 2 3\n3 0 1 3\n", 1.5), ("4 0 1 2 3\n4 0 1 2 3\n", 1), ("3 0 1 2\n3 0 2 3\n", 1)):
        assert surface_area(load_mesh(written(tmp_path, "a.ply", head + body + faces))) == pytest.approx(area)
    refused(written(tmp_path, "b.ply", head + body + "4 0 1 2 3\n3 0 1"), "ends before")
    refused(written(tmp_path, "b.ply", head + body + "4 0 1 2 9\n3 0 1 2"), "not among")


@pytest.mark.parametrize("order", "<>")
def test_binary_ply_with_mixed_polygons_and_other_elements(tmp_path, order: str):
    kind = {"<": "little", ">": "big"}[order]
    head = f"""ply
format binary_{kind}_endian 1.0
comment mixed
element vertex 5
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face 2
property uchar flags
property list uchar ushort vertex_index
element edge 1
property int vertex1
end_header
"""
    points = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (2, 0, 0)]
    body = b"".join(struct.pack(f"{order}3f3B", *point, 10, 20, 30) for point in points)
    body += struct.pack(f"{order}BB4H", 7, 4, 0, 1, 2, 3) + struct.pack(f"{order}BB3H", 7, 3, 1, 4, 2)
    path = written(tmp_path, "a.ply", head.encode() + body + bytes(4))
    mesh = load_mesh(path)
    assert surface_area(mesh) == pytest.approx(1.5)
    assert mesh.colours is not None
    assert mesh.colours[0].tolist() == [10, 20, 30]
    refused(written(tmp_path, "b.ply", path.read_bytes()[:-6]), "ends before")


def test_gltf_node_transforms_are_flattened_into_the_file_frame(tmp_path):
    nodes = [
        {"children": [1, 2], "translation": [10, 0, 0], "scale": [2, 2, 2]},
        {"mesh": 0, "rotation": [0, 0, np.sin(np.pi / 4), np.cos(np.pi / 4)]},
        {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5, 1]},
    ]
    tree, binary = triangle_tree(nodes=nodes)
    path = written(tmp_path, "a.glb", glb(tree, binary))
    mesh = load_mesh(path)
    expected = [[[10, 0, 0], [10, 2, 0], [8, 0, 0]], [[10, 0, 10], [8, 0, 10], [10, 2, 10]]]
    np.testing.assert_allclose(mesh.vertices[:3], expected[0], atol=1e-6)
    np.testing.assert_allclose(np.sort(mesh.vertices[3:], axis=0), np.sort(np.array(expected[1]), axis=0), atol=1e-6)
    # The second node mirrors: its face is turned so that it still looks towards +z.
    normals = np.cross(*(corners(mesh)[:, i] - corners(mesh)[:, 0] for i in (1, 2)))
    assert (normals[:, 2] > 0).all()
    oracle = trimesh.load_scene(path).to_mesh()
    np.testing.assert_allclose(np.sort(oracle.vertices, axis=0), np.sort(mesh.vertices, axis=0), atol=1e-6)


def test_gltf_agrees_with_trimesh_on_real_scenes(shared):
    files = sorted((shared / "data" / "generic").rglob("*.glb"))[::60]
    for path in files:
        mesh = load_mesh(path)
        oracle = trimesh.load_scene(path, process=False).to_mesh()
        np.testing.assert_allclose(mesh.vertices.min(axis=0), oracle.bounds[0], atol=1e-5)
        np.testing.assert_allclose(mesh.vertices.max(axis=0), oracle.bounds[1], atol=1e-5)
        assert surface_area(mesh) <= oracle.area * (1 + 1e-5)


def test_gltf_colours_material_factor_is_linear_and_bytes_are_srgb(tmp_path):
    tree, binary = triangle_tree(materials=[{"pbrMetallicRoughness": {"baseColorFactor": [1.0, 0.2158605, 0.0, 1.0]}}])
    tree["meshes"][0]["primitives"][0]["material"] = 0
    colours = load_mesh(written(tmp_path, "a.glb", glb(tree, binary))).colours
    assert colours is not None
    np.testing.assert_array_equal(colours, np.tile([255, 128, 0], (3, 1)))
    tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 1
    for kind, values, expected in (
        (5121, np.full((3, 4), 128, "u1"), 128),
        (5126, np.full((3, 4), 0.2158605, "<f4"), 128),
    ):
        tree["accessors"][1:] = [
            {"bufferView": 1, "componentType": kind, "count": 3, "type": "VEC4", "normalized": kind == 5121}
        ]
        tree["bufferViews"][1:] = [{"buffer": 0, "byteOffset": 36, "byteLength": values.nbytes}]
        tree["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 1, 1, 1]}}]
        colours = load_mesh(written(tmp_path, "a.glb", glb(tree, binary + values.tobytes()))).colours
        assert colours is not None
        np.testing.assert_array_equal(colours, np.full((3, 3), expected))


def test_gltf_strips_strides_quantised_and_unindexed(tmp_path):
    points = np.array([[0, 0, 0, 9], [32767, 0, 0, 9], [0, 32767, 0, 9], [32767, 32767, 0, 9]], "<i2").tobytes()
    tree, _ = triangle_tree(extensionsRequired=["KHR_mesh_quantization"])
    tree["meshes"][0]["primitives"][0]["mode"] = 5
    tree["accessors"] = [{"bufferView": 0, "componentType": 5122, "normalized": True, "count": 4, "type": "VEC3"}]
    tree["bufferViews"] = [{"buffer": 0, "byteLength": 32, "byteStride": 8}]
    mesh = load_mesh(written(tmp_path, "a.glb", glb(tree, points)))
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [1, 1, 0])
    assert surface_area(mesh) == pytest.approx(1)
    assert (np.cross(*(corners(mesh)[:, i] - corners(mesh)[:, 0] for i in (1, 2)))[:, 2] > 0).all()


def test_gltf_buffers_inside_and_outside_the_folder(tmp_path):
    tree, binary = triangle_tree()
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    written(tmp_path, "secret.bin", binary)
    written(folder / "sub", "in side.bin", binary)
    os.symlink(tmp_path / "secret.bin", folder / "link.bin")
    inline = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    for uri in ("sub/in%20side.bin", "./sub/in side.bin", "sub/../sub/in%20side.bin", inline):
        tree["buffers"] = [{"byteLength": 36, "uri": uri}]
        assert len(load_mesh(written(folder, "a.gltf", json.dumps(tree))).faces) == 1
    outside = ["../secret.bin", "..%2fsecret.bin", "sub/../../secret.bin", str(tmp_path / "secret.bin"), "link.bin",
               "file:///etc/passwd", "http://127.0.0.1/a.bin", "https://example.org/a.bin", "..\\secret.bin",
               "C:\\a.bin", "//server/share/a.bin", "a\0.bin"]  # fmt: skip
    for uri in outside:
        tree["buffers"] = [{"byteLength": 36, "uri": uri}]
        refused(written(folder, "a.gltf", json.dumps(tree)), "own folder")
    tree["buffers"] = [{"byteLength": 36, "uri": "missing.bin"}]
    refused(written(folder, "a.gltf", json.dumps(tree)), "missing")


def test_real_models_keep_their_frame_and_colours(shared):
    manifest = json.loads((shared / "data" / "models" / "manifest.json").read_text())
    for entry in manifest["models"][::40]:
        mesh = load_mesh(shared / "data" / "models" / entry["file"])
        np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), entry["extent"], atol=1e-3)
        assert mesh.colours is not None
        assert len(mesh.faces) <= entry["faces"]


# --- what is repaired --------------------------------------------------------------------------------------------


def test_repairs_are_counted(tmp_path):
    cube = box()
    extra = np.concatenate([cube.vertices, cube.vertices, [[7, 7, 7]]])
    faces = np.concatenate([cube.faces[:6], cube.faces[6:] + 8, [[0, 1, 1], [0, 8, 1]], cube.faces[:1] + 8])
    rows = [f"v {x} {y} {z}" for x, y, z in extra] + ["f {} {} {}".format(*face) for face in faces[:, ::-1] + 1]
    mesh, report = load_mesh_with_report(written(tmp_path, "a.obj", "\n".join(rows)))
    assert (report.merged_vertices, report.degenerate_faces, report.duplicate_faces) == (8, 2, 1)
    assert (report.unreferenced_vertices, report.turned_faces, report.watertight) == (1, 12, True)
    assert signed_volume(mesh) == pytest.approx(1)
    assert len(mesh.vertices) == 8


def test_a_clean_mesh_is_not_touched(tmp_path):
    save_mesh(coloured(), tmp_path / "a.ply")
    mesh, report = load_mesh_with_report(tmp_path / "a.ply")
    assert (report.merged_vertices, report.degenerate_faces, report.turned_faces) == (0, 0, 0)
    np.testing.assert_array_equal(mesh.vertices, coloured().vertices)


def test_open_parts_and_single_triangles_are_welcome(tmp_path):
    save_mesh(Mesh(np.eye(3), np.array([[0, 1, 2]])), tmp_path / "a.glb")
    assert not load_mesh_with_report(tmp_path / "a.glb")[1].watertight
    assert not is_watertight(load_mesh(tmp_path / "a.glb"))


def test_strange_names(tmp_path):
    for name in ("ü 🚗\n.obj", "a.b.OBJ", " .obj", "x" * 240 + ".obj"):
        save_mesh(box(), tmp_path / name)
        assert len(load_mesh(tmp_path / name).faces) == 12


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.obj", b"", "empty"),
        ("a.obj", b" \n\n", "empty"),
        ("a.obj", b"# only\n# comments\n", "no faces"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n\nf 1 2 4\n", "line 5"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 -4\n", "line 4"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n", "line 4"),
        ("a.obj", b"v 0 0 0\nv 1 zero 0\n", "line 2"),
        ("a.obj", b"v 0 0\nf 1 1 1\n", "line 1"),
        ("a.obj", b"v 0 0 0\nf a b c\n", "line 2"),
        ("a.obj", b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", "1 of 3 vertices"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 inf 0\nf 1 2 3\n", "1 of 3 vertices"),
        ("a.obj", b"v 0 0 0\nv 1e300 0 0\nv 0 1 0\nf 1 2 3\n", "scale"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "area"),
        ("a.obj", b"<!DOCTYPE html><html></html>", "no faces"),
        ("a.off", b"OFF\n4000000000 4000000000 0\n", "limit"),
        ("a.off", b"OFF\n900000 1 0\n0 0 0\n", "claims"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n", "ends before"),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "names vertex 7"),
        ("a.off", b"hello", "start with OFF"),
        ("a.stl", bytes(80) + struct.pack("<I", 4_000_000_000) + bytes(50), "4,000,000,000"),
        ("a.stl", bytes(80) + struct.pack("<I", 0), "no faces"),
        ("a.stl", b"garbage", "STL"),
        ("a.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\nend_header\n", "claims"),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n0\n", "no faces"),
        ("a.ply", b"plywood", "PLY header"),
        ("a.glb", b"glTF", "ends after"),
        ("a.glb", b"garbage that is long enough", "not GLB"),
        ("a.glb", struct.pack("<4sII", b"glTF", 1, 20) + bytes(8), "version 1"),
        ("a.glb", struct.pack("<4sII", b"glTF", 2, 4000) + bytes(8), "cut off"),
        ("a.glb", b"PK\x03\x04" + bytes(40), "zip archive"),
        ("a.obj", b"\x1f\x8b" + bytes(40), "gzip archive"),
        ("a.gltf", b"[1, 2]", "asset"),
        ("a.gltf", b"{" * 100_000, "gltf"),
        ("a.gltf", b"[" * 100_000, "gltf"),
        ("a.gltf", b'{"asset": {"version": "1.0"}}', "version 1"),
    ],
)  # fmt: skip
def test_bad_files_are_one_line_each(tmp_path, name: str, content: bytes, words: str):
    refused(written(tmp_path, name, content), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"}]}, "beyond its buffer"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**9, "type": "VEC3"}]}, "limit"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": -3, "type": "VEC3"}]}, "claims -3"),
        ({"accessors": [{"componentType": 5126, "count": 3, "type": "VEC3"}]}, "sparse or empty"),
        ({"accessors": [{"bufferView": 0, "componentType": 5126, "count": 12, "type": "SCALAR"}]}, "glb"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 36, "byteOffset": 4}]}, "beyond its buffer"),
        ({"bufferViews": [{"buffer": 0, "byteLength": 36, "byteStride": -12}]}, "beyond its buffer"),
        ({"bufferViews": [{"buffer": 5, "byteLength": 36}]}, "damaged"),
        ({"nodes": [{"mesh": 0, "children": [0]}]}, "no tree"),
        ({"nodes": [{"mesh": 0, "children": [1, 1]}, {"mesh": 0}]}, "no tree"),
        ({"nodes": [{"mesh": 9}]}, "damaged"),
        ({"nodes": [{"mesh": 0, "scale": [float("nan"), 1, 1]}]}, "NaN"),
        ({"nodes": [{"mesh": 0, "scale": [0, 0, 0]}]}, "area"),
        ({"nodes": [{"mesh": 0, "rotation": [0, 0, 0, 0]}]}, "damaged"),
        ({"scenes": [{"nodes": []}]}, "no faces"),
        ({"extensionsRequired": ["KHR_draco_mesh_compression"]}, "draco"),
        ({"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 1}]}]}, "no faces"),
        ({"meshes": [{"primitives": [{"attributes": {}}]}]}, "damaged"),
    ],
)
def test_bad_gltf_trees(tmp_path, changes: dict, words: str):
    tree, binary = triangle_tree(**changes)
    refused(written(tmp_path, "a.glb", glb(tree, binary)), words)


def test_limits(tmp_path):
    save_mesh(icosphere(3), tmp_path / "a.glb")
    refused(tmp_path / "a.glb", "1,280 faces", "GB", "max_faces", max_faces=1000)
    for suffix in FORMATS[:3]:
        save_mesh(icosphere(3), tmp_path / f"a.{suffix}")
        refused(tmp_path / f"a.{suffix}", "max_faces", max_faces=1000)
        refused(tmp_path / f"a.{suffix}", "max_bytes", max_bytes=1000)


def test_many_nodes_of_one_mesh_meet_the_limit(tmp_path):
    tree, binary = triangle_tree(scenes=[{"nodes": list(range(2000))}], nodes=[{"mesh": 0}] * 2000)
    refused(written(tmp_path, "a.glb", glb(tree, binary)), "max_faces", max_faces=1000)


def mutate(data: bytes, seed: int) -> bytes:
    """Cut, flip bits of, splice, or overwrite a length field of a file; always the same for a seed."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data = data[: max(at, 1)]
        elif kind == 1:
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif kind == 2:
            start = rng.randrange(len(data))
            data = data[:at] + data[start : start + rng.randrange(64)] + data[at:]
        else:
            at -= at % 4
            data = data[:at] + struct.pack("<I", rng.choice([0, 1, 2**31 - 1, 2**32 - 1, len(data)])) + data[at + 4 :]
    return data


@pytest.mark.parametrize("suffix", ["obj", "off", "ply", "stl", "glb", "gltf"])
def test_any_bytes_give_a_sound_mesh_or_an_input_error(tmp_path, suffix: str):
    mesh, source = coloured(), tmp_path / f"source.{suffix}"
    if suffix == "off":
        source.write_text(trimesh.Trimesh(mesh.vertices, mesh.faces).export(file_type="off"))
    elif suffix == "gltf":
        tree, binary = triangle_tree()
        tree["buffers"][0]["uri"] = "data:;base64," + base64.b64encode(binary).decode()
        source.write_text(json.dumps(tree))
    else:
        save_mesh(mesh, source)
    data, path = source.read_bytes(), tmp_path / f"mutant.{suffix}"
    survived, messages = 0, []
    for seed in range(400):
        path.write_bytes(mutate(data, seed))
        try:
            loaded = load_mesh(path, max_faces=10_000)
        except InputError as error:
            messages.append(str(error))
            continue
        survived += 1
        assert np.isfinite(loaded.vertices).all()
        assert loaded.faces.min() >= 0
        assert loaded.faces.max() < len(loaded.vertices)
    assert 0 < survived < 400
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0x7F800000])
def test_positions_and_indices_that_are_no_numbers_are_refused(tmp_path: Path, bits: int) -> None:
    tree, positions = triangle_tree()
    wrong = struct.pack("<I", bits) + positions[4:]
    with pytest.raises(InputError, match="NaN or infinite"):
        load_mesh(written(tmp_path, "a.glb", glb(tree, wrong)))
    tree["accessors"].append({"bufferView": 1, "componentType": 5126, "count": 3, "type": "SCALAR"})
    tree["bufferViews"].append({"buffer": 0, "byteOffset": 36, "byteLength": 12})
    tree["buffers"][0]["byteLength"] = 48
    tree["meshes"][0]["primitives"][0]["indices"] = 1
    with pytest.raises(InputError, match="indices are float32"):
        load_mesh(written(tmp_path, "b.glb", glb(tree, positions + 3 * struct.pack("<I", bits))))
