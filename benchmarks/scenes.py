"""Photos with a known answer: a real mesh under a hidden pose, lit by this file's own light, over a photo background.

Nothing here is shared with the code under test except the z-buffer; the light, the colours and the masks are its own.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial.transform import Rotation

from monoform.files.meshes import load_mesh
from monoform.meshes import Mesh
from monoform.projection.kernels import hard

SHARED = Path(__file__).resolve().parents[2] / "shared"
MESHES = json.loads((Path(__file__).parent / "align_meshes.json").read_text())
"""{'benchmark': [[category, file], ...60], 'development': [...60, other groups]}."""
WIDTH, HEIGHT, FOCAL = 960, 720, 900.0
K = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])


@dataclass(frozen=True, eq=False)
class Scene:
    """A rendered photo and what was hidden in it."""

    image: np.ndarray
    mask: np.ndarray
    R: np.ndarray
    t: np.ndarray
    name: str
    category: str


def mesh_path(file: str) -> Path:
    return SHARED / "data" / "models" / file


def upright_pose(rng: np.random.Generator) -> np.ndarray:
    """Rotation of an object that stands on the floor: any azimuth, elevation -5..45, tilt +-8 degrees."""
    azimuth, elevation, tilt = rng.uniform(0, 360), rng.uniform(-5, 45), rng.uniform(-8, 8)
    # model y up, camera y down: half a turn about x, then raise the camera by the elevation
    return Rotation.from_euler("ZXY", [tilt, elevation + 180, azimuth], degrees=True).as_matrix()


def place(mesh: Mesh, R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Translation at 1.5-3 box diagonals, the object wholly inside the picture wherever it fits."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    diagonal = np.linalg.norm(high - low)
    depth = diagonal * rng.uniform(1.5, 3.0)
    best = None
    for _ in range(200):
        u, v = rng.uniform(0.2, 0.8) * WIDTH, rng.uniform(0.2, 0.8) * HEIGHT
        centre = np.array([(u - K[0, 2]) / FOCAL, (v - K[1, 2]) / FOCAL, 1.0]) * depth
        t = centre - R @ ((low + high) / 2)
        x = mesh.vertices @ R.T + t
        p = x[:, :2] / x[:, 2:] * FOCAL + K[:2, 2]
        outside = max(-p.min(), (p - [WIDTH, HEIGHT]).max()) + 8
        if best is None or outside < best[0]:
            best = (outside, t)
        if outside <= 0:
            break
    return best[1]


def shade(mesh: Mesh, R: np.ndarray, t: np.ndarray, background: np.ndarray, rng: np.random.Generator):
    """Photo (h, w, 3) uint8 and its antialiased mask (h, w): Lambert and Blinn light, 2x2 supersampled, noise."""
    twice = 2 * np.array([WIDTH, HEIGHT])
    x = mesh.vertices @ R.T + t
    points = np.column_stack([x[:, :2] / x[:, 2:] * FOCAL * 2 + K[:2, 2] * 2, x[:, 2]]).astype(np.float32)
    face_id, _, bary = hard.rasterise(points[None], mesh.faces, int(twice[1]), int(twice[0]))
    hit = face_id[0] >= 0
    corner = mesh.faces[face_id[0][hit]]
    colours = np.full((len(x), 3), 170, np.uint8) if mesh.colours is None else mesh.colours
    albedo = np.einsum("nk,nkc->nc", bary[0][hit], (colours[corner] / 255.0) ** 2.2)
    a, b, c = x[corner[:, 0]], x[corner[:, 1]], x[corner[:, 2]]
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    normal *= np.where((normal * a).sum(1) > 0, -1.0, 1.0)[:, None]  # two-sided: towards the camera
    view = -a / np.linalg.norm(a, axis=1, keepdims=True)
    light = np.full((len(a), 3), rng.uniform(0.15, 0.4))
    gloss = np.zeros((len(a), 3))
    for strength in (rng.uniform(0.5, 0.9), rng.uniform(0.1, 0.4)):
        direction = np.array([rng.normal(), -abs(rng.normal()) - 0.3, rng.normal() - 0.7])  # from above, often in front
        direction /= np.linalg.norm(direction)
        half = view + direction
        half /= np.linalg.norm(half, axis=1, keepdims=True) + 1e-12
        tint = strength * rng.uniform(0.85, 1.0, 3)
        light += np.clip(normal @ direction, 0, None)[:, None] * tint
        gloss += (np.clip((normal * half).sum(1), 0, 1) ** 30)[:, None] * 0.25 * tint
    radiance = np.clip(albedo * light + gloss, 0, 1)
    canvas = (np.asarray(Image.fromarray(background).resize(tuple(twice), Image.Resampling.BICUBIC)) / 255.0) ** 2.2
    canvas = canvas.copy()
    canvas[hit] = radiance
    halves = canvas.reshape(HEIGHT, 2, WIDTH, 2, 3).mean((1, 3))
    image = halves ** (1 / 2.2) * 255 + rng.normal(0, 2.5, halves.shape)
    mask = hit.reshape(HEIGHT, 2, WIDTH, 2).mean((1, 3))
    return np.clip(image, 0, 255).astype(np.uint8), mask.astype(np.float32)


def backgrounds() -> list[Path]:
    return sorted((SHARED / "data" / "backgrounds" / "crops").glob("*.jpg"))


def scene(category: str, file: str, *, upright: bool, seed: int) -> tuple[Scene, Mesh]:
    """The scene of one mesh; the seed and the mesh's name decide everything."""
    mesh = load_mesh(mesh_path(file))
    rng = np.random.default_rng([seed, *file.encode()])
    R = upright_pose(rng) if upright else Rotation.random(rng=rng).as_matrix()
    t = place(mesh, R, rng)
    files = backgrounds()
    background = np.asarray(Image.open(files[rng.integers(len(files))]).convert("RGB"))
    image, mask = shade(mesh, R, t, background, rng)
    return Scene(image, mask, R, t, Path(file).stem, category), mesh


