"""DRC's and MVC's folders: a camera in Blender's world, where the imported OBJ is (x, -z, y), 60 mm on 32 mm."""

from pathlib import Path

import numpy as np
from fixtures_body import V1_BODY, cells, moved, picture, png, rgba, write
from fixtures_shapenet import CAR, MODEL
from scipy.io import savemat

SIDE = 224
VIEWS = ((40.0, 25.0), (-150.0, -12.0), (100.0, 38.0))


def write_set(root: Path) -> Path:
    folder = root / "blenderRenderPreprocess" / CAR / MODEL
    for k, (azimuth, elevation) in enumerate(VIEWS):
        extrinsic, coverage, depth = render(azimuth, elevation)
        write(folder / f"render_{k}.png", png(rgba(coverage)))
        stored = np.rint(np.minimum(depth, 10.0) / 10.0 * 65535).astype(np.uint16)
        write(folder / f"depth_{k}.png", png(stored))
        K = [[420.0, 0, 112], [0, 420.0, 112], [0, 0, 1]]
        savemat(folder / f"camera_{k}.mat", {"K": K, "extrinsic": extrinsic, "pos": extrinsic[:3, 3]})
    solid = cells(V1_BODY, 32)
    inner = np.ones_like(solid)
    for axis in range(3):
        for step in (1, -1):
            inner &= np.roll(solid, step, axis)
    path = root / "shapenet" / "modelVoxels" / CAR / f"{MODEL}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"Volume": (solid & ~inner).astype(np.uint8)}, do_compression=True)
    return root


def render(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Extrinsic (4, 4), coverage and depth along the axis. The camera is not aimed at the origin exactly."""
    (sa, se), (ca, ce) = np.sin(np.radians([azimuth, elevation])), np.cos(np.radians([azimuth, elevation]))
    place = 2.0 * np.array([ca * ce, sa * ce, se])
    backward = place / 2.0
    right = np.array([-sa, ca, 0.0])
    upward = np.cross(backward, right)
    place = place + [0.02, -0.03, 0.01]
    rows = np.stack([right, -upward, -backward])
    extrinsic = np.eye(4)
    extrinsic[:3, :3], extrinsic[:3, 3] = rows, -rows @ place

    def ray(column, row):
        x, y = (column - 0.5) * 32 / 60, (row - 0.5) * 32 / 60
        return place, -backward + x[..., None] * right - y[..., None] * upward

    return extrinsic, *picture(SIDE, ray, moved(V1_BODY, lambda x, y, z: [x, -z, y]))
