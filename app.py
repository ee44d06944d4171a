"""The demo: EfficientNet_B0 on HAM10000, with Grad-CAM. Research and education only.

python app.py                                              # http://127.0.0.1:7860
SKIN_LESION_MODEL=hf-hub:USER/REPO@REVISION python app.py  # another model, or an end with the reason
SKIN_LESION_FALLBACK=bundled                               # beside it: then the bundled model stands in, visibly
"""

import logging
import os
import signal
import sys
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

try:
    import spaces  # on the Hub only, and there before anything starts CUDA
except ImportError:
    spaces = None

import gradio as gr
from starlette.middleware import Middleware

import skin_lesion
from skin_lesion.batch import MAX_ZIP_BYTES
from skin_lesion.classes import CODES
from skin_lesion.examples import FOLDER, Example, read_examples, shown_together
from skin_lesion.language import Translator
from skin_lesion.model import ModelError
from skin_lesion.predict import Classifier
from skin_lesion.texts import DISCLAIMER, INPUT_NOTE, PRIVACY, stand_in
from skin_lesion.ui import about_tab, api, api_tab, batch_tab, classes_tab, gallery, gradcam_tab, model_tab, predict_tab
from skin_lesion.ui.answer import another_map, answer, begin, reopened, repaint, stop
from skin_lesion.ui.i18n import I18N, block, label
from skin_lesion.ui.keyboard import KEYBOARD, TO_THE_ANSWER
from skin_lesion.ui.privacy import KeepPrivate, forgetting, own_folder
from skin_lesion.ui.theme import CSS, theme
from skin_lesion.ui.upload import CheckedBlocks, LesionImage

EXAMPLES = Path(__file__).with_name("examples")
MAPS = 4  # made at a time, for all visitors together; a quick one must not wait behind every slow one
log = logging.getLogger("skin_lesion")


def load_model() -> tuple[Classifier, str]:
    """The model of SKIN_LESION_MODEL with ""; or, if SKIN_LESION_FALLBACK allows it, the bundled one with the source
    of the wanted one, which cannot be loaded.

    Raises:
        ModelError: the model cannot be loaded, and nothing says that another may answer in its name.
    """
    source, fallback = os.environ.get("SKIN_LESION_MODEL") or None, os.environ.get("SKIN_LESION_FALLBACK") or None
    if fallback not in (None, "bundled"):
        raise ModelError(f"SKIN_LESION_FALLBACK={fallback!r} is unknown: use 'bundled', or leave it unset.")
    try:
        return skin_lesion.load(source), ""
    except ModelError as error:
        if source is None:
            raise
        if fallback is None:
            hint = "To let the bundled model answer in such a case, set SKIN_LESION_FALLBACK=bundled."
            raise ModelError(f"SKIN_LESION_MODEL={source}: {error} {hint}") from error
        log.warning("SKIN_LESION_MODEL=%s: %s The bundled model is used instead.", source, error)
        return skin_lesion.load(), source


def examples_for(classifier: Classifier) -> list[Example]:
    """The examples that came with the model, then the bundled ones for what those do not show."""
    own = read_examples(classifier.folder / FOLDER) if classifier.folder else []
    return shown_together(own, read_examples(EXAMPLES))


def head_html(replaced: str, t: Translator) -> str:
    """The first thing on the page: what this is not. replaced: as for `build_demo`."""
    return (
        f"<header><h1>{t('Skin lesions under the dermatoscope')}</h1>"
        f'<div class="notice" role="note"><strong>{t(DISCLAIMER)}</strong> {t(INPUT_NOTE)} {t(PRIVACY)}</div>'
        + (f'<div class="notice fallback" role="alert">{escape(stand_in(replaced, t))}</div>' if replaced else "")
        + "</header>"
    )


