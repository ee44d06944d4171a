"""The image input that all tabs share."""

import gradio as gr
from gradio.components.image import ImageData


class LesionImage(gr.Image):
    """A gr.Image that hands the handler the path of the uploaded file, unopened.

    gr.Image opens the file itself before the handler runs, so that a damaged one ends in a generic
    message; skin_lesion.images says what is wrong with it.
    """

    is_template = True  # the browser shows it as gr.Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        if payload is None:
            return None
        if payload.path is None:
            raise gr.Error("Send the image as an uploaded file, in Python with gradio_client.handle_file(PATH).")
        return payload.path
