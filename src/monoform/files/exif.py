"""The two facts that monoform takes from a photo's EXIF record: how to turn it upright, and its focal length.

Nothing else is read (no place, no time, no maker's notes), and a damaged record counts as none: it never stops a photo.
"""

import math
import struct
from dataclasses import dataclass

_ORIENTATION, _EXIF_DIRECTORY = 0x0112, 0x8769
_FOCAL_35MM, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA405, 0xA002, 0xA003
_FILM_DIAGONAL_MM = 43.27  # of the 36 x 24 mm frame that "35 mm equivalent" refers to
_MAX_ENTRIES = 1000
_INTEGER_TYPES = {1: ("B", 4), 3: ("H", 2), 4: ("I", 1)}  # TIFF type: struct letter, how many fit inside an entry


@dataclass(frozen=True)
class Exif:
    """What the record tells; the defaults where it tells nothing."""

    orientation: int = 1
    """1 to 8, as in the EXIF standard: what must be done to see the photo upright."""
    focal_35mm: float | None = None
    """Focal length in millimetres, for a film frame of the same diagonal."""
    width: int | None = None
    height: int | None = None
    """Size in pixels when the camera took it, not turned upright."""

    def focal_px(self, width: int, height: int) -> tuple[float | None, str]:
        """Focal length in pixels of the whole picture of `width` x `height`, not turned; or None and the reason.

        ``focal_px = focal_35mm / 43.27 mm * sqrt(width^2 + height^2)``: "35 mm equivalent" compares diagonals
        (CIPA DCG-001), and a diagonal stays the same when the picture is turned upright. None for a picture cropped
        after it was taken (its shape is not the camera's), because the crop changes the field of view.
        """
        if self.focal_35mm is None:
            return None, ""
        if self.width and self.height:
            shape_now, shape_then = (max(size) / min(size) for size in ((width, height), (self.width, self.height)))
            if abs(shape_now / shape_then - 1.0) > 0.02:
                return None, "the photo was cropped after it was taken: its EXIF focal length is not used"
        return self.focal_35mm / _FILM_DIAGONAL_MM * math.hypot(width, height), ""


def read_exif(record: bytes) -> Exif:
    """Parse an EXIF record (with or without its leading ``Exif\\0\\0``); impossible values become the defaults."""
    record = record.removeprefix(b"Exif\0\0")
    main = first_values(record)
    details = first_values(record, main[_EXIF_DIRECTORY]) if _EXIF_DIRECTORY in main else {}
    orientation = main.get(_ORIENTATION, 1)
    focal = details.get(_FOCAL_35MM, 0)
    return Exif(
        orientation=orientation if 1 <= orientation <= 8 else 1,
        focal_35mm=float(focal) if 1 <= focal <= 5000 else None,
        width=details.get(_PIXEL_WIDTH) or None,
        height=details.get(_PIXEL_HEIGHT) or None,
    )


def first_values(tiff: bytes, offset: int | None = None) -> dict[int, int]:
    """First value of every integer tag of one TIFF directory (the first, or the one at `offset`), {} if damaged.

    Only values stored inside the directory are read, so no pointer in a hostile file is followed.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return {}
    values = {}
    try:
        start = struct.unpack_from(order + "I", tiff, 4)[0] if offset is None else offset
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * min(count, _MAX_ENTRIES), 12):
            tag, kind, length = struct.unpack_from(order + "HHI", tiff, entry)
            letter, fitting = _INTEGER_TYPES.get(kind, ("", 0))
            if 1 <= length <= fitting:
                (values[tag],) = struct.unpack_from(order + letter, tiff, entry + 8)
    except struct.error:
        return values
    return values
