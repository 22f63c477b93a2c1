"""You have a rough pose already, from a network or by hand: bring it onto the mask, thirty steps.

python examples/02_refine_a_pose.py
"""

import numpy as np
from scipy.spatial.transform import Rotation

from monoform import refine_pose
from monoform.data.procedural import make
from monoform.data.procedural.photographs import take_photograph

mesh = make("chair", seed=3)
shot = take_photograph(mesh, seed=1, size_wh=(480, 360))

rough_R = Rotation.from_rotvec([0.02, 0.05, -0.03]).as_matrix() @ shot.R
rough_t = shot.t + [0.01, -0.01, 0.03]

found = refine_pose(shot.mask, mesh, rough_R, rough_t, shot.K)

for number, step in enumerate(found.trace[::5], start=1):
    print(f"step {5 * number - 4:2d} at {step.resolution:3d} px: IoU {step.iou:.3f}")
start, left = (np.degrees(Rotation.from_matrix(R @ shot.R.T).magnitude()) for R in (rough_R, found.R))
print(f"{found.status}: IoU {found.iou:.3f}, {left:.2f} degrees off instead of {start:.2f}")
