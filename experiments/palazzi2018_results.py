"""Writes the results of docs/papers/raster_pose.md from the tables that `monoform reproduce` has left in results/.

    monoform reproduce palazzi2018 --table N --scale laptop --models MODELS --photos BACKGROUNDS -o OUT
    monoform reproduce palazzi2018 --figure 6 --scale laptop --models MODELS --photos BACKGROUNDS -o OUT
    cp OUT/palazzi2018-*.json OUT/palazzi2018-*.md experiments/results/        # N = 1, 2; seed 0; two cores
    python experiments/palazzi2018_poses.py OUT
    python experiments/palazzi2018_results.py

MODELS is a folder of real models with a manifest, BACKGROUNDS one of photos. Expected: the figures that stand on the page.
The hours in the tables are of trainings on two busy cores, the first alone and the others two at a time; the milliseconds
are of busy cores too.
"""

from result_pages import (
    HEADING,
    PAPER,
    PAPERS,
    cell,
    head,
    is_printed,
    line,
    load,
    number,
    objects,
    source_of,
    write_results,
)

PROCEDURAL, REAL = "procedural", "real models"
POOLED = "pooled"
ENCODER, TUNED, REFINED = "encoder", "encoder + refinement of its weights, {}", "encoder + refinement of the pose, {}"
OPERATORS = ("edge_product", "soft_raster", "coverage")
COVERAGE = REFINED.format("coverage")
COSINE, MASK = "cosine head (the paper's): ", "mask as input: "
CLASS, IOU, ACC = "accuracy of class", "mIoU", "share of rotation errors under 30 degrees"
MVE, MEAN = "rotation error, median, degrees (MVE)", "rotation error, mean, degrees"
FLIPPED, SHIFT = "share of poses flipped by a half-turn", "translation error, mean"
MEASURES = {
    "class": CLASS,
    "mIoU": IOU,
    "MVE, °": MVE,
    "mean, °": MEAN,
    "Acc_π/6": ACC,
    "flipped": FLIPPED,
    "translation": SHIFT,
    "ADD-S": "ADD-S, mean",
    "ms": "milliseconds an image",
}
"""Column to quantity."""
WITH_INTERVAL = ("mIoU", "MVE, °", "Acc_π/6")
SIDES = (16, 32, 64, 128, 256)
GAINS = {
    "change of IoU": "ΔIoU",
    "change of the rotation error, degrees": "Δ rotation error, mean, °",
    "change of the rotation error, median, degrees": "Δ rotation error, median, °",
    "change of the translation error": "Δ translation error",
}
WAYS_2 = {
    "weights, edge products": TUNED.format("edge_product"),
    "pose, edge products": REFINED.format("edge_product"),
    "pose, SoftRas": REFINED.format("soft_raster"),
    "pose, coverage": COVERAGE,
}
TEXT = """{heading}

`monoform reproduce palazzi2018 --table 1 --models MODELS --photos BACKGROUNDS`, then `--table 2` and `--figure 6`: three
encoders (as it is, with the paper's head, with masks as input), seed 0, {steps:,} steps each on {train} procedural cars, a
third of each class, and {real} real ones, 6 views each, images of 64 px. The trainings took {hours:.1f} hours in sum on two
busy cores. Tested on {test} procedural cars and {real_test} real models, sedans and SUVs of other near-duplicate groups: none
was trained on, and no pose either, as test cameras stand anywhere between the posts. Refined on true masks of 128 px.
Brackets: 95 % intervals of a bootstrap over objects, of real models over groups of near-duplicates. The paper's rows are of
ShapeNet, other data: compare ours with each other. There is one seed.

{table_1}
Lengths are in longest sides of the car. Flipped: nearer to the pose turned by 180° than to the true one. Real models' classes
are those that their names tell, else of the nearer medoid. ms: of an image, in batches of 20.

- **The encoder alone** tells {class_alone} of the classes and has mIoU {alone_iou}, a median rotation error (MVE) of
  {alone_mve}° and Acc_π/6 {acc_alone}; the paper's .89, .59, 5.7° and .86. The mean error is {mean_alone}°, as {rear_90} of
  the cars seen from behind and {front_90} of those seen from the front are more than 90° off.
- **The paper's refinement**, of the weights through edge products: mIoU {edge_iou}, MVE {edge_mve}°, Acc_π/6 {edge_acc}. The
  paper has .59 → .72, 5.7 → 4.5°, .86 → .90. The gain in angle is about as large, that of mIoU less than half, from a higher
  start.
- **The operator matters more than what is refined.** Through SoftRas and coverage the weights reach mIoU {soft_iou} and
  {cover_iou}, MVE {soft_mve}° and {cover_mve}°; the pose alone {pose_soft_iou} and {pose_cover_iou}, {pose_soft_mve}° and
  {pose_cover_mve}°. Through edge products the pose alone gains mIoU ({pose_edge_iou}) and no rotation ({pose_edge_mve}°).
  Refined weights turn better than refined poses through each of the three; why, we did not look into.
- **What no refinement mends is a car turned round**: the share flipped stays ({flip_alone} before, {flip_tuned} to
  {flip_most} after), and the mean rotation error at {mean_least}° or above.
- **Time**: {ms_pose} ms an image for 30 steps on the pose through coverage, {ms_pose_edge} ms through edge products; on the
  weights {ms_cover} and {ms_edge} ms. On busy cores: read the ratios.
- **The medoid costs the last degrees.** With the car's own mesh the pose alone ends at mIoU {own_iou} and MVE {own_mve}°,
  with the medoid of its class at {class_iou} and {class_mve}°, of the class that is said at {pose_cover_iou} and
  {pose_cover_mve}°. The medoid of a wrong class makes rotations worse than they were: {wrong_iou}, {wrong_mve}°.
- **A mask as input** is the easier one: class {mask_class}, mIoU {mask_iou}, MVE {mask_mve}°, Acc_π/6 {mask_acc}. That is
  better than a medoid's silhouette can tell: refined, mIoU rises to {mask_iou_after} and MVE too, to {mask_mve_after}°. It
  presumes that the mask is known, as the refinement does.
- **The cosine head fails**: MVE {cos_mve}°, mIoU {cos_iou}. Cars seen from the front have a median error of {cos_front}°,
  those from behind {cos_rear}°: the pan's sign is lost with its cosine, none of them can be said, and {cos_side} of them
  are said as seen straight from a side, where Eq. 2 is least ({true_side} are). With it goes t in the world, whose error is
  {cos_t} against {alone_t}. Refining mends neither (MVE {cos_mve_after}°). So the paper's .86 is out of this head's reach for
  cameras all around; what was done otherwise is not told.
- **Real cars**: trained on {real} of them among {train} procedural ones, the image encoder generalises badly. Class
  {real_class}, mIoU {real_iou}, MVE {real_mve}°, Acc_π/6 {real_acc}; {real_flip} are flipped (sedans {sedan_flip}), and of
  those seen from the front {real_mirrored} are said as mirrored, from behind. Refined, mIoU is {real_iou_after} and MVE
  {real_mve_after}°, but Acc_π/6 {real_acc_after} only, and the translation error grows, {real_t}: another car's mesh covers
  a mask best at another distance (with its own it falls to {real_own_t}). What is hard is their looks rather than their
  shapes: from masks the same cars come to {real_mask_mve}° and Acc_π/6 {real_mask_acc}.

{table_2}
The rows of the paper are its own differences; ours are means and medians over the images' own changes. Where no step is
better by the mask, the encoder's pose stays.

- **Edge products want resolution**, as the paper found: refining the weights gains {edge_16} of IoU at 16 px and {edge_256} at
  256 px, the paper's +.00 and +.13. Its gain of {paper_256}° at 256 px we do not see: our mean change is {turn_128}° at 128 px,
  interval [{turn_low}, {turn_high}], and of no resolution does the interval leave 0 out. The fall of the MVE in Table 1 is that
  of a median; the images' own median change there is 0, and some are turned the wrong way.
- **Coverage hardly does**: {cover_16} of IoU and {cover_turn_16}° at 16 px, {cover_256} and {cover_turn_256}° at 256 px.
  SoftRas is nearly as good from 64 px on and turns nothing at 16. That low resolutions are of no use holds for the paper's
  operator, not for silhouettes.
- On real models, in the files, the gains of IoU are larger and those of rotations through SoftRas and coverage about as large;
  translations gain nothing.

![Errors over the steps, and refinements step by step](../images/raster_pose_results.jpg)

*As the paper's Figures 6 (c) and 5. Above: the pose alone, mean over the procedural test images, every step's pose; what is
returned is the best. Below: through coverage, silhouettes in red, the true mask's outline in blue, the rotation error in each
panel. Rows are chosen by measure, at most one an object and group.*

Over 30 steps the mean rotation error goes {step_cover}° through coverage, {step_soft}° through SoftRas and {step_edge}° through
edge products. The first steps lose what later ones gain: Adam's are of a set length, whatever there is to mend. The failures
shown are of one kind, front and back exchanged under a silhouette that fits, mostly of cars seen nearly straight from the front
or from behind: those that the encoder turned round end at 180°, those that it put at 112° to 119° are nearer to the wrong end
and go there. Where it was 50° to 70° off, the turn has not come to its end after 30 steps.

![Refinements of real models, failures](../images/raster_pose_real.jpg)

*The image with the largest rotation error of each of six real models, as above.* Toys in flat colours, and grey models without
lights or paint: the front is not told from the back. Refined, they cover their masks and stay turned round, or nearly.
"""


