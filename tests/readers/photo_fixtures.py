"""Writers of tiny photo sets in their original layouts, and an own rasteriser: nothing here is shared with the readers.

The body is three boxes without any symmetry, given by how far they reach to the object's right, up, and forward.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from monoform.errors import InputError
from pictures import one_line

BOXES = (  # lowest and highest corner: right, up, forward
    ((-0.25, 0.0, -0.5), (0.25, 0.2, 0.5)),
    ((-0.05, 0.2, -0.1), (0.25, 0.4, 0.4)),
    ((-0.22, 0.2, -0.48), (-0.12, 0.6, -0.3)),
)
_CORNER_FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def body(right: tuple[int, ...], up: tuple[int, ...], forward: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (24, 3) and faces (36, 3) of the body in a frame in which the object's axes are the given unit vectors."""
    axes = np.array([right, up, forward], np.float64)
    vertices, faces = [], []
    for number, (low, high) in enumerate(BOXES):
        corners = np.array([[(low, high)[i][0], (low, high)[j][1], (low, high)[k][2]]
                            for i in (0, 1) for j in (0, 1) for k in (0, 1)])  # fmt: skip
        vertices.append(corners @ axes)
        for a, b, c, d in _CORNER_FACES:
            faces += [
                [a + 8 * number, b + 8 * number, c + 8 * number],
                [a + 8 * number, c + 8 * number, d + 8 * number],
            ]
    return np.concatenate(vertices), np.array(faces)


def canonical_vertices() -> np.ndarray:
    """The body with y up, front -z, its box centred and of diagonal 1."""
    vertices, _ = body((1, 0, 0), (0, 1, 0), (0, 0, -1))
    low, high = vertices.min(0), vertices.max(0)
    return (vertices - (low + high) / 2) / np.linalg.norm(high - low)


def is_inside_body(points: np.ndarray) -> np.ndarray:
    """(n,) whether canonical points (n, 3) lie in the body."""
    vertices, _ = body((1, 0, 0), (0, 1, 0), (0, 0, -1))
    low, high = vertices.min(0), vertices.max(0)
    x, y, z = (points * np.linalg.norm(high - low) + (low + high) / 2).T
    given = np.stack([x, y, -z], 1)
    return np.any([((given > a) & (given < b)).all(1) for a, b in BOXES], axis=0)


def silhouette(points: np.ndarray, faces: np.ndarray, size_hw: tuple[int, int], first_centre: float) -> np.ndarray:
    """(h, w) bool: pixels whose centre lies in a projected triangle; the first pixel is centred at `first_centre`."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + first_centre
    mask = np.zeros(size_hw, bool)
    for a, b, c in points[faces]:
        sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        mask |= np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)
    return mask


def picture(size_hw: tuple[int, int]) -> np.ndarray:
    """A smooth picture of which every part is different."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] / max(size_hw)
    return np.rint(np.stack([255 * x, 200 * y + 30, 120 + 100 * x * y], -1)).astype(np.uint8)


