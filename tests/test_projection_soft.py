"""SoftRas: the contract of silhouettes, its formula's gradient, and PyTorch3D's own values."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from monoform.projection.kernels import soft
from monoform.projection.soft_raster import soft_raster, soft_raster_torch
from projection_cases import (
    SilhouetteContract,
    backend,  # noqa: F401 (a fixture)
    nasty_points,
    relative,
    same_in_forked_child,
)


class TestContract(SilhouetteContract):
    draw = staticmethod(soft_raster)
    blur_px = 0.4
    smooth: ClassVar[dict] = {"sigma": 1e-2, "blur_radius": 9.0}


@pytest.mark.parametrize("sigma", [1e-5, 1e-3])
def test_sigma_is_the_width_of_the_blur(backend, sigma):  # noqa: F811
    """Beside one long edge alpha is the sigmoid of the squared distance, where the shorter side is 2 long."""
    vertices = torch.tensor([[[4.0, -90, 1], [4.0, 90, 1], [190.0, 0, 1]]]).double()
    K = torch.eye(3).double()[None]
    image = soft_raster(vertices, torch.tensor([[0, 1, 2]]), K, (20, 30), sigma=sigma, blur_radius=4.0, backend=backend)
    d = (torch.arange(30) + 0.5 - 4).double() / 10
    assert torch.allclose(image[0, 10], torch.sigmoid(d.sign() * d**2 / sigma), atol=1e-5)


@pytest.mark.parametrize("name", ["bumpy_sphere", "aeroplane_open_mesh", "car_open_mesh", "chair_open_mesh"])
def test_equals_pytorch3d(shared, name):
    reference = np.load(shared / "fixtures" / "pytorch3d" / f"{name}.npz")
    # In float32, as there: a face seen edge-on counts or not by the last bit of its area, which PyTorch3D compares with 1e-8.
    R = torch.as_tensor(reference["R_model_to_camera_opencv"]).float()
    t = torch.as_tensor(reference["t_model_to_camera"]).float()
    vertices = torch.as_tensor(reference["vertices"]).float().expand(len(R), -1, -1).clone().requires_grad_()
    image = soft_raster(
        vertices @ R.mT + t[:, None],
        torch.as_tensor(reference["faces"]),
        torch.as_tensor(reference["K"]).float()[None],
        (64, 64),
        sigma=float(reference["sigma"]),
        blur_radius=float(reference["blur_radius"]),
    )
    (image * torch.as_tensor(reference["upstream"])).sum().backward()
    assert np.abs(image.detach().numpy() - reference["alpha"]).max() <= 1e-4
    assert relative(vertices.grad, torch.as_tensor(reference["grad_vertices"])) <= 1e-3


def test_works_in_a_forked_child():
    points = nasty_points(300)
    faces = np.arange(points.shape[1]).reshape(-1, 3)
    assert same_in_forked_child(lambda: soft.forward(points, faces, 32, 32)[0])


def test_fuzz():
    points = nasty_points(100_000)
    alpha, saved = soft.forward(points, np.arange(points.shape[1]).reshape(-1, 3), 16, 16)
    assert np.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert np.isfinite(soft.backward(saved, np.ones_like(alpha))).all()
    few = torch.as_tensor(points[:, :600]).requires_grad_()
    image = soft_raster_torch(few, torch.arange(600).reshape(-1, 3), 16, 16, 1e-4, 1e-3)
    image.sum().backward()
    assert torch.isfinite(image).all()
    assert torch.isfinite(few.grad).all()


def test_pixels_deep_inside_a_face_do_not_move_it() -> None:
    points = np.array([[[-900, -900, 1], [900, -900, 1], [0, 1800, 1]]], np.float32)
    alpha, saved = soft.forward(points, np.array([[0, 1, 2]], np.int32), 8, 8)
    assert (alpha > 1 - 1e-6).all()
    assert (soft.backward(saved, np.ones_like(alpha)) == 0).all()


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"sigma": -1.0}, {"blur_radius": -1.0}])
def test_impossible_blurs_are_refused(backend, options):  # noqa: F811
    with pytest.raises(ValueError, match="sigma"):
        soft_raster(
            torch.ones(1, 3, 3), torch.tensor([[0, 1, 2]]), torch.eye(3)[None], (4, 4), backend=backend, **options
        )
