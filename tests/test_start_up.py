"""Help and the bare import come at once: neither torch nor the compiler nor the mesh library is imported for them."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "numba", "trimesh", "scipy", "skimage", "cv2", "rich", "matplotlib")


def loaded_by(code: str, extra: tuple[str, ...] = ()) -> set[str]:
    """Which heavy modules are loaded after running `code` in a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('loaded:', *(m for m in {HEAVY + extra} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.rsplit("loaded:", 1)[1].split())


def test_import_is_light() -> None:
    assert loaded_by("import monoform", ("numpy",)) == set()


@pytest.mark.parametrize("arguments", [["--help"], ["align", "--help"], ["--version"], ["render", "--print-config"]])
def test_help_is_light(arguments: list[str]) -> None:
    assert loaded_by(f"from monoform.cli import main\nmain({arguments})", ("numpy",)) == set()


@pytest.mark.parametrize(
    "module",
    [
        "alignment",
        "batch.photo_match",
        "batch.runner",
        "cli.align",
        "cli.demo",
        "cli.scene",
        "data.procedural.photographs",
        "masks",
        "meshes",
        "overlays",
        "refinement",
        "results",
        "rotation_grids",
        "scene",
        "scene.library",
        "scene.upright",
        "scene.writing",
        "symmetry",
    ],
)
def test_align_and_its_parts_start_without_torch(module: str) -> None:
    assert "torch" not in loaded_by(f"import monoform.{module}")


def test_schema_needs_nothing_heavy() -> None:
    assert loaded_by("from monoform.cli import main\nmain(['schema', '--json'])") <= {"scipy"}
