"""Shapes from code: one recipe a file, parameters drawn from a seed, so that a machine without data has some."""

from monoform.data.procedural.shapes import CATEGORIES, make

__all__ = ["CATEGORIES", "make"]
