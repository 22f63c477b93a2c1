"""Writes docs/benchmarks.md from the results kept beside the scripts, so that no figure in it is typed by hand.

python benchmarks/tables.py
"""

import json
from pathlib import Path

HERE = Path(__file__).parent
CASES = {
    "upright": "upright, K given",
    "damaged": "the same; mask off by up to 5 px, a fifth hidden behind an ellipse",
    "cut": "the same; mask off by up to 5 px, a fifth cut off along a straight edge",
    "free": "any rotation, K given",
    "K unknown": "upright, K unknown",
    "library": "upright, K given, mesh unknown: best of the nine others of its category",
}
PROTOCOL = """# Benchmarks

Every figure comes from a script in `benchmarks/` and from the json that it left in `benchmarks/results/`; this page
is written by `python benchmarks/tables.py`. The scripts read real meshes and photos from a data folder beside the
repository, which is not part of it.

## How often and how exactly is the pose found?

`python benchmarks/align.py`. Sixty real meshes, five of each of the twelve largest categories, seeded and listed in
`align_meshes.json`, no near-duplicates; the ranking's coefficients were fitted on sixty others (`fit_ranking.py`).
Photos are 960x720 with a focal length of 900 px; the object is 1.5 to 3 box diagonals away, wholly in the picture
where it fits, under a light of the benchmark's own (ambient, two directional lights, gloss), over a photo background,
with noise. *Upright* is azimuth anywhere, elevation -5 to 45, tilt +-8 degrees; *any rotation* is uniform over the
sphere. Errors are geodesic angles modulo the mesh's geometric symmetry (`detect_symmetry`, 1 % of the diagonal); an
ambiguous answer counts as right only if the true pose stands first. IoU is that of the first pose's antialiased
silhouette with the mask that was given (a damaged mask, where it is damaged), at 256 px of the crop.
"""


def load(name: str) -> dict:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def machine_of(report: dict) -> str:
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if name != "monoform")
    return f"{machine['processor']}, {machine['cores']} cores, Python {machine['python']}, {versions}"


def accuracy(report: dict) -> str:
    head = [
        "case",
        "Acc π/6",
        "within first four",
        "median error",
        "mean of category medians",
        "mean IoU",
        "flagged ambiguous",
    ]
    rows = []
    for case, words in CASES.items():
        s = report["cases"][case]["summary"]
        rows.append(
            [words, percent(s["acc_pi_6"]), percent(s["acc_pi_6_first_four"]), f"{s['median_deg']:.2f}°"]
            + [f"{s['macro_median_deg']:.2f}°", f"{s['mean_iou']:.3f}", percent(s["ambiguous"])]
        )
    return table(head, rows)


def misses(report: dict) -> str:
    lines = []
    for case in ("upright", "damaged", "free", "K unknown"):
        for row in report["cases"][case]["rows"]:
            if row["error_deg"] >= 30:
                flag = f"flagged {row['ambiguity']}" if row["ambiguous"] else "not flagged"
                lines.append(
                    f"- {case}: {row['category']} `{row['mesh']}`, {row['error_deg']:.0f}° off, IoU {row['iou']:.3f}, {flag}"
                )
    return "\n".join(lines) + "\n"


def photos(report: dict) -> str:
    case = report["cases"]["photos"]
    s = case["summary"]
    rows = [
        [row["photo"], row["mesh"], f"{row['iou']:.3f}", f"{row['yaw_deg']:.0f}°", f"{row['yaw_by_eye_deg']}°"]
        + [f"{row['yaw_error_deg']:.0f}°", "yes" if row["ambiguous"] else "no"]
        for row in case["rows"]
    ]
    by_car = ", ".join(f"{name}: {share}" for name, share in s["yaw_within_30_by_sequence"].items())
    return (
        f"Yaw within 30 degrees on **{s['yaw_within_30']} of {s['n']}** ({by_car}), median error "
        f"{s['median_yaw_error_deg']:.0f}° where the eye's own tolerance is 20°. Mean IoU of the mesh that was picked "
        f"**{s['mean_iou']:.3f}**; of the best IoU in the library {s['mean_best_iou_of_library']:.3f}.\n\n"
    ) + table(["photo", "mesh picked", "IoU", "yaw", "by eye", "off", "ambiguous"], rows)