def build_demo(classifier: Classifier, replaced: str = "") -> gr.Blocks:
    """The whole page. replaced: the source of the wanted model where the bundled one stands in for it, else ""."""

    def pick(event: gr.SelectData) -> str:
        """A click on an example: the page's own copy becomes the image, as if it had been uploaded."""
        return pictures.value[event.index]["image"]["path"]

    def choose(event: gr.SelectData) -> str:
        """A click on a class's small map."""
        return CODES[event.index]

    own_folder()  # before the components ask where their files go
    with CheckedBlocks(title="Skin lesion classifier", analytics_enabled=False) as demo:
        gr.HTML(block(partial(head_html, replaced)), elem_id="head")
        with gr.Row():
            with gr.Column(scale=2, min_width=280, elem_id="picture"):
                image = LesionImage(
                    type="filepath",
                    sources=["upload", "clipboard"],
                    label=label("Dermatoscopic image"),
                    height=300,
                    buttons=["fullscreen"],
                    alt_text=label("The image to classify"),
                    elem_id="upload",
                )
                pictures = gallery.build(examples := examples_for(classifier), EXAMPLES)
            with gr.Column(scale=3, min_width=280), gr.Tabs(overflow_behavior="wrap", elem_id="tabs"):
                with gr.Tab(label("Predict"), id="predict"):
                    result = predict_tab.build()
                with gr.Tab(label("Grad-CAM"), id="gradcam") as maps:
                    cam = gradcam_tab.build(classifier)
                with gr.Tab(label("Many images"), id="batch"):
                    batch_tab.build(classifier)
                with gr.Tab(label("Classes"), id="classes"):
                    classes_tab.build()
                with gr.Tab(label("Model"), id="model"):
                    model_tab.build(classifier)
                with gr.Tab(label("About"), id="about"):
                    about_tab.build(classifier)
                with gr.Tab(label("API"), id="api"):
                    api_tab.build()
        api.build(classifier, replaced)

        demo.load(partial(gallery.translated, examples), None, pictures, api_visibility="private")
        # of fast clicks each is answered, in order; with "always_last" gradio would answer the first one twice
        each: dict[str, Any] = {"trigger_mode": "multiple", "api_visibility": "private"}
        pictures.select(pick, None, image, **each)
        view = [cam.opacity, cam.beside, cam.page]
        quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        cam.all_classes.select(choose, None, cam.target, **each)
        gr.on(
            [cam.target.change, cam.method.change],
            partial(another_map, classifier),
            [image, cam.target, cam.method, *view],
            [cam.map, cam.caption, cam.stop, cam.page],
            trigger_mode="multiple",  # the newer one ends the older, see Page
            concurrency_limit=MAPS,
            **quietly,
        )
        cam.stop.click(partial(stop, classifier), cam.page, [cam.target, cam.method, cam.caption, cam.stop], **quietly)
        gr.on(
            [cam.opacity.input, cam.beside.input],  # input, not release: it comes from the keyboard too
            repaint,
            [image, *view],
            cam.map,
            trigger_mode="always_last",
            **quietly,
        )
        shown = [cam.target, cam.method, cam.map, cam.caption, cam.all_classes, cam.stop, cam.page]
        begun = image.change(
            begin,
            [image, cam.page],
            [result, cam.map, cam.caption, cam.all_classes, cam.stop],
            queue=False,  # it need not wait until the earlier image has its answer
            api_visibility="private",
            show_progress="hidden",
        )
        answered = begun.then(
            partial(answer, classifier),
            [image, *view],
            [result, *shown],
            trigger_mode="multiple",  # the newer one ends the older, see Page
            **quietly,
        )
        answered.then(None, image, None, js=TO_THE_ANSWER, api_visibility="private")
        maps.select(  # hidden: as a rule it has nothing to do, and what stands there must not fade meanwhile
            partial(reopened, classifier), [image, *view], shown, api_visibility="private", show_progress="hidden"
        )
    return demo


if spaces is not None:

    @spaces.GPU
    def gpu_slot() -> None:
        """ZeroGPU stops a Space in which no function asks for a GPU.

        Nothing here needs one: the CPU has read an image before the wait for a shared GPU is over.
        """


try:
    own_folder()
except OSError as error:
    sys.exit(f"app.py: There is no place for uploads ({error}). Set GRADIO_TEMP_DIR to a folder that can be written.")
try:
    demo = build_demo(*load_model())
except ModelError as error:
    sys.exit(f"app.py: {error}")


def launch_options() -> dict[str, Any]:
    """For demo.launch; new ones for each, because gradio adds to app_kwargs what belongs to the one app alone."""
    return {
        "theme": theme(),
        "css": CSS,
        "head": KEYBOARD,
        "i18n": I18N,
        "run_history": False,  # it would keep visitors' photographs of skin in their browsers
        "max_file_size": MAX_ZIP_BYTES,  # of any upload; skin_lesion.images refuses an image from MAX_BYTES on
        "mcp_server": True,  # without the package mcp gradio says so, and serves the rest
        "app_kwargs": {"middleware": [Middleware(KeepPrivate)], "lifespan": forgetting},
        "footer_links": ["api", "gradio"],
    }


if __name__ == "__main__":
    for name in ("SIGTERM", "SIGHUP"):  # as services are stopped, and terminals closed: so that all files go then too
        number = getattr(signal, name, None)  # Windows has no SIGHUP, and nohup ignores it
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: sys.exit())
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # gradio prints what not every log can hold
    demo.launch(**launch_options())
