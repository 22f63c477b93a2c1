"""Photos and masks from every kind of file: right, or one InputError."""

import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from monoform.errors import InputError
from monoform.files import images
from monoform.files.images import load_image, load_mask_file, save_png
from pictures import (
    chunk,
    disc,
    encode,
    exif_record,
    largest_difference,
    one_line,
    png_header,
    refused,
    scene,
)

# --- damage ---


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_truncated_file_is_refused(kind):
    data = encode(scene(200, 200), kind)
    for share in (0.1, 0.5, 0.9):
        assert f"incomplete {kind}" in refused(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_file_is_half_read_when_lenient(kind):
    noise = np.random.default_rng(0).integers(0, 60, (200, 200, 1), np.uint8)
    picture = scene(200, 200) // 2 + noise
    data = encode(picture, kind, quality=95)
    photo = load_image(data[: int(len(data) * 0.6)], lenient=True)
    assert "breaks off" in photo.warnings[0]
    assert np.abs(photo.image[:60].astype(int) - picture[:60]).mean() < 10
    assert np.ptp(photo.image[-20:], axis=(0, 1)).max() == 0
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_lenient_reading_does_not_open_what_is_no_picture():
    assert "text file" in refused(b"no picture", lenient=True)
    assert "megapixels" in refused(encode(scene(), "PNG"), lenient=True, max_pixels=100)
    assert "damaged" in refused(encode(scene(), "JPEG")[:20], lenient=True)


def test_a_bit_flipped_in_a_png_is_found_wherever_it_is():
    data = encode(np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8), "PNG", compress_level=0)
    for position in range(8, len(data), 17):
        broken = bytearray(data)
        broken[position] ^= 4
        assert refused(bytes(broken))


