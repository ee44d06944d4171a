"""Model folders side by side, on the validation part alone."""

import re
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps
from shared_fixtures import untrained

from skin_lesion.classes import CODES
from skin_lesion.model import load, read_metrics, weights_digest
from train import calibrate, compare
from train.compare import COLUMNS, JPEG, figures, logits_of
from train.data import read_ham10000
from train.folder import write_json
from train.split import split

NV, MEL, BKL = 5, 4, 2


def sure_of(*classes: int) -> np.ndarray:
    return 9.0 * np.eye(7)[list(classes)]


def test_worked_by_hand():
    """Four images; in two orientations all are right, in two an nv is taken for mel.

    Compressed, the first loses one answer, and in the fourth two change.
    """
    labels = np.array([NV, NV, MEL, BKL])
    right, wrong = sure_of(NV, NV, MEL, BKL), sure_of(MEL, NV, MEL, BKL)
    found = figures(labels, np.stack([[right, wrong], [right, right], [wrong, wrong], [wrong, sure_of(*[MEL] * 4)]]))
    column = dict(zip(COLUMNS, found.T, strict=True))
    assert column["Balanced accuracy"] == pytest.approx([1, 1, 5 / 6, 5 / 6])
    assert column["Accuracy"].tolist() == [1, 1, 0.75, 0.75]
    assert column["Same after JPEG"].tolist() == [0.75, 1, 1, 0.5]
    assert column["Balanced accuracy after JPEG"] == pytest.approx([5 / 6, 1, 5 / 6, 1 / 3])
    assert column["Melanoma AUC"] == pytest.approx([1, 1, 5 / 6, 5 / 6])  # of three pairs one is tied
    # 14 of the 16 answers are right: one temperature for all makes them as sure as that
    of_right, of_wrong = -np.log(14 / 16), -np.log(2 / 16 / 6)
    assert column["Log loss"] == pytest.approx([of_right] * 2 + [(3 * of_right + of_wrong) / 4] * 2, abs=1e-3)


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


@pytest.mark.parametrize("adjust", [0, 1, 2])
def test_all_get_the_same_prior_however_trained_and_calibrated(trained, dataset, tmp_path, monkeypatch, adjust):
    monkeypatch.setattr(compare, "figures", lambda labels, logits: (labels, logits))
    monkeypatch.setattr(compare, "ORIENTATIONS", {"upside down": compare.ORIENTATIONS["upside down"]})
    share = np.arange(1, 8) / 28
    plain, calibrated = (shutil.copytree(trained, tmp_path / name) for name in ("plain", "calibrated"))
    of_calibration = {"temperature": 2.0, "prior": 0.5, "class_share": dict(zip(CODES, share, strict=True))}
    calibrate.fold(calibrated, 2.0, 0.5 * np.log(share))
    metrics = read_metrics(trained)
    metrics["training"]["options"]["adjust"] = adjust
    write_json(plain / "metrics.json", metrics)
    write_json(
        calibrated / "metrics.json",
        metrics | {"calibration": of_calibration | {"weights": weights_digest(calibrated)}},
    )
    (record,) = records = read_ham10000(dataset)[:1]
    with Image.open(record.path) as image:
        copies = [ImageOps.flip(copy) for copy in (image, JPEG(image))]
    logits = np.stack([load(f"local-dir:{plain}").predict(copy).logits.numpy() for copy in copies])
    for folder in (plain, calibrated):
        labels, found = compare.compare(folder, records, share, 0.25)
        assert labels.tolist() == [record.label]
        np.testing.assert_allclose(found[0, :, 0], logits + (adjust - 0.75) * np.log(share), atol=1e-4)


def test_it_prints_one_row_a_model_of_the_validation_part(trained, evaluated, dataset, monkeypatch, capsys):
    def logits_of(classifier, records, name):
        assert [record.image_id for record in records] == validation and name in classifier.source
        numbers = np.random.default_rng(len(name)).normal(size=(4, 2, len(records), 7))
        return numbers + (9 * np.eye(7)[[record.label for record in records]] if name == str(evaluated) else 0)

    def class_share(records):
        assert records == parts["train"]
        return np.ones(7) / 7

    parts = split(read_ham10000(dataset), 0)
    validation = [record.image_id for record in parts["val"]]
    monkeypatch.setattr(compare, "logits_of", logits_of)
    monkeypatch.setattr(compare, "class_share", class_share)
    monkeypatch.setattr("sys.argv", ["compare", str(trained), str(evaluated), "--data", str(dataset)])
    assert compare.main() == 0
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("| model, prior 0.5 | Balanced accuracy | Accuracy |") and head.count("|") == line.count("|")
    assert [row.split(" | ")[0] for row in rows] == [f"| {trained}", f"| {evaluated}"]
    figures = [[float(n) for n in re.findall(r"[\d.]+", row.split(" | ")[1])] for row in rows]
    assert figures[0][1] < figures[0][0] < figures[0][2] < 0.5 and figures[1] == [1, 1, 1]


def test_what_cannot_be_compared_is_named_before_anything_is_computed(
    trained, model_folder, dataset, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(compare, "logits_of", None)
    fold = untrained(model_folder, dataset, tmp_path / "fold", fold=[1, 3])
    for folder, message in (
        (tmp_path / "none", f"There is no model folder {tmp_path / 'none'}. Give one that train.fit wrote."),
        (fold, f"{fold} was trained on another split than {trained}: compare models of one split."),
        (model_folder, "does not say how the model was trained; give one of train.fit."),
    ):
        monkeypatch.setattr("sys.argv", ["compare", str(trained), str(folder), "--data", str(dataset)])
        assert compare.main() == 1
        out, error = capsys.readouterr()
        assert not out and error.startswith("train.compare: ") and message in error
