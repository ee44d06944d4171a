import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from shared_fixtures import untrained

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, load, read_metrics
from train import calibrate, files
from train.data import read_ham10000
from train.folder import FLIPPED, as_trained, write_json
from train.split import RATIOS
from train.start import build_model


def test_temperature_of_labels_drawn_from_the_model_is_the_scale_of_its_logits():
    """Labels drawn from softmax(z); a model that says 3 z is overconfident by the factor 3."""
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2, (20_000, 7))
    labels = np.array([rng.choice(7, p=p) for p in softmax(z, axis=1)])
    assert calibrate.temperature(labels, 3 * z) == pytest.approx(3, rel=0.03)
    assert calibrate.temperature(labels, z / 2) == pytest.approx(0.5, rel=0.03)


def test_a_class_that_is_lacking_counts_as_one_image():
    records = [SimpleNamespace(label=label) for label in [0] * 3 + [4] * 9]
    assert calibrate.class_share(records) == pytest.approx(np.array([3, 1, 1, 1, 9, 1, 1]) / 12)


@pytest.fixture
def folder(model_folder, dataset, tmp_path):
    made = untrained(model_folder, dataset, tmp_path / "model", ratios=RATIOS)
    write_json(made / "metrics.json", read_metrics(made) | {"test": "stale"})
    return made


def test_folding_shifts_and_scales_the_logits(folder, image):
    before = load(f"local-dir:{folder}").predict(image)
    calibrate.fold(folder, 2.5, np.arange(7))
    after = load(f"local-dir:{folder}").predict(image)
    assert np.allclose(after.logits * 2.5, before.logits + torch.arange(7), atol=1e-5)


def test_calibration_drops_stale_figures_and_adds_up(folder, dataset, image, monkeypatch):
    before = load(f"local-dir:{folder}").predict(image).logits
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    assert calibrate.calibrate(folder, dataset, prior=0)["temperature"] == 2
    assert calibrate.calibrate(folder, dataset)["temperature"] == 4
    assert np.allclose(load(f"local-dir:{folder}").predict(image).logits * 4, before, atol=1e-5)
    metrics = read_metrics(folder)
    assert "test" not in metrics and metrics["calibration"]["part"] == "val"
    assert "part: the temperature 4.0, folded" in (folder / "README.md").read_text()


def test_what_no_adjustment_took_out_is_not_given_back(folder, dataset, monkeypatch):
    metrics = read_metrics(folder)
    metrics["training"]["options"]["adjust"] = 0
    write_json(folder / "metrics.json", metrics)
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    assert calibrate.calibrate(folder, dataset)["prior"] == 0
    assert calibrate.calibrate(folder, dataset, prior=0.5)["prior"] == 0.5
    assert "part: class shares multiplied in to the power 0.5, and the" in (folder / "README.md").read_text()


def test_where_the_disk_is_full_the_old_weights_keep_their_figures(folder, dataset, monkeypatch, capsys):
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    calibrate.calibrate(folder, dataset, prior=0)
    (folder / FLIPPED).write_text("hours of work")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(weights, path, **_):
        path.write_bytes(b"half of it")
        raise SafetensorError("No space left on device (os error 28)")

    monkeypatch.setattr(files, "save_file", full)
    monkeypatch.setattr("sys.argv", ["calibrate", str(folder), "--data", str(dataset), "--prior", "0.5"])
    assert calibrate.main() == 1
    told = f"{folder / 'model.safetensors.partial'}: No space left on device (os error 28). Make room there"
    assert told in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("priors", [[0.5], [0.0, 0.5]])
def test_training_starts_from_the_weights_as_they_were_before_calibration(folder, dataset, monkeypatch, priors):
    """Else a part of the class shares would stand in the biases, and all of it in the loss."""
    path = folder / "model.safetensors"
    before = load_file(path)
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    for prior in priors:
        calibrate.calibrate(folder, dataset, prior)
    assert not torch.allclose(load_file(path)["classifier.bias"], before["classifier.bias"], atol=0.1)
    start = build_model(str(path)).state_dict()
    assert all(torch.allclose(start[name], value, atol=1e-5) for name, value in before.items())
    save_file(before, path)  # not what metrics.json speaks of
    start = build_model(str(path)).state_dict()
    assert all(torch.equal(start[name], value) for name, value in before.items())


def test_a_model_that_knows_nothing_is_refused_and_left_alone(folder, dataset):
    weights = (folder / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="ran to its limit"):
        calibrate.calibrate(folder, dataset)  # random weights
    assert (folder / "model.safetensors").read_bytes() == weights
    assert read_metrics(folder)["test"] == "stale"


def test_calibrating_again_leaves_the_weights_byte_for_byte(folder, dataset, monkeypatch):
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    assert calibrate.calibrate(folder, dataset)["prior"] == 0.5
    weights = (folder / "model.safetensors").read_bytes()
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 1.0004)
    again = calibrate.calibrate(folder, dataset)
    assert again["prior"] == 0.5 and again["temperature"] == 2
    assert (folder / "model.safetensors").read_bytes() == weights


