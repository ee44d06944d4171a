"""The running app in a real browser, as people use it: by mouse, keyboard and phone, in five languages, colour-blind.

Tabs are found on the page, so that a new one is tested too. What goes wrong on the way in any of these tests (an error
in the console, a request that fails or leaves this computer) makes it fail.
"""

import base64
import io
import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PHONE, Visitor
from PIL import Image
from playwright.sync_api import expect
from served import serve_app

from skin_lesion.classes import BY_CODE, CLASSES
from skin_lesion.examples import read_examples
from skin_lesion.language import LANGUAGES, translator
from skin_lesion.ui.theme import CSS

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
ACCEPTED: set[tuple[str, str]] = set()  # (axe's rule, selector) that is gradio's, with the reason why it may stay


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serve_app(tmp_path_factory.mktemp("served")) as served:
        yield served


def nothing_went_wrong(visitor: Visitor, served) -> None:
    assert visitor.problems == []
    asked = {url.removeprefix("blob:") for url in visitor.asked if not url.startswith("data:")}
    assert {url for url in asked if not url.startswith(served.url)} == set(), "the page asks somebody else"
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def visit(served, browser):
    """Open the page: visit(size, scheme, locale=...). In the end nothing may have gone wrong on it."""
    visitors: list[Visitor] = []

    def visit(*args, **options) -> Visitor:
        visitors.append(Visitor(browser, served.url, *args, **{"locale": "en-US", **options}))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.close()
        nothing_went_wrong(visitor, served)


@pytest.fixture(scope="module")
def english(served, browser):
    """A visit that several tests share, for opening the page is what takes time."""
    visitor = Visitor(browser, served.url, locale="en-US")
    yield visitor
    visitor.close()


@pytest.fixture
def visitor(english, served):
    yield english
    nothing_went_wrong(english, served)


def slow_network(visitor: Visitor) -> None:
    """As a hosted page has it: 300 ms to the server and back."""
    session = visitor.context.new_cdp_session(visitor.page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 300, "downloadThroughput": -1, "uploadThroughput": -1},
    )


def test_of_fast_clicks_the_last_one_counts(visit):
    visitor = visit()
    slow_network(visitor)
    page = visitor.page
    for place, shown, text in (
        (visitor.examples, "#answer section.answer", "{name}"),
        (page.locator("#cam-all button:has(img)"), "#cam-caption", "({code})"),
    ):
        for first, last in ((0, 5), (4, 1)):
            place.nth(first).click()
            page.wait_for_timeout(200)
            place.nth(last).click()
            wanted = text.format(name=CLASSES[last].short_name, code=CLASSES[last].code)
            expect(page.locator(shown).first).to_contain_text(wanted, timeout=20_000)
            page.wait_for_timeout(1500)  # nothing older comes after it
            expect(page.locator(shown).first).to_contain_text(wanted)
        page.get_by_role("tab", name="Grad-CAM").click()


def test_the_figures_of_a_threshold_are_those_of_the_controls(visit):
    visitor = visit()
    page = visitor.page
    page.get_by_role("tab", name="Model").click()
    slow_network(visitor)
    slider = visitor.open_panel.locator("input[type=range]").first
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(70)
    page.get_by_label("Any malignant or pre-malignant class").click()
    page.wait_for_timeout(2500)
    share = f"{float(visitor.open_panel.locator('input[type=number]').first.input_value()):.1f}"
    expect(page.locator("#model-outcome")).to_contain_text(f"Alarm from {share} % on")


def test_a_file_is_chosen_and_another_is_pasted(visit, served, tmp_path):
    picture = tmp_path / "mole.png"
    Image.open(served.root / "examples/mel_synthetic.jpg").transpose(Image.Transpose.ROTATE_90).save(picture)
    visitor = visit(permissions=["clipboard-read", "clipboard-write"])
    assert "(mel)" in visitor.upload(picture).inner_text()
    visitor.page.get_by_label("Remove Image").click()
    visitor.page.evaluate(
        """async (data) => {
            const image = await (await fetch(data)).blob();
            await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
        }""",
        "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode(),
    )
    paste = visitor.page.locator("#upload").get_by_label("Paste from clipboard")
    assert "(mel)" in visitor.bring(paste.click).inner_text()


