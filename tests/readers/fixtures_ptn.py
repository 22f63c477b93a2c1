"""PTN's folders: the projection matrix of the authors' training code, which acts on (depth, up, image right)."""

import io
from pathlib import Path

import numpy as np
from fixtures_body import UNIT_BODY, cells, moved, picture, write
from fixtures_shapenet import CAR, MODEL
from PIL import Image
from scipy.io import savemat

FOCAL = 3**0.5 / 2


def write_set(root: Path, side: int = 224, azimuths: tuple[int, ...] = (15, 135, 360)) -> Path:
    """The set with pictures at a few azimuths; the others repeat the first."""
    write(root / "shapenetcore_ids" / f"{CAR}_valids.txt", f"{CAR}/{MODEL}\n")
    folder = root / "shapenetcore_viewdata" / CAR / MODEL
    drawn = {azimuth: render(side, azimuth) for azimuth in azimuths}
    for k in range(1, 25):
        coverage = drawn.get(15 * k, drawn[azimuths[0]])
        colours = np.rint(255 - coverage[..., None] * [80.0, 120.0, 160.0])
        write(folder / "imgs" / f"a{15 * k:03d}_e030.jpg", jpeg(colours))
        write(folder / "masks" / f"a{15 * k:03d}_e030.jpg", jpeg(np.rint(255 * coverage)))
    path = root / "shapenetcore_voxdata" / CAR / MODEL / "model_32.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    # MATLAB's array is indexed [image right, depth, up] of azimuth 0; the body's front -z is at low depth, its +x left.
    savemat(path, {"voxel": cells(moved(UNIT_BODY, lambda x, y, z: [-x, z, y]), 32).astype(np.uint8)})
    return root


def render(side: int, azimuth: float) -> np.ndarray:
    sin_phi, cos_phi = np.sin(np.pi / 6), np.cos(np.pi / 6)
    sin_theta, cos_theta = np.sin(np.radians(-azimuth)), np.cos(np.radians(-azimuth))
    turn = np.array([[cos_theta, 0, -sin_theta], [0, 1, 0], [sin_theta, 0, cos_theta]])
    lift = np.array([[cos_phi, sin_phi, 0], [-sin_phi, cos_phi, 0], [0, 0, 1]])
    matrix = turn @ lift

    def ray(column, row):
        local = np.stack([np.ones_like(row), (0.5 - row) / FOCAL, (column - 0.5) / FOCAL], -1)
        return -matrix @ [FOCAL + 0.5, 0, 0], local @ matrix.T

    return picture(side, ray, moved(UNIT_BODY, lambda x, y, z: [z, y, -x]))[0]


def jpeg(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()
