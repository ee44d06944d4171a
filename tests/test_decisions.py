"""Thresholds from one set of images, and what they do on another."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesion.classes import CODES
from skin_lesion.decision import Decision, statistics
from train import decisions

MEL, NV, BCC = CODES.index("mel"), CODES.index("nv"), CODES.index("bcc")


def drawn(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, skewed like HAM10000's, and probabilities of a middling model that favours the true class."""
    labels = rng.choice(7, count, p=[0.05, 0.05, 0.1, 0.05, 0.1, 0.6, 0.05])
    logits = rng.normal(0, 1.5, (count, 7)) + 1.5 * np.eye(7)[labels]
    e = np.exp(logits)
    return labels, e / e.sum(1, keepdims=True)


def decision(labels: np.ndarray, probabilities: np.ndarray, farthest: float = 2.0) -> Decision:
    value = {
        "sets": {f"{level:.2f}": decisions.set_thresholds(labels, probabilities, level) for level in (0.9, 0.95)},
        "operating_points": {n: decisions.operating_points(labels, probabilities, n) for n in decisions.SCORES},
        "ood": {"farthest": farthest},
    }
    value = json.loads(json.dumps(value))  # as it comes back from the file
    return Decision.from_json(value, {"mean": torch.zeros(4), "whitening": torch.eye(4)})


def test_set_thresholds_by_hand():
    """19 melanomas with 0.01 … 0.19: floor(20 × 0.1) = 2nd smallest at 90 %, floor(20 × 0.05) = 1st at 95 %."""
    labels = np.array([MEL] * 19 + [NV] * 5)
    probabilities = np.zeros((24, 7))
    probabilities[:19, MEL] = np.arange(19, 0, -1) / 100
    probabilities[19:, NV] = 0.5
    assert decisions.set_thresholds(labels, probabilities, 0.90)["mel"] == pytest.approx(0.02)
    assert decisions.set_thresholds(labels, probabilities, 0.95)["mel"] == pytest.approx(0.01)
    # five images cannot promise 90 %: always in the set; a class without any, too
    assert decisions.set_thresholds(labels, probabilities, 0.90)["nv"] == 0
    assert decisions.set_thresholds(labels, probabilities, 0.90)["df"] == 0


def test_prediction_sets_cover_every_class_on_new_images():
    """Mean over 30 calibration sets: at least the level for each class, and not far above it."""
    rng = np.random.default_rng(0)
    covered = {0.9: [], 0.95: []}
    for _ in range(30):
        made = decision(*drawn(rng, 1500))
        labels, probabilities = drawn(rng, 1500)
        for level, shares in covered.items():
            rows = [made.prediction_set(dict(zip(CODES, p, strict=True)), level) for p in probabilities]
            hit = np.array([CODES[y] in row for y, row in zip(labels, rows, strict=True)])
            shares.append([hit[labels == i].mean() for i in range(7)])
    for level, shares in covered.items():
        by_class = np.mean(shares, axis=0)
        assert (by_class >= level - 0.02).all() and (by_class <= level + 0.04).all()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_a_set_is_never_empty_and_the_wider_level_holds_the_narrower(seed):
    rng = np.random.default_rng(seed)
    made = decision(*drawn(rng, 200))
    for p in drawn(rng, 20)[1]:
        probabilities = dict(zip(CODES, p, strict=True))
        narrow, wide = (made.prediction_set(probabilities, level) for level in (0.9, 0.95))
        assert narrow and set(narrow) <= set(wide)
        assert max(probabilities, key=probabilities.get) in narrow


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match="level 0.5; choose from 0.9, 0.95"):
        decision(*drawn(np.random.default_rng(0), 200)).prediction_set(dict.fromkeys(CODES, 1 / 7), 0.5)


def test_operating_points_by_hand():
    """Ten melanomas 0.1 … 1.0, four nevi 0.05, 0.15, 0.25, 0.35; 80 % of the melanomas reach 0.3."""
    labels = np.array([MEL] * 10 + [NV] * 4)
    probabilities = np.zeros((14, 7))
    probabilities[:10, MEL] = np.arange(1, 11) / 10
    probabilities[10:, MEL] = [0.05, 0.15, 0.25, 0.35]
    points = decisions.operating_points(labels, probabilities, "melanoma")
    assert [p["sensitivity"] for p in points] == [0.8, 0.9, 0.95]
    assert [p["threshold"] for p in points] == pytest.approx([0.3, 0.2, 0.1])
    assert [p["validation_sensitivity"] for p in points] == [0.8, 0.9, 1.0]
    assert [p["validation_specificity"] for p in points] == [0.75, 0.5, 0.25]


