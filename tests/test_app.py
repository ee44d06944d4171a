import csv
import json
import logging
import sys
import types
from importlib import reload
from urllib.request import urlopen

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image

import app
from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.explain import gradcam
from skin_lesion.model import ModelError
from skin_lesion.texts import DISCLAIMER
from skin_lesion.ui import answer, classes_tab, predict_tab
from skin_lesion.ui.about_tab import about_markdown


@pytest.fixture(scope="module")
def server(classifier):
    demo = app.build_demo(classifier)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **app.LAUNCH)
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


def test_explain_gives_a_picture_and_the_map_of_the_asked_class(client, classifier, picture):
    prediction = classifier.predict(picture)
    for target in ("", "df"):
        overlay, result = client.predict(handle_file(picture), target, api_name="/explain")
        width, height = Image.open(overlay).size
        assert width == 120 and height > 90 and overlay.endswith(".png")  # the caption stands below
        code = target or prediction.code
        assert result["target"] == code and result["layer"] == "bn2" and result["caveat"]
        assert np.allclose(result["map"], gradcam(classifier, prediction, [code])[code].heat, atol=1e-3)


def test_classes_and_model(client, classifier):
    classes = client.predict(api_name="/classes")
    assert [c["code"] for c in classes] == list(CODES)
    assert classes[4] == BY_CODE["mel"].to_dict()
    model = client.predict(api_name="/model")
    assert (model["source"], model["revision"]) == (classifier.source, classifier.revision)
    assert model["disclaimer"] == DISCLAIMER and model["fallback"] is None


def test_only_the_documented_endpoints_are_public(client):
    api = client.view_api(print_info=False, return_format="dict")
    assert set(api["named_endpoints"]) == {"/predict", "/explain", "/classes", "/model"}
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
    with pytest.raises(Exception, match="choose or drop one"):
        client.predict(None, api_name="/predict")
    with pytest.raises(Exception, match="'melanoma'.*akiec, bcc, bkl, df, mel, nv, vasc"):
        client.predict(handle_file(picture), "melanoma", api_name="/explain")
    with pytest.raises(Exception, match="5 is not a number from 0 to 1"):
        client.predict(handle_file(picture), "mel", 5, api_name="/explain")


def test_the_page_carries_the_disclaimer_first_and_records_no_history(server):
    with urlopen(server + "config") as response:
        config = json.load(response)
    texts = [str(c["props"].get("value", "")) for c in config["components"]]
    shown = [t for t in texts if t]
    assert DISCLAIMER in shown[0]
    assert config["run_history"] is False
    assert config["analytics_enabled"] is False


def test_a_new_image_fills_both_tabs_and_a_bad_one_leaves_no_old_answer(classifier, picture, tmp_path):
    html, code, map_, caption = answer.answer(classifier, str(picture), 0.7)
    assert code in CODES and map_.width == 120 and map_.height > 90
    assert all(f"({c})" in html for c in CODES) and all(BY_CODE[c].colour in html for c in CODES)
    assert f"({code})" in caption and "bn2" in caption
    bad = tmp_path / "bad.jpg"
    bad.write_text("text")
    html, code, map_, caption = answer.answer(classifier, str(bad), 0.7)
    assert code is None and map_ is None and "not an image" in html and html == caption
    assert answer.answer(classifier, None, 0.7)[0] == predict_tab.EMPTY


def test_another_class_changes_the_map(classifier, picture):
    maps = {code: np.asarray(answer.remap(classifier, str(picture), code, 1.0)[0]) for code in ("mel", "nv")}
    assert not np.array_equal(maps["mel"], maps["nv"])
    assert "not an image" in answer.remap(classifier, __file__, "mel", 1.0)[1]


def test_the_group_stands_in_words(classifier, picture):
    prediction = classifier.predict(picture)
    html = predict_tab.answer_html(prediction)
    assert prediction.lesion_class.group_note in html and "not a diagnosis" in html


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
    assert predict_tab.percent(share) == text


def test_class_page_and_about_page_are_generated(classifier):
    html = classes_tab.classes_html()
    assert all(c.description.split(";")[0].split("'")[0] in html for c in BY_CODE.values())
    assert "no held-out figures" in about_markdown(classifier)
    bundled, _ = app.load_model()
    figures = bundled.metrics["test"]["headlines"]["balanced_accuracy"]
    assert f"{figures['value']:.3f} ({figures['low']:.3f}–{figures['high']:.3f})" in about_markdown(bundled)


def test_a_model_that_cannot_be_loaded_is_replaced_visibly_and_only_on_request(monkeypatch, caplog):
    monkeypatch.setenv("SKIN_LESION_MODEL", "local-dir:/nowhere")
    with pytest.raises(ModelError, match="no model folder /nowhere.*set SKIN_LESION_FALLBACK=bundled"):
        app.load_model()
    monkeypatch.setenv("SKIN_LESION_FALLBACK", "bundled")
    with caplog.at_level(logging.WARNING):
        classifier, fallback = app.load_model()
    assert classifier.source == "bundled"
    assert "/nowhere" in caplog.text and "bundled model is used instead" in caplog.text
    assert "/nowhere" in fallback
    demo = app.build_demo(classifier, fallback)
    head = next(b.value for b in demo.blocks.values() if isinstance(b, gr.HTML))
    assert "could not be loaded; the bundled one answers instead" in head


def test_the_model_comes_from_the_variable(monkeypatch, model_folder):
    monkeypatch.setenv("SKIN_LESION_MODEL", f"local-dir:{model_folder}")
    classifier, fallback = app.load_model()
    assert classifier.source == f"local-dir:{model_folder}" and fallback == ""


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
    assert {row["class"] for row in rows} == set(CODES)
    assert {row["file"] for row in rows} == {p.name for p in app.EXAMPLES.glob("*.jpg")}
    for row in rows:
        assert Image.open(app.EXAMPLES / row["file"]).size == (600, 450)
        assert "synthetic" in row["source"] and row["licence"] == "CC0-1.0"


def test_the_shipped_model_names_the_class_of_every_example():
    classifier, _ = app.load_model()
    examples, _ = app.examples_for(classifier)
    assert {e.code: classifier.predict(e.path).code for e in examples} == {c: c for c in CODES}
