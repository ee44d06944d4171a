"""From model folders to figures: one split, or all folds of a cross-validation."""

import json
import shutil
from itertools import islice

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from shared_fixtures import untrained

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, load, read_metrics
from train import altered, evaluate, pool
from train.card import model_card
from train.data import DataError, read_ham10000
from train.figures import write_figures
from train.folder import CAPTIONS, PREDICTIONS, write_json
from train.foreign import foreign_images
from train.predictions import read_predictions
from train.split import split


def test_figures_follow_from_the_predictions(evaluated, dataset):
    metrics = json.loads((evaluated / "metrics.json").read_text())
    test = split(read_ham10000(dataset))["test"]
    found = read_predictions(evaluated / "test_predictions.csv")
    assert [CODES[i] for i in found.labels] == [r.dx for r in test]
    hits = found.probabilities.argmax(1) == found.labels
    assert metrics["test"]["headlines"]["accuracy"]["value"] == pytest.approx(hits.mean(), abs=1e-4)
    assert metrics["test"]["images"] == len(test) and metrics["test"]["lesions"] == len(set(found.lesions))
    assert metrics["test"]["subgroups"]["age"]["50 to 69"]["images"] == len(test)
    assert metrics["test"]["histo"]["images"] == len(test)
    flipped = read_predictions(evaluated / "test_predictions_flips.csv")
    classifier = load(f"local-dir:{evaluated}", flips=True)
    expected = [classifier.predict(r.path).probabilities for r in test[:3]]
    assert flipped.probabilities[:3] == pytest.approx(np.array([list(p.values()) for p in expected]), abs=1e-4)
    hits = flipped.probabilities.argmax(1) == flipped.labels
    assert metrics["test"]["flips"]["headlines"]["accuracy"]["value"] == pytest.approx(hits.mean(), abs=1e-4)
    decision = classifier.decision
    again = json.loads(json.dumps(evaluate.held_out_section(evaluated, decision, metrics)))
    assert metrics["test"] == again | {"image_size": "64×48", "foreign_source": "built in"}
    assert (evaluated / "README.md").read_text() == model_card(metrics)


def test_thresholds_come_from_the_validation_part_and_distances_from_the_training_part(evaluated, dataset):
    decision = json.loads((evaluated / "decision.json").read_text())
    parts = split(read_ham10000(dataset))
    assert decision["part"] == "val" and decision["images"] == len(parts["val"])
    classifier = load(f"local-dir:{evaluated}")
    near = np.mean([classifier.predict(r.path).distance for r in parts["train"][:20]])
    far = [classifier.predict(image).distance for _, image in list(foreign_images())[:3]]
    assert near < 1.5 < min(far)
    found = read_predictions(evaluated / "test_predictions.csv")
    expected = [classifier.predict(r.path).distance for r in parts["test"][:3]]
    assert found.distances[:3] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("replaced", [False, True])
def test_what_other_commands_write_meanwhile_stays_and_no_figure_comes_to_other_weights(
    evaluated, dataset, tmp_path, monkeypatch, replaced
):
    folder = shutil.copytree(evaluated, tmp_path / "model")

    def meanwhile(path, *_):
        write_json(folder / "metrics.json", read_metrics(folder) | {"other": "figures"})
        if replaced:
            weights = load_file(folder / "model.safetensors")
            save_file({name: tensor + 1 for name, tensor in weights.items()}, folder / "model.safetensors")

    for name in ("write_predictions", "write_foreign", "write_altered"):
        monkeypatch.setattr(evaluate, name, lambda *_: None)
    monkeypatch.setattr(evaluate, "write_hints", meanwhile)
    drawn = evaluate.write_figures

    def as_late_as_can_be(*args):
        drawn(*args)
        write_json(folder / "metrics.json", read_metrics(folder) | {"late": "figures"})

    monkeypatch.setattr(evaluate, "write_figures", as_late_as_can_be)
    if replaced:
        with pytest.raises(ModelError, match="weights in .* were replaced meanwhile"):
            evaluate.evaluate(folder, dataset)
        expected = read_metrics(evaluated) | {"other": "figures"}
        assert not (folder / "test_predictions.csv").exists()
    else:
        expected = evaluate.evaluate(folder, dataset)
        assert expected["other"] == expected["late"] == "figures"
    assert read_metrics(folder) == expected


