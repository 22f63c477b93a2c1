"""Measures beside the tables of Zhu 2017: what one answer for all images would get, and the poses at the end of their stage.

    monoform reproduce zhu2017 --table 2 ... -o OUT
    python experiments/zhu2017_means.py OUT        # a minute

Reads the image sets and the log files that the command has left in OUT; writes results/zhu2017-means-laptop.json.
Aligned: average precision of the mean training shape on each test image's true shape. Pose-aware: the same of the mean, over
`SHOWN` training images evenly spread, of the shapes as their cameras see them. Poses: the last validation of the pose stage.
"""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np

from monoform.data.image_sets import join, load_images
from monoform.evaluate import Zhu2017Protocol, true_posed
from monoform.interfaces import ImageSet
from monoform.metrics import average_precisions

RESULT = Path(__file__).parent / "results" / "zhu2017-means-laptop.json"
CATEGORIES = ("aeroplane", "chair", "car")
TESTS = {
    "rendered test images": "procedural-{}-rendered-rendered",
    "procedural, other look": "procedural-{}-natural-test-other",
    "real models, other look": "real-{}-test-other",
}
SHOWN, CHUNK = 2000, 100
PROTOCOL = Zhu2017Protocol()


def the_one(folder: Path, name: str) -> Path:
    """The folder of this name, after which comes a hash of its settings."""
    wanted = re.compile(rf"zhu2017-laptop-{re.escape(name)}-[0-9a-f]+")
    found = [path for path in folder.glob("*") if wanted.fullmatch(path.name)]
    if len(found) != 1:
        print(
            f"{folder}: {len(found)} folders of {name}, not one; give the folder that monoform reproduce zhu2017 wrote"
        )
        sys.exit(3)
    return found[0]


def posed(images: ImageSet, rows: np.ndarray) -> np.ndarray:
    return true_posed(images, rows, images.voxels.shape[-1], PROTOCOL)


def mean_shapes(images: ImageSet) -> dict[str, np.ndarray]:
    rows = np.linspace(0, len(images) - 1, SHOWN).astype(np.int64)
    seen = sum(posed(images, part).sum(axis=0) for part in np.split(rows, SHOWN // CHUNK))
    return {"aligned": np.mean(images.voxels, axis=0), "pose-aware": seen / SHOWN}


def precision(truth: np.ndarray, answer: np.ndarray) -> float:
    return float(average_precisions(truth, np.broadcast_to(answer, truth.shape)).mean())


def measured(sets: Path, category: str) -> dict[str, dict[str, float]]:
    """Test set, then 'aligned' and 'pose-aware', to the mean average precision of its images."""
    names = (f"{source}-{category}-train-rendered" for source in ("procedural", "real"))
    means = mean_shapes(join(*(load_images(the_one(sets, name)) for name in names)))
    found = {}
    for label, name in TESTS.items():
        test = load_images(the_one(sets, name.format(category)))
        truths = {"aligned": test.voxels[test.objects], "pose-aware": posed(test, np.arange(len(test)))}
        found[label] = {kind: precision(truth, means[kind]) for kind, truth in truths.items()}
    return found


def last_poses(runs: Path, category: str) -> dict[str, float]:
    with (the_one(runs, f"p-3D-VAE-GAN-{category}-0") / "log.csv").open() as log:
        rows = [row for row in csv.DictReader(log) if (row["stage"], row["kind"]) == ("pose", "validation")]
    return {row["name"]: float(row["value"]) for row in rows if row["step"] == rows[-1]["step"]}


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python experiments/zhu2017_means.py OUT")
    out = Path(sys.argv[1])
    report = {
        "mean_shape": {category: measured(out / "sets", category) for category in CATEGORIES},
        "poses": {category: last_poses(out / "runs", category) for category in CATEGORIES},
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
