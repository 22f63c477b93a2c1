"""A sphere becomes a plane: the standard demo of differentiable renderers, with two operators and two recipes.

    python experiments/sphere_fit.py                # all four fits and the pictures, about two minutes on two cores
    python experiments/sphere_fit.py --fits coverage/large-steps     # the best of them alone

Data: SoftRas's own 120 views of one plane (64 px, alpha of a renderer with antialiasing) and the mesh that its demo made of
them. Its meshes are mirrored; here the mirror is undone, the cameras are `cameras.nmr_pose`. Every fit begins at the icosphere
of 642 vertices and sees all views in every step. Recipes:

- softras: `examples/demo_deform.py` of SoftRas. Vertices stay in their octant, shifted towards a common centre; iou_loss
  + 0.03 laplacian_loss + 0.0003 flatten_loss; Adam, rate 0.01, betas 0.5 and 0.99. Their mesh has 1,352 vertices and takes
  2,000 steps; here 642 and 1,000.
- large-steps: Nicolet 2021, "Large Steps in Inverse Rendering of Geometry". The unknowns are u = (I + smoothing L) v, and Adam
  scales them by one number; jaccard_loss, which unlike iou_loss asks for the grey of antialiased edges; a little flatten_loss.

Measures. View IoU: the fitted mesh drawn by `coverage` at 64 px, both masks cut at 0.5; `own IoU` draws with the operator
that made the fit. Soft IoU is 1 - iou_loss (the masks reach 0.784 against themselves), Jaccard 1 - jaccard_loss. Chamfer is
to SoftRas's mesh, which is a fit itself: 10,000 points on each, nearest distances (and their squares), the means of both
directions added, in units of its longest side. Pierced: faces that an edge of another face goes through.
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree
from torch import Tensor

from monoform import cameras, losses, meshes, overlays
from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh
from monoform.poses import Pose
from monoform.projection.coverage import coverage
from monoform.projection.soft_raster import soft_raster

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "fixtures" / "softras"
SIDE = 64
LEVEL = 3
SEED = 0
OPERATORS = {"coverage": coverage, "soft_raster": partial(soft_raster, sigma=1e-4)}


@dataclass(frozen=True, eq=False)
class Views:
    """The masks (n, 64, 64) and the cameras that saw them."""

    masks: Tensor
    pose: Pose
    K: Tensor

    def draw(self, operator: Callable[..., Tensor], vertices: Tensor, faces: Tensor) -> Tensor:
        """The mesh (v, 3) as all cameras see it, (n, 64, 64)."""
        return operator(self.pose.apply(vertices), faces, self.K, (SIDE, SIDE))


def load_views(every: int) -> Views:
    masks = torch.from_numpy(np.load(DATA / "source.npy")[::every, 3].astype(np.float32) / 255)
    distance, elevation, azimuth = torch.from_numpy(np.load(DATA / "camera.npy")[::every].astype(np.float32)).T
    pose = cameras.nmr_pose(torch.deg2rad(azimuth), torch.deg2rad(elevation), distance)
    return Views(masks, pose, cameras.nmr_pinhole(SIDE).K[None])


def load_softras_mesh() -> Mesh:
    theirs = load_mesh(DATA / "plane.obj")
    return to_mesh(*cameras.mirror_nmr_mesh(torch.from_numpy(theirs.vertices), torch.from_numpy(theirs.faces)))


def to_mesh(vertices: Tensor, faces: Tensor) -> Mesh:
    return Mesh(vertices.detach().numpy(), faces.numpy())


def sphere(radius: float) -> tuple[Tensor, Tensor]:
    mesh = meshes.icosphere(LEVEL, radius)
    return torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces)


# --- SoftRas's recipe --------------------------------------------------------------------------------------------


def fit_softras(views: Views, operator: Callable[..., Tensor], share: float) -> tuple[Tensor, Tensor, int]:
    """Vertices, faces and the number of steps; `share` of the full number is done."""
    start, faces = sphere(radius=0.5)
    shift = torch.zeros_like(start, requires_grad=True)
    centre = torch.zeros(3, requires_grad=True)
    adam = torch.optim.Adam([shift, centre], lr=0.01, betas=(0.5, 0.99))
    steps = math.ceil(1000 * share)
    for _ in range(steps):
        vertices = stay_in_octant(start, shift, centre)
        loss = losses.iou_loss(views.draw(operator, vertices, faces), views.masks)
        loss = loss + 0.03 * losses.laplacian_loss(vertices[None], faces)
        loss = loss + 0.0003 * losses.flatten_loss(vertices[None], faces)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return stay_in_octant(start, shift, centre).detach(), faces, steps


def stay_in_octant(start: Tensor, shift: Tensor, centre: Tensor) -> Tensor:
    """Every coordinate keeps its side of the centre and stays in [-1, 1], whatever the shift."""
    size = torch.sigmoid(torch.logit(start.abs(), eps=1e-12) + shift)
    centre = torch.tanh(centre)
    return torch.where(start > 0, size * (1 - centre), -size * (1 + centre)) + centre


# --- large steps -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Phase:
    """Steps with one smoothness; the rate falls evenly, by its logarithm, from the first to the last step."""

    steps: int
    rates: tuple[float, float]
    smoothing: float
    flatten: float


PHASES = (Phase(350, (0.03, 0.03), 12.0, 3e-5), Phase(350, (0.03, 0.003), 6.0, 1e-5))


def fit_large_steps(views: Views, operator: Callable[..., Tensor], share: float) -> tuple[Tensor, Tensor, int]:
    """As `fit_softras`."""
    vertices, faces = sphere(radius=0.3)
    laplacian = meshes.laplacian(faces.numpy(), len(vertices)).toarray()
    steps = 0
    for phase in PHASES:
        smoothness = np.eye(len(vertices)) + phase.smoothing * laplacian
        to_vertices = torch.from_numpy(np.linalg.inv(smoothness)).float()
        unknowns = (torch.from_numpy(smoothness).float() @ vertices).requires_grad_()
        adam = UniformAdam(unknowns)
        count = math.ceil(phase.steps * share)
        for rate in np.geomspace(*phase.rates, count):
            vertices = to_vertices @ unknowns
            loss = losses.jaccard_loss(views.draw(operator, vertices, faces), views.masks)
            loss = loss + phase.flatten * losses.flatten_loss(vertices[None], faces)
            (gradient,) = torch.autograd.grad(loss, unknowns)
            adam.step(gradient, rate)
        vertices, steps = (to_vertices @ unknowns).detach(), steps + count
    return vertices, faces, steps


class UniformAdam:
    """Adam with one scale for all unknowns, the largest of its own scales: it keeps the gradient's direction (Nicolet 2021)."""

    def __init__(self, unknowns: Tensor, betas: tuple[float, float] = (0.9, 0.999)):
        self.unknowns, self.betas, self.count = unknowns, betas, 0
        self.mean, self.square = torch.zeros_like(unknowns), torch.zeros_like(unknowns)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: float) -> None:
        self.count += 1
        first, second = self.betas
        self.mean.lerp_(gradient, 1 - first)
        self.square.lerp_(gradient.square(), 1 - second)
        mean = self.mean / (1 - first**self.count)
        scale = (self.square.max() / (1 - second**self.count)).sqrt()
        self.unknowns -= rate * mean / scale.clamp(min=1e-12)


