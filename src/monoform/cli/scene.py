"""monoform scene: several objects of one photo in one camera frame."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from monoform.cli.options import OK, SOME_FAILED, Common, OutputFolder, UsageError, numbers, print_json, use_threads
from monoform.cli.progress import printable

if TYPE_CHECKING:
    from monoform.batch.photo_match import NamedMesh
    from monoform.interfaces import Mask, Photo
    from monoform.scene.records import Failed, Finder, Shape, Wanted


@dataclass(frozen=True)
class Scene:
    """Find several objects of one photo, each with its shape and pose, in one camera frame, and show them from elsewhere.

    Writes OUT/scene.json, scene.glb, overlay.png, view_elevated.png, view_above.png and turntable.png.
    """

    photo: tyro.conf.Positional[Path]
    """The photo."""
    masks: tuple[Path, ...] = ()
    """A mask of each object (white is object), of the photo's size."""
    box: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """left,top,right,bottom in pixels around an object, instead of masks; once for each (needs the extra 'masks')."""
    mesh: tuple[Path, ...] = ()
    """The objects' meshes, one a mask in its order, or one for all: glb, gltf, obj, ply, stl or off."""
    mesh_library: Path | None = None
    """A folder of meshes: the best one is picked for each object."""
    weights: Path | None = None
    """Folder of a trained raster_pose run, which says class and pose of each object; lengths are then metres."""
    out: OutputFolder = Path("scene")
    """Folder for the results."""
    names: tuple[str, ...] = ()
    """The objects' names; left out, those of the masks' files."""
    K: str | None = None
    """Camera: fx,fy,cx,cy in pixels, or a file that holds them or a 3x3 matrix."""
    fov: float | None = None
    """Horizontal field of view in degrees, where K is not known; without both, EXIF or a search over all objects tells."""
    lengths: tuple[float, ...] = ()
    """Longest side of each object, or one for all, in the scene's unit; left out, the meshes are as large as their files say,
    and with --weights a sedan is 4.6 m long, an SUV 4.7 m, a cargo vehicle 6.0 m."""
    scale: Literal["unit", "ground"] = "unit"
    """Where sizes come from: the meshes' common unit, or from the ground: all objects stand on that of the first."""
    unit: Literal["file", "m", "cm", "mm"] = "file"
    """The unit of the meshes, or of --lengths; for the record."""
    upright: bool = False
    """The objects stand upright and the camera is held level: search azimuth, elevation and small tilts only, then
    shapes and poses under one up axis for all."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] = "y"
    """The mesh files' axis that points up."""
    invert_mask: Literal["auto", "always", "never"] = "auto"
    """Whether black is object; auto looks at the border."""
    resize_mask: bool = False
    """Accept masks of the photo's shape at another scale."""
    keep_components: Literal["largest", "all"] = "largest"
    """Which connected parts of a mask count."""
    max_poses: int = 8
    """Most poses in an object's ranked set."""
    max_pixels: int = 64_000_000
    """Refuse larger photos."""
    seed: int = 0
    """Same inputs and seed, same bytes."""
    device: str = "cpu"
    """Where --weights computes: auto, cpu, cuda, cuda:N or mps."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Scene) -> int:
    """Find the scene and write it; the exit code, 5 if some of the objects were not found."""
    _check(config)
    use_threads(config.common.threads)
    from monoform.files.cameras import check_intrinsics, parse_intrinsics
    from monoform.files.images import load_image
    from monoform.scene import find_scene
    from monoform.scene.writing import write_scene

    photo = load_image(config.photo, max_pixels=config.max_pixels)
    K = None if config.K is None else parse_intrinsics(config.K)
    notes = [] if K is None else check_intrinsics(K, (photo.size_hw[1], photo.size_hw[0]))
    masks, empty = _masks(config, photo)
    finders, more = _finders(config, len(masks))
    wanted = _wanted(masks, finders)
    scene = find_scene(
        photo,
        wanted,
        K=K,
        fov_deg=config.fov,
        up_axis=config.up,
        upright=config.upright,
        unit="m" if config.weights else config.unit,
        scaled_by=config.scale,
        notes=(*notes, *more, *(f"{one.name} was not found: {one.reason}" for one in empty)),
    )
    scene = replace(scene, failed=(*empty, *scene.failed))
    _tell(write_scene(scene, config.out), config)
    return SOME_FAILED if scene.failed else OK


def _check(config: Scene) -> None:
    """`UsageError` for options that cannot be meant."""
    if bool(config.masks) == bool(config.box):
        raise UsageError("give either --masks FILE ... or --box LEFT,TOP,RIGHT,BOTTOM, one for each object")
    count = len(config.masks) + len(config.box)
    if sum((bool(config.mesh), config.mesh_library is not None, config.weights is not None)) != 1:
        raise UsageError("give one of --mesh FILE ..., --mesh-library FOLDER and --weights RUN")
    for option, given in (("--mesh", config.mesh), ("--lengths", config.lengths)):
        if len(given) not in (0, 1, count):
            raise UsageError(f"{option}: {len(given)} for {count} objects; give one for all or one for each")
    if len(config.names) not in (0, count):
        raise UsageError(f"--names: {len(config.names)} for {count} objects; give one for each")
    if not all(0.0 < length < float("inf") for length in config.lengths):
        raise UsageError("--lengths must be positive numbers")
    if config.K is not None and config.fov is not None:
        raise UsageError("give either --K or --fov")
    if config.fov is not None and not 0.0 < config.fov < 180.0:
        raise UsageError(f"--fov {config.fov:g}: give degrees between 0 and 180")
    if not 1 <= config.max_poses <= 16 or config.max_pixels < 1 or config.seed < 0:
        raise UsageError("--max-poses must be 1 to 16, --max-pixels 1 or more, --seed 0 or more")
    if config.out.exists() and not config.out.is_dir():
        raise UsageError(
            f"--out {printable(str(config.out))}: a file of that name is in the way; choose another folder"
        )
    if config.weights is not None and (config.up != "y" or config.unit not in ("file", "m")):
        raise UsageError("--weights has its own meshes, y up and in metres; leave out --up and --unit")


def _masks(config: Scene, photo: "Photo") -> "tuple[list[tuple[str, Mask] | None], list[Failed]]":
    """Name and mask of every object, None for those of whom the mask shows nothing, and these."""
    from monoform.errors import EmptyMaskError, FullMaskError
    from monoform.masks import find_mask
    from monoform.results import folder_names
    from monoform.scene.records import Failed

    boxes = [numbers(text, 4, "--box", "left,top,right,bottom in pixels") for text in config.box]
    # The photo's own transparency tells of all objects together, so that boxes must do without it.
    opaque, keep = replace(photo, alpha=None), config.keep_components

    def mask_of(index: int) -> "Mask":
        if boxes:
            left, top, right, bottom = boxes[index]
            return find_mask(opaque, box_xyxy=(left, top, right, bottom), keep=keep)
        return find_mask(
            photo, mask_path=config.masks[index], keep=keep, invert=config.invert_mask, resize_mask=config.resize_mask
        )

    numbered = [Path(f"object{number + 1}") for number in range(len(boxes))]
    names = list(config.names) or folder_names(list(config.masks) or numbered)
    masks, failed, errors = [], [], []
    for index, name in enumerate(names):
        try:
            masks.append((name, mask_of(index)))
        except (EmptyMaskError, FullMaskError) as error:
            masks.append(None)
            failed.append(Failed(name, str(error)))
            errors.append(error)
    if len(errors) == len(masks):
        raise errors[0]
    return masks, failed


def _wanted(masks: "list[tuple[str, Mask] | None]", finders: "list[Finder]") -> "list[Wanted]":
    from monoform.scene.records import Wanted

    return [Wanted(*named, find) for named, find in zip(masks, finders, strict=True) if named is not None]


def _finders(config: Scene, count: int) -> "tuple[list[Finder], list[str]]":
    """What finds each object's shape and pose, and warnings."""
    lengths = _each(config.lengths, count) or [None] * count
    if config.weights is not None:
        from monoform.scene.learned import from_method, load_raster_pose

        method, notes = load_raster_pose(config.weights, device=config.device)
        return [from_method(method, up_axis="y", length=length) for length in lengths], notes
    from monoform.batch.photo_match import load_library, load_named_mesh
    from monoform.batch.sources import find_meshes
    from monoform.scene.library import from_meshes

    if config.mesh_library is not None:
        library, notes = load_library(find_meshes(config.mesh_library))
        sets = [library] * count
    else:
        loaded = {path: load_named_mesh(path) for path in config.mesh}
        sets, notes = [[loaded[path]] for path in _each(config.mesh, count)], []
    options: dict[str, Any] = {"upright": config.upright, "up_axis": config.up, "seed": config.seed}
    options["max_poses"] = config.max_poses
    shapes = [[_shape(named, length) for named in meshes] for meshes, length in zip(sets, lengths, strict=True)]
    return [from_meshes(some, **options) for some in shapes], notes


