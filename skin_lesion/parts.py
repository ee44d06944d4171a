"""Pieces of HTML that the page and the report both show, in the visitor's language."""

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from skin_lesion.advice import advice, set_sentence
from skin_lesion.classes import BY_CODE
from skin_lesion.explain import METHODS, Explanation
from skin_lesion.language import Translator
from skin_lesion.predict import Prediction
from skin_lesion.quality import HINTS


def foreign_html(t: Translator) -> str:
    """The warning before anything is said of a picture that looks like no dermatoscopic image."""
    lead = t("This does not look like a dermatoscopic image.")
    text = t(
        "The model has only ever seen skin lesions in colour, through a dermatoscope, and names one of seven whatever "
        "it is shown: of this picture its answer says nothing. If a spot worries you, show it to a clinician."
    )
    return f'<div class="notice foreign" role="alert"><strong>{lead}</strong> {text}</div>'


def quality_html(prediction: Prediction, t: Translator) -> str:
    if not prediction.quality:
        return ""
    items = "".join(f"<li>{escape(t(HINTS[code]))}</li>" for code in prediction.quality)
    return f'<div class="notice quality" role="note">{t("The answer may be worth less:")}<ul>{items}</ul></div>'


def guess_html(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    """The first guess with its group, and what to do."""
    top = prediction.lesion_class
    guess = t(
        "First guess: {name}, {share}", name=t(top.short_name), share=t.percent(prediction.probabilities[top.code])
    )
    return (
        f"<h2>{escape(guess)}</h2><p>{escape(t(top.group_note))} {t('The guess may be wrong.')}</p>"
        f'<p class="advice">{escape(advice(prediction, metrics, t))}</p>'
    )


def sets_html(prediction: Prediction, metrics: dict[str, Any], t: Translator, levels: Sequence[float] = (0.90,)) -> str:
    """For each level the possible classes, most probable first; of a model that was never calibrated, that it was not.

    levels: of skin_lesion.decision.LEVELS.
    """
    if prediction.decision is None:
        unknown = t(
            "This model was never calibrated: it names no set of possible classes, and cannot tell whether the "
            "picture is a dermatoscopic image at all."
        )
        return f"<p>{escape(unknown)}</p>"
    html = ""
    for level in levels:
        codes = prediction.decision.prediction_set(prediction.probabilities, level)
        chips = " ".join(
            f'<span class="chip" style="border-color:{BY_CODE[code].colour}">{escape(t(BY_CODE[code].short_name))} '
            f"({code})</span>"
            for code in sorted(codes, key=lambda code: -prediction.probabilities[code])
        )
        html += f'<p class="set">{escape(set_sentence(metrics, t, level))} {chips}</p>'
    return html


def bars_html(prediction: Prediction, t: Translator) -> str:
    """All classes with their probabilities, and what these are not."""
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
    return f'<ul class="bars">{bars}</ul><p class="small">{note}</p>'


def map_html(explanation: Explanation, t: Translator) -> str:
    """Which class, method and layer a map is of, as a sentence; of a picture that is no lesion without the share."""
    what = {
        "method": escape(t(METHODS[explanation.method].name)),
        "name": f"<strong>{escape(t(BY_CODE[explanation.code].short_name))} ({explanation.code})</strong>",
        "layer": f"<code>{explanation.layer}</code>",
    }
    if explanation.dermatoscopic is False:
        return t("{method} for {name}; layer {layer}.", **what)
    share = t.percent(explanation.probability)
    return t("{method} for {name}, which the model gives {share}; layer {layer}.", share=share, **what)


def legend_html(explanation: Explanation, t: Translator) -> str:
    """What a map's colours mean; of one that is zero everywhere, that it is."""
    if explanation.peak <= 0:
        nothing = t(
            "This method found nothing in the image that raised the score, so the image is shown without a map. "
            "It does not follow that nothing did: another method may find it."
        )
        return f"<p>{nothing}</p>"
    return (
        f'<div class="legend"><span>{t("little")}</span><span class="ramp" aria-hidden="true"></span>'
        f"<span>{t('most of this map')}</span></div>"
    )


def data_uri(content: bytes, kind: str) -> str:
    """A file as an address that carries it in itself, so that none is left on the server. kind: its MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
