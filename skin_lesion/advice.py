"""What an answer means for the person who asked, in words that never reassure falsely.

Every figure in them is read from metrics.json: what the thresholds of decision.json achieved on held-out images.
"""

from typing import Any

from skin_lesion.language import Translator
from skin_lesion.predict import Prediction


def advice(prediction: Prediction, metrics: dict[str, Any], t: Translator) -> str:
    """The malignant and pre-malignant classes together, how often a share in this range goes with which truth, what
    to do."""

    def together(places: int | None = None) -> str:
        share = t.percent(prediction.malignant, places)
        return t("All malignant and pre-malignant classes together: {share}.", share=share)

    found = metrics.get("test", {}).get("decision", {}).get("operating_points", {}).get("malignancy", [])
    sides = ("achieved_sensitivity", "achieved_specificity")
    found = [point for point in found if all(point[side]["value"] is not None for side in sides)]  # held out were both
    if prediction.decision is None or not found:
        warning = t("A low share does not rule out cancer: show any lesion that worries you to a clinician.")
        return f"{together()} {warning}"
    points = sorted(found, key=lambda point: -point["threshold"])
    reached = next((point for point in points if prediction.malignant >= point["threshold"]), None)
    limit = (reached or points[-1])["threshold"]
    # as many digits as tell the share from the limit that it lies below, or has reached
    places = next((n for n in (None, 1, 2, 3) if t.percent(prediction.malignant, n) != t.percent(limit, n)), None)
    if reached is None:
        text = t(
            "That is low, but no all-clear: about {missed} of 100 malignant or pre-malignant held-out images lay "
            "below {limit}. Show a lesion that is new, changes, itches, bleeds or worries you to a clinician.",
            missed=of_100(1 - points[-1]["achieved_sensitivity"]["value"]),
            limit=t.percent(limit, places),
        )
    else:
        counts = {
            "limit": t.percent(limit, places),
            "ill": of_100(reached["achieved_sensitivity"]["value"]),
            "well": of_100(1 - reached["achieved_specificity"]["value"]),
        }
        text = t(
            "That is not low: about {ill} of 100 malignant or pre-malignant held-out images lay at {limit} or above, "
            "and {well} of 100 benign ones. Have a clinician look at this lesion.",
            **counts,
        )
        if reached is points[0]:
            text = t(
                "That is high: about {ill} of 100 malignant or pre-malignant held-out images lay at {limit} or above, "
                "and {well} of 100 benign ones. Have a clinician look at this lesion soon.",
                **counts,
            )
    return f"{together(places)} {text}"


def of_100(share: float) -> int:
    """Rounded, but never to the 0 or 100 that would promise something."""
    return min(99, max(1, round(100 * share)))


def set_sentence(metrics: dict[str, Any], t: Translator, level: float = 0.90) -> str:
    """What stands before the classes of Prediction.set90, or of set95."""
    found = metrics.get("test", {}).get("decision", {}).get("sets", {}).get(f"{level:.2f}")
    share = t.percent(found["coverage"]["value"]) if found else ""
    if level > 0.90:
        if not found:
            return t("A wider set; in 19 of 20 cases the true one should be in it:")
        return t("A wider set; of the held-out images {share} had their true class in one made like this:", share=share)
    if not found:
        return t("Possible classes; in nine of ten cases the true one should be among them:")
    return t(
        "Possible classes; of the held-out images {share} had their true class in a set made like this:", share=share
    )
