"""Readers of data sets, one file a source. Each opener lists the items of a folder and gives a `samples.Source`."""

from collections.abc import Callable
from importlib import import_module

from monoform.data.samples import Source

Opener = Callable[..., Source]


def _lazily(module: str, opener: str) -> Opener:
    """An opener whose module is imported when it is first called: no reader costs the start of another."""

    def open_source(*args: object, **options: object) -> Source:
        return getattr(import_module(f"monoform.data.readers.{module}"), opener)(*args, **options)

    open_source.__name__ = open_source.__qualname__ = opener
    return open_source


SOURCES: dict[str, Opener] = {
    "shapenet": _lazily("shapenet", "open_shapenet"),
    "r2n2": _lazily("r2n2", "open_r2n2"),
    "ptn": _lazily("ptn", "open_ptn"),
    "mvc": _lazily("mvc", "open_mvc"),
    "nmr": _lazily("nmr", "open_nmr"),
    "softras": _lazily("nmr", "open_softras"),
    "modelnet": _lazily("modelnet", "open_modelnet"),
    "binvox": _lazily("binvox_folder", "open_binvox"),
    "pascal3d": _lazily("pascal3d", "open_pascal3d"),
    "objectnet3d": _lazily("objectnet3d", "open_objectnet3d"),
    "pix3d": _lazily("pix3d", "open_pix3d"),
    "coco": _lazily("coco", "open_coco"),
    "cub": _lazily("cub", "open_cub"),
    "sun": _lazily("sun", "open_sun"),
    "cutouts": _lazily("cutouts", "open_cutouts"),
    "models": _lazily("models", "open_models"),
}
"""Name of a source to its opener: ``SOURCES[name](root, split=..., category=...)``."""
