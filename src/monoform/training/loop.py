"""The training loop: stages one after the other, each step logged, saved and validated when it is due."""

import contextlib
import io
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from monoform.errors import InputError, NumericError
from monoform.files.atomic import printable_name, remove_unfinished, write_atomic
from monoform.files.weights import encode, load_weights, save_weights
from monoform.interfaces import Stage
from monoform.training.batches import Batch, drawn_ahead
from monoform.training.guards import ECHO_SECONDS, StopFlag, caught_signals, locked
from monoform.training.logs import Log
from monoform.training.processes import Team, joined_team
from monoform.training.records import (
    INTERRUPTED,
    TERMINATED,
    TRAINED,
    Listener,
    OtherProcessError,
    Reason,
    Silence,
    StageReport,
    Status,
    TrainReport,
    TrainSettings,
)
from monoform.training.run_file import check_device, write_run_file
from monoform.training.saving import (
    CHECKPOINTS,
    MODEL,
    Position,
    find_position,
    folder_of,
    load_checkpoint,
    load_model,
    model_arrays,
    save_checkpoint,
)
from monoform.training.updates import Updater

MODEL_FOLDER, PICTURES, SESSIONS = "model", "pictures", "sessions.jsonl"
_STEP, _BUILD, _VALIDATE = range(3)
"""What torch's generator is seeded for."""
_REFUSE, _BEGIN, _GO_ON = range(3)
"""What the first process says to the others when it has looked at the folder."""
_REASONS: tuple[Reason, ...] = ("", INTERRUPTED, TERMINATED)


def train(
    stages: Iterator[Stage],
    run: Path,
    settings: TrainSettings,
    *,
    model: nn.Module,
    describe: dict[str, Any],
    listener: Listener | None = None,
) -> TrainReport:
    """Train a model stage by stage and leave a run's folder: checkpoints/, log.jsonl, pictures/, and at the end model/.

    stages: `Method.stages(...)`; a stage is taken once the one before has trained, with its last weights in `model`. Whatever a
    stage must remember between steps lives in the model's buffers or its optimisers, so that a checkpoint holds it.
    describe: plain JSON of what is trained, written into every record; `checkpoints.load_method` needs method and config there.
    model/ holds the weights with the best score of the last stage, else the last ones; `model` is left with them.

    SIGINT and SIGTERM save after the step and end the training; the report tells. On the CPU a resumed run leaves the bytes of
    one that was never stopped. Raises InputError (settings, another run in the folder, no readable checkpoint), NumericError
    (`max_bad_steps` steps in a row, or all of a stage, not finite: the batch is kept), TrainingEnvironmentError (device, lock;
    OtherProcessError where another process fails, which tells why), WriteError, and MemoryError.
    """
    device = check_device(settings)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        team = stack.enter_context(joined_team(device))
        flag = stack.enter_context(caught_signals(ECHO_SECONDS if team.size > 1 else 0.0))
        stack.enter_context(_torch_left_as_found(device, settings.threads))
        shown = listener if listener is not None and team.first else Silence()
        loop = _Loop(run, settings, team, flag, model, json.loads(json.dumps(describe)), shown)
        stack.callback(loop.close)
        try:
            loop.open(stack)
            status = loop.run_stages(stages)
        except torch.OutOfMemoryError as error:
            raise MemoryError(f"{device}: out of memory; choose a smaller batch size or width") from error
        loop.end_session(status, time.monotonic() - started)
        return TrainReport(
            status=status,
            steps=loop.at.total,
            stages=loop.reports(),
            device=str(device),
            seconds=time.monotonic() - started,
            model=run / MODEL_FOLDER if status == TRAINED else None,
        )


