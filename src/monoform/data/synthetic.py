"""Procedural shapes and rendered images of them as a Source: every item from seeds alone."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from monoform.data.blender import CyclesImage, render_with_blender
from monoform.data.categories import library_name
from monoform.data.procedural.parts import Shape
from monoform.data.procedural.shapes import CATEGORIES, KINDS, make_shape
from monoform.data.rendering.augment import CLEAN, AugmentSettings
from monoform.data.rendering.backgrounds import PhotoFolder, paint_background
from monoform.data.rendering.drawing import RenderSettings, render_batch
from monoform.data.rendering.models import Model, prepare
from monoform.data.rendering.poses import PRESETS, FixedViews, FreeViews
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.voxels import voxelise_solid

CAMERAS = ("upright", "any", "prior", *PRESETS)
_SHAPES_HELD = 8
_LARGEST_VOXELS, _LARGEST_SIZE, _MOST_ITEMS, _LARGEST_SEED = 256, 2048, 2_000_000, 1 << 62


@dataclass(frozen=True, eq=False)
class SyntheticSet:
    """Rendered images of procedural shapes; a Source. `items` has no flags: what is hidden shows once it is drawn."""

    categories: tuple[str, ...]
    count: int
    """Shapes a category; their seeds are `seed`, `seed` + 1, ..., so that sets of overlapping seeds share shapes."""
    views: int
    """Images a shape; the seed of a view is its shape's name and its number."""
    seed: int
    kind: str | None
    """One of the category's kinds; None for all, as common as they are."""
    settings: RenderSettings
    voxels: int
    """Cells a side of the grids; 0 for none."""
    photos: PhotoFolder | None = None
    blender_python: Path | None = None
    """A Python with bpy, whose Cycles draws the objects instead."""
    _drawn: dict[int, list[CyclesImage]] = field(default_factory=dict, repr=False)
    """Of the last shapes: Blender starts slowly, so it draws all views of a shape at once."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def name(self) -> str:
        """The categories, and the kind if there is only one."""
        return "-".join(("synthetic", *self.categories, *((self.kind,) if self.kind else ())))

    def items(self) -> list[Item]:
        """All views of the first shape, then of the next."""
        return [self._item(index) for index in range(len(self.categories) * self.count * self.views)]

    def load(self, index: int) -> Sample:
        """Make the shape and draw it."""
        category, seed, view_number = self._parts(index)
        item = self._item(index)
        shape, model = _shape_and_model(category, seed, self.kind)
        seeds = [(_seed_of(item.object_id), view_number)]
        (view,) = render_batch([model], seeds, self.settings, categories=[category], photos=self.photos)
        image, mask = view.image, view.mask
        named = {"occluded": view.occluded, "truncated": view.truncated}
        if self.blender_python is not None:
            image, mask = self._by_blender(index, item.object_id, model), view.amodal
            named["occluded"] = False
        flags = frozenset(name for name, holds in named.items() if holds)
        cells = _solid(category, seed, self.kind, self.voxels) if self.voxels else None
        return Sample(
            Item(item.id, item.object_id, category, flags=flags),
            image,
            mask,
            R=view.camera.R,
            t=view.camera.t,
            K=view.camera.K,
            mesh=model.mesh,
            voxels=cells,
            voxel_kind="solid" if cells is not None else "",
            depth=view.depth,
            normals=view.normals,
            keypoints=shape.keypoints,
        )

    def _by_blender(self, index: int, object_id: str, model: Model) -> np.ndarray:
        """(h, w, 3) uint8: the object by Cycles before a background of its own."""
        assert self.blender_python is not None
        number, view_number = divmod(index, self.views)
        seed = _seed_of(object_id)
        with self._lock:
            if number not in self._drawn:
                seeds = [(seed, view) for view in range(self.views)]
                categories = [self._parts(index)[0]] * self.views
                views = render_batch(
                    [model] * self.views, seeds, self.settings, categories=categories, photos=self.photos
                )
                with tempfile.TemporaryDirectory(prefix="monoform-blender-") as folder:
                    drawn = render_with_blender([model] * self.views, views, self.blender_python, Path(folder))
                while len(self._drawn) >= _SHAPES_HELD:
                    self._drawn.pop(next(iter(self._drawn)))
                self._drawn[number] = drawn
            drawn = self._drawn[number][view_number]
        background = np.empty(drawn.image.shape, np.float32)
        rng = np.random.default_rng((seed, view_number, 1))
        paint_background(rng, self.photos, self.settings.photo_share, background)
        picture = drawn.image + (1.0 - drawn.mask[..., None]) * background
        return np.clip(np.rint(picture), 0.0, 255.0).astype(np.uint8)

    def _parts(self, index: int) -> tuple[str, int, int]:
        """Category, seed of the shape, number of the view."""
        shape, view = divmod(index, self.views)
        place, number = divmod(shape, self.count)
        return self.categories[place], self.seed + number, view

    def _item(self, index: int) -> Item:
        category, seed, view = self._parts(index)
        object_id = "-".join((category, *((self.kind,) if self.kind else ()), f"{seed:06d}"))
        return Item(f"{object_id}-{view:02d}", object_id, category)


def open_synthetic(
    categories: Sequence[str],
    count: int,
    *,
    views: int = 4,
    seed: int = 0,
    kind: str | None = None,
    size: int = 224,
    voxels: int = 32,
    cameras: str = "upright",
    backgrounds: Path | None = None,
    clean: bool = False,
    blender_python: Path | None = None,
) -> SyntheticSet:
    """Images of `count` shapes of each category. Raises InputError for what there is not.

    size: width and height in pixels. cameras: one of CAMERAS. backgrounds: a folder of photos, procedural scenery without.
    clean: no occluders, blur, noise and compression, and no object over the edge. blender_python: a Python with bpy; Cycles
    then draws the objects, without occluders, blur, noise and compression.
    """
    categories = list(dict.fromkeys(map(library_name, categories)))
    unknown = [name for name in categories if name not in CATEGORIES]
    if unknown or not categories:
        raise InputError(f"no shapes of the category '{', '.join(unknown)}'; give some of {', '.join(CATEGORIES)}")
    if kind is not None and len(categories) > 1:
        raise InputError(f"the kind '{kind}' belongs to one category; give one category with it")
    if kind is not None and kind not in KINDS[categories[0]]:
        raise InputError(f"no {categories[0]} of the kind '{kind}'; give one of {', '.join(KINDS[categories[0]])}")
    _refuse_out_of_range(
        ("count", count, 1, _MOST_ITEMS),
        ("views", views, 1, _MOST_ITEMS),
        ("seed", seed, 0, _LARGEST_SEED),
        ("size", size, 16, _LARGEST_SIZE),
        ("voxels", voxels, 0, _LARGEST_VOXELS),
        ("items", len(categories) * count * views, 1, _MOST_ITEMS),
    )
    if cameras not in CAMERAS:
        raise InputError(f"no cameras '{cameras}'; give one of {', '.join(CAMERAS)}")
    settings = RenderSettings(
        (size, size), _views(cameras, clean), augment=CLEAN if clean else AugmentSettings(), backgrounds=backgrounds
    )
    photos = None if backgrounds is None else PhotoFolder(backgrounds)
    return SyntheticSet(tuple(categories), count, views, seed, kind, settings, voxels, photos, blender_python)


def _refuse_out_of_range(*limits: tuple[str, int, int, int]) -> None:
    """Of (name, value, lowest, highest) each."""
    for name, value, low, high in limits:
        if not low <= value <= high:
            raise InputError(f"{name} {value}: give {low} to {high}")


def _views(cameras: str, clean: bool) -> FreeViews | FixedViews:
    if cameras in PRESETS:
        return PRESETS[cameras]
    return FreeViews(cameras, truncated=0.0) if clean else FreeViews(cameras)  # pyright: ignore[reportArgumentType]


def _seed_of(object_id: str) -> int:
    return int(np.random.SeedSequence([*object_id.encode()]).generate_state(1)[0])


@lru_cache(maxsize=16)
def _shape_and_model(category: str, seed: int, kind: str | None) -> tuple[Shape, Model]:
    shape = make_shape(category, seed, kind)
    return shape, prepare(shape.mesh, shape.part_of_face)


@lru_cache(maxsize=8)
def _solid(category: str, seed: int, kind: str | None, side: int) -> np.ndarray:
    cells = voxelise_solid(_shape_and_model(category, seed, kind)[1].mesh, side)
    cells.flags.writeable = False
    return cells
