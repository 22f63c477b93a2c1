"""What comes from outside: signals once and twice, kill -9, two processes in one folder."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import training_cases
from monoform.training import TrainingEnvironmentError
from monoform.training.guards import caught_signals, locked
from monoform.training.saving import listed
from training_cases import Toy, fit, kept_bytes, stopping

TOTAL = sum(training_cases.STEPS)


def start(run: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, training_cases.__file__, str(run), *options], stderr=subprocess.PIPE)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_the_first_signal_saves_after_the_step(tmp_path: Path, number: signal.Signals, status: str) -> None:
    before = signal.getsignal(number)
    toy = Toy()
    report = fit(tmp_path, stopping(toy.stages(), 5, number), toy)
    assert report.status == status
    assert report.steps == listed(tmp_path)[-1] == 5
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_the_second_signal_leaves_at_once(tmp_path: Path, number: signal.Signals, raised: type[BaseException]) -> None:
    toy = Toy()
    with pytest.raises(raised) as caught:
        fit(tmp_path, stopping(stopping(toy.stages(), 5, number), 5, number), toy)
    if raised is SystemExit:
        assert caught.value.args == (143,)
    assert listed(tmp_path)[-1] == 4


def test_an_echo_of_the_first_signal_is_not_a_second() -> None:
    with caught_signals(echo_seconds=60.0) as flag:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        assert flag.reason == "interrupted"


def test_a_signal_during_validation_waits_for_its_end(tmp_path: Path) -> None:
    child = start(tmp_path, "--seconds", "1.0")
    wait_for(lambda: '"step": 3' in ((tmp_path / "log.jsonl").read_text() if (tmp_path / "log.jsonl").exists() else ""))
    child.send_signal(signal.SIGTERM)
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (143, b"")
    assert listed(tmp_path)[-1] == 3
    assert '"kind": "validation"' in (tmp_path / "log.jsonl").read_text().splitlines()[-1]


def test_killed_and_gone_on_with_is_bit_identical(tmp_path: Path) -> None:
    """The log is ahead of the checkpoint when the process is killed, and cut back."""
    torch.set_num_threads(1)
    child = start(tmp_path / "killed", "--seconds", "0.5")
    wait_for(lambda: len(listed(tmp_path / "killed")) > 1)
    child.kill()
    child.communicate()
    done = listed(tmp_path / "killed")[-1]
    assert done < TOTAL
    with open(tmp_path / "killed" / "log.jsonl", "a") as file:
        file.write('{"stage": "reconstruct", "step')
    fit(tmp_path / "killed", resume=True)
    fit(tmp_path / "whole")
    assert kept_bytes(tmp_path / "killed") == kept_bytes(tmp_path / "whole")


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(TrainingEnvironmentError, match=r"process \d+ on .* is training there"):
        fit(tmp_path)
    assert fit(tmp_path).status == "trained"


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    child = start(tmp_path, "--seconds", "30")
    wait_for(lambda: (tmp_path / "log.csv").exists())
    with pytest.raises(TrainingEnvironmentError, match=f"process {child.pid} on"):
        fit(tmp_path)
    child.kill()
    child.communicate()
    assert fit(tmp_path, resume=True).status == "trained"
