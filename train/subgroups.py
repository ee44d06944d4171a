"""Figures of parts of a set of images: by age band, sex, site and how the diagnosis was made."""

from typing import Any

import numpy as np

from train.metrics import HEADLINES, MEL, estimate

MEASURES = ("accuracy", "melanoma_auc", "melanoma_sensitivity", "melanoma_specificity")
BANDS = ((0, 30, "under 30"), (30, 50, "30 to 49"), (50, 70, "50 to 69"), (70, 200, "70 and over"))  # years
FEWEST = 10  # images a share is taken of; below it the figure would be noise, and is None


def age_band(age: float | None) -> str:
    return "unknown" if age is None else next(name for low, high, name in BANDS if low <= age < high)


def subgroups(
    labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, groups: dict[str, np.ndarray]
) -> dict[str, dict[str, dict[str, Any]]]:
    """{group: {value: {"images", "lesions", "melanomas", and each of MEASURES with its interval}}}.

    groups: name -> (N,) value of each image. Values are sorted, "unknown" last.
    """
    return {
        name: {
            value: _figures(labels[values == value], probabilities[values == value], lesions[values == value])
            for value in sorted(set(values.tolist()), key=lambda v: (v in ("unknown", ""), _age_order(v), v))
        }
        for name, values in groups.items()
    }


def _figures(labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray) -> dict[str, Any]:
    melanomas = int(np.sum(labels == MEL))
    others = len(labels) - melanomas
    enough = {
        "accuracy": len(labels) >= FEWEST,
        "melanoma_auc": min(melanomas, others) >= FEWEST,
        "melanoma_sensitivity": melanomas >= FEWEST,
        "melanoma_specificity": others >= FEWEST,
    }
    found = estimate({name: HEADLINES[name] for name in MEASURES if enough[name]}, labels, probabilities, lesions)
    nothing = {"value": None, "low": None, "high": None}
    counts = {"images": len(labels), "lesions": len(np.unique(lesions)), "melanomas": melanomas}
    return counts | {name: found.get(name, nothing) for name in MEASURES}


def _age_order(value: str) -> int:
    """Bands by age, not by name."""
    return next((low for low, _, name in BANDS if name == value), 0)
