"""monoform evaluate: a trained method on a test set, under a paper's protocol."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from monoform.cli.options import OK, Common, UsageError, print_json, use_threads
from monoform.cli.progress import printable

if TYPE_CHECKING:
    from monoform.evaluate import Evaluation


@dataclass(frozen=True)
class Evaluate:
    """Measure a trained method on a test set and print every choice of the protocol with the table.

    Intervals are those of a bootstrap over objects; macro is the mean of the categories, pooled that of all images.
    """

    run: tyro.conf.Positional[Path]
    """Folder that `monoform train` has left, or one of its weights."""
    protocol: Literal["liao2019", "zhu2017"]
    """liao2019: IoU of voxels, posed voxels, masks and projections, pose errors; zhu2017: 3D and 2D average precision."""
    data: Path
    """Folder of the test set, as `save_images` writes it."""
    val: Path | None = None
    """Folder of a validation set on which liao2019 tunes its thresholds; without it 0.5 alone is reported."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File for protocol, table and the numbers of each image, as JSON."""
    device: str = "cpu"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Evaluate) -> int:
    """Evaluate; the exit code."""
    if config.val is not None and config.protocol != "liao2019":
        raise UsageError("--val goes with --protocol liao2019; average precision has no threshold to tune")
    use_threads(config.common.threads)
    from monoform.checkpoints import load_method
    from monoform.data.image_sets import load_images
    from monoform.evaluate import evaluate_liao2019, evaluate_zhu2017
    from monoform.results import write_json

    method, test = load_method(config.run, config.device), load_images(config.data)
    if config.protocol == "liao2019":
        found = evaluate_liao2019(method, test, None if config.val is None else load_images(config.val))
    else:
        found = evaluate_zhu2017(method, test)
    record = {"run": str(config.run), "data": str(config.data), **found.record()}
    if config.out is not None:
        write_json(config.out, {**record, "images": _images(found)})
    if config.common.json:
        print_json(record)
    elif not config.common.quiet:
        print(_page(found))
    return OK


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
