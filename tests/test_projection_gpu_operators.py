"""The operators with their Triton kernels: the choice of a backend, and the bodies that all silhouettes pass."""

from typing import ClassVar

import pytest
import torch
import trimesh

from gpu_cases import DEVICE
from monoform.projection import kernels
from monoform.projection.coverage import coverage
from monoform.projection.hard_raster import hard_raster
from monoform.projection.rays import ray_silhouette
from monoform.projection.soft_raster import soft_raster
from monoform.projection.voxel_max import voxel_max, voxel_max_perspective
from projection_cases import SilhouetteContract, camera, placed, relative
from voxel_cases import blob, turns

pytest.importorskip("triton", reason="needs triton: pip install triton")

SLOW_INTERPRETER = [] if DEVICE == "cuda" else [pytest.mark.slow]


def test_backends():
    assert kernels.available() == ("torch", "numba", "triton")
    assert kernels.choose(None, "cpu") == "numba"
    assert kernels.choose(None, "cuda") == "triton"
    assert kernels.choose(None, "cuda", ("torch", "numba")) == "torch"
    assert kernels.choose(None, "mps") == "torch"
    assert kernels.choose("torch", "cuda") == "torch"
    with pytest.raises(ValueError, match="no backend 'opengl'"):
        kernels.choose("opengl", "cpu")


@pytest.mark.parametrize("draw", [soft_raster, coverage])
@pytest.mark.parametrize("kept", [20, 15], ids=["closed", "open"])
def test_mesh_operators_equal_their_twins(draw, kept):
    sphere = trimesh.creation.icosphere(0)
    vertices, faces = placed(sphere.vertices, 2).to(DEVICE), torch.tensor(sphere.faces[:kept]).to(DEVICE)
    K = camera(10, 10, 9.0).to(DEVICE)
    results = []
    for backend in ("triton", "torch"):
        places, cameras = vertices.clone().requires_grad_(), K.clone().requires_grad_()
        image = draw(places, faces, cameras, (10, 10), backend=backend)
        (image * torch.linspace(0, 1, 10, dtype=torch.float64, device=DEVICE)).sum().backward()
        assert places.grad is not None
        assert cameras.grad is not None
        results.append((image.detach(), places.grad, cameras.grad))
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.float64
        assert relative(found, expected) <= 1e-4


def test_hard_raster_equals_its_twin():
    sphere = trimesh.creation.icosphere(0)
    vertices, faces = placed(sphere.vertices, 2).to(DEVICE), torch.tensor(sphere.faces).to(DEVICE)
    job = (faces, camera(10, 10, 9.0).to(DEVICE), (10, 10))
    plain = hard_raster(vertices, *job, backend="triton")
    with_gradient = hard_raster(vertices.clone().requires_grad_(), *job, backend="triton")
    twin = hard_raster(vertices, *job, backend="torch")
    for found in (plain, with_gradient):
        assert torch.equal(found.face_id, twin.face_id)
        assert torch.allclose(found.depth, twin.depth, atol=1e-4)
        assert torch.allclose(found.barycentric, twin.barycentric, atol=1e-4)
    assert with_gradient.depth.requires_grad


@pytest.mark.parametrize("draw", [voxel_max, voxel_max_perspective, ray_silhouette])
def test_voxel_operators_equal_their_twins(draw):
    view = {"K": camera(7, 8, 9.0).to(DEVICE), "size_hw": (7, 8), "near_far": (1.0, 3.0), "samples": 12}
    options = view if draw is ray_silhouette else {}
    results = []
    for backend in ("triton", "torch"):
        grid, R = blob().to(DEVICE).requires_grad_(), turns(2).to(DEVICE).requires_grad_()
        image = draw(grid, R, backend=backend, **options)
        (image**2).sum().backward()
        assert grid.grad is not None
        assert R.grad is not None
        results.append((image.detach(), grid.grad, R.grad))
    for found, expected in zip(*results, strict=True):
        assert found.dtype == torch.float64
        assert relative(found, expected) <= 1e-4


class OnGpu:
    pytestmark: ClassVar[list] = SLOW_INTERPRETER

    @pytest.fixture
    def backend(self):
        return "triton"

    @pytest.fixture
    def compiled(self):
        return "triton"


class TestSoftContract(OnGpu, SilhouetteContract):
    draw = staticmethod(soft_raster)
    blur_px = 0.4
    smooth: ClassVar[dict] = {"sigma": 1e-2, "blur_radius": 9.0}


class TestCoverageContract(OnGpu, SilhouetteContract):
    draw = staticmethod(coverage)
