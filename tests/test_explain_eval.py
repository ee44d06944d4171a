import json
import shutil
import sys

import numpy as np
import pytest
import torch

from skin_lesion import explain
from skin_lesion.classes import CODES
from skin_lesion.explain import METHODS
from skin_lesion.explanation_tables import CASES, MEASURES, UNKNOWN, explanation_page, explanation_sentence, verdict
from skin_lesion.model import ModelError, load
from train import explain_eval, faithfulness, files
from train.card import model_card
from train.data import MASKS, DataError, read_ham10000
from train.explain_eval import SHARES, mask_of, read_rows, sample, section
from train.split import merge_lesions

MAPS = [*METHODS, "random", "centre"]


def _fewer_questions(patch):
    """Maps and measures that take seconds."""
    patch.setattr(explain, "STEPS", 4)
    patch.setattr(explain, "WINDOWS", 2)
    patch.setattr(faithfulness, "STEPS", 4)
    patch.setattr(faithfulness, "SQUARES", 4)
    patch.setattr(faithfulness, "NOISES", 2)


@pytest.fixture(scope="module")
def measured(trained, dataset, tmp_path_factory):
    """A trained folder after `python -m train.explain_eval FOLDER --lesions 1`, its methods with fewer questions."""
    folder = shutil.copytree(trained, tmp_path_factory.mktemp("measured") / "model")
    with pytest.MonkeyPatch.context() as patch:
        _fewer_questions(patch)
        patch.setattr(sys, "argv", ["train.explain_eval", str(folder), "--data", str(dataset), "--lesions", "1"])
        assert explain_eval.main() == 0
    return folder


def test_figures_follow_from_the_file(measured):
    metrics, rows = json.loads((measured / "metrics.json").read_text()), read_rows(measured)
    found = metrics["explanations"]
    assert [row["map"] for row in rows] == MAPS * len(CODES) and found["images"] == found["slow_images"] == 7
    for name in MAPS:
        mine = [row for row in rows if row["map"] == name]
        assert found["maps"][name]["iou_share"] in SHARES
        for measure, entry in found["maps"][name].items():
            if measure == "iou_share" or (name not in METHODS and measure.startswith("random")):
                continue
            mean = np.mean([row[measure] for row in mine if row[measure] is not None])
            assert entry["value"] == pytest.approx(mean, abs=1e-4)
            assert entry["low"] <= entry["value"] <= entry["high"]
    shares = {name: found["maps"][name]["iou_share"] for name in MAPS}
    again = json.loads(json.dumps(section(rows, shares)))
    assert again | {"seconds": found["seconds"]} == found
    assert set(found["seconds"]) == set(METHODS) and found["seconds"]["occlusion"] > found["seconds"]["gradcam"] > 0
    assert (measured / "README.md").read_text() == model_card(metrics)


def test_measures_stay_within_their_bounds(measured):
    for row in read_rows(measured):
        assert all(0 <= row[m] <= 1 for m in MEASURES if m.split("_")[0] in ("deletion", "insertion", "energy", "iou"))
        assert 0 <= row["pointing"] <= 1 and row["empty"] in (0, 1)
        assert row["map"] in METHODS or row["random_head"] is None
        assert row["sensitivity"] >= 0 and (row["map"] in METHODS or row["sensitivity"] == 0)


def test_a_map_changes_when_the_weights_do(measured):
    for method in METHODS:
        found = [row["random_weights"] for row in read_rows(measured) if row["map"] == method]
        compared = [value for value in found if value is not None]
        assert len(compared) >= 4 and np.mean(compared) < 0.95, method


def test_cut_off_it_goes_on_after_the_last_image_to_the_same_figures(
    measured, trained, dataset, tmp_path, monkeypatch, capsys
):
    folder = shutil.copytree(trained, tmp_path / "model")
    _fewer_questions(monkeypatch)
    curves, left = explain_eval.curves, [3 * len(MAPS) + 1]

    def cut_off(*args):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return curves(*args)

    monkeypatch.setattr(explain_eval, "curves", cut_off)
    monkeypatch.setattr(sys, "argv", ["train.explain_eval", str(folder), "--data", str(dataset), "--lesions", "1"])
    assert explain_eval.main() == 130 and "train.explain_eval: interrupted" in capsys.readouterr().err
    kept = folder / "explanation_scores.partial"
    assert len(kept.read_text().splitlines()) == 1 + 7 + 3  # what they are of, the validation images, three held out
    with kept.open("a") as file:
        file.write('[{"image_id": "cut o')
    left[0] = 4 * len(MAPS)
    assert explain_eval.main() == 0
    assert left[0] == 0 and not kept.exists()
    assert (folder / "explanation_scores.csv").read_text() == (measured / "explanation_scores.csv").read_text()


