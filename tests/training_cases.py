"""A tiny system to train: an auto-encoder with dropout and batch normalisation, then the same against a critic.

Run as a program it trains in the folder that is given, for tests that stop, kill or multiply the process.
"""

import argparse
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from monoform.errors import InputError
from monoform.interfaces import Stage, Update
from monoform.training import OtherProcessError, TrainReport, TrainSettings, train

STEPS = (6, 8)
"""Of the two stages."""


class Toy(nn.Module):
    """Six numbers to three and back, and a critic."""

    def __init__(self, seed: int = 0, *, plain: bool = False, ranks: tuple[int, ...] = ()) -> None:
        """plain: without batch normalisation and dropout. ranks: take these processes' batches together."""
        super().__init__()
        self.ranks = ranks
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            rest = [] if plain else [nn.BatchNorm1d(3), nn.Dropout(0.2)]
            self.encoder = nn.Sequential(nn.Linear(6, 3), *rest)
            self.decoder = nn.Linear(3, 6)
            self.critic = nn.Linear(6, 1)

    def stages(self, steps: tuple[int, int] = STEPS) -> Iterator[Stage]:
        """The second stage holds on to the codes of the first as it ended, and trains the encoder further."""
        yield Reconstruct(self, steps[0])
        self.eval()
        with torch.no_grad():
            codes = self.encoder(torch.eye(6))
        yield Compete(self, steps[1], codes)


def draw(rng: np.random.Generator) -> Tensor:
    """Four rows."""
    return torch.from_numpy(rng.standard_normal((4, 6), dtype=np.float32))


class Reconstruct:
    """Stage one: one optimiser."""

    name = "reconstruct"

    def __init__(self, toy: Toy, steps: int) -> None:
        self.toy, self.steps = toy.train(), steps
        self.networks: dict[str, nn.Module] = {"encoder": toy.encoder, "decoder": toy.decoder}
        parameters = [*toy.encoder.parameters(), *toy.decoder.parameters()]
        self.optimizers: dict[str, torch.optim.Optimizer] = {"both": torch.optim.Adam(parameters, lr=0.02)}

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        if not self.toy.ranks:
            return {"x": draw(rng)}
        seed, stage, step, _ = rng.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
        return {"x": torch.cat([draw(np.random.default_rng([seed, stage, step, rank])) for rank in self.toy.ranks])}

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        decoded = self.networks["decoder"](self.networks["encoder"](batch["x"]))
        loss = (decoded - batch["x"]).square().mean()
        update(loss, self.optimizers["both"])
        return {"loss": loss}

    def validate(self) -> dict[str, float]:
        self.toy.eval()
        x = torch.eye(6)
        return {"score": -float((self.toy.decoder(self.toy.encoder(x)) - x).square().mean().detach())}

    def picture(self) -> np.ndarray | None:
        return np.full((8, 8, 3), 127, dtype=np.uint8)


class Compete(Reconstruct):
    """Stage two: two optimisers, of two kinds, one with a learning rate that falls."""

    name = "compete"

    def __init__(self, toy: Toy, steps: int, codes: Tensor) -> None:
        super().__init__(toy, steps)
        self.codes = codes
        self.networks["critic"] = toy.critic
        self.optimizers["critic"] = torch.optim.SGD(toy.critic.parameters(), lr=0.05, momentum=0.9)

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        x, critic = batch["x"], self.networks["critic"]
        for group in self.optimizers["critic"].param_groups:
            group["lr"] = 0.05 * 0.9**number
        made = self.networks["decoder"](self.networks["encoder"](x))
        critical = nn.functional.softplus(-critic(x)).mean() + nn.functional.softplus(critic(made.detach())).mean()
        update(critical, self.optimizers["critic"])
        kept = (self.toy.encoder(torch.eye(6)) - self.codes).square().mean()
        loss = (made - x).square().mean() + 0.1 * nn.functional.softplus(-critic(made)).mean() + kept
        update(loss, self.optimizers["both"])
        return {"loss": loss, "critic": critical}


