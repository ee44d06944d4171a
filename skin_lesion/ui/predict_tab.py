"""The Predict tab: what the model takes the lesion for, how sure it is, what to do, and when not to trust it."""

from html import escape
from typing import Any

import gradio as gr

from skin_lesion.language import Translator
from skin_lesion.parts import bars_html, data_uri, foreign_html, guess_html, quality_html, sets_html
from skin_lesion.predict import Prediction
from skin_lesion.ui.i18n import block


def empty(t: Translator) -> str:
    return f'<p class="small">{t("Choose an image, or click an example: the answer appears here.")}</p>'


def build() -> gr.HTML:
    """Lay out the tab; returns the component that shows the answer."""
    return gr.HTML(block(empty), elem_id="answer", container=False)


def answer_html(prediction: Prediction, metrics: dict[str, Any], t: Translator, report: str = "") -> str:
    """The answer; for a picture that does not look like a dermatoscopic image that first, and the answer on a click.

    report: `report_link`, to stand below the answer; "" while there is none.
    """
    answer = guess_html(prediction, metrics, t) + sets_html(prediction, metrics, t) + bars_html(prediction, t) + report
    quality = quality_html(prediction, t)
    if prediction.dermatoscopic is False:
        opened = t("Show the answer all the same")
        answer = f"{foreign_html(t)}{quality}<details><summary>{opened}</summary>{answer}</details>"
    else:
        answer = quality + answer
    return f'<section class="answer" aria-live="polite">{answer}</section>'


def report_link(report: str, name: str, t: Translator) -> str:
    """The page of skin_lesion.report under a file name, in the link itself."""
    text = t("Save this as a report to keep or print")
    return f'<p><a class="report" download="{name}" href="{data_uri(report.encode(), "text/html")}">{text}</a></p>'


def problem_html(message: str, t: Translator) -> str:
    """Why there is no answer, in the place of the answer, so that no earlier one stays on the page."""
    return f'<div class="notice" role="alert"><strong>{t("No answer.")}</strong> {escape(message)}</div>'
