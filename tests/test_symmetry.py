"""Symmetry groups of shapes whose group is known, in any pose and tessellation, and of real meshes."""

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh, box, concatenate, icosphere
from monoform.symmetry import (
    SymmetryGroup,
    closest_equivalent,
    detect_symmetry,
    equivalent_translation,
    rotation_error,
)

POSE = Rotation.from_euler("zyx", [0.7, -0.4, 1.9]).as_matrix()


def from_trimesh(mesh: trimesh.Trimesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces)


def hull(points: list[list[float]]) -> Mesh:
    return from_trimesh(trimesh.convex.convex_hull(np.array(points, float)))


def cylinder(sections: int) -> Mesh:
    return from_trimesh(trimesh.creation.cylinder(1, 3, sections=sections))


def cone(sections: int) -> Mesh:
    return from_trimesh(trimesh.creation.cone(1, 2, sections=sections))


def table() -> Mesh:
    legs = [box((0.1, 1, 0.1), (x, -0.5, z)) for x in (-0.9, 0.9) for z in (-0.9, 0.9)]
    return concatenate([box((2, 0.1, 2), (0, 0.05, 0)), *legs])


def car() -> Mesh:
    """A box body, a cabin towards the back, four wheels: one mirror plane (x), no rotation."""
    wheels = [box((0.2, 0.5, 0.5), (x, -0.4, z)) for x in (-0.7, 0.7) for z in (-1.2, 1.2)]
    return concatenate([box((1.6, 0.6, 4)), box((1.4, 0.5, 1.8), (0, 0.5, 0.6)), *wheels])


def unequal(mesh: Mesh, seed: int = 0) -> Mesh:
    """The same surface with a random third of its faces split in four, twice: a tessellation without symmetry."""
    vertices, faces = mesh.vertices, mesh.faces
    for step in range(2):
        chosen = np.flatnonzero(np.random.default_rng(seed + step).random(len(faces)) < 0.34)
        vertices, faces = trimesh.remesh.subdivide(vertices, faces, chosen)
    return Mesh(vertices, faces)


SHAPES = {
    "none": (car(), 1, 1),
    "C2": (concatenate([box((2, 0.2, 1)), box((0.2, 1, 0.2), (0, 0.6, 0))]), 2, 2),
    "C4": (table(), 4, 4),
    "C5": (cone(5), 5, 5),
    "D2": (box((1, 2, 3)), 4, 3),
    "D3": (cylinder(3), 6, 4),
    "D4": (box((1, 1, 2)), 8, 5),
    "D6": (cylinder(6), 12, 7),
    "T": (hull([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]), 12, 6),
    "O": (box(), 24, 9),
    "I": (icosphere(0), 60, 15),
    "axis": (cone(64), 1, None),
    "axis+flip": (cylinder(64), 2, None),
    "sphere": (icosphere(3), 1, None),
}


