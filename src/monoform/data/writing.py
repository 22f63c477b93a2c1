"""Write any Source in the library's own format: plain folders, or WebDataset shards.

    dataset.json         name, schema version, conventions, choices, licence, source, counts, and what was left out
    items.jsonl          one line an item: id, object, category, split, flags, SHA-256 of every file
    samples/<key>/       image.png (or .jpg), mask.png, pose.json, voxels.npz, depth.npz
    objects/<object>.glb the meshes of folders, each once
    shards/<split>-000000.tar   instead of samples and objects: ``<key>.image.png``, ..., ``<key>.mesh.glb``

Every file is written atomically and an item's line only after its files, so a run that was interrupted goes on where it
was, and ends with the bytes of one that was not.
"""

import hashlib
import os
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from monoform.data.bad_items import TOLERATED, BadItems, emptiness
from monoform.data.encoding import FILES, MESH, Choices, encode, encode_json, item_record, key_of, plain_name
from monoform.data.reading import (
    FORMAT,
    HEADER,
    ITEMS,
    OBJECTS,
    SAMPLES,
    SCHEMA_VERSION,
    SHARDS,
    OwnSet,
    count,
    open_own,
    read_header,
    read_lines,
)
from monoform.data.samples import Item, Source
from monoform.data.shards import write_shard
from monoform.data.splits import RATIOS, SPLITS, with_splits
from monoform.errors import InputError
from monoform.files.atomic import write_atomic
from monoform.projection.kernels.threads import get_threads
from monoform.results import plain, write_json

CONVENTIONS = {
    "object": "right-handed, y up, front -z, bounding box centred, its diagonal 1",
    "camera": "OpenCV: x right, y down, z forward; x_camera = R x_object + t, in box diagonals",
    "pixels": "pixel centres at +0.5; K in pixels; box_xyxy: edges, left top right bottom",
    "mask": "8 bit, 255 is object",
    "voxels": "bool [z, y, x]; the unit cube about the origin, or x_grid = scale x_object + offset of pose.json",
    "depth": "z in the camera frame, inf where empty; normals in the camera frame, 0 where empty",
}
NO_SPLIT = "all"
"""The name of shards whose items have no split."""

Encoded = tuple[Item, dict[str, bytes], str]
"""An item with all its flags, its files, and why it cannot be used ('' where it can)."""


class Listener(Protocol):
    """Whoever shows the progress."""

    def start(self, total: int, done: int) -> None:
        """Of `total` items, `done` were there before."""
        ...

    def step(self, item: Item, error: str) -> None:
        """An item has ended; `error` says why it was left out."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is written and how."""

    choices: Choices = field(default_factory=Choices)
    shard_size: int = 0
    """Samples a shard; 0 writes folders."""
    ratios: tuple[float, ...] = RATIOS
    """Shares of train, val and test among objects that have no split yet."""
    made_by: Mapping[str, Any] = field(default_factory=dict)
    """The options that made the source, for the record; a run goes on only where they are the same."""
    licence: str = ""
    max_bad: float = TOLERATED
    """Share of items that may be corrupt or empty, and are then left out."""


def write_set(source: Source, out: Path, plan: Plan, listener: Listener, *, force: bool = False) -> OwnSet:
    """Write all items of a source to the folder `out`, or finish what an interrupted run has begun there.

    Items that an earlier run has left out are tried again. Raises InputError for a folder with something else in it
    (`force` replaces an older set and keeps foreign files), and TooManyBadError if more than the plan's share of the items
    is corrupt or empty.
    """
    items = with_splits(source.items(), plan.ratios)
    _refuse_repeated(items)
    header = _header(source.name, items, plan)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is in the way; choose another folder")
    out.mkdir(parents=True, exist_ok=True)
    bad = BadItems(len(items), tolerated=plan.max_bad)
    with _alone(out):
        before = _prepare(out, header, force)
        left_out = before.get("left_out")
        if isinstance(left_out, list) and left_out:
            write_json(out / HEADER, {**header, "complete": False})
            # They were tolerated when the set was finished, and another try must not undo that.
            bad.tolerated = max(bad.tolerated, (len(left_out) + 0.5) / len(items))
        if left_out or not before.get("complete"):
            _write_items(source, items, out, plan, bad, listener)
            bad.refuse_too_many()
            _finish(out, items, header, bad)
    return open_own(out)


