"""What is wrong with a set: corrupt and empty items, changed files, duplicates, leakage between splits, wrong poses and boxes.

Works on any Source. Every item is decoded once; nothing of it is kept but hashes, a thumbnail and a number.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from monoform.data.bad_items import BadItems, TooManyBadError, emptiness
from monoform.data.duplicates import (
    MESHES_APART,
    VOXELS_APART,
    Pair,
    difference_hash,
    mesh_descriptor,
    similar_pictures,
    similar_shapes,
    thumbnail,
    voxel_descriptor,
)
from monoform.data.reading import OwnSet
from monoform.data.samples import APPROXIMATE, Item, Sample, Source
from monoform.data.writing import Listener
from monoform.errors import InputError
from monoform.meshes import Mesh
from monoform.projection.kernels.coverage import Topology, forward

SCHEMA_VERSION = 1
MIN_IOU = 0.9
"""IoU of mask and re-rendered mesh below which pose and mask do not belong together."""
NOT_COMPARED = frozenset({"occluded", "coarse", "unannotated", APPROXIMATE})
"""Flags of items whose mask is not the whole silhouette of their mesh, so that a low IoU says nothing."""
BOX_SLACK = 1.0
"""Pixels that a box may reach over the image's edge: sets count their first and last pixels in different ways."""
_LISTED_PAIRS, _LISTED_WORST = 1000, 20

Verdict = Literal["ok", "flawed", "unusable"]


@dataclass
class _Evidence:
    """What is remembered of the decoded items."""

    pictures: list[tuple[Item, str, np.ndarray, np.ndarray]] = field(default_factory=list)
    """Item, SHA-256 of the pixels, hash, thumbnail."""
    shapes: dict[str, list[tuple[Item, str, np.ndarray]]] = field(default_factory=lambda: defaultdict(list))
    """'mesh' and 'voxels' to item, SHA-256 of the content, descriptor; one an object and content."""
    seen: set[tuple[str, str, str]] = field(default_factory=set)
    regions: dict[tuple[str, str], str] = field(default_factory=dict)
    """Object and SHA-256 of the pixels to SHA-256 of the first mask and box there."""
    shaped: set[str] = field(default_factory=set)
    """Ids of the items with a mesh or voxels."""
    ious: list[tuple[float, Item]] = field(default_factory=list)
    wrong_boxes: list[tuple[Item, str]] = field(default_factory=list)
    full_masks: list[Item] = field(default_factory=list)
    changed: list[tuple[Item, list[str]]] = field(default_factory=list)
    topology: tuple[Mesh, Topology] | None = None
    """Of the last mesh: an object's views follow each other."""


@dataclass(frozen=True)
class Report:
    """The findings, as JSON, and the verdict."""

    record: dict[str, Any]
    verdict: Verdict
    """'unusable': too many corrupt or empty items; 'flawed': any other finding but duplicates within a split."""


def check(source: Source, listener: Listener, *, min_iou: float = MIN_IOU) -> Report:
    """Look at every item of a source."""
    items = source.items()
    if not items:
        raise InputError(f"{source.name}: the set has no items; check its folder, split and category")
    bad, evidence = BadItems(len(items)), _Evidence()
    listener.start(len(items), 0)
    stopped = False
    for index, item in enumerate(items):
        error = _look_at(source, index, item, evidence)
        listener.step(item, error)
        try:
            if error:
                bad.add(item, error)
        except TooManyBadError:
            stopped = index + 1 < len(items)
            break
    return _report(source.name, items, bad, evidence, stopped, min_iou)


def _look_at(source: Source, index: int, item: Item, evidence: _Evidence) -> str:
    """Gather the evidence of one item; why it cannot be used, '' if it can."""
    try:
        if isinstance(source, OwnSet) and (changed := source.changed(index)):
            evidence.changed.append((item, changed))
        sample = source.load(index)
        error = emptiness(sample)
        if not error:
            _remember(item, sample, evidence)
        return error
    except InputError as error:
        return " ".join(str(error).split())


