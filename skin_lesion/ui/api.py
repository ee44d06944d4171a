"""The named endpoints for gradio_client, curl, MCP clients and other programs: plain JSON and files.

They are separate from the page's own events, so that the page can change and they need not. What they answer with
stands in skin_lesion.answers; the API tab, gradio's own API page and the MCP tools show the docstrings below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_args, get_type_hints

import gradio as gr
from PIL import Image

from skin_lesion.answers import (
    API_VERSION,
    BatchAnswer,
    BatchError,
    ClassAnswer,
    ExplainAnswer,
    ModelAnswer,
    PredictAnswer,
    fields,
)
from skin_lesion.batch import Named, classify
from skin_lesion.classes import CLASSES, CODES, check_code
from skin_lesion.explain import METHODS
from skin_lesion.explain import explain as maps_of
from skin_lesion.explanation_tables import explanation_sentence
from skin_lesion.images import ImageError, open_image
from skin_lesion.language import translator
from skin_lesion.overlay import CAVEAT, OPACITY, render
from skin_lesion.predict import Classifier
from skin_lesion.texts import DISCLAIMER, stand_in
from skin_lesion.ui import tools
from skin_lesion.ui.batch_tab import BATCHES, QUEUE
from skin_lesion.ui.upload import Choice, LesionFiles, LesionImage


@dataclass(frozen=True)
class Endpoints:
    """One public method for each, of its name."""

    classifier: Classifier
    replaced: str = ""  # source of the wanted model where the bundled one stands in for it

    def predict(self, image: str | None) -> PredictAnswer:
        """Tell which of seven kinds of skin lesion a dermatoscopic image shows, with probabilities.

        Args:
            image: JPEG, PNG, WebP, TIFF, BMP or GIF file, taken through a dermatoscope.
        """
        return self.classifier.predict(_open(image)).to_dict()

    def explain(
        self, image: str | None, target: str = "", opacity: float = OPACITY, method: str = "gradcam"
    ) -> tuple[Image.Image, ExplainAnswer]:
        """Map what in a dermatoscopic image spoke for one class: a picture (PNG), and the map as numbers.

        Args:
            image: JPEG, PNG, WebP, TIFF, BMP or GIF file, taken through a dermatoscope.
            target: code of the class to explain; empty for the most probable one.
            opacity: of the map over the image, from 0 to 1.
            method: how to explain; integrated_gradients and occlusion take seconds.
        """
        opened = _open(image)
        prediction = self.classifier.predict(opened)
        try:
            code = check_code(target or prediction.code)
            explanation = maps_of(self.classifier, prediction, [code], method or "gradcam", opened)[code]
            picture = render(opened, explanation, opacity)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        answer = prediction.to_dict()
        return picture, {
            "target": code,
            "method": explanation.method,
            "probability": round(explanation.probability, 6),
            "layer": explanation.layer,
            "map": explanation.heat.astype(float).round(4).tolist(),
            "peak": explanation.peak,
            "caveat": CAVEAT,
            "measured": explanation_sentence(self.classifier.metrics, explanation.method, code),
            "model": answer["model"],
            "set90": answer["set90"],
            "set95": answer["set95"],
            "malignant": answer["malignant"],
            "dermatoscopic": answer["dermatoscopic"],
            "quality": answer["quality"],
        }

    def batch(self, files: list[Named]) -> list[BatchAnswer | BatchError]:
        """Classify up to 200 dermatoscopic images at once; a file that cannot be read does not stop the others.

        Args:
            files: list of JPEG, PNG, WebP, TIFF, BMP or GIF files, or zip files of them.
        """
        if not files:
            raise gr.Error("There is no file yet: send a list of images or zip files.", print_exception=False)
        return cast(list[BatchAnswer | BatchError], list(classify(self.classifier, files)))

    def classes(self) -> list[ClassAnswer]:
        """List the seven classes in the order of the model's outputs, with names, groups and descriptions."""
        return [cast(ClassAnswer, c.to_dict()) for c in CLASSES]

    def model(self) -> ModelAnswer:
        """Say which model is running, which version these endpoints have, and how good the model is."""
        return {
            "api_version": API_VERSION,
            "source": self.classifier.source,
            "revision": self.classifier.revision,
            "fallback": stand_in(self.replaced, translator()) if self.replaced else None,
            "disclaimer": DISCLAIMER,
            "metrics": self.classifier.metrics,
        }


def answer_of(endpoint: Callable[..., Any]) -> Any:
    """The TypedDict that describes an endpoint's JSON: its answer's last part, or an item of the list that it is."""
    returned = get_type_hints(endpoint)["return"]
    return get_args(returned)[-1] if get_args(returned) else returned


def description(endpoint: Callable[..., Any]) -> str:
    """What an endpoint does and answers with, in full: all that an MCP client is told."""
    what = (endpoint.__doc__ or "").split("\n")[0]
    listed = " ".join(f"{name} ({kind}): {text}" for name, kind, text in fields(answer_of(endpoint)))
    return f"{what} {DISCLAIMER} Answers with JSON: {listed}"


def build(classifier: Classifier, replaced: str = "") -> None:
    """Add the endpoints to the Blocks that is being built."""
    endpoints = Endpoints(classifier, replaced)
    tools.use()
    # Components that are never shown give the endpoints their types and file handling.
    with gr.Group(visible=False):
        image = LesionImage(type="filepath", label="image")
        files = LesionFiles(file_count="multiple", label="files")
        target = Choice(["", *CODES], value="", label="target")
        opacity = gr.Number(OPACITY, label="opacity")
        method = Choice(list(METHODS), value="gradcam", label="method")
        picture = gr.Image(format="png", label="overlay")
        result = gr.JSON(label="result")
        trigger = gr.Button()

    def publish(endpoint: Callable[..., Any], inputs: Any, outputs: Any, **waiting: Any) -> None:
        about: dict[str, Any] = {"api_name": endpoint.__name__, "api_description": description(endpoint)}
        trigger.click(endpoint, inputs, outputs, **about, **waiting)

    publish(endpoints.predict, image, result)
    publish(endpoints.explain, [image, target, opacity, method], [picture, result])
    publish(endpoints.batch, files, result, concurrency_limit=BATCHES, concurrency_id=QUEUE)
    publish(endpoints.classes, None, result)
    publish(endpoints.model, None, result)


def _open(image: str | None) -> Image.Image:
    if image is None:
        raise gr.Error("No image was sent; the parameter image needs one.", print_exception=False)
    try:
        return open_image(image)
    except ImageError as error:
        raise gr.Error(str(error), print_exception=False) from error
