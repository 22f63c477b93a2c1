"""Voxel grids to train on: solid or shell, any side, in the canonical frame or filling the grid, and which it was.

Two grids of one mesh that were made in different ways are different truths: an IoU between them says nothing about a
network. A target therefore carries how it was made, on disk too, and reading it can demand what is expected.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.encoding import encode_npz
from monoform.errors import InputError, SchemaError
from monoform.files.atomic import printable_name, write_atomic
from monoform.files.voxels import load_voxels
from monoform.meshes import Mesh, Similarity, bounds
from monoform.voxels import KINDS, voxelise

FORMAT, SCHEMA_VERSION = "monoform voxel target", 1
_RECORD, _EPOCH, _LARGEST_RECORD = "target.json", (1980, 1, 1, 0, 0, 0), 4096
_HAIR = 1e-4
"""Cells kept free at the grid's border: a face exactly on the upper one would belong to the cell beyond."""


@dataclass(frozen=True, eq=False)
class VoxelTarget:
    """A grid of the unit cube about the origin and how the object was put there: ``x_grid = scale * x_object + offset``."""

    grid: np.ndarray
    """(q, q, q) bool [z, y, x]."""
    kind: str
    """'solid' (surface and inside) or 'shell' (the cells that the surface passes through)."""
    scale: float
    offset: np.ndarray
    """(3,) in grid sides, x y z."""

    def __post_init__(self) -> None:
        grid, offset = np.ascontiguousarray(self.grid), np.array(self.offset, np.float64)
        if grid.dtype != bool or grid.ndim != 3 or len(set(grid.shape)) != 1 or grid.size == 0:
            raise InputError(f"a voxel target of {grid.dtype} and shape {grid.shape}; give bool (q, q, q)")
        _check_kind(self.kind)
        if offset.shape != (3,) or not np.isfinite([self.scale, *offset]).all() or self.scale <= 0.0:
            raise InputError(f"a voxel target of scale {self.scale}, offset {offset}; give a positive number and (3,)")
        object.__setattr__(self, "grid", grid)
        object.__setattr__(self, "offset", offset)

    @property
    def side(self) -> int:
        """Cells a side."""
        return len(self.grid)

    @property
    def object_to_grid(self) -> Similarity:
        """The map from the object's frame to the grid's unit cube."""
        return Similarity(self.scale, self.offset)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError(f"voxels of the kind {kind!r}; give one of {', '.join(KINDS)}")


def random_scale(rng: np.random.Generator, low: float, high: float) -> float:
    """A factor for `make_target`, drawn so that halving is as likely as doubling.

    Shapes of one size would tie size to distance; drawn ones let the shape code hold the scale (Zhu et al. 2017).
    """
    if not 0.0 < low <= high < np.inf:
        raise InputError(f"random scales from {low} to {high}; give 0 < low <= high")
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def make_target(mesh: Mesh, side: int, kind: str, *, fill: float | None = None, scale: float = 1.0) -> VoxelTarget:
    """The voxels of a mesh.

    With `fill` None the mesh stands in the grid's unit cube as it is: in the canonical frame (box diagonal 1) it stays
    inside however it is turned. With a number, 0 to 1, its box is centred and the box's longest side takes that part of
    the grid's side; 1 leaves no margin. `scale` comes on top (`random_scale`). Solid is the shell and what it shuts in,
    so thin parts stay; only a closed surface has an inside.
    Raises InputError for a shape that leaves the grid.
    """
    _check_kind(kind)
    if side < 1 or not 0.0 < scale < np.inf or not (fill is None or 0.0 < fill <= 1.0):
        raise InputError(f"side {side}, scale {scale}, fill {fill}: give positive ones, and a fill of at most 1")
    if len(mesh.faces) == 0:
        raise InputError("a mesh without faces has no voxels; give a mesh with faces")
    low, high = bounds(mesh.vertices[np.unique(mesh.faces)])
    factor, centre = scale, np.zeros(3)
    if fill is not None:
        longest = float((high - low).max())
        if longest == 0.0:
            raise InputError("all vertices of the mesh are one point; give a mesh with an extent")
        factor, centre = scale * fill * (1.0 - _HAIR / side) / longest, (low + high) / 2.0
    placed = Similarity(factor, -factor * centre)
    reach = float(np.abs(placed.apply(np.stack([low, high]))).max())
    if reach > 0.5 - 0.2 * _HAIR / side:
        raise InputError(
            f"the shape reaches {reach:.3f} grid sides from the centre, over 0.5; lower the scale or the fill"
        )
    grid = voxelise(Mesh(placed.apply(mesh.vertices), mesh.faces), side, kind)
    return VoxelTarget(grid, kind, placed.scale, placed.offset)


