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


def headline_table(test: dict[str, Any]) -> str:
    lines = ["| measure | value (95 % interval) |", "|---|---|"]
    lines += [f"| {HEADLINE_NAMES[name]} | {with_interval(entry)} |" for name, entry in test["headlines"].items()]
    return "\n".join(lines)


def class_table(test: dict[str, Any]) -> str:
    lines = ["| class | precision | recall | F1 | AUC | test images |", "|---|---:|---:|---:|---:|---:|"]
    for c in CLASSES:
        row = test["per_class"][c.code]
        values = " | ".join(number(row[key]) for key in ("precision", "recall", "f1", "auc"))
        lines.append(f"| {c.code}: {c.short_name} | {values} | {row['support']} |")
    return "\n".join(lines)


def confusion_table(test: dict[str, Any]) -> str:
    """Counts; a row is the true class, a column the predicted one."""
    lines = [f"| true \\ predicted | {' | '.join(CODES)} |", "|---|" + "---:|" * len(CODES)]
    for code, row in zip(CODES, test["confusion"], strict=True):
        lines.append(f"| {code} | {' | '.join(map(str, row))} |")
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
