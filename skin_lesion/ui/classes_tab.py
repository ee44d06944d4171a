"""The Classes tab: what the seven classes are."""

from html import escape

import gradio as gr

from skin_lesion.classes import CLASSES


def build() -> None:
    gr.HTML(classes_html(), elem_id="classes")


def classes_html() -> str:
    cards = "".join(
        f'<article style="border-inline-start-color:{c.colour}"><h3>{escape(c.name)} ({c.code})</h3>'
        f"<p><strong>{escape(c.group_note)}</strong></p>"
        f"<p>{escape(c.description)}</p>"
        f"<p><em>Through a dermatoscope:</em> {escape(c.dermatoscopy)}</p>"
        f'<p class="small">{c.images:,} images of {c.lesions:,} lesions in HAM10000. '
        f'<a href="{c.source}" target="_blank" rel="noopener">More at DermNet</a></p></article>'
        for c in CLASSES
    )
    return f'<div class="classes">{cards}</div>'
