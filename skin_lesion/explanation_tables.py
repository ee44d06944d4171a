"""What train.explain_eval measured of the maps, in words and tables, for the page and the model card."""

from typing import Any, NamedTuple

from skin_lesion.explain import METHODS
from skin_lesion.language import Translator, translator
from skin_lesion.tables import with_interval


class Measure(NamedTuple):
    heading: str
    more_is_better: bool | None  # None: no contest, as a map that knows nothing cannot change
    meaning: str
    plain: str = ""  # in a sentence for everybody


MEASURES = {
    "deletion_blur": Measure(
        "deletion (blurred) ↓",
        False,
        "how probable the class stays while pixels are blurred, the hottest first; area under the curve",
        "how fast the answer goes when what is marked is blurred",
    ),
    "insertion_blur": Measure(
        "insertion (blurred) ↑",
        True,
        "the same from a blurred image, to which the hottest pixels are given back first",
        "how fast the answer comes back when what is marked is made sharp again",
    ),
    "deletion_mean": Measure(
        "deletion (one colour) ↓",
        False,
        "as above, with the mean colour of ImageNet in the pixels' place",
        "how fast the answer goes when what is marked is painted over",
    ),
    "insertion_mean": Measure(
        "insertion (one colour) ↑", True, "likewise", "how fast the answer comes back when what is marked is uncovered"
    ),
    "pointing": Measure(
        "pointing game ↑",
        True,
        "how often the hottest point lies in the lesion; of several that are equally hot, the share that does",
        "how often the map points at the lesion",
    ),
    "energy": Measure(
        "energy in the lesion ↑",
        True,
        "the share of the map that lies in the lesion",
        "how much of the map is in the lesion",
    ),
    "iou": Measure(
        "IoU with the lesion ↑",
        True,
        "overlap of the lesion and of the map, cut where that was best on validation images",
        "how well the map covers the lesion",
    ),
    "infidelity": Measure(
        "infidelity ↓",
        False,
        "Captum’s: how far the map is from foretelling what blurring squares of the image does",
        "how well the map foretells what a blur does",
    ),
    "sensitivity": Measure(
        "sensitivity",
        None,
        "Captum’s: how much the map changes at most under a little noise, as a share of it; 0 where it knows no model",
    ),
    "empty": Measure("zero everywhere", None, "how often the map is empty; it then counts as pointing nowhere"),
    "random_head": Measure(
        "correlation, last layer redrawn",
        None,
        "rank correlation with the map of the same network with a random last layer; near 1 the map ignores it",
    ),
    "random_weights": Measure("correlation, all weights redrawn", None, "likewise with all weights random"),
}
MAP_NAMES = {name: method.name for name, method in METHODS.items()} | {
    "random": "*a random map*",
    "centre": "*a spot in the centre*",
}
MARGIN = 0.05  # of the area under the curve, from which on a map helps


class Kind(NamedTuple):
    heading: str
    rule: str


CASES = {
    "helps": Kind(
        "helps",
        "the answer is right, the hottest point lies in the lesion, and blurring what the map marks takes the answer "
        f"away faster than blurring from the centre outwards, by {MARGIN} or more",
    ),
    "wrong": Kind(
        "looks right, answer wrong",
        "the hottest point lies in the lesion and the answer is wrong: a map in the right place does not show that "
        "the answer is right",
    ),
    "elsewhere": Kind("points elsewhere", "the hottest point lies outside the lesion, on skin, hair, ink or the rim"),
    "empty": Kind("says nothing", "the map is zero everywhere"),
    "chance": Kind(
        "no better than chance",
        "blurring what the map marks takes the answer away no faster than blurring what one random map marks",
    ),
}
DETAILED = "gradcam"  # the method whose cases are told one by one
ENGLISH = translator("en")
CHANGES = 0.5  # rank correlation with a random network's map above which a map hardly depends on the weights
UNKNOWN = "How good such maps of this model are has not been measured."  # translated where it is shown


def verdict(found: dict[str, Any], method: str) -> tuple[list[str], list[str], list[str]]:
    """Measures on which a method is better than a spot in the centre, not to be told from it, and worse.

    Better and worse: the 95 % interval of the difference, image by image, leaves out 0.
    """
    better: list[str] = []
    same: list[str] = []
    worse: list[str] = []
    for name, difference in found["over_centre"][method].items():
        sign = 1 if MEASURES[name].more_is_better else -1
        low, high = sorted((sign * difference["low"], sign * difference["high"]))
        (better if low > 0 else worse if high < 0 else same).append(name)
    return better, same, worse


