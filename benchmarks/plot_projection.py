"""How do the silhouette operators' times grow with faces, pixels and images? Draws docs/images/projection_growth.png.

python benchmarks/plot_projection.py
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "images" / "projection_growth.png"
NAMES = ("hard", "soft f+b", "coverage f+b", "open coverage f+b", "edge product f+b")
AXES = {"faces": "faces", "pixels": "pixels an image", "batch": "images"}
BASES = ((5120, 128, 8), (1280, 64, 8))
"""Faces, size, batch: the cell through which every axis is followed; the second for a quick run."""


def along(cells: Sequence[dict], axis: str) -> list[tuple[int, dict]]:
    """The cells in which only `axis` differs from the base, in order."""
    keys = ("faces", "size", "batch")
    for base in BASES:
        key = "size" if axis == "pixels" else axis
        chosen = [c for c in cells if all(c[k] == b for k, b in zip(keys, base, strict=True) if k != key)]
        if len(chosen) > 1:
            return sorted(((c["size"] ** 2 if axis == "pixels" else c[axis], c) for c in chosen), key=lambda x: x[0])
    raise ValueError(f"the results hold no two cells along {axis}")


def growth(cells: Sequence[dict]) -> dict[str, dict[str, float]]:
    """The exponent p of time ~ axis^p for every operator and axis: least squares of the logarithms."""
    found: dict[str, dict[str, float]] = {name: {} for name in NAMES}
    for axis in AXES:
        places = along(cells, axis)
        for name in NAMES:
            times = [cell[name]["ms"] for _, cell in places]
            power = np.polyfit(np.log([x for x, _ in places]), np.log(times), 1)[0]
            found[name][axis] = round(float(power), 3)
    return found


def draw(cells: Sequence[dict]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    powers = growth(cells)
    figure, grid = pyplot.subplots(
        len(AXES), len(NAMES), figsize=(11, 6.2), sharey=True, sharex="row", layout="constrained"
    )
    for row, (axis, words) in zip(grid, AXES.items(), strict=True):
        places = along(cells, axis)
        x = np.array([place for place, _ in places])
        for panel, name in zip(row, NAMES, strict=True):
            times = np.array([cell[name]["ms"] for _, cell in places])
            fitted = np.exp(np.log(times).mean()) * (x / np.exp(np.log(x).mean())) ** powers[name][axis]
            panel.loglog(x, fitted, color="0.75", linewidth=1.5, zorder=1)
            panel.loglog(x, times, "o", color="#20639b", markersize=5, zorder=2)
            exponent = f"$\\propto$ {axis}$^{{{powers[name][axis]:.2f}}}$"
            panel.text(0.95, 0.06, exponent, transform=panel.transAxes, ha="right", va="bottom")
            panel.set_xticks(x, [f"{place:,}" for place in x])
            panel.minorticks_off()
            panel.tick_params(labelsize=9)
            panel.grid(color="0.92", linewidth=0.8)
            panel.set_axisbelow(True)
            panel.spines[["top", "right"]].set_visible(False)
            panel.margins(x=0.15, y=0.15)
        row[0].set_ylabel("ms")
        row[len(NAMES) // 2].set_xlabel(words)
    for panel, name in zip(grid[0], NAMES, strict=True):
        panel.set_title(name, fontsize=11)
    figure.savefig(PICTURE, dpi=110)
    pyplot.close(figure)


def main() -> None:
    cells = json.loads((HERE / "results" / "projection.json").read_text())["cells"]
    for name, powers in growth(cells).items():
        print(f"{name}: time ~", ", ".join(f"{axis}^{power:.2f}" for axis, power in powers.items()))
    draw(cells)


if __name__ == "__main__":
    main()
