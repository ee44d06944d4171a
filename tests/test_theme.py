"""The looks, where something can be said of them without a browser."""

import re

import numpy as np
import pytest

from skin_lesion.classes import CLASSES
from skin_lesion.ui.theme import CSS

# Machado, Oliveira & Fernandes 2009, doi:10.1109/TVCG.2009.113, severity 1; on linear RGB
EYES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
ALIKE = 20  # CIE 1976 distance between small patches that are not side by side


def lab(colour: str, eye: str) -> np.ndarray:
    """CIELAB of "#rrggbb" as such an eye sees it."""
    srgb = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(TO_XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_a_bar_that_is_not_benign_never_looks_like_one_that_is(eye):
    """The owner's colours are fixed, and some of them are one to such an eye; then the stripes must differ."""
    striped = set(re.findall(r'\.fill\[style\*="(#\w{6})"\]', CSS))
    alike = [
        (a, b)
        for a in CLASSES
        for b in CLASSES
        if (a.group == "benign") > (b.group == "benign")
        and np.linalg.norm(lab(a.colour, eye) - lab(b.colour, eye)) < ALIKE
    ]
    assert alike, "without such a pair no stripes are needed"
    assert all((a.colour in striped) != (b.colour in striped) for a, b in alike)
