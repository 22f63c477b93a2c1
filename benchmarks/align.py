"""How often, how exactly and how fast does `align` find the pose of a mesh in a photo?

    python benchmarks/align.py                     # everything, about half an hour on two cores
    python benchmarks/align.py --cases upright free photos

(a) 60 meshes (five of each of twelve categories, `align_meshes.json`) under hidden poses: 960x720, focal length 900 px,
    1.5-3 box diagonals away; upright is elevation -5..45, tilt +-8 degrees; free is uniform over the sphere. Errors are
    modulo the mesh's symmetry; the first pose counts. Cases: K given; mask off by up to 5 px with a fifth of the object
    hidden by an ellipse, or by a straight edge that cuts off one end; K unknown; mesh unknown (the nine other meshes
    of the category as a library).
(b) 13 real car photos with a yaw read by eye (+-20 degrees), the ten cars of `align_meshes.json` as a library, K unknown.
"""

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scenes
from machine import describe_machine
from PIL import Image

from monoform.alignment import align, align_library
from monoform.files.meshes import load_mesh
from monoform.interfaces import Alignment, Mask, Photo
from monoform.meshes import Mesh
from monoform.symmetry import detect_symmetry, rotation_error

SEED = 2


def pose_errors_deg(found: Alignment, mesh: Mesh, R: np.ndarray) -> list[float]:
    """Degrees to the true rotation, modulo the mesh's symmetry, of every ranked pose."""
    group = detect_symmetry(mesh)
    return [float(np.degrees(rotation_error(pose.R, R, group))) for pose in found.poses]


def one_mesh(scene: scenes.Scene, mesh: Mesh, *, upright: bool, K: np.ndarray | None) -> dict:
    start = time.perf_counter()
    found = align(Photo(scene.image), mesh, mask=Mask(scene.mask, "array"), K=K, upright=upright)
    return _row(scene, found, mesh, time.perf_counter() - start)


def library(scene: scenes.Scene, file: str) -> dict:
    others = [
        f for c, f in scenes.MESHES["benchmark"] + scenes.MESHES["development"] if c == scene.category and f != file
    ]
    meshes = {Path(f).stem: load_mesh(scenes.mesh_path(f)) for f in others}
    start = time.perf_counter()
    ranked = align_library(
        Photo(scene.image), list(meshes.items()), mask=Mask(scene.mask, "array"), K=scenes.K, upright=True
    )
    name, found = ranked[0]
    return {"library": len(meshes), "picked": name, **_row(scene, found, meshes[name], time.perf_counter() - start)}


def _row(scene: scenes.Scene, found: Alignment, mesh: Mesh, seconds: float) -> dict:
    errors = pose_errors_deg(found, mesh, scene.R)
    return {
        "mesh": scene.name,
        "category": scene.category,
        "faces": len(mesh.faces),
        "error_deg": errors[0],
        "best_of_four_deg": min(errors[:4]),
        "iou": found.poses[0].iou,
        "contour_px": found.poses[0].contour_px,
        "weight": found.poses[0].weight,
        "ambiguous": found.ambiguous,
        "ambiguity": found.ambiguity,
        "seconds": seconds,
    }


def synthetic(case: str) -> Callable[[str, str], dict]:
    """What to do with one (category, file) of the list."""

    def run(category: str, file: str) -> dict:
        scene, mesh = scenes.scene(category, file, upright=case != "free", seed=SEED)
        if case in ("damaged", "cut"):
            scene = scenes.degrade(scene, SEED, occluder="ellipse" if case == "damaged" else "edge")
        if case == "library":
            return library(scene, file)
        return one_mesh(scene, mesh, upright=case != "free", K=None if case == "K unknown" else scenes.K)

    return run


def summary(rows: list[dict]) -> dict:
    errors = np.array([row["error_deg"] for row in rows])
    first_four = np.array([row["best_of_four_deg"] for row in rows])
    by_category = {
        c: [r["error_deg"] for r in rows if r["category"] == c] for c in sorted({r["category"] for r in rows})
    }
    return {
        "n": len(rows),
        "acc_pi_6": float((errors < 30).mean()),
        "acc_pi_6_first_four": float((first_four < 30).mean()),
        "median_deg": float(np.median(errors)),
        "macro_median_deg": float(np.mean([np.median(e) for e in by_category.values()])),
        "mean_iou": float(np.mean([row["iou"] for row in rows])),
        "ambiguous": float(np.mean([row["ambiguous"] for row in rows])),
        "median_seconds": float(np.median([row["seconds"] for row in rows])),
    }