# --- files -------------------------------------------------------------------------------------------------------


def save_target(target: VoxelTarget, path: str | Path) -> None:
    """Write an npz file, completely or not at all: the grid as `files.voxels` reads it, and how it was made as JSON.

    Equal targets give equal bytes. Raises WriteError if the system refuses.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(f"{printable_name(path)}: voxel targets are npz files; name it .npz")
    record = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "kind": target.kind,
        "side": target.side,
        "scale": float(target.scale),
        "offset": target.offset.tolist(),
        "axes": "grid[z, y, x]; x_grid = scale * x_object + offset; cell i is centred at (i + 0.5) / side - 0.5",
    }
    inverse = target.object_to_grid.inverse()
    lowest = inverse.apply(np.full(3, -0.5))
    file = io.BytesIO(encode_npz({"voxels": target.grid, "translate": lowest, "scale": np.array(inverse.scale)}))
    with zipfile.ZipFile(file, "a") as archive:
        text = json.dumps(record, indent=1, allow_nan=False)
        archive.writestr(zipfile.ZipInfo(_RECORD, _EPOCH), text, zipfile.ZIP_DEFLATED, 6)
    write_atomic(path, file.getvalue())


def load_target(path: str | Path, *, kind: str | None = None, side: int | None = None) -> VoxelTarget:
    """A target from its file; with `kind` or `side`, only one that was made so.

    Raises InputError for a file that cannot be read or is of another kind or side, SchemaError for one whose record is
    missing, broken or at odds with its grid.
    """
    path = Path(path)
    stored = load_voxels(path)
    try:
        record = _read_record(path)
        target = VoxelTarget(
            stored.grid, record["kind"], float(record["scale"]), np.array(record["offset"], np.float64)
        )
        if record["side"] != target.side:
            raise SchemaError(f"the record says side {record['side']}, the grid has {target.side}")
        lowest = target.object_to_grid.apply(stored.translate)
        if not np.allclose([*lowest, stored.scale * target.scale], [-0.5, -0.5, -0.5, 1.0], atol=1e-9):
            raise SchemaError("the record's scale and offset are not those of the grid")
    except (KeyError, TypeError, ValueError, OSError, zipfile.BadZipFile) as error:
        cause = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise SchemaError(f"{printable_name(path)}: no sound voxel target ({cause[:120]}); make it again") from error
    for word, wanted, found in (("kind", kind, target.kind), ("side", side, target.side)):
        if wanted not in (None, found):
            raise InputError(f"{printable_name(path)}: its {word} is {found}, not {wanted}; make it again as {wanted}")
    return target


def _read_record(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if _RECORD not in archive.namelist() or archive.getinfo(_RECORD).file_size > _LARGEST_RECORD:
            raise SchemaError(f"it holds no {_RECORD} of at most {_LARGEST_RECORD} bytes")
        record = json.loads(archive.read(_RECORD))
    if not isinstance(record, dict) or record.get("format") != FORMAT or record.get("schema_version") != SCHEMA_VERSION:
        raise SchemaError(f"its record is not of '{FORMAT}' version {SCHEMA_VERSION}")
    return record
