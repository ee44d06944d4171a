"""(labels, probabilities) -> named values. Pure functions of arrays; no files, no model.

Labels are (N,) indices into CODES, probabilities (N, 7). Shares are in [0, 1], not per cent.
A value that the data do not define (AUC of a class that is absent) is None.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score, roc_curve

from skin_lesion.classes import CODES

MEL = CODES.index("mel")
BINS = 15  # of the calibration error
SPECIFICITY = 0.95  # at which melanoma sensitivity is read
REPLICATES = 1000  # of the bootstrap


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(1) == labels))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    labels = np.asarray(labels)
    hit = probabilities.argmax(1) == labels
    return float(np.mean([hit[labels == c].mean() for c in np.unique(labels)]))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 over all seven classes; one that is neither present nor predicted counts 0."""
    return float(np.mean(_precision_recall_f1(labels, probabilities)[2]))


def auc(labels: np.ndarray, probabilities: np.ndarray, index: int) -> float | None:
    """Area under the ROC curve of one class against the rest."""
    positive = labels == index
    if positive.all() or not positive.any():
        return None
    return float(roc_auc_score(positive, probabilities[:, index]))


def macro_auc(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Mean one-against-rest AUC over the classes that occur."""
    values = [a for i in range(len(CODES)) if (a := auc(labels, probabilities, i)) is not None]
    return float(np.mean(values)) if values else None


def melanoma_sensitivity(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Share of the melanomas whose most probable class is melanoma."""
    positive = labels == MEL
    return float(np.mean(probabilities[positive].argmax(1) == MEL)) if positive.any() else None


def melanoma_specificity(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Share of the other lesions whose most probable class is not melanoma."""
    negative = labels != MEL
    return float(np.mean(probabilities[negative].argmax(1) != MEL)) if negative.any() else None


def melanoma_sensitivity_at_specificity(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
    """Largest melanoma sensitivity of any threshold whose specificity is at least SPECIFICITY."""
    positive = labels == MEL
    if positive.all() or not positive.any():
        return None
    false_positive, true_positive, _ = roc_curve(positive, probabilities[:, MEL], drop_intermediate=False)
    return float(true_positive[false_positive <= 1 - SPECIFICITY + 1e-12].max())


def ece(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the top class, equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(hit[index == b].mean() - confidence[index == b].mean()) * np.mean(index == b) for b in np.unique(index)]
    return float(np.sum(gaps))


HEADLINES: dict[str, Callable[[np.ndarray, np.ndarray], float | None]] = {
    "balanced_accuracy": balanced_accuracy,
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "macro_auc": macro_auc,
    "melanoma_auc": lambda labels, probabilities: auc(labels, probabilities, MEL),
    "melanoma_sensitivity": melanoma_sensitivity,
    "melanoma_specificity": melanoma_specificity,
    "melanoma_sensitivity_at_95_specificity": melanoma_sensitivity_at_specificity,
    "ece": ece,
}


def summarise(
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Any]:
    """Every published figure of one set of images.

    Args:
        lesions: (N,) name of each image's lesion; whole lesions are drawn for the intervals.

    Returns:
        {"images", "lesions", "headlines": {name: {"value", "low", "high"}},
         "per_class": {code: {"precision", "recall", "f1", "auc", "support"}},
         "confusion": 7 × 7 counts, rows the true class, columns the predicted one}
    """
    _check(labels, probabilities, lesions)
    precision, recall, f1 = _precision_recall_f1(labels, probabilities)
    intervals = bootstrap(labels, probabilities, lesions, replicates, seed)
    return {
        "images": len(labels),
        "lesions": len(np.unique(lesions)),
        "interval": f"95 %, percentile bootstrap over lesions, {replicates} replicates, seed {seed}",
        "headlines": {
            name: {
                "value": _round(metric(labels, probabilities)),
                "low": intervals[name][0],
                "high": intervals[name][1],
            }
            for name, metric in HEADLINES.items()
        },
        "per_class": {
            code: {
                "precision": _round(precision[i]),
                "recall": _round(recall[i]),
                "f1": _round(f1[i]),
                "auc": _round(auc(labels, probabilities, i)),
                "support": int(np.sum(labels == i)),
            }
            for i, code in enumerate(CODES)
        },
        "confusion": confusion_matrix(labels, probabilities.argmax(1), labels=range(len(CODES))).tolist(),
    }


def bootstrap(
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, replicates: int, seed: int
) -> dict[str, tuple[float | None, float | None]]:
    """95 % percentile intervals of the headlines, drawing whole lesions with replacement."""
    _, inverse = np.unique(lesions, return_inverse=True)
    images = [np.flatnonzero(inverse == i) for i in range(inverse.max() + 1)]
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in HEADLINES}
    for _ in range(replicates):
        index = np.concatenate([images[i] for i in rng.integers(len(images), size=len(images))])
        for name, metric in HEADLINES.items():
            value = metric(labels[index], probabilities[index])
            if value is not None:
                drawn[name].append(value)
    limits: dict[str, tuple[float | None, float | None]] = {}
    for name, values in drawn.items():
        low, high = np.percentile(values, [2.5, 97.5]) if values else (None, None)
        limits[name] = (_round(low), _round(high))
    return limits


def _precision_recall_f1(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, ...]:
    return precision_recall_fscore_support(labels, probabilities.argmax(1), labels=range(len(CODES)), zero_division=0)[
        :3
    ]


def _check(labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray) -> None:
    if not len(labels):
        raise ValueError("There is no image to evaluate.")
    if probabilities.shape != (len(labels), len(CODES)) or len(lesions) != len(labels):
        raise ValueError(
            f"Shapes do not fit: labels {labels.shape}, probabilities {probabilities.shape} "
            f"(expected ({len(labels)}, {len(CODES)})), lesions {lesions.shape}."
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("Some probabilities are not finite.")


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), 4)
