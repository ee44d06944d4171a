"""The mean of several runs' weights as one model folder."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from tiny import SIDE, options

from skin_lesion.model import WEIGHTS, ModelError, load, read_metrics, weights_digest
from train import calibrate, loop, soup
from train.card import model_card
from train.compare import shared_parts
from train.data import read_ham10000
from train.folder import write_json
from train.pool import pool
from train.teachers import load_teachers


@pytest.fixture(scope="module")
def other(trained, dataset, tmp_path_factory):
    """One more epoch from the weights of `trained`."""
    more = ["--init", str(trained / WEIGHTS), "--schedule", "1@32", "--seed", "1"]
    return loop.fit(options(dataset, tmp_path_factory.mktemp("run") / "other", *more))


def run(monkeypatch, *args):
    monkeypatch.setattr("sys.argv", ["soup", *map(str, args)])
    return soup.main()


def changed(folder, to, **training):
    """A copy of `folder` whose metrics.json says otherwise how it was trained."""
    metrics = read_metrics(shutil.copytree(folder, to))
    metrics["training"]["options"] |= training
    write_json(to / "metrics.json", metrics)
    return to


def test_the_weights_are_the_mean_and_the_folder_says_of_what(trained, other, tmp_path, monkeypatch, capsys):
    out = tmp_path / "soup"
    assert run(monkeypatch, trained, other, "--out", out, "--input-side", 2 * SIDE) == 0
    assert f"train.calibrate {out}" in capsys.readouterr().out
    one, two, mean = (load_file(folder / WEIGHTS) for folder in (trained, other, out))
    assert mean.keys() == one.keys()
    for name in mean:
        torch.testing.assert_close(mean[name], ((one[name].double() + two[name].double()) / 2).to(one[name].dtype))
    made = load(f"local-dir:{out}")
    assert made.transform.transforms[0].size == (2 * SIDE, 2 * SIDE)
    training = made.metrics["training"]
    assert training["averaged"] == [
        {"weights": weights_digest(folder), "training": read_metrics(folder)["training"]} for folder in (trained, other)
    ]
    card = model_card(made.metrics)
    assert "the mean of the weights (arXiv:2203.05482) of 2 runs:\n\n- starting weights `none`" in card
    assert "\n\n  Then, from these weights: " in card and card == (out / "README.md").read_text()
    assert "\n\nEvery option" in card  # no part of the list


def test_what_calibration_did_is_taken_out(trained, other, dataset, tmp_path, monkeypatch):
    calibrated = shutil.copytree(other, tmp_path / "calibrated")
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    calibrate.calibrate(calibrated, dataset, prior=0.5)
    for name, folder in (("a", other), ("b", calibrated)):
        assert run(monkeypatch, trained, folder, "--out", tmp_path / name, "--input-side", SIDE) == 0
    a, b = (load_file(tmp_path / name / WEIGHTS) for name in "ab")
    for name in a:
        torch.testing.assert_close(a[name], b[name])


def test_a_run_can_begin_with_it(trained, other, dataset, tmp_path, monkeypatch):
    out = tmp_path / "soup"
    run(monkeypatch, trained, other, "--out", out, "--input-side", SIDE)
    more = ["--init", str(out / WEIGHTS), "--schedule", "1@32"]
    folder = loop.fit(options(dataset, tmp_path / "next", *more))
    metrics = read_metrics(folder)
    assert metrics["training"]["before"] == read_metrics(out)["training"]
    assert "of 2 runs:\n\n- starting weights `none`" in model_card(metrics)


def test_the_hub_is_told_the_base_model_only_if_all_runs_began_with_it(trained, tmp_path, monkeypatch):
    began = changed(trained, tmp_path / "imagenet", init="imagenet")
    for name, runs, told in (("a", (began, began), True), ("b", (began, trained), False)):  # twice: it counts twice
        run(monkeypatch, *runs, "--out", tmp_path / name, "--input-side", SIDE)
        assert ("base_model: timm/efficientnet_b0" in (tmp_path / name / "README.md").read_text()) is told


def test_what_has_no_mean_is_named(trained, model_folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "soup"
    adjusted = changed(trained, tmp_path / "adjusted", adjust=0.5)
    elsewhere = shutil.copytree(trained, tmp_path / "elsewhere")
    metrics = read_metrics(elsewhere)
    metrics["split"]["fingerprint"] = "0" * 16
    write_json(elsewhere / "metrics.json", metrics)
    for folders, said in (
        ([trained], f"{trained} alone has no mean; give two folders or more"),
        ([trained, adjusted], f"{adjusted} was trained with --adjust 0.5, {trained} with 1.0, so they have no mean"),
        ([trained, elsewhere], f"{elsewhere} was trained with the split 0000000000000000, {trained} with "),
        ([trained, model_folder], "does not say how the model was trained"),
        ([trained, tmp_path / "no"], f"There is no model folder {tmp_path / 'no'}"),
    ):
        assert run(monkeypatch, *folders, "--out", out, "--input-side", SIDE) == 1
        assert said in capsys.readouterr().err and not out.exists()


def test_after_a_full_disk_the_same_command_can_be_given_once_more(trained, other, tmp_path, monkeypatch, capsys):
    out, save = tmp_path / "soup", soup.save_model_folder

    def full(*args, **records):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soup, "save_model_folder", full)
    assert run(monkeypatch, trained, other, "--out", out, "--input-side", SIDE) == 1
    assert "Make room there" in capsys.readouterr().err
    monkeypatch.setattr(soup, "save_model_folder", save)
    assert run(monkeypatch, trained, other, "--out", out, "--input-side", SIDE) == 0


def test_nothing_in_out_is_lost(trained, other, tmp_path, monkeypatch, capsys):
    before = weights_digest(trained)
    for out, said in (
        (trained, "holds a finished model"),
        (tmp_path, "holds other files"),
        (tmp_path / "file" / "x", "cannot be written"),
    ):
        (tmp_path / "file").touch()
        assert run(monkeypatch, trained, other, "--out", out, "--input-side", SIDE) == 1
        assert said in capsys.readouterr().err
    assert weights_digest(trained) == before and [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_mean_is_a_teacher_and_can_be_compared_but_is_no_fold(trained, other, dataset, tmp_path, monkeypatch):
    out = tmp_path / "soup"
    run(monkeypatch, trained, other, "--out", out, "--input-side", SIDE)
    split_id = read_metrics(trained)["split"]["fingerprint"]
    _, taught = load_teachers([out], SIDE, split_id, torch.full((7,), 1 / 7), torch.device("cpu"), "off")
    assert taught["teachers"] == [{"weights": weights_digest(out), "training": read_metrics(out)["training"]}]
    validation, _ = shared_parts([trained, out], read_ham10000(dataset))
    assert len(validation) == read_metrics(trained)["split"]["images"]["val"]
    metrics = read_metrics(out)
    write_json(out / "metrics.json", metrics | {"split": metrics["split"] | {"fold": [1, 2]}, "test": {}})
    with pytest.raises(ModelError, match="is not an evaluated fold"):
        pool([out])