def test_steps_of_other_weights_are_thrown_away(tmp_path):
    path = tmp_path / "steps"
    files.Steps(path, {"weights": "a"}).add(1)
    assert files.Steps(path, {"weights": "a"}).done == [1]
    assert files.Steps(path, {"weights": "b"}).done == []
    assert files.Steps(path, {"weights": "a"}).done == []
    with path.open("ab") as file:
        file.write(b"\xff\n[1\n")
    assert files.Steps(path, {"weights": "a"}).done == []  # damaged


def test_two_at_once_are_refused(measured, dataset, tmp_path):
    folder = shutil.copytree(measured, tmp_path / "model")
    with files.alone(folder), pytest.raises(ModelError, match="Another command measures the maps"):
        explain_eval.explain_eval(folder, dataset, 1)


def test_a_random_network_answers_each_image_differently(measured):
    """Drawn anew it still lets the signal through; a dead one would make every map flat."""
    classifier = load(f"local-dir:{measured}")
    x = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2
    other = explain_eval.redrawn(classifier.model, x)
    assert not any(module.training for module in other.modules())
    assert other(x).std(0).min() > 0.01
    weights, drawn = classifier.model.state_dict(), other.state_dict()
    assert not torch.equal(weights["conv_stem.weight"], drawn["conv_stem.weight"])
    head = explain_eval.redrawn(classifier.model).state_dict()
    assert [name for name in weights if not torch.equal(weights[name], head[name])] == [
        "classifier.weight",
        "classifier.bias",
    ]


def test_maps_that_are_flat_are_not_compared():
    flat, slope = np.ones((4, 4)), np.arange(16.0).reshape(4, 4)
    assert explain_eval.correlation(flat, slope) is None
    assert explain_eval.correlation(slope, slope**2) == pytest.approx(1)
    assert explain_eval.correlation(slope, -slope) == pytest.approx(-1)


def test_figures_of_weights_that_were_replaced_meanwhile_are_not_written(measured, dataset, tmp_path, monkeypatch):
    folder = shutil.copytree(measured, tmp_path / "model")
    before = (folder / "metrics.json").read_text()
    monkeypatch.setattr("train.folder.weights_digest", lambda folder: "sha256:new")
    monkeypatch.setattr(explain_eval, "measure", lambda *args: iter([[{"map": "gradcam"}]]))
    monkeypatch.setattr(explain_eval, "overlaps", lambda *args: iter([{}] * 7))
    monkeypatch.setattr(explain_eval, "best_shares", lambda *args: {})
    monkeypatch.setattr(explain_eval, "seconds_of", lambda *args: {})
    with pytest.raises(ModelError, match="were replaced meanwhile"):
        explain_eval.explain_eval(folder, dataset, 1)
    assert (folder / "metrics.json").read_text() == before


def _rows(**columns):
    """A row an image and map with the same measures, but for those given as {map: [a value an image]}."""
    count = len(next(iter(columns.values()))["gradcam"])
    rows = []
    for image in range(count):
        for name in MAPS:
            row = {"image_id": f"ISIC_{image}", "lesion": f"HAM_{image}", "dx": "mel", "answer": "mel", "map": name}
            row |= dict.fromkeys(MEASURES, 0.5) | {"pointing": 1.0, "empty": 0.0}
            row |= {column: values[name][image] for column, values in columns.items() if name in values}
            rows.append(row)
    return rows


