import csv
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image, ImageOps
from timm.data import resolve_model_data_config

from skin_lesion.__main__ import main
from skin_lesion.classes import CODES
from skin_lesion.images import ImageError
from skin_lesion.model import load
from skin_lesion.rows import FURTHER
from skin_lesion.texts import DISCLAIMER

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_probabilities_are_the_softmax_of_the_whole_model(classifier, image):
    prediction = classifier.predict(image)
    with torch.no_grad():
        logits = classifier.model(classifier.transform(image).unsqueeze(0))[0]
    assert torch.allclose(prediction.logits, logits, atol=1e-5)
    assert list(prediction.probabilities) == list(CODES)
    assert np.allclose(list(prediction.probabilities.values()), logits.softmax(0), atol=1e-6)
    assert prediction.code == CODES[int(logits.argmax())]
    assert prediction.features.shape == (1, 1280, tiny.UNTRAINED // 32, tiny.UNTRAINED // 32)
    assert [p for _, p in prediction.ranked] == sorted(prediction.probabilities.values(), reverse=True)


def test_the_trunk_runs_once(classifier, image):
    calls = []
    handle = classifier.model.conv_head.register_forward_hook(lambda *_: calls.append(1))
    try:
        classifier.predict(image)
    finally:
        handle.remove()
    assert len(calls) == 1


def test_the_whole_image_is_squashed_not_cropped(classifier):
    """A mark in the outermost corner of a wide image still reaches the tensor."""
    wide = Image.new("RGB", (600, 300), "white")
    marked = wide.copy()
    marked.paste("black", (580, 280, 600, 300))
    difference = classifier.transform(wide) - classifier.transform(marked)
    assert difference.shape == (3, tiny.UNTRAINED, tiny.UNTRAINED)
    assert difference[:, -3:, -3:].abs().max() > 1 and difference[:, :43, :43].abs().max() == 0


def test_flips_average_four_orientations(tmp_path, capsys):
    """So all four get the same probabilities; what else is said is of the image as it is."""
    one, averaged = load(), load(flips=True)
    size = resolve_model_data_config(one.model)["input_size"][1:]  # squashing would round differently in each
    image = Image.open(EXAMPLES / "ambiguous_synthetic.jpg").resize(size)
    four = [image, ImageOps.mirror(image), ImageOps.flip(image), image.rotate(180)]
    singly = [one.predict(i) for i in four]
    mean = np.mean([list(p.probabilities.values()) for p in singly], axis=0)
    for turned, alone in zip(four, singly, strict=True):
        found = averaged.predict(turned)
        assert not np.allclose(list(alone.probabilities.values()), mean, atol=1e-3)
        assert np.allclose(list(found.probabilities.values()), mean, atol=1e-4)
        assert np.allclose(found.logits.softmax(0), mean, atol=1e-4)
        assert torch.allclose(found.features, alone.features, atol=1e-3)
        assert found.distance == pytest.approx(alone.distance, rel=1e-3)
    image.save(tmp_path / "a.png")
    _, out, _ = run(capsys, tmp_path / "a.png", "--format", "json", "--flips")
    assert json.loads(out)["probabilities"] == averaged.predict(image).to_dict()["probabilities"]


def test_a_prediction_cannot_be_changed(classifier, image):
    with pytest.raises(dataclasses.FrozenInstanceError):
        classifier.predict(image).source = "else"


def test_path_bytes_array_and_image_agree(classifier, image, tmp_path):
    path = tmp_path / "a.png"
    image.save(path)
    answers = [classifier.predict(s).to_dict() for s in (path, str(path), path.read_bytes(), np.asarray(image), image)]
    assert all(answer == answers[0] for answer in answers)


def test_bad_image_raises_image_error(classifier):
    with pytest.raises(ImageError):
        classifier.predict(b"no image")


@pytest.fixture
def pictures(tmp_path, image):
    folder = tmp_path / "pictures"
    (folder / "deeper").mkdir(parents=True)
    image.save(folder / "b.png")
    image.save(folder / "deeper" / "a.JPG")
    (folder / "bad.jpg").write_text("no image")
    (folder / "notes.txt").write_text("ignored")
    return folder


def run(capsys, *arguments):
    status = main(["predict", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_json_is_one_object_a_line_and_a_bad_file_does_not_stop_the_rest(pictures, model_folder, capsys):
    source = f"local-dir:{model_folder}"
    status, out, err = run(capsys, pictures, "--model", source, "--format", "json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 1
    assert [line["image"] for line in lines] == [str(pictures / "b.png"), str(pictures / "deeper" / "a.JPG")]
    for line in lines:
        assert set(line) == {"image", "prediction", "probabilities", *FURTHER, "model"}
        assert list(line["probabilities"]) == list(CODES)
        assert sum(line["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert line["prediction"] == max(line["probabilities"], key=line["probabilities"].get)
        assert line["model"]["source"] == source and line["model"]["revision"].startswith("sha256:")
    assert err.count("\n") == 1 and "bad.jpg: This file is not an image" in err


def test_csv_and_table(pictures, model_folder, capsys):
    arguments = [pictures / "b.png", "--model", f"local-dir:{model_folder}"]
    status, out, _ = run(capsys, *arguments, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(out))
    assert status == 0 and row["prediction"] in CODES and row["image"].endswith("b.png")
    assert sum(float(row[code]) for code in CODES) == pytest.approx(1, abs=1e-4)
    status, out, said = run(capsys, *arguments)
    code, share, malignant, possible, *_ = out.splitlines()[1].split()
    assert status == 0 and code == row["prediction"] and said.strip() == DISCLAIMER
    assert share == f"{float(row[code]):.1%}" and malignant == f"{float(row['malignant']):.1%}"
    assert possible == "-"  # never calibrated


def test_the_table_names_no_class_for_a_picture_that_does_not_look_dermatoscopic(capsys):
    status, out, _ = run(
        capsys, EXAMPLES / "no_lesion_synthetic.jpg", EXAMPLES / "mel_synthetic.jpg", EXAMPLES / "blurred_synthetic.jpg"
    )
    _, foreign, lesion, blurred = out.splitlines()
    assert status == 0 and foreign.split()[:4] == ["-"] * 4 and "does not look like a dermatoscopic image" in foreign
    assert lesion.split()[0] == "mel" and "does not look" not in lesion
    assert blurred.endswith("  (blurred)")
    answer = json.loads(run(capsys, EXAMPLES / "no_lesion_synthetic.jpg", "--format", "json")[1])
    assert answer["prediction"] in CODES and answer["dermatoscopic"] is False


def test_missing_path_empty_folder_and_bad_model_are_reported(tmp_path, model_folder, capsys):
    model = ["--model", f"local-dir:{model_folder}"]
    status, out, err = run(capsys, tmp_path / "absent.png", *model)
    assert (status, out) == (1, "") and "absent.png: There is no such file or folder." in err
    status, _, err = run(capsys, tmp_path, *model)
    assert status == 1 and "holds no image (.jpg" in err
    status, _, err = run(capsys, tmp_path, "--model", "local-dir:/nowhere")
    assert status == 1 and "no model folder /nowhere" in err


def test_a_photograph_of_a_kind_that_is_not_read_is_not_passed_over(tmp_path, model_folder, capsys):
    shutil.copy(EXAMPLES / "mel_synthetic.jpg", tmp_path / "b.JPG")
    (tmp_path / "a.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    Image.new("RGB", (64, 48), "brown").save(tmp_path / "c.dng", "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    status, out, err = run(capsys, tmp_path, "--format", "csv", "--model", f"local-dir:{model_folder}")
    for name in ("a.HEIC", "c.dng"):  # of a DNG file Pillow would read the thumbnail
        assert f"{name}: This file is not an image that can be read; use a JPEG or PNG file." in err
    assert status == 1 and len(out.splitlines()) == 2 and "b.JPG" in out


def test_help_does_not_import_torch():
    command = [sys.executable, "-X", "importtime", "-m", "skin_lesion", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "predict" in out.stdout and not re.search(r"\|\s+torch$", out.stderr, re.M)
