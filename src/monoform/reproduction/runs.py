"""Sets and trained methods that are kept: made when they are missing, taken as they are when they are there.

``sets/<name>-<digest>`` and ``runs/<name>-<digest>``: the digest is that of everything that decides the content, so that
other settings never meet old results.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from monoform import __version__
from monoform.checkpoints import as_module, describe_method, load_method
from monoform.data.image_sets import save_images
from monoform.data.image_sets.leakage import SEEN, load_known, refuse_shared, seen_record
from monoform.errors import InputError
from monoform.evaluate import Cell, Evaluation
from monoform.interfaces import ImageSet, Method, Stage
from monoform.results import plain, write_json
from monoform.training import Listener, Precision, TrainReport, TrainSettings, train

Tell = Callable[[str], None]
"""Takes a line about what is being done."""


class Stopped(Exception):
    """A training was stopped by a signal and has saved itself; the same call goes on."""

    def __init__(self, status: str):
        super().__init__(f"{status}; what was trained is kept and the same command goes on")
        self.status = status


@dataclass(frozen=True, eq=False)
class Workshop:
    """Where sets and runs are kept, and how methods are trained."""

    folder: Path
    device: str
    precision: Precision
    """Of trainings; measurements are float32."""
    tell: Tell
    listener: Listener | None
    sets: dict[str, Any]
    """Name to how each used set was made; grows."""
    runs: dict[str, Any]
    """Name to what became of each used training; grows."""

    def image_set(self, name: str, settings: Mapping[str, Any], make: Callable[[], ImageSet]) -> ImageSet:
        """The set of that name and settings, made if it is missing. Raises InputError if its files are damaged.

        Another version of monoform may draw the same shape otherwise, so it makes sets of its own.
        """
        place = self.folder / "sets" / f"{name}-{_digest({**settings, 'monoform': __version__})}"
        if not place.is_dir():
            self.tell(f"drawing {name}")
            place.parent.mkdir(parents=True, exist_ok=True)
            save_images(make(), place)
        images = load_known(place)
        self.sets[name] = {"images": len(images), "objects": len(images.object_ids), **settings}
        return images

    def trained(
        self, name: str, method_name: str, config: Any, stages_of: Callable[[Any], Iterator[Stage]],
        *, sets: Mapping[str, ImageSet], seed: int, start: Mapping[str, Path] = MappingProxyType({}),
    ) -> tuple[Any, Path]:  # fmt: skip
        """The trained method and the folder of its weights; trained, or trained further, if it is not finished.

        stages_of: the method's stages on its sets. sets: those by role, 'val' among them or not; what they hold, not how it was
        made, decides which run it is. start: weights of finished runs to begin from, each by how the names of the parameters
        begin that are taken from it; '' is all.
        Raises Stopped when a signal ends the training, InputError if the validation set shares objects or images with another.
        """
        decides = {
            **describe_method(method_name, config), "seed": seed, "precision": self.precision,
            "start": {names: weights.parent.name for names, weights in start.items()},
            "sets": {role: images.made_by | {"images": len(images)} for role, images in sets.items()},
        }  # fmt: skip
        run = self.folder / "runs" / f"{name}-{_digest(decides)}"
        summary = run.with_name(run.name + ".json")
        if not (run / "model").is_dir():
            method = config.build()
            for names, weights in start.items():
                take_over(method, load_method(weights), names)
            seen = seen_record(sets)
            if "val" in sets:
                refuse_shared(sets["val"], "the validation set", {role: seen[role] for role in seen if role != "val"})
            self._train(method, stages_of(method), run, {**decides, SEEN: seen})
        done = json.loads(summary.read_text()) if summary.is_file() else {}
        self.runs[name] = {
            "steps": 0, "hours": 0.0, "device": "", **done,
            "config": asdict(config), "seed": seed, "precision": self.precision,
        }  # fmt: skip
        return load_method(run / "model"), run / "model"

    def _train(self, method: Any, stages: Iterator[Stage], run: Path, describe: dict[str, Any]) -> None:
        self.tell(f"training {run.name}")
        run.parent.mkdir(parents=True, exist_ok=True)
        summary = run.with_name(run.name + ".json")
        before = json.loads(summary.read_text())["hours"] if summary.is_file() else 0.0
        settings = TrainSettings(self.device, self.precision, describe["seed"], resume=run.is_dir())
        report: TrainReport = train(
            stages, run, settings, model=method, describe=plain(describe), listener=self.listener
        )
        hours = before + report.seconds / 3600
        write_json(summary, {"steps": report.steps, "hours": hours, "device": report.device, "status": report.status})
        if report.status != "trained":
            raise Stopped(report.status)


def take_over(method: Method, trained: Method, names: str) -> None:
    """Give a method those weights of another whose names begin so. Raises InputError if there are none or they do not fit."""
    states = [as_module(each).state_dict() for each in (method, trained)]
    own, others = ({name: x for name, x in state.items() if name.startswith(names)} for state in states)
    if not own or own.keys() != others.keys() or any(own[name].shape != others[name].shape for name in own):
        raise InputError(f"the weights '{names}' of the run to begin from do not fit; train it with the same settings")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(others[name])


def evaluated_cells(evaluation: Evaluation, quantity: str) -> dict[str, Cell]:
    """A row of an evaluation's table. Raises InputError if the method has no such number."""
    if quantity not in evaluation.table:
        raise InputError(f"the method gives no '{quantity}'; it has {', '.join(evaluation.table)}")
    return evaluation.table[quantity]


def without_truth(images: ImageSet) -> ImageSet:
    """The images with their masks alone, as natural photos have them."""
    count, objects = len(images), len(images.object_ids)
    nan = np.full((count, 3, 3), np.nan, np.float32)
    return ImageSet(
        images.images, images.masks, nan, nan[:, 0], nan, images.objects, np.zeros((objects, 0, 0, 0), bool),
        images.object_ids, images.categories, "", {"masks_of": images.made_by},
    )  # fmt: skip


def _digest(settings: Mapping[str, Any]) -> str:
    text = json.dumps(plain(dict(settings)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
