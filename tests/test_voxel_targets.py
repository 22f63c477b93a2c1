"""Voxel targets: volumes that are known, axes and sides that cannot be swapped, and files that say how they were made."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from monoform.data.procedural import make
from monoform.data.voxel_targets import KINDS, VoxelTarget, load_target, make_target, random_scale, save_target
from monoform.errors import InputError, SchemaError
from monoform.files.voxels import load_voxels, save_voxels
from monoform.meshes import Mesh, bounds, box, concatenate


@pytest.mark.parametrize("side", [30, 32])
def test_a_box_has_its_volume(side: int) -> None:
    # Faces at the middles of cells: 11, 7 and 5 cells along x, y and z.
    cells = np.array([10.0, 6.0, 4.0])
    mesh = box(cells / side, centre=np.full(3, 0.5 / side))
    solid, shell = (make_target(mesh, side, kind).grid for kind in KINDS)
    assert np.ptp(np.argwhere(solid), axis=0).tolist() == [4, 6, 10]
    assert solid.sum() == 11 * 7 * 5
    assert shell.sum() == 11 * 7 * 5 - 9 * 5 * 3


@pytest.mark.parametrize("category", ["bottle", "bus", "car"])
def test_solid_is_the_shell_and_more(category: str) -> None:
    mesh = make(category, 1)
    solid, shell = (make_target(mesh, 32, kind, fill=0.9).grid for kind in KINDS)
    assert (solid | shell).sum() == solid.sum() > 1.1 * shell.sum()
    assert shell.any()


def asymmetric() -> Mesh:
    """Three bars of different lengths from one corner: the longest to +x, the next to +y, the shortest to -z."""
    lengths, thick = (0.45, 0.3, 0.2), 0.04
    bars = []
    for axis, (length, sense) in enumerate(zip(lengths, (1.0, 1.0, -1.0))):
        extents, centre = np.full(3, thick), np.zeros(3)
        extents[axis], centre[axis] = length, sense * length / 2.0
        bars.append(box(extents, centre))
    return concatenate(bars)


def test_axes_are_z_y_x_and_nothing_is_mirrored() -> None:
    q = 32
    grid = make_target(asymmetric(), q, "solid").grid
    z, y, x = (np.flatnonzero(grid.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1)))
    middle = q // 2
    assert x.max() == int((0.45 + 0.5) * q)
    assert y.max() == int((0.3 + 0.5) * q)
    assert z.min() == int((-0.2 + 0.5) * q)
    for low in (middle - x.min(), middle - y.min(), z.max() - middle + 1):
        assert low <= 2
    assert grid[middle, middle, x.max()]
    assert grid[middle, y.max(), middle]
    assert grid[z.min(), middle, middle]


@pytest.mark.parametrize("fill", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_fill_is_the_part_of_the_side_that_is_taken(fill: float, kind: str) -> None:
    mesh = Mesh(7.0 * make("boat", 0).vertices + (3.0, -2.0, 5.0), make("boat", 0).faces)
    target = make_target(mesh, 30, kind, fill=fill)
    low, high = bounds(np.argwhere(target.grid))
    np.testing.assert_allclose(low + high, 29.0, atol=1.0)
    assert (high - low).max() + 1 == pytest.approx(30 * fill, abs=1.01)
    placed = target.object_to_grid.apply(mesh.vertices)
    assert np.ptp(placed, axis=0).max() == pytest.approx(fill, rel=1e-5)
    np.testing.assert_allclose(sum(bounds(placed)), 0.0, atol=1e-12)


def test_a_full_grid_keeps_the_faces_at_its_border() -> None:
    grid = make_target(box(), 8, "shell", fill=1.0).grid
    assert grid.sum() == 8**3 - 6**3
    assert make_target(box(), 8, "solid", fill=1.0).grid.all()


def test_without_fill_the_mesh_stands_as_it_is_and_scale_is_recorded() -> None:
    mesh = make("car", 3)
    plain, small = make_target(mesh, 32, "solid"), make_target(mesh, 32, "solid", scale=0.5)
    assert plain.scale == 1.0
    assert small.scale == 0.5
    np.testing.assert_array_equal(plain.offset, 0.0)
    halved = make_target(Mesh(0.5 * mesh.vertices, mesh.faces), 32, "solid")
    np.testing.assert_array_equal(small.grid, halved.grid)
    assert 4.0 < plain.grid.sum() / small.grid.sum() < 8.0


def test_occupied_cells_lie_on_the_object() -> None:
    """Cell centres taken back to the object's frame are inside its box, to half a cell."""
    mesh = Mesh(2.0 * make("chair", 0).vertices + (1.0, 0.0, -4.0), make("chair", 0).faces)
    target = make_target(mesh, 32, "solid", fill=0.8)
    centres = (np.argwhere(target.grid)[:, ::-1] + 0.5) / 32 - 0.5
    back = target.object_to_grid.inverse().apply(centres)
    low, high = bounds(mesh.vertices)
    slack = 0.5 / 32 / target.scale
    assert (back > low - slack).all()
    assert (back < high + slack).all()
    assert back.max(axis=0) == pytest.approx(high, abs=2.0 * slack)


