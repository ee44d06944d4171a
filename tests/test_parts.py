"""Cross-fitting: models that were trained on validation images too, from train.fit to train.calibrate."""

import json
import shutil

import numpy as np
import pytest
from shared_fixtures import write_dataset
from tiny import SIDE, options

from skin_lesion.decision import Decision
from skin_lesion.model import WEIGHTS, ModelError, load, load_to_calibrate, read_metrics, weights_digest
from train import calibrate, loop
from train.card import model_card
from train.compare import shared_parts
from train.data import read_ham10000
from train.folder import as_calibrated, as_trained
from train.options import FitError, parse_options
from train.parts import left_out, parts_of, split_of
from train.soup import soup
from train.split import left_out_part, merge_lesions


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """With two lesions of each class in the validation part, one for each half of it."""
    return write_dataset(tmp_path_factory.mktemp("ham"), lesions_per_class=12, images_per_lesion=1)


@pytest.fixture(scope="module")
def start(dataset, tmp_path_factory):
    return loop.fit(options(dataset, tmp_path_factory.mktemp("start") / "model", "--schedule", "1@32"))


@pytest.fixture(scope="module")
def made(start, dataset, tmp_path_factory):
    """Two models, each trained on the other's half of the validation part too, and their mean."""
    place = tmp_path_factory.mktemp("crossfit")
    for i in (1, 2):
        more = ["--init", str(start / WEIGHTS), "--schedule", "1@32", "--seed", str(i), "--crossfit", f"{i}/2"]
        loop.fit(options(dataset, place / f"part{i}", *more))
    soup([place / "part1", place / "part2"], place / "mean", SIDE)
    return place


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def ids(records):
    return {record.image_id for record in records}


def test_each_part_is_left_out_once_and_lesions_stay_together(made, dataset):
    records = read_ham10000(dataset)
    lesions = merge_lesions(records)
    whole = split_of(records, read_metrics(made / "mean"), made / "mean")
    one, two = (parts_of(records, read_metrics(made / f"part{i}"), made / f"part{i}") for i in (1, 2))
    for i, parts in ((1, one), (2, two)):
        left = left_out_part(whole["val"], i, 2)
        learned = [record for record in whole["val"] if record not in left]
        train = sorted(whole["train"] + learned, key=lambda record: record.image_id)
        assert parts == whole | {"train": train, "val": left}
    assert ids(one["val"]) | ids(two["val"]) == ids(whole["val"]) and one["val"] and two["val"]
    for parts in (one, two):
        assert ids(parts["train"]) | ids(parts["val"]) == ids(whole["train"]) | ids(whole["val"])
        assert not {lesions[i] for i in ids(parts["train"])} & {lesions[i] for i in ids(parts["val"])}
        assert parts["test"] == whole["test"]
    mean = parts_of(records, read_metrics(made / "mean"), made / "mean")
    assert mean["val"] == [] and ids(mean["train"]) == ids(whole["train"]) | ids(whole["val"])
    for i, k in ((0, 2), (3, 2), (1, 1)):
        with pytest.raises(ValueError, match=f"at least 2 parts, and one of them: {i}/{k}"):
            left_out_part(whole["val"], i, k)


def test_the_folder_says_so(made):
    training = read_metrics(made / "part1")["training"]
    assert training["options"]["crossfit"] == [1, 2]
    assert f"{training['images']:,} images, of the validation part, too, all but part 1 of 2; " in model_card(
        read_metrics(made / "part1")
    )


def test_what_was_seen_is_found_wherever_it_was():
    own, other = {"options": {"crossfit": [1, 3]}}, {"options": {"crossfit": [2, 3]}}
    assert left_out({}) == left_out({"options": {"crossfit": None}}) == left_out({"options": {"seed": 1}}) == set()
    assert left_out(own) == {(1, 3)}
    assert left_out(own | {"before": other}) == {(1, 3), (2, 3)}
    assert left_out({"options": {}, "teachers": [{"weights": "a", "training": {"averaged": [{"training": own}]}}]}) == {
        (1, 3)
    }


def test_one_that_learns_from_all_parts_has_nothing_left_to_validate_on(made, start, dataset, tmp_path):
    for more in (
        ["--init", str(made / "part1" / WEIGHTS)],
        ["--init", str(start / WEIGHTS), "--teacher", str(made / "part1")],
    ):
        with pytest.raises(FitError, match="no validation image that --crossfit leaves out and that no model has seen"):
            loop.fit(options(dataset, tmp_path / "out", "--schedule", "1@32", "--crossfit", "2/2", *more))


