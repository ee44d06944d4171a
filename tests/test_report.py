"""The report: whole, self-contained, the same for the same, and on one sheet of paper."""

import base64
import dataclasses
import io
import re
from datetime import datetime, timedelta, timezone
from html.parser import HTMLParser

import pytest
from browser import PHONE
from PIL import Image

from skin_lesion.__main__ import main
from skin_lesion.classes import CLASSES, CODES
from skin_lesion.explain import Explanation, explain
from skin_lesion.language import LANGUAGES, translator
from skin_lesion.model import load
from skin_lesion.overlay import CAVEAT
from skin_lesion.parts import bars_html, foreign_html, guess_html
from skin_lesion.quality import HINTS
from skin_lesion.report import SIDE, report_html, report_name
from skin_lesion.texts import DISCLAIMER
from skin_lesion.ui import answer, predict_tab
from skin_lesion.ui.gradcam_tab import Page

EN = translator("en")
NOW = datetime(2026, 11, 24, 14, 5, tzinfo=timezone.utc)


class Reader(HTMLParser):
    """The words of a page, its elements, and every address in it."""

    def __init__(self, page: str):
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "action", "poster")]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def calibrated(evaluated):
    return load(f"local-dir:{evaluated}")


@pytest.fixture(scope="module")
def made(calibrated, image):
    """(prediction, explanation) of the predicted class."""
    prediction = calibrated.predict(image)
    return prediction, explain(calibrated, prediction, [prediction.code])[prediction.code]


def familiar(prediction, yes: bool):
    """The prediction as of a picture that looks dermatoscopic, or not."""
    decision = dataclasses.replace(prediction.decision, farthest=float("inf") if yes else -1.0)
    return dataclasses.replace(prediction, decision=decision)


def report(image, made, metrics, t=EN, now=NOW, **changes) -> str:
    prediction, explanation = made
    return report_html(image, dataclasses.replace(prediction, **changes), explanation, metrics, t, now)


def test_everything_that_was_answered_is_in_it(calibrated, made, image):
    prediction, explanation = made
    prediction = familiar(dataclasses.replace(prediction, quality=tuple(HINTS)), True)
    page = report_html(image, prediction, explanation, calibrated.metrics, EN, NOW)
    text = Reader(page).text
    for c in CLASSES:
        assert f"{c.short_name} ({c.code}) · {c.group} {EN.percent(prediction.probabilities[c.code])}" in text
    sets = re.findall(r'<p class="set">(.*?)</p>', page)
    for found, expected in zip(sets, (prediction.set90, prediction.set95), strict=True):
        assert set(re.findall(r"\((\w+)\)</span>", found)) == set(expected)
    assert f"All malignant and pre-malignant classes together: {EN.percent(prediction.malignant)}" in text
    assert prediction.lesion_class.group_note in text and CAVEAT in text and "2026-11-24 14:05 UTC" in text
    assert f"Grad-CAM for {prediction.lesion_class.short_name} ({prediction.code})" in text and "bn2" in text
    assert prediction.source in text and prediction.revision in text
    assert all(sentence in text for sentence in HINTS.values())
    figure = calibrated.metrics["test"]["headlines"]["balanced_accuracy"]
    assert f"{figure['value']:.3f} (95 % interval {figure['low']:.3f} to {figure['high']:.3f})" in text
    assert calibrated.metrics["split"]["fingerprint"] in text
    assert text.index(DISCLAIMER) < text.index("120×90 pixels")
    assert "stored nowhere" in text


@pytest.mark.parametrize("code", LANGUAGES)
def test_it_carries_all_of_itself(calibrated, made, image, code):
    page = report(image, made, calibrated.metrics, translator(code))
    read = Reader(page)
    assert len(read.addresses) == 2 and all(a.startswith("data:image/jpeg;base64,") for a in read.addresses)
    assert not {"script", "link", "iframe", "object", "base"} & set(read.tags)
    assert not re.search(r"url\(|@import|https?:", page)
    assert page.startswith(f'<!DOCTYPE html>\n<html lang="{code}">') and '<meta charset="utf-8">' in page
    assert read.tags.count("title") == read.tags.count("h1") == 1


