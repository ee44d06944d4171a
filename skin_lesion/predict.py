"""An image in, probabilities and features out, in one pass through the trunk, or with flips in one of four images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from skin_lesion.answers import PredictAnswer
from skin_lesion.classes import BY_CODE, CODES, LesionClass
from skin_lesion.decision import Decision, statistics
from skin_lesion.images import ImageSource, open_image
from skin_lesion.quality import colourless, hints, reduced

MIDDLE = 3  # of timm's five feature maps of EfficientNet_B0: the last one at a sixteenth of the input


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says about one image."""

    probabilities: dict[str, float]  # by class code, in the order of CODES; they sum to 1
    logits: torch.Tensor = field(repr=False)  # (7,) float32; with flips the logarithms of the probabilities
    features: torch.Tensor = field(repr=False)  # (1, 1280, h, w) float32, the trunk's last map
    middle: torch.Tensor = field(repr=False)  # (1, 112, 2h, 2w) float32, the trunk's map at a sixteenth of the input
    source: str  # of the model, as given to skin_lesion.load
    revision: str  # Hub commit, or a digest of the weights file
    quality: tuple[str, ...] = ()  # codes of skin_lesion.quality.HINTS
    decision: Decision | None = field(default=None, repr=False)  # the model's; None: it was never calibrated
    colourless: bool = False  # as skin_lesion.quality.colourless says

    @property
    def code(self) -> str:
        """The most probable class."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    @property
    def lesion_class(self) -> LesionClass:
        return BY_CODE[self.code]

    @property
    def malignant(self) -> float:
        """Summed probability of the malignant and pre-malignant classes."""
        return sum(p for code, p in self.probabilities.items() if BY_CODE[code].group != "benign")

    @property
    def set90(self) -> tuple[str, ...] | None:
        """The classes among which the true one is in nine of ten cases; None where the model was never calibrated."""
        return self.decision.prediction_set(self.probabilities, 0.90) if self.decision else None

    @property
    def set95(self) -> tuple[str, ...] | None:
        """The same for 19 of 20 cases."""
        return self.decision.prediction_set(self.probabilities, 0.95) if self.decision else None

    @cached_property
    def distance(self) -> float | None:
        """To the training images, as Decision.distance gives it."""
        return self.decision.distance(statistics(self.middle)) if self.decision else None

    @property
    def dermatoscopic(self) -> bool | None:
        """Whether the image looks like a dermatoscopic one at all; None where the model was never calibrated."""
        if self.decision is None or self.distance is None:
            return None
        return not self.colourless and self.distance <= self.decision.farthest

    @property
    def ranked(self) -> list[tuple[LesionClass, float]]:
        """All classes with their probabilities, most probable first."""
        return sorted(((BY_CODE[c], p) for c, p in self.probabilities.items()), key=lambda item: -item[1])

    def to_dict(self) -> PredictAnswer:
        """As the command line and the API give it: plain values only."""
        return {
            "prediction": self.code,
            "probabilities": {code: round(p, 6) for code, p in self.probabilities.items()},
            "set90": None if self.set90 is None else list(self.set90),
            "set95": None if self.set95 is None else list(self.set95),
            "malignant": round(self.malignant, 6),
            "dermatoscopic": self.dermatoscopic,
            "quality": list(self.quality),
            "model": {"source": self.source, "revision": self.revision},
        }


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model with its own preprocessing; made by skin_lesion.load."""

    model: Any  # a timm model (forward_features, forward_head) in evaluation mode, parameters frozen
    transform: Callable[[Image.Image], torch.Tensor]  # RGB image -> (3, H, W), from config.json
    source: str
    revision: str
    metrics: dict[str, Any] = field(repr=False)  # metrics.json of the model folder; {} if it has none
    decision: Decision | None = field(default=None, repr=False)  # None: the folder was never calibrated
    folder: Path | None = None  # the model folder, if it came from one
    flips: bool = False  # average over the image as it is, mirrored, upside down and both

    def predict(self, image: ImageSource) -> Prediction:
        """Classify a path, the bytes of a file, an array or a PIL image.

        Raises:
            ImageError: the image cannot be used.
        """
        opened = open_image(image)
        x = self.transform(opened).unsqueeze(0)  # (1, 3, H, W)
        if self.flips:
            x = torch.cat([x, x.flip(3), x.flip(2), x.flip(2, 3)])  # no quarter turn: squashing stretched one axis
        with torch.no_grad():  # not inference_mode: Grad-CAM differentiates from the features on
            # the same pass as forward_features, which also gives what its fourth stage made
            features, (middle,) = self.model.forward_intermediates(x, indices=[MIDDLE])
            logits = self.model.forward_head(features)
        if self.flips:
            logits = logits.softmax(1).mean(0, keepdim=True).log()
            features, middle = features[:1].clone(), middle[:1].clone()  # of the image as it is, without the rest
        logits = logits[0]  # (7,)
        probabilities = dict(zip(CODES, logits.softmax(0).tolist(), strict=True))
        square = reduced(opened)  # once: of 12 megapixels it takes 30 ms
        grey = colourless(square)
        cut_off = self.decision is not None and not grey and self.decision.cut_off(middle)
        about = self.source, self.revision, hints(opened, cut_off, square), self.decision, grey
        return Prediction(probabilities, logits, features, middle, *about)
