"""Several processes that train together: gloo on the CPU, as torchrun starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import training_cases
from monoform.cli import train as command
from monoform.cli.options import Common, UsageError
from monoform.cli.train import Images, Train
from monoform.errors import InputError
from monoform.files.weights import load_weights
from monoform.training import TrainSettings, check_start
from monoform.training.saving import listed
from training_cases import Toy, fit, kept_bytes


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def together(run: Path, *options: str) -> list[int]:
    """Exit codes of two processes that train together."""
    base = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, training_cases.__file__, str(run), *options]
    children = [subprocess.Popen(command, env={**base, "RANK": rank, "LOCAL_RANK": rank}) for rank in ("0", "1")]
    return [child.wait(timeout=120) for child in children]


def test_two_processes_equal_one_with_both_batches(tmp_path: Path) -> None:
    assert together(tmp_path / "two", "--plain") == [0, 0]
    fit(tmp_path / "one", toy=Toy(plain=True, ranks=(0, 1)))
    fit(tmp_path / "half", toy=Toy(plain=True))
    one, two, half = (load_weights(tmp_path / name / "model")[0]["model"] for name in ("one", "two", "half"))
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=2e-6)
    assert max(float(np.abs(half[name] - one[name]).max()) for name in one) > 1e-3


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_two_processes_stop_together_and_their_resume_is_bit_identical(tmp_path: Path, precision: str) -> None:
    """With dropout and running means. The signal goes to the second process alone, in the second stage."""
    same = ("--precision", precision)
    assert together(tmp_path / "stopped", "--stop-after", "9", "--rank", "1", *same) == [143, 143]
    assert listed(tmp_path / "stopped")[-1] == 9
    assert together(tmp_path / "stopped", "--resume", *same) == [0, 0]
    assert together(tmp_path / "whole", *same) == [0, 0]
    assert kept_bytes(tmp_path / "stopped") == kept_bytes(tmp_path / "whole")


def test_two_processes_end_with_the_best_network_and_one_tells_of_a_refusal(tmp_path: Path) -> None:
    """Running means are those of each process's own batches, unless they are shared. The best validation is the first."""
    assert together(tmp_path, "--falling", "--again", str(free_port())) == [0, 0]
    first, second = (np.load(tmp_path / f"rank-{rank}.npz") for rank in (0, 1))
    best = load_weights(tmp_path / "model")[0]["model"]
    last = load_weights(tmp_path / "checkpoints" / f"step-{listed(tmp_path)[-1]:08d}")[0]["model"]
    assert "encoder.1.running_mean" in best
    for name in best:
        np.testing.assert_array_equal(first[name], best[name], err_msg=name)
        np.testing.assert_array_equal(second[name], best[name], err_msg=name)
    assert any((best[name] != last[name]).any() for name in best)
    first, second = ((tmp_path / f"rank-{rank}.txt").read_text() for rank in (0, 1))
    assert first.startswith("InputError: ")
    assert "holds a run already" in first
    assert second.startswith("OtherProcessError: ")


@pytest.mark.parametrize(
    ("images", "kind", "code"),
    [
        (Images(data=Path("absent"), val=Path("absent")), InputError, 4),
        (Images(data=Path("absent")), UsageError, 2),
        (Images(categories="chair"), UsageError, 2),
    ],
)
def test_what_is_wrong_for_all_is_told_by_the_first(
    images: Images, kind: type[Exception], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last: sets cannot be drawn by several processes."""
    config = Train("self_consistency", tmp_path / "run", scale="smoke", images=images, common=Common(quiet=True))
    monkeypatch.setattr(command, "SECONDS_TO_TELL", 0.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("LOCAL_RANK", rank)
        if rank == "0":
            with pytest.raises(kind):
                command.run(config)
        else:
            assert command.run(config) == code


def test_all_processes_refuse_the_run_that_the_first_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the others would wait for the first to train with them."""
    fit(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with pytest.raises(InputError, match="holds a run already"):
            check_start(tmp_path, TrainSettings(device="cpu"), {"method": "toy"})
