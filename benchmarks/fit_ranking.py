"""How much is each kind of evidence worth? Fits the coefficients of `alignment.ambiguity` on the development scenes.

    python benchmarks/fit_ranking.py            # about ten minutes on two cores

A conditional logit: in every photo the probability that the first pose is right (within 30 degrees, modulo the mesh's
symmetry) is a softmax of a linear score over all poses found. None of the benchmark's 60 meshes takes part. Cases: upright
and free poses and damaged masks are fitted; the photo's mesh replaced by the other four of its category is only reported.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import scenes
from scipy.optimize import minimize

from monoform import alignment
from monoform.files.meshes import load_mesh
from monoform.interfaces import Mask, Photo
from monoform.symmetry import detect_symmetry, rotation_error

FEATURES = ("-log(cost + 0.02)", "-log(1.01 - iou)", "-log(1.05 - shading)", "edges")
FITTED = ("upright", "free", "damaged")
PENALTY = 1e-3


def collect(found: scenes.Scene, meshes: list, upright: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, 4) and rightness (n,) of all poses of all meshes in one photo."""
    evidence, right = [], []
    aimed = alignment.aim(Photo(found.image), Mask(found.mask, "array"), scenes.K, None)
    for mesh in meshes:
        model, poses, measured = alignment.evidence(aimed, mesh, upright=upright)
        group = detect_symmetry(mesh)
        evidence.append(measured.features())
        right.append([rotation_error(model.to_file(R, t)[0], found.R, group) < np.pi / 6 for R, t in zip(*poses)])
    return np.concatenate(evidence), np.concatenate(right)


def cases(every: int) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    listed = scenes.MESHES["development"][::every]
    loaded = {file: load_mesh(scenes.mesh_path(file)) for _, file in scenes.MESHES["development"]}
    gathered: dict[str, list] = {"upright": [], "free": [], "damaged": [], "other mesh": []}
    for category, file in listed:
        others = [loaded[f] for c, f in scenes.MESHES["development"] if c == category and f != file]
        up, mesh = scenes.scene(category, file, upright=True, seed=1)
        free, _ = scenes.scene(category, file, upright=False, seed=1)
        gathered["upright"].append(collect(up, [mesh], True))
        gathered["free"].append(collect(free, [mesh], False))
        gathered["damaged"].append(collect(scenes.degrade(up, seed=1), [mesh], True))
        gathered["other mesh"].append(collect(up, others, True))
    return gathered


def negative_log_likelihood(weights: np.ndarray, sets: list[tuple[np.ndarray, np.ndarray]]) -> float:
    total = PENALTY * float(weights @ weights)
    for evidence, right in sets:
        if right.any() and not right.all():
            score = evidence @ weights
            score -= score.max()
            total -= (np.log(np.exp(score[right]).sum()) - np.log(np.exp(score).sum())) / len(sets)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="use every n-th development mesh")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fit_ranking.json")
    options = parser.parse_args()
    gathered = cases(options.every)
    sets = [one for name in FITTED for one in gathered[name]]
    fitted = minimize(negative_log_likelihood, np.zeros(4), args=(sets,), method="BFGS").x
    report = {"coefficients": dict(zip(FEATURES, fitted.round(2).tolist())), "first pose right": {}}
    for name, group in gathered.items():
        reachable = [right.any() for _, right in group]
        first = [right[np.argmax(evidence @ fitted)] for evidence, right in group]
        report["first pose right"][name] = {
            "first": float(np.mean(first)),
            "any": float(np.mean(reachable)),
            "n": len(group),
        }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
