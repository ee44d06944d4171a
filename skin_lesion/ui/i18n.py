"""The page in the visitor's language, which the browser names.

What stands on the page from the start is sent in all languages, and the browser chooses (gradio's I18n): `label` and
`block`. What is made for one visitor is made in the language that the request asks for: `language`.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from skin_lesion.classes import LesionClass
from skin_lesion.language import LANGUAGES, Translator, preferred, translator

# to demo.launch; `block` adds to it
I18N = gr.I18n(**{code: dict(translator(code).table) for code in LANGUAGES})


def label(english: str) -> Any:  # gr.I18nData, which gradio takes for any text, and says so of few
    """A sentence in a component's label, info, choices or value; its key is itself, as in skin_lesion.language."""
    I18N.translations["en"][english] = english
    return I18N(english)


def block(render: Callable[[Translator], str]) -> Any:
    """HTML or Markdown as the value of a component, made once for every language."""
    texts = {code: render(translator(code)) for code in LANGUAGES}
    key = (
        "block-" + hashlib.sha256(texts["en"].encode()).hexdigest()[:16]
    )  # one key for one text, in any number of demos
    for code, text in texts.items():
        I18N.translations[code][key] = text
    return I18N(key)


def class_choice(c: LesionClass, t: Translator) -> str:
    """What to choose a class by."""
    return f"{c.code} · {t(c.short_name)}"


def language() -> Translator:
    """Of the visitor whose request is being answered; English where there is none."""
    request = LocalContext.request.get(None)
    return preferred(request.headers.get("accept-language") if request else None)
