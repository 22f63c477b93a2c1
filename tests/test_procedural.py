"""The procedural shapes: closed parts, the canonical frame, named keypoints, many kinds, and that each looks like itself."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from monoform.data.duplicates import MESHES_APART, mesh_descriptor, similar_shapes
from monoform.data.procedural import CATEGORIES, make
from monoform.data.procedural.parts import (
    NOWHERE,
    Part,
    Shape,
    band,
    block,
    cylinder,
    finish,
    hull,
    loft,
    mirrored,
    paint,
    pair,
    place,
    plate,
    repeated,
    revolve,
    rod,
    rounded_square,
    superellipse,
    tube,
    turned,
)
from monoform.data.procedural.photographs import take_photograph
from monoform.data.procedural.shapes import KINDS, make_shape
from monoform.data.procedural.wheels import arc_strip, disc_wheel, rim, tyre, wheel_arch
from monoform.errors import InputError
from monoform.meshes import Mesh, area_vectors, bounds, is_watertight, is_winding_consistent, signed_volume
from monoform.voxels import voxelise_closed, voxelise_shell, voxelise_solid

EVERY_KIND = [(category, kind) for category in CATEGORIES for kind in KINDS[category]]
VEHICLES = ("bicycle", "bus", "car", "motorbike", "train")
BULKY = ("bottle", "bus", "car", "sofa", "train")
"""Categories that are mostly one thick body; the others are slats, tubes, wings and panels."""
INK = (0, 0, 0)


# --- every category and kind -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_shapes_stand_in_the_canonical_frame(category: str, kind: str) -> None:
    for seed in range(4):
        mesh = make_shape(category, seed, kind).mesh
        low, high = bounds(mesh.vertices)
        np.testing.assert_allclose(low + high, 0.0, atol=1e-12)
        assert np.linalg.norm(high - low) == pytest.approx(1.0)
        assert mesh.colours is not None
        assert len(np.unique(mesh.colours, axis=0)) >= 2
        assert 100 < len(mesh.faces) < 8000
        assert 1000 < len(mesh.faces) < 6000 or category not in VEHICLES


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_every_piece_is_closed_and_looks_outwards(category: str, kind: str) -> None:
    for seed in range(6):
        mesh = make_shape(category, seed, kind).mesh
        assert is_watertight(mesh)
        assert is_winding_consistent(mesh)
        assert piece_volumes(mesh).min() > 0.0


def piece_volumes(mesh: Mesh) -> np.ndarray:
    """Signed volume of each set of faces that are connected through their vertices' numbers."""
    a, b, c = mesh.faces.T
    links = coo_array((np.ones(2 * len(a), bool), (np.r_[a, b], np.r_[b, c])), shape=(len(mesh.vertices),) * 2)
    piece = connected_components(links, directed=False)[1][a]
    # From a point of the piece itself, so that small pieces far from the origin keep their digits.
    _, first = np.unique(piece, return_index=True)
    arms = mesh.vertices[a] - mesh.vertices[a[first]][piece]
    return np.bincount(piece, np.einsum("fi,fi->f", arms, area_vectors(mesh.vertices, mesh.faces)) / 3.0)


def test_piece_volumes_tell_inside_from_outside() -> None:
    outward, inward = block((0, 0, 0), (1, 2, 3), INK, 0.0), block((5, 0, 0), (6, 1, 1), INK, 0.0)
    both = finish("", [Part("a", outward), Part("b", Mesh(inward.vertices, inward.faces[:, ::-1]))], {}).mesh
    scale = np.linalg.norm([6.0, 2.0, 3.0])
    np.testing.assert_allclose(piece_volumes(both) * scale**3, [6.0, -1.0])


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_seed_decides_to_the_byte(category: str, kind: str) -> None:
    first, again, other = make_shape(category, 4, kind), make_shape(category, 4, kind), make_shape(category, 5, kind)
    assert digest(first.mesh) == digest(again.mesh)
    assert digest(first.mesh) != digest(other.mesh)
    assert first.kind == kind
    np.testing.assert_array_equal(first.part_of_face, again.part_of_face)


def digest(mesh: Mesh) -> bytes:
    assert mesh.colours is not None
    return hashlib.sha256(mesh.vertices.tobytes() + mesh.faces.tobytes() + mesh.colours.tobytes()).digest()


