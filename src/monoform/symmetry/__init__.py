"""Which rotations map a mesh onto itself, and rotation errors that do not count them. NumPy only.

A rotation is a symmetry when it moves points of the surface onto the surface, within a tolerance; connectivity,
tessellation and closedness play no part. Two poses that differ by one of them look the same, so an error between
rotations is the least over the group.
"""

from monoform.symmetry.detection import detect_symmetry
from monoform.symmetry.groups import SymmetryGroup, closest_equivalent, equivalent_translation, rotation_error

__all__ = ["SymmetryGroup", "closest_equivalent", "detect_symmetry", "equivalent_translation", "rotation_error"]
