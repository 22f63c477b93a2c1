"""Pixel values of every storage kind to the two that monoform works with: 8-bit sRGB and coverage in [0, 1]."""

import io

import numpy as np
from PIL import Image, ImageChops, ImageCms

from monoform.errors import EmptyMaskError, InputError

_WHITE = (255, 255, 255)  # what a cut-out object is put on
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation, 1 to 8."""
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def split_colour(image: Image.Image, name: str) -> tuple[Image.Image, Image.Image | None, tuple[str, ...]]:
    """Any decoded picture -> (8-bit sRGB, 8-bit alpha or None, warnings); an embedded colour profile is applied."""
    profile = image.info.get("icc_profile")
    image, warnings = _to_eight_bit(image, name)
    alpha = None
    if image.mode == "LA":
        image, alpha = image.getchannel("L"), image.getchannel("A")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image, alpha = image.convert("RGB"), image.getchannel("A")
    elif image.mode in ("1", "P", "HSV", "RGBX"):
        image = image.convert("RGB")
    colour, problem = _to_srgb(image, profile, name)
    return colour, alpha, warnings + problem


def composite(colour: Image.Image, alpha: Image.Image | None, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Put a picture with alpha on white: (h, w, 3) uint8 and (h, w) float32 coverage.

    The coverage is None if no pixel is more transparent than opaque: then it does not tell the object.
    """
    if alpha is None:
        return np.array(colour), None
    opacity = np.asarray(alpha)
    lowest = int(opacity.min())
    if opacity.max() < 128:
        raise EmptyMaskError(f"{name}: the picture is transparent everywhere; save it with its object opaque")
    if lowest < 255:
        colour = Image.composite(colour, Image.new("RGB", colour.size, _WHITE), alpha)
    return np.array(colour), opacity.astype(np.float32) / np.float32(255) if lowest < 128 else None