def _refuse_repeated(items: Sequence[Item]) -> None:
    if not items:
        raise InputError("the source has no items; check its folder, split and category")
    first: dict[str, Item] = {}
    for item in items:
        other = first.setdefault(key_of(item).casefold(), item)
        if other is not item:
            named = f"two items are called '{item.id}'"
            if other.id != item.id:
                named = f"the items '{other.id}' and '{item.id}' differ in capitals only, which some disks do not tell"
            raise InputError(f"{named}; ids must differ: rename one of their files")


def _header(name: str, items: Sequence[Item], plan: Plan) -> dict[str, Any]:
    listing = b"".join(encode_json(item_record(item)) for item in items)
    return plain({
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "monoform_version": metadata.version("monoform"),
        "name": name,
        "layout": "shards" if plan.shard_size else "folders",
        "shard_size": plan.shard_size,
        "choices": asdict(plan.choices),
        "made_by": dict(plan.made_by),
        "licence": plan.licence,
        "conventions": CONVENTIONS,
        "items": len(items),
        "items_sha256": hashlib.sha256(listing).hexdigest(),
    })  # fmt: skip


# --- the folder --------------------------------------------------------------------------------------------------


def _prepare(out: Path, header: dict[str, Any], force: bool) -> dict[str, Any]:
    """Make the folder ready and return the dataset.json that stands there: of this very set, finished or not."""
    before = _header_before(out, force)
    if before is not None:
        differing = [name for name in header if before.get(name) != header[name]]
        if not differing:
            return before
        if not force:
            raise InputError(f"{out}: holds another set ({differing[0]} differs); choose another folder, or --force")
        _remove_set(out)
    elif any(out.iterdir()) and not force:
        raise InputError(f"{out}: the folder is not empty and no data set; choose another folder, or --force")
    else:
        _remove_set(out)
    write_json(out / HEADER, {**header, "complete": False})
    write_atomic(out / ITEMS, b"")
    return {}


def _header_before(out: Path, force: bool) -> dict[str, Any] | None:
    try:
        return read_header(out)
    except InputError:
        if not force:
            raise
        return None


def _remove_set(out: Path) -> None:
    """Remove what a set consists of, and nothing else; the header last, so that a half removed set stays known."""
    (out / ITEMS).unlink(missing_ok=True)
    ours = [*(out / OBJECTS).glob("*.glb"), *(out / SHARDS).glob("*.tar")]
    ours += [path for path in (out / SAMPLES).glob("*/*") if path.name in FILES]
    for path in ours:
        path.unlink()
    for folder in (*(out / SAMPLES).glob("*"), *(out / name for name in (SAMPLES, OBJECTS, SHARDS))):
        if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
            folder.rmdir()
    (out / HEADER).unlink(missing_ok=True)


@contextmanager
def _alone(out: Path) -> Generator[None, None, None]:
    """Hold the folder for this process; the system lets go of it when the process ends, however that is."""
    import fcntl

    descriptor = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{out}: another process is writing this set; wait for it, or stop it") from None
        yield
    finally:
        os.close(descriptor)


def _listed(out: Path) -> dict[str, dict[str, Any]]:
    """The lines of the finished items, by id; one that was being added when the power failed is left out."""
    file = out / ITEMS
    lines = read_lines(file, broken_off=True) if file.exists() else []
    return {line["id"]: line for line in lines}


def _finish(out: Path, items: Sequence[Item], header: dict[str, Any], bad: BadItems) -> None:
    lines = _listed(out)
    kept = [item for item in items if item.id in lines]
    if len(kept) + len(bad.found) != len(items):
        raise InputError(f"{out / ITEMS}: was changed while the set was written; write the set again")
    write_atomic(out / ITEMS, b"".join(encode_json(lines[item.id]) for item in kept))
    write_json(out / HEADER, {**header, "counts": count(kept), "left_out": bad.records(), "complete": True})


# --- the items ---------------------------------------------------------------------------------------------------


