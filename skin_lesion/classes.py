"""The seven diagnostic classes of HAM10000: the one place where they are defined.

Order, names, groups, colours, descriptions and counts are taken from here by the model, the
training, the app and the documents. The index of a class is its position in CLASSES, which is
alphabetical by code; every model folder carries the same order and is checked against it.

Sources: counts from HAM10000_metadata.csv (doi:10.7910/DVN/DBW86T), classes from Tschandl et al.,
Sci. Data 5:180161 (2018), https://doi.org/10.1038/sdata.2018.161; what a dermatoscope shows from
Dermoscopedia (https://dermoscopedia.org) and the DermNet pages named with each class.
"""

from dataclasses import asdict, dataclass
from typing import Literal

Group = Literal["malignant", "pre-malignant", "benign"]


@dataclass(frozen=True)
class LesionClass:
    """One diagnosis, as a layperson and a model need it."""

    code: str  # HAM10000's abbreviation, as in the column dx
    name: str  # full English name
    group: Group
    group_note: str  # the group as a sentence, with what the word leaves out
    colour: str  # sRGB "#rrggbb", used wherever the class is drawn
    description: str  # plain language, no advice
    dermatoscopy: str  # what a dermatoscope typically shows
    images: int  # in HAM10000
    lesions: int  # in HAM10000, by lesion_id
    source: str  # URL for description and dermatoscopy

    @property
    def short_name(self) -> str:
        """The name without its list of examples, for bars and table heads."""
        return self.name.split(":")[0].split(" / ")[0]

    def to_dict(self) -> dict[str, str | int]:
        return asdict(self)


CLASSES: tuple[LesionClass, ...] = (
    LesionClass(
        code="akiec",
        name="Actinic keratoses and intraepithelial carcinoma / Bowen's disease",
        group="pre-malignant",
        group_note="Pre-malignant, or cancer still confined to the top layer of the skin (in situ).",
        colour="#ffbb00",
        description=(
            "Rough, scaly patches on skin that has had years of sun. They sit in the outermost "
            "layer of the skin; some of them turn into squamous cell carcinoma if left alone."
        ),
        dermatoscopy=(
            "Scale on a pink to red background; a strawberry-like pattern around hair follicles on "
            "the face; dotted or coiled vessels in Bowen's disease."
        ),
        images=327,
        lesions=228,
        source="https://dermnetnz.org/topics/actinic-keratosis",
    ),
    LesionClass(
        code="bcc",
        name="Basal cell carcinoma",
        group="malignant",
        group_note="Malignant; it grows locally and rarely spreads to other organs.",
        colour="#ff7f0e",
        description=(
            "The most common skin cancer. It grows slowly and rarely spreads, but destroys the "
            "tissue around it if it is not treated."
        ),
        dermatoscopy=(
            "Sharply focused branching vessels, blue-grey ovoid nests or globules, leaf-like areas, "
            "shiny white lines, small ulcers; no pigment network."
        ),
        images=514,
        lesions=327,
        source="https://dermnetnz.org/topics/basal-cell-carcinoma",
    ),
    LesionClass(
        code="bkl",
        name=("Benign keratosis-like lesions: solar lentigo, seborrheic keratosis, lichen-planus-like keratosis"),
        group="benign",
        group_note="Benign.",
        colour="#2ca02c",
        description=(
            "Harmless growths of the outer skin that become frequent with age: flat brown sun "
            "spots, waxy or warty 'stuck-on' patches, and their inflamed variants. One that "
            "changes is worth showing to a clinician: some melanomas look like it."
        ),
        dermatoscopy=(
            "A sharp or moth-eaten border, white milia-like cysts, dark comedo-like openings, "
            "ridges and fissures, fingerprint-like lines; fine grey granules when inflamed."
        ),
        images=1099,
        lesions=727,
        source="https://dermnetnz.org/topics/seborrhoeic-keratosis",
    ),
    LesionClass(
        code="df",
        name="Dermatofibroma",
        group="benign",
        group_note="Benign.",
        colour="#8c564b",
        description=(
            "A firm knot in the skin, usually harmless, often on the legs, sometimes after an "
            "insect bite or a small injury. It may dimple inwards when pinched; one that grows is "
            "worth showing to a clinician."
        ),
        dermatoscopy="A white scar-like centre surrounded by a fine, delicate brown network.",
        images=115,
        lesions=73,
        source="https://dermnetnz.org/topics/dermatofibroma",
    ),
    LesionClass(
        code="mel",
        name="Melanoma",
        group="malignant",
        group_note="Malignant; it can spread to other organs.",
        colour="#d62728",
        description=(
            "A cancer of the pigment cells. Found early and removed it is usually curable; left "
            "to grow it can spread through the body. Some melanomas look like ordinary moles."
        ),
        dermatoscopy=(
            "Asymmetry and several colours, an irregular pigment network, irregular dots, globules "
            "or streaks, a blue-white veil, regression, irregular vessels."
        ),
        images=1113,
        lesions=614,
        source="https://dermnetnz.org/topics/melanoma",
    ),
    LesionClass(
        code="nv",
        name="Melanocytic nevi",
        group="benign",
        group_note="Benign.",
        colour="#1f77b4",
        description=(
            "Ordinary moles: harmless collections of pigment cells. Most adults have some; "
            "a mole that changes is worth showing to a clinician."
        ),
        dermatoscopy=(
            "Symmetric, with an even pigment network, regular globules or an even brown colour, "
            "fading towards the border."
        ),
        images=6705,
        lesions=5403,
        source="https://dermnetnz.org/topics/melanocytic-naevus",
    ),
    LesionClass(
        code="vasc",
        name="Vascular lesions: angioma, angiokeratoma, pyogenic granuloma, haemorrhage",
        group="benign",
        group_note="Benign.",
        colour="#9467bd",
        description=(
            "Growths or leaks of small blood vessels, harmless by themselves: cherry-red spots, "
            "dark red warty ones, fast-growing bleeding knots, or a bruise under the skin. Show a "
            "knot that grows fast or bleeds to a clinician: melanoma can look like it."
        ),
        dermatoscopy="Well-defined red, purple or black lakes of blood (lacunae), or an even red-to-black area.",
        images=142,
        lesions=98,
        source="https://dermnetnz.org/topics/angioma",
    ),
)

CODES: tuple[str, ...] = tuple(c.code for c in CLASSES)  # index order of the model's logits
BY_CODE: dict[str, LesionClass] = {c.code: c for c in CLASSES}


def check_code(code: str) -> str:
    """Return `code` if it is one of the seven, else raise a ValueError that lists them."""
    if code not in CODES:
        raise ValueError(f"Unknown class {code!r}. The classes are: {', '.join(CODES)}.")
    return code
