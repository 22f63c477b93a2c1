"""Every way to store colours, alpha and arrays comes to the same 8-bit sRGB and coverage."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from monoform.errors import EmptyMaskError
from monoform.files.images import load_image
from pictures import chunk, encode, gamma_profile, largest_difference, one_line, refused, scene


def test_sixteen_bit_grey_png_keeps_its_256_levels():
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (32, 1))
    photo = load_image(encode(grey, "PNG"))
    assert (photo.image == np.arange(256)[None, :, None]).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_tiff_of_both_byte_orders(order):
    grey = np.tile(np.arange(256, dtype=np.uint16) * 257, (32, 1))
    entries = {256: (4, 256), 257: (4, 32), 258: (3, 16), 259: (3, 1), 262: (3, 1), 273: (4, 134), 277: (3, 1)}
    entries |= {278: (4, 32), 279: (4, grey.nbytes), 339: (3, 1)}
    body = b"".join(
        struct.pack(order + "HHI", tag, kind, 1) + struct.pack(order + ("Hxx" if kind == 3 else "I"), value)
        for tag, (kind, value) in entries.items()
    )
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries)) + body + bytes(4)
    photo = load_image(header + grey.astype(order + "u2").tobytes())
    assert (photo.image == np.arange(256)[None, :, None]).all()


def test_float_tiff_is_scaled_by_its_range_and_nan_refused():
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))
    expected = np.rint(ramp * 255)
    for factor, warned in ((1, 0), (255, 0), (4000, 1)):
        photo = load_image(encode(ramp * np.float32(factor), "TIFF"))
        assert np.abs(photo.image[..., 0] - expected).max() <= 1
        assert len(photo.warnings) == warned
    ramp[3, 3] = np.nan
    assert "not finite" in refused(encode(ramp, "TIFF"))
    assert load_image(encode(np.full((16, 16), 7000, np.int32), "TIFF")).image.max() == 0


def test_cmyk_jpeg_plain_and_adobe_inverted_give_the_right_colours():
    rgb = np.repeat(np.array([[[200, 40, 60], [30, 160, 90], [250, 240, 20]]], np.uint8), 16, 1).repeat(32, 0)
    cmyk = np.concatenate([255 - rgb, np.zeros_like(rgb[..., :1])], -1)
    adobe = encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=98, subsampling=0)
    start = adobe.index(b"\xff\xee")
    assert adobe[start + 4 : start + 9] == b"Adobe"  # Pillow writes these inverted, as Photoshop does
    assert largest_difference(load_image(adobe), rgb) <= 8
    inverted = encode(Image.fromarray(255 - cmyk, "CMYK"), "JPEG", quality=98, subsampling=0)
    plain = inverted[:start] + inverted[start + 2 + int.from_bytes(inverted[start + 2 : start + 4], "big") :]
    assert largest_difference(load_image(plain), rgb) <= 8


def test_ycck_jpeg_gives_the_right_colours():
    rgb = np.repeat(np.array([[[200, 40, 60], [30, 160, 90], [250, 240, 20]]], np.uint8), 16, 1).repeat(32, 0)
    ink = np.asarray(Image.fromarray(255 - rgb).convert("YCbCr"))
    # A decoder takes YCC for the complement of CMY, and Adobe stores inverted ink: so YCC encodes the ink itself.
    # The encoder inverts what it is given, so it is given the inverse.
    ycck = np.concatenate([255 - ink, np.zeros_like(ink[..., :1])], -1)
    data = bytearray(encode(Image.fromarray(ycck, "CMYK"), "JPEG", quality=98, subsampling=0))
    data[data.index(b"Adobe") + 11] = 2  # the marker's transform: YCCK
    assert largest_difference(load_image(bytes(data)), rgb) <= 8


@pytest.mark.parametrize("black", [0, 128, 255])
def test_black_ink_darkens_a_cmyk_picture(black):
    cmyk = np.full((16, 16, 4), (0, 100, 200, black), np.uint8)
    photo = load_image(encode(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    expected = (255 - np.array([0, 100, 200])) * (255 - black) / 255
    assert np.abs(photo.image[0, 0] - expected).max() <= 2


def test_the_transparency_of_a_palette_becomes_alpha():
    indices = np.zeros((24, 40), np.uint8)
    indices[5:20, 8:30] = 1
    picture = Image.fromarray(indices, "P")
    picture.putpalette([255, 0, 255, 10, 200, 30])
    photo = load_image(encode(picture, "PNG", transparency=bytes([0, 255])))
    assert (photo.alpha == indices).all()
    assert (photo.image[0, 0] == 255).all()
    assert (photo.image[10, 10] == (10, 200, 30)).all()


def test_palette_colours_without_a_palette_are_refused():
    data = encode(Image.fromarray(scene()).quantize(16), "PNG")
    start = data.index(b"PLTE") - 4
    assert "damaged" in refused(data[:start] + data[start + 12 + int.from_bytes(data[start : start + 4], "big") :])


@pytest.mark.parametrize("mode", ["RGB", "L", "I;16"])
def test_a_transparent_colour_becomes_alpha(mode):
    inside = np.zeros((24, 40), bool)
    inside[5:20, 8:30] = True
    values = {"RGB": (9, 8, 7), "L": 9, "I;16": 900}
    if mode == "RGB":
        picture = np.where(inside[..., None], np.uint8(200), np.array(values[mode], np.uint8))
    else:
        picture = np.where(inside, 60_000 if mode == "I;16" else 200, values[mode])
        picture = picture.astype(np.uint16 if mode == "I;16" else np.uint8)
    data = encode(picture, "PNG")
    colour = struct.pack(">HHH", 9, 8, 7) if mode == "RGB" else struct.pack(">H", values[mode])
    photo = load_image(data[:33] + chunk(b"tRNS", colour) + data[33:])
    assert (photo.alpha == inside).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_colour_under_transparent_pixels_is_replaced_by_white(mode):
    alpha = np.zeros((24, 40), np.uint8)
    alpha[5:20, 8:30] = 255
    alpha[5, 8:30] = 128
    colour = np.full((24, 40, 4 if mode == "RGBA" else 2), 90, np.uint8)
    colour[..., -1] = alpha
    photo = load_image(encode(colour, "PNG"))
    assert photo.image.shape == (24, 40, 3)
    assert (photo.image[0, 0] == 255).all()
    assert (photo.image[10, 10] == 90).all()
    assert np.abs(photo.image[5, 10].astype(int) - 172).max() <= 1
    assert np.allclose(photo.alpha, alpha / 255)
    assert photo.alpha.dtype == np.float32


@pytest.mark.parametrize("least", [255, 254, 130])
def test_an_opaque_alpha_tells_nothing_and_is_ignored(least):
    picture = np.concatenate([scene(), np.full((24, 40, 1), 255, np.uint8)], -1)
    picture[4, 4, 3] = least
    photo = load_image(encode(picture, "PNG"))
    assert photo.alpha is None
    assert (photo.image[5:] == scene()[5:]).all()


@pytest.mark.parametrize("most", [0, 100])
def test_an_entirely_transparent_picture_is_an_empty_mask(most):
    picture = np.concatenate([scene(), np.full((24, 40, 1), most, np.uint8)], -1)
    for source in (encode(picture, "PNG"), picture):
        with pytest.raises(EmptyMaskError) as caught:
            load_image(source)
        assert "transparent everywhere" in one_line(caught.value)


def test_an_embedded_profile_is_converted_to_srgb():
    grey = np.full((16, 16, 3), 128, np.uint8)
    photo = load_image(encode(grey, "PNG", icc_profile=gamma_profile(1.0)))
    assert np.abs(photo.image.astype(int) - 188).max() <= 1  # linear 0.502 is 0.737 in sRGB
    assert photo.warnings == ()
    same = load_image(
        encode(scene(), "PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    )
    assert largest_difference(same, scene()) == 0


@pytest.mark.parametrize("profile", [b"no profile at all", gamma_profile(1.0)[:200], bytes(500)])
def test_a_damaged_profile_is_ignored_with_a_warning(profile):
    photo = load_image(encode(scene(), "JPEG", icc_profile=profile, quality=98, subsampling=0))
    assert largest_difference(photo, scene()) <= 8
    assert "profile" in photo.warnings[0]


def test_a_profile_of_another_kind_of_colour_is_ignored_with_a_warning():
    photo = load_image(encode(scene()[..., 0].copy(), "PNG", icc_profile=gamma_profile(1.0)))
    assert (photo.image == scene()[..., :1]).all()
    assert "profile" in photo.warnings[0]


# --- arrays ---


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: a.astype(np.int64),
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.float32) / 255,
        lambda a: a.astype(np.float16) / np.float16(255),
        lambda a: a.astype(np.uint16) * 257,
        lambda a: np.moveaxis(a, -1, 0),
        lambda a: np.asfortranarray(a),
        lambda a: np.concatenate([a, a], 1)[:, : a.shape[1]],
        lambda a: np.concatenate([a, np.full_like(a[..., :1], 255)], -1),
    ],
)
def test_arrays_of_every_clear_kind_give_the_same_picture_and_are_not_changed(make):
    array = make(scene())
    before = array.copy()
    array.flags.writeable = False
    photo = load_image(array)
    assert largest_difference(photo, scene()) == 0
    assert not np.shares_memory(photo.image, array)
    assert photo.image.flags.writeable
    assert (array == before).all()


def test_grey_bool_and_single_channel_arrays_become_three_channels():
    grey = scene()[..., 0]
    for array in (grey, grey[..., None], grey[None]):
        assert (load_image(array).image == grey[..., None]).all()
    assert (load_image(grey > 99).image == np.where(grey > 99, 255, 0)[..., None]).all()


@pytest.mark.parametrize(
    "array",
    [
        scene() / 255 * 2.5,  # neither 0..1 nor 0..255
        scene() / 127.5 - 1,
        scene() * 300.0,
        scene().astype(np.int64) - 1000,
        scene().astype(np.int64) * 300,
        scene().astype(np.uint16),  # 8-bit values in 16 bits, or a very dark picture?
        np.full((20, 20, 3), np.nan),
        np.full((20, 20, 3), np.inf),
        scene().astype(object),
        scene().astype(complex),
        scene().astype("U3"),
        scene()[None],
        np.zeros((20, 20, 5), np.uint8),
        np.zeros(400, np.uint8),
        np.full((), 3),
    ],
)
def test_ambiguous_and_impossible_arrays_are_refused(array):
    assert "image array" in refused(array)


def test_an_array_with_alpha_is_put_on_white():
    array = np.concatenate([scene(), np.zeros((24, 40, 1), np.uint8)], -1)
    array[4:20, 4:20, 3] = 255
    photo = load_image(array)
    assert (photo.image[0] == 255).all()
    assert (photo.alpha == array[..., 3] / 255).all()
