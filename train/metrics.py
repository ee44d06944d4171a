"""(labels, probabilities) -> named values. Pure functions of arrays; no files, no model.

Labels are (N,) indices into CODES, probabilities (N, 7). Shares are in [0, 1], not per cent.
A value that the data do not define (AUC of a class that is absent) is None.

scikit-learn gives the same, as tests/test_metrics.py compares; but the bootstrap asks for each figure a thousand times,
and by counting and sorting alone it is there in a fraction of the time.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from skin_lesion.classes import CODES

MEL = CODES.index("mel")
BINS = 15  # of the calibration error
SPECIFICITY = 0.95  # at which melanoma sensitivity is read
REPLICATES, SEED = 1000, 0  # of the bootstrap

Metric = Callable[[np.ndarray, np.ndarray], float | None]  # (labels, probabilities) -> value


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(1) == labels))


def balanced_accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean recall over the classes that occur."""
    counts = confusion(labels, probabilities)
    return float(np.mean(_precision_recall_f1(counts)[1][counts.any(1)]))


def macro_f1(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean F1 over the classes that occur."""
    counts = confusion(labels, probabilities)
    return float(np.mean(_precision_recall_f1(counts)[2][counts.any(1)]))


def auc(labels: np.ndarray, probabilities: np.ndarray, index: int) -> float | None:
    """Area under the ROC curve of one class against the rest, as the Mann-Whitney statistic."""
    positive = labels == index
    count = int(positive.sum())
    if count in (0, len(labels)):
        return None
    rest, scores = np.sort(probabilities[~positive, index]), probabilities[positive, index]
    # pairs won; a tie is half of one
    won = (np.searchsorted(rest, scores, "left").sum() + np.searchsorted(rest, scores, "right").sum()) / 2
    return float(won / (count * (len(labels) - count)))


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
    rest = np.sort(probabilities[~positive, MEL])
    above = int((1 - SPECIFICITY + 1e-12) * len(rest))  # so many of the rest may reach the threshold
    return float(np.mean(probabilities[positive, MEL] > rest[-1 - above]))


def confusion(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(7, 7) counts, rows the true class, columns the predicted one."""
    count = len(CODES)
    return np.bincount(labels * count + probabilities.argmax(1), minlength=count**2).reshape(count, count)


def ece(labels: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error of the top class, equal-width bins (Guo et al. 2017, arXiv:1706.04599)."""
    confidence = probabilities.max(1)
    hit = probabilities.argmax(1) == labels
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    return float(np.abs(np.bincount(index, hit - confidence)).sum() / len(labels))


HEADLINES: dict[str, Metric] = {
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
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, replicates: int = REPLICATES
) -> dict[str, Any]:
    """The headlines with intervals, the classes and the confusion matrix of one set of images.

    Args:
        lesions: (N,) name of each image's lesion; whole lesions are drawn for the intervals.

    Returns:
        {"images", "lesions", "interval", "headlines": {name: {"value", "low", "high"}},
         "per_class": {code: {"precision", "recall", "specificity", "f1", "auc", "support"}},
         "confusion": 7 × 7 counts, rows the true class, columns the predicted one}
    """
    _check(labels, probabilities, lesions)
    counts = confusion(labels, probabilities)
    precision, recall, f1 = _precision_recall_f1(counts)
    answers = probabilities.argmax(1)
    return {
        "images": len(labels),
        "lesions": len(np.unique(lesions)),
        "interval": f"95 %, percentile bootstrap over lesions, {replicates} replicates, seed {SEED}",
        "headlines": estimate(HEADLINES, labels, probabilities, lesions, replicates),
        "per_class": {
            code: {
                "precision": _round(precision[i]),
                "recall": _round(recall[i]),
                "specificity": _round(np.mean(answers[labels != i] != i)) if (labels != i).any() else None,
                "f1": _round(f1[i]),
                "auc": _round(auc(labels, probabilities, i)),
                "support": int(np.sum(labels == i)),
            }
            for i, code in enumerate(CODES)
        },
        "confusion": counts.tolist(),
    }


def estimate(
    metrics: Mapping[str, Metric],
    labels: np.ndarray,
    probabilities: np.ndarray,
    lesions: np.ndarray,
    replicates: int = REPLICATES,
) -> dict[str, dict[str, float | None]]:
    """{name: {"value", "low", "high"}}: 95 % percentile intervals, drawing whole lesions with replacement."""
    _, inverse = np.unique(lesions, return_inverse=True)
    drawn: dict[str, list[float]] = {name: [] for name in metrics}
    for times in _draws(inverse.max() + 1, replicates):
        index = np.repeat(np.arange(len(labels)), times[inverse])
        sample = labels[index], probabilities[index]
        for name, metric in metrics.items():
            value = metric(*sample)
            if value is not None:
                drawn[name].append(value)
    found = {}
    for name, metric in metrics.items():
        low, high = np.percentile(drawn[name], [2.5, 97.5]) if drawn[name] else (None, None)
        found[name] = {"value": _round(metric(labels, probabilities)), "low": _round(low), "high": _round(high)}
    return found


def shares(
    hits: np.ndarray, counted: np.ndarray, lesions: np.ndarray, replicates: int = REPLICATES
) -> dict[str, list[float | None]]:
    """{"value", "low", "high"}, each T long: many shares at once, with the intervals that `estimate` gives to each.

    Args:
        hits: (N, T) bool.
        counted: (N, T) or (N, 1) bool, the images that the share is of; where none is, it is None.
    """
    _, inverse = np.unique(lesions, return_inverse=True)
    lesion = np.eye(inverse.max() + 1)[inverse].T  # (lesions, N)
    of = np.broadcast_to(counted, hits.shape)
    hit, of = lesion @ (hits & of), lesion @ of  # (lesions, T)
    drawn = _draws(len(hit), replicates)
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan: no share
        value, found = hit.sum(0) / of.sum(0), (drawn @ hit) / (drawn @ of)
    low, high = np.full((2, hits.shape[1]), np.nan)
    some = ~np.isnan(found).all(0)
    if some.any():
        low[some], high[some] = np.nanpercentile(found[:, some], [2.5, 97.5], axis=0)
    return {
        name: [None if np.isnan(v) else _round(v) for v in values]
        for name, values in (("value", value), ("low", low), ("high", high))
    }


@lru_cache(maxsize=4)  # one figure after the other is of the same lesions
def _draws(count: int, replicates: int) -> np.ndarray:
    """(replicates, count) int32: how often each lesion is drawn."""
    rng = np.random.default_rng(SEED)
    drawn = (rng.integers(count, size=count) for _ in range(replicates))
    return np.stack([np.bincount(lesions, minlength=count).astype(np.int32) for lesions in drawn])


def mean(values: np.ndarray, lesions: np.ndarray) -> dict[str, float | None]:
    """Mean of one value an image, with the interval that `estimate` gives to it."""
    _, inverse = np.unique(lesions, return_inverse=True)
    total, count = np.bincount(inverse, values), np.bincount(inverse)  # of each lesion
    times = _draws(len(count), REPLICATES)
    low, high = np.percentile((times @ total) / (times @ count), [2.5, 97.5])
    return {"value": _round(float(np.mean(values))), "low": _round(low), "high": _round(high)}


def _precision_recall_f1(confusion: np.ndarray) -> tuple[np.ndarray, ...]:
    """(7,) each; 0 where there is nothing to divide by."""
    right, answered, true = confusion.diagonal(), confusion.sum(0), confusion.sum(1)
    parts = (right, answered), (right, true), (2 * right, answered + true)
    return tuple(above / np.maximum(below, 1) for above, below in parts)


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
