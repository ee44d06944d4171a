"""Thresholds from the validation part, and what they achieve elsewhere. Pure functions of arrays.

labels (N,) are indices into CODES, probabilities (N, 7), distances (N,) as Decision.distance gives them.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from skin_lesion.classes import CODES
from skin_lesion.decision import SCORES, SENSITIVITIES, Decision
from skin_lesion.model import ModelError
from train.metrics import Metric, estimate, mean

KEPT = 0.98  # share of the validation images that count as dermatoscopic; the held-out ones shall be at least 0.95
DIGITS = 6  # of a threshold; test_predictions.csv has as many


def set_thresholds(labels: np.ndarray, probabilities: np.ndarray, level: float) -> dict[str, float]:
    """{code: smallest probability of the class that puts it into the prediction set}.

    For each class by itself: of its n validation images all but floor((n + 1)(1 - level)) - 1 reach the
    threshold, so a further image of the class does with probability `level` at least, if it is
    exchangeable with them. Where n is too small for that (n < 19 at 0.95) the class is always in the set.
    Several images of one lesion are not independent: the guarantee is looser than n suggests.
    """
    thresholds = {}
    for i, code in enumerate(CODES):
        own = np.sort(probabilities[labels == i, i])
        rank = math.floor((len(own) + 1) * (1 - level) + 1e-9)
        thresholds[code] = _floor(own[rank - 1]) if rank >= 1 else 0.0
    return thresholds


def operating_points(labels: np.ndarray, probabilities: np.ndarray, name: str) -> list[dict[str, float]]:
    """For each of SENSITIVITIES the largest threshold on the score `name` that reaches it, as JSON.

    Raises:
        ModelError: there is no case of it, or nothing else.
    """
    positive, score = case(labels, probabilities, name)
    if positive.all() or not positive.any():
        raise ModelError(f"The validation part has no case of {name}, or nothing else: there is no operating point.")
    own = np.sort(score[positive])
    points = []
    for sensitivity in SENSITIVITIES:
        threshold = _floor(own[math.floor(len(own) * (1 - sensitivity) + 1e-9)])
        points.append(
            {
                "sensitivity": sensitivity,
                "threshold": threshold,
                "validation_sensitivity": round(float(np.mean(score[positive] >= threshold)), 4),
                "validation_specificity": round(float(np.mean(score[~positive] < threshold)), 4),
            }
        )
    return points


def familiarity(statistics: np.ndarray) -> dict[str, torch.Tensor]:
    """Mean and whitening of the training images' statistics (N, D), as ood.safetensors keeps them.

    The covariance is shrunk towards a multiple of the identity (Ledoit & Wolf 2004) after every
    dimension was brought to unit variance, so that it can be inverted whatever N is.
    """
    mean, scale = statistics.mean(0), statistics.std(0) + 1e-6
    precision = LedoitWolf(assume_centered=True).fit((statistics - mean) / scale).get_precision()
    whitening = np.linalg.cholesky(precision).T / scale  # |W z|² = z' P z
    return {
        "mean": torch.from_numpy(mean.astype(np.float32)),
        "whitening": torch.from_numpy(whitening.astype(np.float32)).contiguous(),  # safetensors wants contiguous
    }


def farthest(distances: np.ndarray) -> float:
    """The distance up to which KEPT of these (validation) images count as dermatoscopic."""
    return -_floor(-float(np.quantile(distances, KEPT)))


def achieved(
    decision: Decision, labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray, distances: np.ndarray
) -> dict[str, Any]:
    """What the thresholds do on a set of images that they were not made from, with intervals over lesions.

    Returns:
        {"sets": {level: {"coverage", "size", "alone": share of sets with one class,
                          "coverage_per_class": {code: share or None}}},
         "operating_points": {name: [{"sensitivity", "threshold", "achieved_sensitivity", "achieved_specificity"}]},
         "kept": share that counts as dermatoscopic}
    """
    sets = {}
    for level in decision.sets:
        rows = [decision.prediction_set(dict(zip(CODES, row, strict=True)), level) for row in probabilities]
        member = np.array([[code in row for code in CODES] for row in rows])  # (N, 7)
        covered, size = member[np.arange(len(labels)), labels], member.sum(1)
        sets[f"{level:.2f}"] = {
            "coverage": mean(covered, lesions),
            "size": mean(size, lesions),
            "alone": mean(size == 1, lesions),
            "coverage_per_class": {
                code: mean(covered[labels == i], lesions[labels == i]) if (labels == i).any() else None
                for i, code in enumerate(CODES)
            },
        }
    points = {}
    for name in SCORES:
        points[name] = [
            {
                "sensitivity": point.sensitivity,
                "threshold": point.threshold,
                **estimate(_at(name, point.threshold), labels, probabilities, lesions),
            }
            for point in decision.points[name]
        ]
    return {"sets": sets, "operating_points": points, "kept": mean(distances <= decision.farthest, lesions)}


def foreign_caught(decision: Decision, own: np.ndarray, foreign: np.ndarray, kinds: np.ndarray) -> dict[str, Any]:
    """How well `distances` tell dermatoscopic images (own) from others (foreign, of `kinds`)."""
    truth = np.r_[np.zeros(len(own)), np.ones(len(foreign))]
    caught = foreign > decision.farthest
    return {
        "images": len(foreign),
        "auroc": round(float(roc_auc_score(truth, np.r_[own, foreign])), 4),
        "caught": round(float(caught.mean()), 4),
        "kinds": {
            str(kind): {"images": int(np.sum(kinds == kind)), "caught": round(float(caught[kinds == kind].mean()), 4)}
            for kind in np.unique(kinds)
        },
    }


def case(labels: np.ndarray, probabilities: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """positive (N,) bool and score (N,)."""
    indices = [CODES.index(code) for code in SCORES[name]]
    return np.isin(labels, indices), probabilities[:, indices].sum(1)


def _at(name: str, threshold: float) -> dict[str, Metric]:
    def share(positive_ones: bool, hit: Callable[[np.ndarray], np.ndarray]) -> Metric:
        def metric(labels: np.ndarray, probabilities: np.ndarray) -> float | None:
            positive, score = case(labels, probabilities, name)
            chosen = score[positive == positive_ones]
            return float(np.mean(hit(chosen))) if len(chosen) else None

        return metric

    return {
        "achieved_sensitivity": share(True, lambda score: score >= threshold),
        "achieved_specificity": share(False, lambda score: score < threshold),
    }


def _floor(value: float) -> float:
    """Rounded down, so that the image a threshold was read from still reaches it."""
    return math.floor(float(value) * 10**DIGITS) / 10**DIGITS
