"""What about a photograph makes its answer less worth: hints on quality, as codes with a sentence each.

Their limits were set on HAM10000's training images and on degraded copies of them (results/LOG.md).
"""

from functools import cache

import numpy as np
from PIL import Image

SMALL = 192  # px of the shorter side; clearly less than the 224 of the files that the bundled model learnt from
SIDE = 224  # px, the square at which the rest is measured, so that the file's resolution does not matter
DARK = 100  # grey, 0 to 255, that the brightest tenth is to reach, which is skin: neither lesion nor tube
BRIGHT = 245  # grey from which a pixel is taken for burnt out
OVEREXPOSED = 0.05  # share of such pixels
BLURRED = 0.36  # sharpness
COLOURLESS = 7  # of 255 between a pixel's channels, which its most colourful tenth is to reach; in training 13 at least
FINE, COARSE = 1.0, 2.8  # px, standard deviations of the blurs that sharpness compares
UPPER = 90  # percentile of what sharpness compares: the edges, not the smooth skin between them

HINTS = {
    "small": "The image is small: details that the model looks for are missing.",
    "dark": "The image is dark: the model may miss structures.",
    "overexposed": "Parts of the image are overexposed: nothing can be seen there.",
    "blurred": "The image is blurred: fine structures are lost.",
    "cut_off": "The lesion seems to be cut off by the edge of the image: the model looks at its border too.",
}


def hints(image: Image.Image, cut_off: bool = False, square: Image.Image | None = None) -> tuple[str, ...]:
    """Codes of HINTS that hold for an RGB image, in their order.

    cut_off: by the model, Decision.cut_off. square: the image as `reduced` gives it, where that is at hand.
    """
    square = square or reduced(image)
    grey = _grey(square)
    found = {
        "small": min(image.size) < SMALL,
        "dark": np.percentile(grey, 90) < DARK,
        "overexposed": (grey >= BRIGHT).mean() > OVEREXPOSED,
        "blurred": sharpness(square) < BLURRED,
        "cut_off": cut_off,
    }
    return tuple(code for code in HINTS if found[code])


def colourless(image: Image.Image) -> bool:
    """Whether an RGB image is a grey one: without colours the model takes malignant lesions for benign ones."""
    return bool(np.percentile(np.ptp(np.asarray(reduced(image), np.int16), axis=2), 90) < COLOURLESS)


def sharpness(image: Image.Image) -> float:
    """How much of the strength of an image's edges is in their finest detail; 0 if it has none.

    Of two images of one scene the blurred one has less, but a soft lesion has weak edges at every scale and so no
    less than a harsh one. In logarithms, so that the light does not matter either.
    """
    light = 60 * np.log(_grey(image) + 8)  # 8: noise in black is no edge
    fine = np.abs(light - _blurred(light, FINE))
    slope = np.hypot(*np.gradient(_blurred(light, COARSE)))
    return float(np.percentile(fine, UPPER) / (np.percentile(slope, UPPER) + 0.3))  # 0.3: a flat image has no edges


def _grey(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE) float, 0 to 255."""
    return np.asarray(reduced(image), np.float64) @ (0.299, 0.587, 0.114)


def reduced(image: Image.Image) -> Image.Image:
    """SIDE × SIDE; one that is so already stays as it is."""
    # where it reduces, Hamming keeps as much as a mean over areas does; where it enlarges, it makes steps
    way = Image.Resampling.HAMMING if min(image.size) >= SIDE else Image.Resampling.BICUBIC
    return image.resize((SIDE, SIDE), way)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    matrix = _gaussian(sigma)
    return matrix @ values @ matrix.T


@cache
def _gaussian(sigma: float) -> np.ndarray:
    """(SIDE, SIDE) matrix that blurs a column; at the ends its weights are scaled to 1."""
    at = np.arange(SIDE)
    weights = np.exp(-((at[:, None] - at) ** 2) / (2 * sigma**2))
    return weights / weights.sum(1, keepdims=True)
