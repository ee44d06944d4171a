"""Model folders side by side, on the validation part alone."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image
from shared_fixtures import untrained

from skin_lesion.model import load
from train import calibrate, compare
from train.compare import COLUMNS, JPEG, figures, logits_of
from train.data import read_ham10000
from train.split import split

NV, MEL, BKL = 5, 4, 2


def sure_of(*classes: int) -> np.ndarray:
    return 9.0 * np.eye(7)[list(classes)]


def test_worked_by_hand():
    """Four images; two orientations are right, in two an nv is taken for mel; compressed, one answer more is lost."""
    labels = np.array([NV, NV, MEL, BKL])
    right, wrong = sure_of(NV, NV, MEL, BKL), sure_of(MEL, NV, MEL, BKL)
    found = figures(labels, np.stack([[right, wrong], [right, right], [wrong, wrong], [wrong, sure_of(*[MEL] * 4)]]))
    column = dict(zip(COLUMNS, found.T, strict=True))
    assert column["balanced accuracy"] == pytest.approx([1, 1, 5 / 6, 5 / 6])
    assert column["accuracy"].tolist() == [1, 1, 0.75, 0.75]
    assert column["same after JPEG"].tolist() == [0.75, 1, 1, 0.5]
    assert column["balanced accuracy then"] == pytest.approx([5 / 6, 1, 5 / 6, 1 / 3])
    assert column["melanoma auc"] == pytest.approx([1, 1, 5 / 6, 5 / 6])  # of three pairs one is tied
    assert (column["log loss"][:2] < 0.01).all()
    # three of four right: no temperature is better than the one under which the answers are as sure as that
    assert column["log loss"][2:] == pytest.approx([-(3 * np.log(0.75) + np.log(0.25 / 6)) / 4] * 2, abs=1e-3)


def test_each_image_is_asked_in_four_orientations_and_compressed(trained, dataset):
    (record,) = records = read_ham10000(dataset)[:1]
    classifier = load(f"local-dir:{trained}")
    found = logits_of(classifier, records, "model")
    flips = {"mirrored": (slice(None), slice(None, None, -1)), "upside down": (slice(None, None, -1),)}
    with Image.open(record.path) as image:
        for i, name in enumerate(compare.ORIENTATIONS):
            turned = [Image.fromarray(np.asarray(copy)[flips.get(name, ())]) for copy in (image, JPEG(image))]
            if name == "turned by 180°":
                turned = [copy.rotate(180) for copy in turned]
            expected = [classifier.predict(copy).logits.numpy() for copy in turned]
            np.testing.assert_allclose(found[i, :, 0], expected, atol=1e-4, err_msg=name)
    assert len({answer.tobytes() for answer in found[:, :, 0].reshape(8, 7)}) == 8


def test_all_get_the_same_prior_whatever_their_calibration(trained, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(compare, "figures", lambda labels, logits: (labels, logits))
    monkeypatch.setattr(compare, "ORIENTATIONS", {"as it is": compare.ORIENTATIONS["as it is"]})
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    calibrated = shutil.copytree(trained, tmp_path / "model")
    calibrate.calibrate(calibrated, dataset, prior=0.5)
    validation, share = compare.shared_parts([trained, calibrated], read_ham10000(dataset))
    expected = [load(f"local-dir:{trained}").predict(record.path).logits.numpy() for record in validation]
    for folder in (trained, calibrated):
        labels, logits = compare.compare(folder, validation, share, 0.25)
        assert labels.tolist() == [record.label for record in validation] and len(set(labels)) == 7
        np.testing.assert_allclose(logits[0, 0], np.array(expected) + 0.25 * np.log(1 / 7), atol=1e-4)


def test_it_prints_one_row_a_model_of_the_validation_part(evaluated, dataset, monkeypatch, capsys):
    seen = []

    def logits_of(classifier, records, name):
        seen.append([record.image_id for record in records])
        return np.random.default_rng(0).normal(size=(4, 2, len(records), 7))

    monkeypatch.setattr(compare, "logits_of", logits_of)
    monkeypatch.setattr("sys.argv", ["compare", str(evaluated), str(evaluated), "--data", str(dataset)])
    assert compare.main() == 0
    assert seen == [[record.image_id for record in split(read_ham10000(dataset), 0)["val"]]] * 2
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| model, prior 0.5 | balanced accuracy | accuracy |") and head.count("|") == line.count("|")
    assert len(rows) == 2 and rows[0] == rows[1] and rows[0].startswith(f"| {evaluated} | 0.")
    mean, low, high = (float(n) for n in re.findall(r"[\d.]+", rows[0].split(" | ")[1]))
    assert low < mean < high


def test_what_cannot_be_compared_is_named_before_anything_is_computed(
    trained, model_folder, dataset, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(compare, "logits_of", None)
    fold = untrained(model_folder, dataset, tmp_path / "fold", fold=[1, 3])
    for folder, message in (
        (tmp_path / "none", f"There is no model folder {tmp_path / 'none'}. Give one that train.fit wrote."),
        (fold, f"{fold} was trained on another split than {trained}: compare models of one split."),
        (model_folder, "does not say which split the model was trained on; train it with train.fit."),
    ):
        monkeypatch.setattr("sys.argv", ["compare", str(trained), str(folder), "--data", str(dataset)])
        assert compare.main() == 1
        out, error = capsys.readouterr()
        assert not out and error.startswith("train.compare: ") and message in error
