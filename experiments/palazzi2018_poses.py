"""Measures beside the tables of Palazzi 2018: which cars the encoders turn round, by the half from which the camera sees them.

    monoform reproduce palazzi2018 --table 1 ... -o OUT
    python experiments/palazzi2018_poses.py OUT        # a minute

Reads the test sets and the weights that the command has left in OUT; writes results/palazzi2018-poses-laptop.json, before any
refinement, and docs/images/raster_pose_real.jpg, the refinement of the images that are worst before it. 'mirrored': of images
whose azimuth a is said nearer to 180 degrees - a than to a, by more than `NEAR` degrees. 'sideways': of images said within
`NEAR` degrees of straight from a side; 'truly_sideways': of those that are.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from monoform.checkpoints import load_method
from monoform.data.image_sets import load_images
from monoform.evaluate import Way, for_encoder, pose
from monoform.interfaces import ImageSet
from monoform.methods.raster_pose import RasterPose
from monoform.metrics import rotation_angle_deg
from monoform.reproduction.figures import Group, first_of_objects
from monoform.reproduction.refinement_figures import refinements
from monoform.rotations import matrix_to_viewpoint

RESULT = Path(__file__).parent / "results" / "palazzi2018-poses-laptop.json"
SYSTEMS = {"": "palazzi2018-laptop-0", "cosine": "palazzi2018-laptop-cosine-0", "mask": "palazzi2018-laptop-mask-0"}
TESTS = {"procedural": "palazzi2018-laptop-procedural-test", "real models": "palazzi2018-laptop-real-test"}
BATCH, NEAR = 20, 10.0
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "raster_pose_real.jpg"
SHOWN, QUALITY = 6, 88


def the_one(folder: Path, name: str) -> Path:
    """The folder of this name, after which comes a hash of its settings."""
    wanted = re.compile(rf"{re.escape(name)}-[0-9a-f]+")
    found = [path for path in folder.glob("*") if path.is_dir() and wanted.fullmatch(path.name)]
    if len(found) != 1:
        print(f"{folder}: {len(found)} folders of {name}, not one; give the folder that monoform reproduce wrote")
        sys.exit(3)
    return found[0]


def azimuths(R: np.ndarray) -> np.ndarray:
    return np.degrees(matrix_to_viewpoint(torch.tensor(R).double())[..., 0].numpy())


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs((a - b + 180.0) % 360.0 - 180.0)


def said_rotations(method: RasterPose, test: ImageSet) -> np.ndarray:
    """(n, 3, 3) of the encoder."""
    small = for_encoder(method, test)
    spans = np.array_split(np.arange(len(test)), -(-len(test) // BATCH))
    return np.concatenate([pose(method, small, test, span, Way(), {}).R.numpy() for span in spans])


def measured(weights: Path, folder: Path) -> dict[str, dict[str, float]]:
    """'front', 'rear' and 'all' to counts, errors and shares of their images."""
    test = load_images(folder)
    said = said_rotations(as_raster_pose(weights), test)
    true, found = azimuths(test.R), azimuths(said)
    off = rotation_angle_deg(said, test.R)
    mirrored = apart(found, 180.0 - true) + NEAR < apart(found, true)
    front = np.cos(np.radians(true)) > 0
    sideways, truly = (apart(2 * a, np.full_like(a, 180.0)) < 2 * NEAR for a in (found, true))
    return {
        name: {
            "images": int(rows.sum()),
            "rotation_deg_median": float(np.median(off[rows])),
            "mirrored": float(mirrored[rows].mean()),
            "sideways": float(sideways[rows].mean()),
            "truly_sideways": float(truly[rows].mean()),
            "beyond_90": float((off[rows] > 90.0).mean()),
        }
        for name, rows in (("front", front), ("rear", ~front), ("all", front | ~front))
    }


def as_raster_pose(weights: Path) -> RasterPose:
    method = load_method(weights)
    assert isinstance(method, RasterPose)
    return method


def worst_real(out: Path) -> np.ndarray:
    """(h, w, 3) uint8: the image with the largest rotation error of each of SHOWN real models, refined step by step."""
    method = as_raster_pose(the_one(out / "runs", SYSTEMS[""]) / "model")
    test = load_images(the_one(out / "sets", TESTS["real models"]))
    off = rotation_angle_deg(said_rotations(method, test), test.R)
    rows = first_of_objects(np.argsort(-off, kind="stable"), np.array(test.object_ids)[test.objects], SHOWN)
    title = "real models: the largest rotation errors before refinement, an object once"
    return refinements(method, test, {}, Way("poses", "coverage"), [Group(title, rows)])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python experiments/palazzi2018_poses.py OUT")
    out = Path(sys.argv[1])
    report = {
        system: {
            label: measured(the_one(out / "runs", run) / "model", the_one(out / "sets", name))
            for label, name in TESTS.items()
        }
        for system, run in SYSTEMS.items()
    }
    RESULT.write_text(json.dumps(report, indent=2) + "\n")
    Image.fromarray(worst_real(out)).save(PICTURE, quality=QUALITY)


if __name__ == "__main__":
    main()