def test_random_scales_spread_evenly_over_factors() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([random_scale(rng, 0.5, 2.0) for _ in range(4000)])
    assert drawn.min() >= 0.5
    assert drawn.max() <= 2.0
    assert np.log(drawn).mean() == pytest.approx(0.0, abs=0.03)
    assert (drawn < 1.0).mean() == pytest.approx(0.5, abs=0.03)
    assert random_scale(np.random.default_rng(5), 0.5, 2.0) == random_scale(np.random.default_rng(5), 0.5, 2.0)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kind": "hollow"}, "hollow"),
        ({"fill": 1.2}, "fill"),
        ({"fill": 0.0}, "fill"),
        ({"scale": float("nan")}, "scale"),
        ({"side": 0}, "side"),
        ({"fill": 1.0, "scale": 1.1}, "reaches"),
        ({"scale": 3.0}, "reaches"),
    ],
)
def test_impossible_wishes_are_refused(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        make_target(make("car", 0), **{"side": 16, "kind": "solid", **change})


def test_bad_scale_ranges_are_refused() -> None:
    for low, high in ((0.0, 1.0), (2.0, 1.0), (1.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(InputError, match="low <= high"):
            random_scale(np.random.default_rng(0), low, high)


def test_meshes_without_extent_are_refused() -> None:
    with pytest.raises(InputError, match="without faces"):
        make_target(Mesh(np.zeros((3, 3)), np.zeros((0, 3), int)), 8, "solid")
    with pytest.raises(InputError, match="one point"):
        make_target(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 8, "solid", fill=1.0)


# --- files -------------------------------------------------------------------------------------------------------


def a_target() -> VoxelTarget:
    return make_target(asymmetric(), 30, "shell", fill=0.83, scale=0.97)


def test_targets_come_back_as_they_were(tmp_path: Path) -> None:
    target, path = a_target(), tmp_path / "a.npz"
    save_target(target, path)
    found = load_target(path, kind="shell", side=30)
    np.testing.assert_array_equal(found.grid, target.grid)
    np.testing.assert_array_equal(found.offset, target.offset)
    assert (found.kind, found.scale, found.side) == ("shell", target.scale, 30)
    save_target(found, tmp_path / "b.npz")
    assert path.read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_the_file_is_a_voxel_file_in_the_objects_own_frame(tmp_path: Path) -> None:
    target = a_target()
    save_target(target, tmp_path / "a.npz")
    stored = load_voxels(tmp_path / "a.npz")
    index_xyz = np.array([3.0, 11.0, 20.0])
    in_object = stored.translate + stored.scale * (index_xyz + 0.5) / 30
    np.testing.assert_allclose(target.scale * in_object + target.offset, (index_xyz + 0.5) / 30 - 0.5, atol=1e-12)


def test_another_kind_or_side_than_wanted_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    save_target(a_target(), path)
    with pytest.raises(InputError, match="kind is shell, not solid"):
        load_target(path, kind="solid")
    with pytest.raises(InputError, match="side is 30, not 32"):
        load_target(path, side=32)


def rewritten(path: Path, change) -> Path:
    """The file again with its record changed by a function of the record; None leaves the record out."""
    other = path.with_name("changed.npz")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as sink:
        for name in source.namelist():
            data = source.read(name)
            if name == "target.json":
                record = change(json.loads(data))
                if record is None:
                    continue
                data = record if isinstance(record, bytes) else json.dumps(record).encode()
            sink.writestr(name, data)
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda record: None,
        lambda record: b"{not json",
        lambda record: b" " * 5000,
        lambda record: [1, 2],
        lambda record: {**record, "format": "something else"},
        lambda record: {**record, "schema_version": 2},
        lambda record: {**record, "kind": "hollow"},
        lambda record: {**record, "kind": ["solid"]},
        lambda record: {**record, "side": 32},
        lambda record: {**record, "scale": 1.1 * record["scale"]},
        lambda record: {**record, "scale": -1.0},
        lambda record: {**record, "scale": None},
        lambda record: {**record, "scale": float("nan")},
        lambda record: {**record, "offset": [0.0, 0.0]},
        lambda record: {**record, "offset": [0.0, 0.0, 0.4]},
        lambda record: {key: value for key, value in record.items() if key != "kind"},
    ],
)
def test_records_that_are_broken_or_at_odds_are_refused(tmp_path: Path, change) -> None:
    path = tmp_path / "a.npz"
    save_target(a_target(), path)
    load_target(rewritten(path, lambda record: record))
    with pytest.raises(SchemaError, match=r"changed\.npz.*make it again") as caught:
        load_target(rewritten(path, change))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_targets_are_refused(tmp_path: Path) -> None:
    save_voxels(a_target().grid, tmp_path / "grid.npz")
    with pytest.raises(SchemaError, match=r"target\.json"):
        load_target(tmp_path / "grid.npz")
    with pytest.raises(InputError, match="cannot be read"):
        load_target(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_bytes(b"not a zip file")
    with pytest.raises(InputError, match="damaged"):
        load_target(tmp_path / "text.npz")
    save_target(a_target(), tmp_path / "cut.npz")
    data = (tmp_path / "cut.npz").read_bytes()
    for size in range(0, len(data), 97):
        (tmp_path / "cut.npz").write_bytes(data[:size])
        with pytest.raises(InputError, match=r"cut\.npz"):
            load_target(tmp_path / "cut.npz")
    with pytest.raises(InputError, match=r"\.npz"):
        save_target(a_target(), tmp_path / "a.binvox")


def test_targets_check_what_they_are_given() -> None:
    good = np.ones((4, 4, 4), bool)
    for grid, kind, scale, offset in (
        (good.astype(float), "solid", 1.0, np.zeros(3)),
        (good[:3], "solid", 1.0, np.zeros(3)),
        (good, "full", 1.0, np.zeros(3)),
        (good, "solid", 0.0, np.zeros(3)),
        (good, "solid", 1.0, np.zeros(2)),
        (good, "solid", 1.0, np.array([0.0, np.nan, 0.0])),
    ):
        with pytest.raises(InputError):
            VoxelTarget(grid, kind, scale, offset)
