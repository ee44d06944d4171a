import base64
import csv
import io
import json
import logging
import re
import runpy
import sys
import types
import zipfile
from dataclasses import replace
from importlib import reload
from threading import Event
from unittest import mock
from urllib.request import urlopen

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app
from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.explain import METHODS, Explanation, explain, steps
from skin_lesion.language import LANGUAGES, translator
from skin_lesion.model import ModelError
from skin_lesion.overlay import overlay, render
from skin_lesion.texts import CITATION, DISCLAIMER, ETHICS, LIMITS
from skin_lesion.ui import answer, api, classes_tab, gradcam_tab, predict_tab, privacy
from skin_lesion.ui.about_tab import about_markdown
from skin_lesion.ui.gradcam_tab import Page

EN = translator("en")


@pytest.fixture(scope="module")
def server(classifier):
    demo = app.build_demo(classifier)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app.launch_options())
    yield url
    demo.close()


@pytest.fixture(scope="module")
def client(server):
    return Client(server, verbose=False)


@pytest.fixture(scope="module")
def picture(image, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "mole.png"
    image.save(path)
    return path


def test_predict_gives_what_the_library_gives(client, classifier, picture):
    result = client.predict(handle_file(picture), api_name="/predict")
    assert result == classifier.predict(picture).to_dict()
    assert list(result["probabilities"]) == list(CODES)


def test_explain_knows_all_methods(client, classifier, picture):
    prediction = classifier.predict(picture)
    for method in METHODS:
        _, result = client.predict(handle_file(picture), "mel", 0.7, method, api_name="/explain")
        expected = explain(classifier, prediction, ["mel"], method, picture)["mel"]
        assert (result["method"], result["layer"]) == (method, expected.layer) and result["measured"]
        assert np.allclose(result["map"], expected.heat, atol=1e-3)
    with pytest.raises(Exception, match="'lime'.*gradcam, finer, integrated_gradients, occlusion"):
        client.predict(handle_file(picture), "mel", 0.7, "lime", api_name="/explain")


def test_explain_gives_a_picture_and_the_map_of_the_asked_class(client, classifier, picture):
    prediction = classifier.predict(picture)
    for target in ("", "df"):
        overlay, result = client.predict(handle_file(picture), target, api_name="/explain")
        width, height = Image.open(overlay).size
        assert width == 120 and height > 90 and overlay.endswith(".png")  # the caption stands below
        code = target or prediction.code
        assert result["target"] == code and result["layer"] == "bn2" and result["caveat"]
        assert np.allclose(result["map"], explain(classifier, prediction, [code])[code].heat, atol=1e-3)


def test_batch_gives_a_row_for_every_file(client, classifier, picture, tmp_path):
    bad, photos = tmp_path / "Fleck, links.jpg", tmp_path / "photos.zip"
    bad.write_text("no image")
    with zipfile.ZipFile(photos, "w") as archive:
        archive.write(picture, "clinic/mole.png")
    rows = client.predict([handle_file(path) for path in (bad, picture, photos)], api_name="/batch")
    answer = classifier.predict(picture).to_dict()
    assert rows[0] == {
        "image": bad.name,
        "error": "This file is not an image that can be read; use a JPEG or PNG file.",
    }
    assert rows[1:] == [{"image": name, **answer} for name in ("mole.png", "photos.zip/clinic/mole.png")]
    for nothing in ([], None):
        with pytest.raises(Exception, match="send a list of images or zip files"):
            client.predict(nothing, api_name="/batch")


def test_classes_and_model(client, classifier):
    classes = client.predict(api_name="/classes")
    assert [c["code"] for c in classes] == list(CODES)
    assert classes[4] == BY_CODE["mel"].to_dict()
    model = client.predict(api_name="/model")
    assert (model["source"], model["revision"]) == (classifier.source, classifier.revision)
    assert model["disclaimer"] == DISCLAIMER and model["fallback"] is None


def test_only_the_documented_endpoints_are_public(client):
    api = client.view_api(print_info=False, return_format="dict")
    assert set(api["named_endpoints"]) == {"/predict", "/explain", "/batch", "/classes", "/model"}
    assert not api["unnamed_endpoints"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("text.jpg", b"just text", "not an image that can be read"),
        ("empty.png", b"", "The file is empty"),
        ("dot.png", None, "too small: 1×1"),
    ],
)
def test_bad_uploads_get_a_plain_sentence_and_the_app_keeps_serving(client, picture, tmp_path, name, data, message):
    path = tmp_path / name
    if data is None:
        Image.new("RGB", (1, 1)).save(path)
    else:
        path.write_bytes(data)
    for endpoint in ("/predict", "/explain"):
        with pytest.raises(Exception, match=message):
            client.predict(handle_file(path), api_name=endpoint)
    assert client.predict(handle_file(picture), api_name="/predict")["prediction"] in CODES