def test_a_header_that_claims_a_huge_picture_is_refused_before_decoding(monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decodes"))
    assert "64 megapixels" in refused(png_header(100_000, 100_000) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (99_999).to_bytes(3, "little") * 2
    assert refused(b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas)


def test_a_picture_over_the_limit_is_an_error_and_not_a_warning():
    data = png_header(12_000, 12_000) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    assert "--max-pixels" in refused(data)
    small = encode(scene(), "PNG")
    assert "--max-pixels" in refused(small, max_pixels=24 * 40 - 1)
    assert load_image(small, max_pixels=24 * 40).size_hw == (24, 40)
    assert "--max-pixels" in refused(np.zeros((64, 64, 4), np.uint8), max_pixels=64)


def test_a_raised_limit_is_above_pillows_own(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert load_image(encode(scene(), "PNG")).size_hw == (24, 40)
    assert Image.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_text_bomb_in_a_png_takes_no_memory(kind):
    bomb = zlib.compress(bytes(50_000_000), 9)
    body = {b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"iCCP": b"a\0\0"}[kind] + bomb
    data = encode(scene(), "PNG")
    for place in (33, len(data) - 12):  # after the header, and after the pixels
        bombed = data[:place] + chunk(kind, body) + data[place:]
        assert "damaged" in refused(bombed)


def test_a_jpeg_of_very_many_scans_is_refused_before_decoding(monkeypatch):
    data = encode(scene(), "JPEG", progressive=True)
    assert load_image(data).size_hw == (24, 40)
    last = data.rindex(b"\xff\xda")
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("decodes"))
    for lenient in (False, True):
        assert "scans" in refused(data[:last] + data[last:-2] * 500 + data[-2:], lenient=lenient)


@pytest.mark.parametrize("size", [(0, 16), (16, 0), (0, 0)])
def test_a_picture_without_pixels_is_refused(size):
    assert refused(png_header(*size) + chunk(b"IDAT", zlib.compress(b"\0" * 20)) + chunk(b"IEND", b""))
    assert refused(np.zeros((*size, 3), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (15, 30), (1, 20_000), (16, 129), (300, 32)])
def test_too_small_and_too_long_pictures_are_refused(size):
    assert "pixels" in refused(encode(np.zeros((*size, 3), np.uint8), "PNG"))
    assert "pixels" in refused(np.zeros((*size, 3), np.uint8))


def test_the_smallest_and_the_longest_picture_pass():
    assert load_image(np.zeros((16, 16, 3), np.uint8)).size_hw == (16, 16)
    assert load_image(np.zeros((128, 16, 3), np.uint8)).size_hw == (128, 16)


# --- names and places ---


@pytest.mark.parametrize(
    "name", ["a b.png", "ü\N{GRINNING FACE}.png", "line\nbreak.png", "x" * 251 + ".png", "'\"<script>.png"]
)
def test_any_name_of_a_file_is_read_and_printed_on_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(encode(scene(), "PNG"))
    assert largest_difference(load_image(tmp_path / name), scene()) == 0
    (tmp_path / name).write_bytes(b"")
    assert "file is empty" in refused(tmp_path / name)


def test_folders_loops_and_missing_files_are_one_line_each(tmp_path, monkeypatch):
    (tmp_path / "x.png").mkdir()
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    assert "is a folder" in refused(tmp_path / "x.png")
    assert "cannot be read" in refused(tmp_path / "loop.png")
    assert "no such file" in refused(tmp_path / "missing.png")
    assert "cannot be read" in refused(tmp_path / ("y" * 300))
    assert "not a possible file name" in refused("a\0b.png")
    assert "folder" in refused(tmp_path)

    def refuse(_):  # root may read anything, so the refusal is made
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "a.png").write_bytes(encode(scene(), "PNG"))
    monkeypatch.setattr(images.Path, "read_bytes", refuse)
    assert "permission denied" in refused(tmp_path / "a.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_and_a_device_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "not an ordinary file" in refused(tmp_path / "pipe.png")
    assert "not an ordinary file" in refused("/dev/zero")


def test_a_file_over_the_byte_limit_is_refused_unread(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(encode(scene(), "PNG"))
    monkeypatch.setattr(images, "MAX_BYTES", 50)
    monkeypatch.setattr(images.Path, "read_bytes", lambda _: pytest.fail("reads"))
    assert "larger than" in refused(tmp_path / "a.png")


def test_a_source_of_another_type_is_refused():
    for source in (None, 3, [1, 2], Image.new("RGB", (20, 20))):
        assert "not a picture" in refused(source)


# --- masks ---


def mask_of(picture, size=(24, 40), *, resize=False, **options) -> np.ndarray:
    data = picture if isinstance(picture, bytes) else encode(picture, "PNG", **options)
    return load_mask_file(data, size, resize=resize)


def test_masks_of_every_storage_kind_are_the_same():
    inside = disc()
    palette = Image.fromarray(inside.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 128, 0, 0])
    cut_out = np.full((24, 40, 4), 30, np.uint8)
    cut_out[..., 3] = inside * 255
    red = np.zeros((24, 40, 3), np.uint8)
    red[inside, 0] = 255
    opaque = np.dstack([np.repeat(inside[..., None] * np.uint8(255), 3, -1), np.full((24, 40), 255, np.uint8)])
    kinds = [
        inside * np.uint8(255), inside * np.uint8(1), inside * np.uint8(128), inside, inside * np.uint16(65535),
        inside * np.uint16(255), palette, cut_out, cut_out[..., 2:], red, opaque, np.dstack([inside] * 3) * np.uint8(9),
    ]  # fmt: skip
    for picture in kinds:
        assert (mask_of(picture) == inside).all()
    assert mask_of(kinds[0]).dtype == np.float32
    assert (mask_of(palette, transparency=bytes([0, 255])) == inside).all()


def test_soft_edges_are_kept():
    soft = np.clip(14 - np.hypot(*(np.mgrid[:24, :40] - np.array([11, 17])[:, None, None])) * 1.5, 0, 1)
    assert np.abs(mask_of(np.rint(soft * 255).astype(np.uint8)) - soft).max() < 0.003
    assert np.abs(mask_of(np.rint(soft * 65535).astype(np.uint16)) - soft).max() < 1e-4
    assert ((mask_of(encode(disc() * np.uint8(255), "JPEG", quality=95)) >= 0.5) == disc()).all()


def test_a_mask_of_the_photo_as_stored_is_explained():
    with pytest.raises(InputError, match="EXIF orientation; the mask was made from the photo as stored") as caught:
        mask_of(disc().T.copy())
    one_line(caught.value)
    turned = encode(np.rot90(disc()).copy(), "PNG", exif=exif_record(orientation=6))
    assert (mask_of(turned) == disc()).all()  # unless the mask itself says how to turn it


def test_a_mask_of_another_size_is_refused_unless_it_is_an_exact_scale():
    large = disc().repeat(2, 0).repeat(2, 1)
    with pytest.raises(InputError, match="--resize-mask"):
        mask_of(large)
    assert ((mask_of(large, resize=True) >= 0.5) == disc()).all()
    assert mask_of(disc()[::2, ::2].copy(), resize=True).shape == (24, 40)
    for resize in (False, True):
        with pytest.raises(InputError, match="another shape"):
            mask_of(disc(24, 60), resize=resize)


def test_label_pictures_and_photos_are_no_masks():
    labels = np.zeros((24, 40), np.uint8)
    labels[4:9], labels[12:20] = 1, 2
    voc = Image.fromarray(labels, "P")
    voc.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    for picture, told in ((labels, "labels"), (voc, "labels"), (scene(), "looks like a picture")):
        with pytest.raises(InputError, match=told) as caught:
            mask_of(picture)
        one_line(caught.value)
    with pytest.raises(InputError, match="not finite"):
        mask_of(encode(np.full((24, 40), np.nan, np.float32), "TIFF"))
    with pytest.raises(InputError, match="not a mask"):
        mask_of(encode(np.full((24, 40), -5, np.int32), "TIFF"))


# --- writing ---


@pytest.mark.parametrize(
    "array",
    [scene(), scene()[..., 0], disc(), np.dstack([scene(), scene()[..., 0]]), scene()[..., 0].astype(np.uint16) * 200],
)
def test_a_written_png_is_repeatable_and_holds_nothing_but_pixels(tmp_path, array):
    save_png(array, tmp_path / "a.png")
    save_png(np.asfortranarray(array), tmp_path / "b.png")
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    with Image.open(io.BytesIO(data)) as picture:
        assert (np.asarray(picture) == array * (255 if array.dtype == bool else 1)).all()
        assert not picture.info
    kinds, position = [], 8
    while position < len(data):
        kinds.append(data[position + 4 : position + 8])
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_an_array_that_is_no_png_is_a_programming_error(tmp_path):
    for array in (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4), np.int32)):
        with pytest.raises(ValueError, match="a PNG holds"):
            save_png(array, tmp_path / "a.png")
