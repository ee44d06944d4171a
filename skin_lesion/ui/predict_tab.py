"""The Predict tab: what the model takes the lesion for, how sure it is, what to do, and when not to trust it."""

from html import escape
from typing import Any

import gradio as gr

from skin_lesion.advice import advice, set_sentence
from skin_lesion.classes import BY_CODE
from skin_lesion.language import Translator
from skin_lesion.predict import Prediction
from skin_lesion.quality import HINTS
from skin_lesion.ui.i18n import block


def empty(t: Translator) -> str:
    return f'<p class="small">{t("Choose an image, or click an example: the answer appears here.")}</p>'


def build() -> gr.HTML:
    """Lay out the tab; returns the component that shows the answer."""
    return gr.HTML(block(empty), elem_id="answer", container=False)


def answer_html(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    """The answer; for a picture that does not look like a dermatoscopic image that first, and the answer on a click."""
    answer = _answer(prediction, metrics, t)
    if prediction.dermatoscopic is False:
        opened = t("Show the answer all the same")
        answer = f"{foreign_html(t)}{_quality(prediction, t)}<details><summary>{opened}</summary>{answer}</details>"
    else:
        answer = _quality(prediction, t) + answer
    return f'<section class="answer" aria-live="polite">{answer}</section>'


def foreign_html(t: Translator) -> str:
    """The warning before anything is said of a picture that looks like no dermatoscopic image."""
    lead = t("This does not look like a dermatoscopic image.")
    text = t(
        "The model has only ever seen skin lesions through a dermatoscope, and names one of seven whatever it is "
        "shown: of this picture its answer says nothing. If a spot worries you, show it to a clinician."
    )
    return f'<div class="notice foreign" role="alert"><strong>{lead}</strong> {text}</div>'


def _quality(prediction: Prediction, t: Translator) -> str:
    if not prediction.quality:
        return ""
    items = "".join(f"<li>{escape(t(HINTS[code]))}</li>" for code in prediction.quality)
    return f'<div class="notice quality" role="note">{t("The answer may be worth less:")}<ul>{items}</ul></div>'


def _answer(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    top = prediction.lesion_class
    guess = t(
        "First guess: {name}, {share}", name=t(top.short_name), share=t.percent(prediction.probabilities[top.code])
    )
    bars = "".join(
        f'<li><div class="row"><span>{escape(t(c.short_name))} ({c.code}) '
        f'<span class="group">· {t(c.group)}</span></span><span class="value">{t.percent(p)}</span></div>'
        f'<div class="track" aria-hidden="true"><div class="fill" '
        f'style="width:{p * 100:.1f}%;background:{c.colour}"></div></div></li>'
        for c, p in prediction.ranked
    )
    note = t(
        "Shares of the model’s belief among seven classes, not a diagnosis and not the chance of being ill. If a spot "
        "changes, itches, bleeds or worries you, show it to a clinician, whatever stands here."
    )
    return (
        f"<h2>{escape(guess)}</h2><p>{escape(t(top.group_note))} {t('The guess may be wrong.')}</p>"
        f'<p class="advice">{escape(advice(prediction, metrics, t))}</p>'
        f"{_set_html(prediction, metrics, t)}"
        f'<ul class="bars">{bars}</ul><p class="small">{note}</p>'
    )


def _set_html(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    if prediction.set90 is None:
        return ""
    chips = " ".join(
        f'<span class="chip" style="border-color:{BY_CODE[code].colour}">{escape(t(BY_CODE[code].short_name))} ({code})'
        "</span>"
        for code in sorted(prediction.set90, key=lambda code: -prediction.probabilities[code])
    )
    return f'<p class="set">{escape(set_sentence(metrics, t))} {chips}</p>'


def problem_html(message: str, t: Translator) -> str:
    """Why there is no answer, in the place of the answer, so that no earlier one stays on the page."""
    return f'<div class="notice" role="alert"><strong>{t("No answer.")}</strong> {escape(message)}</div>'