def _to_eight_bit(image: Image.Image, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Grey of 16 and 32 bits and floats to 8 bits (Pillow itself would clip them to almost all white); plain CMYK."""
    if image.mode in _SIXTEEN_BIT:
        values = np.asarray(image)
        grey = Image.fromarray((values >> 8).astype(np.uint8))
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
        return grey, ()
    if image.mode in ("I", "F"):
        return _stretch(np.asarray(image), name)
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        return ImageChops.invert(image), ()  # Pillow takes every CMYK JPEG for Adobe's, which store ink inverted
    return image, ()


def _stretch(values: np.ndarray, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    if not np.isfinite(values).all():
        raise InputError(f"{name}: pixels are not finite numbers; replace NaN and infinity before saving")
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if low >= 0.0 and high <= 1.0:
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)), ()
    if low >= 0.0 and high <= 255.0:
        return Image.fromarray(np.rint(values).astype(np.uint8)), ()
    scaled = np.rint((values - low) * (255.0 / (high - low) if high > low else 0.0)).astype(np.uint8)
    return Image.fromarray(scaled), (f"brightness stretched from {low:g}..{high:g} to 0..255",)


def _to_srgb(image: Image.Image, profile: bytes | None, name: str) -> tuple[Image.Image, tuple[str, ...]]:
    """Colour (L, RGB, CMYK, YCbCr, LAB) to sRGB, through the embedded profile where there is a usable one."""
    warnings: tuple[str, ...] = ()
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "sRGB" not in ImageCms.getProfileDescription(source) or image.mode != "RGB":
                target = ImageCms.createProfile("sRGB")
                transform = ImageCms.buildTransform(source, target, image.mode, "RGB")
                image = ImageCms.applyTransform(image, transform) or image
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            warnings = ("the embedded colour profile is damaged or does not fit the picture: ignored",)
    try:
        return image.convert("RGB"), warnings
    except ValueError as error:
        raise InputError(f"{name}: colours stored as {image.mode} are not read; save it as sRGB") from error


def rgb_from_array(array: np.ndarray, name: str) -> tuple[Image.Image, Image.Image | None]:
    """An array (h, w), (h, w, c) or (c, h, w) with c of 1 to 4 -> 8-bit RGB and alpha. The array is not changed.

    Accepted values: uint8; bool; uint16 that uses more than 8 bits; other integers in 0..255; floats in [0, 1] or
    in [0, 255]. Channel order is RGB (an array cannot tell that it is BGR). InputError for everything else.
    """
    if array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4) and array.shape[0] in (1, 2, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 2, 3, 4) or 0 in array.shape:
        raise InputError(f"{name}: shape {array.shape} is not (h, w), (h, w, 3) or (h, w, 4); give one picture")
    values = np.ascontiguousarray(_bytes_from_array(array, name))
    channels = [Image.fromarray(np.ascontiguousarray(values[..., i])) for i in range(values.shape[-1])]
    alpha = channels.pop() if len(channels) in (2, 4) else None
    return Image.merge("RGB", channels if len(channels) == 3 else channels * 3), alpha


def _bytes_from_array(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "uif":
        raise InputError(f"{name}: values of type {array.dtype} are not a picture; convert them to uint8")
    low, high = _finite_range(array, name)
    if array.dtype.kind == "f":
        if low >= -1e-3 and high <= 1.0 + 1e-3:
            return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
        if low >= 0.0 and 16.0 <= high <= 255.0:
            return np.rint(array).astype(np.uint8)
    elif low >= 0 and high <= 255 and array.dtype != np.uint16:
        return array.astype(np.uint8)
    elif array.dtype == np.uint16 and high > 255:
        return (array >> 8).astype(np.uint8)
    raise InputError(f"{name}: {array.dtype} values {low:g}..{high:g} are ambiguous; give uint8, or float in 0..1")


def _finite_range(array: np.ndarray, name: str) -> tuple[float, float]:
    low, high = float(array.min()), float(array.max())
    if not np.isfinite([low, high]).all():
        raise InputError(f"{name}: values are not finite; replace NaN and infinity")
    return low, high


def coverage_from_image(image: Image.Image, name: str) -> np.ndarray:
    """A decoded mask file -> (h, w) float32 coverage in [0, 1].

    Its alpha counts if it tells something; else the brightest channel. Colours with one meaning each (label
    pictures) are refused, because they do not say which object is meant.
    """
    if image.mode in (*_SIXTEEN_BIT, "I", "F", "1"):
        return coverage_from_array(np.asarray(image), name)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opacity = np.asarray(image.getchannel("A"))
        if opacity.min() < 128 <= opacity.max():
            return coverage_from_array(opacity, name)
    if image.mode in ("L", "LA"):
        return coverage_from_array(np.asarray(image.getchannel(0)), name)
    image = image.convert("RGB")
    colours = np.asarray(image)
    few = image.getcolors(maxcolors=32)
    if few and len(few) > 2 and (colours != colours[..., :1]).any():
        raise InputError(f"{name}: {len(few)} colours, a picture of labels; keep one object, white on black")
    return coverage_from_array(colours.max(-1), name)


def coverage_from_array(array: np.ndarray, name: str) -> np.ndarray:
    """Mask values (h, w) of any kind -> float32 coverage in [0, 1]; soft edges are kept.

    Two values, of which one is 0, are background and object, whatever the other is (1, 128, 255, ...).
    """
    if array.dtype == bool:
        return array.astype(np.float32)
    if array.dtype.kind not in "uif":
        raise InputError(f"{name}: values of type {array.dtype} are not a mask; convert them to uint8 or bool")
    low, high = _finite_range(array, name)
    if low < -1e-3 or high > 65535:
        raise InputError(f"{name}: values {low:g}..{high:g} are not a mask; give 0..1 or 0..255")
    if not ((array > 0) & (array != high)).any():
        return (array > 0).astype(np.float32)
    scale = _scale(array, high, name)
    coverage = np.clip(array.astype(np.float32) / np.float32(scale), 0, 1)
    soft = np.count_nonzero((coverage > 0.1) & (coverage < 0.9))
    if soft > 0.4 * coverage.size:
        raise InputError(f"{name}: looks like a picture, not a mask; give the object white on black")
    return coverage


def _scale(array: np.ndarray, high: float, name: str) -> float:
    if array.dtype.kind == "f" and high <= 1.0 + 1e-3:
        return 1.0
    scale = 255.0 if high <= 255 else 65535.0
    if high < scale / 8:
        raise InputError(f"{name}: values 0..{high:g} look like labels; keep one object, as 0 and 255")
    return scale
