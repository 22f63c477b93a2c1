"""Rendered images as a data set: by number, for a torch DataLoader, or as a Source."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from monoform.data.rendering.backgrounds import PhotoFolder
from monoform.data.rendering.drawing import RenderSettings, View, render_batch
from monoform.data.rendering.models import ModelLibrary
from monoform.data.samples import Item, Sample


class RenderedViews:
    """A map-style data set of rendered images; image i shows model i modulo the library's size.

    library: what is shown. length: number of images, one a model if None. voxels: object number to (q, q, q) bool.
    """

    def __init__(
        self,
        library: ModelLibrary,
        settings: RenderSettings | None = None,
        seed: int = 0,
        *,
        length: int | None = None,
        voxels: Callable[[int], np.ndarray] | None = None,
    ):
        self.library, self.settings, self.seed = library, settings or RenderSettings(), seed
        self.length = len(library) if length is None else length
        self.voxels = voxels
        self.photos = PhotoFolder(self.settings.backgrounds) if self.settings.backgrounds is not None else None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Arrays of a View by name, R, t, K, 'mesh_id', 'occluded', 'truncated', and 'voxels' where they are given."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several at once, as torch's DataLoader asks for a batch: faster, the same images."""
        return [self._as_dict(index, view) for index, view in zip(indices, self.views(indices), strict=True)]

    def views(self, indices: Sequence[int]) -> list[View]:
        """The images with their truth. Raises IndexError beyond the end."""
        for index in indices:
            if not 0 <= index < self.length:
                raise IndexError(f"image {index} of {self.length}")
        numbers = [self.mesh_id(index) for index in indices]
        return render_batch(
            [self.library.model(number) for number in numbers],
            [(self.seed, int(index)) for index in indices],
            self.settings,
            categories=[self.library.category(number) for number in numbers],
            photos=self.photos,
        )

    def mesh_id(self, index: int) -> int:
        """The library's number of the model that an image shows."""
        return int(index) % len(self.library)

    def _as_dict(self, index: int, view: View) -> dict[str, Any]:
        arrays = {name: getattr(view, name) for name in ("image", "mask", "amodal", "depth", "normals")}
        camera = {"R": view.camera.R, "t": view.camera.t, "K": view.camera.K}
        number = self.mesh_id(index)
        flags = {"occluded": view.occluded, "truncated": view.truncated}
        voxels = {"voxels": self.voxels(number)} if self.voxels else {}
        return {**arrays, **camera, "mesh_id": number, **flags, **voxels}


class RenderedSource:
    """Rendered images as a `monoform.data.samples.Source`.

    What occluders or the image's edge hide is known only once an image is drawn: `items` has no flags, a loaded Sample has.
    """

    def __init__(self, views: RenderedViews, name: str = "rendered", split: str = ""):
        self._views, self._name, self._split = views, name, split

    @property
    def name(self) -> str:
        return self._name

    def items(self) -> list[Item]:
        return [self._item(index) for index in range(len(self._views))]

    def load(self, index: int) -> Sample:
        (view,) = self._views.views([index])
        number = self._views.mesh_id(index)
        named = {"occluded": view.occluded, "truncated": view.truncated}
        item = self._item(index, frozenset(name for name, holds in named.items() if holds))
        camera = view.camera
        return Sample(
            item, view.image, view.mask, camera.R, camera.t, camera.K, self._views.library.model(number).mesh,
            None if self._views.voxels is None else self._views.voxels(number),
            "" if self._views.voxels is None else "solid", depth=view.depth, normals=view.normals,
        )  # fmt: skip

    def _item(self, index: int, flags: frozenset[str] = frozenset()) -> Item:
        library, number = self._views.library, self._views.mesh_id(index)
        object_id = library.object_id(number)
        return Item(f"{object_id}-{index:06d}", object_id, library.category(number), self._split, flags)