def test_without_crossfit_it_is_validated_on_what_its_start_had_not_seen(made, dataset, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(loop, "_subset", lambda records, limit: seen.setdefault(len(seen), records))
    loop.fit(options(dataset, tmp_path / "out", "--schedule", "1@32", "--init", str(made / "part1" / WEIGHTS)))
    parts = parts_of(read_ham10000(dataset), read_metrics(made / "part1"), made / "part1")
    assert seen == {0: parts["train"], 1: parts["val"]}


def test_the_mean_is_calibrated_by_answers_of_models_that_had_not_seen_the_image(copy, dataset, monkeypatch, capsys):
    records, mean = read_ham10000(dataset), copy / "mean"
    models = [copy / "part1", copy / "part2"]
    labels, logits = [], []
    classifiers = {
        path: (load_to_calibrate(path), ids(parts_of(records, read_metrics(path), path)["val"])) for path in models
    }
    for record in split_of(records, read_metrics(mean), mean)["val"]:
        (judge,) = [classifier for classifier, unseen in classifiers.values() if record.image_id in unseen]
        labels.append(record.label)
        logits.append(judge.predict(record.path).logits.double().numpy())
    given = {}
    monkeypatch.setattr(calibrate, "temperature", lambda *args: given.update(args=args) or 2.0)
    monkeypatch.setattr(
        "sys.argv", ["calibrate", str(mean), "--data", str(dataset), "--prior", "0", "--crossfit", *map(str, models)]
    )
    assert calibrate.main() == 0
    assert given["args"][0].tolist() == labels
    np.testing.assert_allclose(given["args"][1], logits, atol=1e-5)
    found = read_metrics(mean)["calibration"]
    assert found["crossfit"] == [weights_digest(path) for path in models]
    assert json.loads((mean / "decision.json").read_text())["images"] == len(labels)
    assert "each image by the answer of one of 2 models that these weights are the mean of" in model_card(
        read_metrics(mean)
    )

    # once more, of the calibrated mean and a calibrated member: no calibration counts twice
    calibrate.calibrate(models[0], dataset, prior=0.25)
    calibrate.calibrate(mean, dataset, prior=0.5, crossfit=models)
    shares = np.log(list(found["class_share"].values()))
    np.testing.assert_allclose(given["args"][1], (np.array(logits) + 0.5 * shares) / 2, atol=1e-4)
    assert read_metrics(mean)["calibration"]["temperature"] == 4


def test_as_calibrated_undoes_as_trained():
    done = {
        "temperature": 1.7,
        "prior": 0.5,
        "class_share": dict(zip("akiec bcc bkl df mel nv vasc".split(), [1 / 7] * 7, strict=True)),
    }
    logits = np.random.default_rng(0).normal(size=(3, 7))
    np.testing.assert_allclose(as_calibrated(as_trained(logits, done), done), logits)


def test_a_mean_of_models_that_saw_everything_says_how_it_is_calibrated(copy, dataset, start, monkeypatch):
    with pytest.raises(ModelError, match="trained on the whole validation part. Give with --crossfit the models"):
        calibrate.calibrate(copy / "mean", dataset)
    with pytest.raises(ModelError, match="7 of 14 validation images were trained on by all of .*part1. Give"):
        calibrate.calibrate(copy / "mean", dataset, crossfit=[copy / "part1"])
    with pytest.raises(ModelError, match=f"--crossfit {start} is none of the 2 models that {copy / 'mean'} is"):
        calibrate.calibrate(copy / "mean", dataset, crossfit=[start])
    assert not (copy / "mean" / "decision.json").exists()
    # a member by itself: on the part that it left out
    monkeypatch.setattr(calibrate, "temperature", lambda *args: 2.0)  # it hardly knows anything
    calibrate.calibrate(copy / "part1", dataset)
    parts = parts_of(read_ham10000(dataset), read_metrics(copy / "part1"), copy / "part1")
    assert isinstance(load(f"local-dir:{copy / 'part1'}").decision, Decision)
    assert json.loads((copy / "part1" / "decision.json").read_text())["images"] == len(parts["val"])


def test_compared_are_images_that_no_model_saw(made, start, dataset):
    records = read_ham10000(dataset)
    unseen = parts_of(records, read_metrics(made / "part1"), made / "part1")["val"]
    whole = split_of(records, read_metrics(start), start)
    validation, share = shared_parts([start, made / "part1"], records)
    assert validation == unseen and share.tolist() == calibrate.class_share(whole["train"]).tolist()
    with pytest.raises(ModelError, match="no validation image that none of these models was trained on"):
        shared_parts([made / "part1", made / "part2"], records)


def test_another_split_is_refused(start, dataset):
    records = read_ham10000(dataset)
    with pytest.raises(ModelError, match="was trained on split .* but this data gives"):
        split_of(records[:-1], read_metrics(start), start)
    with pytest.raises(ModelError, match="does not say which split"):
        split_of(records, {}, start)


@pytest.mark.parametrize("text", ["1", "0/2", "3/2", "1/1", "a/b", "1/21"])
def test_a_part_that_is_none_is_named_with_the_valid_ones(text, capsys):
    with pytest.raises(SystemExit):
        parse_options(["--data", "x", "--crossfit", text])
    assert f"'{text}' is not I/K, for example 1/5 (K from 2 to 20, I from 1 to K)" in capsys.readouterr().err