@pytest.mark.parametrize("category", CATEGORIES)
def test_no_two_seeds_make_the_same_shape(category: str) -> None:
    shapes = [make_shape(category, seed) for seed in range(200)]
    assert len({digest(shape.mesh) for shape in shapes}) == 200
    assert {shape.kind for shape in shapes} <= set(KINDS[category])
    assert len({shape.kind for shape in shapes}) >= 2


@pytest.mark.parametrize("category", ["car", "train"])
def test_no_two_of_a_hundred_and_twenty_are_near_duplicates(category: str) -> None:
    descriptors = np.stack([mesh_descriptor(make(category, seed)) for seed in range(120)])
    assert similar_shapes([str(seed) for seed in range(120)], descriptors, MESHES_APART) == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_kinds_differ(category: str) -> None:
    occupied = [voxelise_shell(make_shape(category, 3, kind).mesh, 24) for kind in KINDS[category]]
    for i, first in enumerate(occupied):
        for second in occupied[:i]:
            assert (first & second).sum() < 0.95 * (first | second).sum()


@pytest.mark.parametrize("category", CATEGORIES)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**63 - 1))
def test_any_seed_makes_a_sound_shape(category: str, seed: int) -> None:
    shape = make_shape(category, seed)
    assert np.ptp(shape.mesh.vertices, axis=0).min() > 0.03
    assert is_watertight(shape.mesh)
    check_parts(shape)
    check_keypoints(shape)


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_parts_cover_all_faces_and_keypoints_lie_at_the_shape(category: str, kind: str) -> None:
    shape = make_shape(category, 7, kind)
    check_parts(shape)
    check_keypoints(shape)
    assert set(shape.keypoints) == set(make_shape(category, 0, KINDS[category][0]).keypoints)
    assert np.isfinite(list(shape.keypoints.values())).all(axis=1).sum() >= 4


def check_parts(shape: Shape) -> None:
    assert shape.part_of_face.shape == (len(shape.mesh.faces),)
    assert shape.part_of_face.dtype == np.int32
    np.testing.assert_array_equal(np.unique(shape.part_of_face), np.arange(len(shape.part_names)))
    assert len(set(shape.part_names)) == len(shape.part_names)


def check_keypoints(shape: Shape) -> None:
    """Each is nowhere at all or in the box, a tenth larger."""
    points = np.array(list(shape.keypoints.values()))
    known = np.isfinite(points).all(axis=1)
    assert np.isnan(points[~known]).all()
    assert (np.abs(points[known]) <= 1.1 * bounds(shape.mesh.vertices)[1] + 1e-9).all()


@pytest.mark.parametrize(("category", "kind"), [pair for pair in EVERY_KIND if pair[0] in BULKY])
def test_bodies_fill_when_voxelised(category: str, kind: str) -> None:
    mesh = make_shape(category, 2, kind).mesh
    shell = voxelise_shell(mesh, 64)
    assert voxelise_solid(mesh, 64).sum() > 1.25 * shell.sum()


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
def test_the_inside_by_winding_is_inside_by_flood_fill(category: str, kind: str) -> None:
    """Two ways that share nothing: a hole or a piece inside out would let the flood in, or turn cells over."""
    mesh = make_shape(category, 2, kind).mesh
    by_winding = voxelise_closed(mesh, 40)
    assert by_winding.any()
    assert not (by_winding & ~voxelise_solid(mesh, 40)).any()


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match=r"'teapot'.*aeroplane"):
        make("teapot", 0)
    with pytest.raises(InputError, match=r"car of the kind 'tank'.*sedan"):
        make_shape("car", 0, "tank")
    with pytest.raises(KeyError):
        KINDS["teapot"]
    assert tuple(KINDS) == CATEGORIES


# --- what makes each the thing it is -----------------------------------------------------------------------------


def coloured(mesh: Mesh, colour: tuple[int, int, int]) -> np.ndarray:
    """Mean position of the vertices of a colour."""
    assert mesh.colours is not None
    chosen = (mesh.colours == colour).all(axis=1)
    assert chosen.any()
    return mesh.vertices[chosen].mean(axis=0)


