"""The Predict tab: all seven probabilities, the group in words."""

from html import escape

import gradio as gr

from skin_lesion.predict import Prediction

EMPTY = '<p class="small">Choose an image, or click an example: the answer appears here.</p>'


def build() -> gr.HTML:
    """Lay out the tab; returns the component that shows the answer."""
    return gr.HTML(EMPTY, elem_id="answer", label="Answer", container=False)


def answer_html(prediction: Prediction) -> str:
    """The most probable class, its group in words and a bar for each class."""
    top = prediction.lesion_class
    bars = "".join(
        f'<li><div class="row"><span>{escape(c.short_name)} ({c.code}) '
        f'<span class="group">· {c.group}</span></span><span class="value">{percent(p)}</span></div>'
        f'<div class="track" aria-hidden="true"><div class="fill" '
        f'style="width:{p * 100:.1f}%;background:{c.colour}"></div></div></li>'
        for c, p in prediction.ranked
    )
    return (
        f'<section class="answer" aria-live="polite">'
        f"<h2>The model’s first guess: {escape(top.short_name)} ({top.code}), "
        f"{percent(prediction.probabilities[top.code])}</h2>"
        f"<p>If this guess is right, the lesion is of this kind: {escape(top.group_note)} The guess may be wrong. "
        f"All malignant and pre-malignant classes together: {percent(prediction.malignant)}; "
        f"a low share does not rule out cancer.</p>"
        f'<ul class="bars">{bars}</ul>'
        f'<p class="small">Shares of the model’s belief among seven classes, not a diagnosis and not the chance of '
        f"being ill. If a spot changes, itches, bleeds or worries you, show it to a clinician, whatever stands "
        f"here.</p></section>"
    )


def problem_html(message: str) -> str:
    """Why there is no answer, in the place of the answer, so that no earlier one stays on the page."""
    return f'<div class="notice" role="alert"><strong>No answer.</strong> {escape(message)}</div>'


def percent(share: float) -> str:
    """'87 %', '0.4 %', 'below 0.1 %', never a rounded 0 or 100."""
    if share < 0.001:
        return "below 0.1 %"
    if share > 0.999:
        return "above 99.9 %"
    return f"{share:.0%}".replace("%", " %") if 0.1 <= share <= 0.9 else f"{share:.1%}".replace("%", " %")