def test_a_folder_with_thresholds_of_other_weights_or_damaged_ones_is_refused(folder, dataset, monkeypatch):
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    calibrate.calibrate(folder, dataset)
    assert load(f"local-dir:{folder}").decision
    good = (folder / "decision.json").read_text()
    (folder / "ood.safetensors").rename(folder / "gone")
    with pytest.raises(ModelError, match="decision.json and ood.safetensors are damaged .* run train.calibrate"):
        load(f"local-dir:{folder}")
    (folder / "gone").rename(folder / "ood.safetensors")
    tensors = load_file(folder / "ood.safetensors")
    shutil.copy(folder / "ood.safetensors", folder / "kept")
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, folder / "ood.safetensors")
    with pytest.raises(ModelError, match="ood.safetensors is sha256:.* mixes two models"):
        load(f"local-dir:{folder}")
    (folder / "kept").rename(folder / "ood.safetensors")
    nan = re.sub('"mel": [0-9.]+', '"mel": NaN', good)
    level = good.replace('"0.95"', '"0.99"')
    for broken in (good.replace('"mel"', '"melanoma"'), good.replace('"threshold"', '"limit"'), level, good[:-20], nan):
        (folder / "decision.json").write_text(broken)
        with pytest.raises(ModelError, match="decision.json"):
            load(f"local-dir:{folder}")
    (folder / "decision.json").write_text(good)
    calibrate.fold(folder, 1.5, np.zeros(7))
    with pytest.raises(ModelError, match="mixes two models"):
        load(f"local-dir:{folder}")
    (folder / "ood.safetensors").write_bytes(b"")
    calibrate.calibrate(folder, dataset)  # as the message says: it heals the folder
    assert load(f"local-dir:{folder}").decision


@pytest.mark.parametrize("times", [0, 1])
def test_cut_off_before_the_weights_changed_it_starts_from_them_again(folder, dataset, image, monkeypatch, times):
    """times: of calibrations that came to their end before."""
    before = load(f"local-dir:{folder}").predict(image).logits
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    for _ in range(times):
        calibrate.calibrate(folder, dataset, prior=0.25)
    weights = load_file(folder / "model.safetensors")

    def cut_off(folder, t, shift, record):
        record("sha256:of weights that never came")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "fold", cut_off)
        with pytest.raises(KeyboardInterrupt):
            calibrate.calibrate(folder, dataset, prior=0.5)
    assert load(f"local-dir:{folder}").decision is None
    assert all(torch.equal(value, weights[name]) for name, value in load_file(folder / "model.safetensors").items())
    found = calibrate.calibrate(folder, dataset, prior=0.5)
    assert found["temperature"] == 2 ** (times + 1) and "earlier" not in read_metrics(folder)["calibration"]
    expected = (before + 0.5 * np.log(1 / 7)) / found["temperature"]
    assert np.allclose(load(f"local-dir:{folder}").predict(image).logits, expected, atol=1e-5)


def test_no_figure_of_other_weights_is_left(folder, dataset, monkeypatch):
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    (folder / "figures").mkdir()
    for name in ("figures/roc.png", "external_x.csv", "foreign_distances.csv", "test_predictions.csv", FLIPPED):
        (folder / name).touch()
    calibrate.calibrate(folder, dataset)
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "config.json", "decision.json", "metrics.json", "model.safetensors", "ood.safetensors"
    ]  # fmt: skip
    assert (folder / "ood.safetensors").stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize("priors", [[0.5, 0.5], [0.25, 0.5], [0.5, 0.0]])
def test_a_prior_takes_the_place_of_an_earlier_one(folder, dataset, image, monkeypatch, priors):
    before = load(f"local-dir:{folder}").predict(image).logits
    parts_of = calibrate.parts_of

    def uneven(records, metrics, folder):
        """Of the training part's first class only every fourth image, so that its share is not that of the others."""
        parts = parts_of(records, metrics, folder)
        return parts | {"train": [r for i, r in enumerate(parts["train"]) if r.label != 0 or i % 4 == 0]}

    counts = np.bincount([r.label for r in uneven(read_ham10000(dataset), read_metrics(folder), folder)["train"]])
    monkeypatch.setattr(calibrate, "parts_of", uneven)
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    for prior in priors:
        found = calibrate.calibrate(folder, dataset, prior)
    assert found["prior"] == prior and found["temperature"] == 4
    share = counts / counts.sum()
    assert share[0] < share[1] and found["class_share"] == pytest.approx(dict(zip(CODES, share, strict=True)), abs=1e-6)
    expected = (before + prior * torch.from_numpy(np.log(share))) / 4
    assert np.allclose(load(f"local-dir:{folder}").predict(image).logits, expected, atol=1e-5)


def test_each_class_gets_its_own_share_back():
    share = {code: 2.0**-i for i, code in enumerate(reversed(CODES), 1)}  # vasc 1/2, nv 1/4 ... akiec 1/128
    found = as_trained(np.ones((2, 7)), {"temperature": 3.0, "prior": 0.5, "class_share": share})
    assert np.allclose(found, 3 + np.log(2) * np.arange(7, 0, -1) / 2)
