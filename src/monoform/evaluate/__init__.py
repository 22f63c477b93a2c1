"""From a method and a test set to a table, under a protocol that writes down every choice.

A protocol is a frozen record; a function a protocol gives one number an image, and of these means with intervals: of each
category, of the categories' means ('macro') and of all images ('pooled'), which papers mix.
"""

from monoform.evaluate.batches import posed_grid
from monoform.evaluate.evaluation import MACRO, POOLED, Cell, Evaluation, Groups, joined
from monoform.evaluate.liao2019 import Liao2019Protocol, Views, evaluate_liao2019, posed_side
from monoform.evaluate.retrieval import evaluate_training_shapes
from monoform.evaluate.zhu2017 import Zhu2017Protocol, evaluate_reconstruction, evaluate_zhu2017, true_posed

__all__ = [
    "MACRO",
    "POOLED",
    "Cell",
    "Evaluation",
    "Groups",
    "Liao2019Protocol",
    "Views",
    "Zhu2017Protocol",
    "evaluate_liao2019",
    "evaluate_reconstruction",
    "evaluate_training_shapes",
    "evaluate_zhu2017",
    "joined",
    "posed_grid",
    "posed_side",
    "true_posed",
]
