"""The Grad-CAM tab: what spoke for any of the seven classes, in four ways, and how far to trust it."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from skin_lesion.classes import CLASSES
from skin_lesion.explain import METHODS, Explanation
from skin_lesion.explanation_tables import explanation_page, explanation_sentence
from skin_lesion.language import Translator
from skin_lesion.overlay import CAVEAT, OPACITY, overlay, shrunk
from skin_lesion.parts import data_uri, foreign_html, legend_html, map_html
from skin_lesion.predict import Classifier
from skin_lesion.ui.i18n import block, class_choice, label
from skin_lesion.ui.upload import Range

SMALL = 320  # px, the longer side of a picture in the row of all seven


@dataclass(eq=False)
class Page:
    """What stands on one visitor's page: the value of a session's state, a copy for each.

    It changes in place, so that a slow map in the making sees that something newer was asked for, and gives up. Of a
    visitor's requests several can run at once, and nothing else keeps the later one from being overwritten.
    """

    path: str | None = None  # of the image
    shown: Explanation | None = None
    view: tuple[float, bool] = (OPACITY, False)  # opacity, and whether the image stands beside; as last asked for
    asked: int = 0  # how often something was

    def begin(self, path: str | None) -> None:
        """Another image, or none."""
        self.ask()
        self.path, self.shown = path, None

    def ask(self) -> Callable[[], bool]:
        """Something new is wanted; from then on the result tells whether it still is."""
        self.asked += 1
        mine = self.asked
        return lambda: self.asked == mine


class GradcamTab(NamedTuple):
    target: gr.Radio
    method: gr.Radio
    map: gr.Image
    caption: gr.HTML
    opacity: Range
    beside: gr.Checkbox
    stop: gr.Button
    all_classes: gr.Gallery
    page: gr.State


def empty(t: Translator) -> str:
    return f'<p class="small">{t("Choose an image, or click an example: the map appears here.")}</p>'


def build(classifier: Classifier) -> GradcamTab:
    target = gr.Radio(
        [(block(partial(class_choice, c)), c.code) for c in CLASSES],
        value=None,
        label=label("Which class to explain (each new image starts with the first guess)"),
        elem_id="cam-target",
    )
    method = gr.Radio(
        [(block(partial(_method_choice, classifier, name)), name) for name in METHODS],
        value="gradcam",
        label=label("How"),
        elem_id="cam-method",
    )
    map_ = gr.Image(
        label=label("Map"),
        format="png",
        interactive=False,
        elem_id="cam-map",
        height=330,
        buttons=["download", "fullscreen"],
        alt_text=label("The image with the map of the chosen class laid over it"),
    )
    stop = gr.Button(label("Stop"), size="sm", visible=False, elem_id="cam-stop")
    caption = gr.HTML(block(empty), elem_id="cam-caption")
    opacity = Range(0, 1, value=OPACITY, step=0.05, label=label("Opacity of the map"))
    beside = gr.Checkbox(False, label=label("The image without the map beside it"))
    gr.HTML(block(_all_classes_note))
    all_classes = gr.Gallery(
        label=label("Grad-CAM of all seven classes"),
        show_label=False,
        format="jpeg",
        columns=4,
        height="auto",
        object_fit="contain",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="cam-all",
    )
    with gr.Accordion(label("How good these maps are, and where they mislead"), open=False, elem_id="cam-measured"):
        gr.Markdown(explanation_page(classifier.metrics))
    return GradcamTab(target, method, map_, caption, opacity, beside, stop, all_classes, gr.State(Page()))


def _all_classes_note(t: Translator) -> str:
    note = t("Grad-CAM of all seven classes on one scale, so that they can be compared; click one to explain it above:")
    return f'<p class="small">{note}</p>'


def _method_choice(classifier: Classifier, method: str, t: Translator) -> str:
    return t(METHODS[method].name) + _seconds(classifier, method, t)


def _seconds(classifier: Classifier, method: str, t: Translator) -> str:
    """' (about 2 s)' where train.explain_eval measured that one waits for it."""
    seconds = classifier.metrics.get("explanations", {}).get("seconds", {}).get(method, 0)
    return " " + t("(about {seconds} s)", seconds=round(seconds)) if seconds >= 0.5 else ""


def caption_html(explanation: Explanation, metrics: dict[str, Any], t: Translator) -> str:
    """Class, method, layer, legend, caveat and downloads of a map, and what was measured of its kind.

    Before them, of a picture that does not look like a dermatoscopic image, that it does not.
    """
    notice = foreign_html(t) if explanation.dermatoscopic is False else ""
    measured = escape(explanation_sentence(metrics, explanation.method, explanation.code, t))
    caveat = f'<p class="small">{escape(t(CAVEAT))} {measured}</p>'
    what = f"<p>{map_html(explanation, t)} {escape(t(METHODS[explanation.method].how))}</p>"
    downloads = _downloads(explanation, t) if explanation.peak > 0 else ""
    return f'<div class="answer">{notice}{what}{legend_html(explanation, t)}{caveat}{downloads}</div>'


def progress_html(explained: str, done: int, total: int, t: Translator) -> str:
    text = t(
        "{method}: the model is asked again and again, question {done} of {total}",
        method=escape(explained),
        done=done,
        total=total,
    )
    bar = f'<progress value="{done}" max="{total}"></progress>'
    return f'<div class="answer" role="status"><p><label>{text} {bar}</label></p></div>'


def _downloads(explanation: Explanation, t: Translator) -> str:
    """Links that carry the map in themselves, so that no file of a visitor's image is left on the server."""
    npy, png = io.BytesIO(), io.BytesIO()
    np.save(npy, explanation.heat)
    Image.fromarray(np.uint8(explanation.heat * 255 + 0.5)).save(png, "PNG")
    rows, columns = explanation.heat.shape
    name = f"{explanation.code}_{explanation.method}"
    links = " · ".join(
        f'<a download="{name}.{ending}" href="{data_uri(file.getvalue(), kind)}">{name}.{ending}</a>'
        for ending, kind, file in (("npy", "application/octet-stream", npy), ("png", "image/png", png))
    )
    text = t("The map itself, {size} cells from 0 to 1:", size=f"{columns}×{rows}")
    return f'<p class="small">{text} {links}</p>'


def all_classes_items(
    image: Image.Image, explanations: dict[str, Explanation], t: Translator
) -> list[tuple[Image.Image, str]]:
    """A small overlay of each class with its caption; 1 on the common scale is the hottest cell of all classes.

    Of a picture that does not look like a dermatoscopic image no share is told, of which the answer says nothing.
    """
    small = shrunk(image, SMALL)
    most = max(e.peak for e in explanations.values())
    return [
        (
            overlay(small, e.heat * (e.peak / most) if most > 0 else e.heat),
            code if e.dermatoscopic is False else f"{code} {t.percent(e.probability)}",
        )
        for code, e in explanations.items()
    ]