def test_figures_are_drawn_and_are_the_same_every_time(evaluated, tmp_path):
    found = read_predictions(evaluated / "test_predictions.csv")
    write_figures(tmp_path / "figures", found.labels, found.probabilities, "three images")
    first = {name: (tmp_path / "figures" / name).read_bytes() for name in CAPTIONS}
    write_figures(tmp_path / "figures", found.labels, found.probabilities, "three images")
    assert first == {name: (tmp_path / "figures" / name).read_bytes() for name in CAPTIONS}
    for name in CAPTIONS:
        with Image.open(evaluated / "figures" / name) as image:
            assert min(image.size) >= 700 and np.asarray(image.convert("L")).std() > 5


def test_a_class_without_images_has_no_curve_and_no_error(tmp_path):
    write_figures(tmp_path / "figures", np.array([4, 5, 5]), np.eye(7)[[4, 5, 4]] * 0.9 + 0.1 / 7, "three images")
    assert all((tmp_path / "figures" / name).stat().st_size > 5000 for name in CAPTIONS)


def test_built_in_foreign_pictures_are_of_many_kinds():
    kinds = [kind for kind, image in foreign_images() if min(image.size) >= 32]
    assert len(kinds) > 200 and len(set(kinds)) == 14
    assert min(image.width for kind, image in foreign_images() if kind == "skin with a mole, drawn") == 600
    assert {"face", "skin of a face", "photograph", "text"} < set(kinds)


def test_foreign_pictures_of_a_folder_bear_its_names(tmp_path, image):
    (tmp_path / "cats").mkdir()
    image.save(tmp_path / "cats" / "tom.png")
    assert [(kind, im.size) for kind, im in foreign_images(tmp_path)] == [("cats", image.size)]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="has no pictures"):
        list(foreign_images(empty))
    with pytest.raises(DataError, match="There is no folder"):
        list(foreign_images(tmp_path / "nowhere"))
    (tmp_path / "cats" / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="text.png: This file is not an image"):
        list(foreign_images(tmp_path))


