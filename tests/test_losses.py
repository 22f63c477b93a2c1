"""Losses: values by hand and against trimesh and SciPy, gradients, the mean over the batch, rigid motion."""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from monoform import losses
from monoform.meshes import box, icosphere, laplacian

TETRAHEDRON = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
TETRAHEDRON_FACES = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
SURFACE_LOSSES = (losses.laplacian_loss, losses.flatten_loss)
OVERLAP_LOSSES = (losses.iou_loss, losses.jaccard_loss)


def bumpy_ball() -> tuple[torch.Tensor, torch.Tensor]:
    mesh = icosphere(1)
    noise = np.random.default_rng(0).normal(size=mesh.vertices.shape)
    return torch.from_numpy(mesh.vertices + 0.1 * noise)[None], torch.from_numpy(mesh.faces)


def flat_sheet(side: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid of squares, each cut in two, with its inner vertices moved about in the plane."""
    rng = np.random.default_rng(1)
    x, y = np.meshgrid(np.arange(side), np.arange(side), indexing="xy")
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3) + 0.0
    points[:, :2] += 0.2 * rng.random((side * side, 2))
    corner = (np.arange(side - 1) + side * np.arange(side - 1)[:, None]).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, side], corner + [1, side + 1, side]])
    return torch.from_numpy(points)[None], torch.from_numpy(faces)


def images(batch: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(batch, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- overlap


def test_overlap_of_binary_masks_is_counted():
    predicted, target = torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)
    predicted[0, :2, :], target[0, :, :2] = 1, 1  # 8 pixels each, 4 in common
    for loss in OVERLAP_LOSSES:
        assert float(loss(predicted, target)) == pytest.approx(1 - 4 / 12)
        assert float(loss(target, target)) == 0
        assert float(loss(predicted, 1 - predicted)) == 1


def test_overlap_of_grey_images_by_hand():
    predicted, target = torch.tensor([[[0.5, 1.0, 0.0]]]), torch.tensor([[[0.5, 0.25, 0.0]]])
    assert float(losses.iou_loss(predicted, target)) == pytest.approx(1 - (0.25 + 0.25) / (0.75 + 1.0))
    assert float(losses.jaccard_loss(predicted, target)) == pytest.approx(1 - (0.5 + 0.25) / (0.5 + 1.0))


def test_only_jaccard_is_zero_for_equal_grey_images():
    assert float(losses.jaccard_loss(images(), images())) == 0
    assert float(losses.iou_loss(images(), images())) > 0.3
    binary = images(seed=1).round()
    torch.testing.assert_close(losses.jaccard_loss(images(), binary), losses.iou_loss(images(), binary))


@pytest.mark.parametrize("loss", OVERLAP_LOSSES)
def test_empty_images_agree_with_each_other_alone(loss):
    empty = torch.zeros(2, 5, 7, dtype=torch.float64, requires_grad=True)
    assert float(loss(empty, torch.zeros(2, 5, 7).double()).detach()) == 0
    assert float(loss(empty, images(2)).detach()) == 1
    (gradient,) = torch.autograd.grad(loss(empty, torch.zeros(2, 5, 7).double()), empty)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", OVERLAP_LOSSES)
def test_overlap_gradient_and_batch_mean(loss):
    predicted, target = images().requires_grad_(), images(seed=2)
    assert torch.autograd.gradcheck(loss, (predicted, target))
    each = torch.stack([loss(predicted[i : i + 1], target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(loss(predicted, target), each.mean())
    one_target = torch.stack([loss(predicted[i : i + 1], target[:1]) for i in range(3)])
    torch.testing.assert_close(loss(predicted, target[:1]), one_target.mean())


# --- smoothness


def test_laplacian_of_a_tetrahedron_by_hand():
    """The mean of the three others is -1/3 of a vertex: 4 vertices of squared length 3, times (4/3)^2."""
    value = float(losses.laplacian_loss(TETRAHEDRON[None], TETRAHEDRON_FACES))
    assert value == pytest.approx(4 * 3 * (4 / 3) ** 2)


def test_laplacian_agrees_with_sparse_matrices():
    vertices, faces = bumpy_ball()
    v, f = vertices[0].numpy(), faces.numpy()
    expected = np.square(laplacian(f, len(v)) @ v).sum()
    theirs = trimesh.smoothing.laplacian_calculation(trimesh.Trimesh(v, f, process=False), equal_weight=True)
    assert float(losses.laplacian_loss(vertices, faces)) == pytest.approx(expected)
    assert float(losses.laplacian_loss(vertices, faces)) == pytest.approx(np.square(theirs @ v - v).sum())


def test_laplacian_skips_vertices_of_no_face():
    vertices, faces = bumpy_ball()
    more = torch.cat([vertices, torch.full((1, 2, 3), 7.0).double()], 1).requires_grad_()
    value = losses.laplacian_loss(more, faces)
    torch.testing.assert_close(value, losses.laplacian_loss(vertices, faces))
    (gradient,) = torch.autograd.grad(value, more)
    assert not gradient[:, -2:].any()


# --- flatness


def test_flatten_by_hand():
    """A cube has 12 edges of 90 degrees (and 6 flat diagonals), a tetrahedron 6 of arccos(1/3)."""
    cube = box()
    value = losses.flatten_loss(torch.from_numpy(cube.vertices)[None], torch.from_numpy(cube.faces))
    assert float(value) == pytest.approx(12)
    assert float(losses.flatten_loss(TETRAHEDRON[None], TETRAHEDRON_FACES)) == pytest.approx(6 * (1 / 3 + 1) ** 2)


def test_flat_sheet_is_flat_and_a_closed_book_is_not():
    vertices, faces = flat_sheet()
    assert float(losses.flatten_loss(vertices, faces)) == pytest.approx(0, abs=1e-20)
    book = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0.3, 0]]]).double()
    assert float(losses.flatten_loss(book, torch.tensor([[0, 1, 2], [0, 1, 3]]))) == pytest.approx(4)


def test_flatten_agrees_with_trimesh_whatever_the_winding():
    vertices, faces = bumpy_ball()
    mesh = trimesh.Trimesh(vertices[0].numpy(), faces.numpy(), process=False)
    expected = np.square(1 - np.cos(mesh.face_adjacency_angles)).sum()  # angle between normals: 180 - dihedral
    assert float(losses.flatten_loss(vertices, faces)) == pytest.approx(expected)
    odd = torch.arange(len(faces))[:, None] % 2 == 0
    mixed = torch.where(odd, faces, faces.flip(1))
    assert float(losses.flatten_loss(vertices, mixed)) == pytest.approx(expected)


def test_flatten_skips_borders_and_edges_of_three_faces():
    fan = torch.tensor([[[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [-1, 0, 1]]]).double()
    two = torch.tensor([[0, 1, 2], [0, 1, 3]])
    assert float(losses.flatten_loss(fan, two[:1])) == 0
    assert float(losses.flatten_loss(fan, two)) == pytest.approx(1)
    assert float(losses.flatten_loss(fan, torch.cat([two, torch.tensor([[0, 1, 4]])]))) == 0


# --- both


@pytest.mark.parametrize("loss", SURFACE_LOSSES)
def test_surface_gradient_and_batch_mean(loss):
    vertices, faces = bumpy_ball()
    vertices = torch.cat([vertices, 1.3 * vertices.flip(1)]).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: loss(v, faces), vertices)
    each = torch.stack([loss(vertices[:1], faces), loss(vertices[1:], faces)])
    torch.testing.assert_close(loss(vertices, faces), each.mean())


@pytest.mark.parametrize(("loss", "power"), [(losses.laplacian_loss, 2), (losses.flatten_loss, 0)])
def test_rigid_motion_changes_nothing_and_size_by_its_power(loss, power):
    vertices, faces = bumpy_ball()
    turned = vertices @ torch.from_numpy(Rotation.random(random_state=0).as_matrix()).T + torch.tensor([3.0, -1, 2])
    torch.testing.assert_close(loss(turned, faces), loss(vertices, faces))
    torch.testing.assert_close(loss(2 * vertices, faces), 2**power * loss(vertices, faces))


@pytest.mark.parametrize("loss", SURFACE_LOSSES)
def test_degenerate_faces_have_finite_gradients(loss):
    vertices, faces = bumpy_ball()
    vertices = vertices.float()
    vertices[:, faces[0, 1]] = vertices[:, faces[0, 0]]  # an edge without length
    vertices[:, faces[9, 2]] = vertices[:, faces[9, :2]].mean(1)  # a face that is a line
    vertices.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(vertices, faces), vertices)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() < 1e3


@pytest.mark.parametrize("loss", SURFACE_LOSSES)
def test_no_faces_no_loss(loss):
    vertices = torch.rand(2, 4, 3, requires_grad=True)
    value = loss(vertices, torch.zeros(0, 3, dtype=torch.long))
    (gradient,) = torch.autograd.grad(value, vertices)
    assert not value.detach()
    assert not gradient.any()