@pytest.mark.parametrize(
    ("category", "kind"),
    [pair for pair in EVERY_KIND if pair[0] in VEHICLES],
)
def test_vehicles_face_minus_z_with_their_left_at_minus_x(category: str, kind: str) -> None:
    for seed in range(5):
        points = make_shape(category, seed, kind).keypoints
        for name, point in points.items():
            if "left" in name:
                other = points[name.replace("left", "right")]
                assert point[0] < 0.0 < other[0]
                if "pedal" not in name:
                    np.testing.assert_allclose(point * (-1, 1, 1), other, atol=1e-9)
        ends = {
            "bicycle": ("left_front_wheel", "left_back_wheel"),
            "bus": ("body_front_left_lower", "body_back_left_lower"),
            "car": ("upper_left_windshield", "upper_left_rearwindow"),
            "motorbike": ("headlight_center", "back_seat"),
            "train": ("head_left_top", "tail_left_top"),
        }[category]
        assert points[ends[0]][2] < points[ends[1]][2] - 0.1


def test_car_has_white_lamps_in_front_and_red_ones_behind() -> None:
    for kind in KINDS["car"]:
        car = make_shape("car", 1, kind)
        assert coloured(car.mesh, (250, 244, 214))[2] < -0.3
        assert coloured(car.mesh, (188, 26, 24))[2] > 0.3
        assert car.keypoints["left_front_light"][2] < -0.35
        extent = np.ptp(car.mesh.vertices, axis=0)
        assert extent[2] > extent[0] > extent[1] or kind in ("cargo", "suv")


def test_wheels_touch_the_ground() -> None:
    for category in ("bicycle", "bus", "car", "motorbike"):
        for kind in KINDS[category]:
            shape = make_shape(category, 3, kind)
            part = shape.part_names.index("tyres" if "tyres" in shape.part_names else "wheels")
            wheels = shape.mesh.vertices[shape.mesh.faces[shape.part_of_face == part]]
            assert wheels[..., 1].min() == pytest.approx(shape.mesh.vertices[:, 1].min(), abs=1e-3)


def test_kinds_of_cars_have_their_proportions() -> None:
    height = {
        kind: np.mean([np.ptp(make_shape("car", seed, kind).mesh.vertices, axis=0) for seed in range(20)], axis=0)[1]
        for kind in KINDS["car"]
    }
    assert height["sports"] < height["sedan"] < height["suv"] < height["cargo"]


def test_chair_has_its_back_behind_and_above_the_seat() -> None:
    for seed in range(5):
        chair = make("chair", seed)
        top = chair.vertices[chair.vertices[:, 1] > 0.3]
        assert top[:, 2].min() > 0.1


def test_aeroplane_has_its_fin_behind_and_wings_to_both_sides() -> None:
    for kind in KINDS["aeroplane"]:
        plane = make_shape("aeroplane", 1, kind)
        fin = plane.mesh.faces[plane.part_of_face == plane.part_names.index("fin")]
        assert plane.mesh.vertices[fin].mean(axis=(0, 1))[2] > 0.15
        extent = np.ptp(plane.mesh.vertices, axis=0)
        assert min(extent[0], extent[2]) > 2.0 * extent[1]


@pytest.mark.parametrize("category", ["aeroplane", "car", "chair"])
def test_shapes_are_their_own_mirror_image(category: str) -> None:
    vertices = make(category, 1).vertices
    flipped = vertices * (-1.0, 1.0, 1.0)
    order = [np.lexsort(np.round(v, 6).T) for v in (vertices, flipped)]
    np.testing.assert_allclose(vertices[order[0]], flipped[order[1]], atol=2e-6)


# --- building blocks ---------------------------------------------------------------------------------------------

