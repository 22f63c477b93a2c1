"""monoform demo: three procedural objects under hidden poses, found again."""

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from monoform.cli.align import exit_code, run_jobs
from monoform.cli.options import Common, OutputFolder, UsageError, print_json, use_threads

if TYPE_CHECKING:
    from monoform.batch.photo_match import NamedMesh
    from monoform.batch.runner import Job, Outcome
    from monoform.data.procedural.photographs import Photograph

SHAPES = ("aeroplane", "car", "chair")


@dataclass(frozen=True)
class Demo:
    """Render a car, a chair and an aeroplane under hidden poses, find the poses again, and compare.

    OUT/inputs holds the photos, masks and meshes; OUT/<shape> what `monoform align` makes of them.
    """

    out: OutputFolder = Path("out/demo")
    """Folder for inputs and results."""
    seed: int = 3
    """Other shapes, poses and backgrounds."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Demo) -> int:
    """Make the photos, align them, compare with the truth; the exit code."""
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: give 0 or more")
    use_threads(config.common.threads)
    start, started = time.perf_counter(), datetime.now(UTC)
    from monoform.batch.photo_match import MatchSettings
    from monoform.batch.runner import write_run

    truth, jobs, meshes = _make_inputs(config)
    settings = MatchSettings(K=next(iter(truth.values())).K, upright=True)
    outcomes = run_jobs(jobs, lambda job: [meshes[job.photo.stem]], settings, config.out, config.common, resume=False)
    rows = [
        _compare(outcome, truth[outcome.job.photo.stem], meshes[outcome.job.photo.stem])
        for outcome in outcomes
        if outcome.status != "failed"
    ]
    write_run(config.out, asdict(config), outcomes, time.perf_counter() - start, started)
    _write_sheet(config.out, outcomes)
    _show(rows, config)
    return exit_code(outcomes)


def _make_inputs(config: Demo) -> "tuple[dict[str, Photograph], list[Job], dict[str, NamedMesh]]":
    """Photo, mask and mesh of each shape in OUT/inputs; only the comparison later sees the truth."""
    import numpy as np

    from monoform.batch.photo_match import load_named_mesh
    from monoform.batch.runner import Job
    from monoform.data.procedural import make
    from monoform.data.procedural.photographs import take_photograph
    from monoform.files.images import save_png
    from monoform.files.meshes import save_mesh

    folder = config.out / "inputs"
    (folder / "masks").mkdir(parents=True, exist_ok=True)
    truth, jobs, meshes = {}, [], {}
    for index, name in enumerate(SHAPES):
        mesh = make(name, config.seed)
        shot = take_photograph(mesh, seed=10 * config.seed + index)
        photo, mask = folder / f"{name}.png", folder / "masks" / f"{name}.png"
        save_png(shot.photo.image, photo)
        save_png(np.rint(255.0 * shot.mask).astype(np.uint8), mask)
        save_mesh(mesh, folder / f"{name}.glb")
        truth[name], meshes[name] = shot, load_named_mesh(folder / f"{name}.glb")
        jobs.append(Job(photo, mask, config.out / name))
    return truth, jobs, meshes


def _compare(outcome: "Outcome", truth: "Photograph", named: "NamedMesh") -> dict[str, Any]:
    """Found against true pose, modulo the mesh's symmetry."""
    import numpy as np

    from monoform.symmetry import detect_symmetry, rotation_error

    group = detect_symmetry(named.mesh)
    poses = outcome.record["poses"]
    errors = [np.degrees(rotation_error(np.array(p["R_model_to_camera_opencv"]), truth.R, group)) for p in poses]
    offset = np.array(poses[0]["t_model_to_camera"]) - truth.t
    return {
        "shape": outcome.job.photo.stem,
        "rotation_error_deg": float(errors[0]),
        "translation_error": float(np.linalg.norm(offset)),
        "iou": poses[0]["iou"],
        "ambiguous": outcome.record["ambiguous"],
        "best_of_ranked_deg": float(min(errors)),
        "seconds": outcome.seconds,
    }


def _write_sheet(out: Path, outcomes: "list[Outcome]") -> None:
    """All overlays below each other in one picture."""
    import numpy as np
    from PIL import Image

    from monoform.files.images import save_png
    from monoform.overlays import PAPER

    pictures = [np.asarray(Image.open(o.job.folder / "overlay.png")) for o in outcomes if o.status != "failed"]
    if not pictures:
        return
    sheet = np.full((sum(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures), 3), PAPER, np.uint8)
    top = 0
    for picture in pictures:
        sheet[top : top + picture.shape[0], : picture.shape[1]] = picture
        top += picture.shape[0]
    save_png(sheet, out / "demo.png")


def _show(rows: list[dict[str, Any]], config: Demo) -> None:
    if config.common.json:
        print_json({"out": config.out, "shapes": rows})
    elif not config.common.quiet:
        print(f"{'shape':<12}{'rotation':>10}{'shift':>9}{'IoU':>8}{'time':>8}  ambiguous")
        for row in rows:
            angle, shift = f"{row['rotation_error_deg']:.2f} deg", f"{row['translation_error']:.4f}"
            doubt = f"yes, best of the ranked poses {row['best_of_ranked_deg']:.2f} deg" if row["ambiguous"] else "no"
            print(f"{row['shape']:<12}{angle:>10}{shift:>9}{row['iou']:>8.3f}{row['seconds']:>6.1f} s  {doubt}")
        print("rotation error against the hidden pose, modulo the mesh's symmetry; shift in box diagonals")
        print(f"overlays, poses and meshes in {config.out}")
