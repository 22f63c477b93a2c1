"""Photos and masks from files, bytes and arrays: one door, behind which every bad picture is one InputError.

Order of the checks: size of the file, what its bytes are, size of the picture, and only then decoding.
"""

import io
import json
import logging
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, features

from monoform.errors import InputError, SchemaError
from monoform.files.atomic import printable_name, write_atomic
from monoform.files.contents import identify
from monoform.files.exif import Exif, read_exif
from monoform.files.pixels import (
    composite,
    coverage_from_image,
    rgb_from_array,
    split_colour,
    turn_upright,
)
from monoform.files.run_length import decode_rle
from monoform.interfaces import Photo

MAX_PIXELS = 64_000_000
MAX_BYTES = 512_000_000
MIN_SIDE = 16
MAX_ASPECT = 8
MAX_JPEG_SCANS = 100

_JPEG_SCAN = b"\xff\xda"  # a progressive JPEG has about ten; each costs a pass over all its pixels
_log = logging.getLogger(__name__)
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what Pillow says of damage is not for the user's terminal
# Pillow keeps its limits in module globals, so pictures are decoded one at a time while they are ours.
_pillow_lock = threading.Lock()


def load_image(
    source: str | os.PathLike[str] | bytes | np.ndarray, *, max_pixels: int = MAX_PIXELS, lenient: bool = False
) -> Photo:
    """Read a photo from a file, from the bytes of one, or from an RGB array (which is never changed or kept).

    The result is upright (EXIF orientation applied) and in sRGB (embedded profile applied); a transparent picture is
    put on white and keeps its alpha if that tells the object from the rest. EXIF is read only for the orientation and
    the focal length. Only the first frame of an animation is taken.
    `lenient` accepts a file that breaks off and warns, instead of refusing it.
    Raises InputError for everything that is not a usable picture, EmptyMaskError for an entirely transparent one.
    """
    if isinstance(source, np.ndarray):
        return _photo_from_array(source, max_pixels)
    path, name, data = _read(source)
    image, notes = _decode(data, name, max_pixels, lenient)
    _check_shape(image.size, name)
    exif = _exif(image, name)
    focal, reason = exif.focal_px(*image.size)
    colour, alpha, problems = split_colour(image, name)
    colour = turn_upright(colour, exif.orientation)
    alpha = None if alpha is None else turn_upright(alpha, exif.orientation)
    pixels, coverage = composite(colour, alpha, name)
    notes = (*notes, *((reason,) if reason else ()), *problems)
    return Photo(pixels, coverage, path=path, focal_px=focal, warnings=notes)


def load_mask_file(
    path: str | os.PathLike[str] | bytes, photo_size_hw: tuple[int, int], *, resize: bool = False
) -> np.ndarray:
    """Read a mask for a photo of `photo_size_hw` (upright): (h, w) float32 coverage in [0, 1], 1 is object.

    A picture (its alpha where that tells something, else its brightness; 0/1 and 0/255 alike) or a ``.json`` file
    with a COCO run-length mask. Raises InputError if its size is not the photo's; with `resize`, a mask of the same
    shape and another scale is resampled.
    """
    _, name, data = _read(path)
    if name.lower().endswith(".json"):
        return decode_rle(_parse_json(data, name), photo_size_hw).astype(np.float32)
    image, _ = _decode(data, name, max(MAX_PIXELS, photo_size_hw[0] * photo_size_hw[1]), lenient=False)
    coverage = coverage_from_image(turn_upright(image, _exif(image, name).orientation), name)
    return fit_to_photo(coverage, photo_size_hw, name, resize=resize)


def save_png(array: np.ndarray, path: str | os.PathLike[str]) -> None:
    """Write (h, w), (h, w, 3) or (h, w, 4) uint8, (h, w) bool or (h, w) uint16 as PNG, atomically.

    The file holds pixels and nothing else, so that equal arrays give equal bytes.
    Raises ValueError for another type and WriteError if the system refuses.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype not in (np.uint8, np.uint16) or (array.dtype == np.uint16 and array.ndim != 2):
        raise ValueError(f"a PNG holds uint8, bool or grey uint16, not {array.dtype} of shape {array.shape}")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(buffer, "PNG", compress_level=6)
    write_atomic(path, buffer.getvalue())


def fit_to_photo(coverage: np.ndarray, photo_size_hw: tuple[int, int], name: str, *, resize: bool) -> np.ndarray:
    """The mask at the photo's size, or an InputError that explains why it does not fit."""
    height, width = photo_size_hw
    mask_height, mask_width = coverage.shape
    if (mask_height, mask_width) == (height, width):
        return coverage
    sizes = f"{name}: the mask is {mask_width} x {mask_height} pixels, the photo {width} x {height}"
    scale = width / mask_width
    if abs(mask_height * scale - height) <= max(1.0, scale):
        if not resize:
            raise InputError(f"{sizes}; save it at the photo's size, or allow resampling with --resize-mask")
        return np.asarray(Image.fromarray(coverage).resize((width, height), Image.Resampling.BILINEAR))
    if (mask_height, mask_width) == (width, height):
        raise InputError(
            f"{sizes} once turned upright by its EXIF orientation; the mask was made from the photo as stored: turn it"
        )
    raise InputError(f"{sizes}, which is another shape; make the mask from this very photo, uncropped")


