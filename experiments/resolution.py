"""What resolution is worth to pose refinement through a silhouette, operator by operator (Palazzi 2018, section 4.2).

    python experiments/resolution.py                 # everything: tables, json, two pictures
    python experiments/resolution.py --parts gradients
    python experiments/resolution.py --tune          # only the search for the learning rates, on other cars

(1) Gains of refinement at 16-256 px (the paper's Table 2), the rendered car not being the photographed one.
(2) Gradient quality: the cosine between minus the gradient and the way back to the true pose.
(3) Fidelity, time, and error over the steps (the paper's Fig. 6), with voxels for comparison.

Photos: cars of three clusters, sedan, SUV and cargo, centred on their boxes, the longest side 6, at most 2,000 faces
(vertex clustering). The camera stands 1.5 above the box's centre on a place of a 10x10 grid over +-8, at least 1.5 from the
car's box, and looks at a place of a 3x3 grid over +-1; focal length 35/32 photo widths. The sizes of the grids are not in the
paper. The whole photo is rendered at each resolution; about half of the photos cut the car off at the border.
What is rendered is the cluster's medoid (L2 of the HOGs of a front and a side view); it is never a target. Every third of
the other cars is kept for tuning. The clusters take turns, so that each has a third of the pairs.
Starts: Gaussian turns and moves; their spreads are solved for so that the median angle is 5.7 degrees and the mean IoU 0.59,
as of the paper's encoder. Pose and errors are the camera's in the object's frame, as in the paper's Eq. 4: the camera turns
about itself. In the rows named 'object', for comparison, starts and steps turn the object about its own centre.
Refinement: 30 steps of Adam on a rotation vector and a shift, the same for all operators; see `TUNED`. The mask is that of
the z-buffer at 512 px, averaged down. Gains: mean IoU of z-buffer masks at 256 px (a pixel counts if its centre is covered),
median geodesic angle, median error of the camera's position (car: 6 long); standard errors by bootstrap over the pairs.
The rows 'same car' have the very same photos and wrong poses, but render the photographed car itself.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from itertools import product
from pathlib import Path

import numpy as np
import resolution_figures
import resolution_gradients
import resolution_scenes as scenes
import torch
from resolution_refine import Descent, Errors, Operator, gains, measure, refine

from monoform.projection.coverage import coverage
from monoform.projection.edge_product import edge_product
from monoform.projection.soft_raster import soft_raster

RESULTS = Path(__file__).parent / "results" / "resolution.json"
IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SEED = 0
START_DEG = 5.7
"""Median angle of the paper's encoder before refinement; its mean IoU is 0.59."""
PRINTED = {16: (0.00, 0.15, 0.02), 32: (0.03, -0.26, 0.00), 64: (0.05, -0.57, 0.00), 128: (0.11, -1.03, -0.01),
           256: (0.13, -1.29, -0.03)}  # fmt: skip
"""Table 2 of the paper: change of IoU, of the angle in degrees, of the translation's error."""
OPERATORS: dict[str, Operator] = {"edge_product": edge_product, "soft_raster": soft_raster, "coverage": coverage}
TUNED = {
    "camera": Descent("iou", turn_rate=0.01, move_rate=0.03, last=0.1, frame="camera"),
    "object": Descent("iou", turn_rate=0.003, move_rate=0.3, last=0.1, frame="object"),
}
"""What `--tune` found best of `TRIED`, by the mean over the operators at `TUNING_PX`."""
TRIED = {
    "camera": {
        "loss": ("iou", "mse"),
        "turn_rate": (0.003, 0.01, 0.03, 0.06),
        "move_rate": (0.001, 0.003, 0.01, 0.03, 0.1),
    },
    "object": {"loss": ("iou", "mse"), "turn_rate": (0.003, 0.01, 0.03), "move_rate": (0.03, 0.1, 0.2, 0.3)},
}
TUNING_PX = 128
TUNING_PAIRS = 36


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    pairs: int = 120
    start_iou: float = 0.59
    sizes: tuple[int, ...] = (16, 32, 64, 128, 256)
    steps: int = 30
    long_steps: int = 60
    """Of the errors over the steps."""
    faces: tuple[int, ...] = tuple(resolution_gradients.LEVELS)
    gradient_sizes: tuple[int, ...] = resolution_gradients.SIZES
    trials: int = 16
    """Poses of a cell of the table of gradients."""
    every_car: int = 1
    """Of the fidelity: every n-th car."""
    finest_grid: int = 128
    seconds: float = 1.0
    """Of timing, for each operator and size."""


