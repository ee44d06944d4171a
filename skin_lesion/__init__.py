"""Classify and explain dermatoscopic images with EfficientNet_B0. Research and education only.

import skin_lesion
classifier = skin_lesion.load()             # bundled weights, no network
prediction = classifier.predict("mole.jpg")
print(prediction.code, prediction.probabilities)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skin_lesion.predict import Classifier


def load(source: str | None = None, *, flips: bool = False) -> Classifier:
    """Load a model folder; see skin_lesion.model.load."""
    from skin_lesion import model  # torch and timm take seconds to import; the class list does not

    return model.load(source, flips=flips)
