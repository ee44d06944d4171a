"""The About tab: what this is, its limits, ethics, data and citation."""

from functools import partial

import gradio as gr

from skin_lesion.language import Translator
from skin_lesion.predict import Classifier
from skin_lesion.texts import CITATION, DATA, DISCLAIMER, ETHICS, INPUT_NOTE, LIMITS, PRIVACY, bullets
from skin_lesion.ui.i18n import block


def build(classifier: Classifier) -> None:
    gr.Markdown(block(partial(about_markdown, classifier)), elem_id="about")


def about_markdown(classifier: Classifier, t: Translator) -> str:
    model = t(
        "EfficientNet_B0 (timm), fine-tuned on HAM10000. Model: {source}, revision {revision}.",
        source=f"`{classifier.source}`",
        revision=f"`{classifier.revision}`",
    )
    return f"""## {t("What this is")}
**{t(DISCLAIMER)}** {t(INPUT_NOTE)} {t(PRIVACY)}

{model}

## {t("Limits")}
{bullets(tuple(t(limit) for limit in LIMITS))}

## {t("Ethics")}
{t(ETHICS)}

## {t("Data and citation")}
{t(DATA)}

{CITATION}
"""
