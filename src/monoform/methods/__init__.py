"""The papers' systems: one file or folder a paper, read top to bottom."""

from monoform.methods import raster_pose, reprojection, self_consistency

METHODS = {
    "raster_pose": raster_pose.Config,
    "reprojection": reprojection.Config,
    "self_consistency": self_consistency.Config,
}
"""Every method's settings by its name; `Config.build()` makes it."""
