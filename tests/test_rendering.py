"""Rendered training images: image, mask, depth, normals and pose are of one scene, and the same however they are drawn."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monoform.data.procedural.shapes import make_shape
from monoform.data.rendering import (
    CLEAN,
    PRESETS,
    AugmentSettings,
    Camera,
    FreeViews,
    LookSettings,
    Model,
    ModelLibrary,
    Recipe,
    RenderedSource,
    RenderedViews,
    RenderSettings,
    View,
    prepare,
    render_batch,
)
from monoform.data.samples import Source
from monoform.data.view_priors import AZIMUTHS, view_prior
from monoform.errors import InputError
from monoform.meshes import Mesh, box, icosphere
from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import rasterise

SHAPES = (Recipe("car", 3), Recipe("chair", 5), Recipe("aeroplane", 2), Recipe("table", 1))
WHOLE = FreeViews(truncated=0.0)


@pytest.fixture(scope="module")
def models() -> list[Model]:
    shapes = [make_shape(recipe.category, recipe.seed) for recipe in SHAPES]
    return [prepare(shape.mesh, shape.part_of_face) for shape in shapes]


def draw(models: list[Model], settings: RenderSettings) -> list[View]:
    return render_batch(models, [(4, i) for i in range(len(models))], settings)


def pixels_of(model: Model, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Where the vertices are seen, (v, 2), and their depth, by the pinhole formula."""
    points = model.mesh.vertices @ view.camera.R.T + view.camera.t
    return (points @ view.camera.K.T)[:, :2] / points[:, 2:], points[:, 2]


@pytest.mark.parametrize("viewpoints", ["any", "upright"])
def test_depth_is_the_kernels(models: list[Model], viewpoints) -> None:
    settings = RenderSettings((48, 64), FreeViews(viewpoints))
    for model, view in zip(models, draw(models, settings)):
        pixels, depth = pixels_of(model, view)
        face_id, expected, _ = rasterise(np.column_stack([pixels, depth])[None], model.mesh.faces, 48, 64)
        np.testing.assert_allclose(view.depth, expected[0], rtol=1e-5)
        assert (np.isfinite(view.depth) == (face_id[0] >= 0)).all()


def test_visible_vertices_lie_in_the_mask(models: list[Model]) -> None:
    for model, view in zip(models, draw(models, RenderSettings((96, 96), WHOLE, augment=CLEAN))):
        pixels, depth = pixels_of(model, view)
        column, row = np.floor(pixels.T).astype(int)
        assert (view.amodal[row, column] > 0.0).all()
        seen = np.isfinite(view.depth[row, column]) & (depth < view.depth[row, column] + 0.01)
        assert seen.sum() > 50
        assert (view.mask[row, column][seen] > 0.0).all()


def test_mask_is_the_covered_area(models: list[Model]) -> None:
    for view in draw(models, RenderSettings((96, 96), WHOLE, augment=CLEAN)):
        hit = np.isfinite(view.depth)
        assert (view.amodal[hit] > 0.0).all()
        assert abs(view.amodal.sum() / hit.sum() - 1.0) < 0.06
        np.testing.assert_array_equal(view.mask, view.amodal)


def test_normals_are_unit_and_face_the_camera(models: list[Model]) -> None:
    for view in draw(models, RenderSettings((64, 64))):
        hit = np.isfinite(view.depth)
        np.testing.assert_allclose(np.linalg.norm(view.normals[hit], axis=1), 1.0, atol=1e-4)
        assert not view.normals[~hit].any()
        row, column = np.nonzero(hit)
        rays = np.column_stack([column + 0.5, row + 0.5, np.ones(len(row))]) @ np.linalg.inv(view.camera.K).T
        assert (np.einsum("ni,ni->n", view.normals[hit], rays) < 1e-4).all()


def test_normals_of_a_ball_point_outwards() -> None:
    (view,) = render_batch([prepare(icosphere(4))], [(0, 0)], RenderSettings((64, 64), WHOLE))
    row, column = np.nonzero(np.isfinite(view.depth))
    rays = np.column_stack([column + 0.5, row + 0.5, np.ones(len(row))]) @ np.linalg.inv(view.camera.K).T
    outwards = rays * view.depth[row, column][:, None] - view.camera.t
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", view.normals[row, column], outwards).min() > 0.98


