"""From a method and a test set to a table, under a protocol that writes down every choice.

A protocol is a frozen record; a function a protocol gives one number an image, and of these means with intervals: of each
category, of the categories' means ('macro') and of all images ('pooled'), which papers mix.
"""

from monoform.evaluate.batches import posed_grid
from monoform.evaluate.evaluation import MACRO, POOLED, Cell, Evaluation, Groups, gains, joined
from monoform.evaluate.liao2019 import Liao2019Protocol, Views, evaluate_liao2019, posed_side
from monoform.evaluate.palazzi2018 import (
    DEFINITIONS,
    Palazzi2018Protocol,
    Posed,
    TrueObject,
    Way,
    evaluate_palazzi2018,
    evaluate_steps,
    for_encoder,
    pose,
    silhouettes_at,
    true_objects,
)
from monoform.evaluate.retrieval import evaluate_mean_shape, evaluate_training_shapes
from monoform.evaluate.zhu2017 import Zhu2017Protocol, evaluate_reconstruction, evaluate_zhu2017, true_posed

__all__ = [
    "DEFINITIONS",
    "MACRO",
    "POOLED",
    "Cell",
    "Evaluation",
    "Groups",
    "Liao2019Protocol",
    "Palazzi2018Protocol",
    "Posed",
    "TrueObject",
    "Views",
    "Way",
    "Zhu2017Protocol",
    "evaluate_liao2019",
    "evaluate_mean_shape",
    "evaluate_palazzi2018",
    "evaluate_reconstruction",
    "evaluate_steps",
    "evaluate_training_shapes",
    "evaluate_zhu2017",
    "for_encoder",
    "gains",
    "joined",
    "pose",
    "posed_grid",
    "posed_side",
    "silhouettes_at",
    "true_objects",
    "true_posed",
]
