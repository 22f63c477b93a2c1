"""What a file really is, told from its first bytes and never from its name."""

from monoform.errors import InputError
from monoform.files.exif import first_values

READABLE = "JPEG, PNG, WebP, BMP, TIFF or AVIF"

# (bytes at the start, what it is, what to do)
_FOREIGN = (
    (b"%PDF-", "a PDF document", "export the page as PNG"),
    (b"%!PS", "PostScript", "export it as PNG"),
    (b"\xc5\xd0\xd3\xc6", "an EPS drawing", "export it as PNG"),
    (b"GIF8", "a GIF", "convert it: magick in.gif[0] out.png"),
    (b"8BPS", "a Photoshop document", "export it as PNG"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000", "convert it: magick in.jp2 out.png"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL", "convert it: djxl in.jxl out.png"),
    (b"\xff\x0a", "a JPEG XL", "convert it: djxl in.jxl out.png"),
    (b"v/1\x01", "an OpenEXR picture", "convert it to an 8-bit PNG"),
    (b"FUJIFILMCCD-RAW", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"IIRO", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"IIRS", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"MMOR", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"IIU\x00", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"FOVb", "a camera raw file", "develop it to JPEG first (darktable, rawtherapee)"),
    (b"PK\x03\x04", "a zip archive", "unpack it and name the picture inside"),
    (b"\x1f\x8b", "a gzip archive", "unpack it and name the picture inside"),
    (b"\x1aE\xdf\xa3", "a video", "save one frame as PNG"),
    (b"version https://git-lfs", "a Git LFS pointer, not the picture itself", "fetch it: git lfs pull"),
)
_RAW_SUFFIXES = (".3fr", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw", ".x3f")
_HEIC_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
_DNG_VERSION, _PHOTOMETRIC, _SUBFILE_TYPE = 0xC612, 0x0106, 0x00FE
_COLOUR_FILTER_ARRAY, _LINEAR_RAW = 32803, 34892


def identify(data: bytes, name: str) -> str:
    """Pillow's name of the format of `data`, one of the readable ones.

    `name` is used in messages, and its suffix to know a camera raw file, which calls itself a TIFF.
    Raises InputError that says what the file is and how to convert it.
    """
    if not data:
        raise InputError(f"{name}: file is empty; save or download it again")
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if data[4:8] == b"ftyp":
        return _identify_boxes(data, name)
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _identify_tiff(data, name)
    what, mend = _foreign(data)
    raise InputError(f"{name}: {what}, not a picture of a readable kind; {mend}")


def _identify_boxes(data: bytes, name: str) -> str:
    """AVIF, HEIC, camera raw (CR3) and videos share one container; the brands tell them apart."""
    length = min(max(int.from_bytes(data[:4], "big"), 16), 256)
    brands = {data[8:12]} | {data[i : i + 4] for i in range(16, length, 4)}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    if b"crx " in brands:
        raise InputError(f"{name}: a camera raw file; develop it to JPEG first (darktable, rawtherapee)")
    if brands & _HEIC_BRANDS:
        raise InputError(f"{name}: an HEIC picture, which is not read; convert it: heif-convert in.heic out.jpg")
    raise InputError(f"{name}: a video, not a picture; save one frame as PNG")


def _identify_tiff(data: bytes, name: str) -> str:
    """Camera raw files (DNG, NEF, CR2, ARW) are TIFFs whose first picture is only a thumbnail or a raw mosaic."""
    tags = first_values(data)
    mosaic = tags.get(_PHOTOMETRIC) in (_COLOUR_FILTER_ARRAY, _LINEAR_RAW)
    thumbnail = tags.get(_SUBFILE_TYPE, 0) & 1
    if data[8:10] == b"CR" or _DNG_VERSION in tags or mosaic or thumbnail or name.lower().endswith(_RAW_SUFFIXES):
        raise InputError(f"{name}: a camera raw file; develop it to JPEG first (darktable, rawtherapee)")
    return "TIFF"


def _foreign(data: bytes) -> tuple[str, str]:
    for magic, what, mend in _FOREIGN:
        if data.startswith(magic):
            return what, mend
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in start:
        return "an SVG drawing", "convert it: rsvg-convert -w 1024 in.svg -o out.png"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page (HTML)", "a saved web page? Save the picture itself"
    if start.startswith((b"<?xml", b"<")):
        return "an XML document", f"give a {READABLE} file"
    if _is_text(data[:1024]):
        return "a text file", f"give a {READABLE} file"
    return "unknown or damaged bytes", f"give a {READABLE} file"


def _is_text(start: bytes) -> bool:
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    return printable > 0.95 * len(start)
