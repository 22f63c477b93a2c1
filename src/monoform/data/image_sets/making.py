"""What every drawn set has in common: objects placed in their grids with cameras around them, drawn some at a time."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.rendering.backgrounds import PhotoFolder, Photos
from monoform.data.rendering.drawing import RenderSettings, render_batch
from monoform.data.rendering.models import Entry, Model, ModelLibrary
from monoform.data.rendering.poses import Camera
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.projection.kernels import threads
from monoform.results import plain

_BATCH = 32
"""Objects that are ready at once."""


@dataclass(frozen=True, eq=False)
class Placed:
    """An object in its grid, and the cameras around it, in grid sides."""

    scale: float
    """Length of the object's box diagonal in grid sides."""
    grid: np.ndarray
    """(q, q, q) bool [z, y, x]."""
    cameras: list[Camera]


@dataclass(frozen=True, eq=False)
class DrawnObjects:
    """The objects of a set, a category and an id each. Raises InputError unless there is one of each, and no id twice."""

    entries: Sequence[Entry]
    categories: Sequence[str]
    ids: Sequence[str]

    def __post_init__(self) -> None:
        if not len(self.entries) == len(self.categories) == len(self.ids) > 0:
            raise InputError(
                f"{len(self.entries)} shapes, {len(self.categories)} categories, {len(self.ids)} ids; give one each"
            )
        if len(set(self.ids)) < len(self.ids):
            raise InputError("two shapes have one id, so their images would have the same draws; give ids that differ")


@dataclass(frozen=True)
class Numbers:
    """Sizes of a set and its seed. Raises InputError for what no set has."""

    size: int
    """Side of the images in pixels."""
    views: int
    """Images a shape."""
    seed: int
    side: int
    """Cells a side of the grids."""

    def __post_init__(self) -> None:
        if self.size < 8 or self.views < 1 or self.seed < 0:
            raise InputError(f"size {self.size}, views {self.views}, seed {self.seed}; give at least 8, 1 and 0")


def make_set(
    shapes: DrawnObjects,
    numbers: Numbers,
    place: Callable[[Model, str, int], Placed],
    settings: RenderSettings,
    photos: Photos | None,
    kind: str,
    made_by: dict[str, Any],
) -> ImageSet:
    """All images of a set; views of an object stand together. Masks are what the object covers, behind occluders too.

    place: of a model, its category and a number for the generators of its draws, which its id and the seed alone decide.
    kind: of the voxels. made_by: the function's name and what of its settings `numbers` does not hold.
    """
    n, m, size, side = len(shapes.ids) * numbers.views, len(shapes.ids), numbers.size, numbers.side
    made = ImageSet(
        np.empty((n, size, size, 3), np.uint8), np.empty((n, size, size), np.uint8), np.empty((n, 3, 3), np.float32),
        np.empty((n, 3), np.float32), np.empty((n, 3, 3), np.float32), np.repeat(np.arange(m), numbers.views),
        np.empty((m, side, side, side), bool), tuple(shapes.ids), tuple(shapes.categories), kind,
        plain({"function": made_by["function"], **asdict(numbers), **made_by}),
    )  # fmt: skip
    library = ModelLibrary(shapes.entries, shapes.categories, capacity=_BATCH)
    for start in range(0, m, _BATCH):
        _fill(made, range(start, min(start + _BATCH, m)), shapes, numbers, place, settings, photos, library)
    return made


def _fill(
    made: ImageSet,
    objects: range,
    shapes: DrawnObjects,
    numbers: Numbers,
    place: Callable[[Model, str, int], Placed],
    settings: RenderSettings,
    photos: Photos | None,
    library: ModelLibrary,
) -> None:
    """Some objects' rows of a set."""
    names = [_name(numbers.seed, shapes.ids[number]) for number in objects]

    def placed(first: int, stop: int) -> list[Placed]:
        part = zip(objects[first:stop], names[first:stop], strict=True)
        return [place(library.model(number), shapes.categories[number], name) for number, name in part]

    spans = threads.run([partial(placed, *span) for span in threads.spans(len(objects))])
    found = [one for span in spans for one in span]
    views = numbers.views
    models = [library.model(number) for number in objects for _ in range(views)]
    seeds = [(name, view) for name in names for view in range(views)]
    # The renderer counts in box diagonals, and a diagonal is `scale` grid sides long.
    cameras = [Camera(c.R, c.t / one.scale, c.K) for one in found for c in one.cameras]
    first = objects.start * views
    for row, view in enumerate(render_batch(models, seeds, settings, photos=photos, cameras=cameras), first):
        made.images[row] = view.image
        made.masks[row] = np.rint(255.0 * view.amodal)
    for number, one in zip(objects, found, strict=True):
        rows = slice(number * views, (number + 1) * views)
        made.voxels[number] = one.grid
        for name in ("R", "t", "K"):
            getattr(made, name)[rows] = [getattr(camera, name) for camera in one.cameras]


def _name(seed: int, object_id: str) -> int:
    """A number for a shape of a set, for the generators of all its draws."""
    return int(np.random.SeedSequence([seed, *object_id.encode()]).generate_state(1, np.uint64)[0])


def open_photos(folder: Path | None) -> PhotoFolder | None:
    """The folder's photos; None without a folder."""
    return None if folder is None else PhotoFolder(folder)


def photos_record(folder: PhotoFolder | None) -> dict[str, Any] | None:
    """Which photos these are, for a set's record."""
    return None if folder is None else folder.record()