@pytest.fixture(scope="module")
def folds(model_folder, dataset, tmp_path_factory):
    """Three evaluated folds. Of the alterations one is enough, and no diagram is needed: they are not pooled."""
    place = tmp_path_factory.mktemp("folds")
    made = [untrained(model_folder, dataset, place / f"fold{i}", fold=[i, 3]) for i in (1, 2, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(altered, "ALTERATIONS", {"mirrored": altered.ALTERATIONS["mirrored"]})
        patch.setattr(evaluate, "write_figures", lambda *_: None)
        for one in made:
            evaluate.evaluate(one, dataset)
    return made


@pytest.fixture
def into(evaluated, tmp_path):
    """An evaluated model of the folds' recipe, uncalibrated as they are."""
    folder = shutil.copytree(evaluated, tmp_path / "model")
    metrics = read_metrics(folder)
    del metrics["calibration"]
    write_json(folder / "metrics.json", metrics)
    return folder


def test_pooled_figures_are_of_every_image_once(folds, dataset):
    pooled = pool.pool(folds)
    records = read_ham10000(dataset)
    assert pooled["folds"] == 3 and pooled["images"] == len(records) and pooled["lesions"] == 42
    single = [read_metrics(f)["test"] for f in folds]
    assert np.array_equal(pooled["confusion"], sum(np.array(s["confusion"]) for s in single))


def test_pooled_figures_go_into_a_model_folder_and_its_card(folds, into, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pool", *map(str, folds), "--into", str(folds[0])])
    assert pool.main() == 1 and "is a fold itself" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["pool", *map(str, folds), "--into", str(into)])
    assert pool.main() == 0
    assert "84 images of 42 lesions, each judged by one of 3 models" in capsys.readouterr().out
    assert read_metrics(into)["out_of_fold"]["images"] == 84
    card = (into / "README.md").read_text().partition("The recipe in cross-validation")[2]
    assert "| age: 50 to 69 | 84 | 42 |" in card


def test_pooled_figures_are_not_written_beside_another_recipe(folds, into, monkeypatch, capsys):
    metrics = read_metrics(into)
    metrics["training"]["options"]["lr"] = 0.5
    write_json(into / "metrics.json", metrics)
    monkeypatch.setattr("sys.argv", ["pool", *map(str, folds), "--into", str(into)])
    assert pool.main() == 1 and "was trained otherwise than the folds (lr)" in capsys.readouterr().err
    assert read_metrics(into) == metrics


def test_each_image_is_pooled_once(folds, tmp_path):
    one, two, three = folds
    other = shutil.copytree(two, tmp_path / "other")
    shutil.copy(one / PREDICTIONS, other / PREDICTIONS)
    with pytest.raises(ModelError, match="28 images were judged by more than one of these models"):
        pool.pool([one, other, three])
    lines = (two / PREDICTIONS).read_text().splitlines(keepends=True)
    (other / PREDICTIONS).write_text("".join(lines[:-3]))
    with pytest.raises(ModelError, match="has 25 rows, but 28 images were held out there; run train.evaluate anew"):
        pool.pool([one, other, three])


def test_a_table_that_was_cut_off_is_named(evaluated, tmp_path):
    whole = (evaluated / PREDICTIONS).read_text()
    wrong = whole.replace(",akiec,histo", ",mole,histo", 1)
    for broken in (whole[:-40], wrong, whole + '"' + "x" * 200_000):
        (tmp_path / PREDICTIONS).write_text(broken)
        with pytest.raises(ModelError, match=f"{PREDICTIONS} is (cut off or )?damaged.*; run train.evaluate anew"):
            read_predictions(tmp_path / PREDICTIONS)


def test_an_older_or_missing_table_says_what_to_run(tmp_path):
    with pytest.raises(ModelError, match="There is no .*nowhere.csv; run train.evaluate"):
        read_predictions(tmp_path / "nowhere.csv")
    (tmp_path / "old.csv").write_text("image_id,lesion,dx\n")
    with pytest.raises(ModelError, match="lacks the column.s. kind, distance; run train.evaluate anew"):
        evaluate.read_foreign(tmp_path / "old.csv")
    with pytest.raises(ModelError, match="lacks the column.s. dx_type, age, .*; run train.evaluate anew"):
        read_predictions(tmp_path / "old.csv")


def test_a_damaged_image_is_named(evaluated, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate, "foreign_images", lambda folder: islice(foreign_images(folder), 1))
    folder = shutil.copytree(evaluated, tmp_path / "model")
    copy = shutil.copytree(dataset, tmp_path / "ham")
    record = split(read_ham10000(copy))["test"][0]
    record.path.write_bytes(record.path.read_bytes()[:200])
    before = (folder / "metrics.json").read_text()
    with pytest.raises(DataError, match=f"{record.path}: "):
        evaluate.evaluate(folder, copy)
    assert (folder / "metrics.json").read_text() == before


def test_folds_that_do_not_belong_together_are_refused(folds, evaluated, into, tmp_path):
    with pytest.raises(ModelError, match="1/3 to 3/3; given: 1/3, 2/3"):
        pool.pool(folds[:2])
    with pytest.raises(ModelError, match="given: 1/3, 2/3, 2/3"):
        pool.pool([*folds[:2], folds[1]])
    with pytest.raises(ModelError, match="is not an evaluated fold"):
        pool.pool([evaluated])
    other = shutil.copytree(folds[2], tmp_path / "other")
    metrics = read_metrics(other)
    metrics["training"]["options"]["lr"] = 0.5
    write_json(other / "metrics.json", metrics)
    with pytest.raises(ModelError, match="other was trained with other options than .*fold1: lr"):
        pool.pool([*folds[:2], other])
    write_json(other / "metrics.json", read_metrics(folds[2]) | {"calibration": {"prior": 0.5}})
    with pytest.raises(ModelError, match="other was trained with other options than .*: prior of the calibration"):
        pool.pool([*folds[:2], other])
    with pytest.raises(ModelError, match="model was trained otherwise than the folds .prior of the calibration"):
        pool.pool(folds, evaluated)
    metrics = read_metrics(into)
    metrics["training"] |= {"options": read_metrics(folds[0])["training"]["options"], "averaged": []}
    write_json(into / "metrics.json", metrics)
    with pytest.raises(ModelError, match="model was trained otherwise than the folds .several runs"):
        pool.pool(folds, into)
