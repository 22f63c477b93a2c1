"""Sets of images to learn from, as arrays: drawn from shapes, taken from any Source, chosen from, saved and loaded.

entries, ids = shapes_for("car", 1000, first_seed=0)
train = render_turntable(DrawnObjects(entries, ["car"] * 1000, ids), size=64, views=5, seed=0)
save_images(train, Path("car-train"))
"""

from monoform.data.image_sets.choosing import join, of_category, subset
from monoform.data.image_sets.drawing import (
    OTHER_LOOK,
    RENDERED,
    Style,
    models_for,
    render_turntable,
    render_weak,
    shapes_for,
)
from monoform.data.image_sets.making import DrawnObjects
from monoform.data.image_sets.posts import render_posts
from monoform.data.image_sets.storing import load_images, save_images
from monoform.data.image_sets.taking import from_source, natural_from

__all__ = [
    "OTHER_LOOK",
    "RENDERED",
    "DrawnObjects",
    "Style",
    "from_source",
    "join",
    "load_images",
    "models_for",
    "natural_from",
    "of_category",
    "render_posts",
    "render_turntable",
    "render_weak",
    "save_images",
    "shapes_for",
    "subset",
]
