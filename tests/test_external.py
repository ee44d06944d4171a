"""Other labelled images: folders named by class, ISIC ground-truth tables, and the ways they can be wrong."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, read_metrics
from train import external
from train.data import DataError
from train.folder import write_json

HEAD = ["image", "MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]  # as the ISIC 2018 challenge has it


@pytest.fixture
def images(tmp_path) -> Path:
    """Two images of each class, in folders named by class; one folder in capitals."""
    rng = np.random.default_rng(0)
    for number, code in enumerate(CODES * 2):
        folder = tmp_path / "set" / (code.upper() if code == "mel" else code)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"ISIC_{34321 + number:07d}.jpg")
    return tmp_path / "set"


@pytest.fixture
def truth(images) -> Path:
    rows = []
    for path in sorted(images.rglob("*.jpg")):
        rows.append([path.stem, *(f"{float(path.parent.name.lower() == name.lower()):.1f}" for name in HEAD[1:])])
    return write(images.parent / "truth.csv", HEAD, rows)


def write(path: Path, head: list, rows: list) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return path


@pytest.fixture
def folder(model_folder, tmp_path) -> Path:
    """A model folder of train.fit with as much of a metrics.json as the card needs."""
    copy = shutil.copytree(model_folder, tmp_path / "model")
    options = {"init": "none", "schedule": [[1, 32]], "batch": 8, "lr": 1e-3, "ema": 0.9, "smoothing": 0, "adjust": 1}
    split = {"seed": 0, "ratios": [0.7, 0.15, 0.15], "fingerprint": "0", "images": {"train": 1, "val": 1, "test": 1}}
    write_json(copy / "metrics.json", {"split": split, "training": {"images": 1, "options": options | {"seed": 0}}})
    return copy


def test_folders_and_table_say_the_same(images, truth):
    by_folder = external.read_labelled(images)
    assert [(r.image_id, r.dx) for r in external.read_labelled(images, truth)] == [
        (r.image_id, r.dx) for r in by_folder
    ]
    assert sorted(r.dx for r in by_folder) == sorted(CODES * 2)


def test_the_figures_go_into_metrics_and_card_under_the_sets_name(folder, images, truth):
    section = external.external(folder, images, truth, "isic2018")
    assert section["images"] == section["lesions"] == 14 and section["image_size"] == "60×40"
    metrics = read_metrics(folder)
    assert metrics["external"]["isic2018"] == section
    external.external(folder, images, None, "again")
    assert read_metrics(folder)["external"]["again"]["headlines"] == section["headlines"]
    assert (folder / "external_isic2018.csv").read_text() == (folder / "external_again.csv").read_text()


def test_no_figure_comes_to_weights_that_took_their_place_meanwhile(folder, images, monkeypatch):
    monkeypatch.setattr("train.folder.weights_digest", lambda folder: "sha256:new")
    before = read_metrics(folder)
    with pytest.raises(ModelError, match="weights in .* were replaced meanwhile"):
        external.external(folder, images, None, "set")
    assert read_metrics(folder) == before and not (folder / "external_set.csv").exists()


def test_a_column_with_lesions_groups_the_images(images, truth):
    rows = list(csv.reader(truth.open()))
    lesions = write(truth, [*HEAD, "lesion_id"], [[*row, f"L{i // 2}"] for i, row in enumerate(rows[1:])])
    assert len({r.lesion_id for r in external.read_labelled(images, lesions)}) == 7


def test_folders_that_are_links_are_followed(images, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    for folder in images.iterdir():
        (links / folder.name).symlink_to(folder)
    expected = [(r.image_id, r.dx) for r in external.read_labelled(images)]
    (images / "nv" / "round").symlink_to(images / "nv")
    assert [(r.image_id, r.dx) for r in external.read_labelled(links)] == expected


def test_bad_tables_are_refused_by_name(images, truth):
    rows = list(csv.reader(truth.open()))[1:]
    bad = truth.with_name("bad.csv")
    with pytest.raises(DataError, match="lacks the column.s. vasc; it has: image, mel"):
        external.read_labelled(images, write(bad, HEAD[:-1], [row[:-1] for row in rows]))
    with pytest.raises(DataError, match="no rows"):
        external.read_labelled(images, write(bad, HEAD, []))
    for values in (["1", "1", "0", "0", "0", "0", "0"], ["0"] * 7, ["0.7", "0.3", *"00000"], ["yes", *"000000"], ["1"]):
        with pytest.raises(DataError, match=r"line 3 \(ISIC_\d+\): exactly one class must be 1"):
            external.read_labelled(images, write(bad, HEAD, [rows[0], [rows[1][0], *values]]))
    with pytest.raises(DataError, match="line 2: there is no image 'ISIC_9999999'"):
        external.read_labelled(images, write(bad, HEAD, [["ISIC_9999999", *rows[0][1:]]]))
    with pytest.raises(DataError, match="Several lines of .*bad.csv have one name"):
        external.read_labelled(images, write(bad, HEAD, [rows[0], rows[0]]))
    bad.write_bytes("image,é".encode("latin-1"))
    with pytest.raises(DataError, match="bad.csv is not a CSV file in UTF-8"):
        external.read_labelled(images, bad)
    with pytest.raises(DataError, match="There is no file"):
        external.read_labelled(images, truth.with_name("none.csv"))


def test_bad_folders_are_refused_by_name(images, tmp_path):
    with pytest.raises(DataError, match="There is no folder"):
        external.read_labelled(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image"):
        external.read_labelled(tmp_path / "empty")
    twin = sorted((images / "nv").glob("*.jpg"))[0]
    (images / "bcc" / twin.name).write_bytes(twin.read_bytes())
    with pytest.raises(DataError, match=f"Several images have one name: {twin.stem}"):
        external.read_labelled(images)
    (images / "bcc" / twin.name).unlink()
    (images / "nv").rename(images / "naevus")
    with pytest.raises(DataError, match="has naevus beside or instead of .* Valid: akiec, bcc"):
        external.read_labelled(images)


def test_a_folder_that_nothing_was_trained_into_is_refused_before_the_work(model_folder, images):
    with pytest.raises(ModelError, match="has no metrics.json of train.fit"):
        external.external(model_folder, images, None, "mine")


def test_images_without_a_line_are_counted(folder, images, truth, capsys):
    write(truth, HEAD, list(csv.reader(truth.open()))[1:-2])
    assert external.external(folder, images, truth, "mine")["images"] == 12
    assert "2 images have no line in" in capsys.readouterr().err


def test_images_the_model_may_have_been_trained_on_are_refused(folder, images):
    first = sorted(images.rglob("*.jpg"))[0]
    first.rename(first.with_name("ISIC_0034320.jpg"))  # the last of HAM10000
    with pytest.raises(DataError, match="1 of 14 images are HAM10000's .*ISIC_0034320"):
        external.external(folder, images, None, "mine")
    (folder / "test_predictions.csv").write_text("image_id\nISIC_0034320\n")
    assert external.external(folder, images, None, "mine")["images"] == 14


def test_the_command_says_what_is_wrong_and_exits_with_one(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["external", str(folder), "--images", str(tmp_path / "nowhere")])
    assert external.main() == 1
    assert "There is no folder" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["external", str(folder), "--images", str(tmp_path), "--name", "a/b"])
    with pytest.raises(SystemExit):
        external.main()
    assert "--name 'a/b'" in capsys.readouterr().err