def test_malignancy_sums_the_classes_that_are_not_benign():
    assert decisions.SCORES["malignancy"] == ("akiec", "bcc", "mel")
    labels = np.array([BCC, NV])
    probabilities = np.zeros((2, 7))
    probabilities[0, [BCC, MEL, CODES.index("akiec")]] = 0.2, 0.3, 0.1
    probabilities[1, NV] = 1
    point = decisions.operating_points(labels, probabilities, "malignancy")[0]
    assert point["threshold"] == pytest.approx(0.6) and point["validation_specificity"] == 1


def test_distance_of_the_training_images_is_about_one_and_grows_away_from_them():
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6, 6))
    own = rng.normal(size=(4000, 6)) @ mixing + 5
    tensors = decisions.familiarity(own)

    def distance(x: np.ndarray) -> float:
        return float((tensors["whitening"] @ (torch.from_numpy(x).float() - tensors["mean"])).square().mean().sqrt())

    assert np.sqrt(np.mean([distance(x) ** 2 for x in own])) == pytest.approx(1, rel=0.02)
    assert distance(own.mean(0) + 10 * mixing[0]) > 3
    # as scipy computes it, from the plain covariance
    z = own[0] - own.mean(0)
    assert distance(own[0]) == pytest.approx(np.sqrt(z @ np.linalg.inv(np.cov(own.T)) @ z / 6), rel=0.02)


def test_statistics_are_each_channels_mean_and_deviation():
    middle = torch.tensor([[[[1.0, 3.0]], [[2.0, 2.0]]]])  # two channels of 1 × 2
    assert statistics(middle).tolist() == [2, 2, 1, 0]


def test_farthest_keeps_the_promised_share():
    distances = np.random.default_rng(0).gamma(9, 1 / 9, 5000)
    assert np.mean(distances <= decisions.farthest(distances)) == pytest.approx(decisions.KEPT, abs=0.001)


def test_what_thresholds_achieve_is_counted_by_hand():
    labels, probabilities = drawn(np.random.default_rng(0), 400)
    made = decision(labels, probabilities)
    distances = np.array([1.0] * 300 + [3.0] * 100)
    found = decisions.achieved(made, labels, probabilities, np.arange(400), distances)
    assert found["kept"]["value"] == 0.75
    rows = [made.prediction_set(dict(zip(CODES, p, strict=True)), 0.9) for p in probabilities]
    assert found["sets"]["0.90"]["size"]["value"] == pytest.approx(np.mean([len(r) for r in rows]), abs=1e-4)
    hit = np.array([CODES[y] in row for y, row in zip(labels, rows, strict=True)])
    assert found["sets"]["0.90"]["coverage"]["value"] == pytest.approx(hit.mean(), abs=1e-4)
    assert found["sets"]["0.90"]["coverage_per_class"]["mel"]["value"] == pytest.approx(
        hit[labels == MEL].mean(), abs=1e-4
    )
    for made_point, point in zip(made.points["melanoma"], found["operating_points"]["melanoma"], strict=True):
        # on the very images they were read from
        assert point["achieved_sensitivity"]["value"] == pytest.approx(made_point.validation_sensitivity, abs=1e-4)
        assert point["achieved_specificity"]["value"] == pytest.approx(made_point.validation_specificity, abs=1e-4)


def test_foreign_pictures_are_counted_by_kind():
    made = decision(*drawn(np.random.default_rng(0), 200), farthest=2.0)
    found = decisions.foreign_caught(made, np.array([1.0, 1.5]), np.array([1.2, 3.0, 4.0]), np.array(["a", "a", "b"]))
    assert found == {
        "images": 3,
        "auroc": pytest.approx(5 / 6, abs=1e-4),
        "caught": pytest.approx(2 / 3, abs=1e-4),
        "kinds": {"a": {"images": 2, "caught": 0.5}, "b": {"images": 1, "caught": 1.0}},
    }
