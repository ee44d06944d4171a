"""Held-out curves and reliability, by hand and against what computes them otherwise."""

import json

import numpy as np
import pytest

from skin_lesion.classes import CODES
from train.curves import STEPS, curves, reliability
from train.metrics import ece, estimate, shares

MEL, NV = CODES.index("mel"), CODES.index("nv")


def images(count: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, count)
    probabilities = rng.dirichlet(np.ones(7), count) + 0.5 * np.eye(7)[labels]
    return labels, probabilities / probabilities.sum(1, keepdims=True), np.arange(count) // 2


def test_a_curve_by_hand():
    """Melanomas at 0.2 and 0.6, nevi at 0.1, 0.2, 0.3 and 0.4; from 0.2 on is an alarm, 0.2 itself too."""
    labels = np.array([MEL, MEL, NV, NV, NV, NV])
    probabilities = np.zeros((6, 7))
    probabilities[:, MEL] = [0.2, 0.6, 0.1, 0.2, 0.3, 0.4]
    found = json.loads(json.dumps(curves(labels, probabilities, np.arange(6), None)))["melanoma"]
    assert (found["images"], found["cases"]) == (6, 2) and len(found["threshold"]) == STEPS + 1
    read = {
        threshold: (on, off)
        for threshold, on, off in zip(
            found["threshold"], found["sensitivity"]["value"], found["specificity"]["value"], strict=True
        )
    }
    assert read[0.0] == (1, 0) and read[0.2] == (1, 0.25) and read[0.205] == (0.5, 0.5) and read[1.0] == (0, 1)


def test_many_shares_at_once_have_the_intervals_of_estimate():
    labels, probabilities, lesions = images()
    cuts = np.array([0.1, 0.3, 0.5])
    found = shares(probabilities[:, [MEL]] >= cuts, (labels == MEL)[:, None], lesions, 200)
    for i, cut in enumerate(cuts):
        one = estimate(
            {"x": lambda y, p, cut=cut: float(np.mean(p[y == MEL, MEL] >= cut))}, labels, probabilities, lesions, 200
        )["x"]
        assert {k: found[k][i] for k in one} == pytest.approx(one, abs=1.01e-4)


def test_a_share_of_nothing_is_none():
    found = shares(np.ones((4, 2), bool), np.array([[True, False]] * 4), np.arange(4), 20)
    assert found == {"value": [1, None], "low": [1, None], "high": [1, None]}


def test_a_score_without_a_case_has_no_sensitivity():
    found = curves(np.array([NV, NV]), np.full((2, 7), 1 / 7), np.arange(2), None)["melanoma"]
    assert found["cases"] == 0 and set(found["sensitivity"]["value"]) == {None}
    assert found["specificity"]["value"][-1] == 1


def test_reliability_holds_every_image_once_and_gives_the_calibration_error():
    labels, probabilities, lesions = images()
    bins = reliability(labels, probabilities, lesions)
    assert sum(b["images"] for b in bins) == 300
    error = sum(b["images"] / 300 * abs(b["confidence"] - b["right"]["value"]) for b in bins)
    assert error == pytest.approx(ece(labels, probabilities), abs=2e-4)
    assert all(b["from"] <= b["confidence"] <= b["to"] and b["right"]["low"] <= b["right"]["high"] for b in bins)