def test_missing_image_unknown_class_and_bad_opacity_say_what_is_valid(client, picture):
    with pytest.raises(Exception, match="No image was sent"):
        client.predict(None, api_name="/predict")
    with pytest.raises(Exception, match="'melanoma'.*akiec, bcc, bkl, df, mel, nv, vasc"):
        client.predict(handle_file(picture), "melanoma", api_name="/explain")
    for wrong in (["mel"], {"code": "mel"}):
        with pytest.raises(Exception, match="'mel'.*akiec, bcc, bkl, df, mel, nv, vasc"):
            client.predict(handle_file(picture), wrong, api_name="/explain")
        with pytest.raises(Exception, match="'mel'.*gradcam, finer, integrated_gradients, occlusion"):
            client.predict(handle_file(picture), "mel", 0.7, wrong, api_name="/explain")
    with pytest.raises(Exception, match="5 is not a number from 0 to 1"):
        client.predict(handle_file(picture), "mel", 5, api_name="/explain")


def test_the_page_carries_the_disclaimer_first_and_records_no_history(server):
    with urlopen(server + "config") as response:
        config = json.load(response)
    first = next(c["props"]["value"] for c in config["components"] if c["props"].get("value"))
    key = json.loads(first.removeprefix("__i18n__"))["key"]
    texts = {code: table[key] for code, table in config["i18n_translations"].items()}
    assert set(texts) == set(LANGUAGES)
    assert all(translator(code)(DISCLAIMER) in text for code, text in texts.items())
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False


def page_of(classifier, picture):
    """The page after an image was given."""
    page = Page()
    answer.begin(str(picture), page)
    list(answer.answer(classifier, str(picture), 0.7, False, page))
    return page


def test_a_new_image_fills_both_tabs_and_a_bad_one_leaves_no_old_answer(classifier, picture, tmp_path, monkeypatch):
    page = Page()
    answer.begin(str(picture), page)
    passes = mock.Mock(wraps=classifier.model.forward_intermediates)
    monkeypatch.setattr(classifier.model, "forward_intermediates", passes)
    alone, (html, code, method, map_, caption, small, *_) = answer.answer(classifier, str(picture), 0.7, False, page)
    assert passes.call_count == 1  # the maps come out of the pass that predicted
    assert all(f"({c})" in alone[0] and BY_CODE[c].colour in alone[0] for c in CODES)
    assert html.startswith(alone[0].removesuffix("</section>"))  # then follows the report
    assert alone[3:6] == (None, gradcam_tab.empty(EN), None)
    assert code in CODES and method == "gradcam" and map_.width == 120 and map_.height > 90
    assert f"({code})" in caption and "bn2" in caption and page.path == str(picture)
    assert (page.shown.code, page.shown.method) == (code, method)
    assert [caption.split()[0] for _, caption in small] == list(CODES)
    assert [caption.split(" ", 1)[1] for _, caption in small] == [
        EN.percent(p) for p in classifier.predict(picture).probabilities.values()
    ]
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    answer.begin(str(bad), page)
    ((html, *rest),) = answer.answer(classifier, str(bad), 0.7, False, page)
    assert "not an image" in html and rest[:5] == [None, "gradcam", None, html, None] and page.shown is None
    answer.begin(None, page)
    ((html, *rest),) = answer.answer(classifier, None, 0.7, False, page)
    assert html == predict_tab.empty(EN) and rest[:5] == [None, "gradcam", None, gradcam_tab.empty(EN), None]


