"""What a run has seen, as its record remembers it, and the refusal to validate or test on the same objects or images."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.image_sets import load_images
from monoform.data.image_sets.storing import RECORD
from monoform.errors import InputError
from monoform.interfaces import ImageSet

SEEN = "seen"
"""Name of `seen_record` in a run's record."""


def load_known(folder: Path) -> ImageSet:
    """An image set from its folder, `made_by` with the SHA-256 of its record, which holds that of every array.

    How a set was made does not tell of which shapes; this does, also of sets that are joined from others.
    """
    images = load_images(folder)
    digest = hashlib.sha256((Path(folder) / RECORD).read_bytes()).hexdigest()
    return replace(images, made_by={"record_sha256": digest, **images.made_by})


def seen_record(sets: Mapping[str, ImageSet]) -> dict[str, dict[str, str]]:
    """Role to what tells a set's objects and images again: short hashes, base64, as plain JSON."""
    return {
        role: {"objects": _packed(object_hashes(images)), "images": _packed(image_hashes(images))}
        for role, images in sets.items()
    }


def refuse_shared(images: ImageSet, name: str, seen: Mapping[str, Mapping[str, str]]) -> None:
    """Raise InputError if an object or an image of a set is in one that was seen. name: of the set, for the message.

    Objects are the same if category and id are: ids of procedural shapes, models and films are those of their sources,
    whatever set they were drawn or taken into, and name a group of near-duplicates where the source knows it. Voxels are not
    compared, as one shape has others at another scale, nor near-duplicate images, which `monoform data check` finds.
    """
    objects, pictures = object_hashes(images), image_hashes(images)
    for role, hashes in seen.items():
        shared = np.flatnonzero(np.isin(objects, _unpacked(hashes, "objects", role)))
        if len(shared):
            one = images.object_ids[shared[0]]
            raise InputError(
                f"{name}: {len(shared)} of its {len(objects)} objects, such as '{one}', are in the {role} set too; "
                "take them out, or give other objects other ids"
            )
        shared = np.flatnonzero(np.isin(pictures, _unpacked(hashes, "images", role)))
        if len(shared):
            raise InputError(
                f"{name}: {len(shared)} of its {len(pictures)} images, such as number {shared[0]}, are in the {role} set "
                "too; take them out"
            )


def object_hashes(images: ImageSet) -> np.ndarray:
    """(m,) uint64 of each object's category and id."""
    named = zip(images.categories, images.object_ids, strict=True)
    return _short([f"{category}\0{one}".encode("utf-8", "surrogateescape") for category, one in named])


def image_hashes(images: ImageSet) -> np.ndarray:
    """(n,) uint64 of each image's pixels."""
    return _short([np.ascontiguousarray(image) for image in images.images])


def _short(contents: list[Any]) -> np.ndarray:
    """The first 8 bytes of SHA-256: among a million, equal ones by chance once in 10 million sets."""
    data = b"".join(hashlib.sha256(content).digest()[:8] for content in contents)
    return np.frombuffer(data, "<u8")


def _packed(hashes: np.ndarray) -> str:
    return base64.b64encode(np.unique(hashes).tobytes()).decode("ascii")


def _unpacked(hashes: Mapping[str, str], what: str, role: str) -> np.ndarray:
    try:
        return np.frombuffer(base64.b64decode(hashes[what], validate=True), "<u8")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the run's record of its {role} set is damaged ({error}); train it again") from error
