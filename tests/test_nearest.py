"""No example may be found to be a near-copy of a training image; a turned one must be, and how many are is said."""

import csv
import re

import numpy as np
import pytest
from PIL import Image

import app
from skin_lesion import load
from skin_lesion.images import open_image
from train import nearest
from train.data import read_ham10000
from train.parts import parts_of


def rows_of(folder) -> dict[str, dict[str, str]]:
    with open(folder / nearest.FILE, newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def bundled():
    return rows_of(app.EXAMPLES)


def test_every_bundled_example_as_it_is_and_the_shipped_weights_have_passed(bundled):
    """Whoever draws the examples anew, or ships other weights, runs train.nearest again."""
    assert set(bundled) == {path.name for path in app.EXAMPLES.glob("*.jpg")}
    revision = load().revision
    for name, row in bundled.items():
        assert row["sha256"] == nearest.digest(app.EXAMPLES / name), f"{name} is not the file that was compared"
        assert row["weights"] == revision and nearest.passes(row)


def test_the_readme_says_how_many_copies_are_noticed(bundled):
    (share,) = {row["copies_caught"] for row in bundled.values()}
    assert f"it notices {share} (`copies_caught`" in (app.EXAMPLES.parent / "README.md").read_text(encoding="utf-8")


def test_the_named_training_images_are_as_near_as_it_says(bundled, ham10000):
    classifier = load()
    training = parts_of(read_ham10000(ham10000), classifier.metrics, classifier.folder)["train"]
    paths = {record.image_id: record.path for record in training}
    for name, row in bundled.items():
        ours = app.EXAMPLES / name
        by_features, by_pixels = paths[row["by_features"]], paths[row["by_pixels"]]
        cosine = nearest.pooled(classifier.predict(ours)) @ nearest.pooled(classifier.predict(by_features))
        assert float(row["distance"]) == pytest.approx(1 - cosine, abs=2e-4)
        turns = nearest.turned(nearest.thumbnail(open_image(ours)))
        alike = (turns @ nearest.thumbnail(open_image(by_pixels)).ravel()).max()
        assert float(row["correlation"]) == pytest.approx(alike, abs=2e-4)


def test_a_turned_and_compressed_copy_is_found_and_named(evaluated, dataset, tmp_path, capsys):
    classifier = load(f"local-dir:{evaluated}")
    training = parts_of(read_ham10000(dataset), classifier.metrics, evaluated)["train"]
    stolen = Image.open(training[5].path)
    stolen.transpose(Image.Transpose.ROTATE_180).resize((600, 450)).save(tmp_path / "copy.jpg", quality=60)
    step = np.zeros((90, 120, 3), np.uint8)
    step[:, 60:] = 255
    Image.fromarray(step).save(tmp_path / "own.png")
    (tmp_path / "credits.csv").write_text("file,class,source,licence\ncopy.jpg,mel,me,CC0\nown.png,mel,me,CC0\n")

    arguments = [str(tmp_path), "--data", str(dataset), "--model", f"local-dir:{evaluated}"]
    assert nearest.main(arguments) == 1
    rows = rows_of(tmp_path)
    assert rows["copy.jpg"]["by_pixels"] == training[5].image_id and not nearest.passes(rows["copy.jpg"])
    assert nearest.passes(rows["own.png"])
    assert float(rows["copy.jpg"]["copies_caught"]) > 0.9  # the images are noise, as unlike as can be
    out = capsys.readouterr().out
    assert re.search(r"^copy\.jpg: .*: TOO NEAR;", out, re.M) and re.search(r"^own\.png: .*: passes;", out, re.M)


def test_what_is_usual_leaves_out_the_same_lesion():
    """Worked out by hand: unit vectors at 0, 1, 30 and 90 degrees; the first two of one lesion, one a turn."""
    degrees = np.radians([0, 1, 30, 90])
    features = np.stack([np.cos(degrees), np.sin(degrees)], 1).astype(np.float32)
    small = np.random.default_rng(0).normal(size=(4, nearest.SIDE, nearest.SIDE, 3)).astype(np.float32)
    small[1] = np.rot90(small[0])
    thumbnails = np.stack([(s / np.linalg.norm(s)).ravel() for s in small])
    known = nearest.Reference(list("abcd"), np.array(["x", "x", "y", "z"]), features, thumbnails)
    distance, limit = nearest.usual(known)
    # nearest other lesion: 30, 29, 29 and 60 degrees away
    assert distance == pytest.approx(1 - np.mean([np.cos(np.radians(30)), np.cos(np.radians(29))]), abs=1e-6)
    assert limit < 0.2  # of noise
    other = nearest.Reference(known.images, np.array(["x", "w", "y", "z"]), features, thumbnails)
    assert nearest.usual(other)[1] == pytest.approx(1, abs=1e-6)


def test_a_folder_without_examples_is_a_message(tmp_path, dataset, capsys):
    assert nearest.main([str(tmp_path), "--data", str(dataset)]) == 1
    assert "has no examples with credits; make them with train.synthesize" in capsys.readouterr().err