def explanation_sentence(metrics: dict[str, Any], method: str, code: str, t: Translator = ENGLISH) -> str:
    """How good a kind of map was on held-out lesions, beside a spot in the centre that knows nothing of the model.

    code: class that is explained; for the method that is told in detail, with what was seen on its images.
    """
    found = metrics.get("explanations")
    if found is None:
        return t(UNKNOWN)
    mine = found["maps"][method]
    better, same, worse = verdict(found, method)
    verdicts = ((t("better at"), better), (t("worse at"), worse), (t("no different at"), same))
    kept, empty = mine["random_weights"], mine["empty"]["value"]
    sentences = [
        t(
            "Measured on {images} held-out images (up to {per_class} of each class, the map of the model's own "
            "answer), and set beside a mere spot in the image's centre that knows nothing of the model, such a map is "
            "{verdicts}.",
            images=found["images"],
            per_class=found["per_class"],
            verdicts="; ".join(f"{how} {', '.join(t(MEASURES[m].plain) for m in ms)}" for how, ms in verdicts if ms),
        )
    ]
    row = found["by_class"][code]
    if method == DETAILED and row["images"]:
        sentences.append(
            t(
                "On the {images} {code} images {share} of its hottest points lay in the lesion, on the average.",
                images=row["images"],
                code=code,
                share=t.percent(row["pointing"]["value"]),
            )
        )
    if empty:
        sentences.append(t("In {share} of the images it found nothing at all.", share=t.percent(empty)))
    if kept and kept["value"] > CHANGES:
        sentences.append(
            t(
                "It hardly changes when all weights of the network are random (rank correlation {correlation}): it "
                "shows what is in the image more than what this model has learnt.",
                correlation=t.number(f"{kept['value']:.2f}"),
            )
        )
    return " ".join(sentences)


def _plain(name: str) -> str:
    return MEASURES[name].heading.rstrip(" ↑↓")


def explanation_table(found: dict[str, Any]) -> str:
    """How good each kind of map is, a row a measure."""
    maps = found["maps"]
    lines = [f"| measure | {' | '.join(MAP_NAMES[name] for name in maps)} |", "|---|" + "---|" * len(maps)]
    for name, measure in MEASURES.items():
        cells = (with_interval(row[name]) if row[name] else "–" for row in maps.values())
        lines.append(f"| {measure.heading} | {' | '.join(cells)} |")
    return "\n".join(lines)


def explanation_page(metrics: dict[str, Any]) -> str:
    """All that was measured of the maps, and where they help and mislead."""
    found = metrics.get("explanations")
    if found is None:
        return UNKNOWN + " `python -m train.explain_eval` does it."
    verdicts = []
    for method in found["over_centre"]:
        better, same, worse = (", ".join(map(_plain, names)) or "nothing" for names in verdict(found, method))
        verdicts.append(f"- {MAP_NAMES[method]}: better by {better}; alike by {same}; worse by {worse}.")
    return "\n\n".join(
        [
            f"{found['images']} held-out images, each of another lesion, at most {found['per_class']} of a class, "
            f"explained for the class that the model answered; {found['slow_images']} of them for infidelity and "
            "sensitivity. 95 % intervals. A random map and a spot in the centre know nothing of the model; the spot "
            "does well all the same, because in these images the lesion lies in the middle.",
            explanation_table(found),
            "\n".join(f"- {m.heading}: {m.meaning}." for m in MEASURES.values()),
            "Against the spot in the centre:",
            "\n".join(verdicts),
            "### Where a map helps and where it misleads",
            "Counted by these rules on the same images; one image can fall under several, or under none:",
            "\n".join(f"- **{kind.heading}**: {kind.rule}." for kind in CASES.values()),
            _case_table(found),
            _class_table(found),
            f"The clearest images of each kind for {MAP_NAMES[DETAILED]} (names in HAM10000; true class → answer; "
            "energy in the lesion; deletion):",
            "\n".join(_examples(kind, found["examples"][kind]) for kind in CASES),
        ]
    )


def _case_table(found: dict[str, Any]) -> str:
    among = {"helps": f" (of {found['right']} right)", "wrong": f" (of {found['images'] - found['right']} wrong)"}
    headings = " | ".join(kind.heading + among.get(name, "") for name, kind in CASES.items())
    lines = [f"| of {found['images']} images | {headings} |", "|---|" + "---:|" * len(CASES)]
    for method, counts in found["cases"].items():
        lines.append(f"| {MAP_NAMES[method]} | {' | '.join(str(counts[kind]) for kind in CASES)} |")
    return "\n".join(lines)


def _class_table(found: dict[str, Any]) -> str:
    """By true class: the kinds, and the share of the map in the lesion."""
    headings = [*(kind.heading for kind in CASES.values()), "energy in the lesion", "IoU"]
    lines = [f"| {MAP_NAMES[DETAILED]}, by true class | images | {' | '.join(headings)} |"]
    lines.append("|---|" + "---:|" * (len(headings) + 1))
    for code, row in found["by_class"].items():
        counts = " | ".join(str(row["cases"][kind]) for kind in CASES)
        means = " | ".join(with_interval(row[m]) if row[m] else "–" for m in ("energy", "iou"))
        lines.append(f"| {code} | {row['images']} | {counts} | {means} |")
    return "\n".join(lines)


def _examples(kind: str, examples: list[dict[str, Any]]) -> str:
    listed = "; ".join(
        f"{e['image_id']} ({e['dx']} → {e['answer']}; {e['energy']:.2f}; {e['deletion_blur']:.2f})" for e in examples
    )
    return f"- {CASES[kind].heading}: {listed or 'none'}."
