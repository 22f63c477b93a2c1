"""Training images in PyTorch are those of the compiled kernels, stage by stage and whole, alone and in any batch."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monoform.data.procedural.shapes import make_shape
from monoform.data.rendering import (
    CLEAN,
    AugmentSettings,
    FreeViews,
    LookSettings,
    Model,
    RenderSettings,
    View,
    prepare,
    render_batch,
)
from monoform.data.rendering.backgrounds import PhotoFolder, paint_background, sample_background
from monoform.data.rendering.drawing import OCCLUDED_FROM, sample_draws
from monoform.meshes import Mesh, box, icosphere
from monoform.projection.drawing.painting import (
    compose,
    develop,
    occluder_coverage,
    paint_scenery,
    paint_windows,
)
from monoform.projection.drawing.records import ImageDraws, PhotoWindow, Scenery
from monoform.projection.drawing.scene import stack_damages, stack_scene
from monoform.projection.drawing.shading import (
    find_truth,
    flat_noise,
    hash_bits,
    light_up,
    shade,
    texture,
    value_noise,
)
from monoform.projection.drawing.views import DrawnViews, draw_views
from monoform.projection.kernels import paint as painted
from monoform.projection.kernels import shade as shaded
from monoform.projection.kernels.hard import rasterise

SHAPES = {"car": 3, "chair": 5, "aeroplane": 2, "bicycle": 1}
UNPACKED = replace(AugmentSettings(), jpeg=0.0)
DAMAGED = replace(UNPACKED, occluded=1.0, occluders=(1, 3), blurred=1.0)
TEXTURED = LookSettings(own_colours=0.0, textured=1.0, glossy=1.0, point_lights=0.6)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models() -> list[Model]:
    shapes = [make_shape(category, seed) for category, seed in SHAPES.items()]
    return [prepare(shape.mesh, shape.part_of_face) for shape in shapes]


@pytest.fixture(scope="module")
def odd_models() -> list[Model]:
    """Speckled, finer than pixels are; coloured, with a hole; inside out; of large faces; a soup."""
    ball, rng = icosphere(3), np.random.default_rng(0)
    colours = (127.5 * (1.0 + ball.vertices)).astype(np.uint8)
    soup = Mesh(ball.vertices[ball.faces].reshape(-1, 3), np.arange(3 * len(ball.faces)).reshape(-1, 3))
    speckles = rng.integers(120, 200, ball.vertices.shape).astype(np.uint8)
    meshes = [Mesh(ball.vertices, ball.faces, speckles), Mesh(ball.vertices, ball.faces[200:], colours)]
    return [prepare(mesh) for mesh in [*meshes, Mesh(ball.vertices, ball.faces[:, ::-1]), box(), soup]]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of noise, the hardest to resize alike, of several shapes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, (h, w) in enumerate([(40, 300), (200, 90), (61, 64)]):
        Image.fromarray(rng.integers(0, 256, (h, w, 3)).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


def seeds_of(models: list[Model]) -> list[tuple[int, int]]:
    return [(4, i) for i in range(len(models))]


def draws_of(models: list[Model], settings: RenderSettings) -> list[ImageDraws]:
    return sample_draws(models, seeds_of(models), settings)


def check_same(views: list[View], drawn: DrawnViews) -> None:
    """Of the image all but 1 pixel in 1000 within 2 levels; the truth to float32's rounding."""
    expected = {name: np.stack([getattr(view, name) for view in views]) for name in ("image", "depth", "normals")}
    apart = np.abs(drawn.image.numpy().astype(int) - expected["image"]).max(axis=-1)
    assert (apart <= 2).mean() >= 0.999
    np.testing.assert_allclose(drawn.depth.numpy(), expected["depth"], rtol=1e-6)
    np.testing.assert_allclose(drawn.normals.numpy(), expected["normals"], atol=2e-6)
    np.testing.assert_allclose(drawn.amodal.numpy(), np.stack([view.amodal for view in views]), atol=1e-5)
    np.testing.assert_allclose(drawn.mask.numpy(), np.stack([view.mask for view in views]), atol=5e-5)
    assert (drawn.visible < 1.0 - OCCLUDED_FROM).tolist() == [view.occluded for view in views]
    assert drawn.truncated.tolist() == [view.truncated for view in views]


