"""The Classes tab: what the seven classes are."""

from html import escape

import gradio as gr

from skin_lesion.classes import CLASSES, LesionClass
from skin_lesion.language import Translator
from skin_lesion.ui.i18n import block


def build() -> None:
    gr.HTML(block(classes_html), elem_id="classes")


def classes_html(t: Translator) -> str:
    cards = "".join(
        f'<article style="border-inline-start-color:{c.colour}"><h3>{escape(t(c.name))} ({c.code})</h3>'
        f"<p><strong>{escape(t(c.group_note))}</strong></p>"
        f"<p>{escape(t(c.description))}</p>"
        f"<p><em>{t('Through a dermatoscope:')}</em> {escape(t(c.dermatoscopy))}</p>"
        f'<p class="small">{_counts(c, t)} '
        f'<a href="{c.source}" target="_blank" rel="noopener">{t("More at DermNet (in English)")}</a></p></article>'
        for c in CLASSES
    )
    return f'<div class="classes">{cards}</div>'


def _counts(c: LesionClass, t: Translator) -> str:
    return t(
        "{images} images of {lesions} lesions in HAM10000.",
        images=t.number(f"{c.images:,}"),
        lesions=t.number(f"{c.lesions:,}"),
    )
