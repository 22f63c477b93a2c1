"""3D-R2N2's folders: the camera as the two matrices of Mesh R-CNN's loader, Blender's projection matrix 2.1875."""

from pathlib import Path

import numpy as np
from fixtures_body import V1_BODY, picture, png, rgba, write
from fixtures_shapenet import CAR, MODEL, binvox, filling_cells

VIEWS = ((237.08, 29.4, 0.7355), (20.0, 27.0, 0.81), (131.5, 25.3, 0.66))


def write_set(root: Path, side: int = 224) -> Path:
    folder = root / "ShapeNetRendering" / CAR / MODEL / "rendering"
    for k, view in enumerate(VIEWS):
        write(folder / f"{k:02d}.png", png(rgba(render(side, *view))))
    lines = [f"{azimuth} {elevation} 0 {distance} 25" for azimuth, elevation, distance in VIEWS]
    write(folder / "rendering_metadata.txt", "\n".join(lines) + "\n")
    write(root / "ShapeNetVox32" / CAR / MODEL / "model.binvox", binvox(filling_cells(32, V1_BODY)))
    return root


def render(side: int, azimuth: float, elevation: float, distance: float) -> np.ndarray:
    s, c = np.sin(np.radians([-azimuth, -elevation])), np.cos(np.radians([-azimuth, -elevation]))
    world = np.array([[c[0] * c[1], s[0] * c[1], -s[1]], [-s[0], c[0], 0], [c[0] * s[1], s[0] * s[1], c[1]]])
    to_camera = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    import_turn = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    matrix = to_camera @ world @ import_turn
    shift = -to_camera @ [1.75 * distance, 0, 0]

    def ray(column, row):
        local = np.stack([(2 * column - 1) / 2.1875, (1 - 2 * row) / 2.1875, -np.ones_like(row)], -1)
        return -matrix.T @ shift, local @ matrix

    return picture(side, ray, V1_BODY)[0]
