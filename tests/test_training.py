"""The loop: resume to the bit, fallback, what is kept, bad numbers, devices, configs."""

import csv
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

import training_cases
from monoform import checkpoints
from monoform.errors import InputError, NumericError
from monoform.files.atomic import WriteError
from monoform.files.weights import load_weights
from monoform.interfaces import Stage, Update
from monoform.training import TrainingEnvironmentError, run_file
from monoform.training.batches import drawn_ahead
from monoform.training.processes import Team
from monoform.training.saving import listed
from monoform.training.updates import Updater
from test_weights import largest_file
from training_cases import Reconstruct, Toy, fit, kept_bytes, stopping

TOTAL = sum(training_cases.STEPS)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """For `whole` too: sums over two threads round otherwise than over one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(_one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    run = tmp_path_factory.mktemp("whole")
    fit(run)
    return run


class Heard:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.begun: list[tuple[str, int, int]] = []
        self.steps = 0

    def begin(self, stage: str, steps: int, done: int) -> None:
        self.begun.append((stage, steps, done))

    def step(self, stage: str, done: int, values: Mapping[str, float] | None) -> None:
        self.steps += 1

    def validated(self, stage: str, done: int, scores: Mapping[str, float], best: bool) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


# --- a run and its resume ----------------------------------------------------------------------------------------


def test_a_run_learns_and_leaves_what_it_says(whole: Path) -> None:
    losses = [line["loss"] for line in lines(whole) if line["stage"] == "compete" and line["kind"] == "train"]
    assert len(losses) == training_cases.STEPS[1]
    assert {path.name for path in (whole / "pictures").iterdir()} == {
        f"{stage}-{step:08d}.jpg" for stage, step in [("reconstruct", 3), ("reconstruct", 6), ("compete", 3),
                                                      ("compete", 6), ("compete", 8)]
    }  # fmt: skip
    record = load_weights(whole / "model")[1]
    assert (record["method"], record["pair"]) == ("toy", [1, 2])
    with open(whole / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows if row["stage"] == "compete" and row["name"] == "loss"] == losses
    sessions = [json.loads(line) for line in (whole / "sessions.jsonl").read_text().splitlines()]
    assert [line["event"] for line in sessions] == ["begin", "end"]


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    toy = Toy(plain=True)
    report = fit(tmp_path, toy.stages((300, 1)), toy, validate_every=0, checkpoint_every=0, log_every=100)
    before, after = Reconstruct(Toy(plain=True), 1).validate()["score"], report.stages[0].scores["score"]
    assert after is not None
    assert after > 0.6 * before


@pytest.mark.parametrize("after", range(1, TOTAL + 1))
def test_resume_after_any_step_is_bit_identical(whole: Path, tmp_path: Path, after: int) -> None:
    toy = Toy()
    stopped = fit(tmp_path, stopping(toy.stages(), after), toy)
    assert (stopped.status, stopped.steps, stopped.model) == ("terminated", after, None)
    report = fit(tmp_path, resume=True)
    assert (report.status, report.steps) == ("trained", TOTAL)
    assert kept_bytes(tmp_path) == kept_bytes(whole)


def test_resume_of_a_finished_run_changes_nothing(whole: Path, tmp_path: Path) -> None:
    fit(tmp_path)
    report = fit(tmp_path, resume=True)
    assert [stage.name for stage in report.stages] == ["reconstruct", "compete"]
    assert kept_bytes(tmp_path) == kept_bytes(whole)


def test_the_global_generators_are_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002


def test_another_seed_is_another_run(whole: Path, tmp_path: Path) -> None:
    fit(tmp_path, seed=4)
    assert lines(tmp_path)[0]["loss"] != lines(whole)[0]["loss"]


def test_a_run_is_not_overwritten_nor_gone_on_with_otherwise(tmp_path: Path) -> None:
    fit(tmp_path)
    with pytest.raises(InputError, match="holds a run already; go on with --resume"):
        fit(tmp_path)
    with pytest.raises(InputError, match=r"begun with settings.seed = 3, not 4"):
        fit(tmp_path, seed=4, resume=True)
    run_file = tmp_path / "run.json"
    run_file.write_text(json.dumps({**json.loads(run_file.read_text()), "method": "t" * 10_000}))
    with pytest.raises(InputError, match=r"begun with method = t{80}\.\.\., not toy; go on with the same options"):
        fit(tmp_path, resume=True)


def test_resume_of_an_empty_folder_begins(whole: Path, tmp_path: Path) -> None:
    fit(tmp_path, resume=True)
    assert kept_bytes(tmp_path) == kept_bytes(whole)


def test_a_stage_without_steps_is_passed_over(tmp_path: Path) -> None:
    toy = Toy()
    report = fit(tmp_path, toy.stages((0, 4)), toy)
    assert [(stage.name, stage.steps) for stage in report.stages] == [("reconstruct", 0), ("compete", 4)]


# --- what is kept, and falling back ------------------------------------------------------------------------------


def test_the_last_two_the_best_and_the_ends_are_kept(tmp_path: Path) -> None:
    class Falling(Reconstruct):
        """Its score is best at step 3."""

        calls = 0

        def validate(self) -> dict[str, float]:
            self.calls += 1
            return {"score": -float(self.calls)}

    toy = Toy()
    report = fit(tmp_path, iter([Reconstruct(toy, 4), Falling(toy, 12)]), toy)
    assert listed(tmp_path) == [4, 4 + 3, 14, 16]
    assert (report.stages[1].best_step, report.stages[1].best_score) == (3, -1.0)
    best, last = (load_weights(tmp_path / "checkpoints" / f"step-{n:08d}")[0]["model"] for n in (7, 16))
    kept = load_weights(tmp_path / "model")[0]["model"]
    assert all((kept[name] == best[name]).all() for name in kept)
    assert any((kept[name] != last[name]).any() for name in kept)
    trained = load_weights(tmp_path / "model")[1]["trained"]
    assert trained == {"steps": 7, "scores": {"score": -1.0}, "best_score": -1.0}, "the scores are those of the weights"


class Scored(Reconstruct):
    """Its validations give these scores, one after the other."""

    scores: tuple[float, ...] = ()

    def validate(self) -> dict[str, float]:
        self.scores, score = self.scores[1:], self.scores[0]
        return {"score": score, "other": 1.0}


def scored(toy: Toy, *scores: float) -> Iterator[Stage]:
    """A stage with a validation every three steps."""
    stage = Scored(toy, 3 * len(scores))
    stage.scores = scores
    yield stage


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((1.0, 2.0, 2.0), 2),
        ((2.0, 2.0, 2.0), 1),
        ((NAN, 1.0, NAN), 2),
        ((1.0, NAN, INF), 1),
        ((NAN, -INF, -3.0), 3),
        ((0.0, -0.0, NAN), 1),
    ],
)
def test_the_first_of_equal_scores_is_the_best_and_none_that_is_not_finite(
    tmp_path: Path, scores: tuple[float, ...], best: int
) -> None:
    toy = Toy()
    report = fit(tmp_path / "run", scored(toy, *scores), toy).stages[0]
    assert (report.best_step, report.best_score) == (3 * best, scores[best - 1])
    last = report.scores["score"]
    assert last == scores[-1] if np.isfinite(scores[-1]) else last is None
    model, record = load_weights(tmp_path / "run" / "model")
    kept = load_weights(tmp_path / "run" / "checkpoints" / f"step-{3 * best:08d}")[0]["model"]
    assert all((model["model"][name] == kept[name]).all() for name in kept)
    assert record["trained"]["scores"] == {"score": scores[best - 1], "other": 1.0}
    toy = Toy()
    fit(tmp_path / "stopped", stopping(scored(toy, *scores), 7), toy)
    toy = Toy()
    fit(tmp_path / "stopped", scored(toy, *scores[2:], 0.0, 0.0), toy, resume=True)
    assert kept_bytes(tmp_path / "stopped") == kept_bytes(tmp_path / "run")


def test_without_a_finite_score_the_last_weights_are_the_model(tmp_path: Path) -> None:
    toy = Toy()
    report = fit(tmp_path, scored(toy, NAN, NAN), toy)
    assert (report.stages[0].best_step, report.stages[0].best_score) == (None, None)
    model, record = load_weights(tmp_path / "model")
    last = load_weights(tmp_path / "checkpoints" / "step-00000006")[0]["model"]
    assert all((model["model"][name] == last[name]).all() for name in last)
    assert record["trained"] == {"steps": 6, "scores": {"score": None, "other": 1.0}, "best_score": None}
    assert [line["score"] for line in lines(tmp_path) if line["kind"] == "validation"] == [None, None]


def resumed(run: Path) -> Heard:
    """Go on with a run; what was told meanwhile."""
    heard, toy = Heard(), Toy()
    training_cases.train(
        toy.stages(), run, training_cases.settings(resume=True), model=toy,
        describe={"method": "toy", "pair": (1, 2)}, listener=heard,
    )  # fmt: skip
    return heard


def damage(run: Path, total: int, how: str) -> None:
    file = run / "checkpoints" / f"step-{total:08d}" / "optimizers.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes({"flip": bytes(data), "cut": bytes(data[:100]), "empty": b""}[how])


@pytest.mark.parametrize("how", ["flip", "cut", "empty"])
def test_a_damaged_checkpoint_falls_back_loudly_and_ends_the_same(whole: Path, tmp_path: Path, how: str) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 11), toy)
    assert listed(tmp_path)[-2:] == [10, 11]
    damage(tmp_path, 11, how)
    heard = resumed(tmp_path)
    assert len(heard.warnings) == 1
    assert "step-00000011/optimizers.safetensors" in heard.warnings[0]
    assert "GOING BACK" in heard.warnings[0]
    assert (tmp_path / "checkpoints" / "damaged-00000011").is_dir()
    assert heard.begun == [("compete", 8, 4)]
    assert heard.steps == 4
    assert kept_bytes(tmp_path) == kept_bytes(whole)


def test_a_damaged_end_of_a_stage_loses_no_work(tmp_path: Path) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 11), toy)
    damage(tmp_path, 6, "flip")
    heard = resumed(tmp_path)
    assert len(heard.warnings) == 1
    assert "BUILDING the next stage from later weights" in heard.warnings[0]
    assert heard.begun == [("compete", 8, 5)]
    assert listed(tmp_path)[-1] == TOTAL


def test_without_a_readable_checkpoint_nothing_is_begun(tmp_path: Path) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 5), toy)
    for total in listed(tmp_path):
        damage(tmp_path, total, "flip")
    before = lines(tmp_path)
    with pytest.raises(InputError, match="no checkpoint can be read"):
        fit(tmp_path, resume=True)
    assert lines(tmp_path) == before


def test_an_unfinished_folder_is_passed_over(whole: Path, tmp_path: Path) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 5), toy)
    (tmp_path / "checkpoints" / ".monoform-x.tmp").mkdir()
    (tmp_path / "checkpoints" / "step-00000009").mkdir()
    fit(tmp_path, resume=True)
    assert kept_bytes(tmp_path) == kept_bytes(whole)
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_full_disk_keeps_the_checkpoint_before(whole: Path, tmp_path: Path) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 4), toy)
    with largest_file(1650), pytest.raises(WriteError, match="step-00000006"):
        fit(tmp_path, resume=True)
    assert listed(tmp_path)[-1] == 4
    assert not list((tmp_path / "checkpoints").glob(".*"))
    fit(tmp_path, resume=True)
    assert kept_bytes(tmp_path) == kept_bytes(whole)


# --- bad numbers and bad batches ---------------------------------------------------------------------------------


class Faulty(Reconstruct):
    """Batches of NaN at some steps."""

    bad: tuple[int, ...] = ()

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        x = super().batch(rng)["x"]
        return {"x": x * float("nan") if rng.bit_generator.seed_seq.entropy[2] in self.bad else x}  # type: ignore[attr-defined]


def test_steps_that_are_not_finite_leave_no_trace_but_a_count(tmp_path: Path) -> None:
    toy = Toy()
    stage = Faulty(toy, 6)
    stage.bad = (2, 4)
    report = fit(tmp_path, iter([stage]), toy)
    assert report.stages[0].skipped == 2
    assert [line["skipped"] for line in lines(tmp_path) if line["kind"] == "train"] == [0, 0, 1, 1, 2, 2]
    assert [line["loss"] is None for line in lines(tmp_path) if line["kind"] == "train"] == [
        k in (2, 4) for k in range(6)
    ]
    batches = toy.encoder[1].num_batches_tracked
    assert isinstance(batches, Tensor)
    assert int(batches) == 4
    assert all(bool(torch.isfinite(value).all()) for value in toy.state_dict().values())


def test_too_many_in_a_row_stop_and_keep_the_batch(tmp_path: Path) -> None:
    toy = Toy()
    stage = Faulty(toy, 20)
    stage.bad = tuple(range(5, 20))
    with pytest.raises(NumericError, match=r"3 steps in a row.*bad-batch-00000008-0.safetensors.*lower learning rate"):
        fit(tmp_path, iter([stage]), toy, max_bad_steps=3)
    assert np.isnan(load_file(tmp_path / "bad-batch-00000008-0.safetensors")["x"]).all()
    assert listed(tmp_path)[-1] == 6


def test_a_stage_whose_every_step_was_left_out_is_not_trained(tmp_path: Path) -> None:
    toy = Toy()
    stage = Faulty(toy, 4)
    stage.bad = tuple(range(4))
    with pytest.raises(NumericError, match="not finite in 4 steps in a row"):
        fit(tmp_path, iter([stage]), toy, max_bad_steps=25)
    assert not (tmp_path / "model").exists()


def test_an_error_of_a_batch_comes_through(tmp_path: Path) -> None:
    class Broken(Reconstruct):
        def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
            if rng.bit_generator.seed_seq.entropy[2] == 3:  # type: ignore[attr-defined]
                raise InputError("image 7 is damaged")
            return super().batch(rng)

    toy = Toy()
    with pytest.raises(InputError, match="image 7 is damaged"):
        fit(tmp_path, iter([Broken(toy, 6)]), toy)
    assert listed(tmp_path) == [2, 3]
    assert not [thread for thread in threading.enumerate() if thread.name == "monoform-batches"]


def test_batches_are_those_of_their_numbers_whatever_came_before() -> None:
    def draw(rng: np.random.Generator) -> Mapping[str, Tensor]:
        return {"x": torch.from_numpy(rng.random(3))}

    with drawn_ahead(draw, 7, 1, 2, range(5)) as batches:
        whole = [batch["x"] for batch in batches]
    with drawn_ahead(draw, 7, 1, 2, range(3, 5)) as batches:
        rest = [batch["x"] for batch in batches]
    assert torch.equal(torch.stack(whole[3:]), torch.stack(rest))
    np.testing.assert_array_equal(whole[4].numpy(), np.random.default_rng([7, 1, 4, 2]).random(3))


def test_leaving_early_ends_the_thread_that_draws() -> None:
    with drawn_ahead(lambda rng: {"x": torch.zeros(1)}, 0, 0, 0, range(10**9)) as batches:
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name == "monoform-batches"]


def test_gradients_are_clipped_to_the_norm() -> None:
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    update = Updater(Team(0, 1, torch.device("cpu")), 2.0, mixed=False)
    assert update((weight * torch.tensor([30.0, 40.0])).sum(), optimizer)
    torch.testing.assert_close(weight.detach(), torch.tensor([3.0 - 1.2, 4.0 - 1.6]))
    assert not update((weight * torch.tensor([1.0, float("inf")])).sum(), optimizer)
    torch.testing.assert_close(weight.detach(), torch.tensor([1.8, 2.4]))


# --- mixed precision ---------------------------------------------------------------------------------------------


class TwoPasses:
    """A stage that updates its network between two passes."""

    name, steps = "two", 1

    def __init__(self) -> None:
        self.layer = nn.Linear(4, 4, bias=False)
        nn.init.ones_(self.layer.weight)
        self.networks: dict[str, nn.Module] = {"layer": self.layer}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"all": torch.optim.SGD(self.layer.parameters(), lr=1.0)}
        self.seen: list[Tensor] = []

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        return {"x": torch.ones(1, 4)}

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        with torch.no_grad():
            self.seen.append(self.layer(batch["x"]))
        self.seen.append(self.layer(batch["x"]))
        assert update(self.seen[-1].float().sum(), self.optimizers["all"])
        self.seen.append(self.layer(batch["x"]))
        return {"loss": self.seen[-1].detach().float().sum()}

    def validate(self) -> dict[str, float]:
        return {"score": 0.0}

    def picture(self) -> None:
        return None


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_mixed_precision_on_the_cpu_is_bfloat16_with_weights_as_they_are(tmp_path: Path, precision: str) -> None:
    stage = TwoPasses()
    fit(tmp_path, iter([stage]), nn.ModuleDict(stage.networks), precision=precision)
    half = torch.bfloat16 if precision == "mixed" else torch.float32
    assert [x.dtype for x in stage.seen] == [half] * 3
    assert stage.layer.weight.dtype == torch.float32
    assert [x.detach()[0, 0].item() for x in stage.seen] == [4, 4, 0], (
        "after an update a network runs on its new weights"
    )


def test_resume_in_mixed_precision_is_bit_identical(tmp_path: Path) -> None:
    fit(tmp_path / "whole", precision="mixed")
    toy = Toy()
    fit(tmp_path / "stopped", stopping(toy.stages(), 5), toy, precision="mixed")
    fit(tmp_path / "stopped", precision="mixed", resume=True)
    assert kept_bytes(tmp_path / "stopped") == kept_bytes(tmp_path / "whole")


def test_precision_is_part_of_a_run(tmp_path: Path) -> None:
    toy = Toy()
    fit(tmp_path, stopping(toy.stages(), 5), toy)
    with pytest.raises(InputError, match=r"begun with settings.precision = float32, not mixed"):
        fit(tmp_path, precision="mixed", resume=True)


def test_a_loss_that_is_not_finite_is_left_out_in_mixed_precision_too() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    update = Updater(Team(0, 1, torch.device("cpu")), 0.0, mixed=True)
    with update.autocast():
        assert not update((weight * float("inf")).sum() - (weight * float("inf")).sum(), optimizer)
    assert (update.refused, weight.detach().tolist()) == (1, [1.0, 1.0])
    assert not update.scaler.is_enabled(), "bfloat16 has the range of float32"


def test_mixed_precision_needs_a_device_that_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run_file, "choose_device", lambda name: torch.device("mps"))
    with pytest.raises(InputError, match="precision mixed: needs cuda or cpu, not mps; choose float32"):
        fit(tmp_path / "run", precision="mixed")
    assert not (tmp_path / "run").exists()


# --- devices and settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cuda:63", "mps"])
def test_a_device_that_is_not_there_is_never_replaced(tmp_path: Path, device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has mps")
    with pytest.raises(TrainingEnvironmentError, match=f"device {device}: .*--device cpu"):
        fit(tmp_path / "run", device=device)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "gpu"}, "give auto, cpu, cuda, cuda:N or mps"),
        ({"precision": "half"}, "precision 'half': give float32 or mixed"),
        ({"checkpoint_every": -1}, "checkpoint_every = -1"),
        ({"log_every": 0}, "log_every"),
        ({"clip_norm": float("nan")}, "clip_norm = nan"),
    ],
)
def test_settings_that_cannot_be_meant(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


# --- configs and methods -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToyConfig:
    """A config as the methods have them."""

    width: int = 3
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ("x",)
    pair: tuple[float, float] = (0.0, 1.0)
    seed: int = 0

    def build(self) -> "ToyMethod":
        return ToyMethod(self)


class ToyMethod(nn.Module):
    """A method with one layer."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.layer = nn.Linear(config.width, 1)

    def stages(self, train: object, val: object, natural: object = None) -> Iterator[Stage]:
        yield from ()

    def predict(self, images: Tensor) -> None:
        raise NotImplementedError

    def fit(self, run: Path) -> None:
        """Train the layer, the best score being that of step 3."""
        method = self

        class Learn(Reconstruct):
            def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
                loss = method.layer(batch["x"][:, : method.config.width]).square().mean()
                update(loss, self.optimizers["both"])
                return {"loss": loss}

            def validate(self) -> dict[str, float]:
                return {"score": float(next(score))}

        score = iter([3, 2, 1])
        stage = Learn(Toy(), 8)
        stage.optimizers = {"both": torch.optim.Adam(self.layer.parameters(), lr=0.1)}
        training_cases.train(
            iter([stage]), run, training_cases.settings(), model=self,
            describe=checkpoints.describe_method("toy", self.config),
        )  # fmt: skip