QUICK = Scale(6, 0.5, (16, 32, 64), 3, 3, (20, 80), (32,), 2, 12, 32, 0.02)
"""A smoke run; so few starts can not always be brought to the paper's IoU."""


class Study:
    """Pairs with their photos, and how wrong they are at the start."""

    def __init__(
        self, clusters: dict[str, scenes.Cluster], count: int, frame: str, *, iou: float, tuning: bool = False
    ):
        """The clusters take turns, and the cars in them. iou: the mean of the starts. tuning: other cars, other poses."""
        cycle = [(c, i) for i in range(-(-count // len(clusters))) for c in clusters.values()][:count]
        targets = [cars[i % len(cars)] for c, i in cycle for cars in [c.tuning if tuning else c.targets]]
        drawn = [c.medoid for c, _ in cycle]
        seed = [SEED, int(tuning)]
        true = scenes.true_poses(targets, np.random.default_rng(seed))
        self.frame = frame
        self.truth = scenes.drawn_masks(targets, true)
        self.photos = scenes.drawn_masks(targets, true, 512).float()
        start, self.turn_spread, self.move_spread = scenes.starts(
            drawn, self.truth, true, frame, seed, (START_DEG, iou)
        )
        self.pairs = scenes.Pairs(targets, drawn, true, start)
        self.before = measure(self.pairs, start, self.truth)

    def with_the_car_itself(self) -> "Study":
        """The same photos and wrong poses, but the photographed car is rendered."""
        study = copy(self)
        study.pairs = replace(self.pairs, drawn=self.pairs.targets)
        study.before = measure(study.pairs, study.pairs.start, self.truth)
        return study

    def after(self, operator: Operator, descent: Descent, sizes: list[int]) -> Errors:
        path = refine(self.pairs, self.photos, operator, descent, sizes)
        return measure(self.pairs, path[-1], self.truth)

    def describe(self) -> dict:
        outside = self.truth.clone()
        outside[:, 1:-1, 1:-1] = False
        return {
            "pairs": len(self.pairs),
            "turn_spread_deg": self.turn_spread,
            "move_spread": self.move_spread,
            "start": centres(self.before),
            "cut_by_border": float(outside.any(2).any(1).float().mean()),
            "iou_at_true_pose": float(measure(self.pairs, self.pairs.true, self.truth).iou.mean()),
        }


def centres(errors: Errors) -> dict[str, float]:
    """Mean IoU, median angle and median translations."""
    medians = {key: float(np.median(getattr(errors, key))) for key in ("angle_deg", "position", "place")}
    return {"iou": float(errors.iou.mean()), **medians}


# --- tuning ------------------------------------------------------------------------------------------------------


def score(before: dict[str, float], after: dict[str, float]) -> float:
    """Mean of what is left of 1 - IoU, of the angle and of the position's error, as shares of the start's."""
    left = [after[key] / before[key] for key in ("angle_deg", "position")]
    return float(np.mean([(1 - after["iou"]) / (1 - before["iou"]), *left]))


def tune(clusters: dict[str, scenes.Cluster], frame: str) -> list[dict]:
    study = Study(clusters, TUNING_PAIRS, frame, iou=Scale().start_iou, tuning=True)
    rows = []
    for values in product(*TRIED[frame].values()):
        descent = replace(TUNED[frame], **dict(zip(TRIED[frame], values, strict=True)))
        scores = {}
        for name, operator in OPERATORS.items():
            after = study.after(operator, descent, [TUNING_PX] * Scale().steps)
            scores[name] = score(centres(study.before), centres(after))
        rows.append({**asdict(descent), "scores": scores, "mean_score": float(np.mean(list(scores.values())))})
        print(f"{frame} {values} {rows[-1]['mean_score']:.3f}", {k: round(v, 3) for k, v in scores.items()}, flush=True)
    best = min(rows, key=lambda row: row["mean_score"])
    print(f"{frame}: best of {len(rows)} on {TUNING_PAIRS} other pairs: {best}", flush=True)
    return rows


# --- gains over resolution ---------------------------------------------------------------------------------------


def gains_over_resolution(clusters: dict[str, scenes.Cluster], scale: Scale, images: Path) -> dict:
    """The paper's Table 2 and its control rows, and the picture of them."""
    studies = {}
    for frame, suffix in (("camera", ""), ("object", ", object")):
        study = Study(clusters, scale.pairs, frame, iou=scale.start_iou)
        studies |= {f"other car{suffix}": study, f"same car{suffix}": study.with_the_car_itself()}
    starts = {mesh: study.describe() for mesh, study in studies.items()}
    print_starts(starts)
    print(
        f"\nGains of {scale.steps} steps (standard error); position also as a share of the car's length; the paper's figures"
    )
    print(
        f"{'operator':>13s} {'rendered':>18s} {'':>14s}   mean IoU         median angle    median position           paper"
    )
    rows = []
    for mesh, study in studies.items():
        names = OPERATORS if mesh == "other car" else ("coverage",)
        rows += [gain_row(study, name, mesh, [side] * scale.steps) for name, side in product(names, scale.sizes)]
    coarse_to_fine = np.repeat(scale.sizes[-3:], scale.steps // 3).tolist()
    rows.append(gain_row(studies["other car"], "coverage", "other car", coarse_to_fine))
    finest = scale.sizes[-1]
    drifts = {mesh: drift(study, [finest] * scale.steps) for mesh, study in studies.items() if mesh.startswith("other")}
    for mesh, at in drifts.items():
        print(
            f"{mesh}: from the true pose, coverage at {finest} px leads {at['angle_deg']:.2f} degrees and "
            f"{at['position']:.3f} away, to an IoU of {at['iou']:.3f}"
        )
    row = next(r for r in rows if (r["operator"], r["mesh"], r["px"]) == ("coverage", "other car", str(finest)))
    met = row["iou"] >= PRINTED[256][0] and row["angle_deg"] <= PRINTED[256][1]
    print(f"coverage at {finest} px gains what the paper has at 256 px, in IoU and angle: {'yes' if met else 'no'}")
    resolution_figures.draw_gains(rows, PRINTED, images / "resolution_gains.png")
    return {"starts": starts, "rows": rows, "from_the_true_pose": drifts}


def gain_row(study: Study, name: str, mesh: str, sizes: list[int]) -> dict:
    start = time.perf_counter()
    after = study.after(OPERATORS[name], TUNED[study.frame], sizes)
    px = "-".join(str(size) for size in dict.fromkeys(sizes))
    row = {"operator": name, "mesh": mesh, "px": px, **gains(study.before, after, SEED), "after": centres(after)}
    row["acc_pi_6"] = float((after.angle_deg < 30).mean())
    row["seconds"] = round(time.perf_counter() - start, 2)
    print_gain(row)
    return row


def drift(study: Study, sizes: list[int]) -> dict[str, float]:
    """Where refinement through `coverage` leads from the true pose: what the wrong mesh costs, whatever the start."""
    pairs = replace(study.pairs, start=study.pairs.true)
    last = refine(pairs, study.photos, coverage, TUNED[study.frame], sizes)[-1]
    return centres(measure(pairs, last, study.truth))


def print_gain(row: dict) -> None:
    figures = f"{row['iou']:+.3f} ({row['iou_se']:.3f})   {row['angle_deg']:+.2f} ({row['angle_deg_se']:.2f})"
    figures += f"   {row['position']:+.3f} ({row['position_se']:.3f}) {row['position'] / scenes.LENGTH:+.4f}"
    printed = PRINTED.get(int(row["px"])) if row["px"].isdigit() and row["mesh"] == "other car" else None
    beside = "   {:+.2f}  {:+.2f}  {:+.2f}".format(*printed) if printed else ""
    print(f"{row['operator']:>13s} {row['mesh']:>18s} {row['px']:>11s} px   {figures}{beside}", flush=True)


def print_starts(starts: dict) -> None:
    for mesh, s in starts.items():
        at = s["start"]
        print(
            f"{mesh}: N = {s['pairs']}; spreads {s['turn_spread_deg']:.3f} degrees and {s['move_spread']:.3f} an axis\n"
            f"    start: median angle {at['angle_deg']:.2f} degrees, mean IoU {at['iou']:.3f}, median position error "
            f"{at['position']:.3f}; mean IoU at the true pose {s['iou_at_true_pose']:.3f}; {s['cut_by_border']:.0%} cut off"
        )


# --- the other parts ---------------------------------------------------------------------------------------------


def gradients(scale: Scale) -> list[dict]:
    rows = resolution_gradients.gradient_quality(OPERATORS, scale.faces, scale.gradient_sizes, scale.trials, SEED)
    resolution_gradients.print_gradients(rows, scale.trials)
    return rows


def errors_over_steps(clusters: dict[str, scenes.Cluster], scale: Scale) -> dict[str, list[dict]]:
    """The paper's Fig. 6c: errors before and after each step at the finest size, the rendered car being another."""
    study = Study(clusters, scale.pairs, "camera", iou=scale.start_iou)
    found = {}
    for name, operator in OPERATORS.items():
        path = refine(study.pairs, study.photos, operator, TUNED["camera"], [scale.sizes[-1]] * scale.long_steps)
        found[name] = [centres(measure(study.pairs, poses, study.truth)) for poses in path]
    print(f"\nErrors over the steps at {scale.sizes[-1]} px: median angle in degrees, mean IoU, median position")
    for step in range(0, scale.long_steps + 1, 10):
        at = {name: path[step] for name, path in found.items()}
        cells = [f"{name} {e['angle_deg']:.2f} {e['iou']:.3f} {e['position']:.3f}" for name, e in at.items()]
        print(f"{step:>4d}   " + "   ".join(cells))
    return found


def figure6(clusters: dict[str, scenes.Cluster], scale: Scale, images: Path) -> dict:
    """Fidelity, time, errors over steps, and the picture of them."""
    cars = [car for c in clusters.values() for car in (c.medoid, *c.tuning, *c.targets)][:: scale.every_car]
    fidelities = resolution_figures.fidelity(cars, coverage, scale.sizes, scale.finest_grid, SEED)
    title = f"IoU with the silhouette at {resolution_figures.REFERENCE_PX} px, mean of {len(cars)} cars, one view each"
    resolution_figures.print_by_size(title, fidelities, "kind", "iou", ".3f")
    car = clusters["sedan"].medoid
    timings = resolution_figures.times(car, OPERATORS, scale.sizes, scale.finest_grid, scale.seconds)
    title = f"Median ms of an image, forward and backward; mesh of {len(car.faces)} faces, rays through a 32^3 grid"
    resolution_figures.print_by_size(title, timings, "operator", "ms", ".2f")
    steps = errors_over_steps(clusters, scale)
    resolution_figures.draw_figure6(fidelities, timings, steps, scale.sizes, images / "resolution_figure6.png")
    return {"fidelity": fidelities, "times": timings, "steps": steps}


# --- all of it ---------------------------------------------------------------------------------------------------

PARTS = ("gains", "gradients", "figure6")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--pairs", type=int, help="photos of the table of gains and of the errors over the steps")
    parser.add_argument("--tune", action="store_true", help="only search for the learning rates")
    parser.add_argument("--quick", action="store_true", help="a smoke run of every part; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--images", type=Path, default=IMAGES)
    return parser.parse_args()


def machine() -> dict:
    packages = ("monoform", "numpy", "numba", "torch", "scipy", "scikit-image")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def run(options: argparse.Namespace, scale: Scale) -> None:
    """Run the chosen parts; each leaves its figures and its seconds in the json, beside those of other runs."""
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.images.mkdir(parents=True, exist_ok=True)
    report = json.loads(options.out.read_text()) if options.out.exists() else {"seconds": {}}
    clusters = scenes.load_clusters()
    jobs: dict[str, Callable[[], dict | list]] = {
        "gains": lambda: gains_over_resolution(clusters, scale, options.images),
        "gradients": lambda: gradients(scale),
        "figure6": lambda: figure6(clusters, scale, options.images),
        "tuning": lambda: {frame: tune(clusters, frame) for frame in TUNED},
    }
    for part in ["tuning"] if options.tune else options.parts:
        start = time.perf_counter()
        report[part] = jobs[part]()
        report["seconds"][part] = round(time.perf_counter() - start, 1)
    tuned = {frame: asdict(descent) for frame, descent in TUNED.items()}
    report |= {"protocol": __doc__, "seed": SEED, "scale": asdict(scale), "tuned": tuned, "machine": machine()}
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\n{report['seconds']} seconds; written to {options.out}")


def main() -> None:
    options = parse()
    if not (scenes.MODELS / "manifest.json").exists():
        print(f"the models of cars are not there: {scenes.MODELS}")
        sys.exit(3)
    torch.set_num_threads(1)  # its tensors are small here: waiting for each other costs its threads more than they save
    scale = QUICK if options.quick else Scale()
    if options.pairs:
        scale = replace(scale, pairs=options.pairs)
    with tempfile.TemporaryDirectory() as folder:
        if options.quick:
            options.images, options.out = Path(folder), Path(folder) / "resolution.json"
        run(options, scale)


if __name__ == "__main__":
    main()