def test_bad_files_get_a_sentence_in_the_place_of_the_answer_and_the_page_goes_on(visitor, tmp_path):
    text, dot = tmp_path / "text.jpg", tmp_path / "dot.png"
    text.write_text("just text")
    Image.new("RGB", (8, 8)).save(dot)
    visitor.click_example()
    for path, message in ((text, "not an image that can be read"), (dot, "too small: 8×8")):
        said = visitor.upload(path)
        assert said.get_attribute("role") == "alert" and message in said.inner_text()
        assert visitor.page.locator("#answer .bars").count() == 0
    assert "Melanoma" in visitor.click_example().inner_text()


def test_another_picture_gets_a_warning_instead_of_an_answer(visitor, image, tmp_path):
    image.resize((400, 300)).save(tmp_path / "noise.png")
    said = visitor.upload(tmp_path / "noise.png")
    assert "does not look like a dermatoscopic image" in said.inner_text()
    assert not said.locator("h2").is_visible()
    said.locator("summary").click()
    assert said.locator("h2").is_visible()


def test_the_first_answer_needs_no_scrolling(visitor):
    """At 1280×800, for every class's example: header, disclaimer, image, first guess, advice, set and seven bars."""
    parts = ["h1", "#head .notice", "#upload img", "#answer h2", "#answer .advice", "#answer .set"]
    for index in range(len(CLASSES)):
        visitor.click_example(index)
        bars = visitor.page.locator("#answer .bars li").all()
        assert len(bars) == len(CLASSES)
        boxes = [visitor.page.locator(part).first.bounding_box() for part in parts] + [b.bounding_box() for b in bars]
        assert all(box["y"] >= 0 and box["y"] + box["height"] <= DESKTOP[1] for box in boxes), boxes
        assert visitor.page.evaluate("scrollY") == 0


def test_on_a_phone_an_example_brings_its_answer_into_sight(visit):
    visitor = visit(PHONE)
    visitor.bring(lambda: visitor.examples.first.dispatch_event("click"))  # playwright's own click scrolls to it
    expect(visitor.page.locator("#answer h2")).to_be_in_viewport(ratio=1)


def images_without_alt(visitor: Visitor) -> list[str]:
    return visitor.page.evaluate(
        "[...document.images].filter(i => i.checkVisibility() && !i.alt.trim()).map(i => i.outerHTML.slice(0, 200))"
    )


def colours_without_words(visitor: Visitor) -> list[str]:
    """What is drawn in the colour of a class, in text that does not name its code: the colours alone are too alike."""
    drawn = visitor.page.evaluate(
        """(colours) => [...document.querySelectorAll("[style], [fill], [stroke]")].flatMap((element) => {
            if (!element.checkVisibility()) return [];
            const own = ["style", "fill", "stroke"].map((name) => element.getAttribute(name) ?? "").join(" ");
            const said = element.closest("li, article, tr, figure, .chip, svg")?.textContent ?? "";
            return Object.entries(colours).filter(([, colour]) => own.includes(colour))
                .map(([code]) => [code, said]);
        })""",
        {c.code: c.colour for c in CLASSES},
    )
    return [f"{code}: {said}" for code, said in drawn if not re.search(rf"\b{code}\b", said)]


