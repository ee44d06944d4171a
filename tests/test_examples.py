"""A folder of examples may come from a stranger: what the app takes from it, what it leaves out and what it says."""

import csv
import logging
from dataclasses import replace

import pytest
from PIL import Image

import app
from skin_lesion.classes import CODES
from skin_lesion.examples import MAX_PER_CLASS, MAX_SHOWN, SHOWS, Example, read_examples, shown_together
from skin_lesion.language import LANGUAGES, Translator, translator
from skin_lesion.model import load
from skin_lesion.ui import gallery

COLUMNS = ["file", "class", "source", "licence", "note"]
REST = ["HAM10000, (c) ViDIR Group", "CC BY-NC 4.0", "held out of training"]


EN = translator("en")


def write_credits(folder, *rows, head=COLUMNS) -> None:
    with open(folder / "credits.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


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
    shown = app.examples_for(replace(classifier, folder=folder.parent))
    assert shown == read_examples(app.EXAMPLES) and len(shown) == 10


def test_a_model_folder_without_examples_says_nothing_of_it(tmp_path, caplog):
    assert read_examples(tmp_path / "examples") == [] and not caplog.messages


def test_the_examples_of_the_model_come_first_and_ours_add_what_they_do_not_show(folder, classifier):
    shown = app.examples_for(replace(classifier, folder=folder.parent))
    assert [e.kind for e in shown] == ["mel", "nv", "ambiguous", "no lesion", "blurred"]
    assert [e.path.parent == app.EXAMPLES for e in shown] == [False, False, True, True, True]
    html = gallery.credits_html(shown, EN)
    assert "ISIC_0000001.jpg, two words.png: HAM10000, (c) ViDIR Group. Licence: CC BY-NC 4.0. Held out" in html
    assert "Licence: CC0-1.0. Synthetic, no patient; not a photograph" in html
    intro = gallery.intro_html(shown, app.EXAMPLES, EN)
    assert "first those that came with this model" in intro and "The last 3 are synthetic" in intro


def test_the_bundled_examples_are_called_synthetic():
    shown = app.examples_for(load())
    assert [e.kind for e in shown] == [*CODES, "ambiguous", "no lesion", "blurred"]
    assert "all synthetic" in gallery.intro_html(shown, app.EXAMPLES, EN)
    assert "Licence: CC0-1.0. Synthetic, no patient; not a photograph" in gallery.credits_html(shown, EN)


def test_a_model_with_every_kind_shows_its_own_only(folder):
    own = [Example(folder / f"{shows}.png", "mel", "somebody", "CC0", "", shows) for shows in SHOWS]
    assert shown_together(own, read_examples(app.EXAMPLES)) == own
    assert "synthetic" not in gallery.intro_html(own, app.EXAMPLES, EN)


def test_of_too_many_examples_the_first_of_each_class_stay_in_their_order(folder):
    own = [Example(folder / f"{code}{n}.png", code, "somebody", "CC0", "") for code in CODES for n in range(2)]
    shown = shown_together(own, read_examples(app.EXAMPLES))
    assert len(shown) == MAX_SHOWN and [e.shows for e in shown[-3:]] == ["ambiguous", "no lesion", "blurred"]
    names = [e.path.stem for e in shown[:-3]]
    assert names == sorted(names) and [name for name in names if name.endswith("0")] == [f"{c}0" for c in CODES]


def test_what_is_of_no_class_says_what_it_shows_and_is_captioned_so_in_every_language(folder, image):
    for name in ("a.png", "b.png", "c.png"):
        image.save(folder / name)
    rows = (["a.png", "", *REST, "no lesion"], ["b.png", "nv", *REST, "blurred"], ["c.png", "nv", *REST, ""])
    write_credits(folder, *rows, head=[*COLUMNS, "shows"])
    shown = read_examples(folder)
    assert [(e.code, e.shows) for e in shown] == [("", "no lesion"), ("nv", "blurred"), ("nv", "class")]
    for code in LANGUAGES:
        t = translator(code)
        assert [gallery.caption(e, t) for e in shown] == [t("no lesion"), t("blurred"), "nv"]


def test_a_visitor_gets_the_captions_in_his_language(folder, monkeypatch):
    shown = read_examples(app.EXAMPLES)
    monkeypatch.setattr(gallery, "language", lambda: Translator("de", {"blurred": "unscharf"}))
    assert gallery.translated(shown)[-1] == (str(shown[-1].path), "unscharf")
    monkeypatch.setattr(gallery, "language", lambda: EN)  # what stands there already
    assert "value" not in gallery.translated(shown)


def test_an_example_of_what_nobody_knows_or_of_no_class_is_left_out(folder, caplog):
    first, second = ["ISIC_0000001.jpg", "", *REST, "a cat"], ["two words.png", "", *REST, "class"]
    write_credits(folder, first, second, head=[*COLUMNS, "shows"])
    assert read_examples(folder) == []
    assert "it shows 'a cat', which is none of: class, ambiguous, no lesion, blurred" in caplog.text
    assert "Unknown class ''" in caplog.text


def test_several_credits_are_listed_with_their_files_and_nothing_in_them_is_markup(folder):
    evil = Example(folder / "evil.png", "mel", "<script>alert(1)</script>", "CC0 & more", "")
    html = gallery.credits_html([*read_examples(folder), evil], EN)
    assert "ISIC_0000001.jpg, two words.png: HAM10000" in html
    assert (
        "evil.png: &lt;script&gt;alert(1)&lt;/script&gt;. Licence: CC0 &amp; more." in html and "<script>" not in html
    )