Found = dict[tuple[str, str], dict]
"""Label and test set to row."""


def ours(report: dict) -> Found:
    return {(row["label"], source_of(row)): row for row in report["rows"] if not is_printed(row)}


def printed(report: dict) -> dict[str, float]:
    return {row["label"]: row["values"][POOLED] for row in report["rows"] if is_printed(row)}


def value(found: Found, way: str, quantity: str, test: str = PROCEDURAL) -> float:
    return found[f"{way}: {quantity}", test]["values"][POOLED]["value"]


# --- table 1 -------------------------------------------------------------------------------------------------------


def table_1(report: dict) -> str:
    """A row a way to a pose, a column a quantity; the report's own rows are these cells."""
    found, cited = ours(report), printed(report)
    ways = list(dict.fromkeys(label.rpartition(": ")[0] for label, _ in found))
    ways.sort(key=lambda way: way.startswith(COSINE) + 2 * way.startswith(MASK))
    lines = head(f"**Table 1**: {report['title']}", tuple(MEASURES))
    for who in dict.fromkeys(label.rpartition(": ")[0] for label in cited):
        name = who.removesuffix(" (on other data than Palazzi 2018's)")
        lines.append(line(name, PAPER, [_cited(cited, who, column) for column in MEASURES]))
    for test in (PROCEDURAL, REAL):
        lines += [line(way, test, [_measured(found, way, column, test) for column in MEASURES]) for way in ways]
    return "\n".join(lines) + "\n"


