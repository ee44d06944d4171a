"""The examples to click on, each captioned with what it shows, and what their credits say."""

from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from skin_lesion.examples import Example
from skin_lesion.language import Translator, translator
from skin_lesion.ui.i18n import block, label, language


def build(examples: list[Example], bundled: Path) -> gr.Gallery:
    """bundled: the folder of this project's own examples."""
    gr.HTML(block(partial(intro_html, examples, bundled)), elem_id="examples-intro")
    gallery = gr.Gallery(
        captioned(examples, translator()),
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
    gr.HTML(block(partial(credits_html, examples)), elem_id="credits")
    return gallery


def intro_html(examples: list[Example], bundled: Path, t: Translator) -> str:
    ours = [example.path.parent == bundled for example in examples]
    if all(ours):
        text = t("Examples, all synthetic (made by this project). Click one:")
    elif not any(ours):
        text = t("Examples that came with this model. Each names its class; the model may answer otherwise. Click one:")
    else:
        text = t(
            "Examples: first those that came with this model, each with its class; the model may answer otherwise. "
            "The last {count} are synthetic (made by this project). Click one:",
            count=sum(ours),
        )
    return f'<p class="small">{text}</p>'


def caption(example: Example, t: Translator) -> str:
    """What the example shows: a class by its code; also its alternative text."""
    return {
        "class": example.code,
        "ambiguous": t("ambiguous"),
        "no lesion": t("no lesion"),
        "blurred": t("blurred"),
    }[example.shows]


def captioned(examples: list[Example], t: Translator) -> list[tuple[str, str]]:
    """The gallery's value."""
    return [(str(example.path), caption(example, t)) for example in examples]


def translated(examples: list[Example]) -> Any:
    """The gallery for a visitor who does not read English: gradio translates no captions in the browser."""
    t = language()
    return gr.skip() if t.code == "en" else captioned(examples, t)


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
