"""Meshes as arrays: compared with closed formulas and with trimesh."""

import subprocess
import sys

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st

from monoform import meshes
from monoform.errors import InputError, NumericError
from monoform.meshes import Mesh


def soup(mesh: Mesh) -> Mesh:
    """The same triangles, each with vertices of its own."""
    return Mesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(3 * len(mesh.faces)).reshape(-1, 3))


def in_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_starts_without_torch():
    code = "import sys, monoform.meshes, monoform.symmetry, monoform.files.meshes, monoform.files.voxels; "
    code += "assert not {'torch', 'trimesh', 'skimage'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_mesh_checks_its_arrays():
    triangle = np.eye(3)
    for vertices, faces, error in [
        (triangle[:, :2], [[0, 1, 2]], InputError),
        (triangle, [[0, 1]], InputError),
        (triangle, [[0.0, 1.0, 2.0]], InputError),
        (triangle, [[0, 1, 3]], InputError),
        (triangle, [[0, 1, -1]], InputError),
        (triangle * np.nan, [[0, 1, 2]], NumericError),
    ]:
        with pytest.raises(error, match=r"^[^\n]+$"):
            Mesh(vertices, np.array(faces))
    with pytest.raises(InputError):
        Mesh(triangle, np.array([[0, 1, 2]]), np.zeros((2, 3)))
    mesh = Mesh(triangle.astype(np.float32), np.array([[0, 1, 2]]))
    assert mesh.vertices.dtype == np.float64
    assert mesh.faces.dtype == np.int32


def test_box_and_icosphere_have_known_sizes():
    box = meshes.box((1, 2, 3), (4, 5, 6))
    assert meshes.surface_area(box) == pytest.approx(22)
    assert meshes.signed_volume(box) == pytest.approx(6)
    np.testing.assert_allclose(meshes.bounds(box.vertices), [[3.5, 4, 4.5], [4.5, 6, 7.5]])
    sphere = meshes.icosphere(4, radius=2.0)
    assert len(sphere.faces) == 20 * 4**4
    assert meshes.signed_volume(sphere) == pytest.approx(4 / 3 * np.pi * 8, rel=5e-3)
    for mesh in (box, sphere):
        assert meshes.is_watertight(mesh)
        assert meshes.is_winding_consistent(mesh)
        assert in_trimesh(mesh).is_volume


@given(st.floats(0.01, 100), st.tuples(*[st.floats(-50, 50)] * 3))
def test_normalise_centres_the_box_and_can_be_undone(size: float, shift: tuple[float, float, float]):
    mesh = meshes.box((size, 2 * size, 0.5 * size), shift)
    unit, similarity = meshes.normalise(mesh)
    np.testing.assert_allclose(meshes.bounds(unit.vertices).sum(axis=0), 0, atol=1e-9)
    assert meshes.diagonal(unit.vertices) == pytest.approx(1)
    np.testing.assert_allclose(similarity.inverse().apply(unit.vertices), mesh.vertices, atol=1e-9 * (100 + size))
    np.testing.assert_allclose(similarity.apply(mesh.vertices), unit.vertices)


def test_normalise_refuses_a_point():
    with pytest.raises(InputError, match="one point"):
        meshes.normalise(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))


def test_oriented_box_finds_a_turned_box():
    turn = trimesh.transformations.random_rotation_matrix(np.array([0.1, 0.4, 0.8]))[:3, :3]
    box = meshes.box((1, 2, 3))
    axes, extents, centre = meshes.oriented_box(box.vertices @ turn.T + [1, 2, 3])
    np.testing.assert_allclose(sorted(extents), [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(centre, [1, 2, 3], atol=1e-6)
    np.testing.assert_allclose(np.abs(axes.T @ turn).max(axis=0), 1, atol=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)


def test_normals_agree_with_trimesh(rng):
    mesh = meshes.icosphere(2)
    mesh = Mesh(mesh.vertices * [1, 2, 3] + 0.05 * rng.normal(size=mesh.vertices.shape), mesh.faces)
    oracle = in_trimesh(mesh)
    np.testing.assert_allclose(meshes.face_normals(mesh.vertices, mesh.faces), oracle.face_normals, atol=1e-9)
    np.testing.assert_allclose(meshes.face_areas(mesh.vertices, mesh.faces), oracle.area_faces)
    weighted = trimesh.geometry.weighted_vertex_normals(
        len(mesh.vertices), mesh.faces, oracle.face_normals, np.tile(oracle.area_faces[:, None], 3)
    )
    np.testing.assert_allclose(meshes.vertex_normals(mesh.vertices, mesh.faces), weighted, atol=1e-9)


def test_normals_of_degenerate_faces_are_zero_not_nan():
    vertices, faces = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [5, 5, 5]]), np.array([[0, 1, 2], [0, 0, 1]])
    assert (meshes.face_normals(vertices, faces) == 0).all()
    assert (meshes.vertex_normals(vertices, faces) == 0).all()


def test_edges_and_laplacian():
    box = meshes.box()
    assert len(meshes.edges(box.faces)) == 18
    laplacian = meshes.laplacian(box.faces, 9)
    dense = laplacian.toarray()
    np.testing.assert_allclose(dense.sum(axis=1), 0, atol=1e-12)
    assert (dense[8] == 0).all()
    neighbours = {tuple(edge) for edge in meshes.edges(box.faces).tolist()}
    first = [b for a, b in neighbours if a == 0] + [a for a, b in neighbours if b == 0]
    np.testing.assert_allclose((laplacian @ np.append(box.vertices, [[9, 9, 9]], axis=0))[0],
                               box.vertices[0] - box.vertices[first].mean(axis=0))  # fmt: skip


