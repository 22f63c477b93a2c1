"""Part of `projection.py`: the figures to reach, each with what one run of the benchmark found.

Absolute times are goals for 2 Zen 4 cores; they are judged by the shortest runs, and by their relation to C where it ran.
"""

import statistics
from collections.abc import Sequence

ZEN_4_C_MS = 1.66
"""The C reference on the machine of the absolute goals: 1,280 faces, 64 px, batch 32, both of its cores."""
PYTORCH3D_GOALS = [
    ("soft", "f+b, batch 1", (1000, 2500, 5000)),
    ("soft", "f+b, batch 8", (2000, 3500, 5500)),
    ("coverage", "f+b, batch 1", (2000, 7000, 20000)),
    ("coverage", "f+b, batch 8", (8000, 20000, 40000)),
    ("hard", "forward, batch 1", (200, 250, 300)),
]
"""Times faster than PyTorch3D's CPU rasteriser with 50 faces a pixel, 1,280 faces, at 64, 128 and 256 px."""


def judge(run: dict) -> list[dict]:
    """run: the benchmark's record. `passed` is None where there is nothing to compare with."""
    lines = [*_differences(run["differences"]), *_ratios(run), *_times(run["cells"]), *_against_c(run["soft_over_c"])]
    lines += [*_voxels(run["voxels"]), *_hypothesis(run["hypothesis_ms"])]
    judged = []
    for what, value, relation, goal in lines:
        passed = value <= goal if relation == "<=" else value >= goal
        judged.append(
            {"what": what, "found": round(value, 7), "to_reach": f"{relation} {goal}", "passed": bool(passed)}
        )
    return judged + against_pytorch3d(run["rivals"])


Line = tuple[str, float, str, float]


def _shortest(cells: Sequence[dict], name: str, faces: int, size: int, batch: int) -> float:
    where = {"faces": faces, "size": size, "batch": batch}
    return next(cell[name]["shortest_ms"] for cell in cells if where.items() <= cell.items())


def _differences(rows: Sequence[dict]) -> list[Line]:
    return [
        ("largest difference in values to the twins", max(row["value_difference"] for row in rows), "<=", 1e-4),
        (
            "largest relative difference in gradients to the twins",
            max(row.get("gradient_difference", 0) for row in rows),
            "<=",
            1e-3,
        ),
    ]


def _ratios(run: dict) -> list[Line]:
    cells, faster = run["cells"], run["times_faster"]
    opened = [cell["open coverage f+b"]["shortest_ms"] / cell["coverage f+b"]["shortest_ms"] for cell in cells]
    ahead = [(cell["size"], cell["soft f+b"]["shortest_ms"] / cell["coverage f+b"]["shortest_ms"]) for cell in cells]
    return [
        *((f"{name}, times faster than the dense twin", faster[name], ">=", 50) for name in ("soft", "hard")),
        ("open over closed mesh, f+b, worst cell", max(opened), "<=", 2),
        ("open over closed mesh, f+b, median cell", statistics.median(opened), "<=", 2),
        ("soft over coverage f+b, 64 px, worst cell", min(r for size, r in ahead if size == 64), ">=", 1.8),
        ("soft over coverage f+b, 128 px on, worst cell", min(r for size, r in ahead if size > 64), ">=", 3),
    ]


def _times(cells: Sequence[dict]) -> list[Line]:
    return [
        ("soft f+b, 1,280 faces, 64 px, batch 32, shortest ms", _shortest(cells, "soft f+b", 1280, 64, 32), "<=", 13),
        ("coverage f+b, 1,280 faces, 64 px, batch 32, shortest ms", _shortest(cells, "coverage f+b", 1280, 64, 32), "<=", 3),
        ("coverage f+b, 1,280 faces, 256 px, batch 1, shortest ms", _shortest(cells, "coverage f+b", 1280, 256, 1), "<=", 0.6),
    ]  # fmt: skip


def _against_c(c: dict[str, dict[str, float]] | str) -> list[Line]:
    if isinstance(c, str):
        return []
    lines: list[Line] = [
        ("soft forward over the C reference, worst cell", max(cell["forward"] for cell in c.values()), "<=", 2.5)
    ]
    for name, goal in (("soft f+b", 13), ("coverage f+b", 3)):
        times_c = c["64 px, batch 32"][name]
        lines.append((f"{name}, 64 px, batch 32, over C's forward", times_c, "<=", round(goal / ZEN_4_C_MS, 1)))
    return lines


def _voxels(rows: Sequence[dict]) -> list[Line]:
    lines: list[Line] = []
    for name, words, ms, faster in (("rays", "rays", 2, 3.5), ("max", "turn and maximum", 0.2, 8)):
        found = next(row["f+b"] for row in rows if row["operator"] == name and row["batch"] == 32)
        an_image = found["kernel"]["shortest_ms"] / 32
        lines.append((f"{words} f+b, batch 32, shortest ms an image", an_image, "<=", ms))
        lines.append((f"{words} f+b, batch 32, times faster than the twin", found["times_faster"], ">=", faster))
    return lines


def _hypothesis(ms: float | str) -> list[Line]:
    return [] if isinstance(ms, str) else [("a pose hypothesis of the search, 64 px, one thread, ms", ms, "<=", 0.15)]


def against_pytorch3d(rivals: Sequence[dict]) -> list[dict]:
    """One line an operator: times faster at each size that was measured."""
    found = {
        (row["size"], row["batch"], row["what"]): row for row in rivals if row["name"] == "PyTorch3D" and "size" in row
    }
    lines = []
    for operator, words, goals in PYTORCH3D_GOALS:
        line = {"what": f"{operator} {words}, times faster than PyTorch3D, 1,280 faces, 64 / 128 / 256 px"}
        line["to_reach"] = " / ".join(f">= {goal}" for goal in goals)
        what, batch = words.split(", batch ")
        rows = [found.get((size, int(batch), f"{operator} {what}")) for size in (64, 128, 256)]
        measured = [(row["times_faster"], goal) for row, goal in zip(rows, goals, strict=True) if row]
        passed = all(ratio >= goal for ratio, goal in measured) if measured else None
        words_found = " / ".join(f"{row['times_faster']:g}" if row else "not compared" for row in rows)
        lines.append(line | {"found": words_found if measured else "not compared: no wheel", "passed": passed})
    return lines
