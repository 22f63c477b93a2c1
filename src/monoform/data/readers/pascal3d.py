"""PASCAL3D+ (Xiang 2014): photos of PASCAL VOC and ImageNet, with a CAD model and a viewpoint for every object.

Folder PASCAL3D+_release1.1: ``Annotations/<class>_<pascal|imagenet>/*.mat``, ``Images`` alike, ``CAD/<class>/%02d.off`` or
``CAD/<class>.mat``, ``Image_sets/<class>_imagenet_<split>.txt``, and VOC's lists and masks in PASCAL/VOCdevkit/VOC2012.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from monoform.data.categories import is_wanted, library_name
from monoform.data.readers.layout import need_folder, not_empty, read_lines
from monoform.data.readers.photo_sets import missing_split
from monoform.data.readers.viewpoint_sets import Row, ViewpointSet, read_annotation
from monoform.data.samples import Sample
from monoform.errors import InputError
from monoform.meshes import Mesh

CLASSES = (
    "aeroplane", "bicycle", "boat", "bottle", "bus", "car", "chair", "diningtable", "motorbike", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
SUBSETS = ("pascal", "imagenet")
SPLITS = ("train", "val")
VIEWPORT = 3000.0

_MEND = "give the folder PASCAL3D+_release1.1 from cvgl.stanford.edu/projects/pascal3d.html"
_VOC = Path("PASCAL/VOCdevkit/VOC2012")


def open_pascal3d(
    root: Path, *, split: str | None = None, category: str | None = None, subsets: Sequence[str] = SUBSETS
) -> ViewpointSet:
    """Open PASCAL3D+. Splits 'train' and 'val' are VOC's lists and, for ImageNet's photos, the set's own.

    subsets: of 'pascal' and 'imagenet'. All annotations of the split are read here, some milliseconds each. Raises
    InputError for a missing part; a damaged annotation becomes an item that raises when it is loaded.
    """
    root = Path(root)
    annotations = need_folder(root / "Annotations", _MEND)
    classes = [cls for cls in CLASSES if is_wanted(cls, category)]
    if not classes:
        raise InputError(f"PASCAL3D+ has no category '{category}'; give one of {', '.join(CLASSES)}")
    if split not in (None, *SPLITS):
        raise missing_split("PASCAL3D+", str(split), SPLITS)
    rows: list[Row] = []
    for cls in classes:
        for subset in subsets:
            # A copy may hold some classes only, but a class that is asked for must be there.
            if category is not None or (annotations / f"{cls}_{subset}").is_dir():
                rows.extend(_read_class(root, cls, subset, split))
    not_empty((row.item for row in rows), annotations, split, category, _MEND)
    return ViewpointSet("pascal3d", tuple(rows), root / "CAD", root / "CAD", _MEND)


def mirror(sample: Sample) -> Sample:
    """The sample as seen in a mirror: azimuth and theta change sign, elevation stays; image, mesh and all else follow.

    The object is mirrored too, in its canonical plane x = 0: that is the same CAD model only where it is symmetric.
    Voxels and keypoint names ('left', 'right') go along.
    """
    flip = np.array([-1.0, 1.0, 1.0])
    width = next((a.shape[1] for a in (sample.image, sample.mask, sample.depth) if a is not None), None)
    K, mesh, frame = sample.K, sample.mesh, sample.voxel_frame
    if K is not None and width is not None:
        K = K * np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
        K[0, 2] = width - K[0, 2]
    keypoints = {}
    for name, point in sample.keypoints.items():
        moved = point * flip[: len(point)] + (np.array([width or 0.0, 0.0]) if len(point) == 2 else 0.0)
        keypoints[_other_side(name)] = moved
    box = sample.box_xyxy
    if box is not None and width is not None:
        box = np.array([width - box[2], box[1], width - box[0], box[3]])
    return replace(
        sample,
        image=_flipped(sample.image),
        mask=_flipped(sample.mask),
        depth=_flipped(sample.depth),
        normals=None if sample.normals is None else (_flipped(sample.normals) * flip).astype(sample.normals.dtype),
        R=None if sample.R is None else sample.R * np.outer(flip, flip),
        t=None if sample.t is None else sample.t * flip,
        K=K,
        mesh=None if mesh is None else Mesh(mesh.vertices * flip, mesh.faces[:, ::-1], mesh.colours),
        voxels=None if sample.voxels is None else np.ascontiguousarray(sample.voxels[:, :, ::-1]),
        voxel_frame=None if frame is None else (frame[0], frame[1] * flip),
        box_xyxy=box,
        keypoints=keypoints,
    )


def _flipped(picture: np.ndarray | None) -> np.ndarray | None:
    return None if picture is None else np.ascontiguousarray(picture[:, ::-1])


def _other_side(name: str) -> str:
    return name.replace("left", "\0").replace("right", "left").replace("\0", "right")


def _read_class(root: Path, cls: str, subset: str, split: str | None) -> Iterator[Row]:
    folder = need_folder(root / "Annotations" / f"{cls}_{subset}", _MEND)
    images, masks = root / "Images" / folder.name, root / _VOC / "SegmentationObject"
    splits = _splits(root, cls, subset, split)
    for path in sorted(folder.glob("*.mat")):
        own = splits.get(path.stem, "")
        if split is not None and own != split:
            continue
        mask = masks / f"{path.stem}.png" if subset == "pascal" else None
        rows = read_annotation(path, images, split=own, object_masks=mask, mend=_MEND, viewport=VIEWPORT)
        # The same photo is annotated again for its other classes, in their folders.
        yield from (row for row in rows if row.item.category in ("", library_name(cls)))


def _splits(root: Path, cls: str, subset: str, split: str | None) -> dict[str, str]:
    """Photo to split; a missing list is an error only when a split is asked for."""
    splits: dict[str, str] = {}
    for name in SPLITS:
        path = root / "Image_sets" / f"{cls}_imagenet_{name}.txt"
        if subset == "pascal":
            path = root / _VOC / "ImageSets" / "Main" / f"{name}.txt"
        if split is not None or path.is_file():
            splits.update((line.split()[0], name) for line in read_lines(path, _MEND))
    return splits