def test_samples_lie_on_the_surface_and_spread_by_area(rng):
    mesh = meshes.concatenate([meshes.box((1, 1, 1)), meshes.box((3, 3, 3), (10, 0, 0))])
    points, face = meshes.sample_faces(mesh, 5000, rng)
    distance = np.einsum("ni,ni->n", points - mesh.vertices[mesh.faces[face, 0]],
                         meshes.face_normals(mesh.vertices, mesh.faces)[face])  # fmt: skip
    np.testing.assert_allclose(distance, 0, atol=1e-12)
    assert (points[:, 0] > 5).mean() == pytest.approx(0.9, abs=0.01)
    again = meshes.sample_surface(mesh, 5000, np.random.default_rng(0))
    np.testing.assert_array_equal(points, again)
    with pytest.raises(InputError, match="no area"):
        meshes.sample_surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 5, rng)


def test_watertight_looks_at_positions_not_at_indices():
    sphere = meshes.icosphere(1)
    assert meshes.is_watertight(soup(sphere))
    assert not meshes.is_watertight(Mesh(sphere.vertices, sphere.faces[1:]))
    assert not meshes.is_watertight(Mesh(sphere.vertices, sphere.faces[:0]))


def test_orient_mends_every_mixture_of_windings(rng):
    parts = meshes.concatenate([meshes.box(), meshes.icosphere(2), meshes.box((2, 2, 2), (5, 0, 0))])
    parts = Mesh(parts.vertices + np.repeat([[0, 0, 0], [3, 0, 0], [0, 0, 0]], [8, 162, 8], axis=0), parts.faces)
    volume = meshes.signed_volume(parts)
    for share in (0.1, 0.5, 1.0):
        turned = rng.random(len(parts.faces)) < share
        mixed = Mesh(parts.vertices, np.where(turned[:, None], parts.faces[:, ::-1], parts.faces))
        mended = meshes.orient(soup(mixed))
        assert meshes.is_winding_consistent(mended)
        assert meshes.signed_volume(mended) == pytest.approx(volume)


def test_orient_keeps_a_cavity_and_an_open_surface():
    outer, inner = meshes.box((2, 2, 2)), meshes.box()
    hollow = meshes.concatenate([outer, Mesh(inner.vertices, inner.faces[:, ::-1])])
    assert meshes.signed_volume(meshes.orient(hollow)) == pytest.approx(7)
    inside_out = Mesh(hollow.vertices, hollow.faces[:, ::-1])
    assert meshes.signed_volume(meshes.orient(inside_out)) == pytest.approx(7)
    opened = Mesh(outer.vertices, outer.faces[1:, ::-1])
    assert meshes.orient(opened) is opened


def test_clean_removes_and_counts():
    box = meshes.box()
    vertices = np.concatenate([box.vertices, [[9, 9, 9]], box.vertices[:1]])
    faces = np.concatenate([box.faces, box.faces[:2, [1, 2, 0]], box.faces[:1, ::-1], [[0, 0, 1], [0, 9, 1]]])
    cleaned, counts = meshes.clean(Mesh(vertices, faces, np.full((10, 3), 7)))
    assert counts == meshes.CleanCounts(degenerate_faces=2, duplicate_faces=3, unreferenced_vertices=2)
    np.testing.assert_array_equal(cleaned.vertices[cleaned.faces], box.vertices[box.faces])
    assert cleaned.colours is not None
    assert cleaned.colours.shape == (8, 3)
    assert meshes.clean(cleaned)[1] == meshes.CleanCounts(0, 0, 0)


def test_pad_fills_up_with_nothing_to_see():
    small, large = meshes.box(), meshes.icosphere(1)
    vertices, faces = meshes.pad([small, large])
    assert vertices.shape == (2, len(large.vertices), 3)
    assert faces.shape == (2, len(large.faces), 3)
    assert (vertices[0, : len(small.vertices)] == small.vertices).all()
    assert (vertices[0, len(small.vertices) :] == small.vertices[0]).all()
    assert (faces[0, : len(small.faces)] == small.faces).all()
    assert (faces[0, len(small.faces) :] == -1).all()
    assert (faces[1] == large.faces).all()


def test_concatenate_makes_uncoloured_parts_grey():
    red = Mesh(np.eye(3), np.array([[0, 1, 2]]), np.tile([255, 0, 0], (3, 1)))
    both = meshes.concatenate([meshes.box(), red])
    assert both.colours is not None
    assert both.colours[0].tolist() == [meshes.UNCOLOURED] * 3
    assert both.colours[-1].tolist() == [255, 0, 0]
    assert both.faces.max() == len(both.vertices) - 1


def test_decimate_keeps_the_shape_of_a_soup():
    sphere = soup(meshes.icosphere(5))
    smaller = meshes.decimate(sphere, 12)
    assert len(smaller.faces) < 0.1 * len(sphere.faces)
    assert meshes.surface_area(smaller) == pytest.approx(meshes.surface_area(sphere), rel=0.04)
    assert meshes.diagonal(smaller.vertices) == pytest.approx(meshes.diagonal(sphere.vertices), rel=0.03)
    box = meshes.decimate(meshes.box((1, 2, 3)), 8)
    np.testing.assert_allclose(meshes.bounds(box.vertices), meshes.bounds(meshes.box((1, 2, 3)).vertices), atol=1e-9)


def test_decimate_averages_colours_and_never_vanishes():
    sphere = meshes.icosphere(3)
    coloured = Mesh(sphere.vertices, sphere.faces, np.full(sphere.vertices.shape, 80))
    colours = meshes.decimate(coloured, 4).colours
    assert colours is not None
    assert (colours == 80).all()
    tiny = Mesh(np.eye(3) * [1, 1e-3, 1e-3], np.array([[0, 1, 2]]))
    assert len(meshes.decimate(tiny, 1).faces) == 1