# ---------------------------------------------------------------------------------------------------- whole images


@pytest.mark.parametrize("size_hw", [(64, 64), (96, 96), (160, 140)])
@pytest.mark.parametrize(
    ("look", "augment"), [(LookSettings(), UNPACKED), (LookSettings(), CLEAN), (TEXTURED, DAMAGED)]
)
def test_images_are_the_kernels(models: list[Model], photos: Path, size_hw, look, augment) -> None:
    settings = RenderSettings(size_hw, FreeViews(truncated=0.3), look, augment, photos, photo_share=0.5)
    views = render_batch(models * 2, seeds_of(models * 2), settings)
    check_same(views, draw_views(draws_of(models * 2, settings)))
    assert len({view.truncated for view in views}) == 2


def test_images_of_odd_meshes_are_the_kernels(odd_models: list[Model]) -> None:
    assert len({(model.solid, model.topology.closed) for model in odd_models}) == 3
    settings = RenderSettings((48, 64), look=LookSettings(own_colours=1.0), augment=UNPACKED)
    views = render_batch(odd_models, seeds_of(odd_models), settings)
    check_same(views, draw_views(draws_of(odd_models, settings)))


@pytest.mark.parametrize(("backend", "size_hw"), [("torch", (40, 32)), ("triton", (9, 12))])
def test_backends_agree(backend, size_hw) -> None:
    ball = icosphere(0)  # Triton may run in its interpreter
    models = [prepare(Mesh(ball.vertices, ball.faces)), prepare(Mesh(ball.vertices, ball.faces[5:])), prepare(box())]
    settings = RenderSettings(size_hw, augment=UNPACKED)
    device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
    drawn = draw_views(draws_of(models, settings), device, backend=backend)
    drawn = DrawnViews(**{field.name: getattr(drawn, field.name).cpu() for field in fields(drawn)})
    check_same(render_batch(models, seeds_of(models), settings), drawn)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_on_a_gpu_are_the_kernels(models: list[Model], photos: Path) -> None:
    settings = RenderSettings((96, 96), look=TEXTURED, augment=DAMAGED, backgrounds=photos)
    drawn = draw_views(draws_of(models * 4, settings), "cuda")
    assert drawn.image.device.type == "cuda"
    apart = (drawn.image.cpu().int() - draw_views(draws_of(models * 4, settings)).image.int()).abs().amax(-1)
    assert (apart <= 2).double().mean() >= 0.99


def test_all_tensors_stand_on_the_device_asked_for(models: list[Model], photos: Path) -> None:
    """A tensor made where torch makes them by default would meet others from elsewhere and raise."""
    draws = draws_of(models, RenderSettings((32, 32), augment=DAMAGED, backgrounds=photos, photo_share=0.5))
    with torch.device("meta"):
        drawn = draw_views(draws, "cpu")
    assert torch.equal(drawn.image, draw_views(draws).image)


def test_an_image_is_the_same_alone(models: list[Model], photos: Path) -> None:
    """Whatever it is drawn with: more parts, faces, lights, occluders, and a longer blur."""
    settings = RenderSettings((48, 48), look=TEXTURED, augment=DAMAGED, backgrounds=photos, photo_share=0.5)
    draws = draws_of(models, settings)
    together = draw_views(draws)
    for number, image in enumerate(draws):
        alone = draw_views([image])
        apart = (alone.image[0].int() - together.image[number].int()).abs()
        assert apart.max() <= 1  # vectorised functions round otherwise at the ends of a tensor
        assert (apart == 0).double().mean() > 0.999
        assert torch.allclose(alone.mask[0], together.mask[number], atol=1e-6)
        assert torch.allclose(alone.depth[0], together.depth[number], rtol=1e-6)
        assert torch.allclose(alone.normals[0], together.normals[number], atol=1e-6)


