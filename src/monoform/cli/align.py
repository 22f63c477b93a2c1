"""monoform align: the pose of a mesh in each photo."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from monoform.cli.options import (
    BAD_INPUT,
    ENVIRONMENT,
    INTERNAL,
    OK,
    SOME_FAILED,
    Common,
    OutputFolder,
    UsageError,
    numbers,
    print_json,
    use_threads,
)
from monoform.cli.progress import Progress, printable

if TYPE_CHECKING:
    from monoform.batch.photo_match import MatchSettings, NamedMesh
    from monoform.batch.runner import Job, Outcome

CAMERA_FORMATS = ("opencv", "opengl", "bop", "blender")


@dataclass(frozen=True)
class Align:
    """Find where a mesh stands in each photo: pose, camera, overlay, fit, and which other poses explain it as well.

    Writes OUT/<photo>/result.json, overlay.png, mesh_posed.glb, mask.png and refine.json, and OUT/results.jsonl.
    """

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Photos, folders of photos, or quoted patterns such as "shots/**/*.jpg"."""
    mesh: Path | None = None
    """The object's mesh: glb, gltf, obj, ply, stl or off."""
    mesh_library: Path | None = None
    """A folder of meshes: the best one is picked for each photo, and all are ranked."""
    out: OutputFolder = Path("out")
    """Folder for the results."""
    mask: Path | None = None
    """The object's mask (white is object), or for many photos a folder of masks with the photos' stems."""
    box: str | None = None
    """left,top,right,bottom in pixels around the object, where there is no mask (needs the extra 'masks')."""
    invert_mask: Literal["auto", "always", "never"] = "auto"
    """Whether black is object; auto looks at the border."""
    resize_mask: bool = False
    """Accept a mask of the photo's shape at another scale."""
    keep_components: Literal["largest", "all"] = "largest"
    """Which connected parts of the mask count."""
    K: str | None = None
    """Camera: fx,fy,cx,cy in pixels, or a file that holds them or a 3x3 matrix."""
    fov: float | None = None
    """Horizontal field of view in degrees, where K is not known; without both, EXIF or a search tells."""
    upright: bool = False
    """The object stands upright and the camera is held level: search azimuth, elevation and small tilts only."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] = "y"
    """The mesh file's axis that points up."""
    unit: Literal["file", "m", "cm", "mm"] = "file"
    """The mesh file's unit, for the record and for BOP's millimetres; nothing is rescaled."""
    cameras: str = ""
    """Camera files to write, separated by commas: opencv, opengl, bop, blender."""
    max_poses: int = 8
    """Most poses in the ranked set."""
    max_pixels: int = 64_000_000
    """Refuse larger photos."""
    lenient: bool = False
    """Use what can be read of a broken-off photo."""
    resume: bool = False
    """Skip photos whose result is there and was made from the same files and options."""
    seed: int = 0
    """Same inputs and seed, same bytes."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Align) -> int:
    """Align all photos; the exit code."""
    start, started = time.perf_counter(), datetime.now(UTC)
    settings = read_settings(config)
    use_threads(config.common.threads)
    meshes, problems = _meshes(config)
    jobs = _jobs(config)
    for problem in problems if not config.common.quiet else ():
        print(f"monoform: {problem}", file=sys.stderr)
    outcomes = run_jobs(jobs, lambda job: meshes, settings, config.out, config.common, resume=config.resume)
    from monoform.batch.runner import write_run

    write_run(config.out, asdict(config), outcomes, time.perf_counter() - start, started, problems)
    if config.common.json:
        for outcome in outcomes:
            print_json({**outcome.line(), "result": outcome.record or None})
    elif not config.common.quiet and any(outcome.record for outcome in outcomes):
        print(f"results in {printable(str(config.out))}")
    return exit_code(outcomes)


def run_jobs(
    jobs: "Sequence[Job]",
    meshes_of: "Callable[[Job], Sequence[NamedMesh]]",
    settings: "MatchSettings",
    out: Path,
    common: Common,
    *,
    resume: bool,
) -> "list[Outcome]":
    """Match every photo with its meshes and write its folder, with progress on stderr."""
    from monoform.batch import runner
    from monoform.batch.photo_match import content_hash, match_photo, write_match

    def work(job: "Job", key: str) -> dict:
        match = match_photo(job.photo, job.mask, meshes_of(job), settings, key)
        return write_match(match, job.folder, settings.cameras)

    def key_of(job: "Job") -> str:
        return content_hash(job.photo, job.mask, meshes_of(job), settings)

    with Progress(len(jobs), quiet=common.quiet, debug=common.debug) as listener:
        return runner.run(jobs, work, key_of, out, listener, resume=resume)


def exit_code(outcomes: "Sequence[Outcome]") -> int:
    """What the shell is told: for one photo its own fault, for many whether some failed."""
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if not failed:
        return OK
    if len(outcomes) > 1:
        return SOME_FAILED
    return {"input": BAD_INPUT, "environment": ENVIRONMENT}.get(failed[0].kind, INTERNAL)


def read_settings(config: Align) -> "MatchSettings":
    """The options checked and in the units of the library; `UsageError` for those that cannot be meant."""
    if not config.photos:
        raise UsageError("give at least one photo, folder or pattern")
    cameras = tuple(name for name in config.cameras.split(",") if name)
    unknown = [name for name in cameras if name not in CAMERA_FORMATS]
    if unknown:
        raise UsageError(f"--cameras {unknown[0]}: choose among {', '.join(CAMERA_FORMATS)}")
    if config.K is not None and config.fov is not None:
        raise UsageError("give either --K or --fov")
    if config.fov is not None and not 0.0 < config.fov < 180.0:
        raise UsageError(f"--fov {config.fov:g}: give degrees between 0 and 180")
    if config.max_poses < 1 or config.max_pixels < 1 or config.seed < 0:
        raise UsageError("--max-poses and --max-pixels must be 1 or more, --seed 0 or more")
    box = config.box and numbers(config.box, 4, "--box", "left,top,right,bottom in pixels")
    from monoform.batch.photo_match import MatchSettings
    from monoform.files.cameras import parse_intrinsics

    return MatchSettings(
        K=None if config.K is None else parse_intrinsics(config.K),
        fov_deg=config.fov,
        upright=config.upright,
        up_axis=config.up,
        box_xyxy=(box[0], box[1], box[2], box[3]) if box else None,
        keep=config.keep_components,
        invert=config.invert_mask,
        resize_mask=config.resize_mask,
        lenient=config.lenient,
        max_pixels=config.max_pixels,
        max_poses=config.max_poses,
        seed=config.seed,
        unit=config.unit,
        cameras=cameras,
    )


def _jobs(config: Align) -> "list[Job]":
    from monoform.batch.runner import Job
    from monoform.batch.sources import find_mask_files, find_photos
    from monoform.results import folder_names

    photos = find_photos(config.photos)
    masks = find_mask_files(photos, config.mask)
    return [Job(p, m, config.out / name) for p, m, name in zip(photos, masks, folder_names(photos), strict=True)]


def _meshes(config: Align) -> "tuple[list[NamedMesh], list[str]]":
    """The meshes, and warnings about those of a library that cannot be read."""
    from monoform.batch.photo_match import load_library, load_named_mesh
    from monoform.batch.sources import find_meshes

    match config.mesh, config.mesh_library:
        case Path() as file, None:
            return [load_named_mesh(file)], []
        case None, Path() as folder:
            return load_library(find_meshes(folder))
        case _:
            raise UsageError("give either --mesh FILE or --mesh-library FOLDER")