@pytest.mark.parametrize("samples", [1, 2])
def test_light_falls_from_the_right_side(samples: int) -> None:
    """A box before the camera, lit from image left alone: of two faces seen edge on, the left one is the brighter."""
    from monoform.data.rendering.shading import Look
    from monoform.projection.kernels.shade import LIGHT_WIDTH, MATERIAL_WIDTH, find_truth, rasterise_both, shade

    model = prepare(box())
    R = np.array([[np.sqrt(0.5), 0, np.sqrt(0.5)], [0, 1, 0], [-np.sqrt(0.5), 0, np.sqrt(0.5)]], np.float32)
    K = np.array([[40.0, 0.0, 16.0], [0.0, 40.0, 16.0], [0.0, 0.0, 1.0]])
    lights = np.zeros((1, LIGHT_WIDTH), np.float32)
    lights[0, 1:] = [-1, 0, 0, 0.5, 0.5, 0.5]
    materials = np.zeros((1, MATERIAL_WIDTH), np.float32)
    materials[0, 7:10] = [1.0, 0.5, 0.0]
    look = Look(materials, np.zeros((2, 3), np.float32), lights)
    camera = model.vertices @ R.T + [0.0, 0.0, 2.0]
    points = np.column_stack([40 * camera[:, :2] / camera[:, 2:] + 16, camera[:, 2]]).astype(np.float32)
    span = np.stack([points[:, :2].min(axis=0), points[:, :2].max(axis=0)]).astype(np.float64)
    face_id, sample_id = np.empty((32, 32), np.int32), np.empty((32 * samples, 32 * samples), np.int32)
    depth, fine, mesh = np.empty((32, 32), np.float32), np.empty(sample_id.shape, np.float32), model.mesh
    rasterise_both(points, mesh.faces, model.solid, samples, depth, face_id, fine, sample_id)
    weights, normals, colour = (np.empty((32, 32, 3), np.float32) for _ in range(3))
    find_truth(points, face_id, K, mesh.faces, model.normals, R, span, depth, weights, normals)
    hit = np.empty((32, 32), np.int32)
    shade(points, face_id, depth, weights, normals, samples, sample_id if samples > 1 else face_id, K, R, span,
          model.vertices, mesh.faces, model.normals, model.colours, model.part, look.materials, look.ambient, look.lights,
          colour, hit)  # fmt: skip
    # 0.5 of light at 45 degrees on albedo 1, 0.5 and 0: linear 0.3536, 0.1768 and 0, as sRGB levels.
    np.testing.assert_allclose(colour[16, 13], [160.4, 116.8, 0.0], atol=1.0)
    np.testing.assert_allclose(colour[16, 19], 0.0, atol=1e-3)


def test_object_differs_from_its_background(models: list[Model]) -> None:
    views = draw(models, RenderSettings((64, 64), WHOLE, augment=CLEAN))
    assert all(view.image.dtype == np.uint8 and view.image.std() > 4.0 for view in views)
    other = draw(models, RenderSettings((64, 64), WHOLE, LookSettings(own_colours=1.0), CLEAN))
    changed = [np.abs(a.image.astype(int) - b.image).sum(axis=2) > 0 for a, b in zip(views, other)]
    assert any(change.any() for change in changed)
    for view, clean in zip(draw(models, RenderSettings((64, 64), WHOLE)), views):
        assert np.array_equal(view.camera.R, clean.camera.R)


def test_solid_shapes_are_known() -> None:
    """A ball is solid; the same with a face missing, turned inside out, or with a hollow, is not."""
    ball = icosphere(2)
    inward, inner = Mesh(ball.vertices, ball.faces[:, ::-1]), 0.5 * ball.vertices
    faces = np.concatenate([ball.faces, ball.faces[:, ::-1] + len(ball.vertices)])
    hollow = Mesh(np.concatenate([ball.vertices, inner]), faces)
    meshes = [ball, Mesh(ball.vertices, ball.faces[1:]), inward, hollow]
    assert [prepare(mesh).solid for mesh in meshes] == [True, False, False, False]


