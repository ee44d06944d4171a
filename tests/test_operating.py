"""What a threshold would mean, worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_lesion.decision import SCORES
from skin_lesion.model import BUNDLED, read_metrics
from skin_lesion.operating import PATIENTS, Share, at_threshold, has_curve, held_out_prevalence


def with_curve(**changes) -> dict:
    """Ten melanomas, of which eight reach 0.2 and five 0.5; of thirty others 21 stay below 0.2, 27 below 0.5."""
    curve = {
        "images": 40,
        "cases": 10,
        "threshold": [0.0, 0.2, 0.5],
        "sensitivity": {"value": [1.0, 0.8, 0.5], "low": [1.0, 0.6, 0.2], "high": [1.0, 0.95, 0.8]},
        "specificity": {"value": [0.0, 0.7, 0.9], "low": [0.0, 0.5, None], "high": [0.0, 0.85, None]},
    }
    return {"test": {"curves": {"melanoma": curve | changes}}}


def test_a_thousand_patients_by_hand():
    """100 have it: 80 found, 20 missed. Of the other 900, 630 are left alone and 270 alarmed."""
    found = at_threshold(with_curve(), "melanoma", 0.2, 0.1)
    assert (found.ill_found, found.ill_missed, found.well_alarmed, found.well_cleared) == (80, 20, 270, 630)
    assert (found.ill, found.alarms) == (100, 350)
    assert found.sensitivity == Share(0.8, 0.6, 0.95) and found.specificity == Share(0.7, 0.5, 0.85)
    assert found.ppv == pytest.approx(80 / 350) and found.npv == pytest.approx(630 / 650)


def test_where_few_are_ill_most_alarms_are_false():
    """Ten have it: eight found. Of 990 others 297 are alarmed."""
    found = at_threshold(with_curve(), "melanoma", 0.2, 0.01)
    assert found.ill_found == 8 and found.well_alarmed == 297 and found.ppv == pytest.approx(8 / 305)


def test_the_nearest_threshold_of_the_curve_is_read_and_named():
    assert at_threshold(with_curve(), "melanoma", 0.34, 0.1).threshold == 0.2
    found = at_threshold(with_curve(), "melanoma", 0.36, 0.1)
    assert found.threshold == 0.5 and found.specificity == Share(0.9, None, None)


def test_shares_of_nobody_are_none():
    everybody = at_threshold(with_curve(), "melanoma", 0, 0.1)
    assert everybody.npv is None and everybody.ppv == pytest.approx(0.1) and everybody.alarms == PATIENTS
    silent = with_curve(sensitivity={"value": [0.0] * 3, "low": [0.0] * 3, "high": [0.0] * 3})
    assert at_threshold(silent, "melanoma", 0.5, 1).ppv is None


def test_the_held_out_share_is_of_the_curves_images():
    assert held_out_prevalence(with_curve(), "melanoma") == 0.25


@pytest.mark.parametrize(
    ("threshold", "prevalence", "message"),
    [
        (1.01, 0.1, "threshold 1.01 is out of range: give a share from 0 to 1"),
        (-0.1, 0.1, "threshold -0.1 is out of range"),
        (math.nan, 0.1, "threshold nan is out of range"),
        (0.2, 100, "prevalence 100 is out of range: give a share from 0 to 1"),
    ],
)
def test_values_out_of_range_are_named(threshold, prevalence, message):
    with pytest.raises(ValueError, match=message):
        at_threshold(with_curve(), "melanoma", threshold, prevalence)


def test_unknown_scores_and_missing_curves_say_what_to_do():
    with pytest.raises(ValueError, match="'cancer'; choose from melanoma, malignancy"):
        at_threshold(with_curve(), "cancer", 0.5, 0.1)
    for metrics in ({}, {"test": {}}, with_curve(cases=0), with_curve(cases=40)):
        assert not has_curve(metrics, "melanoma")
        with pytest.raises(ValueError, match="no held-out curve of melanoma: run train.evaluate"):
            at_threshold(metrics, "melanoma", 0.5, 0.1)


@given(st.sampled_from(list(SCORES)), st.floats(0, 1), st.floats(0, 1))
def test_the_four_counts_are_everybody_and_none_is_negative(score, threshold, prevalence):
    found = at_threshold(read_metrics(BUNDLED), score, threshold, prevalence)
    counts = (found.ill_found, found.ill_missed, found.well_alarmed, found.well_cleared)
    assert sum(counts) == PATIENTS and min(counts) >= 0


@pytest.mark.parametrize("score", SCORES)
def test_operating_points_are_read_exactly(score):
    """The curve and the table of operating points are computed apart, and agree."""
    metrics = read_metrics(BUNDLED)
    for point in metrics["test"]["decision"]["operating_points"][score]:
        found = at_threshold(metrics, score, point["threshold"], 0.1)
        assert found.threshold == point["threshold"]
        for name in ("sensitivity", "specificity"):
            value, entry = getattr(found, name), point[f"achieved_{name}"]
            assert (value.value, value.low, value.high) == pytest.approx(
                (entry["value"], entry["low"], entry["high"]), abs=1.01e-4
            )
