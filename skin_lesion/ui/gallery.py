"""The examples to click on, with what their credits say."""

from html import escape

import gradio as gr

from skin_lesion.examples import Example
from skin_lesion.language import Translator
from skin_lesion.ui.i18n import block, label

SYNTHETIC = "Examples, all synthetic (made by this project). Click one:"
FROM_MODEL = "Examples that came with this model. Each names its class; the model may answer otherwise. Click one:"


def build(examples: list[Example], intro: str) -> gr.Gallery:
    gr.HTML(block(lambda t: f'<p class="small">{t(intro)}</p>'), elem_id="examples-intro")
    gallery = gr.Gallery(
        [(str(example.path), example.code) for example in examples],
        label=label("Examples"),
        show_label=False,
        columns=4,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )
    gr.HTML(block(lambda t: credits_html(examples, t)), elem_id="credits")
    return gallery


def credits_html(examples: list[Example], t: Translator) -> str:
    """What credits.csv says, each credit once with the files it holds for."""
    files: dict[str, list[str]] = {}
    for e in examples:
        credit = f"{e.source}. {t('Licence:')} {e.licence}." + (f" {e.note[0].upper()}{e.note[1:]}." if e.note else "")
        files.setdefault(credit, []).append(e.path.name)
    if len(files) == 1:
        return f'<p class="small">{t("Credit:")} {escape(next(iter(files)))}</p>'
    items = "".join(f"<li>{escape(', '.join(names))}: {escape(credit)}</li>" for credit, names in files.items())
    return f'<details class="small"><summary>{t("Credits")}</summary><ul>{items}</ul></details>'