def test_verdicts_worked_by_hand():
    """Deletion 0.1 below the spot's for every image: better. Insertion 0.1 below: worse. Energy now more, now less."""
    rows = _rows(
        deletion_blur={"gradcam": [0.4] * 6},
        insertion_blur={"gradcam": [0.4] * 6},
        energy={"gradcam": [0.4, 0.6] * 3},
    )
    found = section(rows, dict.fromkeys(MAPS, 0.5))
    better, same, worse = verdict(found, "gradcam")
    assert better == ["deletion_blur"] and worse == ["insertion_blur"] and "energy" in same
    sentence = explanation_sentence({"explanations": found}, "gradcam", "mel")
    assert (
        "such a map is better at how fast the answer goes when what is marked is blurred; worse at how fast the "
        "answer comes back when what is marked is made sharp again; no different at "
        "how fast the answer goes when what is marked is painted over, "
    ) in sentence
    assert (
        "Measured on 6 held-out images" in sentence
        and "nothing at all" not in sentence
        and "hardly changes" not in sentence
    )
    rows = _rows(random_weights={"gradcam": [0.8] * 6}, empty={"gradcam": [0.0] * 3 + [1.0] * 3})
    found = section(rows, dict.fromkeys(MAPS, 0.5))
    sentence = explanation_sentence({"explanations": found}, "gradcam", "mel")
    assert "hardly changes when all weights of the network are random (rank correlation 0.80)" in sentence
    assert "better at" not in sentence and "In 50 % of the images it found nothing at all." in sentence
    assert explanation_sentence({}, "gradcam", "mel") == UNKNOWN and UNKNOWN in explanation_page({})


def test_cases_worked_by_hand():
    rows = _rows(
        answer={name: ["mel", "nv", "mel", "mel", "mel", "mel"] for name in MAPS},
        pointing={"gradcam": [1.0, 1.0, 0.0, 1.0, 1.0, 0.0]},
        empty={"gradcam": [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]},
        deletion_blur={"gradcam": [0.2, 0.2, 0.6, 0.4, 0.46, 0.4]},  # 0.5 for the spot and for the random map
        energy={"gradcam": [0.9, 0.8, 0.1, 0.7, 0.7, 0.0]},
    )
    found = section(rows, dict.fromkeys(MAPS, 0.5))
    named = {kind: [e["image_id"][-1] for e in found["examples"][kind]] for kind in CASES}
    assert named == {"helps": ["0", "3"], "wrong": ["1"], "elsewhere": ["2"], "empty": ["5"], "chance": ["2"]}
    assert found["cases"]["gradcam"] == {"helps": 2, "wrong": 1, "elsewhere": 1, "empty": 1, "chance": 1}
    assert found["right"] == 5
    assert found["by_class"]["mel"]["cases"]["wrong"] == 1 and found["by_class"]["nv"]["cases"]["wrong"] == 0
    page = explanation_page({"explanations": found})
    assert "| of 6 images | helps (of 5 right) | looks right, answer wrong (of 1 wrong) |" in page


def test_the_page_names_every_measure_kind_and_map(measured):
    page = explanation_page(json.loads((measured / "metrics.json").read_text()))
    assert all(m.heading in page and m.meaning in page for m in MEASURES.values())
    assert all(kind.heading in page and kind.rule in page for kind in CASES.values())
    assert page.count("\n| ") >= len(MEASURES) + len(METHODS) + len(CODES)


def test_a_sample_has_one_image_of_each_lesion_and_is_always_the_same(dataset):
    records = read_ham10000(dataset)
    lesions = merge_lesions(records)
    chosen = sample(records, lesions, 3)
    assert [r.dx for r in chosen] == [code for code in CODES for _ in range(3)]
    assert len({lesions[r.image_id] for r in chosen}) == len(chosen)
    assert chosen == sample(records, lesions, 3)


def test_masks_are_read_at_the_input_s_size_and_a_missing_one_is_named(dataset, tmp_path):
    record = read_ham10000(dataset)[0]
    mask = mask_of(record, dataset, 32)
    assert mask.shape == (32, 32) and mask.dtype == bool and mask[16, 16] and mask.mean() == 0.25
    with pytest.raises(DataError, match=f"{record.image_id}_segmentation.png.*{MASKS}"):
        mask_of(record, tmp_path, 32)


def test_a_folder_that_was_never_trained_is_named(tmp_path, dataset, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train.explain_eval", str(tmp_path / "no"), "--data", str(dataset)])
    assert explain_eval.main() == 1
    assert "no model folder" in capsys.readouterr().err