def test_batch_threads_and_calls_do_not_matter() -> None:
    views = RenderedViews(ModelLibrary(SHAPES, capacity=2), RenderSettings((40, 56)), seed=9, length=12)
    together = views.__getitems__(range(12))
    count = threads.get_threads()
    try:
        threads.set_threads(1)
        alone = [views[i] for i in reversed(range(12))][::-1]
    finally:
        threads.set_threads(0)
    assert threads.get_threads() == count
    for a, b in zip(together, alone):
        assert a.keys() == b.keys()
        assert all(np.array_equal(a[name], b[name]) for name in a)
    other = RenderedViews(ModelLibrary(SHAPES), RenderSettings((40, 56)), seed=10, length=12)[0]
    assert not np.array_equal(other["image"], together[0]["image"])


def test_workers_draw_the_same() -> None:
    from torch.utils.data import DataLoader

    views = RenderedViews(ModelLibrary(SHAPES), RenderSettings((32, 32)), seed=1, length=8)
    plain = [views[i] for i in range(8)]
    for workers in (0, 2):
        context = "fork" if workers else None
        loader = DataLoader(
            views, batch_size=3, num_workers=workers, multiprocessing_context=context, timeout=100 * bool(workers)
        )
        images = np.concatenate([batch["image"].numpy() for batch in loader])
        np.testing.assert_array_equal(images, np.stack([sample["image"] for sample in plain]))
    again = copy.deepcopy(views)  # as a started (not forked) worker gets it: without what is held
    np.testing.assert_array_equal(again[3]["image"], plain[3]["image"])


def test_occluders_cover_what_they_say(models: list[Model]) -> None:
    settings = RenderSettings((64, 64), WHOLE, augment=AugmentSettings(occluded=1.0))
    views = render_batch(models * 4, [(0, i) for i in range(16)], settings)
    shares = np.array([view.mask.sum() / view.amodal.sum() for view in views])
    assert [view.occluded for view in views] == list(shares < 0.98)
    assert np.mean(shares < 0.98) > 0.5
    assert all((view.mask <= view.amodal + 1e-6).all() for view in views)
    assert not any(view.occluded for view in draw(models, replace(settings, augment=CLEAN)))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_truncation_is_true(models: list[Model], share: float) -> None:
    settings = RenderSettings((64, 48), FreeViews(truncated=share), augment=CLEAN)
    for model, view in zip(models * 3, render_batch(models * 3, [(0, i) for i in range(12)], settings)):
        pixels, _ = pixels_of(model, view)
        outside = (pixels < 0.0).any() or (pixels > [48.0, 64.0]).any()
        assert view.truncated == outside == bool(share)


def test_fill_is_kept(models: list[Model]) -> None:
    views = FreeViews(fill=(0.7, 0.7), truncated=0.0, field_of_view=(20.0, 35.0))
    for model, view in zip(models, draw(models, RenderSettings((64, 64), views))):
        pixels, _ = pixels_of(model, view)
        assert np.ptp(pixels, axis=0).max() == pytest.approx(0.7 * 64, rel=0.03)


def test_presets_are_the_published_cameras(models: list[Model]) -> None:
    for name, focal in {"nmr": 32 / np.tan(np.radians(15)), "ptn": 64 * np.sqrt(3) / 2, "mvc": 1.875 * 64}.items():
        for model, view in zip(models, draw(models, RenderSettings((64, 64), PRESETS[name]))):
            assert view.camera.K[0, 0] == pytest.approx(focal, rel=1e-6)
            longest = np.ptp(model.mesh.vertices, axis=0).max()
            expected = {"nmr": 2.732 * longest, "ptn": 1.366 * longest, "mvc": 2.0}[name]
            np.testing.assert_allclose(view.camera.t, [0.0, 0.0, expected], atol=1e-9)
            centre = -view.camera.R.T @ view.camera.t
            elevation = np.degrees(np.arcsin(centre[1] / expected))
            assert elevation == pytest.approx(30.0) if name != "mvc" else -20.001 < elevation < 39.001