RECIPES = {"softras": fit_softras, "large-steps": fit_large_steps}
FITS = ("soft_raster/softras", "coverage/softras", "soft_raster/large-steps", "coverage/large-steps")


# --- measures ----------------------------------------------------------------------------------------------------


def measure(views: Views, mesh: Mesh, operator: str, softras_mesh: Mesh) -> dict:
    vertices, faces = torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces)
    drawn = views.draw(coverage, vertices, faces)
    ious = binary_iou(drawn, views.masks)
    plain, squared = chamfer(mesh, softras_mesh)
    return {
        "vertices": len(mesh.vertices),
        "faces": len(mesh.faces),
        "view_iou": float(ious.mean()),
        "worst_view_iou": float(ious.min()),
        "own_iou": float(binary_iou(views.draw(OPERATORS[operator], vertices, faces), views.masks).mean()),
        "soft_iou": 1 - float(losses.iou_loss(drawn, views.masks)),
        "jaccard": 1 - float(losses.jaccard_loss(drawn, views.masks)),
        "chamfer": plain,
        "chamfer_squared": squared,
        "pierced_faces": pierced_faces(mesh),
        "watertight": meshes.is_watertight(mesh),
    }


def binary_iou(drawn: Tensor, masks: Tensor) -> Tensor:
    """(n,) of images cut at 0.5."""
    drawn, masks = drawn > 0.5, masks > 0.5
    return (drawn & masks).sum((1, 2)) / (drawn | masks).sum((1, 2))


