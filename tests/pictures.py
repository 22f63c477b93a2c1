"""Pictures, encoded files and checks that the tests of `monoform.files` share."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from monoform.errors import InputError
from monoform.files.images import load_image


def scene(height: int = 24, width: int = 40) -> np.ndarray:
    """A smooth picture without symmetry, so that every turn of it is a different one and JPEG keeps it well."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    return np.rint(np.stack([255 * x, 200 * y + 30, 120 + 100 * x * y], -1)).astype(np.uint8)


def encode(array_or_image, kind: str, **options) -> bytes:
    picture = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def exif_record(order: str = "<", **tags: int) -> bytes:
    """An EXIF record with SHORT values: orientation in the main directory, the others in the EXIF directory."""
    numbers = {"focal_35mm": 0xA405, "width": 0xA002, "height": 0xA003}
    details = sorted((numbers[key], value) for key, value in tags.items() if key in numbers)
    main = [(0x0112, 3, tags["orientation"])] if "orientation" in tags else []
    main.append((0x8769, 4, 8 + 2 + 12 * (len(main) + 1) + 4))

    def entry(tag: int, kind: int, value: int) -> bytes:
        return struct.pack(order + "HHI", tag, kind, 1) + struct.pack(order + ("Hxx" if kind == 3 else "I"), value)

    record = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    record += struct.pack(order + "H", len(main)) + b"".join(entry(*row) for row in main) + bytes(4)
    record += struct.pack(order + "H", len(details)) + b"".join(entry(tag, 3, value) for tag, value in details)
    return b"Exif\0\0" + record + bytes(4)


def one_line(error: InputError) -> str:
    """The message, after checking its form: one line with a cause and a mend."""
    text = str(error)
    assert "\n" not in text
    assert ";" in text
    return text


def refused(source, **options) -> str:
    with pytest.raises(InputError) as caught:
        load_image(source, **options)
    return one_line(caught.value)


def largest_difference(photo, expected: np.ndarray) -> int:
    assert photo.image.dtype == np.uint8
    assert photo.image.shape == expected.shape
    return int(np.abs(photo.image.astype(int) - expected.astype(int)).max())


TURNED = {  # how a camera that writes this orientation stores an upright picture
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
    8: lambda a: np.rot90(a, -1),
}


def gamma_profile(gamma: float) -> bytes:
    """sRGB's profile with its three tone curves replaced by one power."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = profile.replace(b"s\0R\0G\0B", b"t\0e\0s\0t")
    for tag in (b"rTRC", b"gTRC", b"bTRC"):
        offset = struct.unpack_from(">I", profile, profile.index(tag) + 4)[0]
        struct.pack_into(">4sIHHI", profile, offset, b"para", 0, 0, 0, round(gamma * 65536))
    return bytes(profile)


def disc(height: int = 24, width: int = 40) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return (y - 11) ** 2 + (x - 17) ** 2 < 60


# The oracle of run-length masks: the encoder, written from the description of the format.
def encode_rle(mask: np.ndarray) -> tuple[list[int], str]:
    flat = np.concatenate([[False], mask.T.ravel(), [not mask.T.ravel()[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    runs = [int(n) for n in np.diff(np.concatenate([[0], ends]))]
    text = ""
    for i, run in enumerate(runs):
        value, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(48 + bits + 32 * more)
    return runs, text