def times(report: dict) -> str:
    python, command, step = report["python"], report["command line"], report["refinement step"]
    rows = [
        [
            f"`align()` warm in Python, {name}",
            f"{python[name]['median_s']:.2f} s",
            f"slowest mesh {python[name]['slowest_median_s']:.2f} s",
        ]
        for name in ("upright", "free")
    ]
    rows += [
        [
            f"`monoform align`, whole command, {name}",
            f"{command[name]['median_s']:.2f} s",
            f"{command[name]['min_s']:.2f} - {command[name]['max_s']:.2f} s",
        ]
        for name in ("upright", "free")
    ]
    rows.append(
        [
            f"one step of `refine_pose`, {step['faces']} faces, {step['resolution']} px",
            f"{1e3 * step['median_s']:.2f} ms",
            f"{1e3 * step['min_s']:.2f} - {1e3 * step['max_s']:.2f} ms",
        ]
    )
    guess = report["hypothesis"]
    rows.append(
        [
            "one pose hypothesis of the search, 64 px, one thread",
            f"{1e3 * guess['median_s']:.3f} ms",
            f"slowest mesh {1e3 * guess['slowest_s']:.3f} ms",
        ]
    )
    rows.append(["peak memory of the command", f"{command['peak_memory_gib']:.2f} GiB", ""])
    return table(["what", "median", "spread"], rows)


def kernels(report: dict) -> str:
    head = ["faces", "px", "batch", "hard", "soft", "soft f+b", "coverage", "coverage f+b", "open mesh, coverage f+b"]
    names = ("hard", "soft", "soft f+b", "coverage", "coverage f+b", "open coverage f+b")
    cells = [
        [str(cell["faces"]), str(cell["size"]), str(cell["batch"])]
        + [f"{cell[name]['ms']:.2f} ± {cell[name]['spread_ms']:.2f}" if name in cell else "" for name in names]
        for cell in report["cells"]
    ]
    reached = [
        [line["what"], f"{line['found']:.3g}", line["to_reach"], "reached" if line["passed"] else "falls short"]
        for line in report["to_reach"]
    ]
    return table(head, cells) + "\n" + table(["figure", "found", "goal", ""], reached)


def main() -> None:
    align, clock, projection, fit = load("align"), load("align_time"), load("projection"), load("fit_ranking")
    page = [
        PROTOCOL,
        accuracy(align),
        f"Machine: {machine_of(align)}; peak memory {align['peak_memory_gib']:.2f} GiB.\n",
        "Wrong first poses, where the mesh is known and not cut:\n",
        misses(align),
        "## Real photos\n",
        "Thirteen frames of two videos (DAVIS 2016) with exact masks, two cars, their yaw read by eye; ten car meshes,\n"
        "none of them of these cars, K unknown, `upright`. The meshes are rigid and of other cars, which limits the IoU.\n",
        photos(align),
        "## Time\n",
        "`python benchmarks/align_time.py`: 960x720 photos, meshes of 4,000 to 6,000 faces, one mesh, K given, two cores.\n",
        times(clock),
        f"Machine: {machine_of(clock)}.\n",
        "## The ranking's coefficients\n",
        "`python benchmarks/fit_ranking.py`: log-odds a unit of "
        + ", ".join(f"{name} {value}" for name, value in fit["coefficients"].items())
        + ". Share of development photos whose first pose is right: "
        + ", ".join(f"{case} {percent(s['first'])}" for case, s in fit["first pose right"].items())
        + ".\n",
        "## The rasterisers\n",
        "`python benchmarks/projection.py`: milliseconds, median and spread, a bumpy sphere that fills 70 % of the\n"
        "frame, forward or forward and backward (f+b), the camera's projection included.\n",
        kernels(projection),
        f"Machine: {machine_of(projection)}.",
    ]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
