"""Z-buffer: watertight, equal to its twin, to PyTorch3D and to embree's rays; depth and barycentrics with gradients."""

import numpy as np
import pytest
import torch
import trimesh

from monoform.meshes import Mesh, box, icosphere, pad
from monoform.projection import kernels
from monoform.projection.hard_raster import find_faces_torch, hard_raster
from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import rasterise
from projection_cases import (
    SIZE,
    backend,  # noqa: F401 (a fixture)
    bumpy_sphere,
    camera,
    inside_triangle,
    nasty_points,
    placed,
    relative,
    same_in_forked_child,
    triangle,
    variants,
)


def test_single_triangle(backend):  # noqa: F811
    vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
    found = hard_raster(vertices, faces, camera(), SIZE, backend=backend)
    hit = inside_triangle(vertices[0], camera(), *SIZE, 1)[:, 0, :, 0]
    assert np.array_equal(found.face_id[0].numpy() == 0, hit)
    assert torch.isinf(found.depth[0][~hit]).all()
    assert not found.barycentric[0][~hit].any()
    seen = found.barycentric[0][hit] @ vertices[0]
    image = seen @ camera()[0].T
    rows, columns = np.nonzero(hit)
    assert np.allclose(image[:, :2] / image[:, 2:], np.stack([columns, rows], 1) + 0.5, atol=1e-4)
    assert torch.allclose(seen[:, 2], found.depth[0][hit], atol=1e-5)


def test_nothing_to_see(backend):  # noqa: F811
    vertices, faces = triangle((-0.3, -0.2, -1.0), (0.3, -0.1, -1.3), (0.0, 0.3, -0.9))
    for points in (vertices, vertices * torch.tensor([1.0, 1.0, -1.0]) + torch.tensor([9.0, 0, 0])):
        assert (hard_raster(points, faces, camera(), SIZE, backend=backend).face_id == -1).all()
    assert (hard_raster(vertices, faces[:0], camera(), SIZE, backend=backend).face_id == -1).all()


@pytest.mark.parametrize("name", variants())
def test_kernel_equals_twin(name):
    v, f = variants()[name]
    vertices, faces = placed(v), torch.as_tensor(f)
    kernel = hard_raster(vertices, faces, camera(), SIZE, backend="numba")
    twin = hard_raster(vertices, faces, camera(), SIZE, backend="torch")
    assert torch.equal(kernel.face_id < 0, twin.face_id < 0)
    same = kernel.face_id == twin.face_id
    assert same.float().mean() > (0.9 if name == "doubled" else 0.999)
    assert torch.allclose(kernel.depth, twin.depth, atol=1e-5)
    assert torch.allclose(kernel.barycentric[same], twin.barycentric[same], atol=1e-4)


def test_kernel_itself_gives_depth_and_barycentrics():
    v, f = bumpy_sphere()
    vertices = placed(v)
    image = vertices @ camera()[0].T
    points = torch.cat([image[..., :2] / image[..., 2:], vertices[..., 2:]], -1).numpy()
    face_id, depth, barycentric = rasterise(points, f, *SIZE)
    found = hard_raster(vertices, torch.as_tensor(f), camera(), SIZE)
    assert np.array_equal(face_id, found.face_id)
    assert np.allclose(depth, found.depth, atol=1e-4)
    assert np.allclose(barycentric, found.barycentric, atol=1e-3)


def test_depth_and_barycentric_gradients():
    vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
    K = camera(6, 8, 9.0)
    seen = hard_raster(vertices, faces, K, (6, 8)).face_id >= 0

    def run(vertices, K):
        found = hard_raster(vertices, faces, K, (6, 8))
        return found.depth[seen], found.barycentric[seen]

    assert seen.any()
    assert torch.autograd.gradcheck(run, (vertices.requires_grad_(), K.requires_grad_()))


def test_faces_that_share_edges_leave_no_crack_and_no_double():
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(np.arange(9.0), np.arange(9.0)), -1)
    grid[1:-1, 1:-1] += rng.uniform(-0.4, 0.4, (7, 7, 2))
    grid[3, 1:-1] = np.round(grid[3, 1:-1]) + 0.125  # corners and edges exactly on pixel centres
    points = np.concatenate([grid * 4, np.ones((9, 9, 1))], -1).reshape(1, -1, 3)
    corner = np.arange(81).reshape(9, 9)
    a, b, c, d = (x.ravel() for x in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, d, c], 1)])
    hits = sum((rasterise(points, face[None], 32, 32)[0] == 0).astype(int) for face in faces)
    assert (hits == 1).all()


