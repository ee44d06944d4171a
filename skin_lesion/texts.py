"""What the app, the model card and the reports say in words; each sentence stands here once."""

from skin_lesion.classes import CLASSES
from skin_lesion.language import Translator

DISCLAIMER = (
    "Research and education only. Not a medical device; not clinically validated. "
    "A low score does not rule out cancer. Show any changing lesion to a clinician."
)
INPUT_NOTE = "For dermatoscopic images only: photographs taken through a dermatoscope held on the skin."
PRIVACY = "Uploaded images are not stored: they are deleted from the server within minutes."

LIMITS = (
    "Patients of Vienna and Queensland with pigmented lesions that were photographed for a reason; other "
    "populations, cameras and diagnoses are not represented.",
    "The data have no column for skin type, so performance by skin tone is unknown.",
    "It knows seven kinds of lesion and always answers with one of them, whatever it is shown. Squamous cell "
    "carcinoma, rashes and infections are not among them.",
    "How an image was taken and saved matters: noisy, slightly blurred, strongly compressed, or as a GIF of 256 "
    "colours, the same image may get another answer. Use the sharp original file.",
    "Ink marks, hair, rulers and dark corners mislead such models.",
    "Most nevi were confirmed by follow-up, all melanomas by histology: part of what separates them may be how "
    "they were chosen and photographed.",
    "The rare classes have few test images: read the intervals, not the last digit.",
)

DATA = (
    f"HAM10000: {sum(c.images for c in CLASSES):,} dermatoscopic images of {sum(c.lesions for c in CLASSES):,} "
    "lesions, (c) ViDIR Group, Department of Dermatology, Medical University of Vienna, "
    "https://doi.org/10.7910/DVN/DBW86T, licence CC BY-NC 4.0. Weights trained on it are CC BY-NC 4.0 too; the code "
    "is MIT."
)
CITATION = (
    "Tschandl, P., Rosendahl, C. & Kittler, H. The HAM10000 dataset, a large collection of multi-source "
    "dermatoscopic images of common pigmented skin lesions. Sci. Data 5, 180161 (2018). "
    "https://doi.org/10.1038/sdata.2018.161"
)
ETHICS = (
    "A wrong answer here can frighten or, worse, reassure. Nothing on this page should delay a visit to a clinician, "
    "and nobody should be treated or turned away because of it. The images come from clinical archives "
    "and show lesions that somebody found worth photographing: in the population at large melanoma is far rarer "
    "than in these data, so most alarms would be false."
)


def stand_in(wanted: str, t: Translator) -> str:
    """That the bundled model answers in the place of the wanted one. wanted: its source."""
    return t("The model {source} could not be loaded; the bundled one answers instead.", source=wanted)


def bullets(lines: tuple[str, ...]) -> str:
    """Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
