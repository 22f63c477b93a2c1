"""What a file really is, told from its bytes, and what to do with one that is no picture."""

import struct
import subprocess

import pytest
from PIL import Image, features

from monoform.files import images
from monoform.files.images import load_image
from pictures import encode, largest_difference, refused, scene


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.png").touch()
    assert "a.png: file is empty" in refused(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "saved web page"),
        (b"\xef\xbb\xbf\n <HTML>", "saved web page"),
        (b"hello, this is no picture\n", "text file"),
        (b'{"error": "not found"}', "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"\x00\x01\x02\x03" * 20, "unknown or damaged"),
    ],
)
def test_text_and_html_renamed_jpg_are_named_for_what_they_are(tmp_path, content, told):
    (tmp_path / "a.jpg").write_bytes(content)
    assert told in refused(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "rsvg-convert"),
        (b"<?xml version='1.0'?>\n<svg/>", "rsvg-convert"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\x00\x00\x00\x18ftypheic\0\0\0\0mif1heic", "heif-convert"),
        (b"\x00\x00\x00\x18ftypmif1\0\0\0\0mif1heic", "heif-convert"),
        (b"\x00\x00\x00\x18ftypcrx \0\0\0\1crx isom", "raw"),
        (b"\x00\x00\x00\x18ftypisom\0\0\0\0isommp42", "video"),
        (b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(99), "develop it to JPEG"),
        (b"FUJIFILMCCD-RAW 0201", "develop it to JPEG"),
        (b"IIRO\x08\x00\x00\x00", "develop it to JPEG"),
        (b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIBBBB", 0xC612, 1, 4, 1, 4, 0, 0), "develop it to JPEG"),
        (b"PK\x03\x04" + bytes(30), "unpack"),
    ],
)
def test_svg_pdf_heic_and_raw_come_with_a_hint_to_convert(content, told):
    assert told in refused(content)


def test_a_camera_raw_file_that_calls_itself_tiff_is_known_by_its_name(tmp_path):
    (tmp_path / "a.NEF").write_bytes(encode(scene(), "TIFF"))
    assert "camera raw" in refused(tmp_path / "a.NEF")


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\xc5\xd0\xd3\xc6" + bytes(28), b"8BPS" + bytes(30)]
)
def test_eps_and_postscript_are_refused_by_the_list_of_readable_formats(content, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    assert "not a picture of a readable kind" in refused(content)


def test_formats_outside_the_list_are_refused_and_other_pages_never_opened(monkeypatch):
    assert "GIF" in refused(encode(scene(), "GIF"))
    pages = [Image.fromarray(scene())] * 50
    tiff = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.seek", lambda *_: pytest.fail("walks through the pages"))
    assert "only the first" in load_image(tiff).warnings[0]


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame_and_a_warning(kind):
    frames = [Image.fromarray(scene()), Image.fromarray(scene()[::-1].copy())]
    photo = load_image(encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True))
    assert largest_difference(photo, scene()) == 0
    assert photo.warnings == ("the file holds several pictures: only the first is used",)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "AVIF"])
def test_every_readable_format_gives_the_picture_by_path_and_by_bytes(tmp_path, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    data = encode(scene(), kind, quality=95)
    (tmp_path / "a.bin").write_bytes(data)
    photo = load_image(tmp_path / "a.bin")
    assert largest_difference(photo, scene()) <= (0 if kind in ("PNG", "BMP", "TIFF") else 12)
    assert (photo.alpha, photo.focal_px, photo.warnings, photo.path) == (None, None, (), tmp_path / "a.bin")
    assert (load_image(data).image == photo.image).all()
    assert load_image(data).path is None


def test_avif_without_support_is_explained(monkeypatch):
    monkeypatch.setattr(images.features, "check", lambda _: False)
    assert "no AVIF" in refused(b"\x00\x00\x00\x18ftypavif\0\0\0\0mif1avif")