def _write_items(
    source: Source, items: Sequence[Item], out: Path, plan: Plan, bad: BadItems, listener: Listener
) -> None:
    """Write what is not there yet, unit by unit: an item is a unit of a folder, a shard is one of shards."""
    units = _shard_units(items, plan.shard_size) if plan.shard_size else [("", [i]) for i in range(len(items))]
    lines = _listed(out)
    left = [(name, indices) for name, indices in units if not all(items[i].id in lines for i in indices)]
    again = {items[i].id for _, indices in left for i in indices}
    write_atomic(out / ITEMS, b"".join(encode_json(line) for id, line in lines.items() if id not in again))
    listener.start(len(items), len(items) - len(again))
    for folder in (SHARDS,) if plan.shard_size else (SAMPLES, OBJECTS):
        (out / folder).mkdir(exist_ok=True)
    encoded = _encode_all(source, items, [i for _, indices in left for i in indices], plan.choices)
    try:
        for name, indices in left:
            good = []
            for item, files, error in islice(encoded, len(indices)):
                listener.step(item, error)
                if error:
                    bad.add(item, error)
                else:
                    good.append((item, files))
            _append(out / ITEMS, _write_shard(out, name, good) if name else _write_folders(out, good))
    finally:
        encoded.close()


def _shard_units(items: Sequence[Item], size: int) -> list[tuple[str, list[int]]]:
    """Name and items of every shard; known beforehand, so that a run which goes on cuts the set as the first did."""
    units = []
    for split in (*SPLITS, NO_SPLIT):
        members = [i for i, item in enumerate(items) if (item.split if item.split in SPLITS else NO_SPLIT) == split]
        parts = [members[start : start + size] for start in range(0, len(members), size)]
        units += [(f"{split}-{number:06d}.tar", part) for number, part in enumerate(parts)]
    return units


def _write_folders(out: Path, samples: Sequence[tuple[Item, dict[str, bytes]]]) -> list[dict[str, Any]]:
    lines = []
    for item, files in samples:
        line = _line(item, files)
        if MESH in files:
            # A group of near-duplicates has several meshes under one id, so the content is part of the name.
            line["mesh"] = f"{plain_name(item.object_id)}-{line['files'][MESH][:8]}.glb"
            if not (out / OBJECTS / line["mesh"]).exists():
                write_atomic(out / OBJECTS / line["mesh"], files[MESH])
        folder = out / SAMPLES / key_of(item)
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            if name != MESH:
                write_atomic(folder / name, data)
        lines.append(line)
    return lines


def _write_shard(out: Path, name: str, samples: Sequence[tuple[Item, dict[str, bytes]]]) -> list[dict[str, Any]]:
    if samples:
        write_shard(out / SHARDS / name, [(key_of(item), files) for item, files in samples])
    return [{**_line(item, files), "shard": name} for item, files in samples]


def _line(item: Item, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {**item_record(item), "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}}


def _append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Add lines and flush them to the disk: what is listed is there, also after a power cut."""
    if not lines:
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(b"".join(map(encode_json, lines)))
        file.flush()
        os.fsync(file.fileno())


def _encode_all(
    source: Source, items: Sequence[Item], indices: Sequence[int], choices: Choices
) -> Generator[Encoded, None, None]:
    """Load and encode on all threads, in order; only a few items are ahead of the one that is asked for."""
    workers = get_threads()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="monoform-data")
    waiting: list[Future[Encoded]] = []
    rest = iter(indices)
    try:
        while True:
            for i in islice(rest, 2 * workers - len(waiting)):
                waiting.append(pool.submit(_encode_one, source, items[i], i, choices))
            if not waiting:
                return
            yield waiting.pop(0).result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _encode_one(source: Source, item: Item, index: int, choices: Choices) -> Encoded:
    try:
        sample = source.load(index)
        # Some flags show only once an item is decoded; the split is the one that was given.
        item = replace(item, flags=item.flags | sample.item.flags)
        error = emptiness(sample)
        return item, {} if error else encode(replace(sample, item=item), choices), error
    except InputError as error:
        return item, {}, " ".join(str(error).split())