def serious_findings(visitor: Visitor) -> list[str]:
    """What axe finds against WCAG 2 A and AA, of the impact serious or critical."""
    found = Axe().run(visitor.page, options=WCAG | {"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']} {node['target']} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if (rule["id"], str(node["target"][0])) not in ACCEPTED
    ]


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"])
def test_every_tab_can_be_used_by_everybody(visit, size, scheme):
    """In every size and in every scheme; no colour depends on the size, nor what fits on the scheme."""
    visitor = visit(size, scheme)
    assert serious_findings(visitor) == [], "before there is an image"
    dark = visitor.page.evaluate("document.body.classList.contains('dark')")
    assert dark == (scheme == "dark")
    visitor.click_example()
    count = visitor.tabs.count()
    assert count >= 4
    for index in range(count):
        panel = visitor.open_tab(index)
        assert panel.inner_text().strip()
        inner = panel.get_by_role("tab")
        for place in range(max(1, inner.count())):
            if inner.count():
                inner.nth(place).click()
            name = visitor.tabs.nth(index).inner_text(), place
            wide = visitor.page.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
            assert max(wide) <= size[0], f"{name} is wider than the screen"
            assert images_without_alt(visitor) == [], name
            assert colours_without_words(visitor) == [], name
            assert serious_findings(visitor) == [], name


def test_bars_of_what_is_not_benign_are_striped(visitor):
    """Melanoma's red and the green of a harmless keratosis are one colour to many eyes, see test_theme.py."""
    visitor.click_example()
    bars = visitor.page.locator("#answer .bars li").all()
    striped = {
        re.search(r"\((\w+)\)", bar.inner_text())[1]: "gradient"
        in bar.locator(".fill").evaluate("e => getComputedStyle(e).backgroundImage")
        for bar in bars
    }
    assert striped == {c.code: c.group != "benign" for c in CLASSES}


def focus(visitor: Visitor, selector: str) -> None:
    """Press the tabulator until something that fits has the focus, and see that it shows."""
    for _ in range(80):
        visitor.page.keyboard.press("Tab")
        if visitor.page.evaluate("(wanted) => document.activeElement.matches(wanted)", selector):
            style = visitor.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style not in ("none", ""), f"{selector}: the focus does not show"
            return
    raise AssertionError(f"{selector} cannot be reached by the keyboard")


def test_everything_can_be_done_by_the_keyboard(visit):
    visitor = visit()
    press = visitor.page.keyboard.press
    focus(visitor, "#upload button")  # chooses a file on Enter, as buttons do
    focus(visitor, "#examples button")
    names = [visitor.examples.nth(i).get_attribute("aria-label") for i in range(visitor.examples.count())]
    assert names == [*BY_CODE, "ambiguous", "no lesion", "blurred"]
    assert "(akiec)" in visitor.bring(lambda: press("Enter")).inner_text()

    def selected() -> int:
        states = [visitor.tabs.nth(i).get_attribute("aria-selected") for i in range(visitor.tabs.count())]
        assert states.count("true") == 1
        return states.index("true")

    focus(visitor, "[role=tab]")
    last = visitor.tabs.count() - 1
    for key, index in [("End", last), ("ArrowRight", 0), ("ArrowLeft", last), ("Home", 0), ("ArrowRight", 1)]:
        press(key)
        assert selected() == index and visitor.tabs.nth(index).evaluate("e => e === document.activeElement")
    map_ = visitor.page.locator("#cam-map img")
    map_.wait_for()

    def another_map(key: str) -> None:
        before = map_.get_attribute("src")
        press(key)
        visitor.page.wait_for_function("(src) => document.querySelector('#cam-map img').src !== src", arg=before)

    focus(visitor, "#cam-target input")
    another_map("ArrowRight")
    assert "(bcc)" in visitor.page.locator("#cam-caption").inner_text()
    focus(visitor, "[role=tabpanel] input[type=range]")
    another_map("ArrowLeft")


def test_every_download_brings_a_file(visitor, tmp_path):
    visitor.click_example()
    files = {}
    for index in range(visitor.tabs.count()):
        panel = visitor.open_tab(index)
        if index == 1:
            visitor.page.locator("#cam-map img").wait_for()
        for link in panel.locator("a[download]").filter(visible=True).all():
            with visitor.page.expect_download() as download:
                link.click()
            path = tmp_path / download.value.suggested_filename
            download.value.save_as(path)
            files[path.name] = path.read_bytes()
    assert all(files.values())
    heat = np.load(io.BytesIO(files["mel_gradcam.npy"]))
    picture = np.asarray(Image.open(io.BytesIO(files["mel_gradcam.png"])))
    assert heat.ndim == 2 and heat.max() == 1 and np.array_equal(picture, np.uint8(heat * 255 + 0.5))


@pytest.mark.parametrize(
    ("locale", "code"), [("de-AT", "de"), ("es", "es"), ("fr-CA", "fr"), ("pt-BR", "pt"), ("ja", "en")]
)
def test_the_browser_chooses_the_language(visit, locale, code):
    assert code in LANGUAGES
    t = translator(code)
    visitor = visit(locale=locale)
    assert visitor.page.locator("html").get_attribute("lang").startswith(locale[:2])
    assert visitor.page.locator("h1").inner_text() == t("Skin lesions under the dermatoscope")
    tabs = visitor.tabs.all_inner_texts()
    assert {t("Predict"), t("Classes"), t("About")} <= set(tabs)
    answer = visitor.click_example().inner_text()
    assert t("The guess may be wrong.") in answer and t("Melanoma") in answer
    for part in ("h2", ".advice", ".set"):
        box = visitor.page.locator(f"#answer {part}").bounding_box()
        assert box["y"] + box["height"] <= DESKTOP[1]


def test_the_examples_are_those_of_the_project(visitor, served):
    """Nobody's skin is shown by default."""
    shown = visitor.page.locator("#examples img").evaluate_all("(all) => all.map((i) => i.src.split('/').at(-1))")
    assert sorted(shown) == sorted(e.path.name for e in read_examples(served.root / "examples"))
    assert all("synthetic" in name for name in shown)
    assert "url(" not in CSS  # nothing is loaded for the looks either
