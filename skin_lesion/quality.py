"""What about a photograph makes its answer less worth: hints on quality, as codes with a sentence each."""

import numpy as np
from PIL import Image, ImageFilter

SMALL = 200  # px of the shorter side: below, the model sees less than it was trained on
SIDE = 224  # px, the square at which the rest is measured: the model sees no more, whatever the file holds
DARK = 60  # mean grey, 0 to 255
BRIGHT = 250  # grey from which a pixel is taken for burnt out
OVEREXPOSED = 0.15  # share of such pixels
BLURRED = 3.0  # mean absolute difference to a copy blurred by one pixel

HINTS = {
    "small": "The image is small: details that the model looks for are missing.",
    "dark": "The image is dark: the model may miss structures.",
    "overexposed": "Parts of the image are overexposed: nothing can be seen there.",
    "blurred": "The image is blurred: fine structures are lost.",
    "cut_off": "The lesion seems to be cut off by the edge of the image: the model looks at its border too.",
}


def hints(image: Image.Image) -> tuple[str, ...]:
    """Codes of HINTS that hold for an RGB image, in their order."""
    grey = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("L")
    values = np.asarray(grey, np.float32)
    soft = np.asarray(grey.filter(ImageFilter.GaussianBlur(1)), np.float32)
    found = {
        "small": min(image.size) < SMALL,
        "dark": values.mean() < DARK,
        "overexposed": (values >= BRIGHT).mean() > OVEREXPOSED,
        "blurred": np.abs(values - soft).mean() < BLURRED,
    }
    return tuple(code for code in HINTS if found.get(code))