def degrade(
    found: Scene, seed: int, *, occluder: str = "ellipse", noise_px: float = 5.0, occluded: float = 0.2
) -> Scene:
    """The same scene behind an occluder that hides a fifth of the object, its mask's outline off by up to 5 px.

    The outline is moved by a smooth random field, uniform over +-noise_px, correlation length 8 px. The occluder is an
    ellipse (axes 1 : 1.5, random angle) about a random point of the object, grown until it hides that share, or the
    half plane beyond a straight 'edge' at a random angle; its texture is another piece of the photo.
    """
    rng = np.random.default_rng([seed, *found.name.encode(), 7])
    inside = found.mask > 0.5
    ys, xs = np.nonzero(inside)
    centre, angle = rng.integers(len(ys)), rng.uniform(0, np.pi)
    dx, dy = np.arange(WIDTH)[None] - xs[centre], np.arange(HEIGHT)[:, None] - ys[centre]
    along, across = np.cos(angle) * dx + np.sin(angle) * dy, -np.sin(angle) * dx + np.cos(angle) * dy
    reach = np.hypot(along / 1.5, across) if occluder == "ellipse" else along
    hidden = reach <= np.quantile(reach[ys, xs], occluded)
    near = ndimage.binary_dilation(inside, iterations=25)
    image = found.image.copy()
    patch = np.roll(found.image, (HEIGHT // 2, WIDTH // 2), (0, 1))
    image[hidden & near] = patch[hidden & near]
    field = ndimage.gaussian_filter(rng.normal(size=inside.shape), 8)
    field = noise_px * (2 * field.argsort(axis=None).argsort().reshape(field.shape) / field.size - 1)
    kept = inside & ~hidden
    signed = ndimage.distance_transform_edt(kept) - ndimage.distance_transform_edt(~kept)
    mask = (signed + field > 0).astype(np.float32)
    return Scene(image, mask, found.R, found.t, found.name, found.category)
