"""Show a map: laid over the image at the image's own resolution, with a strip that says what it is."""

import textwrap
from numbers import Real

import matplotlib
import numpy as np
from matplotlib.colors import to_hex
from PIL import Image, ImageDraw, ImageFont

from skin_lesion.explain import METHODS, Explanation, upsample

COLOUR_MAP = "viridis"  # perceptually even, readable in grey and for colour-blind eyes
OPACITY = 0.7  # of the map where it is hottest
MAX_SIDE = 2048  # px of a rendered overlay; larger images are shown smaller
LEAST_WIDTH = 100  # px of one with its strip
CAVEAT = (
    "The map shows what this method takes to have raised the model's score; it does not outline the "
    "lesion and does not show that the answer is right."
)


def shrunk(image: Image.Image, longest: int) -> Image.Image:
    """The image, its longer side at most so many px; however narrow, it keeps a pixel of each."""
    factor = longest / max(image.size)
    if factor >= 1:
        return image
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def overlay(image: Image.Image, heat: np.ndarray, opacity: float = OPACITY) -> Image.Image:
    """Lay a map (h, w) in [0, 1] over an image at the image's own resolution; the result is RGB.

    The colour fades out with the heat, so that the lesion stays visible where the map is low.

    Raises:
        ValueError: opacity is not a number in [0, 1].
    """
    if not isinstance(opacity, Real) or not 0 <= opacity <= 1:
        raise ValueError(f"Opacity {opacity!r} is not a number from 0 to 1.")
    grown = upsample(heat, image.size)
    colours = Image.fromarray(matplotlib.colormaps[COLOUR_MAP](grown, bytes=True)[..., :3])
    mask = Image.fromarray(np.uint8(grown * opacity * 255 + 0.5))
    return Image.composite(colours, image.convert("RGB"), mask)


def render(image: Image.Image, explanation: Explanation, opacity: float = OPACITY, beside: bool = False) -> Image.Image:
    """The overlay of a map with a strip under it that names class, method, layer and caveat.

    So a picture that is saved or passed on still says what it shows. beside: the image without the
    map stands to its left. An image whose longer side exceeds MAX_SIDE is shrunk; a map that is zero
    everywhere leaves the image as it is.

    Raises:
        ValueError: opacity is not a number in [0, 1].
    """
    image = shrunk(image, MAX_SIDE)
    pictures = [image] * beside + [overlay(image, explanation.heat, opacity)]
    gap = max(4, image.width // 60) if beside else 0  # px
    foreign = explanation.dermatoscopic is False
    warning = "This does not look like a dermatoscopic image. " if foreign else ""
    share = "" if foreign else f" (p = {explanation.probability:.3f})"
    text = (
        f"{warning}{METHODS[explanation.method].name} for {explanation.code}{share}, "
        f"layer {explanation.layer}. {CAVEAT} Not a diagnosis."
    )
    across = len(pictures) * image.width + gap
    width = max(across, LEAST_WIDTH)  # of a very narrow image nobody could read the strip
    size = max(10, image.width // 42)  # px
    font = ImageFont.load_default(size)
    columns = max(8, int(width / font.getlength("n")) - 2)
    lines = textwrap.wrap(text, columns)
    height = round(size * (1.3 * len(lines) + 0.8))
    page = Image.new("RGB", (width, image.height + height), "white")
    for i, picture in enumerate(pictures):
        page.paste(picture, ((width - across) // 2 + i * (image.width + gap), 0))
    draw = ImageDraw.Draw(page)
    draw.multiline_text((size // 2, image.height + size // 3), "\n".join(lines), "black", font, spacing=size * 0.2)
    return page


def css_gradient() -> str:
    """CSS stops of the colour map, fading in as in `overlay`: the legend of a map."""
    colours = matplotlib.colormaps[COLOUR_MAP]
    return ", ".join(to_hex((*colours(i / 8)[:3], i / 8), keep_alpha=True) for i in range(9))
