"""The object's mask: from a file, the photo's own transparency, a box around it (GrabCut), or rembg; then cleaned."""

import importlib
import math
import os
from dataclasses import replace
from typing import Literal

import numpy as np

from monoform.errors import EmptyMaskError, FullMaskError, InputError, MissingExtraError
from monoform.files.atomic import printable_name
from monoform.files.images import fit_to_photo, load_mask_file
from monoform.files.pixels import coverage_from_array
from monoform.interfaces import Mask, Photo

Keep = Literal["largest", "all"]
Invert = Literal["auto", "always", "never"]

_PART = 0.005  # a part smaller than this share of the largest one is no object
_SPECK = 0.0001  # nor is it, below this share, a piece of an object seen through leaves
_GAP = 0.05  # parts closer than this share of the largest one's diagonal are pieces of one object
_MOSTLY = 0.8  # a border with a larger share of foreground is taken for the background
_GRABCUT_SIDE = 640  # GrabCut's time grows with the pixels; its outline is refined to the photo's by interpolation
_GRABCUT_STEPS = 4
_HOLE = 0.02  # holes below this share of what GrabCut found are windows and glints, not background
_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def find_mask(
    photo: Photo,
    *,
    mask_path: str | os.PathLike[str] | bytes | None = None,
    box_xyxy: tuple[float, float, float, float] | None = None,
    keep: Keep = "largest",
    invert: Invert = "auto",
    resize_mask: bool = False,
) -> Mask:
    """The mask of the object in `photo`, from the first of: file, transparency, box with GrabCut, rembg if installed.

    `box_xyxy` is in pixels of the upright photo, (left, top, right, bottom). `keep` says whether the largest connected
    part counts, with those close to it (an object behind a pole), or all that are no specks; `invert` whether a mask
    with foreground along the border is turned around.
    Raises InputError if there is no way to a mask, EmptyMaskError, FullMaskError, MissingExtraError.
    """
    if mask_path is not None:
        name = "mask bytes" if isinstance(mask_path, bytes) else printable_name(mask_path)
        coverage = load_mask_file(mask_path, photo.size_hw, resize=resize_mask)
        return _cleaned(coverage, "file", name, keep, invert)
    name = printable_name(photo.path) if photo.path else "photo"
    notes: tuple[str, ...] = ()
    if photo.alpha is not None:
        if _border_share(photo.alpha >= 0.5) <= _MOSTLY:
            notes = ("the box is not used: the photo's transparency tells the object",) if box_xyxy else ()
            return _cleaned(photo.alpha, "alpha", name, keep, "never", notes)
        notes = ("the photo's transparency is not used: it leaves out only a part of the border",)
    if box_xyxy is not None:
        box = _checked_box(box_xyxy, photo.size_hw)
        mask = _cleaned(_grabcut(photo.image, box), "box", name, keep, "never", notes)
        return replace(mask, warnings=(*mask.warnings, *_doubts_about_box(mask, box)))
    coverage = _rembg(photo.image)
    if coverage is None:
        raise InputError(f"{name}: no mask; give --mask FILE, a photo with alpha, or --box left,top,right,bottom")
    return _cleaned(coverage, "rembg", name, keep, "never", notes)


def mask_from_array(
    array: np.ndarray, size_hw: tuple[int, int], *, keep: Keep = "largest", invert: Invert = "auto"
) -> Mask:
    """A mask from an array (h, w) of bool, 0/1, 0..255 or float coverage, cleaned like a file; it is not changed."""
    name = "mask array"
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[-1]):
        array = array.reshape(array.shape[1:] if array.shape[0] == 1 else array.shape[:2])
    if array.ndim != 2 or array.size == 0:
        raise InputError(f"{name}: shape {array.shape} is not (h, w); give one mask of the photo's size")
    coverage = fit_to_photo(coverage_from_array(array, name), size_hw, name, resize=False)
    return _cleaned(coverage, "array", name, keep, invert)