def test_no_draws_and_several_sizes_are_refused(models: list[Model]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_views([])
    draws = [draws_of(models[:1], RenderSettings(size))[0] for size in ((16, 16), (16, 24))]
    with pytest.raises(ValueError, match="one size"):
        draw_views(draws)


def test_draws_need_one_seed_a_model(models: list[Model]) -> None:
    with pytest.raises(ValueError, match="1 seeds"):
        sample_draws(models, [(0, 0)], RenderSettings())


# ---------------------------------------------------------------------------------------------------- noise, textures


def test_hash_and_noise_are_the_kernels() -> None:
    rng = np.random.default_rng(0)
    a, b, c, seed = rng.integers(-(1 << 31), 1 << 31, (4, 200))
    expected = [int(shaded._hash(*row)) for row in zip(a, b, c, seed)]
    assert hash_bits(*(torch.from_numpy(x) for x in (a, b, c, seed))).tolist() == expected
    places, seed = rng.uniform(-30, 30, (200, 3)).astype(np.float32), seed & 0xFFFF
    flat = [shaded.flat_noise(x, y, s) for (x, y, _), s in zip(places, seed)]
    found = flat_noise(*torch.from_numpy(places[:, :2]).unbind(-1), torch.from_numpy(seed))
    np.testing.assert_allclose(found.numpy(), flat, atol=1e-6)
    solid = [shaded.value_noise(*place, s) for place, s in zip(places, seed)]
    found = value_noise(torch.from_numpy(places), torch.from_numpy(seed))
    np.testing.assert_allclose(found.numpy(), solid, atol=1e-6)


@pytest.mark.parametrize("kind", [shaded.PLAIN, shaded.NOISE, shaded.STRIPES, shaded.CHECKS, shaded.WOOD])
def test_textures_are_the_kernels(kind: int) -> None:
    rng = np.random.default_rng(kind)
    material = np.zeros((500, shaded.MATERIAL_WIDTH), np.float32)
    material[:, 0], material[:, 1], material[:, 2] = kind, rng.uniform(4, 20, 500), rng.integers(0, 65536, 500)
    axis = rng.normal(size=(500, 3))
    material[:, 3:6] = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    place = rng.uniform(-0.5, 0.5, (500, 3)).astype(np.float32)
    found = texture(torch.from_numpy(material), torch.from_numpy(place)).numpy()
    if kind == shaded.PLAIN:  # which the kernel does not ask
        assert not found.any()
        return
    expected = np.array([shaded._mixture(row, *at) for row, at in zip(material, place)])
    assert expected.std() > 0.1
    assert (np.abs(found - expected) < 1e-4).mean() >= 0.99  # a checks' or ring's edge may be met a rounding apart


# ---------------------------------------------------------------------------------------------------- shading


def test_shading_is_the_kernels(models: list[Model]) -> None:
    """From the same faces at the same samples: depth, normals, colours, and how many samples hit."""
    (h, w), s = (40, 56), 2
    draws = draws_of(models, RenderSettings((h, w), look=TEXTURED, augment=CLEAN))
    scene = stack_scene(draws, CPU)
    face_id = [rasterise(d.points[None], d.faces, h, w)[0][0] for d in draws]
    sample_id = [rasterise(d.points[None] * np.float32([s, s, 1]), d.faces, h * s, w * s)[0][0] for d in draws]
    depth, normals = find_truth(scene, torch.from_numpy(np.stack(face_id)))
    colour, hit = shade(scene, torch.from_numpy(np.stack(face_id)), torch.from_numpy(np.stack(sample_id)))
    for i, d in enumerate(draws):
        found, count = np.empty((h, w), np.float32), np.empty((h, w), np.int32)
        truth, weights, out = (np.empty((h, w, 3), np.float32) for _ in range(3))
        R, K = np.ascontiguousarray(d.R, np.float32), np.ascontiguousarray(d.K, np.float64)
        shaded.find_truth(d.points, face_id[i], K, d.faces, d.normals, R, d.box, found, weights, truth)
        shaded.shade(
            d.points, face_id[i], found, weights, truth, s, sample_id[i], K, R, d.box, d.vertices, d.faces, d.normals,
            d.colours, d.part, d.materials, d.ambient, d.lights, out, count,
        )  # fmt: skip
        np.testing.assert_allclose(depth[i].numpy(), found, rtol=1e-6)
        np.testing.assert_allclose(normals[i].numpy(), truth, atol=2e-6)
        np.testing.assert_array_equal(hit[i].numpy(), count)
        apart = np.abs(colour[i].numpy() - np.where(count[..., None] > 0, out, 0.0)).max(axis=-1)
        assert (apart[count > 0] <= 2.0).mean() >= 0.99
        assert (count > 0).any()


def test_light_is_the_kernels(models: list[Model]) -> None:
    rng = np.random.default_rng(2)
    (d,) = draws_of(models[:1], RenderSettings(look=replace(TEXTURED, lights=(3, 3))))
    scene, n = stack_scene([d], CPU), 300
    point = (rng.normal(size=(n, 3)) * 0.3 + [0.0, 0.0, 2.0]).astype(np.float32)
    normal = rng.normal(size=(n, 3))
    normal[(normal * point).sum(axis=1) > 0] *= -1.0
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    shininess = rng.choice([0.0, 8.0, 40.0, 128.0], n).astype(np.float32)
    found = light_up(scene, torch.zeros(n, dtype=torch.long), *map(torch.from_numpy, (point, normal, shininess)))
    expected = np.empty((n, 6), np.float32)
    for i in range(n):
        shaded._light_up(*point[i], *normal[i], shininess[i], d.ambient, d.lights, expected[i])
    np.testing.assert_allclose(found.reshape(n, 6).numpy(), expected, rtol=2e-4, atol=1e-5)
    assert (expected[:, 3:] > 0.01).any()


# ---------------------------------------------------------------------------------------------------- backgrounds


def test_backgrounds_are_drawn_alike(photos: Path) -> None:
    """The records paint what `paint_background` paints, and leave the generator where it leaves it."""
    folder, kinds = PhotoFolder(photos), set()
    for seed in range(40):
        rng, other = np.random.default_rng(seed), np.random.default_rng(seed)
        canvas, expected = np.empty((24, 30, 3), np.float32), np.empty((24, 30, 3), np.float32)
        found = sample_background(rng, folder, 0.4, (24, 30))
        paint_background(other, folder, 0.4, expected)
        if isinstance(found, PhotoWindow):
            painted.paint_window(found.photo, found.left, found.top, found.width, found.height, found.mirrored, canvas)
        else:
            painted.paint_scenery(found.kind, found.colours, found.numbers, found.seed, canvas)
        np.testing.assert_array_equal(canvas, expected)
        assert rng.random() == other.random()
        kinds.add(found.kind if isinstance(found, Scenery) else "photo")
    assert len(kinds) == 6


@pytest.mark.parametrize("kind", range(5))
def test_scenery_is_the_kernels(kind: int) -> None:
    rng, scenery = np.random.default_rng(kind), []
    for seed in range(6):
        angle = rng.uniform(0, 6.28)
        numbers = np.array([rng.uniform(2, 8), np.cos(angle), np.sin(angle), rng.uniform(0.35, 0.75)], np.float32)
        scenery.append(Scenery(kind, rng.uniform(0, 255, (3, 3)).astype(np.float32), numbers, 1000 * seed))
    found = paint_scenery(scenery, (40, 56), CPU).numpy()
    for image, record in zip(found, scenery):
        expected = np.empty((40, 56, 3), np.float32)
        painted.paint_scenery(record.kind, record.colours, record.numbers, record.seed, expected)
        assert (np.abs(image - expected).max(axis=-1) < 0.05).mean() >= 0.99  # but for edges met a rounding apart


def test_photo_windows_are_the_kernels() -> None:
    rng, windows = np.random.default_rng(0), []
    for rows, columns in ((90, 120), (1, 50), (700, 31), (64, 1)):
        photo = rng.integers(0, 256, (rows, columns, 3)).astype(np.uint8)
        windows += [PhotoWindow(photo, 0.2 * columns, 0.3 * rows, 0.7 * columns, 0.6 * rows, m) for m in (False, True)]
    found = paint_windows(windows, (20, 28), CPU).numpy()
    for image, d in zip(found, windows):
        expected = np.empty((20, 28, 3), np.float32)
        painted.paint_window(d.photo, d.left, d.top, d.width, d.height, d.mirrored, expected)
        np.testing.assert_allclose(image, expected, atol=0.05)


# ---------------------------------------------------------------------------------------------------- composition


@pytest.fixture
def occluded(models: list[Model]) -> list[ImageDraws]:
    """One image of each outline, one of all, one of none, and one of an ellipse so thin that it ends at its box."""
    draws = draws_of(models * 2, RenderSettings((40, 48), augment=replace(DAMAGED, occluders=(1, 1))))
    table = np.concatenate([d.occluders for d in draws])[[0, 1, 2]]
    table[:, 0] = [painted.ELLIPSE, painted.RECTANGLE, painted.STAR]
    thin = table[:1].copy()
    thin[0, 1:7] = 24.0, 20.0, 6.0, 0.5, 0.8, 0.6
    chosen = [table[:1], table[1:2], table[2:], table, table[:0], thin]
    return [replace(d, occluders=rows) for d, rows in zip(draws, chosen)]


def test_composition_is_the_kernels(occluded: list[ImageDraws]) -> None:
    """With samples missing here and there: beside others, and in one image everywhere."""
    rng, n, (h, w) = np.random.default_rng(1), len(occluded), (40, 48)
    canvas, colour = rng.uniform(0, 255, (2, n, h, w, 3)).astype(np.float32)
    hit, amodal = rng.integers(0, 5, (n, h, w)).astype(np.int32), rng.uniform(0, 1, (n, h, w)).astype(np.float32)
    hit[:, :20, :20], hit[1], amodal[:, 30:] = 0, 0, 0.0
    tensors = [torch.from_numpy(array.copy()) for array in (canvas, colour, hit, amodal)]
    found, mask, visible = compose(*tensors, stack_damages(occluded, CPU))
    for i, d in enumerate(occluded):
        seen = np.empty((h, w), np.float32)
        share = painted.compose(canvas[i], colour[i], hit[i], amodal[i], d.occluders, d.seed, seen)
        np.testing.assert_allclose(found[i].numpy(), canvas[i], atol=0.05)
        np.testing.assert_allclose(mask[i].numpy(), seen, atol=5e-5)
        assert float(visible[i]) == pytest.approx(share, abs=1e-5)
    assert visible[:4].max() < 1.0
    assert visible[4] == 1.0


def test_occluders_cover_nothing_where_there_is_none() -> None:
    assert not occluder_coverage(torch.full((2, 13), -1.0), 12, 16).any()


@pytest.mark.parametrize("change", [lambda d: d, lambda d: replace(d, blur=0.0), lambda d: replace(d, noise=0.0)])
def test_development_is_the_kernels(models: list[Model], change: Callable[[ImageDraws], ImageDraws]) -> None:
    draws = [change(d) for d in draws_of(models * 2, RenderSettings((33, 40), augment=DAMAGED))]
    canvas = np.random.default_rng(3).uniform(0, 255, (len(draws), 33, 40, 3)).astype(np.float32)
    found = develop(torch.from_numpy(canvas.copy()), stack_damages(draws, CPU)).numpy().astype(int)
    for i, d in enumerate(draws):
        expected, spare = np.empty((33, 40, 3), np.uint8), np.empty((33, 40, 3), np.float32)
        painted.develop(canvas[i], d.blur, d.gain, d.offset, d.noise, d.seed, spare, expected)
        assert np.abs(found[i] - expected).max() <= 1
        assert (found[i] == expected).mean() > 0.995