def test_floor_that_runs_behind_the_camera(backend):  # noqa: F811
    corners = torch.tensor([[[-4.0, 1.0, -5.0], [4.0, 1.0, -5.0], [4.0, 1.0, 10.0], [-4.0, 1.0, 10.0]]]).double()
    corners.requires_grad_()
    found = hard_raster(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), camera(), SIZE, backend=backend)
    hit = found.face_id >= 0
    rows = hit.nonzero()[:, 1]
    assert hit[0, -1].all()
    assert not hit[0, : SIZE[0] // 2].any()
    assert torch.allclose(found.depth[hit], 30 / (rows + 0.5 - SIZE[0] / 2).double(), rtol=1e-4)
    found.depth[hit].sum().backward()
    assert torch.isfinite(corners.grad).all()


def test_batches_broadcast(backend):  # noqa: F811
    v, f = bumpy_sphere(1)
    vertices, faces = placed(v), torch.as_tensor(f)
    K = torch.cat([camera(focal=focal) for focal in (20.0, 30.0, 50.0)])
    many = hard_raster(vertices[:1], faces, K, SIZE, backend=backend).face_id
    single = [hard_raster(vertices[:1], faces, K[i : i + 1], SIZE, backend=backend).face_id for i in range(3)]
    assert torch.equal(many, torch.cat(single))
    assert hard_raster(vertices, faces, K[:1], SIZE, backend=backend).face_id.shape == (3, *SIZE)


def test_meshes_of_a_batch_may_differ(backend):  # noqa: F811
    meshes = [icosphere(1), box((0.8, 1.0, 0.5)), Mesh(icosphere(1).vertices, np.zeros((0, 3), int))]
    vertices, faces = (torch.tensor(x) for x in pad(meshes))
    vertices = vertices + torch.tensor([0, 0, 3.5])
    vertices[1, :, 2] -= 3.4  # reaches behind the camera
    found = hard_raster(vertices, faces, camera(), SIZE, backend=backend)
    for i, mesh in enumerate(meshes):
        own = vertices[i : i + 1, : len(mesh.vertices)]
        alone = hard_raster(own, torch.tensor(mesh.faces), camera(), SIZE, backend=backend)
        assert torch.equal(found.face_id[i], alone.face_id[0])
        assert torch.allclose(found.depth[i], alone.depth[0])
        assert torch.allclose(found.barycentric[i], alone.barycentric[0], atol=1e-5)
    assert (found.face_id[:2] >= 0).any()


def test_wrong_meshes_of_a_batch_are_refused():
    points = np.ones((3, 4, 3), np.float32)
    for faces, words in (
        (np.zeros((2, 1, 3), int), "2 meshes for 3 images"),
        (np.array([[[0, 1, -1]]]), "-1 beside vertices"),
        (np.array([[0, 1, -1]]), "outside"),
        (np.array([[[0, 1, 4]]]), "outside"),
    ):
        with pytest.raises(ValueError, match=words):
            rasterise(points, faces, 8, 8)


def test_threads_do_not_change_a_bit():
    points = nasty_points(400)
    faces = np.arange(points.shape[1]).reshape(-1, 3)
    for batch in (1, 5):
        results = []
        for count in (1, 2, 3):
            threads.set_threads(count)
            results.append(rasterise(np.repeat(points, batch, 0), faces, 33, 40))
        threads.set_threads(0)
        assert all(np.array_equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))


def test_works_in_a_forked_child():
    points = nasty_points(400)
    assert same_in_forked_child(lambda: rasterise(points, np.arange(points.shape[1]).reshape(-1, 3), 32, 32)[1])


def test_threads_pass_errors_on():
    def fail():
        raise ArithmeticError("broken")

    threads.set_threads(2)
    with pytest.raises(ArithmeticError, match="broken"):
        threads.run([lambda: 1, fail])
    assert threads.run([lambda: 1, lambda: 2]) == [1, 2]
    threads.set_threads(0)
    with pytest.raises(ValueError, match="threads"):
        threads.set_threads(-1)


def test_compiled_code_is_forgotten_when_a_source_changes(tmp_path):
    cached = tmp_path / "__pycache__" / "a.nbc"
    cached.parent.mkdir()
    (tmp_path / "a.py").write_text("1")
    kernels._forget_stale_cache(tmp_path)
    cached.write_text("compiled")
    kernels._forget_stale_cache(tmp_path)
    assert cached.exists()
    (tmp_path / "b.py").write_text("2")
    kernels._forget_stale_cache(tmp_path)
    assert not cached.exists()


def test_fuzz():
    points = nasty_points(100_000)
    face_id, depth, barycentric = rasterise(points, np.arange(points.shape[1]).reshape(-1, 3), 32, 32)
    assert np.isfinite(depth[face_id >= 0]).all()
    assert np.isfinite(barycentric).all()
    assert np.allclose(barycentric[face_id >= 0].sum(-1), 1, atol=1e-5)
    few = torch.as_tensor(points[:, :1500])
    assert (find_faces_torch(few, torch.arange(1500).reshape(-1, 3), 16, 16) < 500).all()


@pytest.mark.parametrize("name", ["bumpy_sphere", "aeroplane_open_mesh", "car_open_mesh", "chair_open_mesh"])
def test_equals_pytorch3d(shared, backend, name):  # noqa: F811
    reference = np.load(shared / "fixtures" / "pytorch3d" / f"{name}.npz")
    views = 1 if backend == "torch" else 3  # the twin takes its time
    R, t = reference["R_model_to_camera_opencv"][:views], reference["t_model_to_camera"][:views]
    vertices = torch.as_tensor(np.einsum("bij,vj->bvi", R, reference["vertices"]) + t[:, None])
    K = torch.as_tensor(reference["K"])[None]
    found = hard_raster(vertices, torch.as_tensor(reference["faces"]), K, (64, 64), backend=backend)
    same = found.face_id.numpy() == reference["face_id"][:views]
    assert (~same).sum() <= 3
    seen = same & (reference["face_id"][:views] >= 0)
    assert relative(found.depth[seen], torch.as_tensor(reference["depth"][:views][seen])) <= 1e-5
    assert np.allclose(found.barycentric[seen], reference["bary"][:views][seen], atol=1e-3)


def test_sees_the_faces_that_embree_sees():
    v, f = bumpy_sphere(3)
    vertices = placed(v, 1)[0].numpy()
    rows, columns = np.mgrid[:64, :64].reshape(2, -1)
    rays = np.stack([(columns + 0.5 - 32) / 60, (rows + 0.5 - 32) / 60, np.ones(4096)], 1)
    mesh = trimesh.Trimesh(vertices, f, process=False)
    expected = mesh.ray.intersects_first(np.zeros((4096, 3)), rays)
    found = hard_raster(torch.as_tensor(vertices)[None], torch.as_tensor(f), camera(64, 64, 60.0), (64, 64)).face_id
    assert (found.numpy().ravel() != expected).sum() <= 1
