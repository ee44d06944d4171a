"""Markdown tables of metrics.json, for the app's pages, the model card and the README."""

from typing import Any

from skin_lesion.classes import CLASSES, CODES

HEADLINE_NAMES = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "macro_f1": "Macro-F1",
    "macro_auc": "Macro AUC",
    "melanoma_auc": "Melanoma AUC",
    "melanoma_sensitivity": "Melanoma sensitivity (most probable class)",
    "melanoma_specificity": "Melanoma specificity (most probable class)",
    # optimistic: nobody knows this threshold before the test
    "melanoma_sensitivity_at_95_specificity": "Melanoma sensitivity at specificity ≥ 0.95 (threshold set on the test)",
    "ece": "Expected calibration error (15 bins)",
}


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def with_interval(entry: dict[str, float | None]) -> str:
    return f"{number(entry['value'])} ({number(entry['low'])}–{number(entry['high'])})"


def headline_lines(summary: dict[str, Any]) -> str:
    """One line a headline, for the terminal."""
    return "\n".join(
        f"{HEADLINE_NAMES[name]:60} {with_interval(figure)}" for name, figure in summary["headlines"].items()
    )


def headline_table(test: dict[str, Any]) -> str:
    lines = ["| measure | value (95 % interval) |", "|---|---|"]
    lines += [f"| {HEADLINE_NAMES[name]} | {with_interval(entry)} |" for name, entry in test["headlines"].items()]
    return "\n".join(lines)


def class_table(test: dict[str, Any]) -> str:
    lines = ["| class | precision | recall | specificity | F1 | AUC | test images |", "|---|" + "---:|" * 6]
    for c in CLASSES:
        row = test["per_class"][c.code]
        values = " | ".join(number(row.get(key)) for key in ("precision", "recall", "specificity", "f1", "auc"))
        lines.append(f"| {c.code}: {c.short_name} | {values} | {row['support']} |")
    return "\n".join(lines)


def confusion_table(test: dict[str, Any]) -> str:
    """Counts; a row is the true class, a column the predicted one."""
    lines = [f"| true \\ predicted | {' | '.join(CODES)} |", "|---|" + "---:|" * len(CODES)]
    for code, row in zip(CODES, test["confusion"], strict=True):
        lines.append(f"| {code} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def set_table(achieved: dict[str, Any]) -> str:
    """What the prediction sets hold and how large they are, one column a level."""
    sets = achieved["sets"]
    lines = [
        f"| prediction sets | {' | '.join(f'at {float(level):.0%}' for level in sets)} |",
        "|---|" + "---|" * len(sets),
    ]
    rows = {
        "the true class is in the set": [with_interval(s["coverage"]) for s in sets.values()],
        "classes in the set, on average": [with_interval(s["size"]) for s in sets.values()],
        "sets of one class only": [with_interval(s["alone"]) for s in sets.values()],
    }
    for code in CODES:
        found = [s["coverage_per_class"][code] for s in sets.values()]
        rows[f"… of the {code} images"] = [with_interval(f) if f else "–" for f in found]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows.items()]
    return "\n".join(lines)


def operating_table(achieved: dict[str, Any]) -> str:
    """Sensitivity and specificity of the thresholds that were set on the validation part."""
    lines = ["| score | aimed-at sensitivity | threshold | sensitivity | specificity |", "|---|---:|---:|---:|---:|"]
    for name, points in achieved["operating_points"].items():
        for p in points:
            found = " | ".join(with_interval(p[key]) for key in ("achieved_sensitivity", "achieved_specificity"))
            lines.append(f"| {name} | {p['sensitivity']:.2f} | {p['threshold']:.4f} | {found} |")
    return "\n".join(lines)


