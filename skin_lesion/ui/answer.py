"""What happens when a visitor brings an image, or asks for another map."""

from PIL import Image

from skin_lesion.explain import gradcam, render
from skin_lesion.images import ImageError, open_image
from skin_lesion.predict import Classifier
from skin_lesion.ui import gradcam_tab, predict_tab


def answer(classifier: Classifier, path: str | None, opacity: float) -> tuple[str, str | None, Image.Image | None, str]:
    """A new image: answer, its class, map and caption; or, in their place, why there are none."""
    if path is None:
        return predict_tab.EMPTY, None, None, gradcam_tab.EMPTY
    try:
        image = open_image(path)
    except ImageError as error:
        problem = predict_tab.problem_html(str(error))
        return problem, None, None, problem
    prediction = classifier.predict(image)
    explanation = gradcam(classifier, prediction, [prediction.code])[prediction.code]
    return (
        predict_tab.answer_html(prediction),
        prediction.code,
        render(image, explanation, prediction, opacity),
        gradcam_tab.caption_html(explanation, prediction),
    )


def remap(classifier: Classifier, path: str | None, code: str | None, opacity: float) -> tuple[Image.Image | None, str]:
    """Another class or opacity: map and caption.

    Nothing of a visitor's image is kept between two requests, so it is read and classified again.
    """
    try:
        image = open_image(path)
    except ImageError as error:
        return None, predict_tab.problem_html(str(error))
    prediction = classifier.predict(image)
    code = code or prediction.code
    explanation = gradcam(classifier, prediction, [code])[code]
    return render(image, explanation, prediction, opacity), gradcam_tab.caption_html(explanation, prediction)
