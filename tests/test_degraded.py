"""How often the hints on quality fire, on held-out images and on degraded copies."""

import csv

import numpy as np
import pytest
from PIL import Image

from skin_lesion import load
from skin_lesion.model import ModelError
from skin_lesion.quality import HINTS, hints
from skin_lesion.tables import quality_table
from train.data import read_ham10000
from train.degraded import AS_IT_IS, CROPPED, DEGRADATIONS, EVERY, SIDE, hints_found, write_hints


@pytest.fixture
def image():
    """200×100, red grows to the right."""
    across, _ = np.meshgrid(np.arange(200), np.arange(100))
    return Image.fromarray(np.stack([across, across * 0 + 100, across * 0 + 90], 2).astype(np.uint8))


def test_each_degradation_does_what_it_says(image):
    made = {name: degrade(image) for name, (_, degrade) in DEGRADATIONS.items()}
    assert made["reduced to 96×96"].size == (96, 96)
    assert made["0.3 times as bright"].getpixel((150, 50)) == (45, 30, 27)
    assert made["2.5 times as bright"].getpixel((150, 50)) == (255, 250, 225)
    edge = Image.fromarray(np.repeat(np.uint8([[0] * 100 + [255] * 100]), 100, 0)).convert("RGB")
    for share in (1, 2):  # a Gaussian of one standard deviation: 84 % of the step lie below it
        found = DEGRADATIONS[f"blurred by {share} % of its width"][1](edge)
        assert found.getpixel((100 + 2 * share, 50))[0] == pytest.approx(255 * 0.86, abs=12)
    assert {hint for hint, _ in DEGRADATIONS.values()} == set(HINTS) - {"cut_off"}


def test_shares_follow_from_the_file(tmp_path):
    """Four images of three lesions; the first was degraded. By hand."""
    path = tmp_path / "quality_hints.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", SIDE, AS_IT_IS, *DEGRADATIONS, CROPPED])
        writer.writerow(["a", "0.5", "dark cut_off", "blurred", "dark blurred", "none", "overexposed", "small", "none"])
        writer.writerow(["b", "0.4", "none", *[""] * 6])
        writer.writerow(["c", "0.0", "cut_off", *[""] * 6])
        writer.writerow(["d", "0.3", "none", *[""] * 6])
    lesions = np.array(["1", "1", "2", "3"])
    found = hints_found(path, lesions, detects_cut_off=True)
    flagged = {hint: row["value"] for hint, row in found["flagged"].items()}
    assert flagged == {"small": 0, "dark": 0.25, "overexposed": 0, "blurred": 0, "cut_off": 0.5}
    caught = {name: (row["hint"], row["share"]["value"]) for name, row in found["caught"].items()}
    assert caught == {
        "blurred by 1 % of its width": ("blurred", 1),
        "blurred by 2 % of its width": ("blurred", 1),
        "0.3 times as bright": ("dark", 0),
        "2.5 times as bright": ("overexposed", 1),
        "reduced to 96×96": ("small", 1),
        CROPPED: ("cut_off", 0),
    }
    cut = found["cut_off"]
    assert (cut["images"], cut["sensitivity"]["value"], cut["specificity"]["value"]) == (2, 0.5, 0.5)
    table = quality_table({"quality": found})
    assert "2 held-out images show a lesion that is cut off" in table and "reduced to 96×96: 1.000" in table

    without = hints_found(path, lesions, detects_cut_off=False)
    assert "cut_off" not in without and "cut_off" not in without["flagged"] and CROPPED not in without["caught"]
    assert "cut off" not in quality_table({"quality": without})

    maskless = path.read_text(encoding="utf-8").replace("a,0.5", "a,").replace("small,none", "small,")
    path.write_text(maskless, encoding="utf-8")  # the degraded image, but others have masks
    found = hints_found(path, lesions, detects_cut_off=True)
    assert found["cut_off"]["images"] == 1 and CROPPED not in found["caught"]
    table = quality_table({"quality": found})
    assert (
        "1 held-out images show a lesion that is cut off" in table and "| cut off | 0.500 (0.000–1.000) | – |" in table
    )


def test_the_file_holds_the_hints_on_the_degraded_images(dataset, tmp_path):
    classifier, records = load(), read_ham10000(dataset)[: EVERY + 1]
    write_hints(tmp_path / "with.csv", classifier, records, dataset)
    write_hints(tmp_path / "without.csv", classifier, records, tmp_path)
    rows, bare = (list(csv.DictReader(open(tmp_path / f"{n}.csv", encoding="utf-8"))) for n in ("with", "without"))
    assert [row["image_id"] for row in rows] == [r.image_id for r in records]
    for i, (record, row) in enumerate(zip(records, rows, strict=True)):
        assert row[AS_IT_IS] == (" ".join(classifier.predict(record.path).quality) or "none")
        with Image.open(record.path) as opened:
            expected = {name: " ".join(hints(degrade(opened))) or "none" for name, (_, degrade) in DEGRADATIONS.items()}
        measured = i % EVERY == 0
        assert {name: row[name] for name in expected} == (expected if measured else dict.fromkeys(expected, ""))
        assert (row[CROPPED] != "") == measured and row[SIDE] == "0.0000"
    assert all(row[SIDE] == row[CROPPED] == "" for row in bare)
    assert [row[AS_IT_IS] for row in bare] == [row[AS_IT_IS] for row in rows]


def test_a_folder_without_the_file_says_what_to_run(tmp_path):
    with pytest.raises(ModelError, match=r"no .*hints.csv; run train.evaluate"):
        hints_found(tmp_path / "quality_hints.csv", np.array([]), True)