def _remember(item: Item, sample: Sample, evidence: _Evidence) -> None:
    # A CAD model that stands for many objects is no object's own.
    approximate = APPROXIMATE in item.flags | sample.item.flags
    mesh, voxels = (None, None) if approximate else (sample.mesh, sample.voxels)
    if mesh is not None or voxels is not None:
        evidence.shaped.add(item.id)
    if sample.image is not None:
        digest, region = _digest(sample.image), _digest(*(a for a in (sample.mask, sample.box_xyxy) if a is not None))
        # Objects of one photo, each with its own mask or box, are no copies of each other.
        if evidence.regions.setdefault((item.object_id, digest), region) == region:
            evidence.pictures.append((item, digest, difference_hash(sample.image), thumbnail(sample.image)))
    if mesh is not None and _is_new(evidence, "mesh", item, digest := _digest(mesh.vertices, mesh.faces)):
        descriptor = mesh_descriptor(mesh)
        if descriptor is not None:
            evidence.shapes["mesh"].append((item, digest, descriptor))
    # Where there is a mesh it tells more: at a few cells a side, different shapes have one grid.
    if (
        mesh is None
        and voxels is not None
        and _is_new(evidence, "voxels", item, digest := _digest(np.packbits(voxels)))
    ):
        descriptor = voxel_descriptor(voxels)
        if descriptor is not None:
            evidence.shapes["voxels"].append((item, digest, descriptor))
    if fault := box_fault(sample):
        evidence.wrong_boxes.append((item, fault))
    # With a mesh its silhouette tells; an object that is cut off may fill its picture.
    if sample.mesh is None and sample.mask is not None and "truncated" not in item.flags | sample.item.flags:
        evidence.full_masks += [item] if sample.mask.min() >= 0.5 else []
    iou = silhouette_iou(sample, evidence)
    if iou is not None and not (item.flags | sample.item.flags) & NOT_COMPARED:
        evidence.ious.append((iou, item))


def _is_new(evidence: _Evidence, kind: str, item: Item, digest: str) -> bool:
    entry = (kind, item.object_id, digest)
    fresh = entry not in evidence.seen
    evidence.seen.add(entry)
    return fresh


def _digest(*arrays: np.ndarray) -> str:
    parts = [str(array.shape).encode() + np.ascontiguousarray(array).tobytes() for array in arrays]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def box_fault(sample: Sample) -> str:
    """What is wrong with the box: inside out, or outside the image; '' where it is right or there is none."""
    if sample.box_xyxy is None:
        return ""
    left, top, right, bottom = sample.box_xyxy.tolist()
    named = f"the box {left:g} {top:g} {right:g} {bottom:g}"
    if left >= right or top >= bottom:
        return f"{named} is inside out or empty; give left, top, right, bottom"
    picture = sample.image if sample.image is not None else sample.mask
    if picture is None:
        return ""
    h, w = picture.shape[:2]
    over = max(-left, -top, right - w, bottom - h)
    if over > BOX_SLACK:
        return f"{named} reaches {over:g} pixels out of the image of {w} x {h}; cut it off there, or get the set again"
    return ""


def silhouette_iou(sample: Sample, evidence: _Evidence | None = None) -> float | None:
    """IoU of the mask and the exact coverage of the mesh in its pose; None where one of them, or K, is missing."""
    mesh, mask, R, t, K = sample.mesh, sample.mask, sample.R, sample.t, sample.K
    if mesh is None or mask is None or R is None or t is None or K is None:
        return None
    camera = mesh.vertices @ R.T + t
    depth = np.where(camera[:, 2:] > 1e-6, camera[:, 2:], np.nan)
    points = np.concatenate([(camera @ K.T)[:, :2] / depth, np.nan_to_num(depth, nan=-1.0)], axis=1)
    points[:, :2] = np.nan_to_num(points[:, :2])
    last = evidence.topology if evidence else None
    topology = last[1] if last and last[0] is mesh else Topology(mesh.faces, mesh.vertices)
    if evidence:
        evidence.topology = (mesh, topology)
    alpha, _ = forward(points[None].astype(np.float32), topology, *mask.shape)
    union = np.maximum(alpha[0], mask).sum(dtype=np.float64)
    return float(np.minimum(alpha[0], mask).sum(dtype=np.float64) / union) if union > 0 else 0.0


# --- the report --------------------------------------------------------------------------------------------------


