"""The About tab: the model's own figures, data, citation, ethics and limits."""

import gradio as gr

from skin_lesion.predict import Classifier
from skin_lesion.tables import all_tables
from skin_lesion.texts import CITATION, DATA, DISCLAIMER, ETHICS, INPUT_NOTE, LIMITS, PRIVACY, bullets


def build(classifier: Classifier) -> None:
    gr.Markdown(about_markdown(classifier), elem_id="about")


def about_markdown(classifier: Classifier) -> str:
    return f"""## What this is
**{DISCLAIMER}** {INPUT_NOTE} {PRIVACY}

EfficientNet_B0 (timm), fine-tuned on HAM10000. Model: `{classifier.source}`, revision `{classifier.revision}`.

## How good it is
{_figures(classifier)}

## Limits
{bullets(LIMITS)}

## Ethics
{ETHICS}

## Data and citation
{DATA}

{CITATION}
"""


def _figures(classifier: Classifier) -> str:
    test = classifier.metrics.get("test")
    if test is None:
        return "This model folder carries no held-out figures: nothing is known here of how good it is."
    return all_tables(test)
