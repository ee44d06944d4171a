"""The Model tab says what metrics.json and decision.json say, and follows its sliders."""

import json
import re
from dataclasses import replace

import gradio as gr
import pytest

from skin_lesion.classes import CODES
from skin_lesion.decision import SCORES
from skin_lesion.language import LANGUAGES, translator
from skin_lesion.model import load
from skin_lesion.operating import PATIENTS, at_threshold
from skin_lesion.tables import basis, class_table, headline_table, operating_table, set_table, subgroup_table
from skin_lesion.ui import model_figures, model_tab, threshold
from skin_lesion.ui.i18n import I18N

EN = translator("en")


@pytest.fixture(scope="module")
def bundled():
    return load()


def texts_of(classifier) -> dict[str, list]:
    """What the tab consists of: the texts of HTML and Markdown components in English, and the values of the others."""
    with gr.Blocks() as demo:
        model_tab.build(classifier)
    found = {"text": [], "slider": [], "events": list(demo.fns.values())}
    for component in demo.blocks.values():
        if isinstance(component, gr.HTML):
            found["text"].append(I18N.translations["en"][component.value.key])
        elif isinstance(component, gr.Markdown):
            found["text"].append(component.value)
        elif isinstance(component, gr.Slider):
            found["slider"].append(component.value)
    return found


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", html))


def test_the_numbers_on_the_tab_are_those_of_the_files(bundled):
    test, text = bundled.metrics["test"], "\n".join(texts_of(bundled)["text"])
    for table in (basis, headline_table, class_table, subgroup_table):
        assert table(test) in text
    assert headline_table(test["histo"]) in text and f"{test['histo']['images']:,} held-out images" in text
    assert set_table(test["decision"]) in text and operating_table(test["decision"]) in text
    named = round(100 * test["headlines"]["melanoma_sensitivity"]["value"])
    assert f"Of 100 held-out melanomas it names {named} as its first guess" in text
    assert f"the first guess is right for {round(100 * test['headlines']['accuracy']['value'])};" in text


def test_the_confusion_matrix_is_that_of_the_metrics(bundled):
    confusion = bundled.metrics["test"]["confusion"]
    html = model_figures.confusion_html(confusion, EN)
    found = [int(n) for n in re.findall(r"<strong>(\d+)</strong>", html)]
    assert found == [n for row in confusion for n in row]
    right = [int(n) for n in re.findall(r'class="right"[^>]*><strong>(\d+)<', html)]
    assert right == [confusion[i][i] for i in range(len(CODES))]
    assert html.count('scope="row"') == len(CODES) and html.count('scope="col"') == len(CODES) + 1


def test_it_starts_at_the_operating_point_and_at_the_held_out_share(bundled):
    point = next(p for p in bundled.decision.points["melanoma"] if p.sensitivity == 0.90)
    test = bundled.metrics["test"]
    share = test["per_class"]["mel"]["support"] / test["images"]
    tab = texts_of(bundled)
    assert tab["slider"] == [pytest.approx(100 * point.threshold, abs=0.005), round(1000 * share)]
    achieved = next(p for p in test["decision"]["operating_points"]["melanoma"] if p["sensitivity"] == 0.90)
    found, low, high = (round(100 * achieved["achieved_sensitivity"][key]) for key in ("value", "low", "high"))
    assert f"the model finds {found} ({low}–{high});" in "\n".join(tab["text"])


@pytest.mark.parametrize(("score", "per_cent", "ill"), [("melanoma", 30.0, 5), ("malignancy", 0.5, 200)])
def test_the_result_is_in_words_and_drawn_and_both_are_the_outcome(bundled, score, per_cent, ill):
    outcome = at_threshold(bundled.metrics, score, per_cent / 100, ill / PATIENTS)
    html = threshold.move(bundled.metrics, score, per_cent, ill)
    counts = (outcome.ill_found, outcome.ill_missed, outcome.well_alarmed, outcome.well_cleared)
    said = words(html[: html.index('<svg class="people"')])
    for count, meaning in zip(counts, ("raises the alarm", "stays silent", "a false alarm", "silent"), strict=True):
        assert re.search(rf"{count or '(0|fewer than 1)'} [^.]*{meaning}", said)
    assert f"{EN.percent(outcome.ppv)}" in said and "no all-clear" in said
    figure = html[html.index('<svg class="people"') :]
    drawn = dict.fromkeys(threshold.SIGNS, 0)
    for width, height, sign in re.findall(r'width="(\d+)" height="(\d+)" fill="url\(#people-(\w+)\)"', figure):
        drawn[sign] += int(width) * int(height) // threshold.CELL**2
    assert tuple(drawn.values()) == counts
    label = re.search(r'role="img" aria-label="([^"]+)"', figure)[1]
    assert all(str(count) in label for count in counts if count)


