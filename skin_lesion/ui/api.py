"""The named endpoints for gradio_client, curl and other programs: plain JSON and files.

They are separate from the page's own events, so that the page can change and they need not.
"""

from typing import Any

import gradio as gr
from PIL import Image

from skin_lesion.batch import Named, classify
from skin_lesion.classes import CLASSES, check_code
from skin_lesion.explain import explain as maps_of
from skin_lesion.explanation_tables import explanation_sentence
from skin_lesion.images import ImageError, open_image
from skin_lesion.overlay import CAVEAT, OPACITY, render
from skin_lesion.predict import Classifier
from skin_lesion.texts import DISCLAIMER
from skin_lesion.ui.batch_tab import BATCHES, QUEUE
from skin_lesion.ui.upload import LesionFiles, LesionImage


def build(classifier: Classifier, fallback: str = "") -> None:
    """Add /predict, /explain, /batch, /classes and /model to the Blocks that is being built."""

    def predict(image: str | None) -> dict[str, Any]:
        """Classify a dermatoscopic image. Research and education only; not a medical device.

        Args:
            image: JPEG, PNG, WebP, TIFF, BMP or GIF file.

        Returns:
            {"prediction": code, "probabilities": {code: share}, "model": {"source", "revision"}}
        """
        return classifier.predict(_open(image)).to_dict()

    def explain(
        image: str | None, target: str = "", opacity: float = OPACITY, method: str = "gradcam"
    ) -> tuple[Image.Image, dict[str, Any]]:
        """Map of what in a dermatoscopic image spoke for one class.

        Args:
            image: JPEG, PNG, WebP, TIFF, BMP or GIF file.
            target: class code (akiec, bcc, bkl, df, mel, nv, vasc); empty for the predicted class.
            opacity: of the map over the image, from 0 to 1.
            method: gradcam, finer, integrated_gradients or occlusion; the last two take seconds.

        Returns:
            The overlay as a PNG file, over a strip that names class, method, layer and caveat; and {"target",
            "method", "probability", "layer", "map": rows of numbers in [0, 1], a cell each, "peak", "caveat",
            "measured", "model"}.
        """
        opened = _open(image)
        prediction = classifier.predict(opened)
        try:
            code = check_code(target or prediction.code)
            explanation = maps_of(classifier, prediction, [code], method or "gradcam", opened)[code]
            picture = render(opened, explanation, opacity)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        return picture, {
            "target": code,
            "method": explanation.method,
            "probability": round(explanation.probability, 6),
            "layer": explanation.layer,
            "map": explanation.heat.round(4).tolist(),
            "peak": explanation.peak,
            "caveat": CAVEAT,
            "measured": explanation_sentence(classifier.metrics, explanation.method, code),
            "model": prediction.to_dict()["model"],
        }

    def batch(files: list[Named]) -> list[dict[str, Any]]:
        """Classify many dermatoscopic images, up to 200 at once. A file that cannot be read does not stop the others.

        Args:
            files: list of JPEG, PNG, WebP, TIFF, BMP or GIF files, or zip files of them.

        Returns:
            An object for each image, in their order: {"image": name, and what /predict gives}, or {"image": name,
            "error": why there is no answer}. Images in a zip file are named "photos.zip/folder/mole.jpg".
        """
        if not files:
            raise gr.Error("There is no file yet: send a list of images or zip files.", print_exception=False)
        return list(classify(classifier, files))

    def classes() -> list[dict[str, Any]]:
        """The seven classes in the order of the model's outputs, with names, groups and descriptions."""
        return [c.to_dict() for c in CLASSES]

    def model() -> dict[str, Any]:
        """The model that is running: source, revision, held-out figures and the disclaimer."""
        return {
            "source": classifier.source,
            "revision": classifier.revision,
            "fallback": fallback or None,
            "disclaimer": DISCLAIMER,
            "metrics": classifier.metrics,
        }

    # Components that are never shown give the endpoints their types and file handling.
    with gr.Group(visible=False):
        image = LesionImage(type="filepath", label="image")
        files = LesionFiles(file_count="multiple", label="files")
        target = gr.Textbox("", label="target")
        opacity = gr.Number(OPACITY, label="opacity")
        method = gr.Textbox("gradcam", label="method")
        picture = gr.Image(format="png", label="overlay")
        result = gr.JSON(label="result")
        trigger = gr.Button()
    trigger.click(predict, image, result, api_name="predict")
    trigger.click(explain, [image, target, opacity, method], [picture, result], api_name="explain")
    waiting: dict[str, Any] = {"concurrency_limit": BATCHES, "concurrency_id": QUEUE}
    trigger.click(batch, files, result, api_name="batch", **waiting)
    trigger.click(classes, None, result, api_name="classes")
    trigger.click(model, None, result, api_name="model")


def _open(image: str | None) -> Image.Image:
    try:
        return open_image(image)
    except ImageError as error:
        raise gr.Error(str(error), print_exception=False) from error