def test_without_a_place_for_uploads_the_app_ends_in_one_sentence(monkeypatch):
    monkeypatch.setattr(privacy, "own_folder", mock.Mock(side_effect=FileExistsError(17, "File exists", "/etc/passwd")))
    with pytest.raises(SystemExit, match="no place for uploads .*'/etc/passwd'.* Set GRADIO_TEMP_DIR to a folder"):
        runpy.run_path(app.__file__)


def test_small_maps_lie_on_one_scale():
    """The class whose hottest cell is half as hot as the hottest of all is painted half as strongly."""
    image, heat = Image.new("RGB", (gradcam_tab.SMALL,) * 2), np.ones((2, 2), np.float32)
    maps = {code: Explanation(code, 0.5, heat, peak) for code, peak in (("mel", 2.0), ("nv", 1.0), ("df", 0.0))}
    items = gradcam_tab.all_classes_items(image, maps, EN)
    expected = [np.asarray(overlay(image, heat * share)) for share in (1, 0.5, 0)]
    assert all(np.array_equal(np.asarray(i), e) for (i, _), e in zip(items, expected, strict=True))
    nothing = gradcam_tab.all_classes_items(image, {"mel": Explanation("mel", 0.5, heat * 0, 0)}, EN)
    assert np.array_equal(np.asarray(nothing[0][0]), np.asarray(image))


def test_another_class_or_method_changes_the_map(classifier, picture):
    page = page_of(classifier, picture)
    first = next(code for code in CODES if code != page.shown.code)

    def last(code, method):
        return list(answer.another_map(classifier, str(picture), code, method, 1.0, False, page))

    asked = ((first, "gradcam"), (page.shown.code, "gradcam"), (first, "occlusion"))
    seen = [np.asarray(last(*wanted)[-1][0]) for wanted in asked]
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[0], seen[2])
    *running, end = last(first, "integrated_gradients")
    assert [f"{i} of {steps('integrated_gradients')}" in update[1] for i, update in enumerate(running, 1)] == [True] * 8
    assert end[1].startswith('<div class="answer"><p>Integrated Gradients for')
    assert (page.shown.code, page.shown.method) == (first, "integrated_gradients")
    ((same, caption, _, _),) = last(first, "integrated_gradients")  # it is there
    assert same == gr.skip() and caption == end[1]


def test_a_slow_map_gives_up_as_soon_as_something_newer_is_wanted(classifier, picture):
    nothing = (gr.skip(),) * 4
    page = page_of(classifier, picture)
    before = page.shown
    newer = [
        lambda: page.begin("another.jpg"),
        lambda: answer.stop(classifier, page),
        lambda: list(answer.another_map(classifier, str(picture), before.code, "gradcam", 1.0, False, page)),
    ]
    for event in newer:
        page.path, page.shown = str(picture), before
        slow = answer.another_map(classifier, str(picture), "df", "occlusion", 1.0, False, page)
        assert "1 of 12" in next(slow)[1]
        event()
        assert list(slow) == [nothing] and page.shown in (before, None)
    assert list(answer.another_map(classifier, "another.jpg", "mel", "gradcam", 1.0, False, page)) == [nothing]
    assert list(answer.another_map(classifier, None, None, "gradcam", 1.0, False, Page())) == [nothing]


def test_an_answer_in_the_making_is_given_up_as_soon_as_there_is_another_image(classifier, picture):
    """Else it would stand beside the picture of the other one."""
    asked = {getattr(event.fn, "func", event.fn): event for event in app.demo.fns.values()}
    assert not asked[answer.begin].queue and asked[answer.answer].trigger_mode == "multiple", "none waits"
    nothing = (gr.skip(),) * 8
    for steps_before in (0, 1):
        page = Page()
        cleared = answer.begin(str(picture), page)
        assert cleared[:4] == ("", None, "", None) and page.path == str(picture)
        slow = answer.answer(classifier, str(picture), 0.7, False, page)
        for _ in range(steps_before):
            assert next(slow)[0].startswith("<section")
        answer.begin("another.jpg", page)
        assert list(slow) == [nothing] and page.shown is None and page.path == "another.jpg"