def settings(**changes: object) -> TrainSettings:
    """Settings that log everything."""
    base = {"device": "cpu", "seed": 3, "checkpoint_every": 2, "validate_every": 3, "log_every": 1}
    return TrainSettings(**{**base, **changes})  # type: ignore[arg-type]


def fit(run: Path, stages: Iterator[Stage] | None = None, toy: Toy | None = None, **changes: object) -> TrainReport:
    """Train a toy in `run`."""
    toy = toy or Toy()
    return train(
        stages or toy.stages(), run, settings(**changes), model=toy, describe={"method": "toy", "pair": (1, 2)}
    )


def stopping(stages: Iterator[Stage], after: int, number: int = signal.SIGTERM) -> Iterator[Stage]:
    """The same stages; the step that is the `after`-th in all sends this process a signal."""
    done = 0

    def wrap(stage: Stage) -> Stage:
        step = stage.step

        def signalling(*arguments: object) -> dict[str, float | Tensor]:
            nonlocal done
            done += 1
            if done == after:
                os.kill(os.getpid(), number)
            return step(*arguments)  # type: ignore[arg-type]

        stage.step = signalling  # type: ignore[method-assign]
        return stage

    for stage in stages:
        yield wrap(stage)


def kept_bytes(run: Path) -> dict[str, bytes]:
    """All that a run leaves that must not depend on whether it was interrupted."""
    names = ["log.jsonl", "log.csv", "run.json"]
    files = [run / name for name in names] + sorted((run / "model").iterdir()) + sorted((run / "pictures").iterdir())
    newest = sorted((run / "checkpoints").iterdir())[-1]
    return {str(file.relative_to(run)): file.read_bytes() for file in [*files, *sorted(newest.iterdir())]}


def main() -> int:
    """Train in a process of its own; 0, or as the command line would end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each validation takes")
    parser.add_argument("--stop-after", type=int, default=0, help="the step that sends SIGTERM to process --rank")
    parser.add_argument("--rank", default="0")
    parser.add_argument("--falling", action="store_true", help="each validation finds less than the one before")
    parser.add_argument("--again", default="", help="port to meet at for the same training, which is refused")
    options = parser.parse_args()
    torch.set_num_threads(1)
    toy = Toy(plain=options.plain)
    stages = toy.stages()
    if options.stop_after and os.environ.get("RANK", "0") == options.rank:
        stages = stopping(stages, options.stop_after)
    if options.falling:
        stages = falling(stages)
    report = fit(options.run, slowed(stages, options.seconds), toy, precision=options.precision, resume=options.resume)
    if options.again:
        left = options.run / f"rank-{os.environ['RANK']}"
        np.savez(f"{left}.npz", **{name: tensor.numpy() for name, tensor in toy.state_dict().items()})
        os.environ["MASTER_PORT"] = options.again
        try:
            fit(options.run)
        except (InputError, OtherProcessError) as error:
            left.with_suffix(".txt").write_text(f"{type(error).__name__}: {error}")
    return {"trained": 0, "interrupted": 130, "terminated": 143}[report.status]


def slowed(stages: Iterator[Stage], seconds: float) -> Iterator[Stage]:
    """The same stages, each of whose validations takes its time."""
    for stage in stages:
        validate = stage.validate

        def slow(validate: Callable[[], dict[str, float]] = validate) -> dict[str, float]:
            time.sleep(seconds)
            return validate()

        stage.validate = slow  # type: ignore[method-assign]
        yield stage


def falling(stages: Iterator[Stage]) -> Iterator[Stage]:
    """The same stages, with scores that fall."""
    for stage in stages:
        scores = itertools.count(0, -1)
        stage.validate = lambda scores=scores: {"score": float(next(scores))}  # type: ignore[method-assign]
        yield stage


if __name__ == "__main__":
    sys.exit(main())
