"""monoform render: a mesh in a pose, as pictures."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from monoform.cli.options import OK, Common, OutputFolder, UsageError, numbers, print_json, use_threads

if TYPE_CHECKING:
    import numpy as np

MAX_SIDE = 16384


@dataclass(frozen=True)
class Render:
    """Draw a mesh in a pose into OUT: shaded.png, mask.png, normals.png, depth (png, npz, a preview) and render.json."""

    mesh: tyro.conf.Positional[Path]
    """Mesh file; the pose refers to its own frame and unit."""
    pose: str
    """A result.json (or its folder), or 12 numbers: R row by row, then t (OpenCV camera: y down, z forward)."""
    rank: int = 1
    """Which pose of a result.json: 1 is the best."""
    K: str | None = None
    """Camera: fx,fy,cx,cy in pixels, or a file; left out, that of the result.json."""
    size: str | None = None
    """width,height in pixels; left out, that of the result.json."""
    out: OutputFolder = Path("render")
    """Folder for the pictures."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Render) -> int:
    """Draw and write; the exit code."""
    use_threads(config.common.threads)
    R, t, K, (w, h) = _camera(config)
    from monoform.files.cameras import check_intrinsics
    from monoform.files.meshes import load_mesh
    from monoform.overlays import draw

    check_intrinsics(K, (w, h))
    mesh = load_mesh(config.mesh)
    shaded, exact = draw(mesh, R, t, K, (h, w)), draw(mesh, R, t, K, (h, w), samples=1)
    import numpy as np

    scale = _write_pictures(config.out, shaded, exact)
    record = {
        "mesh": config.mesh.name,
        "image_size_wh": [w, h],
        "K": K,
        "R_model_to_camera_opencv": R,
        "t_model_to_camera": t,
        "covered_fraction": float(np.mean(exact.alpha)),
        "depth_png_per_unit": scale,
    }
    from monoform.results import write_json

    write_json(config.out / "render.json", record)
    if config.common.json:
        print_json(record)
    elif not config.common.quiet:
        print(f"pictures in {config.out}")
    return OK


def _camera(config: Render) -> "tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]":
    """R, t, K and (width, height) from the result.json and the options that override it."""
    import numpy as np

    from monoform.files.cameras import nearest_rotation, parse_intrinsics, parse_pose
    from monoform.results import load_result

    size = config.size and numbers(config.size, 2, "--size", "width,height in pixels")
    if size and not all(1 <= side <= MAX_SIDE and side == int(side) for side in size):
        raise UsageError(f"--size {config.size}: give whole numbers from 1 to {MAX_SIDE}")
    wh = (int(size[0]), int(size[1])) if size else None
    K = None if config.K is None else parse_intrinsics(config.K)
    if not (config.pose.endswith(".json") or Path(config.pose).is_dir()):
        R, t = parse_pose(config.pose)
        if K is None or wh is None:
            raise UsageError("a pose of 12 numbers needs --K fx,fy,cx,cy and --size width,height")
        return R, t, K, wh
    record = load_result(config.pose)
    if not 1 <= config.rank <= len(record["poses"]):
        raise UsageError(f"--rank {config.rank}: the result has poses 1 to {len(record['poses'])}")
    pose = record["poses"][config.rank - 1]
    R = nearest_rotation(np.array(pose["R_model_to_camera_opencv"], dtype=float))
    wide, high = record["image_size_wh"]
    t = np.array(pose["t_model_to_camera"], dtype=float)
    return R, t, np.array(record["K"], dtype=float) if K is None else K, wh or (wide, high)


def _write_pictures(out: Path, shaded, exact) -> float:
    """Write a view's pictures; returns how many levels of depth.png make one unit of the mesh (level 0 is nothing)."""
    import numpy as np

    from monoform.files.atomic import write_atomic
    from monoform.files.images import save_png
    from monoform.overlays import depth_picture, normal_picture, to_bytes

    out.mkdir(parents=True, exist_ok=True)
    seen = np.isfinite(exact.depth)
    scale = 65535.0 / float(exact.depth[seen].max()) if seen.any() else 1.0
    levels = np.rint(np.where(seen, exact.depth, 0.0) * scale).astype(np.uint16)
    save_png(np.dstack([to_bytes(255.0 * shaded.colour), to_bytes(255.0 * shaded.alpha)]), out / "shaded.png")
    save_png(to_bytes(255.0 * shaded.alpha), out / "mask.png")
    save_png(levels, out / "depth.png")
    save_png(depth_picture(exact.depth), out / "depth_preview.png")
    save_png(normal_picture(exact.normals), out / "normals.png")
    write_atomic(out / "depth.npz", lambda file: np.savez_compressed(file, depth=exact.depth, normals=exact.normals))
    return scale