def test_opacity_and_the_picture_beside_need_no_new_map(classifier, picture):
    page = page_of(classifier, picture)
    plain = np.asarray(answer.repaint(str(picture), 0.0, False, page))
    both = np.asarray(answer.repaint(str(picture), 0.7, True, page))
    assert np.array_equal(both[:90, :120], plain[:90]) and both.shape[1] > 240
    assert answer.repaint("another.jpg", 0.7, True, page) == gr.skip()  # never the map of one image on another
    assert answer.repaint(str(picture), 0.7, True, Page()) == gr.skip()
    slow = answer.another_map(classifier, str(picture), "df", "occlusion", 0.7, False, page)
    next(slow)
    answer.repaint(str(picture), 0.0, False, page)  # while the map is made
    *_, last = slow
    assert np.array_equal(np.asarray(last[0])[:90], plain[:90])


def test_whatever_is_typed_beside_a_slider_counts_as_what_the_page_then_shows():
    """None is what the page sends of an emptied field, in which it shows the least value once it is left."""
    sliders = [block for block in app.demo.blocks.values() if isinstance(block, gr.Slider)]
    assert len(sliders) == 4  # opacity, share, threshold, number of patients
    for slider in sliders:
        typed = [None, slider.minimum - 1, slider.minimum, slider.maximum, slider.maximum + 50]
        assert [slider.preprocess(value) for value in typed] == [slider.minimum] * 3 + [slider.maximum] * 2


def test_a_map_that_is_given_up_is_computed_no_further():
    asked, answered, ended = [], Event(), Event()

    def work(on_step):
        try:
            for step in range(100):
                on_step()
                asked.append(step)
                assert answered.wait(60)
        finally:
            ended.set()

    running = answer.step_by_step(work)
    assert next(running) == 1
    running.close()
    assert not ended.is_set(), "nobody waits for the answer to the first question"
    answered.set()
    assert ended.wait(60) and asked == [0]


def test_an_error_on_the_way_to_a_map_is_not_lost():
    def work(on_step):
        on_step()
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(answer.step_by_step(work))


def test_stopping_goes_back_to_the_map_that_is_shown(classifier, picture):
    page = page_of(classifier, picture)
    code, method, caption, _ = answer.stop(classifier, page)
    assert (code, method) == (page.shown.code, "gradcam") and f"({code})" in caption
    assert answer.stop(classifier, Page())[2] == gradcam_tab.empty(EN)


def test_the_map_can_be_taken_home_as_numbers_and_as_a_picture(classifier, picture):
    shown = page_of(classifier, picture).shown
    caption = gradcam_tab.caption_html(shown, {}, EN)
    files = dict(re.findall(r'download="(.+?)" href="data:.+?;base64,(.+?)"', caption))
    assert list(files) == [f"{shown.code}_gradcam.npy", f"{shown.code}_gradcam.png"]
    npy, png = (io.BytesIO(base64.b64decode(content)) for content in files.values())
    assert np.array_equal(np.load(npy), shown.heat)
    assert np.abs(np.asarray(Image.open(png)) / 255 - shown.heat).max() <= 0.5 / 255 + 1e-6


def test_a_map_that_is_zero_everywhere_says_so():
    caption = gradcam_tab.caption_html(Explanation("df", 0.01, np.zeros((6, 6), np.float32), 0.0), {}, EN)
    assert "found nothing in the image" in caption and "another method may" in caption and "download" not in caption


def test_a_foreign_picture_is_called_so_before_its_map_and_no_share_stands_at_the_small_ones(image):
    bundled, _ = app.load_model()
    (foreign,) = (e.path for e in app.examples_for(bundled) if e.kind == "no lesion")
    maps = explain(bundled, bundled.predict(foreign))
    caption = gradcam_tab.caption_html(maps["mel"], bundled.metrics, EN)
    assert caption.index("This does not look like a dermatoscopic image.") < caption.index("Melanoma (mel)")
    assert [caption for _, caption in gradcam_tab.all_classes_items(Image.open(foreign), maps, EN)] == list(CODES)
    looks_so = replace(maps["mel"], dermatoscopic=True)
    assert "does not look like" not in gradcam_tab.caption_html(looks_so, bundled.metrics, EN)
    assert render(image, maps["mel"]).height > render(image, looks_so).height  # the strip says so too


