"""The Grad-CAM tab: where the model looked, for any of the seven classes."""

from html import escape
from typing import NamedTuple

import gradio as gr

from skin_lesion.classes import BY_CODE, CLASSES
from skin_lesion.explain import CAVEAT, OPACITY, Explanation
from skin_lesion.predict import Prediction
from skin_lesion.ui.predict_tab import percent

EMPTY = '<p class="small">Choose an image, or click an example: the map appears here.</p>'


class GradcamTab(NamedTuple):
    target: gr.Radio
    opacity: gr.Slider
    map: gr.Image
    caption: gr.HTML


def build() -> GradcamTab:
    target = gr.Radio(
        [(f"{c.code} · {c.short_name}", c.code) for c in CLASSES],
        value=None,
        label="Which class to explain (each new image starts with the first guess)",
        elem_id="cam-target",
    )
    map_ = gr.Image(
        label="Grad-CAM",
        format="png",
        interactive=False,
        elem_id="cam-map",
        height=330,
        buttons=["download", "fullscreen"],
        alt_text="The image with its Grad-CAM map laid over it",
    )
    caption = gr.HTML(EMPTY, elem_id="cam-caption")
    opacity = gr.Slider(0, 1, value=OPACITY, step=0.05, label="Opacity of the map")
    return GradcamTab(target, opacity, map_, caption)


def caption_html(explanation: Explanation, prediction: Prediction) -> str:
    """Class, layer, legend and caveat of a map."""
    name = escape(BY_CODE[explanation.code].short_name)
    if explanation.peak <= 0:
        return (
            f'<div class="answer"><p>Nothing in this image spoke for <strong>{name}</strong>: the map is zero '
            f'everywhere, so the image is shown without it.</p><p class="small">{escape(CAVEAT)}</p></div>'
        )
    return (
        f'<div class="answer"><p>Grad-CAM for <strong>{name} ({explanation.code})</strong>, which the model gives '
        f"{percent(prediction.probabilities[explanation.code])}; layer <code>{explanation.layer}</code>, the last "
        f'feature map.</p><div class="legend"><span>little</span><span class="ramp" aria-hidden="true"></span>'
        f'<span>most of this map</span></div><p class="small">{escape(CAVEAT)}</p></div>'
    )
