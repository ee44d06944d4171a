"""Every figure in a document comes from metrics.json, and metrics.json from the CSV files beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from skin_lesion.model import BUNDLED, load, read_metrics, weights_digest
from train.card import README, model_card, with_results
from train.data import read_ham10000
from train.evaluate import held_out_section
from train.folder import FLIPPED, PREDICTIONS
from train.parts import split_of
from train.predictions import image_size, read_predictions


@pytest.fixture(scope="module")
def metrics():
    return read_metrics(BUNDLED)


def test_metrics_follow_from_the_published_predictions(metrics):
    again = json.loads(json.dumps(held_out_section(BUNDLED, load().decision, metrics)))
    assert metrics["test"] == again | {k: metrics["test"][k] for k in ("image_size", "foreign_source")}


def test_metrics_belong_to_these_weights(metrics):
    assert metrics["weights"] == weights_digest(BUNDLED)


def test_model_card_and_readme_say_what_metrics_say(metrics):
    assert (BUNDLED / "README.md").read_text(encoding="utf-8") == model_card(metrics)
    readme = README.read_text(encoding="utf-8")
    assert readme == with_results(readme, metrics), "run python -m train.card"


def test_model_card_has_front_matter_the_hub_accepts(metrics):
    front = yaml.safe_load(model_card(metrics).split("---\n")[1])
    assert front["library_name"] == "timm" and front["license"] == "cc-by-nc-4.0"
    for result in front["model-index"][0]["results"]:  # the Hub's copy of the data is split otherwise
        assert "split" not in result["dataset"] and metrics["split"]["fingerprint"] in result["dataset"]["name"]


def test_whose_the_starting_weights_are_is_said(metrics):
    assert "EfficientNet-Lite0 (Apache-2.0" in model_card(metrics)
    assert "EfficientNet-Lite0\n(Apache-2.0" in (README.parent / "LICENSE").read_text()


def test_a_readme_without_markers_is_refused(metrics):
    with pytest.raises(ValueError, match="lost its markers"):
        with_results("# nothing", metrics)


def test_bundled_weights_stay_near_what_was_published(metrics):
    assert metrics["test"]["headlines"]["balanced_accuracy"]["value"] >= 0.76


def test_bundled_weights_give_the_published_predictions_on_the_real_images(metrics, ham10000: Path):
    """Fifty held-out images through the runtime, against test_predictions.csv, and ten by four orientations each."""
    test = split_of(read_ham10000(ham10000), metrics, BUNDLED)["test"]
    if image_size(test) != metrics["test"]["image_size"]:
        pytest.skip(f"the figures are of {metrics['test']['image_size']} files, these are {image_size(test)}")
    for name, classifier, count in ((PREDICTIONS, load(), 50), (FLIPPED, load(flips=True), 10)):
        published = read_predictions(BUNDLED / name).probabilities
        for i in range(0, len(test), len(test) // count):
            found = list(classifier.predict(test[i].path).probabilities.values())
            assert np.allclose(found, published[i], atol=1e-3)