def _report(
    name: str, items: Sequence[Item], bad: BadItems, evidence: _Evidence, stopped: bool, min_iou: float
) -> Report:
    pairs = [] if stopped else _pairs(evidence)
    across = [pair for pair in pairs if pair["across_splits"]]
    parted = _parted_objects(items)
    low = sorted(((iou, item.id) for iou, item in evidence.ious if iou < min_iou))
    worst = sorted((iou, item.id) for iou, item in evidence.ious)[:_LISTED_WORST]
    ious = [iou for iou, _ in evidence.ious]
    repeated = _repeated_ids(items)
    faults = (bad.found, evidence.changed, evidence.wrong_boxes, evidence.full_masks, repeated, across, parted, low)
    flawed = any(map(bool, faults))
    verdict: Verdict = "unusable" if bad.too_many() else "flawed" if flawed else "ok"
    record = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "verdict": verdict,
        "stopped_early": stopped,
        "counts": _counts(items),
        "bad": bad.records(),
        "changed_files": [{"id": item.id, "files": files} for item, files in evidence.changed],
        "wrong_boxes": [{"id": item.id, "error": fault} for item, fault in evidence.wrong_boxes],
        "full_masks": [item.id for item in evidence.full_masks],
        "repeated_ids": repeated,
        "objects_in_two_splits": parted,
        "duplicates": {
            "exact": sum(pair["exact"] for pair in pairs),
            "near": sum(not pair["exact"] for pair in pairs),
            "across_splits": len(across),
            "pairs": sorted(pairs, key=lambda pair: not pair["across_splits"])[:_LISTED_PAIRS],
        },
        "silhouettes": {
            "compared": len(ious),
            "mean_iou": float(np.mean(ious)) if ious else None,
            "min_iou": min_iou,
            "below": len(low),
            "worst": [{"id": id, "iou": iou} for iou, id in worst],
        },
    }
    return Report(record, verdict)


def _counts(items: Sequence[Item]) -> dict[str, Any]:
    return {
        "items": len(items),
        "objects": len({item.object_id for item in items}),
        "categories": dict(sorted(Counter(item.category for item in items).items())),
        "splits": dict(sorted(Counter(item.split for item in items).items())),
        "flags": dict(sorted(Counter(flag for item in items for flag in item.flags).items())),
        "category_splits": {
            f"{category}/{split}": count
            for (category, split), count in sorted(Counter((item.category, item.split) for item in items).items())
        },
    }


def _repeated_ids(items: Sequence[Item]) -> list[str]:
    return sorted(id for id, times in Counter(item.id for item in items).items() if times > 1)


def _parted_objects(items: Sequence[Item]) -> list[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for item in items:
        splits[item.object_id].add(item.split)
    return sorted(object_id for object_id, found in splits.items() if len(found - {""}) > 1)


def _pairs(evidence: _Evidence) -> list[dict[str, Any]]:
    """All pairs of duplicates; shapes of one object (a group of near-duplicates) are meant to be alike."""
    found = []
    if evidence.pictures:
        owners, digests, hashes, thumbnails = zip(*sorted(evidence.pictures, key=_without_split))
        pairs = similar_pictures(digests, np.stack(hashes), np.stack(thumbnails))
        # Renders on plain ground look alike at a glance: where shapes are known, these tell whether objects do.
        near = [not {owners[pair.first].id, owners[pair.second].id} <= evidence.shaped for pair in pairs]
        found += _described("picture", owners, [pair for pair, kept in zip(pairs, near) if pair.exact or kept])
    for kind, apart in (("mesh", MESHES_APART), ("voxels", VOXELS_APART)):
        if not evidence.shapes[kind]:
            continue
        owners, digests, descriptors = zip(*sorted(evidence.shapes[kind], key=_without_split))
        pairs = similar_shapes(digests, np.stack(descriptors), apart)
        others = [pair for pair in pairs if owners[pair.first].object_id != owners[pair.second].object_id]
        found += _described(kind, owners, others)
    return found


def _without_split(entry: tuple[Any, ...]) -> bool:
    # Equal entries are paired with their first: one in a split, so that another split beside it is seen.
    return not entry[0].split


def _described(kind: str, owners: Sequence[Item], pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    return [
        {
            "kind": kind,
            "exact": pair.exact,
            "first": owners[pair.first].id,
            "second": owners[pair.second].id,
            "across_splits": _splits_differ(owners[pair.first], owners[pair.second]),
        }
        for pair in pairs
    ]


def _splits_differ(first: Item, second: Item) -> bool:
    return bool(first.split and second.split) and first.split != second.split
