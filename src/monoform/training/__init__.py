"""The training loop alone: stages, seeds, logs, checkpoints, resume, several processes. What is trained is a method's business.

run/
  run.json        what is trained and how
  log.jsonl       a line every few steps and every validation; log.csv the same in long form
  pictures/       contact sheets of the validations
  checkpoints/    see `training.saving`
  model/          the trained weights, at the end
  sessions.jsonl  when the run was started and stopped, and where
  lock            held while a process trains here
"""

from monoform.training.loop import train
from monoform.training.records import (
    Listener,
    OtherProcessError,
    Precision,
    StageReport,
    TrainingEnvironmentError,
    TrainReport,
    TrainSettings,
)
from monoform.training.run_file import check_start

__all__ = [
    "Listener",
    "OtherProcessError",
    "Precision",
    "StageReport",
    "TrainReport",
    "TrainSettings",
    "TrainingEnvironmentError",
    "check_start",
    "train",
]
