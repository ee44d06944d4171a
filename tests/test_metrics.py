import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, recall_score, roc_auc_score, roc_curve

from train import metrics

NV, MEL, BKL = 5, 4, 2


def one_hot(*classes: int, confidence: float = 0.94) -> np.ndarray:
    rest = (1 - confidence) / 6
    return np.array([[confidence if i == c else rest for i in range(7)] for c in classes])


def test_worked_by_hand():
    """Six images: three nv (two right), two mel (one right), one bkl (right)."""
    labels = np.array([NV, NV, NV, MEL, MEL, BKL])
    probabilities = one_hot(NV, NV, MEL, MEL, NV, BKL)
    assert metrics.accuracy(labels, probabilities) == pytest.approx(4 / 6)
    assert metrics.balanced_accuracy(labels, probabilities) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    # F1: nv 2/3, mel 1/2, bkl 1; of the other four there is none
    assert metrics.macro_f1(labels, probabilities) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.melanoma_sensitivity(labels, probabilities) == pytest.approx(1 / 2)
    assert metrics.melanoma_specificity(labels, probabilities) == pytest.approx(3 / 4)
    # melanoma scores: positives {.94, .01}, negatives {.94, .01, .01, .01}: pairs won 3 + ties (.5 + 1.5)
    assert metrics.auc(labels, probabilities, MEL) == pytest.approx((3 + 0.5 + 1.5) / 8)
    # all in one bin: confidence .94 against 4/6 right
    assert metrics.ece(labels, probabilities) == pytest.approx(0.94 - 4 / 6)


@pytest.mark.parametrize("classes", [range(7), [NV, MEL], [NV, BKL], [MEL]])
@pytest.mark.parametrize("levels", [3, 9, 10**6], ids="tied in {}".format)
def test_what_the_bootstrap_asks_a_thousand_times_is_what_scikit_learn_answers(classes, levels):
    """On 211 labels of the given classes, scores tied or not, and on 1 and 20 of them."""
    rng = np.random.default_rng(0)
    for size in (1, 20, 211):
        labels, scores = rng.choice(classes, size), rng.integers(0, levels, (size, 7)) / levels
        answers, positive = scores.argmax(1), labels == MEL
        assert np.array_equal(metrics.confusion(labels, scores), confusion_matrix(labels, answers, labels=range(7)))
        per_class = metrics.summarise(labels, scores, np.arange(size), replicates=1)["per_class"].values()
        expected = precision_recall_fscore_support(labels, answers, labels=range(7), zero_division=0)
        for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
            assert [row[name] for row in per_class] == pytest.approx(values, abs=5.1e-5), name
        assert metrics.macro_f1(labels, scores) == pytest.approx(expected[2][expected[3] > 0].mean())
        recalls = [recall_score(labels == c, answers == c) for c in np.unique(labels)]
        assert metrics.balanced_accuracy(labels, scores) == pytest.approx(np.mean(recalls))
        found = metrics.auc(labels, scores, MEL), metrics.melanoma_sensitivity_at_specificity(labels, scores)
        if positive.all() or not positive.any():
            assert found == (None, None)
            continue
        false, true, _ = roc_curve(positive, scores[:, MEL])
        best = true[false <= 1 - metrics.SPECIFICITY + 1e-12].max()
        assert found == pytest.approx((roc_auc_score(positive, scores[:, MEL]), best))


def test_sensitivity_at_specificity_by_hand():
    """40 negatives: at 95 % specificity two of them may lie above the threshold."""
    labels = np.array([MEL] * 4 + [NV] * 40)
    scores = np.array([0.9, 0.7, 0.5, 0.1] + [0.8, 0.6, 0.55] + [0.05] * 37)
    probabilities = np.zeros((44, 7))
    probabilities[:, MEL], probabilities[:, NV] = scores, 1 - scores
    assert metrics.melanoma_sensitivity_at_specificity(labels, probabilities) == pytest.approx(0.5)


def test_summary_has_every_figure_and_intervals_hold_the_value():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 300)
    probabilities = rng.dirichlet(np.ones(7), 300) + one_hot(*labels, confidence=0.5)
    probabilities /= probabilities.sum(1, keepdims=True)
    summary = metrics.summarise(labels, probabilities, np.arange(300) // 2, replicates=200)
    assert summary["images"] == 300 and summary["lesions"] == 150
    assert set(summary["headlines"]) == set(metrics.HEADLINES)
    for name, entry in summary["headlines"].items():
        if name != "ece":  # resampling adds noise to the bins, which can only raise it
            assert entry["low"] <= entry["value"] <= entry["high"]
    assert np.sum(summary["confusion"]) == 300
    assert [row["support"] for row in summary["per_class"].values()] == np.bincount(labels, minlength=7).tolist()


def test_the_bootstrap_draws_lesions_not_images():
    """One image repeated in 50 copies of two lesions: the interval must be as wide as for two draws."""
    labels = np.array([NV] * 50 + [MEL] * 50)
    probabilities = one_hot(*[NV] * 100)
    lesions = np.array([0] * 50 + [1] * 50)
    found = metrics.estimate({"accuracy": metrics.accuracy}, labels, probabilities, lesions, replicates=200)
    assert found == {"accuracy": {"value": 0.5, "low": 0, "high": 1}}


def test_a_mean_has_the_interval_that_estimate_gives_to_it():
    rng = np.random.default_rng(0)
    values, lesions = rng.normal(size=200), rng.integers(0, 60, 200)
    (expected,) = metrics.estimate({"": lambda _, v: float(v.mean())}, values, values, lesions).values()
    assert metrics.mean(values, lesions) == pytest.approx(expected, abs=1e-4)
    assert metrics.mean(values > 0, lesions)["value"] == round(float(np.mean(values > 0)), 4)


def test_absent_classes_give_none_not_an_error():
    labels = np.array([NV, NV])
    summary = metrics.summarise(labels, one_hot(NV, NV), np.array(["a", "b"]), replicates=10)
    assert summary["headlines"]["melanoma_auc"] == {"value": None, "low": None, "high": None}
    assert summary["per_class"]["mel"]["auc"] is None


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"probabilities \(2, 3\)"):
        metrics.summarise(np.array([0, 1]), np.ones((2, 3)), np.array([0, 1]))
    with pytest.raises(ValueError, match="no image"):
        metrics.summarise(np.array([]), np.ones((0, 7)), np.array([]))
    with pytest.raises(ValueError, match="not finite"):
        metrics.summarise(np.array([0]), np.full((1, 7), np.nan), np.array([0]))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_a_perfect_answer_scores_one(labels):
    labels = np.array(labels)
    probabilities = one_hot(*labels, confidence=1.0)
    assert metrics.accuracy(labels, probabilities) == metrics.balanced_accuracy(labels, probabilities) == 1
    assert metrics.ece(labels, probabilities) == 0