def test_given_camera_is_kept_and_checked(models: list[Model]) -> None:
    view = draw(models[:1], RenderSettings())[0]
    camera = Camera(view.camera.R, np.array([0.0, 0.0, 2.0]), view.camera.K)
    (again,) = render_batch(models[:1], [(4, 0)], RenderSettings(), cameras=[camera])
    assert again.camera is camera
    inside = Camera(camera.R, np.zeros(3), camera.K)
    with pytest.raises(InputError, match="behind the camera"):
        render_batch(models[:1], [(4, 0)], RenderSettings(), cameras=[inside])


def test_photos_stand_behind(models: list[Model], tmp_path: Path) -> None:
    Image.new("RGB", (90, 70), (10, 200, 30)).save(tmp_path / "green.png")
    settings = RenderSettings((32, 32), WHOLE, augment=CLEAN, backgrounds=tmp_path, photo_share=1.0)
    for view in draw(models, settings):
        np.testing.assert_array_equal(view.image[view.amodal == 0.0], [[10, 200, 30]] * int((view.amodal == 0.0).sum()))


def test_bad_background_folders(models: list[Model], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of backgrounds"):
        draw(models, RenderSettings(backgrounds=tmp_path / "none"))
    with pytest.raises(InputError, match="no photo"):
        draw(models, RenderSettings(backgrounds=tmp_path))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        draw(models, RenderSettings(backgrounds=tmp_path, photo_share=1.0))


def test_library_holds_few(tmp_path: Path) -> None:
    library = ModelLibrary([Recipe("table", seed) for seed in range(10_000)], capacity=3)
    views = RenderedViews(library, RenderSettings((24, 24)), voxels=lambda number: np.full((2, 2, 2), number))
    for index in range(0, 10_000, 1000):
        assert views[index]["voxels"][0, 0, 0] == views[index]["mesh_id"] == index
    assert library.held == 3
    with pytest.raises(InputError, match=r"gone\.obj"):
        ModelLibrary([tmp_path / "gone.obj"]).model(0)


def test_source_gives_samples() -> None:
    source = RenderedSource(RenderedViews(ModelLibrary(SHAPES), RenderSettings((32, 32)), length=6))
    assert isinstance(source, Source)
    items = source.items()
    assert len({item.id for item in items}) == 6
    assert items[4].object_id == items[0].object_id == "car-000003"
    sample = source.load(4)
    assert sample.item.id == items[4].id
    assert sample.image is not None
    assert sample.image.shape == (32, 32, 3)


def test_view_priors_are_the_measured_histograms(shared: Path) -> None:
    ours = {"diningtable": "table", "tvmonitor": "monitor"}
    histograms = json.loads((shared / "data/view_priors.json").read_text())["pascal3d_imagenet_azimuth"]
    for name, entry in histograms.items():
        measured = np.array(entry["hist"]) / np.sum(entry["hist"])
        shares = view_prior(ours.get(name, name)).bin_shares()
        assert 0.5 * np.abs(shares - measured).sum() < 0.1, name


@pytest.mark.parametrize("category", sorted(AZIMUTHS))
def test_view_priors_are_drawn_as_they_say(category: str) -> None:
    prior, rng = view_prior(category), np.random.default_rng(0)
    drawn = np.array([prior.sample(rng) for _ in range(4000)])
    shares = np.histogram(drawn[:, 0], 36, (0.0, 360.0))[0] / len(drawn)
    expected = prior.bin_shares()
    assert expected.sum() == pytest.approx(1.0, abs=1e-6)
    chi_square = len(drawn) * ((shares - expected) ** 2 / np.maximum(expected, 1e-3)).sum()
    assert chi_square < 80.0  # 35 degrees of freedom: exceeded once in 1e5
    assert np.median(drawn[:, 1]) == pytest.approx(prior.elevation[3], abs=1.5)


def test_unknown_prior_is_refused(models: list[Model]) -> None:
    with pytest.raises(InputError, match="view prior"):
        render_batch(models[:1], [(0, 0)], RenderSettings(views=FreeViews("prior")), categories=["teapot"])
