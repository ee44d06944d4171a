import csv
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from skin_lesion.classes import CODES
from skin_lesion.examples import read_examples
from train import synthesize
from train.synthesis import lesions
from train.synthesize import Draw, choose


def test_every_class_has_a_recipe():
    assert set(lesions.RECIPES) == set(CODES) == set(synthesize.RECIPES) - {"landscape"}


@pytest.mark.parametrize("recipe", ["nv", "landscape"])
def test_a_candidate_is_a_function_of_its_numbers(recipe):
    first, again, other = (synthesize.candidate(recipe, seed, 3) for seed in (0, 0, 1))
    assert first.size == (600, 450) and first.mode == "RGB"
    assert np.array_equal(first, again)
    assert np.abs(np.asarray(first).astype(int) - np.asarray(other)).mean() > 5


def draw(recipe, number, distance=1.0, dermatoscopic=True, quality=(), set90=(), **p) -> Draw:
    """A draw to which the model answers as given; the classes that are not named share the rest."""
    rest = (1 - sum(p.values())) / (len(CODES) - len(p))
    probabilities = {code: p.get(code, rest) for code in CODES}
    code = max(probabilities, key=probabilities.__getitem__)
    about = {"dermatoscopic": dermatoscopic, "quality": quality, "set90": set90}
    answer = SimpleNamespace(probabilities=probabilities, code=code, distance=distance, **about)
    return Draw(recipe, number, b"", answer)


def choice(blurred=lambda draw: draw, **draws) -> dict[str, tuple[str, int]]:
    """What is chosen among the given draws, and plain ones of the other recipes: name -> recipe, number."""
    plain = {code: [draw(code, 0, **{code: 0.9})] for code in CODES} | {"landscape": [draw("landscape", 0)]}
    return {name: (kept.recipe, kept.number) for name, kept in choose(plain | draws, blurred).items()}


def test_of_the_draws_that_are_surely_right_the_most_lifelike_stands_for_the_class():
    draws = [
        draw("df", 0, df=0.99, distance=2.0),
        draw("df", 1, df=0.81, distance=1.5),
        draw("df", 2, df=0.70, distance=1.0),  # not sure
        draw("df", 3, mel=0.90, distance=1.0),  # wrong
        draw("df", 4, df=0.90, distance=1.0, quality=("dark",)),
        draw("df", 5, df=0.90, distance=1.0, dermatoscopic=False),
    ]
    assert choice(df=draws)["df"] == ("df", 1)


@pytest.mark.parametrize(
    "draws",
    [
        [draw("df", 0, df=0.3, distance=0.1), draw("df", 1, df=0.5, distance=9)],  # not sure
        [draw("df", 0, df=0.2, mel=0.6), draw("df", 1, df=0.3, mel=0.6)],  # wrong
        [draw("df", 0, df=0.9, quality=("dark",)), draw("df", 1, df=0.95, quality=("dark",))],
    ],
)
def test_where_none_is_surely_right_the_surest_is_kept_with_a_warning(draws, capsys):
    assert choice(df=draws)["df"] == ("df", 1)
    assert "none of 2 draws fits as example of df; the nearest is kept" in capsys.readouterr().err
    choice()
    assert "of df;" not in capsys.readouterr().err


def test_the_ambiguous_one_is_the_nearest_to_the_middle_of_those_between_mel_and_a_lookalike():
    both = {"set90": ("mel", "nv")}
    naevi = [
        draw("nv", 0, nv=0.9),
        draw("nv", 1, nv=0.59, mel=0.31, **both),
        draw("nv", 2, nv=0.5, mel=0.45, set90=("nv",)),  # the model would name nv alone
        draw("nv", 3, nv=0.5, mel=0.45, quality=("blurred",), **both),
    ]
    melanomas = [draw("mel", 0, mel=0.9), draw("mel", 1, mel=0.52, nv=0.40, **both), draw("mel", 2, mel=0.7, nv=0.3)]
    keratoses = [draw("bkl", 0, bkl=0.9), draw("bkl", 1, bkl=0.45, mel=0.42, set90=("bkl", "mel"))]
    assert choice(nv=naevi)["ambiguous"] == ("nv", 1)
    assert choice(nv=naevi, mel=melanomas)["ambiguous"] == ("mel", 1)
    assert choice(nv=naevi, mel=melanomas, bkl=keratoses)["ambiguous"] == ("bkl", 1)


def test_the_picture_that_is_no_lesion_looks_least_like_one_and_the_blurred_one_is_called_blurred_only(capsys):
    scenes = [draw("landscape", n, distance=d, dermatoscopic=False) for n, d in enumerate((3.0, 5.0, 4.0))]
    naevi = [draw("nv", n, nv=0.9, distance=1 + n) for n in range(4)]

    def blurred(sharp: Draw) -> Draw:
        quality, own = ("blurred",) if sharp.number != 1 else (), sharp.number != 3
        return draw("nv", sharp.number, quality=quality, distance=10 - sharp.number, dermatoscopic=own)

    chosen = choice(blurred, landscape=scenes, nv=naevi)
    assert chosen["no_lesion"] == ("landscape", 1)
    assert chosen["nv"] == ("nv", 0) and chosen["blurred"] == ("nv", 2)
    assert list(chosen) == [*CODES, "ambiguous", "no_lesion", "blurred"]
    choice()
    assert "none of 1 draws fits as example of no lesion" in capsys.readouterr().err


def test_the_folder_holds_what_was_chosen_credited_and_with_the_numbers_that_make_it_again(
    tmp_path, model_folder, monkeypatch, capsys
):
    rng = np.random.default_rng(0)
    noise = {}

    def candidate(recipe, seed, number):
        return noise.setdefault((recipe, seed, number), Image.fromarray(rng.integers(0, 255, (450, 600, 3), np.uint8)))

    monkeypatch.setattr(synthesize, "candidate", candidate)
    arguments = ["--out", str(tmp_path), "--candidates", "2", "--seed", "5", "--model", f"local-dir:{model_folder}"]
    assert synthesize.main(arguments) == 0
    assert "warning: none of" in capsys.readouterr().err  # random weights answer few classes

    shown = read_examples(tmp_path)
    assert [e.shows for e in shown] == ["class"] * 7 + ["ambiguous", "no lesion", "blurred"]
    assert [e.code for e in shown] == [*CODES, "", "", "nv"]
    with open(tmp_path / "credits.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        seed, recipe, number = map(int, row["seed"].split("/"))
        made = noise[synthesize.RECIPES[recipe], seed, number]
        if row["shows"] == "blurred":
            made = made.filter(ImageFilter.GaussianBlur(synthesize.BLUR))
        assert (tmp_path / row["file"]).read_bytes() == synthesize.encode(made)
        how = f"a draw of nv, blurred by {synthesize.BLUR} pixels" if row["shows"] == "blurred" else "of "
        assert row["note"].startswith(f"synthetic, no patient; not a photograph; {how}")


def test_a_bad_model_is_a_message_not_a_traceback(tmp_path, capsys):
    assert synthesize.main(["--out", str(tmp_path), "--model", "local-dir:/nowhere"]) == 1
    assert "no model folder /nowhere" in capsys.readouterr().err
