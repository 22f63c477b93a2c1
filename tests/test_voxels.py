"""Voxel grids: turning against SciPy, voxelising against closed formulas and trimesh, surfaces always closed."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from monoform.data.procedural import make
from monoform.data.procedural.shapes import CATEGORIES
from monoform.errors import InputError, NumericError
from monoform.files.meshes import load_mesh
from monoform.meshes import (
    Mesh,
    box,
    concatenate,
    icosphere,
    is_watertight,
    is_winding_consistent,
    normalise,
    signed_volume,
)
from monoform.projection.warping import warp
from monoform.voxels import surface, voxelise, voxelise_closed, voxelise_shell, voxelise_solid
from shell_oracle import shell


def rotations(n: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(Rotation.random(n, random_state=seed).as_matrix())


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


# --- turning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [6, 7])
def test_identity_returns_the_grid(side: int):
    grid = torch.rand(2, side, side, side, dtype=torch.float64)
    torch.testing.assert_close(warp(grid, torch.eye(3, dtype=torch.float64).expand(2, 3, 3)), grid, rtol=0, atol=1e-14)


def test_quarter_turns_are_exact():
    grid = torch.rand(1, 5, 5, 5, dtype=torch.float64)
    for axis, dims in (("z", (1, 2)), ("y", (2, 0)), ("x", (0, 1))):
        R = torch.from_numpy(Rotation.from_euler(axis, 90, degrees=True).as_matrix())[None]
        # A turn from the first axis towards the second; the grid is indexed [z, y, x].
        expected = torch.rot90(grid[0], 1, {"z": (2, 1), "y": (0, 2), "x": (1, 0)}[axis])
        torch.testing.assert_close(warp(grid, R)[0], expected, rtol=0, atol=1e-12, msg=f"{axis} {dims}")


def test_warp_agrees_with_scipy():
    side = 9
    grid = np.random.default_rng(0).random((3, side, side, side))
    grid[:, [0, -1]] = grid[:, :, [0, -1]] = grid[:, :, :, [0, -1]] = 0
    R, t = rotations(3), torch.tensor([[0.0, 0, 0], [0.1, -0.2, 0.05], [0, 0, 0.3]], dtype=torch.float64)
    centres = (np.arange(side) + 0.5) / side - 0.5
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    moved = warp(torch.from_numpy(grid), R, t).numpy()
    for b in range(3):
        source = (np.stack([x, y, z], axis=-1) - t[b].numpy()) @ R[b].numpy()
        index = np.moveaxis((source + 0.5) * side - 0.5, -1, 0)[::-1]
        expected = map_coordinates(grid[b], index, order=1, mode="constant")
        np.testing.assert_allclose(moved[b], expected, atol=1e-12)


def test_content_moves_with_the_pose():
    ball = voxelise_solid(Mesh(icosphere(3).vertices * 0.12 + [0.2, -0.1, 0.15], icosphere(3).faces), 32)
    R, t = rotations(1, seed=4), torch.tensor([[0.05, 0.1, -0.05]], dtype=torch.float64)
    moved = warp(torch.from_numpy(ball.astype(float))[None], R, t)[0].numpy()
    index = np.stack(np.meshgrid(*[(np.arange(32) + 0.5) / 32 - 0.5] * 3, indexing="ij"), axis=-1)
    centre = (moved[..., None] * index).sum(axis=(0, 1, 2))[::-1] / moved.sum()
    np.testing.assert_allclose(centre, R[0].numpy() @ [0.2, -0.1, 0.15] + t[0].numpy(), atol=0.01)


def test_zeros_come_in_from_outside():
    shifted = warp(torch.ones(1, 4, 4, 4), torch.eye(3)[None], torch.tensor([[0.5, 0, 0]]))
    assert (shifted[..., :2] == 0).all()
    assert (shifted[..., 2:] == 1).all()


def test_gradients():
    grid = torch.rand(1, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    R = rotations(1, seed=1).requires_grad_()
    t = torch.full((1, 3), 0.03, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(warp, (grid, R, t))


# --- mesh to grid ------------------------------------------------------------------------------------------------


def test_solid_box_fills_exactly_its_cells():
    grid = voxelise_closed(box((0.5, 0.25, 0.75)), 16)
    assert grid.sum() == 8 * 4 * 12
    z, y, x = (np.flatnonzero(grid.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    assert [z.min(), z.max(), y.min(), y.max(), x.min(), x.max()] == [2, 13, 6, 9, 4, 11]


def test_shell_is_every_touched_cell_and_nothing_else():
    mesh = Mesh(icosphere(2).vertices * [0.4, 0.3, 0.2] + 0.013, icosphere(2).faces)
    shell = voxelise_shell(mesh, 12)
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), size=(len(mesh.faces), 300))
    points = np.einsum("fni,fij->fnj", weights, mesh.vertices[mesh.faces]).reshape(-1, 3)
    x, y, z = np.floor((points + 0.5) * 12).astype(int).T
    touched = np.zeros_like(shell)
    touched[z, y, x] = True
    assert not (touched & ~shell).any()
    centres = (np.argwhere(shell)[:, ::-1] + 0.5) / 12 - 0.5
    oracle = trimesh.Trimesh(mesh.vertices, mesh.faces)
    assert trimesh.proximity.closest_point_naive(oracle, centres)[1].max() <= 3**0.5 / 2 / 12 + 1e-4


def test_solid_holds_the_volume_of_a_ball():
    ball = Mesh(icosphere(4).vertices * 0.4, icosphere(4).faces)
    volume = 4 / 3 * np.pi * 0.4**3
    assert voxelise_closed(ball, 48).sum() / 48**3 == pytest.approx(volume, rel=0.01)
    solid, shell = voxelise_solid(ball, 48), voxelise_shell(ball, 48)
    assert (solid & shell).sum() == shell.sum()
    assert (solid.sum() - shell.sum() / 2) / 48**3 == pytest.approx(volume, rel=0.02)


def test_solid_fills_soups_that_parity_would_get_wrong():
    twice = concatenate([box((0.6, 0.6, 0.6)), box((0.6, 0.6, 0.6)), box((0.3, 0.3, 0.3))])
    np.testing.assert_array_equal(voxelise_solid(twice, 20), voxelise_solid(box((0.6, 0.6, 0.6)), 20))
    turned = twice.faces.copy()
    turned[::3] = turned[::3, ::-1]
    np.testing.assert_array_equal(voxelise_solid(Mesh(twice.vertices, turned), 20), voxelise_solid(twice, 20))


def test_closed_counts_overlaps_once_and_refuses_open_meshes():
    overlapping = concatenate([box((0.5, 0.5, 0.5)), box((0.5, 0.5, 0.5), (0.25, 0, 0))])
    assert voxelise_closed(overlapping, 16).sum() == 12 * 8 * 8
    with pytest.raises(InputError, match="not closed"):
        voxelise_closed(Mesh(box().vertices, box().faces[1:]), 8)


def test_a_hole_leaves_a_shell_and_a_crack_does_not():
    opened = Mesh(box((0.6, 0.6, 0.6)).vertices, box().faces[2:])
    assert voxelise_solid(opened, 20).sum() == voxelise_shell(opened, 20).sum()
    left, right = box((0.3, 0.6, 0.6), (-0.155, 0, 0)), box((0.3, 0.6, 0.6), (0.155, 0, 0))
    # Two halves without the walls between them, a fifth of a cell apart.
    halves = concatenate([Mesh(h.vertices, h.faces[~(np.abs(h.vertices[h.faces, 0]) < 0.01).all(axis=1)])
                          for h in (left, right)])  # fmt: skip
    solid = voxelise_solid(halves, 20)
    assert solid[10, 10, 10]


def test_parts_outside_the_cube_are_left_out():
    assert voxelise_shell(box((4, 4, 4)), 8).sum() == 0
    tube = voxelise_solid(box((4, 0.5, 0.5)), 8)
    assert tube[2, 3].all()
    assert not tube[4, 4].any(), "a shape that leaves the cube is open there"
    for side in (0, 513):
        with pytest.raises(InputError, match="side"):
            voxelise_shell(box(), side)


def test_degenerate_faces_are_survived():
    spike = Mesh(np.array([[-0.3, 0, 0], [0.3, 0, 0], [0, 0, 0]]), np.array([[0, 1, 2], [0, 0, 0]]))
    assert 5 <= voxelise_shell(spike, 10).sum() <= 12


@pytest.mark.parametrize("category", CATEGORIES)
def test_shells_of_shapes_are_those_of_the_specification(category: str):
    for seed in range(2):
        mesh = normalise(make(category, seed))[0]
        for side in (1, 7, 32):
            np.testing.assert_array_equal(voxelise_shell(mesh, side), shell(mesh, side))


def soup(rng: np.random.Generator, places: np.ndarray) -> Mesh:
    """Twenty faces between any of the places: open, crossing, some without area."""
    return Mesh(places, rng.integers(0, len(places), (20, 3)))


@pytest.mark.parametrize("seed", range(12))
def test_shells_of_soups_are_those_of_the_specification(seed: int):
    """Loose in and around the cube, on the borders and the middles of cells, where only the shift decides, and huge."""
    rng = np.random.default_rng(seed)
    side = int(rng.integers(2, 17))
    for places in (
        rng.uniform(-0.7, 0.7, (30, 3)),
        rng.integers(-1, side + 2, (30, 3)) / side - 0.5,
        rng.integers(-2, 2 * side + 3, (30, 3)) / (2 * side) - 0.5,
        rng.normal(0.0, 3.0, (3, 3)),
    ):
        mesh = soup(rng, places)
        np.testing.assert_array_equal(voxelise_shell(mesh, side), shell(mesh, side))


@pytest.mark.parametrize("turn", ["none", "about one axis", "about two"])
def test_shells_of_boxes_on_the_borders_of_cells_are_those_of_the_specification(turn: str):
    degrees = {"none": [0, 0], "about one axis": [0, 45], "about two": [45, 45]}[turn]
    R = Rotation.from_euler("xz", degrees, degrees=True).as_matrix()
    for extents in [(k / 8,) * 3 for k in (1, 2, 4, 6)] + [(4, 0.5, 0.5)]:
        for side in (8, 16):
            mesh = Mesh(box(extents).vertices @ R.T, box().faces)
            np.testing.assert_array_equal(voxelise_shell(mesh, side), shell(mesh, side))


def test_faces_far_larger_than_the_cube():
    plane = Mesh(np.array([[-1e7, -1e7, 0.01], [1e7, -1e7, 0.01], [0, 2e7, 0.01]]), np.array([[0, 1, 2]]))
    expected = np.zeros((16, 16, 16), bool)
    expected[8] = True
    np.testing.assert_array_equal(voxelise_shell(plane, 16), expected)
    for beyond in ([0, 0, 1e30], [-1e30, 0, 0], [0, 0.6, 0]):
        assert not voxelise_shell(Mesh(plane.vertices[:, [1, 2, 0]] * 1e-7 + beyond, plane.faces), 16).any()


def test_the_kinds():
    mesh = box((0.5, 0.5, 0.5))
    np.testing.assert_array_equal(voxelise(mesh, 12, "solid"), voxelise_solid(mesh, 12))
    np.testing.assert_array_equal(voxelise(mesh, 12, "shell"), voxelise_shell(mesh, 12))
    with pytest.raises(InputError, match="kind 'hollow'; give solid or shell"):
        voxelise(mesh, 12, "hollow")


def test_who_does_not_voxelise_waits_for_no_compiler():
    code = "import sys, monoform.voxels; sys.exit(bool({'torch', 'numba'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# --- grid to mesh ------------------------------------------------------------------------------------------------


def assert_closed(mesh: Mesh | None):
    assert mesh is not None
    assert is_watertight(mesh)
    assert is_winding_consistent(mesh)
    assert signed_volume(mesh) > 0
    assert trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).is_volume
    assert np.abs(mesh.vertices).max() <= 0.5 + 1e-6


@given(st.integers(1, 7), st.floats(0.01, 1.0), st.integers(0, 10**6))
def test_binary_grids_round_trip(side: int, density: float, seed: int):
    grid = np.random.default_rng(seed).random((side, side, side)) < density
    grid.flat[seed % grid.size] = True
    found = surface(grid)
    assert_closed(found.mesh)
    assert found.status == ("full" if grid.all() else "ok")
    assert found.mesh is not None
    assert iou(voxelise_closed(found.mesh, side), grid) >= 0.9


@given(arrays.arrays(np.float32, (4, 4, 4), elements=st.sampled_from([0, 0.25, 0.4999999, 0.5, 0.50001, 0.75, 1, 50])))
def test_values_at_and_near_the_level_do_not_pinch(grid: np.ndarray):
    found = surface(grid)
    if (grid >= 0.5).any():
        assert_closed(found.mesh)
    else:
        assert found.status == "empty"


def test_cells_that_touch_along_a_diagonal():
    for other in ([1, 1, 0], [1, 1, 1]):
        grid = np.zeros((4, 4, 4), bool)
        grid[1, 1, 1] = grid[tuple(np.array([1, 1, 1]) + other)] = True
        found = surface(grid)
        assert_closed(found.mesh)
        assert found.mesh is not None
        np.testing.assert_array_equal(voxelise_closed(found.mesh, 4), grid)


def test_empty_full_and_broken_grids():
    empty, full = surface(np.zeros((4, 4, 4))), surface(np.ones((4, 4, 4)))
    assert empty.mesh is None
    assert (empty.status, full.status) == ("empty", "full")
    assert "lower the level" in empty.warning
    assert "raise the level" in full.warning
    assert_closed(full.mesh)
    assert full.mesh is not None
    np.testing.assert_allclose(np.abs(full.mesh.vertices).max(axis=0), 0.5, atol=1e-6)
    for bad in (np.nan, np.inf):
        with pytest.raises(NumericError):
            surface(np.full((3, 3, 3), bad))


def test_surface_of_a_smooth_field_is_accurate():
    z, y, x = np.meshgrid(*[(np.arange(32) + 0.5) / 32 - 0.5] * 3, indexing="ij")
    found = surface(0.3 - np.sqrt((x - 0.1) ** 2 + y**2 + (z + 0.05) ** 2), level=0.0)
    assert_closed(found.mesh)
    assert found.mesh is not None
    radius = np.linalg.norm(found.mesh.vertices - [0.1, 0, -0.05], axis=1)
    np.testing.assert_allclose(radius, 0.3, atol=2e-3)


def test_real_meshes_become_solids_and_closed_surfaces(shared):
    for model in ("chair/basemesh__office_chair", "car/gazebo_models__polaris", "bottle/basemesh__wine_bottle"):
        mesh = normalise(load_mesh(shared / "data" / "models" / "models" / f"{model}.glb"))[0]
        solid = voxelise_solid(mesh, 32)
        found = surface(solid)
        assert_closed(found.mesh)
        assert found.mesh is not None
        assert iou(voxelise_closed(found.mesh, 32), solid) >= 0.99
    assert solid.sum() > 1.5 * voxelise_shell(mesh, 32).sum()
