"""The inputs for what a visitor uploads: an image for all tabs, and many files at once."""

import gradio as gr
from gradio.components.image import ImageData
from gradio.data_classes import ListFiles


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


class LesionFiles(gr.File):
    """A gr.File that hands the handler (name, path) of each file: its name as the visitor knows it.

    gr.File gives only the path, in which the name is shortened; it refuses all files if one has an unexpected ending;
    and it leaves an empty file on the server for each.
    """

    is_template = True  # the browser shows it as gr.File

    def preprocess(self, payload: ListFiles | None) -> list[tuple[str, str]]:
        return [(file.orig_name or file.path.rpartition("/")[2], file.path) for file in payload or []]
