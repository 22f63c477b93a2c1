"""monoform evaluate: a trained method on a test set, under a paper's protocol."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from monoform.cli.options import OK, Common, UsageError, print_json, use_threads
from monoform.cli.progress import printable
from monoform.errors import InputError
from monoform.files.atomic import printable_name

if TYPE_CHECKING:
    from monoform.checkpoints import Weights
    from monoform.evaluate import Evaluation
    from monoform.interfaces import ImageSet


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained method on a test set and print every choice of the protocol with the table.

    Intervals are those of a bootstrap over objects; macro is the mean of the categories, pooled that of all images.
    """

    run: tyro.conf.Positional[Path]
    """Folder that `monoform train` has left, or one of its weights."""
    protocol: Literal["liao2019", "zhu2017", "palazzi2018"]
    """liao2019: IoU of voxels, posed voxels, masks and projections, pose errors; zhu2017: 3D and 2D average precision;
    palazzi2018: class, IoU of silhouettes, pose errors, for raster_pose alone."""
    data: Path
    """Folder of the test set: of an image set of `save_images`, or of a data set of `monoform data synth` or `convert`, of
    which the split test is taken."""
    val: Path | None = None
    """Folder of a validation set, likewise, its split val, on which liao2019 tunes its thresholds; without it 0.5 alone is
    reported."""
    refine: Literal["none", "weights", "poses"] = "none"
    """Of palazzi2018, what is refined on each test mask: nothing, a copy of the encoder's weights (the paper), or the pose."""
    operator: Literal["edge_product", "soft_raster", "coverage"] = "coverage"
    """Through which --refine sees the mesh; edge_product is the paper's."""
    unfinished: bool = False
    """Measure a run whose training has not ended, by its best checkpoint so far."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File for protocol, table and the numbers of each image, as JSON."""
    device: str = "cpu"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Evaluate) -> int:
    """Evaluate; the exit code."""
    if config.val is not None and config.protocol != "liao2019":
        raise UsageError("--val goes with --protocol liao2019; the others have no threshold to tune")
    if config.refine != "none" and config.protocol != "palazzi2018":
        raise UsageError("--refine goes with --protocol palazzi2018; the others measure a method as it is")
    if config.operator != "coverage" and config.refine == "none":
        raise UsageError("--operator goes with --refine; nothing is rendered without")
    use_threads(config.common.threads)
    from monoform.checkpoints import load_with_weights
    from monoform.results import write_json

    method, weights = load_with_weights(config.run, config.device)
    if not weights.finished and not config.unfinished:
        raise InputError(f"{weights}: go on with monoform train --resume, or measure it with --unfinished")
    if not config.common.quiet:
        print(f"weights: {printable(str(weights))}", file=sys.stderr, flush=True)
    test, val = _sets(config, method, weights)
    found = _found(config, method, test, val)
    taken = {"folder": str(weights.folder), "finished": weights.finished, "text": str(weights)}
    record = {"run": str(config.run), "weights": taken, "data": str(config.data), **found.record()}
    if config.out is not None:
        write_json(config.out, {**record, "images": _images(found)})
    if config.common.json:
        print_json(record)
    elif not config.common.quiet:
        print(_page(found))
    return OK


def _found(config: Evaluate, method: Any, test: "ImageSet", val: "ImageSet | None") -> "Evaluation":
    """What the protocol finds. palazzi2018 refines and compares at 128 px, or at the set's own side where that is less."""
    from monoform import evaluate

    if config.protocol == "liao2019":
        return evaluate.evaluate_liao2019(method, test, val)
    if config.protocol == "zhu2017":
        return evaluate.evaluate_zhu2017(method, test)
    px = min(evaluate.Palazzi2018Protocol().mask_px, test.images.shape[1])
    way = evaluate.Way(config.refine, config.operator, px=px)
    return evaluate.evaluate_palazzi2018(method, test, way, evaluate.Palazzi2018Protocol(mask_px=px))


def _sets(config: Evaluate, method: Any, weights: "Weights") -> "tuple[ImageSet, ImageSet | None]":
    """To test on and to tune on. Raises InputError if they share objects or images with each other or with the training.

    The thresholds may be tuned on what the run was validated on, not on what it was trained on.
    """
    from monoform.data.image_sets.leakage import SEEN, refuse_shared, seen_record

    test, name = _read(config.data, "test", method, weights), f"the test set {printable_name(config.data)}"
    seen = {f"run's {role}": hashes for role, hashes in weights.record.get(SEEN, {}).items()}
    if not seen:
        print(
            "monoform: the weights do not tell what they were trained on; make sure that it is not the test set",
            file=sys.stderr,
        )
    refuse_shared(test, name, seen)
    if config.val is None:
        return test, None
    val = _read(config.val, "val", method, weights)
    refuse_shared(test, name, seen_record({"--val": val}))
    learnt = {role: hashes for role, hashes in seen.items() if role != "run's val"}
    refuse_shared(val, f"the validation set {printable_name(config.val)}", learnt)
    return test, val


def _read(folder: Path, role: Literal["val", "test"], method: Any, weights: "Weights") -> "ImageSet":
    """An image set; of an own data set the categories that the method has learnt."""
    from monoform.cli.train_sets import categories_in, is_own, own_images
    from monoform.data.image_sets import load_images

    if not is_own(folder):
        return load_images(folder)
    found = categories_in(folder)
    learnt = tuple(category for category in method.config.categories if category in found)
    if not learnt:
        raise InputError(
            f"{printable_name(folder)}: holds {', '.join(found)}, the method has learnt "
            f"{', '.join(method.config.categories)}; give a set with one of these"
        )
    return own_images(folder, role, weights.record["method"], method.config, learnt)


def _images(found: "Evaluation") -> dict[str, Any]:
    return {"object": found.objects, "category": found.categories, **found.per_image}


def _page(found: "Evaluation") -> str:
    """The choices, then the table."""
    choices = [f"{name}: {value}" for name, value in found.protocol.items() if name != "set"]
    columns = list(next(iter(found.table.values())))
    widest = max(map(len, found.table)) + 2
    lines = [" " * widest + "".join(f"{printable(name):>24}" for name in columns)]
    for name, row in found.table.items():
        cells = [f"{row[c].value:.3f} [{row[c].low:.3f}, {row[c].high:.3f}]" for c in columns]
        lines.append(f"{name:<{widest}}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join([*choices, "", *lines])
