"""Shapes from code: one recipe a file, parameters drawn from a seed, so that a machine without data has some."""

from monoform.data.procedural.shapes import CATEGORIES, KINDS, make, make_shape

__all__ = ["CATEGORIES", "KINDS", "make", "make_shape"]