def _cited(cited: dict[str, float], who: str, column: str) -> str:
    label = f"{who}: {MEASURES[column]}"
    return f"{cited[label]:.{digits(column) or 2}f}" if label in cited else ""


def _measured(found: Found, way: str, column: str, test: str) -> str:
    row = found.get((f"{way}: {MEASURES[column]}", test))
    if row is None:
        return ""
    known = row["values"][POOLED]
    if not isinstance(known, dict):
        return f"{known:.{digits(column)}f}"
    if column in WITH_INTERVAL:
        return cell({"label": _unit(column), "values": {POOLED: known}}, POOLED)
    return number(known["value"], _unit(column))


def digits(column: str) -> int:
    return 1 if column.endswith("°") else 0


def _unit(column: str) -> str:
    return ", degrees" if column.endswith("°") else ""


# --- table 2 -------------------------------------------------------------------------------------------------------


def table_2(report: dict) -> str:
    """On procedural test images; the files hold the real models' too."""
    found, cited = ours(report), printed(report)
    lines = head(f"**Table 2**: {report['title']}", ("the paper's", *WAYS_2))
    for quantity, name in GAINS.items():
        for px in SIDES:
            paper = cited.get(f"Palazzi 2018, {px} px: {quantity}")
            cells = [_gain(value(found, f"{way}, {px} px", quantity), name) for way in WAYS_2.values()]
            lines.append(line(f"{name}, {px} px", PROCEDURAL, ["" if paper is None else f"{paper:+.2f}", *cells]))
    return "\n".join(lines) + "\n"