def foreign_table(test: dict[str, Any]) -> str:
    """How many pictures that are no dermatoscopic images were noticed."""
    foreign = test["foreign"]
    lines = ["| pictures | number | noticed |", "|---|---:|---:|"]
    lines += [f"| {kind} | {row['images']} | {row['caught']:.0%} |" for kind, row in foreign["kinds"].items()]
    kept = with_interval(test["decision"]["kept"])
    lead = (
        f"Share of the held-out dermatoscopic images that are taken for such: {kept}. Share of "
        f"{foreign['images']} other pictures ({test['foreign_source']}) that are noticed: "
        f"{number(foreign['caught'])}; AUROC of the distance: {number(foreign['auroc'])}. All by the distance; a grey "
        "image is taken for such whatever its distance."
    )
    if test["foreign_source"] == "built in":
        lead += (
            " Photographs count whole and in quarters. How the distance is measured was chosen with many of these at "
            "hand; others may be harder to notice, and above all photographs of skin that were taken to show a "
            "lesion: none was at hand, only the skin of two portraits and drawings."
        )
    return f"{lead}\n\n" + "\n".join(lines)


def quality_table(test: dict[str, Any]) -> str:
    """How often each hint on quality is given to held-out images as they are, and to degraded copies."""
    found = test["quality"]
    caught: dict[str, list[str]] = {hint: [] for hint in found["flagged"]}
    for name, row in found["caught"].items():
        caught[row["hint"]].append(f"{name}: {with_interval(row['share'])}")
    lines = [
        "| hint | share of the held-out images that get it | share of degraded copies that get it |",
        "|---|---|---|",
    ]
    lines += [
        f"| {hint.replace('_', ' ')} | {with_interval(share)} | {'; '.join(caught[hint]) or '–'} |"
        for hint, share in found["flagged"].items()
    ]
    text = (
        "What may make an answer worth less. The limits were set on training and validation images. Held-out images "
        f"are taken for good ones here, which not all of them are; {found['degraded']} of them were degraded."
    )
    if "cut_off" in found:
        cut = found["cut_off"]
        shares = [with_interval(cut[name]) if cut[name] else "–" for name in ("sensitivity", "specificity")]
        text += (
            f" By the official masks {cut['images']} held-out images show a lesion that is cut off, as it covers "
            f"{cut['from']:.0%} of a side of the image or more: sensitivity {shares[0]}, specificity {shares[1]}. "
            "Slightly optimistic: while this hint was being made, it was measured on HAM10000's held-out images more "
            "than once."
        )
    return f"{text}\n\n" + "\n".join(lines)


def altered_table(test: dict[str, Any]) -> str:
    """How often an altered copy of an image gets the answer of the image, and how good these answers are."""
    lines = ["| the held-out image | same answer | balanced accuracy |", "|---|---|---|"]
    lines += [
        f"| {name} | {with_interval(row['same'])} | {with_interval(row['balanced_accuracy'])} |"
        for name, row in test["altered"].items()
    ]
    return "\n".join(lines)


def subgroup_table(test: dict[str, Any]) -> str:
    """Figures by age, sex, site and how the diagnosis was made; – where too few images would make them noise."""
    measures = ("accuracy", "melanoma_auc", "melanoma_sensitivity", "melanoma_specificity")
    names = "accuracy | melanoma AUC | melanoma sensitivity | melanoma specificity"
    lines = [f"| group | images | lesions | melanomas | {names} |", "|---|---:|---:|---:|---|---|---|---|"]
    for group, rows in test["subgroups"].items():
        for value, row in rows.items():
            counts = " | ".join(f"{row[key]:,}" for key in ("images", "lesions", "melanomas"))
            figures = " | ".join(with_interval(row[m]) if row[m]["value"] is not None else "–" for m in measures)
            lines.append(f"| {group}: {value} | {counts} | {figures} |")
    return "\n".join(lines)


def basis(test: dict[str, Any]) -> str:
    """What the figures were measured on, as a sentence."""
    return (
        f"{test['images']:,} held-out images ({test['image_size']} pixels) of {test['lesions']:,} lesions, none of "
        f"which is in the training or validation part. Intervals: {test['interval']}."
    )


def all_tables(test: dict[str, Any]) -> str:
    """Basis, headlines, classes and confusion matrix."""
    return (
        f"{basis(test)}\n\n{headline_table(test)}\n\n{class_table(test)}\n\n"
        f"How often which class was taken for which:\n\n{confusion_table(test)}"
    )
