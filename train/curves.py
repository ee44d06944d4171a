"""Held-out curves, as the app draws them and reads them off. Pure functions of arrays.

labels (N,) are indices into CODES, probabilities (N, 7), lesions (N,) name each image's lesion.
"""

from typing import Any

import numpy as np

from skin_lesion.decision import SCORES, Decision
from train.decisions import case
from train.metrics import BINS, shares

STEPS = 200  # of the thresholds from 0 to 1; the app's slider has the same


def curves(
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, decision: Decision | None
) -> dict[str, dict[str, Any]]:
    """Sensitivity and specificity at every threshold of a grid and of `decision`, with intervals over lesions.

    Returns:
        {name in SCORES: {"images", "cases": how many of them are of it, "threshold": T values that rise,
                          "sensitivity", "specificity": {"value", "low", "high"}, T each}}
    """
    found = {}
    for name in SCORES:
        own = [point.threshold for point in decision.points[name]] if decision else []
        thresholds = np.unique(np.r_[np.arange(STEPS + 1) / STEPS, own])
        positive, score = case(labels, probabilities, name)
        alarm = score[:, None] >= thresholds
        found[name] = {
            "images": len(labels),
            "cases": int(positive.sum()),
            "threshold": thresholds.tolist(),
            "sensitivity": shares(alarm, positive[:, None], lesions),
            "specificity": shares(~alarm, ~positive[:, None], lesions),
        }
    return found


def reliability(labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray) -> list[dict[str, Any]]:
    """How often answers of a given confidence were right, in the bins of the calibration error that hold any.

    Returns:
        [{"from", "to", "images", "confidence": their mean, "right": {"value", "low", "high"}}]
    """
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == labels
    index = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = np.unique(index)
    inside = index[:, None] == bins  # (N, B)
    right = shares(np.broadcast_to(hit[:, None], inside.shape), inside, lesions)
    return [
        {
            "from": round(b / BINS, 4),
            "to": round((b + 1) / BINS, 4),
            "images": int(inside[:, i].sum()),
            "confidence": round(float(confidence[inside[:, i]].mean()), 4),
            "right": {key: values[i] for key, values in right.items()},
        }
        for i, b in enumerate(bins.tolist())
    ]