def _gain(change: float, name: str) -> str:
    places = 2 if name.endswith("°") else 3
    return f"{round(change, places) + 0.0:+.{places}f}"  # without -0.00


def figures() -> dict[str, str | int | float]:
    """What stands in the text."""
    one, two = (load(f"palazzi2018-table-{table}-laptop") for table in (1, 2))
    sets, runs, found = one["data"], one["runs"], ours(one)
    return {
        "table_1": table_1(one),
        "table_2": table_2(two),
        "train": f"{objects(sets, 'procedural-train'):,}",
        "real": objects(sets, "real-train"),
        "test": objects(sets, "procedural-test"),
        "real_test": objects(sets, "real-test"),
        "hours": sum(run["hours"] for run in runs.values()),
        "steps": next(iter(runs.values()))["steps"],
        **figures_of_encoders(found),
        **figures_of_refinements(found),
        **figures_of_meshes(found),
        **figures_of_real_cars(one, found),
        **figures_of_sides(two),
        **figures_of_steps(ours(load("palazzi2018-figure-6-laptop"))),
    }


def figures_of_encoders(found: Found) -> dict[str, str]:
    poses = load("palazzi2018-poses-laptop")
    image, cosine = poses[""][PROCEDURAL], poses["cosine"][PROCEDURAL]
    return {
        "class_alone": percent(value(found, ENCODER, CLASS)),
        **quality(found, "alone", ENCODER),
        "acc_alone": f"{value(found, ENCODER, ACC):.2f}",
        "mean_alone": f"{value(found, ENCODER, MEAN):.0f}",
        "rear_90": percent(image["rear"]["beyond_90"]),
        "front_90": percent(image["front"]["beyond_90"]),
        "mask_class": f"{value(found, MASK + ENCODER, CLASS):.2f}",
        "mask_iou": f"{value(found, MASK + ENCODER, IOU):.3f}",
        "mask_mve": f"{value(found, MASK + ENCODER, MVE):.1f}",
        "mask_acc": f"{value(found, MASK + ENCODER, ACC):.2f}",
        **quality(found, "mask_after", MASK + COVERAGE),
        "cos_mve": f"{value(found, COSINE + ENCODER, MVE):.0f}",
        "cos_iou": f"{value(found, COSINE + ENCODER, IOU):.2f}",
        "cos_t": f"{value(found, COSINE + ENCODER, SHIFT):.2f}",
        "alone_t": f"{value(found, ENCODER, SHIFT):.2f}",
        "cos_mve_after": f"{value(found, COSINE + COVERAGE, MVE):.0f}",
        "cos_front": f"{cosine['front']['rotation_deg_median']:.0f}",
        "cos_rear": f"{cosine['rear']['rotation_deg_median']:.0f}",
        "cos_side": percent(cosine["rear"]["sideways"]),
        "true_side": percent(cosine["rear"]["truly_sideways"]),
    }


def figures_of_refinements(found: Found) -> dict[str, str]:
    tuned = [TUNED.format(name) for name in OPERATORS]
    refined = [REFINED.format(name) for name in OPERATORS]
    flips = [value(found, way, FLIPPED) for way in tuned + refined]
    before_after = [ENCODER, tuned[0]]
    return {
        "edge_iou": arrow(found, before_after, IOU, 2),
        "edge_mve": arrow(found, before_after, MVE, 1),
        "edge_acc": arrow(found, before_after, ACC, 2),
        **quality(found, "soft", tuned[1]),
        **quality(found, "cover", tuned[2]),
        **quality(found, "pose_edge", refined[0]),
        **quality(found, "pose_soft", refined[1]),
        **quality(found, "pose_cover", refined[2]),
        "flip_alone": f"{value(found, ENCODER, FLIPPED):.3f}",
        "flip_tuned": f"{min(flips):.3f}",
        "flip_most": f"{max(flips):.3f}",
        "mean_least": f"{min(value(found, way, MEAN) for way in tuned + refined):.0f}",
        "ms_pose": milliseconds(found, refined[2]),
        "ms_pose_edge": milliseconds(found, refined[0]),
        "ms_cover": milliseconds(found, tuned[2]),
        "ms_edge": milliseconds(found, tuned[0]),
    }