def test_the_pictures_are_small_upright_copies_without_metadata(calibrated, made):
    large = Image.new("RGB", (3000, 1500), "tan")
    large.info["comment"] = b"taken at home"
    pictures = [
        Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        for address in Reader(report(large, made, {})).addresses
    ]
    assert [p.size for p in pictures] == [(SIDE, SIDE // 2)] * 2
    assert not any(p.getexif() or "comment" in p.info for p in pictures)
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_what_others_named_is_text(calibrated, made, image):
    """A model's source and revision may come from a variable or a folder's name."""
    hostile = "local-dir:/x/<script>alert(1)</script>&\"'><img src=//evil>"
    page = report(image, made, {**calibrated.metrics, "split": {"fingerprint": "<b>"}}, source=hostile, revision="<i>")
    read = Reader(page)
    assert hostile in read.text and not {"script", "i", "b"} & set(read.tags) and len(read.addresses) == 2


def test_the_same_gives_the_same_page_and_the_time_is_named_in_utc(calibrated, made, image):
    first = report(image, made, calibrated.metrics)
    assert first == report(image, made, calibrated.metrics)
    india = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert first == report(image, made, calibrated.metrics, now=india)
    late = datetime(2026, 11, 25, 2, 0, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    assert report_name(late) == "skin-lesion-report-2026-11-24.html"
    with pytest.raises(ValueError, match="2026-11-24 14:05:00 names no time zone"):
        report(image, made, {}, now=NOW.replace(tzinfo=None))


def test_a_picture_that_looks_like_no_dermatoscopic_image_is_warned_of_first(calibrated, made, image):
    prediction, explanation = made
    foreign, own = (
        report_html(image, familiar(prediction, yes), explanation, calibrated.metrics, EN, NOW) for yes in (False, True)
    )
    warning = foreign_html(EN)
    assert warning not in own
    before = Reader(foreign[: foreign.index(warning)].partition("</h1>")[2]).text.strip()
    assert before == "2026-11-24 14:05 UTC"
    opened, closed = (page.partition("<details>")[2].partition("</details>")[0] for page in (foreign, own))
    for html in (guess_html(prediction, calibrated.metrics, EN), bars_html(prediction, EN)):  # on a click, not on paper
        assert html in opened and html in own and foreign.count(html) == 1
    assert closed == "" and opened.count("<img") == 1  # the map
    openly = foreign.replace(opened, "")
    assert (
        openly.count("<img") == 1 and prediction.lesion_class.short_name not in openly and "model gives" not in openly
    )


def test_a_model_without_figures_or_thresholds_still_gives_a_page(classifier, image):
    prediction = classifier.predict(image)
    assert prediction.decision is None and classifier.metrics == {}
    explanation = explain(classifier, prediction, ["df"])["df"]
    text = Reader(report_html(image, prediction, explanation, {}, EN, NOW)).text
    assert "never calibrated" in text and "no held-out figures" in text and DISCLAIMER in text
    assert all(f"({code})" in text for code in CODES)


def test_a_map_that_is_zero_everywhere_says_so(made, image):
    prediction, explanation = made
    nothing = Explanation("df", 0.01, explanation.heat * 0, 0.0)
    text = Reader(report_html(image, prediction, nothing, {}, EN, NOW)).text
    assert "found nothing in the image" in text and "most of this map" not in text


def test_the_page_offers_it_with_the_first_map(calibrated, image, tmp_path, monkeypatch):
    path = tmp_path / "mole.png"
    image.save(path)

    def link(yes: bool) -> tuple[str, re.Match]:
        monkeypatch.setattr(type(calibrated.decision), "distance", lambda self, _: 0.0 if yes else float("inf"))
        alone, (html, *_) = answer.answer(calibrated, str(path), 0.7, False, Page(str(path)))
        assert "download=" not in alone[0]
        return html, re.search(r'download="(.+?)" href="data:text/html;base64,(.+?)"', html)

    html, found = link(True)
    assert re.fullmatch(r"skin-lesion-report-\d{4}-\d\d-\d\d\.html", found[1]) and "<details" not in html
    text = Reader(base64.b64decode(found[2]).decode()).text
    assert f"({calibrated.predict(path).code})" in text and found[1][19:29] in text
    html, found = link(False)
    opened = html.index("<details")
    assert opened < found.start() < html.index("</details>")
    assert list(tmp_path.iterdir()) == [path]


def test_the_link_can_be_left_out(made):
    assert "download" not in predict_tab.answer_html(made[0], {}, EN)


def test_the_command_line_writes_it_and_never_over_the_image(model_folder, image, tmp_path, capsys):
    path, out = tmp_path / "mole.png", tmp_path / "report.html"
    image.save(path)
    common = ["--model", f"local-dir:{model_folder}"]
    assert main(["report", str(path), "--out", str(out), "--language", "de", *common]) == 0
    assert '<html lang="de">' in out.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["report", str(path), "--out", str(path), *common])
    assert "mole.png does not end in .html" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "absent.png"), "--out", str(out), *common]) == 1
    assert "absent.png: The file is not there" in capsys.readouterr().err
    assert main(["report", str(path), "--out", str(tmp_path / "no" / "x.html"), *common]) == 1
    assert "x.html: The report cannot be written (No such file" in capsys.readouterr().err


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_longest_that_it_can_say_prints_on_one_sheet_and_fits_a_phone(browser, made, image, tmp_path, code):
    """Not dermatoscopic, every hint on quality, every class in both sets, a long name; figures of the shipped model."""
    prediction, explanation = made
    everything = {level: dict.fromkeys(CODES, 0.0) for level in prediction.decision.sets}
    decision = dataclasses.replace(prediction.decision, sets=everything, farthest=-1.0)
    source = "hf-hub:somebody-with-a-long-name/efficientnet_b0.ham10000_224-distilled@" + "0123456789" * 4
    full = dataclasses.replace(prediction, decision=decision, quality=tuple(HINTS), source=source)
    file = tmp_path / "report.html"
    html = report_html(image.resize((400, 600)), full, explanation, load().metrics, translator(code), NOW)
    file.write_text(html, encoding="utf-8")
    page = browser.new_page(viewport={"width": PHONE[0], "height": PHONE[1]})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    for paper, width in (("A4", 595), ("Letter", 612)):  # pt
        printed = page.pdf(format=paper)
        assert len(re.findall(rb"/Type /Page\b", printed)) == 1
        assert float(re.search(rb"/MediaBox \[0 0 ([\d.]+)", printed)[1]) == pytest.approx(width, abs=1)
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()] and said == []
    page.close()
