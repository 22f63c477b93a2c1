"""Voxel grids, poses and the checks that every voxel silhouette passes, whatever its formula and whoever computes it."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from monoform.projection.kernels import threads
from projection_cases import relative

SIDE = 9
EYE = torch.eye(3, dtype=torch.float64)[None]
KERNELS = ["numba"]


def turns(batch: int, seed: int = 3) -> torch.Tensor:
    return torch.as_tensor(Rotation.random(batch, random_state=seed).as_matrix())


def noise(batch: int = 1, side: int = SIDE) -> torch.Tensor:
    return torch.rand(batch, side, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.9


def blob(side: int = SIDE) -> torch.Tensor:
    """A smooth shape, well inside the grid, without symmetry."""
    grid = torch.zeros(side, side, side).double()
    grid[2:6, 3:6, 2:7] = 0.9
    grid[4:7, 2:4, 3:5] = 0.7
    return torch.as_tensor(gaussian_filter(grid.numpy(), 0.8, mode="constant"))[None]


def grids(side: int = SIDE) -> dict[str, torch.Tensor]:
    """Grids (2, q, q, q) of every kind that a network or a voxeliser gives."""
    solid = torch.zeros(2, side, side, side).double()
    solid[0, 1:7, 2:8, 2:6] = 1
    solid[1, 3:9, 0:5, 3:8] = 1
    hollow = solid.clone()
    hollow[0, 2:6, 3:7, 3:5] = 0
    hollow[1, 4:8, 1:4, 4:7] = 0
    return {
        "noise": noise(2),
        "faint": noise(2) * 1e-3,
        "nearly full": 1 - noise(2) * 1e-4,
        "hollow": hollow,
        "solid": solid,
        "binary": (noise(2) > 0.5).double(),
        "full": torch.ones(2, side, side, side).double(),
        "empty": torch.zeros(2, side, side, side).double(),
    }


def image_and_gradients(draw, inputs: dict, weight=None, **options) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """What `draw` makes of the inputs (those that are None are left out) and the gradients of its weighted sum."""
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items() if x is not None}
    image = draw(**leaves, **options)
    (image.sum() if weight is None else (image * weight).sum()).backward()
    return image.detach(), {name: leaf.grad for name, leaf in leaves.items()}


def weights(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1


class VoxelContract:
    """What every voxel silhouette does. A subclass sets `draw`, the operator; `ahead`, the depth at which it puts a grid
    without t; `camera`, its other tensors; and `project`, where a point of the camera frame is seen, in pixels."""

    ahead = 0.0
    camera: ClassVar[dict[str, torch.Tensor]] = {}

    def t(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> torch.Tensor:
        return torch.tensor([[x, y, self.ahead + z]]).double()

    def inputs(self, occupancy: torch.Tensor, R: torch.Tensor, t: torch.Tensor | None) -> dict:
        return {"occupancy": occupancy, "R": R, "t": t, **self.camera}

    def test_empty(self, backend):
        image = self.draw(torch.zeros(1, 6, 6, 6).double(), turns(3), backend=backend, **self.camera)
        assert len(image) == 3
        assert not image.any()

    def test_full_at_the_centre(self, backend):
        image = self.draw(torch.ones(1, SIDE, SIDE, SIDE).double(), EYE, backend=backend, **self.camera)[0]
        row, column = image.shape[0] // 2, image.shape[1] // 2
        assert (image[row, column] - 1).abs() < 1e-5
        assert image.max() <= 1 + 1e-6

    def test_single_cell_lands_on_its_pixel(self, backend):
        """With turns about all axes: this is where a transposed R, or z, y, x in the wrong order, shows."""
        grid = torch.zeros(1, SIDE, SIDE, SIDE).double()
        grid[0, 5, 2, 6] = 1
        centre = (torch.tensor([6, 2, 5]).double() + 0.5) / SIDE - 0.5
        R, t = torch.cat([EYE, turns(4)]), self.t(0.05, -0.02, 0.03)
        images = self.draw(grid, R, t, backend=backend, **self.camera)
        for image, point in zip(images, R @ centre + t, strict=True):
            row, column = divmod(int(image.argmax()), image.shape[1])
            u, v = self.project(*point.tolist())
            assert abs(column + 0.5 - u) <= 1
            assert abs(row + 0.5 - v) <= 1

    def test_half_a_pixel_of_shift_moves_the_image_by_it(self, backend):
        grid, R = blob(), turns(1)
        middles = []
        per_pixel = 1 / (self.project(1.0, 0.0, self.ahead)[0] - self.project(0.0, 0.0, self.ahead)[0])
        for x, y in ((0.0, 0.0), (0.5 * per_pixel, -0.5 * per_pixel)):
            image = self.draw(grid, R, self.t(x, y), backend=backend, **self.camera)[0].double()
            row, column = torch.meshgrid(*(torch.arange(n).double() for n in image.shape), indexing="ij")
            middles.append([float((image * place).sum() / image.sum()) for place in (column, row)])
        assert np.abs(np.subtract(*middles[::-1]) - [0.5, -0.5]).max() < 0.1

    @pytest.mark.parametrize("shift", [(9, 0), (-9, 0), (0, 9), (0, -9)])
    def test_off_screen(self, backend, shift):
        inputs = self.inputs(noise(), turns(1), self.t(*shift))
        image, grads = image_and_gradients(self.draw, inputs, backend=backend)
        assert not image.any()
        assert not any(grads[name].any() for name in ("occupancy", "R", "t"))

    def test_no_t_is_straight_ahead(self, backend):
        grid, R = noise(), turns(2)
        image = self.draw(grid, R, backend=backend, **self.camera)
        assert torch.allclose(image, self.draw(grid, R, self.t(), backend=backend, **self.camera), atol=1e-5)
        assert image.any()

    def test_batches_broadcast(self, backend):
        grid, R, t = noise(3), turns(3), self.t() + 0.1 * noise(3)[:, 0, 0, :3]
        draw = lambda *inputs: self.draw(*inputs, backend=backend, **self.camera)  # noqa: E731
        single = torch.cat([draw(grid[i : i + 1], R[i : i + 1], t[i : i + 1]) for i in range(3)])
        assert torch.allclose(draw(grid, R, t), single, atol=1e-6)
        for case in ((grid[:1], R, t), (grid, R[:1], t), (grid, R, t[:1]), (grid, R[:1], t[:1]), (grid[:1], R[:1], t)):
            weight = weights(single.shape)
            image, grads = image_and_gradients(self.draw, self.inputs(*case), weight, backend=backend)
            whole = [x.repeat(3 // len(x), *[1] * (x.ndim - 1)) for x in case]
            expected, whole_grads = image_and_gradients(self.draw, self.inputs(*whole), weight, backend=backend)
            assert torch.allclose(image, expected, atol=1e-6)
            for name, x in zip(("occupancy", "R", "t"), case, strict=True):
                assert grads[name].shape == x.shape
                assert relative(grads[name], whole_grads[name].sum_to_size(x.shape)) < 1e-5

    def test_gradcheck(self):
        inputs = self.inputs(noise(side=4), turns(1), self.t(0.02, -0.03, 0.013))
        run = lambda *leaves: self.draw(**dict(zip(inputs, leaves, strict=True)), backend="torch")  # noqa: E731
        assert torch.autograd.gradcheck(run, [x.clone().requires_grad_() for x in inputs.values()], eps=1e-7, atol=1e-5)

    def test_finite_differences(self, backend):
        inputs = self.inputs(blob() + 0.2 * noise(), turns(1), self.t(0.02, -0.03, 0.013))
        inputs = {name: x.float() for name, x in inputs.items()}
        weight = weights(self.draw(**inputs).shape) ** 2
        total = lambda **changed: (self.draw(**{**inputs, **changed}, backend=backend) * weight).sum()  # noqa: E731
        _, grads = image_and_gradients(self.draw, inputs, weight, backend=backend)
        generator = torch.Generator().manual_seed(2)
        for name, x in inputs.items():
            other = torch.randn(x.shape, generator=generator)
            direction = 1e-3 * (grads[name] / grads[name].norm() + 0.3 * other / other.norm())
            change = (total(**{name: x + direction}) - total(**{name: x - direction})) / 2
            assert abs(change - (grads[name] * direction).sum()) < 0.03 * abs(change), name

    def test_nan(self, backend):
        """An image whose pose is not a number is empty; a cell that is not is seen as such, in its own image alone."""
        grid, R = noise(2), turns(2)
        clean = self.draw(grid, R, backend=backend, **self.camera)
        for bad in (torch.nan, torch.inf, -torch.inf):
            lost = R.clone()
            lost[0, 1, 2] = bad
            image, _ = image_and_gradients(self.draw, self.inputs(grid, lost, self.t()), backend=backend)
            assert not image[0].any()
            assert torch.allclose(image[1], clean[1], atol=1e-6)
        grid[0, 4, 4, 4] = torch.nan
        image, _ = image_and_gradients(self.draw, self.inputs(grid, R, self.t()), backend=backend)
        twin = self.draw(grid, R, self.t(), backend="torch", **self.camera)
        assert image[0].isnan().any()
        assert torch.equal(image.isnan(), twin.isnan())
        assert torch.allclose(image, twin, atol=1e-5, equal_nan=True)


class PerspectiveContract(VoxelContract):
    def test_behind_the_camera(self, backend):
        inputs = self.inputs(noise(), turns(1), -self.t())
        image, grads = image_and_gradients(self.draw, inputs, backend=backend)
        assert not image.any()
        assert not any(grads[name].any() for name in ("occupancy", "R", "t"))

    def test_nearer_cells_look_larger(self, backend):
        near, far = torch.zeros(2, 1, 12, 12, 12).double()
        near[:, 0, 3:9, 3:9] = 1
        far[:, 11, 3:9, 3:9] = 1
        near, far = (self.draw(grid, EYE, backend=backend, **self.camera).sum() for grid in (near, far))
        assert near > 1.3 * far


class KernelContract:
    """What a compiled voxel silhouette does besides. `picks_one`: a pixel's gradient goes to one sample alone."""

    picks_one = False

    @pytest.mark.parametrize("kernel", KERNELS)
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
    @pytest.mark.parametrize("name", grids())
    def test_kernel_equals_twin(self, kernel, name, dtype):
        for t in (None, self.t(0.08, -0.03, 0.1), self.t(0.0, 0.0, -0.3) + torch.tensor([[0.0] * 3, [0.3, 0.2, 0.1]])):
            inputs = {k: None if x is None else x.to(dtype) for k, x in self.inputs(grids()[name], turns(2), t).items()}
            weight = weights(self.draw(**inputs).shape)
            image, grads = image_and_gradients(self.draw, inputs, weight, backend=kernel)
            exact = {key: None if x is None else x.double() for key, x in inputs.items()}
            twin, twin_grads = image_and_gradients(self.draw, exact, weight, backend="torch")
            assert image.dtype == dtype
            assert (image - twin).abs().max() <= 1e-4
            for key, grad in grads.items():
                assert grad.dtype == dtype
                expected = twin_grads[key]
                if key == "occupancy" and self.picks_one and name in ("nearly full", "solid", "binary", "full"):
                    # Within what is full all samples are equal to rounding: which takes the gradient is chance.
                    grad, expected = grad.sum((1, 2, 3)), expected.sum((1, 2, 3))
                assert (grad - expected).norm() <= 1e-3 * expected.norm() + 1e-5, key

    @pytest.mark.parametrize("kernel", KERNELS)
    def test_memory_order_does_not_matter(self, kernel):
        grid, R, t = noise(2).float(), turns(2).float(), self.t().float().repeat(2, 1)
        weight = weights(self.draw(grid, R, t, **self.camera).shape)
        turned = grid.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0)
        scattered = self.inputs(turned, R.mT.contiguous().mT, torch.stack([t, t], dim=-1)[..., 0])
        assert not any(scattered[name].is_contiguous() for name in ("occupancy", "R", "t"))
        image, grads = image_and_gradients(self.draw, scattered, weight.mT.contiguous().mT, backend=kernel)
        plain, plain_grads = image_and_gradients(self.draw, self.inputs(grid, R, t), weight, backend=kernel)
        assert torch.equal(image, plain)
        assert all(torch.equal(grads[name], plain_grads[name]) for name in grads)

    @pytest.mark.parametrize("batch", [1, 5])
    def test_threads_do_not_change_a_bit(self, batch):
        inputs = self.inputs(noise(batch), turns(batch), self.t(0.03))
        weight = weights(self.draw(**inputs).shape)
        results = []
        for count in (1, 2, 3):
            threads.set_threads(count)
            results.append(image_and_gradients(self.draw, inputs, weight, backend="numba"))
        threads.set_threads(0)
        for image, grads in results[1:]:
            assert torch.equal(image, results[0][0])
            assert all(torch.equal(grads[name], results[0][1][name]) for name in grads)

    def test_any_grid_seen_from_anywhere(self):
        """Also from the other end of the universe: the kernels read memory by position, unchecked."""

        @given(
            seed=st.integers(0, 2**31),
            side=st.integers(1, 7),
            level=st.floats(0, 1),
            exponent=st.integers(-30, 30),
            axis=st.integers(0, 2),
        )
        @hypothesis_settings(max_examples=25)
        def check(seed, side, level, exponent, axis):
            generator = torch.Generator().manual_seed(seed)
            grid = (torch.rand(2, side, side, side, generator=generator, dtype=torch.float64) * 1.5 - level).clamp(0, 1)
            t = self.t().repeat(2, 1)
            t[0] += 0.5 * torch.rand(3, generator=generator, dtype=torch.float64) - 0.25
            t[1, axis] += 10.0**exponent
            inputs = self.inputs(grid, turns(2, seed), t)
            for kernel in KERNELS:
                image, grads = image_and_gradients(self.draw, inputs, backend=kernel)
                twin, _ = image_and_gradients(self.draw, inputs, backend="torch")
                assert (image - twin).abs().max() <= 1e-4
                assert all(torch.isfinite(grad).all() for grad in grads.values())

        check()
