"""The Model tab: how good the model is on held-out images. Every number is read from metrics.json and decision.json."""

from functools import partial
from typing import Any

import gradio as gr

from skin_lesion.advice import of_100
from skin_lesion.decision import SCORES, Decision
from skin_lesion.language import Translator
from skin_lesion.operating import has_curve
from skin_lesion.predict import Classifier
from skin_lesion.tables import (
    altered_table,
    basis,
    class_table,
    foreign_table,
    headline_table,
    operating_table,
    set_table,
    subgroup_table,
)
from skin_lesion.ui import threshold
from skin_lesion.ui.i18n import block, label
from skin_lesion.ui.model_figures import confusion_html, reliability_html, roc_html


def build(classifier: Classifier) -> None:
    test = classifier.metrics.get("test")
    if test is None:
        gr.HTML(block(not_evaluated), elem_id="model-summary")
        return
    gr.HTML(block(partial(summary_html, test)), elem_id="model-summary")
    if all(has_curve(classifier.metrics, score) for score in SCORES):
        threshold.build(classifier.metrics, classifier.decision)
    else:
        gr.HTML(block(no_curves))
    _figures(test, classifier.decision)


def not_evaluated(t: Translator) -> str:
    text = t("This model folder carries no held-out figures: nothing is known here of how good it is.")
    return f'<div class="notice" role="note">{text}</div>'


def no_curves(t: Translator) -> str:
    text = t("This model folder carries no held-out curves, so no threshold can be tried out here.")
    return f'<div class="notice" role="note">{text}</div>'


def summary_html(test: dict[str, Any], t: Translator) -> str:
    """In plain words: the first guess, all classes alike, and melanoma."""
    of = {name: of_100(entry["value"]) for name, entry in test["headlines"].items() if entry["value"] is not None}
    text = t(
        "Of 100 held-out images the first guess is right for {accuracy}; if each of the classes counts the same, the "
        "rare ones too, for {balanced}.",
        accuracy=of["accuracy"],
        balanced=of["balanced_accuracy"],
    )
    if "melanoma_sensitivity" in of and "melanoma_specificity" in of:
        melanoma = t(
            "Of 100 held-out melanomas it names {named} as its first guess and takes {missed} for something else; of "
            "100 other lesions it takes {alarmed} for a melanoma.",
            named=of["melanoma_sensitivity"],
            missed=100 - of["melanoma_sensitivity"],
            alarmed=100 - of["melanoma_specificity"],
        )
        text += f" <strong>{melanoma}</strong>"
    return f'<div class="answer"><h2>{t("How good it is")}</h2><p>{text}</p></div>'


def _figures(test: dict[str, Any], decision: Decision | None) -> None:
    """Tables and diagrams; the long technical tables are in English, as in the model card."""
    gr.HTML(block(lambda t: _heading(t("The main figures"), _language_note(t))))
    _table(f"{basis(test)}\n\n{headline_table(test)}")
    gr.HTML(block(lambda t: _heading(t("Class by class"))))
    _table(class_table(test))
    gr.HTML(block(lambda t: _heading(t("Which class was taken for which"), confusion_html(test["confusion"], t))))
    if "reliability" in test and "curves" in test:
        gr.HTML(block(lambda t: _diagrams(test, decision, t)))
    folded = [
        ("decision", label("Prediction sets and operating points"), _decision_tables),
        ("subgroups", label("By age, sex, site and way of diagnosis"), subgroup_table),
        ("histo", label("Only lesions diagnosed by histology, which are harder"), _histo_table),
        ("altered", label("Altered copies of the images"), altered_table),
        ("foreign", label("Pictures that are no dermatoscopic images"), foreign_table),
    ]
    for section, title, table in folded:
        if section in test:
            with gr.Accordion(title, open=False):
                _table(table(test))


def _decision_tables(test: dict[str, Any]) -> str:
    return f"{set_table(test['decision'])}\n\n{operating_table(test['decision'])}"


def _histo_table(test: dict[str, Any]) -> str:
    same_files = {"image_size": test["image_size"]}  # the subset's images are among the held-out ones
    return f"{basis(test['histo'] | same_files)}\n\n{headline_table(test['histo'])}"


def _language_note(t: Translator) -> str:
    text = t("The tables are in English, as in the model card.")
    return "" if t.code == "en" else f'<p class="small">{text}</p>'


def _heading(text: str, below: str = "") -> str:
    return f'<div class="answer"><h3>{text}</h3>{below}</div>'


def _table(markdown: str) -> None:
    gr.Markdown(markdown, elem_classes="tables")


def _diagrams(test: dict[str, Any], decision: Decision | None, t: Translator) -> str:
    return (
        f"{_heading(t('Reliability and ROC'))}"
        f'<div class="plots">{reliability_html(test["reliability"], t)}{roc_html(test["curves"], decision, t)}</div>'
    )