def chamfer(mesh: Mesh, reference: Mesh, count: int = 10_000) -> tuple[float, float]:
    """Mean distance to the nearest point, and mean squared distance, both directions added, in longest sides of `reference`."""
    rng = np.random.default_rng(SEED)
    a, b = meshes.sample_surface(mesh, count, rng), meshes.sample_surface(reference, count, rng)
    size = float(np.ptp(reference.vertices, axis=0).max())
    there, back = cKDTree(b).query(a)[0] / size, cKDTree(a).query(b)[0] / size
    return float(there.mean() + back.mean()), float(np.square(there).mean() + np.square(back).mean())


def pierced_faces(mesh: Mesh) -> int:
    """Faces with an edge of another face going through their inside."""
    edges, corners = meshes.edges(mesh.faces), mesh.vertices[mesh.faces]
    ends = mesh.vertices[edges]
    near = np.ones((len(edges), len(corners)), bool)
    for axis in range(3):
        near &= ends[:, None, :, axis].min(2) <= corners[None, :, :, axis].max(2)
        near &= ends[:, None, :, axis].max(2) >= corners[None, :, :, axis].min(2)
    edge, face = near.nonzero()
    apart = (edges[edge][:, :, None] != mesh.faces[face][:, None, :]).all((1, 2))
    edge, face = edge[apart], face[apart]
    (a, b, c), (p, q) = corners[face].swapaxes(0, 1), ends[edge].swapaxes(0, 1)
    crosses_plane = side(a, b, c, p) != side(a, b, c, q)
    turns = [side(p, q, *pair) for pair in ((a, b), (b, c), (c, a))]
    within = (turns[0] == turns[1]) & (turns[1] == turns[2])
    return len(np.unique(face[crosses_plane & within]))


