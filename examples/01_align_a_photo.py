"""Where does this mesh stand in this photo? Pose, fit, rivals, and an overlay to look at.

python examples/01_align_a_photo.py [folder]
"""

import sys
from pathlib import Path

import numpy as np

from monoform import Mask, align
from monoform.data.procedural import make
from monoform.data.procedural.photographs import take_photograph
from monoform.files.images import save_png
from monoform.overlays import overlay_picture

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
folder.mkdir(parents=True, exist_ok=True)

# A car of our own under a hidden pose; with files of yours: align("photo.jpg", "car.glb", mask="mask.png", fov_deg=60).
mesh = make("car", seed=5)
shot = take_photograph(mesh, seed=7, size_wh=(640, 480))
mask = Mask(shot.mask, "array")

found = align(shot.photo, mesh, mask=mask, K=shot.K, upright=True)

best = found.poses[0]  # x_camera = R @ x_file + t, OpenCV camera: +x right, +y down, +z forward
off = np.degrees(np.arccos(np.clip((np.trace(best.R.T @ shot.R) - 1) / 2, -1, 1)))
print(f"IoU {best.iou:.3f}, outlines {best.contour_px:.2f} px apart, {off:.2f} degrees from the hidden pose")
print("ambiguous:", found.ambiguity or "no", "| weights:", [round(pose.weight, 3) for pose in found.poses])
save_png(overlay_picture(shot.photo, mask, mesh, found, name="car"), folder / "overlay.png")
print("overlay in", folder / "overlay.png")
