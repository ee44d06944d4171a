"""The About tab: what this is, its limits, ethics, data and citation."""

import gradio as gr

from skin_lesion.predict import Classifier
from skin_lesion.texts import CITATION, DATA, DISCLAIMER, ETHICS, INPUT_NOTE, LIMITS, PRIVACY, bullets


def build(classifier: Classifier) -> None:
    gr.Markdown(about_markdown(classifier), elem_id="about")


def about_markdown(classifier: Classifier) -> str:
    return f"""## What this is
**{DISCLAIMER}** {INPUT_NOTE} {PRIVACY}

EfficientNet_B0 (timm), fine-tuned on HAM10000. Model: `{classifier.source}`, revision `{classifier.revision}`.

## Limits
{bullets(LIMITS)}

## Ethics
{ETHICS}

## Data and citation
{DATA}

{CITATION}
"""
