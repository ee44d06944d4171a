"""What a threshold on a score would mean, read off the held-out curves of metrics.json."""

from dataclasses import dataclass
from typing import Any

from skin_lesion.decision import SCORES

PATIENTS = 1000


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval, None where too few images give one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Outcome:
    """An alarm from `threshold` on: what it does to held-out images, and would do to PATIENTS people like them.

    The four counts are rounded and sum to PATIENTS.
    """

    threshold: float  # the one of the curve that is nearest to what was asked for
    sensitivity: Share  # of the held-out images
    specificity: Share
    ill_found: int
    ill_missed: int
    well_alarmed: int
    well_cleared: int
    ppv: float | None  # share of the alarms that are right; None where there is none
    npv: float | None  # share of the others that are; None where all are alarms

    @property
    def ill(self) -> int:
        return self.ill_found + self.ill_missed

    @property
    def alarms(self) -> int:
        return self.ill_found + self.well_alarmed


def has_curve(metrics: dict[str, Any], score: str) -> bool:
    """Whether metrics.json says anything of `score`: held-out images of it, and others."""
    found = metrics.get("test", {}).get("curves", {}).get(score)
    return found is not None and 0 < found["cases"] < found["images"]


def held_out_prevalence(metrics: dict[str, Any], score: str) -> float:
    """The share of the held-out images that are of `score`. Raises ValueError as at_threshold does."""
    found = _curve(metrics, score)
    return found["cases"] / found["images"]


def at_threshold(metrics: dict[str, Any], score: str, threshold: float, prevalence: float) -> Outcome:
    """What happens if a score of `threshold` or more raises an alarm, and `prevalence` of the people are ill.

    Args:
        score: a name in skin_lesion.decision.SCORES.
        threshold: 0 to 1.
        prevalence: 0 to 1, the share that has it.

    Raises:
        ValueError: a value is out of range, or metrics.json has no such curve.
    """
    for name, value in (("threshold", threshold), ("prevalence", prevalence)):
        if not 0 <= value <= 1:
            raise ValueError(f"The {name} {value} is out of range: give a share from 0 to 1.")
    found = _curve(metrics, score)
    place = min(range(len(found["threshold"])), key=lambda i: abs(found["threshold"][i] - threshold))
    sensitivity, specificity = (
        Share(*(found[name][key][place] for key in ("value", "low", "high"))) for name in ("sensitivity", "specificity")
    )
    true_alarms, false_alarms = prevalence * sensitivity.value, (1 - prevalence) * (1 - specificity.value)
    missed, cleared = prevalence - true_alarms, (1 - prevalence) * specificity.value
    ill = round(PATIENTS * prevalence)
    ill_found, well_cleared = round(ill * sensitivity.value), round((PATIENTS - ill) * specificity.value)
    return Outcome(
        threshold=found["threshold"][place],
        sensitivity=sensitivity,
        specificity=specificity,
        ill_found=ill_found,
        ill_missed=ill - ill_found,
        well_alarmed=PATIENTS - ill - well_cleared,
        well_cleared=well_cleared,
        ppv=true_alarms / (true_alarms + false_alarms) if true_alarms + false_alarms else None,
        npv=cleared / (cleared + missed) if cleared + missed else None,
    )


def _curve(metrics: dict[str, Any], score: str) -> dict[str, Any]:
    if score not in SCORES:
        raise ValueError(f"Unknown score {score!r}; choose from {', '.join(SCORES)}.")
    if not has_curve(metrics, score):
        raise ValueError(f"metrics.json has no held-out curve of {score}: run train.evaluate on the model folder.")
    return metrics["test"]["curves"][score]