@pytest.fixture
def _toy_is_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monoform.methods.METHODS", {"toy": ToyConfig}, raising=False)


@pytest.mark.usefixtures("_toy_is_a_method")
def test_a_method_saved_is_the_method_loaded(tmp_path: Path) -> None:
    method = ToyConfig(width=5, names=("u", "v")).build()
    checkpoints.save_method(method, "toy", tmp_path / "m")
    loaded = checkpoints.load_method(tmp_path / "m")
    assert loaded.config == method.config
    assert isinstance(loaded, ToyMethod)
    assert torch.equal(loaded.layer.weight, method.layer.weight)
    assert not loaded.training


@pytest.mark.usefixtures("_toy_is_a_method")
def test_a_run_gives_its_best_model_finished_or_not(tmp_path: Path) -> None:
    ToyConfig().build().fit(tmp_path)
    best = load_weights(tmp_path / "checkpoints" / "step-00000003")[0]["model"]["layer.weight"]
    assert str(checkpoints.load_with_weights(tmp_path)[1]) == str(tmp_path / "model")
    for folder in (tmp_path, tmp_path / "model", tmp_path / "checkpoints" / "step-00000003"):
        assert checkpoints.load_with_weights(folder)[1].finished
        np.testing.assert_array_equal(checkpoints.load_method(folder).layer.weight.detach().numpy(), best)  # type: ignore[attr-defined]
    (tmp_path / "model" / "manifest.json").unlink()
    np.testing.assert_array_equal(checkpoints.load_method(tmp_path).layer.weight.detach().numpy(), best)  # type: ignore[attr-defined]
    weights = checkpoints.load_with_weights(tmp_path)[1]
    assert not weights.finished
    assert str(weights).endswith(
        "step-00000003, a checkpoint after step 3 of the stage reconstruct (3 steps in all); the run is not finished"
    )
    (tmp_path / "checkpoints" / "step-00000008" / "record.json").write_bytes(b"")
    with pytest.warns(UserWarning, match="step-00000008.*taking the checkpoint before"):
        checkpoints.load_method(tmp_path)


