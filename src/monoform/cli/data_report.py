"""The report of `monoform data check` as text."""

from collections.abc import Mapping
from typing import Any

from monoform.cli.progress import printable

LISTED = 10
"""Entries of each list that are printed; the JSON has more."""


def table(record: Mapping[str, Any]) -> str:
    """Counts by category and split, then every finding with its first entries."""
    counts = record["counts"]
    lines = [f"{printable(record['name'])}: {counts['items']} items of {counts['objects']} objects", *_grid(counts)]
    if counts["flags"]:
        lines.append("flags: " + ", ".join(f"{flag} {count}" for flag, count in counts["flags"].items()))
    lines += _listed("corrupt or empty", [f"{bad['id']}: {bad['error']}" for bad in record["bad"]])
    changed = [f"{entry['id']}: {', '.join(entry['files'])}" for entry in record["changed_files"]]
    lines += _listed("changed since written", changed)
    lines += _listed("wrong boxes", [f"{box['id']}: {box['error']}" for box in record["wrong_boxes"]])
    lines += _listed("masks of the whole picture", record["full_masks"])
    lines += _listed("ids of two items", record["repeated_ids"])
    if record["stopped_early"]:
        return "\n".join([*lines, "stopped: too many items cannot be used"])
    lines += _listed("objects in two splits", record["objects_in_two_splits"])
    pairs = record["duplicates"]["pairs"]
    across = [pair for pair in pairs if pair["across_splits"]]
    within = [pair for pair in pairs if not pair["across_splits"]]
    lines += _listed("duplicates across splits", map(_pair, across), record["duplicates"]["across_splits"])
    total = record["duplicates"]["exact"] + record["duplicates"]["near"] - record["duplicates"]["across_splits"]
    lines += _listed("duplicates within a split", map(_pair, within), total)
    lines += _silhouettes(record["silhouettes"])
    return "\n".join([*lines, f"verdict: {record['verdict']}"])


def _grid(counts: Mapping[str, Any]) -> list[str]:
    """A row a category, a column a split."""
    splits = list(counts["splits"])
    rows = [["", *(split or "no split" for split in splits)]]
    for category in counts["categories"]:
        cells = (counts["category_splits"].get(f"{category}/{split}", 0) for split in splits)
        rows.append([printable(category) or "no category", *map(str, cells)])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]) for row in rows]


def _listed(title: str, entries: Any, total: int | None = None) -> list[str]:
    entries = [printable(entry) for entry in entries]
    total = len(entries) if total is None else total
    more = [f"  and {total - LISTED} more"] if total > LISTED else []
    return [f"{title}: {total or 'none'}", *(f"  {entry}" for entry in entries[:LISTED]), *more]


def _pair(pair: Mapping[str, Any]) -> str:
    return f"{'equal' if pair['exact'] else 'similar'} {pair['kind']}: {pair['first']} and {pair['second']}"


def _silhouettes(found: Mapping[str, Any]) -> list[str]:
    if not found["compared"]:
        return ["mask against mesh and pose: nothing to compare"]
    head = f"mask against mesh and pose: {found['compared']} compared, mean IoU {found['mean_iou']:.3f}"
    entries = [f"{entry['id']}: IoU {entry['iou']:.3f}" for entry in found["worst"] if entry["iou"] < found["min_iou"]]
    return [head, *_listed(f"IoU below {found['min_iou']:g}", entries, found["below"])]
