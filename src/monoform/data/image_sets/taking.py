"""Image sets taken from any Source: crops of photos with masks, and renders or annotated photos with pose and shape."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from PIL import Image

from monoform.data.bad_items import BadItems, emptiness
from monoform.data.samples import Item, Sample, Source
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.projection.kernels import coverage
from monoform.voxels import voxelise

Box = tuple[float, float, float]
"""Left, top and side of a square, in pixels."""
FILL = 0.8
"""Longer side of the object's box, as a share of a crop's side."""
HARD = ("truncated", "occluded")
"""Flags of photos in which a part of the object is not seen: Zhu et al. 2017, 4.2, took them out by hand."""


def natural_from(source: Source, size: int, *, fill: float = FILL, without: Collection[str] = HARD) -> ImageSet:
    """Square crops of photos with masks, the object in the middle; R, t, K nan and no voxels (Zhu et al. 2017, 4.2).

    size: side of the crops in pixels. fill: what the longer side of the mask's box takes of it. Beyond the photo its border
    is repeated, and the mask is 0. without: flags of items that are left out.
    A corrupt or empty item is left out and listed in ``made_by["left_out"]``; TooManyBadError over one in a hundred.
    Raises InputError where no item is left.
    """
    _check(size, fill)
    taken = _Taken()
    for item, sample in _samples(source, without, taken.bad):
        image, mask = _picture_and_mask(item, sample, "source")
        crop = _cropped(image, mask, _about(mask, fill), size)
        taken.add(item, np.zeros((0, 0, 0), bool), *crop, *(np.full(shape, np.nan) for shape in ((3, 3), 3, (3, 3))))
    made_by = {"function": "natural_from", "size": size, "fill": fill}
    return taken.image_set(source, "", {**made_by, "without": sorted(without)})


def from_source(
    source: Source,
    size: int,
    side: int,
    kind: str,
    *,
    fill: float | None = None,
    voxels: Literal["source", "mesh"] = "source",
    masks: Literal["source", "mesh"] = "source",
    without: Collection[str] = (),
) -> ImageSet:
    """The images of a Source with their masks, poses and voxels, in the frame of the voxels' grid.

    size: side of the images in pixels. fill: None takes whole pictures, which must be square; a number crops a square about
    the object, whose mask's box fills that share of it. side, kind: cells a side of the grids, and 'solid' or 'shell'.
    voxels: the source's own, which must be of that side and kind, or made here of its meshes. masks: likewise; of a mesh,
    its silhouette in its pose, where the object is not cut out by hand. without: flags of items that are left out.
    Where a source knows the rotation alone t is nan, and K too where it is not known.
    A corrupt or empty item is left out and listed in ``made_by["left_out"]``; TooManyBadError over one in a hundred.
    Raises InputError for a source without what is asked for.
    """
    _check(size, FILL if fill is None else fill)
    if not {voxels, masks} <= {"source", "mesh"}:
        raise InputError(f"voxels '{voxels}', masks '{masks}'; give source or mesh")
    taken = _Taken()
    grids: dict[bytes, np.ndarray] = {}
    for item, sample in _samples(source, without, taken.bad):
        image, mask = _picture_and_mask(item, sample, masks)
        if sample.R is None:
            raise InputError(f"{item.id}: its pose is not known; leave such items out, or take natural_from")
        box = _whole(item, mask) if fill is None else _about(mask, fill)
        if voxels == "source":
            grid, (scale, offset) = _own_grid(item, sample, side, kind)
        else:
            grid, (scale, offset) = _made_grid(item, sample, side, kind, grids), (1.0, np.zeros(3))
        t, K = np.full(3, np.nan), np.full((3, 3), np.nan)
        if sample.t is not None:
            # x_grid = scale x_object + offset, and the scene is as many grid sides large as the object.
            t = scale * sample.t - sample.R @ offset
        if sample.K is not None:
            K = _K_of(sample.K, box, size)
        taken.add(item, grid, *_cropped(image, mask, box, size), sample.R, t, K)
    made_by = {"function": "from_source", "size": size, "side": side, "fill": fill, "voxels": voxels, "masks": masks}
    return taken.image_set(source, kind, {**made_by, "without": sorted(without)})


def _check(size: int, fill: float) -> None:
    if size < 8 or not 0.0 < fill <= 1.0:
        raise InputError(f"size {size}, fill {fill}; give at least 8 pixels and a share up to 1")


# --- items -------------------------------------------------------------------------------------------------------


@dataclass
class _Taken:
    """What has been taken so far."""

    rows: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    """image, mask, R, t, K of each image."""
    objects: list[int] = field(default_factory=list)
    grids: list[np.ndarray] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    """One of each object."""
    known: dict[tuple[str, bytes], int] = field(default_factory=dict)
    bad: BadItems = field(default_factory=lambda: BadItems(0))

    def add(self, item: Item, grid: np.ndarray, *row: np.ndarray) -> None:
        """One image. Near-duplicates share an id, so that an object is an id and a grid."""
        key = (item.object_id, np.packbits(grid).tobytes())
        if key not in self.known:
            self.known[key] = len(self.items)
            self.items.append(item)
            self.grids.append(grid)
        self.objects.append(self.known[key])
        self.rows.append(row)

    def image_set(self, source: Source, kind: str, made_by: dict[str, Any]) -> ImageSet:
        """The set; InputError if there is nothing in it or too many items were bad."""
        self.bad.refuse_too_many()
        if not self.rows:
            raise InputError(f"{source.name}: no item is left; check the folder, the split and the flags left out")
        images, masks, R, t, K = (np.stack(column) for column in zip(*self.rows, strict=True))
        return ImageSet(
            images, masks, R.astype(np.float32), t.astype(np.float32), K.astype(np.float32),
            np.array(self.objects, np.int64), np.stack(self.grids), tuple(item.object_id for item in self.items),
            tuple(item.category for item in self.items), kind,
            {**made_by, "source": source.name, "left_out": self.bad.records()},
        )  # fmt: skip


def _samples(source: Source, without: Collection[str], bad: BadItems) -> Iterator[tuple[Item, Sample]]:
    """The items with none of the flags and what they hold; those that cannot be used go to `bad`."""
    listed = [(i, item) for i, item in enumerate(source.items()) if not item.flags & set(without)]
    bad.total = len(listed)
    for index, item in listed:
        try:
            sample = source.load(index)
            error = emptiness(sample)
        except InputError as raised:
            sample, error = None, " ".join(str(raised).split())
        if sample is None or error:
            bad.add(item, error)
        # Some flags show only once an item is decoded.
        elif not sample.item.flags & set(without):
            yield item, sample


def _own_grid(item: Item, sample: Sample, side: int, kind: str) -> tuple[np.ndarray, tuple[float, np.ndarray]]:
    if sample.voxels is None:
        raise InputError(f"{item.id}: has no voxels of its own; take voxels='mesh', or a source with voxels")
    if len(sample.voxels) != side or sample.voxel_kind != kind:
        raise InputError(
            f"{item.id}: its voxels are {sample.voxel_kind} with side {len(sample.voxels)}, not {kind} with {side}; "
            "ask for these, or take voxels='mesh'"
        )
    return sample.voxels, sample.voxel_frame or (1.0, np.zeros(3))


def _made_grid(item: Item, sample: Sample, side: int, kind: str, made: dict[bytes, np.ndarray]) -> np.ndarray:
    """The voxels of the mesh in its canonical frame, made once for all images of it."""
    if sample.mesh is None:
        raise InputError(
            f"{item.id}: has no mesh to make voxels of; take voxels='source', or open the set with its meshes"
        )
    content = hashlib.sha256(sample.mesh.vertices.tobytes() + sample.mesh.faces.tobytes()).digest()
    if content not in made:
        made[content] = voxelise(sample.mesh, side, kind)
    return made[content]


# --- pictures ----------------------------------------------------------------------------------------------------


def _picture_and_mask(item: Item, sample: Sample, masks: str) -> tuple[np.ndarray, np.ndarray]:
    """(h, w, 3) uint8 and (h, w) float32."""
    if sample.image is None:
        raise InputError(f"{item.id}: has no picture; give a source with pictures")
    if masks == "mesh":
        return sample.image, _silhouette(item, sample)
    if sample.mask is None:
        raise InputError(f"{item.id}: has no mask; take another source, or masks='mesh' of one with poses and meshes")
    return sample.image, sample.mask


def _silhouette(item: Item, sample: Sample) -> np.ndarray:
    """(h, w) float32: the share of each pixel that the mesh in its pose covers."""
    mesh, R, t, K = sample.mesh, sample.R, sample.t, sample.K
    if mesh is None or R is None or t is None or K is None or sample.image is None:
        raise InputError(f"{item.id}: has no mesh with a whole pose to make a mask of; take masks='source'")
    points = mesh.vertices @ R.T + t
    if points[:, 2].min() <= 0.0:
        raise InputError(f"{item.id}: its mesh reaches behind the camera; leave such items out, or take masks='source'")
    projected = np.concatenate([(points @ K.T)[:, :2] / points[:, 2:], points[:, 2:]], axis=1)
    height, width = sample.image.shape[:2]
    topology = coverage.Topology(mesh.faces, mesh.vertices)
    share = coverage.forward(projected[None].astype(np.float32), topology, height, width)[0][0]
    if share.max() < 0.5:
        raise InputError(f"{item.id}: its mesh is not in the picture; leave such items out, or take masks='source'")
    return share


def _whole(item: Item, mask: np.ndarray) -> Box:
    height, width = mask.shape
    if height != width:
        raise InputError(f"{item.id}: its picture is {width} x {height}, not square; give a fill, such as {FILL}")
    return 0.0, 0.0, float(width)


def _about(mask: np.ndarray, fill: float) -> Box:
    """The square in whose middle the mask's box stands, its longer side `fill` of the square's."""
    rows, columns = np.flatnonzero((mask >= 0.5).any(axis=1)), np.flatnonzero((mask >= 0.5).any(axis=0))
    low, high = np.array([columns[0], rows[0]]), np.array([columns[-1], rows[-1]]) + 1
    span = float((high - low).max()) / fill
    left, top = (low + high - span) / 2.0
    return float(left), float(top), span


def _cropped(image: np.ndarray, mask: np.ndarray, box: Box, size: int) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) uint8 and (size, size) uint8 of a square that may reach over the picture's edge."""
    left, top, span = box
    height, width = mask.shape
    # Two pixels more, for the filter that resizes.
    before = [max(0, int(np.ceil(-start)) + 2) for start in (top, left)]
    after = [max(0, int(np.ceil(start + span - end)) + 2) for start, end in ((top, height), (left, width))]
    picture = Image.fromarray(np.pad(image, [*zip(before, after, strict=True), (0, 0)], mode="edge"))
    x, y = left + before[1], top + before[0]
    picture = picture.resize((size, size), Image.Resampling.BILINEAR, (x, y, x + span, y + span))
    covered = _shares(top, span, size, height) @ mask @ _shares(left, span, size, width).T
    return np.asarray(picture), np.rint(255.0 * np.clip(covered, 0.0, 1.0)).astype(np.uint8)


def _shares(start: float, span: float, size: int, length: int) -> np.ndarray:
    """(size, length): the share of each new pixel that lies in each of the old ones. Exact where Pillow's box filter is not."""
    edges, old = start + span / size * np.arange(size + 1)[:, None], np.arange(length)
    overlap = np.minimum(edges[1:], old + 1) - np.maximum(edges[:-1], old)
    return np.clip(overlap, 0.0, None) * (size / span)


def _K_of(K: np.ndarray, box: Box, size: int) -> np.ndarray:
    """(3, 3) intrinsics in the pixels of a square cut out and resized."""
    left, top, span = box
    moved = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, span / size]])
    return size / span * moved @ K