def _cleaned(
    coverage: np.ndarray, source: str, name: str, keep: Keep, invert: Invert, notes: tuple[str, ...] = ()
) -> Mask:
    """Turn around, drop specks and lesser parts, and report what was found."""
    _check_not_uniform(coverage >= 0.5, name)
    if invert == "always" or (invert == "auto" and _border_share(coverage >= 0.5) > _MOSTLY):
        coverage = np.float32(1) - coverage
        if invert == "auto":
            notes = (*notes, "the mask was inverted: its foreground ran along the photo's border")
    coverage, parts, about_parts = _keep_parts(coverage, keep)
    notes = (*notes, *about_parts)
    truncated = _touches_border(coverage >= 0.5)
    if truncated:
        notes = (*notes, "the object touches the photo's border: a part of it may be outside")
    return Mask(coverage.astype(np.float32), source, components=parts, truncated=truncated, warnings=notes)


def _check_not_uniform(foreground: np.ndarray, name: str) -> None:
    if not foreground.any():
        raise EmptyMaskError(f"{name}: the mask is empty; paint the object white on black, or give a box instead")
    if foreground.all():
        raise FullMaskError(f"{name}: the mask covers the whole photo; paint only the object, or give a box instead")


def _keep_parts(coverage: np.ndarray, keep: Keep) -> tuple[np.ndarray, int, tuple[str, ...]]:
    """Coverage with the kept parts and their own soft edges, number of parts found, notes about the others."""
    foreground = coverage >= 0.5
    labels, parts = _label(foreground)
    if parts == 1:
        return coverage, 1, ()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept, notes = sizes >= max(_PART * sizes.max(), 1), ()
    if keep == "largest":
        kept = _near_the_largest(labels, sizes)
        notes = _notes_on_parts(sizes, kept)
    chosen = kept[labels]
    # A soft edge (below 0.5) goes with the part that it touches, so what is left out takes its own along.
    around, _ = _label((coverage > 0) & ~(foreground & ~chosen))
    near = np.bincount(around[chosen], minlength=around.max() + 1) > 0
    return np.where(near[around], coverage, np.float32(0)), parts, notes