@pytest.mark.usefixtures("_toy_is_a_method")
def test_another_width_is_told_with_all_differences(tmp_path: Path) -> None:
    from monoform.files.weights import save_weights

    arrays = {"layer.weight": np.zeros((1, 4), np.float32), "old.bias": np.zeros(1, np.float32)}
    save_weights(tmp_path / "m", {"model": arrays}, checkpoints.describe_method("toy", ToyConfig()))
    with pytest.raises(
        InputError, match=r"missing: layer.bias.*old.bias.*layer.weight \(1, 4\), the model has \(1, 3\)"
    ):
        checkpoints.load_method(tmp_path / "m")


@pytest.mark.usefixtures("_toy_is_a_method")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"widht": 4}, "no field 'widht'; did you mean 'width'"),
        ({"zzz": 4}, "there are width, rate"),
        ({"width": "4"}, "width = '4' is not of type int"),
        ({"width": True}, "width = True is not of type int"),
        ({"rate": "x"}, "of type float"),
        ({"kind": "c"}, "one of 'a', 'b'"),
        ({"names": "xy"}, "is not a list"),
        ({"names": [1]}, "of type str"),
        ({"pair": [1.0]}, "a list of 2"),
    ],
)
def test_a_config_with_a_wrong_field_is_refused(values: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checkpoints.read_config("toy", values, "record.json")


@pytest.mark.usefixtures("_toy_is_a_method")
def test_a_config_is_restored_with_its_types() -> None:
    config = checkpoints.read_config("toy", {"rate": 1, "names": ["a"], "pair": [1, 2]}, "record.json")
    assert config == ToyConfig(rate=1.0, names=("a",), pair=(1.0, 2.0))
    with pytest.raises(InputError, match="no method 'tpy'; did you mean 'toy'"):
        checkpoints.read_config("tpy", {}, "record.json")