def save(array: np.ndarray, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def write_text(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(action: Callable[[], object]) -> str:
    """The message of the InputError that the action ends in, after checking its form."""
    with pytest.raises(InputError) as caught:
        action()
    return one_line(caught.value)


# --- PASCAL3D+ and ObjectNet3D -----------------------------------------------------------------------------------


def toolbox_pixels(points: np.ndarray, view: dict[str, float]) -> np.ndarray:
    """(n, 2) MATLAB pixels of CAD points: the camera is put on its sphere, and right and up are found from there."""
    azimuth, elevation, theta = np.deg2rad([view["azimuth"], view["elevation"], view["theta"]])
    across = np.cos(elevation)
    outward = np.array([across * np.sin(azimuth), -across * np.cos(azimuth), np.sin(elevation)])
    right = np.array([np.cos(azimuth), np.sin(azimuth), 0.0])
    up = np.cross(outward, right)
    seen = points - view["distance"] * outward
    x, y = (seen @ axis / -(seen @ outward) * view["focal"] * view["viewport"] for axis in (right, up))
    turned_x = np.cos(theta) * x - np.sin(theta) * y
    turned_y = np.sin(theta) * x + np.cos(theta) * y
    return np.stack([view["px"] + turned_x, view["py"] - turned_y], 1)


def cad_body() -> tuple[np.ndarray, np.ndarray]:
    """The body as the CAD models stand: z up, front -y, so that its right is -x. Off the origin, as they are."""
    vertices, faces = body((-1, 0, 0), (0, 0, 1), (0, -1, 0))
    return vertices + [0.03, -0.02, -0.2], faces


def toolbox_mask(view: dict[str, float], size_hw: tuple[int, int]) -> np.ndarray:
    vertices, faces = cad_body()
    return silhouette(toolbox_pixels(vertices, view), faces, size_hw, 1.0)


def view(azimuth: float, elevation: float, theta: float, distance: float, **changes) -> dict[str, float]:
    """A fine viewpoint of the toolbox."""
    given = {"azimuth": azimuth, "elevation": elevation, "theta": theta, "distance": distance}
    return {**given, "focal": 1.0, "viewport": 3000.0, "px": 117.0, "py": 105.0, **changes}


def struct_array(rows: list[dict]) -> np.ndarray:
    """What savemat writes as a MATLAB struct array; all rows get all fields, [] where they have none."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    array = np.zeros((1, len(rows)), [(key, object) for key in keys])
    for number, row in enumerate(rows):
        for key in keys:
            array[0, number][key] = row.get(key, np.zeros((0, 0)))
    return array


def annotated(cls: str, viewpoint: dict | None, cad_index: int | None = 1, **changes) -> dict:
    """One object of a record."""
    entry = {
        "class": cls,
        "bbox": np.array([[11.0, 21.0, 200.0, 190.0]]),
        "truncated": 0,
        "occluded": 0,
        "difficult": 0,
    }
    if viewpoint is not None:
        entry["viewpoint"] = viewpoint
    if cad_index is not None:
        entry["cad_index"] = cad_index
    return {**entry, **changes}


def write_record(path: Path, filename: str, objects: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"record": {"filename": filename, "objects": struct_array(objects)}}, do_compression=True)
    return path


def write_off(path: Path, vertices: np.ndarray, faces: np.ndarray) -> Path:
    rows = [f"{x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    rows += ["3 " + " ".join(map(str, face)) for face in faces.tolist()]
    return write_text(path, "\n".join(["OFF", f"{len(vertices)} {len(faces)} 0", *rows, ""]))


def write_cad_mat(path: Path, cls: str, count: int) -> Path:
    vertices, faces = cad_body()
    models = [{"vertices": vertices * (1 + k), "faces": faces + 1.0, "pnames": "front"} for k in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {cls: struct_array(models)}, do_compression=True)
    return path


def save_voc_objects(path: Path, masks: list[np.ndarray]) -> Path:
    """VOC's picture of object masks: an indexed PNG in the palette of the development kit."""
    palette = []
    for number in range(256):
        rgb, rest = [0, 0, 0], number
        for bit in range(7, -1, -1):
            for channel in range(3):
                rgb[channel] |= (rest >> channel & 1) << bit
            rest >>= 3
        palette += rgb
    labels = np.zeros(masks[0].shape, np.uint8)
    for number, mask in enumerate(masks, start=1):
        labels[mask] = number
    indexed = Image.fromarray(labels).convert("P")
    indexed.putpalette(palette)
    path.parent.mkdir(parents=True, exist_ok=True)
    indexed.save(path)
    return path


def write_pascal3d(root: Path, photos: dict[str, list[dict]], *, subset: str = "pascal", cls: str = "car") -> Path:
    """The set with photos of one class: name to objects. VOC's object masks are those of the fine viewpoints."""
    voc, suffix = root / "PASCAL/VOCdevkit/VOC2012", ".jpg" if subset == "pascal" else ".JPEG"
    for name, objects in photos.items():
        save(picture((224, 224)), root / "Images" / f"{cls}_{subset}" / f"{name}{suffix}", format="JPEG")
        write_record(root / "Annotations" / f"{cls}_{subset}" / f"{name}.mat", f"{name}{suffix}", objects)
        views = [entry.get("viewpoint", {}) for entry in objects]
        if subset == "pascal" and all(len(given) == 8 and given["distance"] > 0 for given in views):
            masks = [toolbox_mask(given, (224, 224)) for given in views]
            save_voc_objects(voc / "SegmentationObject" / f"{name}.png", masks)
    lists = {"train": list(photos)[:1], "val": list(photos)[1:]}
    for split, names in lists.items():
        path = root / "Image_sets" / f"{cls}_imagenet_{split}.txt"
        if subset == "pascal":
            path = voc / "ImageSets" / "Main" / f"{split}.txt"
        write_text(path, "".join(f"{name}\n" for name in names))
    write_off(root / "CAD" / cls / "01.off", *cad_body())
    return root


def write_objectnet3d(root: Path, photos: dict[str, list[dict]]) -> Path:
    for name, objects in photos.items():
        save(picture((224, 224)), root / "Images" / f"{name}.JPEG", format="JPEG")
        write_record(root / "Annotations" / f"{name}.mat", f"{name}.JPEG", objects)
    names = list(photos)
    for split, chosen in {"train": names[:1], "val": names[1:2], "test": names[2:]}.items():
        write_text(root / "Image_sets" / f"{split}.txt", "".join(f"{name}\n" for name in chosen))
    write_off(root / "CAD" / "off" / "car" / "01.off", *cad_body())
    return root


# --- Pix3D -------------------------------------------------------------------------------------------------------


def pix3d_mask(record: dict) -> np.ndarray:
    """The mask by the set's own projection: +x left, +y up, +z forward, focal length on a sensor 32 mm wide."""
    vertices, faces = body((1, 0, 0), (0, 1, 0), (0, 0, -1))
    x, y, z = np.array(record["rot_mat"]) @ vertices.T + np.array(record["trans_mat"])[:, None]
    width, height = record["img_size"]
    f = record["focal_length"] * width / 32.0
    points = np.stack([width / 2 - f * x / z, height / 2 - f * y / z], 1)
    return silhouette(points, faces, (height, width), 0.5)


def pix3d_record(number: int, R: np.ndarray, t: list[float], focal_mm: float, **changes) -> dict:
    folder = "model/chair/IKEA_TEST"
    return {
        "img": f"img/chair/{number:04d}.png",
        "category": "chair",
        "img_size": [224, 192],
        "2d_keypoints": [[[10.0, 20.0], [-1.0, -1.0]], [[12.0, 24.0], [-1.0, -1.0]]],
        "mask": f"mask/chair/{number:04d}.png",
        "model": f"{folder}/chair.obj",
        "voxel": f"{folder}/voxel.mat",
        "rot_mat": R.round(9).tolist(),
        "trans_mat": t,
        "focal_length": focal_mm,
        "truncated": False,
        "occluded": False,
        "slightly_occluded": False,
        "bbox": [5, 6, 100, 120],
        **changes,
    }


def pix3d_voxels(side: int, *, hollow: bool) -> np.ndarray:
    """The body as the set's voxels are indexed: [right, forward, up], lengths scaled to the grid in its own way."""
    centres = (np.arange(side) + 0.5) / side
    cells = np.stack(np.meshgrid(centres, centres, centres, indexing="ij"), -1)
    low, high = np.min([a for a, _ in BOXES], 0), np.max([b for _, b in BOXES], 0)
    right, forward, up = np.moveaxis((cells - 0.5) * 1.1 + ((low + high) / 2)[[0, 2, 1]], -1, 0)
    inside = np.zeros((side,) * 3, bool)
    for (r0, u0, f0), (r1, u1, f1) in BOXES:
        box = [(value > a) & (value < b) for value, a, b in ((right, r0, r1), (forward, f0, f1), (up, u0, u1))]
        inside |= np.all(box, axis=0)
    if hollow:
        full = inside.copy()
        for axis in range(3):
            full &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
        inside &= ~full
    return inside


def write_pix3d(root: Path, records: list[dict], *, hollow: bool = False) -> Path:
    vertices, faces = body((1, 0, 0), (0, 1, 0), (0, 0, -1))
    rows = [f"v {x!r} {y!r} {z!r}" for x, y, z in vertices.tolist()]
    rows += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    write_text(root / "model/chair/IKEA_TEST/chair.obj", "\n".join(rows) + "\n")
    savemat(root / "model/chair/IKEA_TEST/voxel.mat", {"voxel": pix3d_voxels(48, hollow=hollow).astype(np.uint8)})
    for record in records:
        save(picture((record["img_size"][1], record["img_size"][0])), root / record["img"])
        save(pix3d_mask(record), root / record["mask"])
    write_text(root / "pix3d.json", json.dumps(records))
    return root


# --- sets without poses ------------------------------------------------------------------------------------------


def write_coco(root: Path, annotations: list[dict], *, split: str = "val", year: int = 2017) -> Path:
    """One photo of 60 x 40 pixels, number 9, and its instances; categories 3 car, 63 couch, 5 airplane."""
    save(picture((40, 60)), root / f"{split}{year}" / "000000000009.jpg")
    names = {3: "car", 63: "couch", 5: "airplane"}
    content = {
        "images": [{"id": 9, "file_name": "000000000009.jpg", "height": 40, "width": 60}],
        "categories": [{"id": number, "name": name, "supercategory": "thing"} for number, name in names.items()],
        "annotations": [{"image_id": 9, "iscrowd": 0, "bbox": [1, 2, 3, 4], **row} for row in annotations],
    }
    write_text(root / "annotations" / f"instances_{split}{year}.json", json.dumps(content))
    return root


def write_cub(root: Path) -> tuple[Path, dict[str, np.ndarray]]:
    """Two birds, the first for training; and their masks by photo."""
    photos = ["001.Black_footed_Albatross/Albatross_0001_1.jpg", "200.Common_Yellowthroat/Yellowthroat_0002_2.jpg"]
    y, x = np.mgrid[:40, :60]
    masks = {}
    for number, photo in enumerate(photos):
        save(picture((40, 60)), root / "images" / photo)
        votes = ((x - 25 - number) ** 2 + (y - 20) ** 2 < 120) * 204 + (
            (x - 25 - number) ** 2 + (y - 20) ** 2 < 90
        ) * 51
        save(votes.astype(np.uint8), (root / "segmentations" / photo).with_suffix(".png"))
        masks[photo] = votes / 255.0
    write_text(root / "images.txt", "".join(f"{k} {photo}\n" for k, photo in enumerate(photos, start=1)))
    write_text(root / "train_test_split.txt", "1 1\n2 0\n")
    write_text(root / "bounding_boxes.txt", "1 14.0 9.0 22.0 23.0\n2 15.0 9.0 22.0 23.0\n")
    write_text(root / "parts" / "parts.txt", "1 back\n2 left eye\n")
    write_text(root / "parts" / "part_locs.txt", "1 1 20.0 12.5 1\n1 2 0.0 0.0 0\n2 1 30.0 14.0 1\n2 2 33.0 15.0 1\n")
    return root, masks
