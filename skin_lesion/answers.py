"""What the endpoints answer with, field by field: JSON objects, described once for code, page, API and MCP tools.

A field is never renamed, retyped or moved without a new API_VERSION: tests/api_schema.json records them all.
"""

from types import UnionType
from typing import Annotated, Any, TypedDict, Union, get_args, get_origin, get_type_hints, is_typeddict

from skin_lesion.quality import HINTS

API_VERSION = "1.1.2"  # of the named endpoints, by the rule in CHANGELOG.md; /model answers with it


class ModelName(TypedDict):
    """Which model answered."""

    source: Annotated[str, "Where it comes from: bundled, local-dir:PATH or hf-hub:USER/REPO@REVISION."]
    revision: Annotated[str, "Its commit on the Hub, or a digest of its weights file."]


Set90 = Annotated[
    list[str] | None,
    "Codes among which the true class is in 9 of 10 cases, for images like the training data; null if the model was "
    "never calibrated.",
]
Set95 = Annotated[list[str] | None, "The same for 19 of 20 cases."]
Malignant = Annotated[float, "Summed probability of the malignant and pre-malignant classes, from 0 to 1."]
Dermatoscopic = Annotated[
    bool | None,
    "Whether the image resembles the dermatoscopic images of the training; if false, disregard the answer. Null if the "
    "model was never calibrated.",
]
Quality = Annotated[list[str], f"What makes the image less usable: {', '.join(HINTS)}."]


class PredictAnswer(TypedDict):
    """Of /predict, and of `python -m skin_lesion predict --format json`."""

    prediction: Annotated[str, "Code of the most probable class."]
    probabilities: Annotated[dict[str, float], "Of each class by code, from 0 to 1, in the order of /classes; sum 1."]
    set90: Set90
    set95: Set95
    malignant: Malignant
    dermatoscopic: Dermatoscopic
    quality: Quality
    model: Annotated[ModelName, "Which model answered."]


class _Named(TypedDict):
    image: Annotated[str, "Name of the file; in a zip file photos.zip/folder/mole.jpg. Every name is there once."]


class BatchAnswer(_Named, PredictAnswer):
    """One of the list that /batch answers with: what /predict gives.

    The list is in the order of the files, but of a zip file first what looks like an image.
    """


class _NoAnswer(_Named):
    error: Annotated[str, "Why this file has no answer; all fields of an answer are absent then."]


class BatchError(_NoAnswer, total=False):
    """One of that list, for a file without an answer."""

    left_out: Annotated[int, "For how many files beyond the limit such an error stands; absent if for one."]


class ExplainAnswer(TypedDict):
    """Of /explain, beside the picture."""

    target: Annotated[str, "Code of the class that the map explains."]
    method: Annotated[str, "How the map was made."]
    probability: Annotated[float, "That the model gives the class, from 0 to 1."]
    layer: Annotated[str, "timm's names of the feature maps that were read; input where the pixels were."]
    map: Annotated[
        list[list[float]],
        "Rows from top to bottom, cells from left to right, over the whole image; from 0 to 1, the map's own maximum.",
    ]
    peak: Annotated[float, "The maximum before scaling; gradcam: in logits per cell. 0: the method found nothing."]
    caveat: Annotated[str, "What the map does not show."]
    measured: Annotated[str, "How good such maps were on held-out images, in a sentence; may be empty."]
    model: Annotated[ModelName, "Which model answered."]
    set90: Set90
    set95: Set95
    malignant: Malignant
    dermatoscopic: Dermatoscopic
    quality: Quality


class ClassAnswer(TypedDict):
    """One of the list that /classes answers with, in the order of the model's outputs."""

    code: Annotated[str, "Abbreviation of HAM10000."]
    name: Annotated[str, "Full English name."]
    group: Annotated[str, "malignant, pre-malignant or benign."]
    group_note: Annotated[str, "The group in a sentence."]
    colour: Annotated[str, "sRGB #rrggbb, in which the page draws the class."]
    description: Annotated[str, "What it is, in plain language."]
    dermatoscopy: Annotated[str, "What a dermatoscope typically shows."]
    images: Annotated[int, "How many images of it HAM10000 has."]
    lesions: Annotated[int, "How many lesions these show."]
    source: Annotated[str, "Address of the page that the descriptions follow."]


class ModelAnswer(TypedDict):
    """Of /model."""

    api_version: Annotated[str, "Of these endpoints; the first number changes when programs may have to (SemVer)."]
    source: Annotated[str, "Where the model comes from: bundled, local-dir:PATH or hf-hub:USER/REPO@REVISION."]
    revision: Annotated[str, "Its commit on the Hub, or a digest of its weights file."]
    fallback: Annotated[str | None, "Why the bundled model answers instead of the wanted one; else null."]
    disclaimer: Annotated[str, "What this is not; show it beside every answer."]
    metrics: Annotated[dict[str, Any], "metrics.json of the model: training, held-out figures with intervals."]


def fields(answer: Any, prefix: str = "") -> list[tuple[str, str, str]]:
    """(name, JSON type, description) of each field of an answer, those of an object in it after it as name.field.

    answer: a TypedDict, or a union of several, whose common fields stand there once.
    """
    rows = []
    hints = {
        n: h for part in get_args(answer) or [answer] for n, h in get_type_hints(part, include_extras=True).items()
    }
    for name, hint in hints.items():
        kind, text = get_args(hint)
        rows.append((prefix + name, json_type(kind), text))
        if is_typeddict(kind):
            rows += fields(kind, f"{prefix}{name}.")
    return rows


def json_type(hint: Any) -> str:
    """In words: list[str] | None is 'array of string or null'. Raises KeyError for what JSON has no name for."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(json_type(part) for part in get_args(hint))
    if get_origin(hint) is list:
        return f"array of {json_type(get_args(hint)[0])}"
    if get_origin(hint) is dict and get_args(hint)[1] is not Any:
        return f"object of {json_type(get_args(hint)[1])}"
    if is_typeddict(hint) or get_origin(hint) is dict:
        return "object"
    return {str: "string", float: "number", int: "integer", bool: "boolean", type(None): "null"}[hint]