def _each(given: tuple, count: int) -> list:
    """One for each object; one alone is for all."""
    return list(given) * count if len(given) == 1 else list(given)


def _shape(named: "NamedMesh", length: float | None) -> "Shape":
    import numpy as np

    from monoform.scene.records import Shape

    longest = float(np.ptp(named.mesh.vertices, axis=0).max())
    return Shape(named.name, named.mesh, 1.0 if length is None else length / longest)


def _tell(record: dict[str, Any], config: Scene) -> None:
    if config.common.json:
        print_json(record)
        return
    if config.common.quiet:
        return
    import sys

    for warning in record["warnings"]:
        print(f"monoform: {printable(warning)}", file=sys.stderr)
    print(f"{'object':<20}{'shape':<28}{'IoU':>7}{'outline':>10}{'distance':>11}  ambiguous")
    for one in record["objects"]:
        distance = sum(value**2 for value in one["poses"][0]["t_model_to_camera"]) ** 0.5
        unit = "" if record["unit"] == "file" else f" {record['unit']}"
        doubt = one["ambiguity"] or "yes" if one["ambiguous"] else "no"
        print(f"{printable(one['name'])[:18]:<20}{printable(one['mesh']['name'])[:26]:<28}{one['visible_iou']:>7.3f}"
              f"{one['visible_contour_px']:>7.1f} px{distance:>8.2f}{unit:<3}  {doubt}")  # fmt: skip
    print(f"scene in {printable(str(config.out))}")
