"""Coverage: the contract of silhouettes, exact areas, gradients, and real open meshes against supersampling."""

import json

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from monoform.projection import silhouette
from monoform.projection.coverage import coverage, coverage_torch, find_topologies
from monoform.projection.kernels.coverage import Topology, backward, forward
from monoform.projection.kernels.hard import rasterise
from projection_cases import (
    SilhouetteContract,
    backend,  # noqa: F401 (a fixture)
    bumpy_sphere,
    camera,
    nasty_points,
    placed,
    same_in_forked_child,
    variants,
)


class TestContract(SilhouetteContract):
    draw = staticmethod(coverage)


def on_screen(vertices: np.ndarray, turns: int, size: int) -> np.ndarray:
    R = Rotation.random(turns, random_state=0).as_matrix()
    seen = np.einsum("bij,vj->bvi", R, vertices) + [0, 0, 1.6]
    xy = seen[..., :2] / seen[..., 2:] * 1.3 * size + size / 2
    return np.concatenate([xy, seen[..., 2:]], -1).astype(np.float32)


def supersampled(points: np.ndarray, faces: np.ndarray, size: int, times: int = 16) -> np.ndarray:
    finer = points * np.float32([times, times, 1])
    hit = rasterise(finer, faces, size * times, size * times)[0] >= 0
    return hit.reshape(len(points), size, times, size, times).mean((2, 4))


@pytest.mark.parametrize("name", ["closed", "open", "against each other"])
def test_gradcheck(name):
    sphere = trimesh.creation.icosphere(0)
    v, f = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    f = {"closed": f, "open": f[7:], "against each other": np.where(f[:, :1] < 4, f, f[:, ::-1])}[name]
    vertices = placed(v, 1).requires_grad_()
    K = camera(8, 8, 9.0).requires_grad_()
    run = lambda vertices, K: coverage(vertices, torch.as_tensor(f), K, (8, 8), backend="torch")  # noqa: E731
    assert torch.autograd.gradcheck(run, (vertices, K), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("faces", [[[0, 1, 2], [0, 2, 3]], [[0, 1, 2], [2, 0, 3]]], ids=["alike", "against each other"])
def test_half_pixel_of_a_square(backend, faces):  # noqa: F811
    points = torch.tensor([[[3.5, 2.25, 1], [8, 2.25, 1], [8, 6, 1], [3.5, 6, 1]]], dtype=torch.float64)
    K = torch.eye(3, dtype=torch.float64)[None]
    image = coverage(points, torch.tensor(faces), K, (10, 12), backend=backend)[0]
    assert image.sum().item() == pytest.approx(4.5 * 3.75, abs=0.02)
    assert torch.allclose(image[3:6, 3], torch.tensor(0.5).double())
    assert torch.allclose(image[3:6, 4:8], torch.ones(1).double())
    assert not image[:2].any()
    assert not image[6:].any()
    assert not image[:, 8:].any()


def test_moving_the_mesh_moves_its_area():
    """The gradient along a growing of the mesh is the change of the area, for every variant of the mesh."""
    for v, f in variants().values():
        points = on_screen(v * 0.3, 2, 64)
        alpha, saved = forward(points, Topology(f), 64, 64)
        outwards = points[..., :2] - 32
        found = (backward(saved, np.ones_like(alpha)) * outwards).sum((1, 2))
        step = np.concatenate([outwards, np.zeros_like(outwards[..., :1])], -1) * np.float32(1e-2)
        change = supersampled(points + step, f, 64) - supersampled(points - step, f, 64)
        assert np.allclose(found, change.sum((1, 2)) / 2e-2, rtol=0.03)


def test_roads_agree_on_a_closed_mesh():
    v, f = bumpy_sphere()
    points = on_screen(v * 0.3, 4, 64)
    topology = Topology(f)
    assert topology.closed
    closed = forward(points, topology, 64, 64)[0]
    topology.closed = False
    assert np.abs(closed - forward(points, topology, 64, 64)[0]).mean() < 1e-3


def test_bars_thinner_than_a_pixel():
    """Upright and slanted bars 0.3 px wide, closed and open, keep their area."""
    for slant in (0.0, 7.0, 40.0):
        corners = np.float32([[20, 10, 1], [20.3, 10, 1], [20.3 + slant, 54, 1], [20 + slant, 54, 1]])
        for faces in ([[0, 1, 2], [0, 2, 3]], [[0, 1, 2], [0, 3, 2]]):
            alpha = forward(corners[None], Topology(np.array(faces)), 64, 64)[0]
            assert alpha.sum() == pytest.approx(0.3 * 44, rel=0.03)


def test_topology():
    v, f = bumpy_sphere(1)
    soup = np.arange(3 * len(f)).reshape(-1, 3)
    assert Topology(f).closed
    assert not Topology(f[1:]).closed
    assert not Topology(soup).closed
    assert Topology(soup, v[f].reshape(-1, 3)).closed
    assert not Topology(np.concatenate([f[1:], f[:1, ::-1]])).closed
    assert len(Topology(np.zeros((0, 3), int)).edges) == 0
    with pytest.raises(ValueError, match="negative"):
        Topology(np.array([[0, 1, -1]]))
    with pytest.raises(ValueError, match="outside"):
        forward(np.zeros((1, 3, 3), np.float32), Topology(np.array([[0, 1, 3]])), 4, 4)


def test_topology_is_found_once_and_follows_the_faces():
    array = np.array([[0, 1, 2]])
    faces = torch.from_numpy(array)
    (first,) = find_topologies(faces)
    assert find_topologies(faces.clone())[0] is first
    array[0, 0] = 3  # behind the tensor's back
    (second,) = find_topologies(faces)
    assert second.vertices_needed == 4
    assert find_topologies(torch.tensor([[[0, 1, 2], [-1, -1, -1]], [[3, 1, 2], [-1, -1, -1]]])) == [first, second]


def test_fuzz():
    points = nasty_points(100_000)
    topology = Topology(np.arange(points.shape[1]).reshape(-1, 3))
    alpha, saved = forward(points, topology, 32, 32)
    assert np.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert np.isfinite(backward(saved, np.ones_like(alpha))).all()
    few = torch.as_tensor(points[:, :1500]).requires_grad_()
    image = coverage_torch(few, [Topology(np.arange(1500).reshape(-1, 3))], 32, 32)
    image.sum().backward()
    assert torch.isfinite(image).all()
    assert torch.isfinite(few.grad).all()


def test_works_in_a_forked_child():
    v, f = variants()["open"]
    points = on_screen(v * 0.3, 4, 32)
    assert same_in_forked_child(lambda: forward(points, Topology(f), 32, 32)[0])


def test_silhouette_is_coverage():
    v, f = bumpy_sphere(1)
    job = (placed(v), torch.as_tensor(f), camera(), (24, 32))
    assert torch.equal(silhouette(*job), coverage(*job))


def test_real_meshes_against_supersampling(shared):
    """Open, doubled and inconsistently wound meshes are as right as closed ones (0.0005)."""
    root = shared / "data" / "models"
    models = [m for m in json.loads((root / "manifest.json").read_text())["models"] if m["faces"] < 6000]
    errors = []
    for model in models[:: len(models) // 12]:
        mesh = trimesh.load(root / model["file"], force="mesh", process=False)
        points, faces = on_screen(np.asarray(mesh.vertices), 2, 64), np.asarray(mesh.faces)
        alpha, _ = forward(points, Topology(faces), 64, 64)
        errors.append(np.abs(alpha - supersampled(points, faces, 64)).mean())
    assert np.mean(errors) < 0.0008
    assert np.max(errors) < 0.004