def test_a_rounded_zero_is_not_sold_as_never():
    """Of 2 ill people 1.8 are found: 0 missed is a rounding, and is said as 'fewer than 1'."""
    curve = {"images": 20, "cases": 10, "threshold": [0.5]} | {
        name: {"value": [0.9], "low": [0.8], "high": [1.0]} for name in ("sensitivity", "specificity")
    }
    html = threshold.outcome_html({"test": {"curves": {"melanoma": curve}}}, "melanoma", 50, 2, EN)
    assert "fewer than 1 have it, and the model stays silent" in words(html)
    assert "fewer than 1 would have it all the same" in words(html)


def test_the_sentences_count_as_many_patients_as_the_figure_shows():
    named = {n for sentence in translator("de").table for n in re.findall(r"([\d,]+) patients", sentence)}
    assert named == {f"{PATIENTS:,}"}


def test_the_figure_has_a_cell_for_everybody():
    cells = set()
    for begin, end in ((0, 3), (3, 30), (30, 111), (111, PATIENTS)):
        for x, y, width, height in threshold._cells(begin, end):
            new = {(x + i, y + j) for i in range(0, width, 10) for j in range(0, height, 10)}
            assert not cells & new and len(threshold._cells(begin, end)) <= 3
            cells |= new
    assert len(cells) == PATIENTS


def test_a_button_sets_the_threshold_of_its_operating_point_and_names_its_aim(bundled):
    assert threshold._aim(0.90, EN) == "Aim at 90 of 100"  # what it achieved stands in the result
    for score in SCORES:
        for point in bundled.decision.points[score]:
            per_cent = threshold.start(bundled.decision, score, point.sensitivity)
            assert per_cent == pytest.approx(100 * point.threshold, abs=0.005)
            read = at_threshold(bundled.metrics, score, per_cent / 100, 0.1)
            html = threshold.move(bundled.metrics, score, per_cent, 100)
            assert read.threshold == point.threshold and f"Alarm from {100 * point.threshold:.1f} % on" in html


def test_another_score_starts_anew(bundled):
    per_cent, ill = threshold.other_score(bundled.metrics, bundled.decision, "malignancy")
    curve = bundled.metrics["test"]["curves"]["malignancy"]
    assert per_cent == threshold.start(bundled.decision, "malignancy")
    assert ill == round(1000 * curve["cases"] / curve["images"])
    assert ill != threshold.ill_at_first(bundled.metrics, "melanoma")


def test_a_folder_without_figures_says_so(classifier):
    tab = texts_of(replace(classifier, metrics={}))
    assert len(tab["text"]) == 1 and "carries no held-out figures" in tab["text"][0] and not tab["events"]


def test_a_folder_that_was_never_calibrated_has_sliders_but_no_operating_points(bundled):
    test = {k: v for k, v in bundled.metrics["test"].items() if k not in ("decision", "foreign")}
    tab = texts_of(replace(bundled, metrics=bundled.metrics | {"test": test}, decision=None))
    assert "its folder has no decision.json" in "\n".join(tab["text"]) and tab["slider"][0] == 50


def test_figures_of_an_older_version_are_shown_without_the_live_part(bundled):
    test = {k: v for k, v in bundled.metrics["test"].items() if k not in ("curves", "reliability")}
    tab = texts_of(replace(bundled, metrics=bundled.metrics | {"test": test}))
    assert "no held-out curves" in "\n".join(tab["text"]) and not tab["slider"]
    assert headline_table(test) in "\n".join(tab["text"])


def test_an_evaluated_folder_of_few_images_has_a_tab(evaluated):
    assert len(texts_of(load(f"local-dir:{evaluated}"))["slider"]) == 2


def test_without_a_melanoma_held_out_the_tab_shows_the_other_curve(bundled):
    test = json.loads(json.dumps(bundled.metrics["test"]))
    curve = test["curves"]["melanoma"]
    curve["cases"] = 0
    curve["sensitivity"] = {key: [None] * len(values) for key, values in curve["sensitivity"].items()}
    for point in test["decision"]["operating_points"]["melanoma"]:
        point["achieved_sensitivity"] = dict.fromkeys(point["achieved_sensitivity"])
    roc = model_figures.roc_html(test["curves"], bundled.decision, EN)
    assert "curve malignancy" in roc and "curve melanoma" not in roc
    texts_of(replace(bundled, metrics=bundled.metrics | {"test": test}))


def test_diagrams_say_in_words_what_they_show_and_leave_nothing_to_colour(bundled):
    test = bundled.metrics["test"]
    for code in LANGUAGES:
        t = translator(code)
        shown = model_figures.reliability_html(test["reliability"], t)
        assert 'role="img" aria-label="' in shown and shown.count('class="point"') == len(test["reliability"])
        roc = model_figures.roc_html(test["curves"], bundled.decision, t)
        assert roc.count('class="mark') == sum(map(len, bundled.decision.points.values()))
    last = test["reliability"][-1]
    assert EN.percent(last["right"]["value"]) in model_figures.reliability_html(test["reliability"], EN)
