"""Figures of a set of predictions: reliability, confusion matrix, ROC and precision-recall curves.

labels (N,) are indices into CODES, probabilities (N, 7). Written as PNG into a folder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, confusion_matrix, precision_recall_curve, roc_curve

from skin_lesion.classes import CLASSES, CODES
from train.metrics import BINS, auc, ece

DPI = 150
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))  # one a class: not by colour alone


def write_figures(folder: Path, labels: np.ndarray, probabilities: np.ndarray, basis: str) -> None:
    """Write the figures of CAPTIONS into `folder`. basis: what they were measured on, printed below each."""
    folder.mkdir(exist_ok=True)
    drawn = {
        "reliability.png": _reliability(labels, probabilities),
        "confusion.png": _confusion(labels, probabilities),
        "roc.png": _roc(labels, probabilities),
        "precision_recall.png": _precision_recall(labels, probabilities),
    }
    for name, figure in drawn.items():
        figure.supxlabel(basis, fontsize=8)
        # no software version in the file: the same figures give the same bytes
        figure.savefig(folder / name, dpi=DPI, metadata={"Software": None})


def _figure(width: float = 6.0, height: float = 5.4) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")  # inches; no pyplot, no global state


def _reliability(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    figure = _figure()
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="as sure as it is right")
    for b in np.unique(index):
        inside = index == b
        share, error = hit[inside].mean(), 1.96 * np.sqrt(hit[inside].mean() * (1 - hit[inside].mean()) / inside.sum())
        above.errorbar(confidence[inside].mean(), share, error, fmt="o", color="C0", capsize=3)
    above.set(ylabel="share that was right", ylim=(0, 1.03), xlim=(0, 1))
    error = ece(labels, probabilities)
    above.set_title(
        f"Expected calibration error {error:.3f} ({BINS} bins; bars: ± 1.96 s.e. of the images)", fontsize=10
    )
    above.legend(loc="lower right")
    below.hist(confidence, bins=np.linspace(0, 1, BINS + 1), color="C0", edgecolor="white")
    below.set(xlabel="probability of the most probable class", ylabel="images")
    return figure


def _confusion(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    counts = confusion_matrix(labels, probabilities.argmax(1), labels=range(len(CODES)))
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = _figure(6.4, 5.6)
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        axes.text(
            column, row, f"{count}\n{share[row, column]:.0%}", ha="center", va="center", fontsize=8,
            color="white" if share[row, column] > 0.55 else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(CODES)), CODES)
    axes.set_yticks(range(len(CODES)), CODES)
    axes.set(xlabel="predicted", ylabel="true", title="Confusion matrix")
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    return figure


def _roc(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    for i, look in _looks(labels):
        false_positive, true_positive, _ = roc_curve(labels == i, probabilities[:, i])
        axes.plot(false_positive, true_positive, label=f"{CODES[i]}  AUC {auc(labels, probabilities, i):.3f}", **look)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_title("ROC, each class against the rest")
    axes.legend(loc="lower right")
    return figure


def _precision_recall(labels: np.ndarray, probabilities: np.ndarray) -> Figure:
    figure = _figure()
    axes = figure.subplots()
    for i, look in _looks(labels):
        precision, recall, _ = precision_recall_curve(labels == i, probabilities[:, i])
        mean = average_precision_score(labels == i, probabilities[:, i])
        label = f"{CODES[i]}  AP {mean:.3f}, {np.mean(labels == i):.3f} by chance"
        axes.plot(recall, precision, label=label, drawstyle="steps-post", **look)
    axes.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.set_title("Precision and recall, each class against the rest")
    figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    return figure


def _looks(labels: np.ndarray) -> Iterator[tuple[int, dict[str, Any]]]:
    """Index and line style of the classes that have a curve: some images are of it, and some are not."""
    for i, c in enumerate(CLASSES):
        if 0 < np.sum(labels == i) < len(labels):
            yield i, {"color": c.colour, "linestyle": STYLES[i]}
