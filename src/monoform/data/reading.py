"""The library's own sets, as folders or as shards, opened for reading."""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from monoform.data.categories import is_wanted
from monoform.data.encoding import MESH, decode, decode_mesh, item_from, key_of
from monoform.data.samples import Item, Sample
from monoform.data.shards import read_sample
from monoform.errors import InputError
from monoform.meshes import Mesh

FORMAT, SCHEMA_VERSION = "monoform data set", 1
HEADER, ITEMS, SAMPLES, OBJECTS, SHARDS = "dataset.json", "items.jsonl", "samples", "objects", "shards"
"""Files and folders of a set."""
_MEND = "write the set again"


@dataclass(frozen=True, eq=False)
class OwnSet:
    """A set that `writing.write_set` wrote; a Source."""

    root: Path
    header: dict[str, Any]
    """The content of dataset.json."""
    listed: tuple[Item, ...]
    lines: tuple[dict[str, Any], ...]
    """The lines of items.jsonl, one an item."""

    @property
    def name(self) -> str:
        """The name in dataset.json."""
        return str(self.header["name"])

    def items(self) -> list[Item]:
        """All items in the order in which they were written."""
        return list(self.listed)

    def load(self, index: int) -> Sample:
        """Decode one item. Raises InputError if one of its files is missing or damaged."""
        item, line = self.listed[index], self.lines[index]
        mesh = self._shared_mesh(line)
        return decode(self._files(index), item, str(self._place(index)), mesh)

    def changed(self, index: int) -> list[str]:
        """The files of an item whose content is not the one that was written (SHA-256). InputError if one is missing."""
        line = self.lines[index]
        files = self._files(index)
        if "mesh" in line:
            files[MESH] = _read(self.root / OBJECTS / Path(line["mesh"]).name)
        found = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        return sorted(name for name in {*found, *line["files"]} if found.get(name) != line["files"].get(name))

    def _shared_mesh(self, line: dict[str, Any]) -> Mesh | None:
        return _load_object(self.root / OBJECTS / Path(line["mesh"]).name) if "mesh" in line else None

    def _place(self, index: int) -> Path:
        key, line = key_of(self.listed[index]), self.lines[index]
        return self.root / SHARDS / Path(line["shard"]).name / key if "shard" in line else self.root / SAMPLES / key

    def _files(self, index: int) -> dict[str, bytes]:
        """What stands beside the sample, by name; the shared mesh of a folder is not among it."""
        place, line = self._place(index), self.lines[index]
        if "shard" in line:
            return read_sample(place.parent, place.name)
        names = [name for name in line["files"] if name != MESH and Path(name).name == name]
        return {name: _read(place / name) for name in names}


def open_own(root: Path, *, split: str | None = None, category: str | None = None) -> OwnSet:
    """A set that monoform wrote, all of it or one split or category.

    Raises InputError if it is none, is not finished, was written by another version, or has no such split.
    """
    root = Path(root)
    header = read_header(root)
    if header is None:
        raise InputError(f"{root / HEADER}: not found; give a folder made by `monoform data synth` or `convert`")
    if not header.get("complete"):
        raise InputError(f"{root}: the set is not finished; run the command that writes it again, it goes on")
    lines = read_lines(root / ITEMS)
    items = [item_from(line) for line in lines]
    twice = next((id for id, times in Counter(item.id for item in items).items() if times > 1), None)
    if twice is not None:
        raise InputError(f"{root / ITEMS}: lists {twice} twice; {_MEND}")
    counts = count(items)
    if header.get("counts") != counts:
        raise InputError(f"{root / ITEMS}: lists other items than {HEADER} counts ({len(items)} in all); {_MEND}")
    if split is not None and split not in counts["splits"]:
        raise InputError(f"{root}: no split '{split}'; give {' or '.join(filter(None, counts['splits'])) or 'none'}")
    kept = [i for i, item in enumerate(items) if split in (None, item.split) and is_wanted(item.category, category)]
    return OwnSet(root, header, tuple(items[i] for i in kept), tuple(lines[i] for i in kept))


def count(items: Sequence[Item]) -> dict[str, Any]:
    """What dataset.json says of the items of a finished set."""
    return {
        "items": len(items),
        "objects": len({item.object_id for item in items}),
        "categories": dict(sorted(Counter(item.category for item in items).items())),
        "splits": dict(sorted(Counter(item.split for item in items).items())),
    }


def read_header(root: Path) -> dict[str, Any] | None:
    """The content of dataset.json, None where there is none. Raises InputError if it is not one of this format."""
    file = root / HEADER
    try:
        header = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path and its rights") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: not valid JSON ({error}); {_MEND}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or "name" not in header:
        raise InputError(
            f"{file}: not a data set of monoform; give a folder made by `monoform data synth` or `convert`"
        )
    if header.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{file}: schema version {header.get('schema_version')}, {SCHEMA_VERSION} is read here; "
            "update monoform, or write the set again"
        )
    return header


def read_lines(file: Path, *, broken_off: bool = False) -> list[dict[str, Any]]:
    """The lines of items.jsonl; with `broken_off`, a last line without its end is left out instead of refused."""
    data = _read(file)
    texts = data.split(b"\n")
    if texts.pop() and not broken_off:
        raise InputError(f"{file}: breaks off in its last line; run the command that writes the set again")
    lines = []
    for number, text in enumerate(texts, start=1):
        try:
            line = json.loads(text)
            item_from(line)
            whole = all(isinstance(line.get(name, ""), str) for name in ("mesh", "shard"))
            if not whole or not isinstance(line["files"], dict):
                raise InputError(f"its fields have other types; {_MEND}")
        except (ValueError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{file}: line {number} is damaged ({' '.join(str(error).split())}); {_MEND}") from error
        lines.append(line)
    return lines


@lru_cache(maxsize=32)
def _load_object(file: Path) -> Mesh:
    try:
        return decode_mesh(_read(file))
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith(str(file)) else f"{file}: {text}") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{file}: damaged ({' '.join(str(error).split())[:120]}); {_MEND}") from error


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({(error.strerror or '').lower()}); {_MEND}") from error
