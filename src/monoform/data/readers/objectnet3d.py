"""ObjectNet3D (Xiang 2016): ImageNet's photos of 100 categories, annotated as PASCAL3D+ is.

Its folder: ``Annotations/<photo>.mat``, ``Images/<photo>.JPEG``, ``CAD/off/<class>/%02d.off`` or ``CAD/mat/<class>.mat``, and
``Image_sets/<split>.txt``.
"""

from pathlib import Path

from monoform.data.categories import is_wanted
from monoform.data.readers.layout import need_folder, not_empty, read_lines
from monoform.data.readers.photo_sets import missing_split
from monoform.data.readers.viewpoint_sets import Row, ViewpointSet, read_annotation

SPLITS = ("train", "val", "test")
VIEWPORT = 2000.0

_MEND = "get ObjectNet3D from cvgl.stanford.edu/projects/objectnet3d and unpack all of it in one folder"


def open_objectnet3d(root: Path, *, split: str | None = None, category: str | None = None) -> ViewpointSet:
    """Open ObjectNet3D; splits 'train', 'val', 'test'.

    All annotations of the split are read here, some milliseconds each. Raises InputError for a missing part; a damaged
    annotation becomes an item, of no category, that raises when it is loaded.
    """
    root = Path(root)
    annotations = need_folder(root / "Annotations", _MEND)
    images = need_folder(root / "Images", _MEND)
    if split not in (None, *SPLITS):
        raise missing_split("ObjectNet3D", str(split), SPLITS)
    splits: dict[str, str] = {}
    for name in SPLITS:
        path = root / "Image_sets" / f"{name}.txt"
        if split is not None or path.is_file():
            splits.update((line.split()[0], name) for line in read_lines(path, _MEND))
    rows: list[Row] = []
    for path in sorted(annotations.glob("*.mat")):
        own = splits.get(path.stem, "")
        if split is None or own == split:
            found = read_annotation(path, images, split=own, object_masks=None, mend=_MEND, viewport=VIEWPORT)
            rows.extend(row for row in found if row.item.category == "" or is_wanted(row.item.category, category))
    not_empty((row.item for row in rows), annotations, split, category, _MEND)
    return ViewpointSet("objectnet3d", tuple(rows), root / "CAD" / "off", root / "CAD" / "mat", _MEND)