def test_the_group_stands_in_words(classifier, picture):
    prediction = classifier.predict(picture)
    html = predict_tab.answer_html(prediction, classifier.metrics, EN)
    assert prediction.lesion_class.group_note in html and "not a diagnosis" in html
    assert "never calibrated" in html  # this classifier was not


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "below 0.1 %"),
        (0.0004, "below 0.1 %"),
        (0.05, "5.0 %"),
        (0.5, "50 %"),
        (0.95, "95.0 %"),
        (1, "above 99.9 %"),
    ],
)
def test_percentages_never_claim_certainty(share, text):
    assert EN.percent(share) == text


def test_class_page_and_about_page_are_generated(classifier):
    html = classes_tab.classes_html(EN)
    assert all(c.description.split(";")[0].split("'")[0] in html for c in BY_CODE.values())
    about = about_markdown(classifier, EN)
    assert DISCLAIMER in about and classifier.revision in about and all(limit in about for limit in LIMITS)
    assert ETHICS in about and CITATION in about


def test_a_model_that_cannot_be_loaded_is_replaced_visibly_and_only_on_request(monkeypatch, caplog):
    monkeypatch.setenv("SKIN_LESION_MODEL", "local-dir:/nowhere")
    with pytest.raises(ModelError, match="no model folder /nowhere.*set SKIN_LESION_FALLBACK=bundled"):
        app.load_model()
    monkeypatch.setenv("SKIN_LESION_FALLBACK", "bundled")
    with caplog.at_level(logging.WARNING):
        classifier, replaced = app.load_model()
    assert classifier.source == "bundled"
    assert "/nowhere" in caplog.text and "bundled model is used instead" in caplog.text
    assert replaced == "local-dir:/nowhere"
    demo = app.build_demo(classifier, replaced)
    head = next(b.value for b in demo.blocks.values() if isinstance(b, gr.HTML))
    said = {code: table[head.key] for code, table in app.I18N.translations.items()}
    assert "local-dir:/nowhere could not be loaded; the bundled one answers instead" in said["en"]
    assert "local-dir:/nowhere konnte nicht geladen werden" in said["de"] and len(set(said.values())) == len(LANGUAGES)
    about = api.Endpoints(classifier, replaced).model()
    assert about["fallback"] == "The model local-dir:/nowhere could not be loaded; the bundled one answers instead."


def test_the_model_comes_from_the_variable(monkeypatch, model_folder):
    monkeypatch.setenv("SKIN_LESION_MODEL", f"local-dir:{model_folder}")
    classifier, replaced = app.load_model()
    assert classifier.source == f"local-dir:{model_folder}" and replaced == ""


def test_zerogpu_finds_a_function_and_cpu_hardware_needs_none(monkeypatch):
    """ZeroGPU stops a Space in which nothing is decorated; elsewhere the package is absent."""
    decorated = []
    fake = types.ModuleType("spaces")
    fake.GPU = lambda function: decorated.append(function.__name__) or function
    monkeypatch.setitem(sys.modules, "spaces", fake)
    reload(app)
    assert decorated
    monkeypatch.setitem(sys.modules, "spaces", None)  # import fails
    reload(app)
    assert isinstance(app.demo, gr.Blocks)


def test_examples_are_credited_and_600_by_450():
    with open(app.EXAMPLES / "credits.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows if row["shows"] == "class"} == set(CODES)
    assert {row["file"] for row in rows} == {p.name for p in app.EXAMPLES.glob("*.jpg")}
    for row in rows:
        assert Image.open(app.EXAMPLES / row["file"]).size == (600, 450)
        assert "synthetic" in row["source"] and row["licence"] == "CC0-1.0"


def test_the_shipped_model_answers_to_the_examples_what_a_visitor_should_see():
    """Each class is named without a warning; the others show what else an answer can say."""
    classifier, _ = app.load_model()
    answers = {example.kind: classifier.predict(example.path) for example in app.examples_for(classifier)}
    for code in CODES:
        assert (answers[code].code, answers[code].dermatoscopic, answers[code].quality) == (code, True, ())
    ambiguous = answers["ambiguous"]
    assert len(ambiguous.set90) >= 2 and max(ambiguous.probabilities.values()) < 0.6 and ambiguous.dermatoscopic
    assert answers["no lesion"].dermatoscopic is False
    assert "blurred" in answers["blurred"].quality