def side(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Which side of the planes through a, b and c the points d are on."""
    return np.einsum("ni,ni->n", np.cross(b - a, c - a), d - a) > 0


# --- pictures ----------------------------------------------------------------------------------------------------

WINDOW = 48
"""Pixels of a view, about its centre, that a panel shows: the plane fills them."""
ZOOM = 4


def panels(views: Views, drawn: Tensor, mesh: Mesh, i: int) -> list[np.ndarray]:
    """The data, the fit, both over each other, and the fit shaded, uint8 (h, w, 3)."""
    margin, panel = (SIDE - WINDOW) // 2, WINDOW * ZOOM
    large = np.ones((ZOOM, ZOOM), np.float32)
    mask, fit = (np.kron(x[i, margin:-margin, margin:-margin].numpy(), large) for x in (views.masks, drawn))
    paper = np.broadcast_to(np.array(overlays.PAPER, np.float32), (panel, panel, 3))
    both = overlays.blend(paper, overlays.INK, 0.55 * np.minimum(mask, fit))
    both = overlays.blend(both, overlays.MASK_COLOUR, np.clip(mask - fit, 0, 1))
    both = overlays.blend(both, overlays.MODEL_COLOUR, np.clip(fit - mask, 0, 1))
    K = np.diag([ZOOM, ZOOM, 1.0]) @ (views.K[0].numpy() - [[0, 0, margin], [0, 0, margin], [0, 0, 0]])
    view = overlays.draw(mesh, views.pose.R[i].numpy(), views.pose.t[i].numpy(), K, (panel, panel))
    shaded = overlays.blend(paper, 255 * view.colour, view.alpha)
    white = (overlays.blend(paper, overlays.INK, image) for image in (mask, fit))
    return [overlays.to_bytes(picture) for picture in (*white, both, shaded)]


def draw_pictures(views: Views, mesh: Mesh, folder: Path) -> None:
    """A contact sheet over all elevations and a turntable at 30 degrees; cyan: data alone, orange: fit alone."""
    drawn = views.draw(coverage, torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces))
    shown = np.linspace(0, len(views.masks) - 1, 8).astype(int)
    sheet = np.concatenate([np.concatenate(panels(views, drawn, mesh, i)) for i in shown], 1)
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(folder / "sphere_fit.png", optimize=True)
    ring = range(len(views.masks) * 3 // 5, len(views.masks) * 4 // 5)
    frames = [Image.fromarray(np.concatenate(panels(views, drawn, mesh, i), 1)) for i in ring]
    frames = [frame.quantize(48, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(folder / "sphere_fit.gif", save_all=True, append_images=frames[1:], duration=120, loop=0)


# --- the run -----------------------------------------------------------------------------------------------------


def run(name: str, views: Views, share: float, softras_mesh: Mesh) -> tuple[Mesh, dict]:
    operator, recipe = name.split("/")
    vertices, faces = sphere(0.3)
    views.draw(OPERATORS[operator], vertices.requires_grad_(), faces).sum().backward()  # compiles the kernels
    wall, cpu = time.perf_counter(), time.process_time()
    vertices, faces, steps = RECIPES[recipe](views, OPERATORS[operator], share)
    times = {"steps": steps, "seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    mesh = to_mesh(vertices, faces)
    return mesh, {"fit": name, **times, **measure(views, mesh, operator, softras_mesh)}


HEADER = "fit                      steps seconds  CPU s  view IoU  worst  own IoU  soft IoU  Jaccard  Chamfer  squared  pierced"


def line(row: dict) -> str:
    work = f"{row['steps']:5d} {row['seconds']:7.1f} {row['cpu_seconds']:6.1f}" if "steps" in row else " " * 20
    return (
        f"{row['fit']:24} {work} {row['view_iou']:9.4f} {row['worst_view_iou']:6.3f} {row['own_iou']:8.4f} "
        f"{row['soft_iou']:9.4f} {row['jaccard']:8.4f} {row['chamfer']:8.5f} {row['chamfer_squared']:8.1e} "
        f"{row['pierced_faces']:3d} of {row['faces']}{'' if row['watertight'] else ', open'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fits", nargs="+", choices=FITS, default=list(FITS))
    parser.add_argument("--quick", action="store_true", help="a hundredth of the steps, every sixth view")
    parser.add_argument("--out", type=Path, default=ROOT / "experiments" / "results" / "sphere_fit.json")
    parser.add_argument("--pictures", type=Path, default=ROOT / "docs" / "images", help="of the last fit")
    options = parser.parse_args()
    if not DATA.is_dir():
        print(f"needs SoftRas's views in {DATA}", file=sys.stderr)
        sys.exit(3)
    torch.set_num_threads(1)  # the kernels use all cores; the rest is too small to split
    views, softras_mesh = load_views(6 if options.quick else 1), load_softras_mesh()
    rows = [{"fit": "SoftRas's own mesh", **measure(views, softras_mesh, "soft_raster", softras_mesh)}]
    print(HEADER, line(rows[0]), sep="\n", flush=True)
    for name in options.fits:
        mesh, row = run(name, views, 0.01 if options.quick else 1.0, softras_mesh)
        rows.append(row)
        print(line(row), flush=True)
    draw_pictures(views, mesh, options.pictures)
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    report = {"seed": SEED, "views": len(views.masks), "rows": rows, "machine": machine, "versions": versions}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {options.out}; pictures in {options.pictures}")


if __name__ == "__main__":
    main()
