"""A tiny set in memory, with whatever faults a test asks for, and a listener that only counts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from monoform.data.procedural.photographs import Photograph, take_photograph
from monoform.data.samples import Item, Sample
from monoform.errors import InputError
from monoform.meshes import Mesh, box, concatenate, normalise

SIDE = 48


@cache
def shape(number: int) -> Mesh:
    """A thin bar beside a block, each number its own; box diagonal 1."""
    rng = np.random.default_rng(number)
    parts = [box(rng.uniform(0.2, 1.0, 3)), box(rng.uniform(0.05, 0.3, 3), (0.9, 0.4, rng.uniform(-0.5, 0.5)))]
    mesh = normalise(concatenate(parts))[0]
    return replace(mesh, colours=rng.integers(30, 220, mesh.vertices.shape, dtype=np.uint8))


@cache
def shot(number: int, view: int) -> Photograph:
    """One view of a shape."""
    return take_photograph(shape(number), seed=100 * number + view, size_wh=(SIDE, SIDE))


def sample(number: int, view: int) -> Sample:
    """A view with all that a sample can have."""
    taken = shot(number, view)
    voxels = np.zeros((6, 6, 6), bool)
    voxels[1:5, 2:4, 1 : 3 + number % 3] = True
    voxels.ravel()[number % 216] = True
    return Sample(
        Item(f"bar-{number:03d}.{view}", f"bar-{number:03d}", "bar", flags=frozenset({"difficult"} if view else ())),
        taken.photo.image,
        taken.mask,
        R=taken.R,
        t=taken.t,
        K=taken.K,
        mesh=shape(number),
        voxels=voxels,
        voxel_kind="solid",
        voxel_frame=(0.5, np.array([0.1, 0.0, 0.0])),
        depth=np.where(taken.mask > 0.5, taken.t[2], np.inf).astype(np.float32),
        box_xyxy=np.array([3.25, 2.0, SIDE - 1.5, SIDE]),
        keypoints={"corner": np.array([0.1, 0.2, 0.3]), "none": np.full(3, np.nan)},
    )


@dataclass
class TinySet:
    """Views of numbered shapes, a Source; `change` replaces the sample of an item or raises InputError for it."""

    shapes: int = 3
    views: int = 2
    change: dict[int, Callable[[Sample], Sample]] = field(default_factory=dict)
    splits: dict[int, str] = field(default_factory=dict)
    """Given split by item."""
    stop_at: int | None = None
    """The item at which the user presses Ctrl-C."""
    loaded: list[int] = field(default_factory=list)
    name: str = "tiny"

    def items(self) -> list[Item]:
        """All views of the first shape, then of the next."""
        every = [sample(number, view).item for number in range(self.shapes) for view in range(self.views)]
        return [replace(item, split=self.splits.get(i, "")) for i, item in enumerate(every)]

    def load(self, index: int) -> Sample:
        """The view, after the change that is asked for it."""
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.loaded.append(index)
        found = replace(sample(*divmod(index, self.views)), item=self.items()[index])
        return self.change[index](found) if index in self.change else found


def damaged(found: Sample) -> Sample:
    """What a reader does with a corrupt file."""
    raise InputError(f"{found.item.id}.png: breaks off; get it again")


@dataclass
class Counting:
    """A listener that remembers what it was told."""

    started: list[tuple[int, int]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def start(self, total: int, done: int) -> None:
        """Of `total` items, `done` were there before."""
        self.started.append((total, done))

    def step(self, item: Item, error: str) -> None:
        """An item has ended."""
        if error:
            self.errors.append(f"{item.id}: {error}")
