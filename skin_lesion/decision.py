"""Thresholds that turn probabilities into words, as train.calibrate found them on the validation part."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from skin_lesion.classes import BY_CODE, CODES

LEVELS = (0.90, 0.95)  # coverage of the prediction sets
SENSITIVITIES = (0.80, 0.90, 0.95)  # of the operating points
SCORES = {  # what an operating point decides on: the summed probability of these classes
    "melanoma": ("mel",),
    "malignancy": tuple(code for code in CODES if BY_CODE[code].group != "benign"),
}


@dataclass(frozen=True)
class OperatingPoint:
    """Call an image suspicious from `threshold` on, and find about `sensitivity` of the cases."""

    sensitivity: float  # aimed at, on the validation part
    threshold: float  # smallest score that counts as positive
    validation_sensitivity: float
    validation_specificity: float


@dataclass(frozen=True, eq=False)
class Decision:
    """decision.json and ood.safetensors of a model folder."""

    sets: dict[float, dict[str, float]]  # level -> code -> smallest probability that puts the class into the set
    points: dict[str, tuple[OperatingPoint, ...]]  # by name in SCORES
    farthest: float  # distance to the training images up to which an image counts as dermatoscopic
    mean: torch.Tensor = field(repr=False)  # (224,) of the training images' statistics
    whitening: torch.Tensor = field(repr=False)  # (224, 224): maps deviations from it to unit covariance
    probe: torch.Tensor | None = field(default=None, repr=False)  # (225,): weights of `rim`'s features, and a bias
    most_covered: float | None = None  # share of a side up to which a lesion counts as whole; None: no probe

    def prediction_set(self, probabilities: dict[str, float], level: float = 0.90) -> tuple[str, ...]:
        """The classes among which the true one is, in at least `level` of the cases of every class.

        Class-conditional ("Mondrian") split conformal prediction (Vovk 2013; Sadinle, Lei & Wasserman
        2019, arXiv:1609.00451). The most probable class is always in: an empty set would say nothing.
        This holds for images like those of HAM10000, on average over calibration sets, and nearly so: the
        temperature was fitted on the same images, and several of them may show one lesion.

        Raises:
            ValueError: `level` is not one that was calibrated.
        """
        if level not in self.sets:
            raise ValueError(
                f"There is no prediction set of level {level}; choose from {', '.join(map(str, self.sets))}."
            )
        best = max(probabilities, key=probabilities.__getitem__)
        least = self.sets[level]
        return tuple(code for code, p in probabilities.items() if p >= least[code] or code == best)

    def distance(self, measured: torch.Tensor) -> float:
        """How far an image is from the training images: 1 on average among these, far more for a cat.

        Mahalanobis distance, per dimension (Lee et al. 2018, arXiv:1807.03888). The middle of the trunk
        told foreign pictures far better than its end (results/LOG.md), which knows only lesions.

        Args:
            measured: (224,), `statistics` of Prediction.middle.
        """
        deviation = self.whitening @ (measured - self.mean)
        return float(deviation.square().mean().sqrt())

    def covered(self, middle: torch.Tensor) -> float | None:
        """How much of one side of the image the lesion covers, of the side it covers most, as a share.

        Mean probability of the outermost cells of the trunk's middle, by a linear probe (Alain & Bengio 2016,
        arXiv:1610.01644). The tube of the dermatoscope, dark as it is, is no lesion in the masks and none here.
        None where there were no masks to learn it from.

        Args:
            middle: (1, C, h, w), Prediction.middle.
        """
        if self.probe is None:
            return None
        return largest_side((rim(middle) @ self.probe[:-1] + self.probe[-1]).sigmoid(), middle.shape[-2:])

    def cut_off(self, middle: torch.Tensor) -> bool:
        """Whether the lesion seems to be cut off by the edge of the image. middle: as for `covered`.

        Never in a picture that does not look dermatoscopic: there is no lesion to speak of.
        """
        covered = self.covered(middle)
        if covered is None or self.most_covered is None or covered <= self.most_covered:
            return False
        return self.distance(statistics(middle)) <= self.farthest

    @classmethod
    def from_json(cls, value: dict[str, Any], tensors: dict[str, torch.Tensor]) -> "Decision":
        """Raises AttributeError, KeyError, TypeError or ValueError where the values are not train.calibrate's."""
        mean, whitening = tensors["mean"], tensors["whitening"]
        if whitening.shape != (*mean.shape, *mean.shape):
            raise ValueError(f"mean {tuple(mean.shape)} and whitening {tuple(whitening.shape)} do not fit")
        if not (torch.isfinite(whitening).all() and torch.isfinite(mean).all()):
            raise ValueError("mean or whitening is not finite")
        if missing := {f"{level:.2f}" for level in LEVELS} - value["sets"].keys():
            raise ValueError(f"sets lacks {', '.join(sorted(missing))}")
        sets = {float(level): {code: float(least[code]) for code in CODES} for level, least in value["sets"].items()}
        points = {name: tuple(OperatingPoint(**point) for point in value["operating_points"][name]) for name in SCORES}
        known = cls(sets, points, float(value["ood"]["farthest"]), mean, whitening)
        if "cut_off" not in value:  # calibrated without masks, or before there was this
            return known
        probe = tensors["probe"]
        if probe.shape != (len(mean) + 1,) or not torch.isfinite(probe).all():
            raise ValueError(f"probe {tuple(probe.shape)} does not fit mean {tuple(mean.shape)}, or is not finite")
        return replace(known, probe=probe, most_covered=float(value["cut_off"]["most_covered"]))


def statistics(middle: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) -> (2 C,): each channel's mean and standard deviation, texture rather than place."""
    flat = middle[0].flatten(1)  # (C, h w)
    return torch.cat([flat.mean(1), flat.std(1, correction=0)])


def rim(middle: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) -> (2 w + 2 h, 2 C): the outermost cells' channels, and beside each the means over all cells.

    The upper row, the lower one, the left column, the right one; a corner is in two of them.
    """
    cells = middle[0].permute(1, 2, 0)  # (h, w, C)
    outermost = torch.cat([cells[0], cells[-1], cells[:, 0], cells[:, -1]])
    return torch.cat([outermost, cells.mean((0, 1)).expand_as(outermost)], dim=1)


def largest_side(values: torch.Tensor, size: Sequence[int]) -> float:
    """The largest of the four sides' means. values: (2 w + 2 h,), in the order of `rim`. size: (h, w)."""
    h, w = size
    return max(float(side.mean()) for side in values.split([w, w, h, h]))