def figures_of_meshes(found: Found) -> dict[str, str]:
    meshes = {"own": "true mesh", "class": "medoid of the true class", "wrong": "medoid of a wrong class"}
    return {
        key: text for name, mesh in meshes.items() for key, text in quality(found, name, f"{COVERAGE}, {mesh}").items()
    }


def figures_of_real_cars(report: dict, found: Found) -> dict[str, str]:
    flipped = ours(report)[f"{ENCODER}: {FLIPPED}", REAL]["values"]
    mirrored = load("palazzi2018-poses-laptop")[""][REAL]["front"]["mirrored"]
    return {
        "real_class": f"{value(found, ENCODER, CLASS, REAL):.2f}",
        **quality(found, "real", ENCODER, REAL),
        "real_acc": f"{value(found, ENCODER, ACC, REAL):.2f}",
        "real_flip": percent(flipped[POOLED]["value"]),
        "sedan_flip": percent(flipped["sedan"]["value"]),
        "real_mirrored": percent(mirrored),
        **quality(found, "real_after", COVERAGE, REAL),
        "real_acc_after": f"{value(found, COVERAGE, ACC, REAL):.2f}",
        "real_t": arrow(found, [ENCODER, COVERAGE], SHIFT, 2, REAL),
        "real_own_t": f"{value(found, f'{COVERAGE}, true mesh', SHIFT, REAL):.2f}",
        "real_mask_mve": f"{value(found, MASK + ENCODER, MVE, REAL):.1f}",
        "real_mask_acc": f"{value(found, MASK + ENCODER, ACC, REAL):.2f}",
    }


def figures_of_sides(report: dict) -> dict[str, str]:
    """Of table 2."""
    found, edges = ours(report), TUNED.format("edge_product")
    turn = "change of the rotation error, degrees"
    at_128 = found[f"{edges}, 128 px: {turn}", PROCEDURAL]["values"][POOLED]
    at = {
        f"{name}{key}_{px}": f"{value(found, f'{way}, {px} px', quantity):{form}}"
        for name, way in (("edge", edges), ("cover", COVERAGE))
        for key, quantity, form in (("", "change of IoU", "+.3f"), ("_turn", turn, "+.1f"))
        for px in SIDES
    }
    return at | {
        "paper_256": f"{printed(report)[f'Palazzi 2018, 256 px: {turn}']:.2f}",
        "turn_128": f"{at_128['value']:.1f}",
        "turn_low": f"{at_128['low']:.1f}",
        "turn_high": f"{at_128['high']:.1f}",
    }


def figures_of_steps(found: Found) -> dict[str, str]:
    """Of figure 6."""
    short = {"step_edge": "edge_product", "step_soft": "soft_raster", "step_cover": "coverage"}
    steps = {key: [f"{REFINED.format(name)}, step {step}" for step in (0, 30)] for key, name in short.items()}
    return {key: arrow(found, ends, MEAN, 1) for key, ends in steps.items()}


def quality(found: Found, name: str, way: str, test: str = PROCEDURAL) -> dict[str, str]:
    """mIoU and MVE of a way, under the keys NAME_iou and NAME_mve; of 'x_after', x_iou_after and x_mve_after."""
    stem, after, _ = name.partition("_after")
    return {
        f"{stem}_iou{after}": f"{value(found, way, IOU, test):.3f}",
        f"{stem}_mve{after}": f"{value(found, way, MVE, test):.1f}",
    }


def arrow(found: Found, ways: list[str], quantity: str, places: int, test: str = PROCEDURAL) -> str:
    return " → ".join(f"{value(found, way, quantity, test):.{places}f}" for way in ways)


def milliseconds(found: Found, way: str) -> str:
    return f"{found[f'{way}: milliseconds an image', PROCEDURAL]['values'][POOLED]:.0f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def main() -> None:
    write_results(PAPERS / "raster_pose.md", TEXT.format(heading=HEADING, **figures()))


if __name__ == "__main__":
    main()
