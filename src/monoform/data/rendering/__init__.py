"""Training images on the fly: any mesh under random camera, light, colours, background and damage, with exact truth.

    library = ModelLibrary([Recipe("car", seed) for seed in range(10_000)])
    views = RenderedViews(library, RenderSettings(size_hw=(64, 64)), seed=0)
    views[7]["image"], views[7]["mask"], views[7]["R"]

Image i of a seed is the same whatever the batch, the thread or the worker that draws it.
"""

from monoform.data.rendering.augment import CLEAN, AugmentSettings
from monoform.data.rendering.backgrounds import PhotoFolder, PlainColour
from monoform.data.rendering.drawing import RenderSettings, View, render_batch, sample_draws
from monoform.data.rendering.models import Model, ModelLibrary, Recipe, prepare
from monoform.data.rendering.poses import PRESETS, Camera, FixedViews, FreeViews
from monoform.data.rendering.shading import LookSettings
from monoform.data.rendering.views import RenderedSource, RenderedViews

__all__ = [
    "CLEAN",
    "PRESETS",
    "AugmentSettings",
    "Camera",
    "FixedViews",
    "FreeViews",
    "LookSettings",
    "Model",
    "ModelLibrary",
    "PhotoFolder",
    "PlainColour",
    "Recipe",
    "RenderSettings",
    "RenderedSource",
    "RenderedViews",
    "View",
    "prepare",
    "render_batch",
    "sample_draws",
]
