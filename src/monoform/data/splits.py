"""Splits by object, never by image: an object's views are all in one split, and stay there when objects are added."""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from monoform.data.samples import Item
from monoform.errors import InputError

SPLITS = ("train", "val", "test")
RATIOS = (0.6, 0.2, 0.2)


def assign_split(group: str, ratios: Sequence[float] = RATIOS) -> str:
    """The split of an object or a group of near-duplicates: a hash of its id alone, so that it never changes.

    ratios: shares of train, val and test; their sum is 1.
    """
    place = int.from_bytes(hashlib.sha256(group.encode("utf-8", "surrogateescape")).digest()[:8], "big") / 2.0**64
    return SPLITS[0] if place < ratios[0] else SPLITS[1] if place < ratios[0] + ratios[1] else SPLITS[2]


def with_splits(items: Iterable[Item], ratios: Sequence[float] = RATIOS) -> list[Item]:
    """The items, those without a split given one. What a source says is kept, and holds for the whole object.

    Raises InputError for ratios that are not three shares with the sum 1.
    """
    if len(ratios) != len(SPLITS) or min(ratios) < 0.0 or not math.isclose(sum(ratios), 1.0, abs_tol=1e-6):
        raise InputError(f"split ratios {', '.join(map(str, ratios))}: give three shares of 0 or more with the sum 1")
    items = list(items)
    known = {item.object_id: item.split for item in reversed(items) if item.split}
    splits = (item.split or known.get(item.object_id) or assign_split(item.object_id, ratios) for item in items)
    return [replace(item, split=split) for item, split in zip(items, splits)]
