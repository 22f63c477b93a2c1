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
LEARNING_RATES = [
    "system", "stage", "threads, precision", "steps/s", "samples/s", "median ms a step", "tenth to nine tenths",
    "times as fast as float32",
]  # fmt: skip
"""Columns of the speed of learning."""
LEARNING_PARTS = {
    "networks": "networks",
    "projection": "projection",
    "gradients": "gradients",
    "optimiser": "optimiser",
    "waiting": "waiting for a batch",
    "rest": "rest",
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


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def projection(report: dict) -> list[str]:
    """The section on the silhouette operators, from one run of `projection.py`."""
    sections = [
        "## The silhouette operators\n",
        f"`python benchmarks/projection.py{' --quick' if report['quick'] else ''}`, one run for all that follows. A bumpy\n"
        "sphere fills 70 % of the frame; forward, or forward and backward (f+b), the camera's projection included, medians;\n"
        "*open* is the same mesh with a hole and wound at random. Absolute goals are for two Zen 4 cores and are judged by\n"
        "the shortest runs.\n",
        "### What was to be reached\n",
        _goals(report["to_reach"]),
        "### Milliseconds, forward / f+b\n",
        _grid(report["cells"]),
        "### Growth\n",
        "![Time against faces, pixels and images](images/projection_growth.png)\n",
        _growth(report["growth"]),
        "### Grids\n",
        "Rays: 48x48 pixels, 64 samples, 32³ cells. Maximum: 30³ cells. The gradient goes to the cells and the pose.\n"
        "Milliseconds of a batch, kernel and PyTorch twin interleaved.\n",
        _voxels(report["voxels"]),
        "### Differences to the PyTorch twins in float64\n",
        _differences(report["differences"], report["times_faster"]),
        "### Peak memory of one f+b\n",
        _memory(report["memory"]),
        "### Other renderers\n",
        "The same mesh, camera and size. Coverage needs no samples, Mitsuba 3 draws `spp` random ones a pixel. Its error is\n"
        "the mean difference of its image to ours; that of its gradient is relative.\n",
        _rivals(report["rivals"]),
        f"Machine: {machine_of(report)}.",
    ]
    return sections


def _goals(lines: list[dict]) -> str:
    verdict = {True: "reached", False: "**falls short**", None: ""}
    rows = []
    for line in lines:
        found = line["found"] if isinstance(line["found"], str) else number(line["found"])
        rows.append([line["what"], found, line["to_reach"], verdict[line["passed"]]])
    return table(["figure", "found", "goal", ""], rows)


def _grid(cells: list[dict]) -> str:
    names = [name for name, found in cells[0].items() if isinstance(found, dict) and not name.endswith(" f+b")]
    rows = []
    for cell in cells:
        row = [f"{cell['faces']:,}", str(cell["size"]), str(cell["batch"])]
        for name in names:
            times = [cell[key]["ms"] for key in (name, f"{name} f+b") if key in cell]
            row.append(" / ".join(number(ms) for ms in times))
        rows.append(row)
    return table(["faces", "px", "batch", *names], rows)


def _growth(powers: dict[str, dict[str, float]]) -> str:
    axes = list(next(iter(powers.values())))
    rows = [[name, *(f"{found[axis]:.2f}" for axis in axes)] for name, found in powers.items()]
    return table(["exponent of", *axes], rows)


def _voxels(lines: list[dict]) -> str:
    rows = []
    for line in lines:
        row = [line["operator"], str(line["batch"])]
        for what in ("forward", "f+b"):
            found = line[what]
            row += [number(found[who]["ms"]) for who in ("kernel", "torch")] + [number(found["times_faster"]) + "x"]
        rows.append(row)
    return table(["operator", "batch", "forward", "twin", "ratio", "f+b", "twin", "ratio"], rows)


def _differences(lines: list[dict], faster: dict[str, float]) -> str:
    rows = []
    for line in lines:
        gradient = f"{line['gradient_difference']:.1e}" if "gradient_difference" in line else ""
        other = str(line.get("pixels_with_another_face", ""))
        ratio = f"{faster[line['operator']]:,.0f}x" if line["operator"] in faster and line["backend"] == "numba" else ""
        rows.append([line["operator"], line["backend"], f"{line['value_difference']:.1e}", gradient, other, ratio])
    head = ["operator", "backend", "values", "gradients, relative", "pixels with another face"]
    head.append("times faster, 64 px, batch 8")
    width = len(head) if faster else len(head) - 1
    return table(head[:width], [row[:width] for row in rows])


def _memory(lines: list[dict] | str) -> str:
    if isinstance(lines, str):
        return lines + "\n"
    rows: dict[str, list[str]] = {}
    for line in lines:
        size = f"{line['faces']:,} faces, {line['size']} px, " if "faces" in line else ""
        found = f"{number(line['mib'])} MiB ({size}batch {line['batch']})"
        rows.setdefault(line["operator"], [line["operator"]]).append(found)
    return table(["operator", "kernel", "twin"][: len(rows["hard"])], list(rows.values()))


def _rivals(lines: list[dict]) -> str:
    rows = []
    for line in lines:
        if "why_not" in line:
            rows.append([line["name"], line.get("what", ""), line["why_not"], "", "", "", ""])
            continue
        case = f"{line['faces']:,} faces, {line['size']} px, batch {line['batch']}"
        error = line.get("error", line.get("gradient_error"))
        row = [f"{line['name']} {line['version']}", line["what"], case, number(line["ms"]), number(line["ours_ms"])]
        rows.append([*row, number(line["times_faster"]) + "x", "" if error is None else f"{error:.2g}"])
    return table(["renderer", "what", "case", "its ms", "our ms", "ratio", "error"], rows)


def rendering(report: dict) -> list[str]:
    """The section on training images."""
    memory = report["memory"]
    rows = [
        [f"{line['size']} px", str(line["workers"] or "none"), f"{line['images_per_s']:,.0f}",
         f"{min(line['runs']):,.0f} to {max(line['runs']):,.0f}", f"{line['cpu_ms_per_image']:.2f}"]
        for line in report["rates"]
    ]  # fmt: skip
    return [
        "\n## Training images\n",
        "`python benchmarks/rendering.py`: meshes of 5,120 faces, all of `RenderSettings`' defaults, through torch's\n"
        "DataLoader; medians of five runs. The rate with workers has the transfer to the main process in it.\n",
        table(["size", "worker processes", "images a second", "slowest and fastest run", "CPU ms an image"], rows),
        f"A loader over {memory['shapes']:,} procedural shapes, of which it holds {memory['held']}, grows by at most "
        f"{memory['mib_at_most']:.0f} MiB ({memory['mib_after_half']:.0f} after half of them).\n",
        f"Machine: {machine_of(report)}.\n",
    ]


def learning() -> list[str]:
    """The section on training the papers' systems, where `learning.py` has left a result."""
    if not (HERE / "results" / "learning.json").exists():
        return []
    report = load("learning")
    rates, shares, systems = [], [], []
    step_ms = {
        (line["method"], line["variant"], line["threads"], stage["stage"]): stage["step_ms"]
        for line in report["systems"] if line["precision"] == "float32" for stage in line["stages"]
    }  # fmt: skip
    for line in report["systems"]:
        name = ", ".join(filter(None, (line["method"], line["variant"])))
        minutes = sum(stage["laptop_steps"] * stage["step_ms"] for stage in line["stages"]) / 60_000
        sizes = [f"{line[key]:,.0f} MiB" for key in ("before_mib", "peak_mib")]
        run = f"{line['threads']}, {line['precision']}"
        systems.append([name, run, f"{line['images']:,}", *sizes, f"{minutes:.1f}"])
        for stage in line["stages"]:
            case = [name, stage["stage"], run]
            plain = step_ms[line["method"], line["variant"], line["threads"], stage["stage"]]
            spread = f"{stage['step_ms_tenth']:.1f} to {stage['step_ms_nine_tenths']:.1f}"
            rate = [f"{stage['steps_per_s']:.2f}", f"{stage['samples_per_s']:,.0f}", f"{stage['step_ms']:.1f}"]
            rates.append([*case, *rate, spread, f"{plain / stage['step_ms']:.2f}"])
            found = stage["shares"]
            shares.append([*case, *(percent(found[part]) for part in LEARNING_PARTS), percent(stage["draw_share"])])
    counted = {stage["measured"] for line in report["systems"] for stage in line["stages"]}
    return [
        "\n## Training the papers' systems\n",
        "`python benchmarks/learning.py`: the `LAPTOP` settings on images that `monoform train --scale laptop` draws, on the\n"
        f"CPU; {max(counted)} steps of each stage, the {report['warm']} before them not counted. Threads are those of\n"
        "torch, of the kernels and of BLAS; one more draws the batches. *mixed* is bfloat16 where the networks bear it.\n",
        "### Speed\n",
        table(LEARNING_RATES, rates),
        "### What a step's time goes into\n",
        "Networks and projection (rays, warping, maxima, rasterising) forward; *gradients* back through both; *optimiser* is\n"
        "its step with the norm of the gradients; *rest* is losses, logs and the loop. Drawing runs beside them.\n",
        table(["system", "stage", "threads, precision", *LEARNING_PARTS.values(), "drawing, beside"], shares),
        "### Memory, and a whole training\n",
        "Resident at most before the first step (imports, images mapped from the disk), and at the peak, validation included;\n"
        "minutes of all `LAPTOP` steps at their median, without validations.\n",
        table(["system", "threads, precision", "images", "before", "peak", "minutes of its steps"], systems),
        f"Machine: {machine_of(report)}.\n",
    ]


def gpu() -> list[str]:
    """The section on CUDA, where `gpu.py` has left a result."""
    if not (HERE / "results" / "gpu.json").exists():
        return []
    report = load("gpu")
    limits, several = report["limits"], report["differences_several_meshes"]
    grid = []
    for line in report.get("grid", []):
        if line["batch"] == 32 and line.get("size", 256) == 256:
            case = f"{line['faces']:,} faces, {line['size']} px" if "faces" in line else ""
            times = [number(line["ms"]), number(line["device_ms"])]
            share = "" if line["share"] is None else f"{percent(line['share'])} of {line['bound']}"
            grid.append([line["operator"], line["what"], case, *times, share])
    faster = {row["operator"]: row["times_faster"] for row in report["against_twins"]}
    return [
        "\n### On a GPU\n",
        f"`python benchmarks/gpu.py` on {report['device']}, torch {report['versions']['torch']}: it copies "
        f"{limits['bytes_a_second'] / 1e12:.2f} TB/s and multiplies matrices at "
        f"{limits['flops_a_second'] / 1e12:.1f} TFLOP/s in float32.\n",
        _differences(report["differences"], {}),
        "With another mesh in every image: values "
        + f"{max(line['value_difference'] for line in several):.1e}, gradients "
        + f"{max(line.get('gradient_difference', 0) for line in several):.1e} at most.\n",
        "f+b times faster than the twin on the same device (batch 8; meshes of 1,280 faces at 64 px): "
        + ", ".join(f"{name} {ratio:g}" for name, ratio in faster.items())
        + ".\n",
        "Batch 32: milliseconds that a caller waits, those in which the device works, and how near that is to what its\n"
        "memory or its arithmetic allow (estimated work, measured limits):\n",
        table(["operator", "", "case", "ms", "device ms", "share of the limit"], grid),
    ]


def main() -> None:
    align, clock, report, fit = load("align"), load("align_time"), load("projection"), load("fit_ranking")
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
        *projection(report),
        *rendering(load("rendering")),
        *learning(),
        *gpu(),
    ]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