def _photo_from_array(array: np.ndarray, max_pixels: int) -> Photo:
    name = "image array"
    if array.size > 4 * max_pixels:
        raise InputError(f"{name}: more than {max_pixels / 1e6:g} megapixels; make it smaller, or raise --max-pixels")
    colour, alpha = rgb_from_array(array, name)
    _check_shape(colour.size, name)
    pixels, coverage = composite(colour, alpha, name)
    return Photo(pixels, coverage)


def _read(source: str | os.PathLike[str] | bytes) -> tuple[Path | None, str, bytes]:
    """Path (None for bytes), printable name, and content of a regular file below the size limit."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return None, "image bytes", bytes(source)
    if not isinstance(source, (str, os.PathLike)):
        raise InputError(f"a {type(source).__name__} is not a picture; give a path, bytes, or a NumPy array")
    path = Path(source)
    name = printable_name(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError(f"{name}: is a folder; name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name}: is not an ordinary file; save the picture to a file first")
        if status.st_size > MAX_BYTES:
            raise InputError(f"{name}: larger than {MAX_BYTES / 1e6:g} MB; make it smaller")
        return path, name, path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{name}: cannot be read: {reason}; check the name and its permissions") from error
    except ValueError as error:  # a NUL in the name; InputError is a ValueError too and passes
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: not a possible file name; check it") from error


def _decode(data: bytes, name: str, max_pixels: int, lenient: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """The first frame, decoded, with warnings about what was left out."""
    kind = identify(data, name)
    if kind == "AVIF" and not features.check("avif"):
        raise InputError(f"{name}: this Pillow reads no AVIF; convert it: magick in.avif out.png")
    try:
        image, notes = _decode_strictly(data, kind, name, max_pixels), ()
    except InputError as error:
        if not lenient or not isinstance(error.__cause__, Exception):
            raise
        image = _with_pillow(data, kind, name, max_pixels, broken_off=True)
        notes = ("the file is damaged or breaks off: the missing part is blank",)
    if getattr(image, "is_animated", False) and image.format != "MPO":
        notes = (*notes, "the file holds several pictures: only the first is used")
    return image, notes


def _decode_strictly(data: bytes, kind: str, name: str, max_pixels: int) -> Image.Image:
    if kind == "PNG":
        _check_png(data, name, max_pixels)
    if kind == "JPEG" and data.count(_JPEG_SCAN) > MAX_JPEG_SCANS:
        raise InputError(f"{name}: a JPEG of more than {MAX_JPEG_SCANS} scans, made to waste time; save it again")
    return _with_pillow(data, kind, name, max_pixels, broken_off=False)


def _with_pillow(data: bytes, kind: str, name: str, max_pixels: int, *, broken_off: bool) -> Image.Image:
    with _damage_explained(kind, name, max_pixels), _pillow_limits(max_pixels, broken_off):
        image = Image.open(io.BytesIO(data), formats=[kind])
        _check_pixels(image.size, name, max_pixels)
        image.load()
        if image.mode == "P" and image.palette is None:
            raise ValueError("a picture of palette colours without a palette")
        return image


def _check_png(data: bytes, name: str, max_pixels: int) -> None:
    """Compare the checksums of a PNG, which decoding ignores: a flipped bit would give wrong pixels without a word."""
    with _damage_explained("PNG", name, max_pixels), _pillow_limits(max_pixels, broken_off=False):
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        _check_pixels(image.size, name, max_pixels)
        image.verify()


@contextmanager
def _damage_explained(kind: str, name: str, max_pixels: int) -> Iterator[None]:
    """Turn whatever Pillow raises on hostile bytes (it may be nearly any exception) into one InputError."""
    try:
        yield
    except InputError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(_too_large(name, max_pixels)) from None
    except Exception as error:
        _log.debug("%s: %r", name, error)
        raise InputError(f"{name}: a damaged or incomplete {kind}; save or download it again") from error


@contextmanager
def _pillow_limits(max_pixels: int, broken_off: bool) -> Iterator[None]:
    """Pillow with our limits: its warnings about size are errors, those about metadata are nothing."""
    with _pillow_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = max_pixels, broken_off
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def _check_pixels(size_wh: tuple[int, int], name: str, max_pixels: int) -> None:
    width, height = size_wh
    if width * height > max_pixels:
        raise InputError(_too_large(name, max_pixels))
    if width < 1 or height < 1:
        raise InputError(f"{name}: {width} x {height} pixels, nothing to see; save it again")


def _too_large(name: str, max_pixels: int) -> str:
    return f"{name}: more than {max_pixels / 1e6:g} megapixels; make it smaller, or raise --max-pixels"


def _check_shape(size_wh: tuple[int, int], name: str) -> None:
    short, long = sorted(size_wh)
    if short < MIN_SIDE:
        raise InputError(f"{name}: {size_wh[0]} x {size_wh[1]} pixels, below {MIN_SIDE} on a side; give a larger photo")
    if long > MAX_ASPECT * short:
        raise InputError(f"{name}: {size_wh[0]} x {size_wh[1]} pixels, longer than 1:{MAX_ASPECT}; crop it")


def _exif(image: Image.Image, name: str) -> Exif:
    """What the EXIF record of a decoded picture tells; Pillow has already turned a TIFF upright by its own tags."""
    record = image.info.get("exif")
    if image.format == "TIFF" or not isinstance(record, bytes):
        return Exif()
    exif = read_exif(record)
    if exif == Exif():
        _log.debug("%s: its EXIF tells neither orientation nor focal length, or is damaged", name)
    return exif


def _parse_json(data: bytes, name: str) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{name}: not valid JSON; write {{'size': [h, w], 'counts': ...}}") from error
