import base64
import csv
import io
import json
import re
import struct
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

import skin_lesion
from skin_lesion import batch
from skin_lesion.batch import classify, count
from skin_lesion.classes import CODES
from skin_lesion.images import MAX_BYTES, ImageError
from skin_lesion.language import Translator, translator
from skin_lesion.quality import HINTS
from skin_lesion.rows import COLUMNS, Filter, csv_line, csv_text, json_text, ordered
from skin_lesion.ui import batch_tab
from skin_lesion.ui.batch_tab import Batch

EN = translator("en")
ALL = [[], False, False, 1, False, "given"]  # the filters as they stand at first


@pytest.fixture(scope="module")
def png(image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def zipped(path: Path, members, **options) -> Path:
    """A zip file of (name or ZipInfo, bytes)."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def rows_of(classifier, *paths) -> list[dict]:
    files = [(path.name, path) for path in paths]
    rows = list(classify(classifier, files))
    assert count(files) == sum(row.get("left_out", 1) for row in rows)
    assert len({row["image"] for row in rows}) == len(rows)
    return rows


def test_each_row_is_what_predict_gives_and_a_bad_file_stops_nothing(classifier, png, tmp_path):
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "bad.jpg").write_text("no image")
    photos = zipped(tmp_path / "photos.ZIP", [("clinic/b.png", png), ("cut.png", png[:300])])
    absent = tmp_path / "absent.png"
    rows = rows_of(classifier, tmp_path / "bad.jpg", tmp_path / "a.png", absent, photos, tmp_path / "a.png")
    errors = {row["image"]: row["error"] for row in rows if "error" in row}
    answer = classifier.predict(png).to_dict()
    assert [row for row in rows if "error" not in row] == [
        {"image": name, **answer} for name in ("a.png", "photos.ZIP/clinic/b.png", "a.png (2)")
    ]
    assert list(errors) == ["bad.jpg", "absent.png", "photos.ZIP/cut.png"]
    assert "not an image" in errors["bad.jpg"] and "not there" in errors["absent.png"]
    assert "damaged or incomplete" in errors["photos.ZIP/cut.png"]


def test_a_file_that_could_not_be_had_is_a_row_too(classifier, png, tmp_path):
    (tmp_path / "a.png").write_bytes(png)
    files = [("far.png", ImageError("It cannot be fetched.")), ("a.png", tmp_path / "a.png")]
    bad, good = classify(classifier, files)
    assert bad == {"image": "far.png", "error": "It cannot be fetched."} and "prediction" in good and count(files) == 2


def test_an_image_is_read_when_its_row_is_asked_for(classifier, png, tmp_path):
    (tmp_path / "a.png").write_bytes(png)
    running = classify(classifier, [("a.png", tmp_path / "a.png"), ("b.png", tmp_path / "b.png")])
    next(running)
    (tmp_path / "b.png").write_bytes(png)
    assert "prediction" in next(running)


def test_nothing_of_a_zip_file_is_written_to_a_disk(classifier, png, tmp_path, monkeypatch):
    photos = zipped(tmp_path / "photos.zip", [("../../out.png", png), ("/root.png", png), ("C:\\x\\y.png", png)])
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    rows = rows_of(classifier, photos)
    assert [r["image"] for r in rows] == ["photos.zip/out.png", "photos.zip/root.png", "photos.zip/C:/x/y.png"]
    assert all("prediction" in row for row in rows)
    assert {path.name for path in tmp_path.rglob("*")} == {"photos.zip", "cwd"}


def test_folders_and_what_computers_add_get_no_row(classifier, png, tmp_path):
    litter = ["folder/", "__MACOSX/._a.png", ".DS_Store", "x/.hidden/a.png", "Thumbs.db", "x/desktop.ini"]
    photos = zipped(tmp_path / "p.zip", [*((name, b"") for name in litter), ("a.png", png)])
    assert [row["image"] for row in rows_of(classifier, photos)] == ["p.zip/a.png"]
    only_litter = zipped(tmp_path / "q.zip", [(name, b"") for name in litter])
    (row,) = rows_of(classifier, only_litter)
    assert row["image"] == "q.zip" and "holds no image (.jpg" in row["error"]


def encrypted(path: Path, png: bytes) -> Path:
    """A zip file whose first member says that it needs a password, in both of its headers."""
    data = bytearray(zipped(path, [("secret.png", png), ("a.png", png)]).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path


def lying(path: Path, png: bytes, claimed: int) -> Path:
    """A zip file whose first member claims another size than it has."""
    data = bytearray(zipped(path, [("lie.png", bytes(10_000_000)), ("a.png", png)], compression=8).read_bytes())
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, claimed)
    path.write_bytes(data)
    return path


def broken(path: Path, png: bytes) -> Path:
    data = bytearray(zipped(path, [("broken.png", png), ("a.png", png)], compression=8).read_bytes())
    data[60:200] = bytes(140)
    path.write_bytes(data)
    return path


EVIL = {
    "bomb": (
        lambda path, png: zipped(path, [("b.png", bytes(MAX_BYTES + 1)), ("a.png", png)], compression=8),
        "too large: 40 MB, the limit is 40 MB",
    ),
    "claims much": (lambda path, png: lying(path, png, 4_000_000_000), "too large: 4000 MB"),
    "claims little": (lambda path, png: lying(path, png, 100), "damaged inside the zip file"),
    "broken": (broken, "damaged inside the zip file"),
    "password": (encrypted, "protected with a password"),
    "nested": (lambda path, png: zipped(path, [("in.zip", b"PK"), ("a.png", png)]), "zip file in a zip file"),
    "text": (lambda path, png: zipped(path, [("notes.txt", b"hi"), ("a.png", png)]), "no image by its ending"),
    "bzip2": (
        lambda path, png: zipped(
            path, [(_info("x.png", zipfile.ZIP_BZIP2), png), (_info("a.png", zipfile.ZIP_STORED), png)]
        ),
        "packed in an unusual way",
    ),
    "not what it says": (lambda path, png: zipped(path, [("x.jpg", b"text"), ("a.png", png)]), "not an image"),
}


def _info(name: str, method: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = method
    return info


@pytest.mark.parametrize("kind", EVIL)
def test_an_evil_member_is_named_and_the_others_are_read(classifier, png, tmp_path, kind):
    make, message = EVIL[kind]
    rows = rows_of(classifier, make(tmp_path / "p.zip", png))
    assert len(rows) == 2
    (bad,) = (row for row in rows if "error" in row)
    (good,) = (row for row in rows if "error" not in row)
    assert re.search(message, bad["error"]) and bad["error"].endswith(".") and bad["image"].startswith("p.zip/")
    assert good["image"] == "p.zip/a.png"


def test_no_more_is_unpacked_than_a_member_promised(png, tmp_path):
    """zipfile sees to that, and skin_lesion.batch relies on it."""
    got = 0
    with zipfile.ZipFile(lying(tmp_path / "p.zip", png, 100)) as archive, archive.open("lie.png") as file:
        with pytest.raises(zipfile.BadZipFile, match="CRC"):
            while data := file.read(10_000_000):
                got += len(data)
    assert got <= 100


def long_directory(path: Path) -> Path:
    return zipped(path, [(f"{'x' * 1000}{i}.png", b"") for i in range(1000)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("text"), "no zip file that can be read"),
        (lambda path: path.write_bytes(b""), "no zip file that can be read"),
        (lambda path: path.write_bytes(zipped(path, [("a.png", b"x" * 999)]).read_bytes()[:500]), "no zip file"),
        (long_directory, "too many files"),
        (lambda path: path.open("wb").truncate(batch.MAX_ZIP_BYTES + 1), "too large: 400 MB, the limit is 400 MB"),
        (lambda path: None, "not there"),
    ],
)
def test_a_bad_zip_file_is_one_row_and_the_others_are_read(classifier, png, tmp_path, make, message):
    make(tmp_path / "p.zip")
    (tmp_path / "a.png").write_bytes(png)
    bad, good = rows_of(classifier, tmp_path / "p.zip", tmp_path / "a.png")
    assert bad["image"] == "p.zip" and re.search(message, bad["error"]) and "prediction" in good


def test_a_directory_that_claims_any_length_is_not_read_as_a_whole(classifier, png, tmp_path):
    data = bytearray(zipped(tmp_path / "p.zip", [("a.png", png)]).read_bytes())
    data = bytes(5_000_000) + data  # room for what the end of the file claims of the directory before it
    end = data.rindex(b"PK\x05\x06")
    (tmp_path / "p.zip").write_bytes(data[: end + 12] + struct.pack("<LL", end, 0) + data[end + 20 :])
    (row,) = rows_of(classifier, tmp_path / "p.zip")
    assert "too many files" in row["error"]


def test_two_members_of_one_name_stay_two_rows(classifier, png, tmp_path):
    with pytest.warns(UserWarning, match="Duplicate"):
        photos = zipped(tmp_path / "p.zip", [("a.png", png), ("a.png", png), ("a.png (2)", b""), ("x/../a.png", png)])
    names = [row["image"] for row in rows_of(classifier, photos)]
    assert names == ["p.zip/a.png", "p.zip/a.png (2)", "p.zip/x/a.png", "p.zip/a.png (2) (2)"]


def test_names_are_shown_as_they_were_given(classifier, png, tmp_path):
    from_mac = zipfile.ZipInfo("Muttermal_Rücken.png".encode().decode("cp437"))  # UTF-8 that is not marked as such
    photos = zipped(tmp_path / "p.zip", [("Überfuß.png", png), ("a\u202egnp.png", png)])
    assert [row["image"] for row in rows_of(classifier, photos)] == ["p.zip/Überfuß.png", "p.zip/a\ufffdgnp.png"]
    from_mac.flag_bits = 0
    assert batch._member_name(from_mac) == "Muttermal_Rücken.png"
    from_mac.filename = "Rücken.png"  # as old Windows programs write it
    assert batch._member_name(from_mac) == "Rücken.png"


def test_what_is_beyond_the_limit_is_told_not_dropped(classifier, png, tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "MAX_IMAGES", 4)
    (tmp_path / "a.png").write_bytes(png)
    members = [("notes.txt", b""), *((f"{i}.png", png) for i in range(5))]
    photos = zipped(tmp_path / "p.zip", members)
    rows = rows_of(classifier, tmp_path / "a.png", photos, tmp_path / "a.png", photos)
    assert [row["image"] for row in rows if "prediction" in row] == ["a.png", *(f"p.zip/{i}.png" for i in range(3))]
    beyond = "ot looked at: the limit is 4 files at once; give the rest in another go."
    assert rows[4:] == [
        {"image": "p.zip", "error": f"3 more in it, n{beyond}", "left_out": 3},
        {"image": "a.png (2)", "error": f"N{beyond}", "left_out": 1},
        {"image": "p.zip (2)", "error": f"N{beyond}", "left_out": 1},
    ]


def test_errors_can_be_said_in_another_language(classifier, tmp_path):
    german = Translator("de", {"The file is empty; choose another one.": "Die Datei ist leer."})
    (tmp_path / "a.png").write_bytes(b"")
    assert [row["error"] for row in classify(classifier, [("a.png", tmp_path / "a.png")], german)] == [
        "Die Datei ist leer."
    ]


def row(name="a.png", code="nv", p=0.9, set90=("nv",), dermatoscopic=True, quality=()):
    rest = (1 - p) / (len(CODES) - 1)
    probabilities = {c: p if c == code else rest for c in CODES}
    malignant = sum(probabilities[c] for c in ("akiec", "bcc", "mel"))
    answer = {"set90": list(set90), "set95": list(set90), "malignant": malignant, "dermatoscopic": dermatoscopic}
    about = {"quality": list(quality), "model": {"source": "bundled", "revision": "sha256:1"}}
    return {"image": name, "prediction": code, "probabilities": probabilities, **answer, **about}


ROWS = [
    row("sure.png"),
    row("unsure.png", p=0.4, set90=("nv", "mel")),
    row("mel.png", code="mel", set90=("mel",)),
    row("cat.png", code="vasc", p=0.5, dermatoscopic=False),
    row("dark.png", code="bkl", set90=("bkl",), quality=["dark"]),
    {"image": "bad.png", "error": "This file is not an image."},
]


@pytest.mark.parametrize(
    ("wish", "names"),
    [
        (Filter(), "sure unsure mel cat dark bad"),
        (Filter(codes=("mel", "bkl")), "mel dark"),
        (Filter(codes=("mel",), possible=True), "unsure mel"),
        (Filter(several=True), "unsure"),
        (Filter(codes=("vasc",)), ""),
        (Filter(at_most=0.5), "unsure"),
        (Filter(problems=True), "cat dark bad"),
        (Filter(problems=True, codes=("bkl",)), "dark"),
    ],
)
def test_filters(wish, names):
    assert [r["image"].removesuffix(".png") for r in ROWS if wish.keeps(r)] == names.split()


def test_a_model_without_thresholds_has_no_sets_to_filter_by():
    plain = row() | {"set90": None, "set95": None, "dermatoscopic": None}
    assert Filter(codes=("nv",), possible=True).keeps(plain) and not Filter(several=True).keeps(plain)
    assert not Filter(problems=True).keeps(plain)
    assert batch_tab.table([plain], EN)["data"][0][4:] == ["", "unknown", ""]


def test_orders():
    assert ordered(ROWS, "given") == ROWS
    for order, first in (("malignant", "mel.png"), ("unsure", "unsure.png")):
        names = [r["image"] for r in ordered(ROWS, order)]
        assert names[0] == first and names[-2:] == ["cat.png", "bad.png"]


def test_csv_and_json_hold_all_of_all_rows():
    read = list(csv.DictReader(io.StringIO(csv_text(ROWS))))
    assert list(read[0]) == [*COLUMNS, "error"] and len(read) == len(ROWS)
    assert [float(read[1][code]) for code in CODES] == list(ROWS[1]["probabilities"].values())
    assert read[1]["set90"] == "nv mel" and read[4]["quality"] == "dark" and read[3]["dermatoscopic"] == "False"
    assert read[5]["error"] == ROWS[5]["error"] and read[5]["prediction"] == ""
    assert json.loads(json_text(ROWS)) == ROWS and json.loads(json_text([])) == []


@pytest.mark.parametrize("name", ["=HYPERLINK(1).png", "+1.png", "-1.png", "@a.png", "\t=1.png"])
def test_no_name_is_a_formula_in_a_spreadsheet(name):
    assert next(csv.reader([csv_line([name, -1, None])])) == ["'" + name, "-1", ""]


def test_the_table_sorts_by_numbers_and_shows_words():
    shown = batch_tab.table(ROWS, EN)
    assert len(shown["headers"]) == len(batch_tab.WIDTHS) == len(shown["data"][0])
    assert shown["data"][1][2] == 0.4 and shown["metadata"]["display_value"][1][2] == "40 %"
    assert shown["data"][1][:2] == ["unsure.png", "Melanocytic nevi (nv)"] and shown["data"][1][4] == "nv, mel"
    assert [cells[5] for cells in shown["data"]] == ["yes", "yes", "yes", "no", "yes", ""]
    assert shown["data"][3] == ["cat.png", "not dermatoscopic", None, None, "", "no", ""]
    assert shown["data"][4][6] == "dark"
    assert shown["data"][5] == ["bad.png", "not read: This file is not an image.", None, None, "", "", ""]
    assert set(batch_tab.hint_words(EN)) == set(HINTS)


def test_the_summary_counts_every_file():
    rows = [*ROWS, {"image": "p.zip", "error": "30 more in it.", "left_out": 30}]
    text = batch_tab.summary_html(Batch(rows, total=50), 3, EN)
    assert "Of 50 files 5 could be read and 1 could not; 1 did not look like a dermatoscopic image." in text
    assert f"Not looked at: 44; at most {batch.MAX_IMAGES} are read at once" in text
    assert "The filter shows 3 of 7." in text
    text = batch_tab.summary_html(Batch(ROWS, total=6), 6, EN)
    assert "ot looked at" not in text and "The filter" not in text


def test_both_downloads_carry_all_rows_in_themselves():
    html = batch_tab.downloads_html(ROWS, EN)
    files = dict(re.findall(r'download="(.+?)" href="data:.+?;base64,(.+?)"', html))
    text = {name: base64.b64decode(content).decode() for name, content in files.items()}
    assert text == {"skin_lesions.csv": "\ufeff" + csv_text(ROWS), "skin_lesions.json": json_text(ROWS)}


@pytest.fixture
def files(png, tmp_path):
    for name, data in (("a.png", png), ("<b>.png", b"text"), ("c.png", png)):
        (tmp_path / name).write_bytes(data)
    return [(name, str(tmp_path / name)) for name in ("a.png", "<b>.png", "c.png")]


def test_progress_first_and_at_the_end_the_table(classifier, files):
    state = Batch()
    *running, last = batch_tab.read(classifier, files, *ALL, state)
    assert [re.search(r"Read (\d) of 3", update[1])[1] for update in running] == list("0123")
    assert running[0][2]["visible"] is True and last[2]["visible"] is False and last[3]["visible"] is True
    assert last[0] is None and state.rows == list(classify(classifier, files))  # and no file is held any longer
    assert [cells[0] for cells in last[6]["data"]] == [name for name, _ in files]
    summary, table, _ = batch_tab.again([], False, False, 0, False, "given", state)
    assert table["data"] == [] and "The filter shows 0 of 3." in summary


def test_stopping_keeps_what_was_read_and_newer_files_end_the_older_ones(classifier, files):
    nothing = (gr.skip(),) * 8
    state = Batch()
    running = batch_tab.read(classifier, files, *ALL, state)
    next(running), next(running)
    *_, summary, table, _ = batch_tab.stop(*ALL, state)
    assert "Stopped; not looked at: 2." in summary and len(table["data"]) == 1
    assert list(running) == [nothing] and len(state.rows) == 1
    older = batch_tab.read(classifier, files, *ALL, state)
    next(older)
    list(batch_tab.read(classifier, files[:1], *ALL, state))
    assert list(older) == [nothing] and [r["image"] for r in state.rows] == ["a.png"]


def test_taking_the_files_away_stops_the_reading_and_leaves_an_older_table_alone(classifier, files):
    nothing = (gr.skip(),) * 8
    state = Batch()
    assert batch_tab.cleared(*ALL, state) == nothing
    running = batch_tab.read(classifier, files, *ALL, state)
    next(running), next(running)
    *_, summary, table, _ = batch_tab.cleared(*ALL, state)
    assert "Stopped; not looked at: 2." in summary and list(running) == [nothing]
    list(batch_tab.read(classifier, files, *ALL, state))
    assert batch_tab.cleared(*ALL, state) == nothing and len(state.rows) == 3


def test_a_table_that_the_server_has_forgotten_says_so():
    summary, table, _ = batch_tab.again(*ALL, Batch())
    assert "kept for a few minutes only" in summary and table == gr.skip()
    assert list(batch_tab.read(None, [], *ALL, Batch())) == [(gr.skip(),) * 8]


def test_real_images_in_a_zip_file(ham10000, tmp_path):
    classifier = skin_lesion.load()
    images = sorted(ham10000.glob("HAM10000_images_part_1/*.jpg"))[:5]
    photos = zipped(tmp_path / "p.zip", [(path.name, path.read_bytes()) for path in images])
    assert rows_of(classifier, photos) == [
        {"image": f"p.zip/{path.name}", **classifier.predict(Image.open(path)).to_dict()} for path in images
    ]