def _make_folders(run: Path) -> None:
    for folder in (run, run / CHECKPOINTS, run / PICTURES):
        folder.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _torch_left_as_found(device: torch.device, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        try:
            torch.set_num_threads(threads or before)
            yield
        finally:
            torch.set_num_threads(before)


class _Loop:
    """The state of one session."""

    def __init__(
        self,
        run: Path,
        settings: TrainSettings,
        team: Team,
        flag: StopFlag,
        model: nn.Module,
        describe: dict[str, Any],
        listener: Listener,
    ) -> None:
        self.run, self.settings, self.team, self.flag = run, settings, team, flag
        self.model, self.describe, self.listener = model.to(team.device), describe, listener
        self.update = Updater(team, settings.clip_norm, mixed=settings.precision == "mixed")
        self.at = Position()
        self.ends: tuple[int, ...] = ()
        """`Position.ends` of the stages that were finished before this session."""
        self.log: Log | None = None

    # --- the run ---------------------------------------------------------------------------------------------------

    def open(self, stack: contextlib.ExitStack) -> None:
        """Find where to go on, or begin. stack: holds the folder's lock."""
        saved, said = None, _REFUSE
        try:
            if self.team.first:
                _make_folders(self.run)
                stack.enter_context(locked(self.run))
                remove_unfinished(self.run / CHECKPOINTS)
                remove_unfinished(self.run)
                write_run_file(self.run, self.settings, self.describe, self.team.size)
                saved = find_position(self.run, self.listener.warn)
                said = _BEGIN if saved is None else _GO_ON
        finally:
            said = self.team.first_says(said)
        if said == _REFUSE:
            raise OtherProcessError
        # The others look when the first has removed what cannot be read.
        if said == _GO_ON and not self.team.first:
            saved = find_position(self.run, self.listener.warn)
        self.at = saved or self.at
        self.ends = tuple(self.at.ends)
        if self.team.first:
            self.log = Log(self.run, self.at.log_sizes, self.at.total)
            self._session({"event": "begin", "device": str(self.team.device), "processes": self.team.size,
                           "torch": torch.__version__, "total": self.at.total})  # fmt: skip
        self.team.share(self.model)

    def close(self) -> None:
        """Close the log."""
        if self.log is not None:
            self.log.close()

    def run_stages(self, stages: Iterator[Stage]) -> Status:
        """All stages; how it ended."""
        for index in itertools.count():
            self._seed(index, 0, _BUILD)
            stage = next(stages, None)
            if stage is None:
                break
            if index < len(self.ends):
                self._restore_end(self.ends[index])
            elif reason := self._run_stage(index, stage):
                return reason
        if self.team.first:
            self._write_model()
        self.team.share(self.model)
        self.team.wait()
        return TRAINED

    def reports(self) -> tuple[StageReport, ...]:
        """Of the finished stages and the one that was stopped."""
        done = tuple(StageReport(**report) for report in self.at.reports)
        return done if len(self.at.ends) > self.at.stage or not self.at.name else (*done, self._stage_report())

    # --- a stage ---------------------------------------------------------------------------------------------------

    def _run_stage(self, index: int, stage: Stage) -> Reason:
        """The stage's steps that are left; '' or why to stop."""
        self._begin_stage(index, stage)
        self.listener.begin(stage.name, stage.steps, self.at.step)
        steps = range(self.at.step, stage.steps)
        with drawn_ahead(stage.batch, self.settings.seed, index, self.team.rank, steps) as batches:
            for number, batch in zip(steps, batches, strict=True):
                self._step(stage, number, batch)
                if reason := self._after_step(stage):
                    self.team.wait()
                    return reason
        if not stage.steps:
            self._end_stage()
        return ""

    def _begin_stage(self, index: int, stage: Stage) -> None:
        at = self.at
        if not (at.stage == index == len(at.ends) and at.step):
            self.at = Position(stage=index, name=stage.name, total=at.total, ends=at.ends, reports=at.reports)
            return
        if at.name != stage.name or at.step > stage.steps:
            raise InputError(
                f"{printable_name(self.run)}: stopped in another stage ({at.name}, step {at.step}); train in another folder"
            )
        load_checkpoint(folder_of(self.run, at.total), self.model, stage.optimizers)
        self.update.scaler.load_state_dict(at.scaler)

    def _step(self, stage: Stage, number: int, batch: Batch) -> None:
        """One step, and what is to be said of it."""
        device = self.team.device
        buffers = {name: tensor.clone() for name, tensor in self.model.named_buffers()}
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
        self._seed(self.at.stage, number, _STEP)
        self.update.refused = 0
        with self.update.autocast():
            values = stage.step(number, moved, self.update)
        self.at.step, self.at.total = number + 1, self.at.total + 1
        if self.update.refused:
            self._skip(stage, batch, values, buffers)
        else:
            self.at.bad_in_a_row = 0
        self.team.share_buffers(self.model)
        logged = None
        if self.at.step % self.settings.log_every == 0 or self.at.step == stage.steps:
            logged = {**_numbers(values), "skipped": float(self.at.skipped)}
            if self.log is not None:
                self.log.line(stage.name, self.at.step, self.at.total, "train", logged)
        self.listener.step(stage.name, self.at.step, logged)

    def _skip(
        self, stage: Stage, batch: Batch, values: Mapping[str, float | Tensor], buffers: dict[str, Tensor]
    ) -> None:
        """Count a step that was left out, and take back what it did to running means; stop after too many in a row."""
        for name, tensor in self.model.named_buffers():
            tensor.copy_(buffers[name])
        self.at.skipped, self.at.bad_in_a_row = self.at.skipped + 1, self.at.bad_in_a_row + 1
        wrong = [name for name, value in _numbers(values).items() if not np.isfinite(value)]
        what = f"{', '.join(wrong)} not finite" if wrong else "gradient not finite"
        self.listener.warn(
            f"stage {stage.name}, step {self.at.step}: left out, {what} ({self.at.bad_in_a_row} in a row)"
        )
        if self.at.bad_in_a_row >= min(self.settings.max_bad_steps, stage.steps):
            file = self.run / f"bad-batch-{self.at.total:08d}-{self.team.rank}.safetensors"
            write_atomic(file, encode({name: tensor.numpy() for name, tensor in batch.items()}))
            raise NumericError(
                f"stage {stage.name}, step {self.at.step}: {what} in {self.at.bad_in_a_row} steps in a row; the batch is in "
                f"{printable_name(file)}: look for bad images there, or choose a lower learning rate or --clip-norm"
            )

    def _after_step(self, stage: Stage) -> Reason:
        """Validate and save if it is due; '' or why to stop."""
        last = self.at.step == stage.steps
        best = False
        if self.log is not None and (last or _due(self.at.step, self.settings.validate_every)):
            best = self._validate(stage, self.log)
        if last:
            self._end_stage()
        reason = _REASONS[self.team.largest(_REASONS.index(self.flag.reason))]
        if self.log is not None and (last or best or reason or _due(self.at.step, self.settings.checkpoint_every)):
            self.at.scaler, self.at.log_sizes = self.update.scaler.state_dict(), self.log.sizes()
            save_checkpoint(self.run, self.model, stage.optimizers, self.at, self.describe)
        return reason

    def _end_stage(self) -> None:
        self.at.reports = [*self.at.reports, asdict(self._stage_report())]
        self.at.ends = [*self.at.ends, self.at.total]

    def _stage_report(self) -> StageReport:
        at = self.at
        return StageReport(at.name, at.step, at.skipped, dict(at.scores), at.best_step, at.best_score)

    def _validate(self, stage: Stage, log: Log) -> bool:
        """Scores to the log, the picture to its folder; whether the score is the best of the stage so far."""
        modes = {module: module.training for module in self.model.modules()}
        self._seed(self.at.stage, self.at.step, _VALIDATE)
        with torch.no_grad():
            scores = _numbers(stage.validate())
            picture = stage.picture()
        for module, mode in modes.items():
            module.training = mode
        log.line(stage.name, self.at.step, self.at.total, "validation", scores)
        self.at.scores = {name: value if np.isfinite(value) else None for name, value in scores.items()}
        if picture is not None:
            _save_jpg(picture, self.run / PICTURES / f"{stage.name}-{self.at.step:08d}.jpg")
        score = self.at.scores.get("score")
        best = score is not None and (self.at.best_score is None or score > self.at.best_score)
        if best:
            self.at.best_score, self.at.best_step, self.at.best_total = score, self.at.step, self.at.total
            self.at.best_scores = self.at.scores
        self.listener.validated(stage.name, self.at.step, scores, best)
        return best

    # --- files -----------------------------------------------------------------------------------------------------

    def _write_model(self) -> None:
        """The best weights of the last stage, else the last."""
        arrays, total, scores = model_arrays(self.model), self.at.total, self.at.scores
        if self.at.best_total is not None and self.at.best_total != total:
            try:
                arrays, total = load_weights(folder_of(self.run, self.at.best_total))[0][MODEL], self.at.best_total
                scores = self.at.best_scores
            except InputError as error:
                self.listener.warn(f"{error} -- TAKING the last weights instead of the best")
        load_model(self.model, arrays, printable_name(self.run))
        trained = {"steps": total, "scores": scores, "best_score": self.at.best_score}
        save_weights(self.run / MODEL_FOLDER, {MODEL: arrays}, {**self.describe, "trained": trained})

    def end_session(self, status: str, seconds: float) -> None:
        """Note when and why this session ended."""
        self._session({"event": "end", "status": status, "total": self.at.total, "seconds": round(seconds, 1)})

    def _session(self, values: dict[str, Any]) -> None:
        if self.team.first:
            with open(self.run / SESSIONS, "ab") as file:
                line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **values}
                file.write((json.dumps(line) + "\n").encode("ascii"))

    def _restore_end(self, total: int) -> None:
        """Give a finished stage, built again, the weights it ended with, so that the next stage finds them as it did then.

        If they cannot be read, loudly those of the checkpoint: what was learnt since is worth more than the last bit.
        """
        if total:
            try:
                arrays = load_weights(folder_of(self.run, total))[0][MODEL]
            except InputError as error:
                self.listener.warn(f"{error} -- BUILDING the next stage from later weights")
                arrays = load_weights(folder_of(self.run, self.at.total))[0][MODEL]
            load_model(self.model, arrays, printable_name(self.run))

    def _seed(self, stage: int, number: int, purpose: int) -> None:
        """Seed torch for one step, so that no state of a generator need be stored."""
        words = [self.settings.seed, stage, number, self.team.rank, purpose]
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]))


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _numbers(values: Mapping[str, float | Tensor]) -> dict[str, float]:
    return {name: float(value.detach() if isinstance(value, Tensor) else value) for name, value in values.items()}


def _save_jpg(picture: np.ndarray, file: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(data, "JPEG", quality=90)
    write_atomic(file, data.getvalue())