def _label(foreground: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the connected parts (diagonal contact counts) from 1; 0 is background."""
    from scipy import ndimage

    labels = np.zeros(foreground.shape, np.int32)
    count: int = ndimage.label(foreground, _EIGHT_NEIGHBOURS, output=labels)  # pyright: ignore[reportAssignmentType]
    return labels, count


def _near_the_largest(labels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Which parts make one object with the largest: gaps as a pole or leaves before the object cut are bridged."""
    from scipy import ndimage

    largest = sizes.argmax()
    pieces = sizes >= min(max(_SPECK * sizes.max(), 4), sizes.max())
    rows, columns = ndimage.find_objects(labels)[largest - 1]
    reach = math.ceil(_GAP / 2 * math.hypot(rows.stop - rows.start, columns.stop - columns.start))
    grown = ndimage.maximum_filter(pieces[labels].view(np.uint8), size=2 * reach + 1)
    groups, _ = _label(grown)
    group = groups[labels == largest][0]
    return pieces & (np.bincount(labels[groups == group], minlength=len(pieces)) > 0)


def _notes_on_parts(sizes: np.ndarray, kept: np.ndarray) -> tuple[str, ...]:
    total = sizes.sum()
    left_out, joined = 1 - sizes[kept].sum() / total, (sizes[kept].sum() - sizes.max()) / total
    notes = []
    if joined > 0.05:
        notes.append(f"{kept.sum()} parts of the mask lie so close together that they are taken for one object")
    if left_out > 0.05:
        notes.append(f"the mask has {np.count_nonzero(sizes)} parts; those left out hold {left_out:.0%} of its area")
    return tuple(notes)


def _border_share(foreground: np.ndarray) -> float:
    """Share of foreground among the outermost pixels."""
    edges = (foreground[0], foreground[-1], foreground[1:-1, 0], foreground[1:-1, -1])
    return float(np.concatenate(edges).mean())


def _touches_border(foreground: np.ndarray) -> bool:
    """Whether the object reaches the outermost 0.2 %: masks made at a lower resolution often stop just before."""
    margin = max(1, round(0.002 * max(foreground.shape)))
    inner = foreground[margin:-margin, margin:-margin]
    return bool(foreground.sum() > inner.sum())


def _grabcut(image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """Coverage (h, w) of the object in a box: GrabCut (Rother 2004) on the box and its surroundings, always the same.

    Everything outside the box is background; inside, colour models of both are fitted in turn with a minimum cut.
    """
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError as error:
        raise MissingExtraError("a mask from a box needs OpenCV: pip install monoform[masks]") from error
    window = _surroundings(box, image.shape[:2])
    crop = np.ascontiguousarray(image[window])
    scale = min(1.0, _GRABCUT_SIDE / max(crop.shape[:2]))
    small = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else crop
    labels = np.full(small.shape[:2], cv2.GC_BGD, np.uint8)
    left, top = (box[0] - window[1].start) * scale, (box[1] - window[0].start) * scale
    right, bottom = (box[2] - window[1].start) * scale, (box[3] - window[0].start) * scale
    labels[math.floor(top) : math.ceil(bottom), math.floor(left) : math.ceil(right)] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), _GRABCUT_STEPS, cv2.GC_INIT_WITH_MASK)
    except cv2.error as error:
        raise InputError("GrabCut finds nothing to tell apart in the box; draw it closer, or give a mask") from error
    found = _without_small_holes(np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))).astype(np.float32)
    coverage = np.zeros(image.shape[:2], np.float32)
    coverage[window] = found if scale == 1 else cv2.resize(found, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return coverage


def _without_small_holes(found: np.ndarray) -> np.ndarray:
    labels, _ = _label(~found)
    holes = np.bincount(labels.ravel()) < _HOLE * found.sum()
    return found | holes[labels]


def _doubts_about_box(mask: Mask, box: tuple[int, int, int, int]) -> tuple[str, ...]:
    """A box is drawn around the object, so what was found should reach its sides."""
    rows, columns = ((mask.coverage >= 0.5).any(axis) for axis in (1, 0))
    share = min(np.ptp(np.flatnonzero(columns)) / (box[2] - box[0]), np.ptp(np.flatnonzero(rows)) / (box[3] - box[1]))
    if share > 0.8:
        return ()
    return (f"the outline found in the box spans only {share:.0%} of it: check mask.png, or give a mask",)


def _checked_box(box_xyxy: tuple[float, float, float, float], size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box in whole pixels inside the photo, with some background around it, or an InputError."""
    height, width = size_hw
    shown = f"box {','.join(f'{value:g}' for value in box_xyxy)}"
    if len(box_xyxy) != 4 or not all(math.isfinite(value) for value in box_xyxy):
        raise InputError(f"{shown}: not four numbers; give left,top,right,bottom in pixels of the upright photo")
    left, top, right, bottom = (round(value) for value in box_xyxy)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 8 or bottom - top < 8:
        raise InputError(f"{shown}: has no 8 x 8 pixels in the {width} x {height} photo; order: left,top,right,bottom")
    if (right - left) * (bottom - top) > 0.98 * width * height:
        raise InputError(f"{shown}: covers the whole photo; leave a margin of background, or give a mask")
    return left, top, right, bottom


def _surroundings(box: tuple[int, int, int, int], size_hw: tuple[int, int]) -> tuple[slice, slice]:
    """The box and half its size on every side: enough background to learn its colours from."""
    left, top, right, bottom = box
    x, y = (right - left) // 2, (bottom - top) // 2
    rows = slice(max(top - y, 0), min(bottom + y, size_hw[0]))
    return rows, slice(max(left - x, 0), min(right + x, size_hw[1]))


def _rembg(image: np.ndarray) -> np.ndarray | None:
    """Coverage by rembg's network if the user has installed it, else None; it is never installed from here."""
    try:
        rembg = importlib.import_module("rembg")
    except ImportError:
        return None
    return np.asarray(rembg.remove(image, only_mask=True), np.float32) / np.float32(255)
