"""Fixtures shared by all tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import gpu_cases  # noqa: F401 (before any kernel: without a GPU, Triton's run in its interpreter)
from monoform.data.procedural import make
from monoform.data.procedural.photographs import take_photograph
from monoform.interfaces import Alignment, Mask, RankedPose, RefineStep
from monoform.results import PhotoMatch

settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real meshes, photos and reference values kept beside the repository; the test skips without it."""
    if not SHARED.is_dir():
        pytest.skip("needs the data folder beside the repository (real meshes, photos, reference values)")
    return SHARED


@pytest.fixture(scope="session")
def car_match() -> PhotoMatch:
    """A small photograph of a procedural car and a made-up answer: the true pose first, its half-turn second."""
    mesh = make("car", 2)
    shot = take_photograph(mesh, seed=3, size_wh=(192, 144))
    half_turn = shot.R @ np.diag([-1.0, 1.0, -1.0])
    poses = (
        RankedPose(shot.R, shot.t, 0.97, 0.4, 0.8, 0.6),
        RankedPose(half_turn, shot.t, 0.93, 1.1, float("nan"), 0.4, "half-turn"),
    )
    trace = (RefineStep(shot.R, shot.t, 0.2, 0.9, 64), RefineStep(shot.R, shot.t, 0.1, 0.97, 128))
    crop = np.array([[0.5, 0.0, 20.0], [0.0, 0.5, 10.0], [0.0, 0.0, 1.0]])
    found = Alignment(poses, shot.K, "given", (192, 144), crop, True, "half-turn", "none", trace, (), {"search": 0.5})
    photo = replace(shot.photo, path=Path("shots/car.png"), warnings=("its EXIF is damaged",))
    return PhotoMatch(photo, Mask(shot.mask, "file"), mesh, "car.glb", found, content_sha256="ab" * 32)
