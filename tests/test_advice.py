"""What is said of a share must be what the held-out images show, and never an all-clear."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from skin_lesion.advice import advice, of_100
from skin_lesion.classes import CLASSES
from skin_lesion.language import translator
from skin_lesion.model import BUNDLED, load
from train.folder import PREDICTIONS
from train.predictions import read_predictions

EN = translator("en")
NOT_BENIGN = np.array([c.group != "benign" for c in CLASSES])


@pytest.fixture(scope="module")
def bundled():
    return load()


@pytest.fixture(scope="module")
def thresholds(bundled):
    """From high to low."""
    points = bundled.metrics["test"]["decision"]["operating_points"]["malignancy"]
    return sorted((point["threshold"] for point in points), reverse=True)


def said(bundled, share: float) -> str:
    return advice(SimpleNamespace(malignant=share, decision=bundled.decision), bundled.metrics, EN)


def test_the_figures_are_those_of_the_held_out_images_from_the_named_limit_on(bundled, thresholds):
    found = read_predictions(BUNDLED / PREDICTIONS)
    shares, ill = found.probabilities[:, NOT_BENIGN].sum(1), NOT_BENIGN[found.labels]
    for threshold, word in zip(thresholds, ("high", "not low", "not low"), strict=True):
        text = said(bundled, threshold)
        of_ill, of_well = (round(100 * np.mean(shares[group] >= threshold)) for group in (ill, ~ill))
        expected = f"That is {word}: about {of_ill} of 100 malignant or pre-malignant held-out images lay at "
        assert expected + EN.percent(threshold) + f" or above, and {of_well} of 100 benign ones." in text
        assert "clinician" in text
    low = said(bundled, thresholds[-1] - 0.01)
    missed = round(100 * np.mean(shares[ill] < thresholds[-1]))
    assert f"no all-clear: about {missed} of 100 malignant or pre-malignant held-out images lay below " in low
    assert EN.percent(thresholds[-1]) in low and "clinician" in low


def test_a_share_just_below_a_limit_does_not_read_as_the_limit(bundled, thresholds):
    limit = thresholds[-1]
    text = said(bundled, limit - 1e-4)
    share, shown = re.search("together: (.+?)\\. That.* lay below (.+?)\\. Show", text).groups()
    assert share != shown and float(share[:-2]) < float(shown[:-2]) == pytest.approx(100 * limit, abs=0.05)
    far = said(bundled, limit / 2)
    assert EN.percent(limit / 2) in far and EN.percent(limit) in far


def test_without_figures_of_both_kinds_of_images_a_share_says_no_more(bundled):
    metrics = json.loads(json.dumps(bundled.metrics))
    for point in metrics["test"]["decision"]["operating_points"]["malignancy"]:
        point["achieved_sensitivity"] = dict.fromkeys(point["achieved_sensitivity"])
    text = advice(SimpleNamespace(malignant=0.3, decision=bundled.decision), metrics, EN)
    assert "does not rule out cancer" in text and "of 100" not in text


def test_no_share_is_rounded_to_a_promise():
    assert [of_100(share) for share in (0, 0.001, 0.5, 0.999, 1)] == [1, 1, 50, 99, 99]


def test_without_figures_a_low_share_does_not_calm():
    text = advice(SimpleNamespace(malignant=0.01, decision=None), {}, EN)
    assert "does not rule out cancer" in text and "of 100" not in text
