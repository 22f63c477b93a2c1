"""NMR's npz files and SoftRas's npy files, drawn as their renderer does: mirrored mesh, left-handed look_at."""

from pathlib import Path

import numpy as np
from fixtures_body import BODY, V1_UNIT_BODY, cells, moved, obj_text, picture, write
from fixtures_shapenet import CAR, MODEL

COLOUR = (200, 120, 40)


def write_set(root: Path, side: int = 224, views: tuple[int, ...] = (2, 9, 19), ids: bool = True) -> Path:
    """One test car, drawn at a few views; the others are empty. Colours on white, then inverted."""
    stored_mesh = moved(V1_UNIT_BODY, lambda x, y, z: [-z, y, -x])
    images = np.zeros((1, 24, 4, side, side), np.uint8)
    for k in views:
        coverage = render(side, stored_mesh, 2.732, 30.0, -15.0 * k)
        on_white = coverage[..., None] * COLOUR + 255 * (1 - coverage[..., None])
        images[0, k, :3] = np.rint(255 - on_white).transpose(2, 0, 1)
        images[0, k, 3] = np.rint(255 * coverage)
    grid = cells(stored_mesh * 31 / 32, 32, touch=True)
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / f"{CAR}_test_images.npz", images)
    np.savez_compressed(root / f"{CAR}_test_voxels.npz", grid.transpose(1, 0, 2)[None, :, :, ::-1])
    if ids:
        write(root / "shapenetcore_ids" / f"{CAR}_testids.txt", f"{CAR}/{MODEL}\n")
    return root


def write_softras(root: Path, side: int = 224) -> Path:
    """Three views of the body, its mesh mirrored at x = 0, as the eye formula wants it."""
    stored = moved(BODY, lambda x, y, z: [-x, y, z])
    cameras = np.array([[2.732, -60.0, 0.0], [2.732, 30.0, -105.0], [2.5, 0.0, 250.0]])
    pictures = np.zeros((3, 4, side, side), np.uint8)
    for picture_of, camera in zip(pictures, cameras, strict=True):
        coverage = render(side, stored, *camera)
        picture_of[:3], picture_of[3] = 90, np.rint(255 * coverage)
    root.mkdir(parents=True, exist_ok=True)
    np.save(root / "source.npy", pictures)
    np.save(root / "camera.npy", cameras)
    write(root / "body.obj", obj_text(stored))
    return root


def render(side: int, boxes: np.ndarray, distance: float, elevation: float, azimuth: float) -> np.ndarray:
    (se, sa), (ce, ca) = np.sin(np.radians([elevation, azimuth])), np.cos(np.radians([elevation, azimuth]))
    eye = distance * np.array([ce * sa, se, -ce * ca])
    z = -eye / np.linalg.norm(eye)
    x = np.cross([0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    y = np.cross(z, x)
    width = np.tan(np.radians(15.0))

    def ray(column, row):
        across, upward = (2 * column - 1) * width, (1 - 2 * row) * width
        return eye, z + across[..., None] * x + upward[..., None] * y

    return picture(side, ray, boxes)[0]
