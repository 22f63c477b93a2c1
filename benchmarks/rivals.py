"""What else draws the silhouette of this mesh, and in what time? A part of `projection.py`, also by itself:

    python benchmarks/rivals.py

- PyTorch: coverage's own portable twin, interleaved with the kernel.
- Mitsuba 3: a path tracer of the emitting mesh, the same camera, its vertices set anew for every image; `spp` random samples
  a pixel where coverage is exact. f+b: its projective integrator, which needs LLVM (DRJIT_LIBLLVM_PATH names another library
  than the system's); without it the scalar variant, forward only.
- PyTorch3D, where it is installed: 50 faces a pixel, the same sigma and blur as `soft_raster`, 1,280 faces.
- nvdiffrast draws on CUDA only and is left out.

The error of a rival's image is its mean difference to ours; that of a gradient, of one image, is relative to ours.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from importlib.util import find_spec

import numpy as np
import torch
from projection_scenes import HALF_VIEW_DEG, Case, beside_torch, bumpy_sphere, camera, measure, mesh_case, timed

MITSUBA_VARIANTS = ("llvm_ad_rgb", "scalar_rgb")
SAMPLES = (1, 16)


def compare(seconds: float, quick: bool) -> list[dict]:
    """Rows of name, version, what, and either times or why not run."""
    return [*portable(seconds, quick), *mitsuba(seconds, quick), *pytorch3d(seconds, quick)]


def portable(seconds: float, quick: bool) -> list[dict]:
    rows = []
    count = torch.get_num_threads()
    for faces in (1280,) if quick else (1280, 5120, 20480):
        for size, batch in ((64, 1), (64, 8), (256, 1), (256, 8)):
            kernel, twin = (mesh_case("coverage", faces, size, batch, backend=backend) for backend in (None, "torch"))
            found = beside_torch(kernel.forward_backward, twin.forward_backward, seconds, count)
            times = {"ours": found["kernel"], "rival": found["torch"]}
            rows.append(_row("PyTorch", "torch", "coverage f+b", faces, size, batch, times))
    return rows


def _row(name: str, package: str, what: str, faces: int, size: int, batch: int, times: dict[str, dict]) -> dict:
    ours, rival = times["ours"]["ms"], times["rival"]["ms"]
    where = {"faces": faces, "size": size, "batch": batch, "times_faster": round(rival / ours, 1)}
    return {"name": name, "version": metadata.version(package), "what": what, "ms": rival, "ours_ms": ours} | where


def mitsuba(seconds: float, quick: bool) -> list[dict]:
    """In a process of its own, as LLVM ends the whole process where it is too old."""
    if not find_spec("mitsuba"):
        return [{"name": "Mitsuba 3", "why_not": "not installed"}]
    sizes = "64" if quick else "64,256"
    failed = []
    for variant in MITSUBA_VARIANTS:
        command = [sys.executable, __file__, "--mitsuba", variant, sizes, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode == 0:
            return json.loads(done.stdout.splitlines()[-1]) + failed
        words = next((line for line in done.stderr.splitlines() if "rror" in line), f"exit {done.returncode}")
        failed.append({"name": "Mitsuba 3", "what": variant, "why_not": f"does not run here: {words[:60]}"})
    return failed


def mitsuba_rows(variant: str, sizes: list[int], seconds: float) -> list[dict]:
    import mitsuba as mi

    mi.set_variant(variant)
    mi.set_log_level(mi.LogLevel.Error)
    torch.set_num_threads(1)
    rows = []
    for size in sizes:
        ours = mesh_case("coverage", 1280, size, 1)
        image, (gradient,) = ours.forward_backward()
        for samples in SAMPLES:
            draw, draw_back = _mitsuba_runs(mi, size, samples, ours)
            times = {"ours": measure(ours.forward, seconds), "rival": measure(draw, seconds)}
            row = _row("Mitsuba 3", "mitsuba", f"forward, {samples} spp, {variant}", 1280, size, 1, times)
            rows.append(row | {"error": float(np.abs(draw() - image[0].numpy()).mean())})
            if "_ad_" not in variant:
                continue
            times = {"ours": measure(ours.forward_backward, seconds), "rival": measure(draw_back, seconds)}
            row = _row("Mitsuba 3", "mitsuba", f"f+b, {samples} spp, {variant}", 1280, size, 1, times)
            found = torch.from_numpy(draw_back())
            rows.append(row | {"gradient_error": float((found - gradient.reshape(-1)).norm() / gradient.norm())})
    return rows


def _mitsuba_runs(mi, size: int, samples: int, ours: Case) -> tuple[Callable, Callable]:
    """Forward, giving the image, and f+b, giving the gradient; every run sets the vertices and draws other samples."""
    vertices, faces = ours.leaves[0][0].numpy(), bumpy_sphere(1280)[1]
    mesh = mi.Mesh("mesh", len(vertices), len(faces), props=_black_light(mi))
    params = mi.traverse(mesh)
    flat = np.ascontiguousarray(vertices).ravel()
    params["vertex_positions"], params["faces"] = flat, faces.astype(np.uint32).ravel()
    params.update()
    look = mi.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, 1], up=[0, -1, 0])
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}}
    film |= {"pixel_format": "luminance", "component_format": "float32"}
    sensor = {"type": "perspective", "fov": 2.0 * HALF_VIEW_DEG, "to_world": look, "film": film}
    sensor |= {"near_clip": 0.01, "far_clip": 100.0, "sampler": {"type": "independent", "sample_count": samples}}
    scene = mi.load_dict({"type": "scene", "sensor": sensor, "mesh": mesh})
    params = mi.traverse(scene)
    seeds = iter(range(1 << 30))
    forward = mi.load_dict({"type": "path", "max_depth": 1})
    if "_ad_" in mi.variant():
        projective = mi.load_dict({"type": "direct_projective", "sppc": samples, "sppp": samples, "sppi": 0})

    def draw() -> np.ndarray:
        params["mesh.vertex_positions"] = flat
        params.update()
        return np.array(mi.render(scene, integrator=forward, spp=samples, seed=next(seeds)))[..., 0]

    def draw_back() -> np.ndarray:
        import drjit as dr

        positions = mi.Float(flat)
        dr.enable_grad(positions)
        params["mesh.vertex_positions"] = positions
        params.update()
        image = mi.render(scene, params, integrator=projective, seed=next(seeds))
        dr.backward(dr.sum(image * mi.TensorXf(ours.weight[0, ..., None].numpy()), axis=None))
        return np.array(dr.grad(positions))

    return draw, draw_back


def _black_light(mi):
    """A surface that sends out 1 everywhere and reflects nothing: the image is the silhouette."""
    props = mi.Properties()
    props["emitter"] = mi.load_dict({"type": "area", "radiance": {"type": "rgb", "value": 1.0}})
    props["bsdf"] = mi.load_dict({"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.0}})
    return props


def pytorch3d(seconds: float, quick: bool) -> list[dict]:
    if not find_spec("pytorch3d"):
        return [{"name": "PyTorch3D", "why_not": "not installed: it has no wheel; see the relation to the C reference"}]
    rows = []
    for size, batch in ((64, 1),) if quick else ((64, 1), (64, 8), (128, 1), (256, 1)):
        rival = _pytorch3d_case(size, batch)
        image = rival.forward()
        for name, what in (("hard", "forward"), ("soft", "f+b"), ("coverage", "f+b")):
            ours = mesh_case(name, 1280, size, batch)
            run, run_rival = (c.forward if what == "forward" else c.forward_backward for c in (ours, rival))
            times = {"ours": measure(run, seconds), "rival": {"ms": timed(run_rival)}}  # minutes: once
            row = _row("PyTorch3D", "pytorch3d", f"{name} {what}", 1280, size, batch, times)
            rows.append(row | ({"error": float((image - ours.forward()).abs().mean())} if name != "hard" else {}))
    return rows


def _pytorch3d_case(size: int, batch: int) -> Case:
    from pytorch3d.renderer import (  # pyright: ignore[reportMissingImports]
        BlendParams,
        MeshRasterizer,
        PerspectiveCameras,
        RasterizationSettings,
        SoftSilhouetteShader,
    )
    from pytorch3d.structures import Meshes  # pyright: ignore[reportMissingImports]

    ours, K = mesh_case("soft", 1280, size, batch), camera(size)
    cameras = PerspectiveCameras(K[:, [0, 1], [0, 1]], K[:, :2, 2], image_size=[(size, size)], in_ndc=False)
    blur = math.log(1 / 1e-4 - 1) * 1e-4
    settings = RasterizationSettings(
        image_size=size, blur_radius=blur, faces_per_pixel=50, perspective_correct=False, bin_size=None
    )
    rasterizer, shader = MeshRasterizer(cameras, settings), SoftSilhouetteShader(BlendParams(sigma=1e-4))
    faces = torch.as_tensor(bumpy_sphere(1280)[1]).long().expand(batch, -1, -1)
    turn = torch.tensor([-1.0, -1.0, 1.0])  # its camera has x to the left and y up

    def draw(vertices: torch.Tensor) -> torch.Tensor:
        meshes = Meshes(vertices * turn, faces)
        return shader(rasterizer(meshes), meshes)[..., 3]

    return Case(draw, ours.leaves, ours.weight)


def main() -> None:
    if sys.argv[1:2] == ["--mitsuba"]:
        print(json.dumps(mitsuba_rows(sys.argv[2], [int(size) for size in sys.argv[3].split(",")], float(sys.argv[4]))))
        sys.stdout.flush()
        os._exit(0)  # drjit's own end complains of what it still holds
    for row in compare(0.5, quick=True):
        print(json.dumps(row))


if __name__ == "__main__":
    main()
