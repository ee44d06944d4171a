"""A folder of examples may come from a stranger: what the app takes from it, what it leaves out and what it says."""

import csv
import logging
from dataclasses import replace

import pytest
from PIL import Image

import app
from skin_lesion.classes import CODES
from skin_lesion.examples import MAX_PER_CLASS, Example, read_examples
from skin_lesion.model import load
from skin_lesion.ui import gallery

COLUMNS = ["file", "class", "source", "licence", "note"]
REST = ["HAM10000, (c) ViDIR Group", "CC BY-NC 4.0", "held out of training"]


def write_credits(folder, *rows) -> None:
    with open(folder / "credits.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])


@pytest.fixture
def folder(tmp_path, image):
    """Two sound examples in a model's folder examples/, beside something to be stolen."""
    folder = tmp_path / "model" / "examples"
    folder.mkdir(parents=True)
    image.save(folder / "ISIC_0000001.jpg")
    image.save(folder / "two words.png")
    image.save(tmp_path / "model" / "secret.png")
    write_credits(folder, ["ISIC_0000001.jpg", "mel", *REST], ["two words.png", "nv", *REST])
    return folder


def test_sound_examples_come_in_the_order_of_their_credits(folder):
    first, second = read_examples(folder)
    assert first == Example(folder / "ISIC_0000001.jpg", "mel", *REST)
    assert (second.path.name, second.code) == ("two words.png", "nv")


def sparse(path, image) -> None:
    with open(path, "wb") as file:
        file.truncate(50_000_000)


BAD = {  # file -> how to make it
    "folder.png": lambda path, image: path.mkdir(),
    "text.png": lambda path, image: path.write_text("<script>alert(1)</script>"),
    "half.png": lambda path, image: path.write_bytes((path.parent / "sound.png").read_bytes()[:5000]),
    "photo.tiff.png": lambda path, image: image.save(path, format="TIFF"),
    "dot.png": lambda path, image: Image.new("RGB", (1, 1)).save(path),
    "wide.png": lambda path, image: Image.new("1", (8_000, 8_000)).save(path),
    "bomb.png": lambda path, image: Image.new("1", (14_000, 14_000)).save(path),
    "large.png": sparse,
}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["../secret.png", "mel", *REST], "not the name of a JPEG, PNG or WebP file in this folder"),
        (["{folder}/../secret.png", "mel", *REST], "not the name of"),
        ([r"..\secret.png", "mel", *REST], "not the name of"),
        (["https://elsewhere.org/a.png", "mel", *REST], "not the name of"),
        (["", "mel", *REST], "not the name of"),
        (["credits.csv", "mel", *REST], "not the name of"),
        (["drawing.svg", "mel", *REST], "not the name of"),
        (["nul\0.png", "mel", *REST], "not the name of"),
        (["absent.png", "mel", *REST], "No such file"),
        (["folder.png", "mel", *REST], "Is a directory"),
        (["text.png", "mel", *REST], "cannot identify image file"),
        (["half.png", "mel", *REST], "damaged or incomplete"),
        (["photo.tiff.png", "mel", *REST], "cannot identify image file"),  # no browser shows it
        (["dot.png", "mel", *REST], "too small"),
        (["wide.png", "mel", *REST], "too large: 8000×8000 pixels"),
        (["bomb.png", "mel", *REST], "decompression bomb"),
        (["large.png", "mel", *REST], "it has 50,000,000 bytes, more than 1,000,000"),
        (["sound.png", "melanoma", *REST], "Unknown class 'melanoma'. The classes are: akiec"),
        (["sound.png"], "Unknown class ''"),
        (["sound.png", "mel", "", "CC0-1.0"], "names no source or no licence"),
        (["sound.png", "mel", "somebody", " "], "names no source or no licence"),
        (["sound.png", "mel", "x" * 301, "CC0-1.0"], "longer than 300 characters"),
        (["ISIC_0000001.jpg", "nv", *REST], "listed twice"),
    ],
)
def test_a_bad_entry_is_left_out_with_a_line_in_the_log_and_the_others_are_shown(folder, image, row, reason, caplog):
    image.save(folder / "sound.png")
    make = BAD.get(row[0])
    if make:
        make(folder / row[0], image)
    write_credits(
        folder,
        ["ISIC_0000001.jpg", "mel", *REST],
        [cell.replace("{folder}", str(folder)) for cell in row],
        ["two words.png", "nv", *REST],
    )
    with caplog.at_level(logging.WARNING):
        assert [e.path.name for e in read_examples(folder)] == ["ISIC_0000001.jpg", "two words.png"]
    (line,) = caplog.messages
    assert "is left out" in line and reason in line


def test_a_class_has_a_few_examples_only(folder, image, caplog):
    names = [f"{number}.png" for number in range(MAX_PER_CLASS + 2)]
    for name in names:
        image.save(folder / name)
    write_credits(folder, *([name, "mel", *REST] for name in names), ["two words.png", "nv", *REST])
    assert [e.path.name for e in read_examples(folder)] == [*names[:MAX_PER_CLASS], "two words.png"]
    assert len(caplog.messages) == 2 and "there are 4 of its class already" in caplog.text


@pytest.mark.parametrize(
    "credits",
    [None, b"", b"\xff\xfe\x00", b"no,such,columns\n1,2,3\n", b"x" * 2_000_000, b'"' + b"y" * 200_000],
    ids=["missing", "empty", "not text", "other columns", "too large", "too large a field"],
)
def test_without_usable_credits_nothing_of_a_model_is_shown_but_the_bundled_examples(
    folder, model_folder, credits, caplog, classifier
):
    (folder / "credits.csv").unlink()
    if credits is not None:
        (folder / "credits.csv").write_bytes(credits)
    assert read_examples(folder) == []
    assert caplog.messages or credits == b""
    shown, intro = app.examples_for(replace(classifier, folder=folder.parent))
    assert [e.path.parent for e in shown] == [app.EXAMPLES] * 7 and "synthetic" in intro


def test_a_model_folder_without_examples_says_nothing_of_it(tmp_path, caplog):
    assert read_examples(tmp_path / "examples") == [] and not caplog.messages


def test_the_page_shows_the_examples_of_the_model_and_credits_them(folder, classifier):
    shown, intro = app.examples_for(replace(classifier, folder=folder.parent))
    assert [e.code for e in shown] == ["mel", "nv"] and "synthetic" not in intro
    html = gallery.credits_html(shown)
    assert "HAM10000, (c) ViDIR Group. Licence: CC BY-NC 4.0. Held out of training." in html


def test_the_bundled_examples_are_called_synthetic():
    shown, intro = app.examples_for(load())
    assert {e.code for e in shown} == set(CODES) and "all synthetic" in intro
    assert "Licence: CC0-1.0. Synthetic, no patient; not a photograph" in gallery.credits_html(shown)


def test_several_credits_are_listed_with_their_files_and_nothing_in_them_is_markup(folder):
    evil = Example(folder / "evil.png", "mel", "<script>alert(1)</script>", "CC0 & more", "")
    html = gallery.credits_html([*read_examples(folder), evil])
    assert "ISIC_0000001.jpg, two words.png: HAM10000" in html
    assert (
        "evil.png: &lt;script&gt;alert(1)&lt;/script&gt;. Licence: CC0 &amp; more." in html and "<script>" not in html
    )