BLOCKS = {
    "block": block((-1, -1, -1), (1, 1, 1), INK),
    "sharp block": block((-1, -1, -1), (1, 1, 1), INK, 0.0, "x"),
    "cylinder x": cylinder("x", (0.0, 2.0), 0.5, (0, 0), INK),
    "cylinder backwards": cylinder("z", (3.0, 1.0), 0.5, (0, 0), INK),
    "rod": rod((0, 0, 0), (1, 2, 0), (0.1, 0.2), INK),
    "mirror image": mirrored(block((1, 1, 1), (2, 2, 2), INK))[1],
    "loft": loft([place(superellipse(9, 0.4), "y", y, scale=(1, 1), centre=(0, 0)) for y in (0, 1, 2)], (1, 2, 3)),
    "loft with a tip": loft([place(rounded_square(0.2), "z", 0.0, scale=(1, 1), centre=(0, 0))] * 1
                            + [place(rounded_square(0.2), "z", 1.0, scale=(1, 1), centre=(0, 0))], INK,
                            tips=((0, 0, -1), None)),
    "ball": revolve([(np.sin(a), np.cos(a)) for a in np.linspace(0, np.pi, 9)[1:-1]], "y", INK),
    "spindle": revolve(((0, -1), (1, 0), (0, 1)), "x", INK, centre=(4, 5, 6)),
    "ring": revolve(((2, -1), (3, -1), (3, 1), (2, 1)), "z", INK, closed=True),
    "hull": hull(((0, 1, 0, 1), (1, 2, -1, 2), (3, 1, 0, 0.5)), superellipse(12), INK),
    "rim": rim((1, 2, 3), 2.0, 0.3, 0.2, INK),
    "wheel arch": wheel_arch(1.0, 0.3, 0.0, 0.4, INK),
    "tyre": tyre((1, 2, 3), 2.0, 0.3, 0.2, INK),
    "straight tube": tube(((0, 0, 0), (1, 1, 1)), 0.1, INK),
    "bent tube": tube(((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1)), (0.1, 0.2, 0.1, 0.05), INK),
    "closed tube": tube([(np.cos(a), 0, np.sin(a)) for a in np.arange(12) * np.pi / 6], 0.1, INK, closed=True),
    "plate": plate(((0, 0, 0), (1, 0, 0), (1, 1, 1), (0, 1, 1)), 0.1, INK),
    "bent band": band(((-1, 0, 1), (0, 0, 0), (1, 0, 1)), ((-1, 1, 1), (0, 1, 0.2), (1, 1, 1)), 0.1, INK),
    "flat band": band(((0, 0, 0), (1, 0, 0), (2, 0, 0)), ((0, 1, 0), (1, 1, 0), (2, 1, 0)), 0.1, INK),
    "arc": arc_strip((0, 1, 2), 1.0, (-1.0, 1.0), 0.2, 0.01, INK),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_closed_and_look_outwards(name: str) -> None:
    assert is_watertight(BLOCKS[name])
    assert is_winding_consistent(BLOCKS[name])
    assert signed_volume(BLOCKS[name]) > 0


def polygon_area(sides: int, radius: float) -> float:
    return 0.5 * sides * np.sin(2 * np.pi / sides) * radius**2


def test_blocks_have_the_volume_of_what_they_are() -> None:
    volume = {name: signed_volume(mesh) for name, mesh in BLOCKS.items()}
    assert volume["cylinder x"] == pytest.approx(2.0 * polygon_area(24, 0.5))
    assert volume["sharp block"] == pytest.approx(8.0)
    assert volume["spindle"] == pytest.approx(2.0 / 3.0 * polygon_area(24, 1.0))
    assert volume["ring"] == pytest.approx(2.0 * (polygon_area(24, 3.0) - polygon_area(24, 2.0)))
    assert volume["straight tube"] == pytest.approx(3.0**0.5 * polygon_area(10, 0.1))
    assert volume["flat band"] == pytest.approx(2.0 * 0.1)
    assert volume["plate"] == pytest.approx(2.0**0.5 * 0.1)
    # Pappus: the section's area times the way of its middle.
    assert volume["tyre"] == pytest.approx(2 * np.pi * 1.7 * np.pi * 0.06, rel=0.12)


def test_a_mitred_tube_keeps_its_thickness() -> None:
    """A square bend of constant radius holds as much as its two legs up to the corner's middle."""
    bent = tube(((0, 0, 0), (2, 0, 0), (2, 2, 0)), 0.1, INK)
    assert signed_volume(bent) == pytest.approx(4.0 * polygon_area(10, 0.1), rel=1e-9)
    legs = bent.vertices[bent.vertices[:, 0] < 2.2]
    assert legs[:, 2].max() == pytest.approx(0.1, rel=0.1)


def test_a_hull_goes_through_its_stations() -> None:
    body = hull(((0, 1, 0, 1), (1, 2, -1, 2), (3, 1, 0, 0.5)), rounded_square(0.2), INK)
    np.testing.assert_allclose(bounds(body.vertices), [[-2, -1, 0], [2, 2, 3]], atol=1e-12)
    nose = body.vertices[body.vertices[:, 2] == 0]
    np.testing.assert_allclose(bounds(nose), [[-1, 0, 0], [1, 1, 0]], atol=1e-12)


def test_paint_stays_near_its_palette() -> None:
    rng, palette = np.random.default_rng(0), ((250, 4, 100), (30, 30, 30))
    colours = np.array([paint(rng, palette) for _ in range(200)])
    assert colours.min() >= 0
    assert colours.max() <= 255
    apart = np.abs(colours[:, None] - np.array(palette)).max(axis=2)
    assert apart.min(axis=1).max() <= 16
    assert set(apart.argmin(axis=1)) == {0, 1}
    assert len(np.unique(colours, axis=0)) > 100


def test_copies() -> None:
    spoke = block((-0.1, 1.0, -0.1), (0.1, 2.0, 0.1), INK, 0.0)
    star, row, both = turned(spoke, "z", (0, 0, 0), 4), repeated(spoke, ((0, 0, 0), (3, 0, 0))), pair(spoke)
    assert signed_volume(star) == pytest.approx(4 * 0.04)
    np.testing.assert_allclose(bounds(star.vertices), [[-2, -2, -0.1], [2, 2, 0.1]], atol=1e-12)
    np.testing.assert_allclose(bounds(row.vertices), [[-0.1, 1, -0.1], [3.1, 2, 0.1]], atol=1e-12)
    assert len(both.faces) == 2 * len(spoke.faces)
    for mesh in disc_wheel((0, 0, 0), 1.0, 0.4, INK, INK):
        assert is_watertight(mesh)


def test_finish_moves_keypoints_with_the_mesh() -> None:
    low, high = block((1, 0, 0), (2, 2, 4), INK, 0.0), block((1, 2, 0), (2, 2.5, 4), INK, 0.0)
    shape = finish(
        "k", [Part("low", low), Part("high", high), Part("low", low)], {"top": (1.5, 2.5, 2), "tail": NOWHERE}
    )
    scale = np.linalg.norm([1.0, 2.5, 4.0])
    np.testing.assert_allclose(shape.keypoints["top"], [0.0, 1.25 / scale, 0.0], atol=1e-12)
    assert np.isnan(shape.keypoints["tail"]).all()
    assert shape.part_names == ("low", "high")
    count = len(low.faces)
    np.testing.assert_array_equal(shape.part_of_face, np.repeat([0, 1, 0], count))


# --- photographs -------------------------------------------------------------------------------------------------


def test_photographs_look_from_above_at_an_upright_object() -> None:
    up = np.array([0.0, 1.0, 0.0])
    for seed in range(10):
        shot = take_photograph(make("car", 0), seed, size_wh=(64, 48))
        np.testing.assert_allclose(shot.R @ shot.R.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(shot.R) == pytest.approx(1.0)
        # The model's top points up in the picture (-y) and leans towards the camera (-z), which looks down on it.
        assert (shot.R @ up)[1] < -0.7
        assert (shot.R @ up)[2] < 0.0


def test_photographs_are_true_and_repeatable() -> None:
    mesh = make("chair", 0)
    shot, again = (take_photograph(mesh, seed=7, size_wh=(160, 120)) for _ in range(2))
    np.testing.assert_array_equal(shot.photo.image, again.photo.image)
    np.testing.assert_array_equal(shot.R, again.R)
    pixels = (mesh.vertices @ shot.R.T + shot.t) @ shot.K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    row, column = np.nonzero(shot.mask > 0.5)
    assert column.min() == pytest.approx(pixels[:, 0].min(), abs=1.5)
    assert row.max() == pytest.approx(pixels[:, 1].max(), abs=1.5)
    # A background that could be taken for the object's own plain colour would be no test.
    assert shot.photo.image[shot.mask == 0].std() > 8


@pytest.mark.parametrize("corner", [[0, 1, 0], [0, 0, 1], [0, 1, 1], [0, -1, 1]])
def test_a_tube_bent_in_any_direction_is_whole(corner):
    bent = tube([[-1, 0, 0], corner, [1, 0, 0]], 0.05, (0, 0, 0))
    assert is_watertight(bent)
    assert signed_volume(bent) > 0
