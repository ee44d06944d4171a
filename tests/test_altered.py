"""Altered copies of images: what is altered, and how often the answer stays."""

import csv

import numpy as np
import pytest
from PIL import Image, ImageChops

from skin_lesion import load
from skin_lesion.classes import CODES
from skin_lesion.model import ModelError
from train.altered import ALTERATIONS, answers_stay, write_altered
from train.data import read_ham10000


@pytest.fixture
def gradient():
    """64×48: red grows to the right, green downwards."""
    across, down = np.meshgrid(np.arange(64), np.arange(48))
    return Image.fromarray(np.stack([across * 4, down * 5, across * 0 + 90], 2).astype(np.uint8))


def test_each_alteration_does_what_it_says(gradient):
    altered = {name: alter(gradient) for name, alter in ALTERATIONS.items()}
    sizes = {name: image.size for name, image in altered.items()}
    assert sizes.pop("resized to 224×224") == (224, 224) and sizes.pop("resized to 600×450") == (600, 450)
    assert sizes.pop("cropped to the middle three quarters of its width") == (48, 48)
    assert sizes.pop("turned by 90°") == (48, 64) and set(sizes.values()) == {(64, 48)}
    assert altered["cropped to the middle three quarters of its width"].getpixel((0, 0)) == gradient.getpixel((8, 0))
    assert altered["mirrored"].getpixel((0, 5)) == altered["turned by 180°"].getpixel((0, 42)) == (252, 25, 90)
    jpeg = altered["saved as JPEG of quality 75"].convert("RGB")
    assert 0 < np.asarray(ImageChops.difference(jpeg, gradient)).max() < 40


def test_noise_and_blur_are_as_strong_as_they_say():
    grey = Image.new("RGB", (400, 300), (128, 128, 128))
    noisy = np.asarray(ALTERATIONS["with noise of 4 of 255 grey levels"](grey), dtype=float)
    assert noisy.mean() == pytest.approx(128, abs=0.05) and noisy.std() == pytest.approx(4, rel=0.02)
    light = Image.new("RGB", (400, 300), (255, 255, 255))
    assert np.asarray(ALTERATIONS["with noise of 4 of 255 grey levels"](light)).min() > 230  # nothing wraps round
    edge = Image.fromarray(np.repeat((np.arange(400) >= 200)[None, :, None] * np.uint8(200), 300, 0).repeat(3, 2))
    blurred = np.asarray(ALTERATIONS["blurred by 0.5 % of its width"](edge), dtype=float)[150, :, 0]
    steps = np.diff(blurred) / 200  # the edge's derivative: a Gaussian of 2 px
    at = np.arange(399) + 0.5
    mean = (steps * at).sum()
    assert np.sqrt((steps * (at - mean) ** 2).sum()) == pytest.approx(2, rel=0.1)


def test_shares_follow_from_the_file(tmp_path):
    """Four images, three lesions: by hand, three of four answers stay, and 1/2 and 1 of the classes are met."""
    labels, lesions = np.array([4, 4, 5, 5]), np.array(["a", "a", "b", "c"])
    probabilities = np.eye(7)[[4, 5, 5, 5]]
    path = tmp_path / "altered_answers.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image_id", *ALTERATIONS])
        for i, code in enumerate(["mel", "mel", "nv", "nv"]):
            writer.writerow([f"image {i}", *[code] * (len(ALTERATIONS) - 1), "mel"])
    found = answers_stay(path, labels, probabilities, lesions)
    first, last = found["saved as JPEG of quality 75"], found["mirrored"]
    assert first["same"]["value"] == 0.75 and first["balanced_accuracy"]["value"] == 1
    assert last["same"]["value"] == 0.25 and last["balanced_accuracy"]["value"] == 0.5
    assert first["same"]["low"] < 0.75 < first["same"]["high"]


def test_the_file_holds_the_answers_to_the_altered_images(dataset, tmp_path):
    classifier, records = load(), read_ham10000(dataset)[:3]
    write_altered(tmp_path / "altered.csv", classifier, records)
    rows = list(csv.DictReader(open(tmp_path / "altered.csv", encoding="utf-8")))
    assert [row["image_id"] for row in rows] == [r.image_id for r in records]
    for record, row in zip(records, rows, strict=True):
        with Image.open(record.path) as image:
            expected = {name: classifier.predict(alter(image)).code for name, alter in ALTERATIONS.items()}
        assert {name: row[name] for name in ALTERATIONS} == expected and set(expected.values()) <= set(CODES)


def test_a_folder_without_the_file_says_what_to_run(tmp_path):
    with pytest.raises(ModelError, match=r"no .*altered.csv; run train.evaluate"):
        answers_stay(tmp_path / "altered.csv", np.array([]), np.array([]), np.array([]))
