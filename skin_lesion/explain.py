"""Grad-CAM: which parts of the image spoke for a class, from the pass that already predicted.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, in Captum's implementation, on the last
feature map. Behind it stand only pooling and one linear layer, so all seven maps cost a small
part of the prediction.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib
import numpy as np
import torch
from captum.attr import LayerGradCam
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import nn

from skin_lesion.classes import CODES, check_code
from skin_lesion.predict import Classifier, Prediction

COLOUR_MAP = "viridis"  # perceptually even, readable in grey and for colour-blind eyes
LAYER = "bn2"  # timm's name of EfficientNet's last feature map (batch norm and SiLU after conv_head)
OPACITY = 0.7  # of the map where it is hottest
MAX_SIDE = 2048  # px of a rendered overlay; larger images are shown smaller
CAVEAT = (
    "The map shows what raised this model's score, in coarse cells; it does not outline the "
    "lesion and does not show that the answer is right."
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """The Grad-CAM map of one class for one image."""

    code: str
    heat: np.ndarray = field(repr=False)  # (h, w) float32 in [0, 1]; 1 is this map's own maximum
    peak: float  # the maximum before scaling, in logits per cell; 0: nothing spoke for the class
    layer: str = LAYER


class _Head(nn.Module):
    """What follows the last feature map, with a layer of its own for Captum to hook.

    A new one is made for each call: no hook ever sits on the shared model, so that two visitors'
    maps cannot mix and none is left behind after an error.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.features = nn.Identity()
        self.model: Any = model

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.model.forward_head(self.features(features))


def gradcam(classifier: Classifier, prediction: Prediction, codes: Sequence[str] = CODES) -> dict[str, Explanation]:
    """Grad-CAM of the given classes, from the features of `prediction`.

    Raises:
        ValueError: a code is not one of the seven; lists them.
    """
    targets = [CODES.index(check_code(code)) for code in codes]
    head = _Head(classifier.model)
    features = prediction.features.expand(len(targets), -1, -1, -1).clone().requires_grad_()
    maps = LayerGradCam(head, head.features).attribute(features, target=targets, relu_attributions=True)
    explanations = {}
    for code, map_ in zip(codes, maps.detach().squeeze(1).numpy(), strict=True):  # (h, w)
        peak = float(map_.max())
        heat = map_ / peak if peak > 0 else np.zeros_like(map_)
        explanations[code] = Explanation(code, heat.astype(np.float32), peak)
    return explanations


def upsample(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) in [0, 1] over the whole image, as (H, W) for size = (W, H) in px.

    The model saw the whole image squashed to a square, so stretching the map over the whole
    image puts each cell where the model looked, whatever the aspect ratio.
    """
    grown = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(grown), 0, 1)  # bicubic overshoots


def overlay(image: Image.Image, heat: np.ndarray, opacity: float = OPACITY) -> Image.Image:
    """Lay a map (h, w) in [0, 1] over an RGB image at the image's own resolution.

    The colour fades out with the heat, so that the lesion stays visible where the map is low.

    Raises:
        ValueError: opacity is not a number in [0, 1].
    """
    if not isinstance(opacity, (int, float)) or not 0 <= opacity <= 1:
        raise ValueError(f"Opacity {opacity!r} is not a number from 0 to 1.")
    grown = upsample(heat, image.size)
    colours = Image.fromarray(matplotlib.colormaps[COLOUR_MAP](grown, bytes=True)[..., :3])
    mask = Image.fromarray(np.uint8(grown * opacity * 255 + 0.5))
    return Image.composite(colours, image, mask)


def render(
    image: Image.Image, explanation: Explanation, prediction: Prediction, opacity: float = OPACITY
) -> Image.Image:
    """The overlay of a map with a strip under it that names class, layer and caveat.

    So a picture that is saved or passed on still says what it shows. An image whose longer side
    exceeds MAX_SIDE is shrunk; a map that is zero everywhere leaves the image as it is.
    """
    if max(image.size) > MAX_SIDE:
        image = ImageOps.contain(image, (MAX_SIDE, MAX_SIDE))
    picture = overlay(image, explanation.heat, opacity)
    text = (
        f"Grad-CAM for {explanation.code} (p = {prediction.probabilities[explanation.code]:.3f}), "
        f"layer {explanation.layer}. {CAVEAT} Not a diagnosis."
    )
    size = max(10, image.width // 42)  # px
    font = ImageFont.load_default(size)
    columns = max(8, int(image.width / font.getlength("n")) - 2)
    lines = textwrap.wrap(text, columns)
    height = round(size * (1.3 * len(lines) + 0.8))
    page = Image.new("RGB", (picture.width, picture.height + height), "white")
    page.paste(picture)
    draw = ImageDraw.Draw(page)
    draw.multiline_text((size // 2, picture.height + size // 3), "\n".join(lines), "black", font, spacing=size * 0.2)
    return page
