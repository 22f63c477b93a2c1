"""The orientation and the focal length of a photo, and nothing else, from its EXIF record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from monoform.files.exif import Exif, first_values, read_exif
from monoform.files.images import load_image
from pictures import TURNED, encode, exif_record, largest_difference, scene


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_all_eight_orientations_give_the_upright_picture(orientation, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    stored = np.ascontiguousarray(TURNED[orientation](scene()))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    photo = load_image(encode(stored, kind, exif=exif, **options))
    assert largest_difference(photo, scene()) <= (12 if kind in ("JPEG", "AVIF") else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_is_turned_with_the_picture(orientation):
    alpha = np.zeros((24, 40, 1), np.uint8)
    alpha[3:9, 5:30] = 255
    stored = np.ascontiguousarray(TURNED[orientation](np.concatenate([scene(), alpha], -1)))
    photo = load_image(encode(stored, "PNG", exif=exif_record(orientation=orientation)))
    assert (photo.alpha == alpha[..., 0] / 255).all()


@pytest.mark.parametrize(
    "record", [exif_record(orientation=99), exif_record(orientation=0), b"Exif\0\0II*\0\xff\xff", b"junk"]
)
def test_an_impossible_orientation_and_corrupt_exif_are_ignored(record):
    photo = load_image(encode(scene(), "JPEG", exif=record, quality=98, subsampling=0))
    assert largest_difference(photo, scene()) <= 8
    assert photo.warnings == ()


def test_the_exif_record_of_our_own_reader_is_that_of_pillow():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker's name of some length"
    exif.get_ifd(0x8769).update({0xA405: 28, 0xA002: 4000, 0xA003: 3000, 0x829D: (28, 10)})
    assert read_exif(exif.tobytes()) == Exif(6, 28.0, 4000, 3000)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_focal_length_is_that_of_the_whole_upright_picture(order, orientation):
    data = encode(scene(), "JPEG", exif=exif_record(order, orientation=orientation, focal_35mm=43, width=40, height=24))
    assert load_image(data).focal_px == pytest.approx(43 / 43.27 * np.hypot(40, 24), rel=1e-12)


def test_the_focal_length_is_dropped_when_absent_impossible_or_cropped_away():
    assert load_image(encode(scene(), "JPEG", exif=exif_record(orientation=1))).focal_px is None
    assert load_image(encode(scene(), "JPEG", exif=exif_record(focal_35mm=0))).focal_px is None
    cropped = load_image(encode(scene(), "JPEG", exif=exif_record(focal_35mm=28, width=4000, height=3000)))
    assert cropped.focal_px is None
    assert "cropped" in cropped.warnings[0]


@given(st.binary(max_size=200))
def test_any_bytes_as_exif_are_read_or_ignored(record):
    for start in (b"", b"Exif\0\0II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        assert 1 <= read_exif(start + record).orientation <= 8
        assert isinstance(first_values(start + record), dict)