def is_closed(rotations: np.ndarray) -> bool:
    products = (rotations[:, None] @ rotations).reshape(-1, 1, 3, 3)
    return bool((np.abs(products - rotations).max(axis=(2, 3)).min(axis=1) < 1e-6).all())


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("moved", [False, True])
def test_known_groups(name: str, moved: bool):
    mesh, order, mirrors = SHAPES[name]
    group = detect_symmetry(Mesh(mesh.vertices @ POSE.T * 3 + [5, -2, 1], mesh.faces) if moved else mesh)
    assert group.name == name
    assert len(group.rotations) == order
    assert is_closed(group.rotations)
    np.testing.assert_allclose(group.rotations[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(group.rotations), 1)
    if mirrors is not None and name != "I":
        assert len(group.mirror_normals) == mirrors


@pytest.mark.parametrize("name", ["none", "C4", "D2", "D6", "O", "axis", "sphere"])
def test_tessellation_does_not_matter(name: str):
    mesh = SHAPES[name][0]
    assert detect_symmetry(unequal(mesh)).name == name
    opened = unequal(mesh)
    keep = np.random.default_rng(1).random(len(opened.faces)) > 0.01 if len(opened.faces) > 500 else slice(None)
    assert detect_symmetry(Mesh(opened.vertices, opened.faces[keep])).name == name


def test_axis_and_centre_are_in_the_frame_of_the_mesh():
    mesh = cone(64)
    group = detect_symmetry(Mesh(mesh.vertices @ POSE.T * 3 + [5, -2, 1], mesh.faces))
    assert group.axis is not None
    assert abs(group.axis @ POSE[:, 2]) > np.cos(np.radians(1.0))
    offset = (group.centre - [5, -2, 1]) @ POSE
    np.testing.assert_allclose(offset[:2], 0, atol=1e-2)


def test_every_rotation_maps_the_shape_onto_itself():
    for name in ("C4", "D3", "O"):
        mesh = SHAPES[name][0]
        group = detect_symmetry(mesh)
        for rotation in group.rotations:
            moved = (mesh.vertices - group.centre) @ rotation.T + group.centre
            distance = np.linalg.norm(moved[:, None] - mesh.vertices, axis=-1).min(axis=1)
            assert distance.max() < 0.02 * np.ptp(mesh.vertices)


def test_a_handle_breaks_the_axis_but_not_the_mirror():
    mug = concatenate([cylinder(64), box((0.6, 0.2, 1.2), (1.3, 0, 0))])
    group = detect_symmetry(mug)
    assert not group.continuous
    assert any(abs(normal[1]) > 0.99 for normal in group.mirror_normals)


def test_flat_and_tiny_meshes_are_survived():
    triangle = Mesh(np.eye(3), np.array([[0, 1, 2]]))
    assert detect_symmetry(triangle).name in ("D3", "D6")
    plate = Mesh(np.array([[0.0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))
    assert detect_symmetry(plate).name == "D2"


def test_same_mesh_same_group():
    first, second = detect_symmetry(table()), detect_symmetry(table())
    np.testing.assert_array_equal(first.rotations, second.rotations)
    np.testing.assert_array_equal(first.mirror_normals, second.mirror_normals)


# --- errors modulo a group ---------------------------------------------------------------------------------------

Y = np.array([0.0, 1.0, 0.0])
GROUPS = {
    "none": SymmetryGroup("none"),
    "D3": SymmetryGroup("D3", Rotation.create_group("D3").as_matrix(), np.array([0.0, 0, 1])),
    "O": SymmetryGroup("O", Rotation.create_group("O").as_matrix()),
    "axis": SymmetryGroup("axis", axis=Y, centre=np.array([1.0, 2, 3])),
    "axis+flip": SymmetryGroup(
        "axis+flip", np.stack([np.eye(3), np.diag([1.0, -1, -1])]), Y, centre=np.array([1.0, 2, 3])
    ),
    "sphere": SymmetryGroup("sphere"),
}


def turns_of(group: SymmetryGroup, seed: int) -> np.ndarray:
    """A random element of the group."""
    rng = np.random.default_rng(seed)
    if group.name == "sphere":
        return Rotation.random(random_state=seed).as_matrix()
    turned = group.rotations[rng.integers(len(group.rotations))]
    if group.axis is not None and group.continuous:
        turned = turned @ Rotation.from_rotvec(group.axis * rng.uniform(-4, 4)).as_matrix()
    return turned


@pytest.mark.parametrize("name", GROUPS)
@given(seed=st.integers(0, 10_000))
def test_error_ignores_the_group_and_only_that(name: str, seed: int):
    group = GROUPS[name]
    R = Rotation.random(random_state=seed).as_matrix()
    other = Rotation.random(random_state=seed + 1).as_matrix()
    np.testing.assert_allclose(rotation_error(R @ turns_of(group, seed), R, group), 0, atol=1e-6)
    error = rotation_error(R, other, group)
    for a, b in ((other, R), (R @ turns_of(group, seed), other), (R, other @ turns_of(group, seed))):
        np.testing.assert_allclose(rotation_error(a, b, group), error, atol=1e-6)
    plain = (Rotation.from_matrix(R).inv() * Rotation.from_matrix(other)).magnitude()
    assert error <= plain + 1e-9
    if name == "none":
        np.testing.assert_allclose(error, plain, atol=1e-7)


@given(seed=st.integers(0, 10_000))
def test_axis_error_is_the_angle_between_the_axes(seed: int):
    R_a, R_b = Rotation.random(2, random_state=seed).as_matrix()
    angle = np.arccos(np.clip((R_a @ Y) @ (R_b @ Y), -1, 1))
    np.testing.assert_allclose(rotation_error(R_a, R_b, GROUPS["axis"]), angle, atol=1e-6)
    np.testing.assert_allclose(rotation_error(R_a, R_b, GROUPS["axis+flip"]), min(angle, np.pi - angle), atol=1e-6)


@pytest.mark.parametrize("name", GROUPS)
def test_closest_equivalent_is_equivalent_and_closest(name: str):
    group = GROUPS[name]
    R, R_ref = Rotation.random(50, random_state=1).as_matrix().reshape(2, 25, 3, 3)
    nearest = closest_equivalent(R, R_ref, group)
    np.testing.assert_allclose(np.linalg.det(nearest), 1)
    np.testing.assert_allclose(rotation_error(nearest, R, group), 0, atol=1e-6)
    distance = Rotation.from_matrix(nearest.swapaxes(1, 2) @ R_ref).magnitude()
    np.testing.assert_allclose(distance, rotation_error(R, R_ref, group), atol=1e-6)
    for seed in range(50):
        other = Rotation.from_matrix((R @ turns_of(group, seed)).swapaxes(1, 2) @ R_ref).magnitude()
        assert (distance <= other + 1e-7).all()


def test_errors_broadcast():
    R = Rotation.random(6, random_state=0).as_matrix().reshape(2, 3, 3, 3)
    for group in GROUPS.values():
        assert rotation_error(R, np.eye(3), group).shape == (2, 3)


def test_equivalent_translation_puts_the_mesh_in_the_same_place():
    mesh = from_trimesh(trimesh.creation.cone(1, 2, sections=64))
    group = detect_symmetry(Mesh(mesh.vertices + [3, 0, 0], mesh.faces))
    R, R_new = Rotation.random(random_state=0).as_matrix(), None
    R_new = closest_equivalent(R, Rotation.random(random_state=1).as_matrix(), group)
    t = equivalent_translation(R, np.array([0.0, 0, 9]), R_new, group)
    tip = np.array([3.0, 0, 2])
    np.testing.assert_allclose(R_new @ tip + t, R @ tip + [0, 0, 9], atol=0.02)


# --- real meshes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("bottle/basemesh__wine_bottle", "axis"),
        ("bottle/basemesh__pill_bottle", "axis"),
        ("bottle/pmndrs_market__bottle-oil", "C4"),
        ("mug/basemesh__mug", "none"),
        ("table/pal_gazebo__kitchen_table", "C2"),
        ("chair/kaykit_furniture__chair_stool_wood", "C4"),
        ("lamp/quaternius_showcase__Light_Cube2", "C3"),
        ("aeroplane/ysflight__a300", "none"),
        ("tvmonitor/basemesh__computer_screen", "none"),
    ],
)
def test_real_meshes(shared, model: str, name: str):
    group = detect_symmetry(load_mesh(shared / "data" / "models" / "models" / f"{model}.glb"))
    assert group.name == name
    assert len(group.mirror_normals) > 0
    if group.axis is not None:
        assert abs(group.axis[1]) > 0.99


@pytest.mark.parametrize("category", ["car", "aeroplane", "chair"])
def test_vehicles_and_chairs_have_a_mirror_and_no_rotation(shared, category: str):
    files = sorted((shared / "data" / "models" / "models" / category).glob("*.glb"))[::6][:10]
    groups = [detect_symmetry(load_mesh(file)) for file in files]
    # Some chairs are stools, which are symmetric.
    assert sum(group.name == "none" for group in groups) >= len(groups) - 2
    assert sum(any(abs(normal[0]) > 0.99 for normal in group.mirror_normals) for group in groups) >= len(groups) - 2