# --- real photos -------------------------------------------------------------------------------------------------


def yaw_deg(R: np.ndarray, t: np.ndarray) -> float:
    """0 nose to the camera, +90 nose to image right: the heading of -z in the camera, about the ray to the object."""
    nose = R @ [0.0, 0.0, -1.0]
    ray = np.arctan2(t[0], t[2])
    x, z = np.cos(ray) * nose[0] - np.sin(ray) * nose[2], np.sin(ray) * nose[0] + np.cos(ray) * nose[2]
    return float(np.degrees(np.arctan2(x, -z)))


def photos() -> list[dict]:
    folder = scenes.SHARED / "data" / "photos"
    items = json.loads((folder / "manifest.json").read_text())["items"]
    named = [item for item in items if item["category"] == "car" and item["yaw_view_deg"] is not None]
    files = [f for c, f in scenes.MESHES["benchmark"] + scenes.MESHES["development"] if c == "car"]
    meshes = [(Path(f).stem, load_mesh(scenes.mesh_path(f))) for f in files]
    rows = []
    for item in named:
        image = np.asarray(Image.open(folder / item["image"]).convert("RGB"))
        mask = (np.asarray(Image.open(folder / item["mask"]).convert("L")) > 127).astype(np.float32)
        start = time.perf_counter()
        ranked = align_library(Photo(image), meshes, mask=Mask(mask, "file"), upright=True)
        seconds = time.perf_counter() - start
        name, found = ranked[0]
        first = found.poses[0]
        yaw = yaw_deg(first.R, first.t)
        off = abs((yaw - item["yaw_view_deg"] + 180) % 360 - 180)
        rows.append(
            {
                "photo": Path(item["image"]).stem,
                "sequence": item["sequence"],
                "mesh": name,
                "iou": first.iou,
                "yaw_deg": yaw,
                "yaw_by_eye_deg": item["yaw_view_deg"],
                "yaw_error_deg": off,
                "best_iou_of_library": max(a.poses[0].iou for _, a in ranked),
                "ambiguous": found.ambiguous,
                "weight": first.weight,
                "seconds": seconds,
            }
        )
    return rows


def photo_summary(rows: list[dict]) -> dict:
    by_sequence = {s: [r for r in rows if r["sequence"] == s] for s in sorted({r["sequence"] for r in rows})}
    return {
        "n": len(rows),
        "mean_iou": float(np.mean([row["iou"] for row in rows])),
        "mean_best_iou_of_library": float(np.mean([row["best_iou_of_library"] for row in rows])),
        "yaw_within_30": sum(row["yaw_error_deg"] < 30 for row in rows),
        "yaw_within_30_by_sequence": {
            s: f"{sum(r['yaw_error_deg'] < 30 for r in group)} of {len(group)}" for s, group in by_sequence.items()
        },
        "median_yaw_error_deg": float(np.median([row["yaw_error_deg"] for row in rows])),
        "median_seconds": float(np.median([row["seconds"] for row in rows])),
    }


CASES = ("upright", "damaged", "cut", "free", "K unknown", "library", "photos")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--every", type=int, default=1, help="use every n-th mesh")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "align.json")
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.exists() else {"cases": {}}
    listed = scenes.MESHES["benchmark"][:: options.every]
    align(*_warm_up(), K=scenes.K)  # compile the kernels before the clock runs
    for case in options.cases:
        if case == "photos":
            rows = photos()
            result = photo_summary(rows)
        else:
            rows = [synthetic(case)(category, file) for category, file in listed]
            result = summary(rows)
        report["cases"][case] = {"summary": result, "rows": rows}
        print(case, json.dumps(result), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report |= {"seed": SEED, "peak_memory_gib": peak, "machine": describe_machine()}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"peak memory {peak:.2f} GiB; written to {options.out}")


def _warm_up() -> tuple[np.ndarray, Mesh]:
    scene, mesh = scenes.scene(*scenes.MESHES["development"][0], upright=True, seed=0)
    rgba = np.dstack([scene.image, (scene.mask * 255).astype(np.uint8)])
    return rgba, mesh


if __name__ == "__main__":
    main()
