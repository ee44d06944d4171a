import csv

import numpy as np
import pytest
from PIL import Image

from skin_lesion import load
from skin_lesion.classes import CODES
from train import synthesize
from train.synthesis import lesions


def test_every_class_has_a_recipe():
    assert set(lesions.RECIPES) == set(CODES)


@pytest.mark.parametrize("code", ["nv", "vasc"])
def test_a_candidate_is_a_function_of_its_numbers(code):
    first, again, other = (synthesize.candidate(code, seed, 3) for seed in (0, 0, 1))
    assert first.size == (600, 450) and first.mode == "RGB"
    assert np.array_equal(first, again)
    assert np.abs(np.asarray(first).astype(int) - np.asarray(other)).mean() > 5


def test_the_candidate_that_the_model_likes_best_is_kept_and_credited(tmp_path, model_folder, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    draws = {(c, n): Image.fromarray(rng.integers(0, 255, (450, 600, 3), np.uint8)) for c in CODES for n in range(3)}
    monkeypatch.setattr(synthesize, "candidate", lambda code, seed, number: draws[code, number])
    status = synthesize.main(["--out", str(tmp_path), "--candidates", "3", "--model", f"local-dir:{model_folder}"])
    assert status == 0

    classifier = load(f"local-dir:{model_folder}")
    with open(tmp_path / "credits.csv", newline="") as file:
        rows = {row["class"]: row for row in csv.DictReader(file)}
    for i, code in enumerate(CODES):
        scores = [classifier.predict(draws[code, n]).probabilities[code] for n in range(3)]
        assert rows[code]["seed"] == f"0/{i}/{int(np.argmax(scores))}"
        assert (tmp_path / rows[code]["file"]).is_file()
    assert "warning: no candidate of" in capsys.readouterr().err  # random weights answer few classes


def test_a_bad_model_is_a_message_not_a_traceback(tmp_path, capsys):
    assert synthesize.main(["--out", str(tmp_path), "--model", "local-dir:/nowhere"]) == 1
    assert "no model folder /nowhere" in capsys.readouterr().err
