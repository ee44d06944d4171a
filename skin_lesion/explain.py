"""Which parts of the image spoke for a class: four methods, in Captum's implementations.

Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) on the last feature map, from the
pass that already predicted: behind it stand only pooling and one linear layer, so all seven maps
cost a small part of the prediction. A finer one, this project's own: the same times the positive part
of gradient x activation of an earlier map, whose cells are half as wide; of some combinations it did
best on validation images (results/LOG.md). And two that look at the pixels
themselves and ask the model many times: Integrated Gradients (Sundararajan et al. 2017,
https://arxiv.org/abs/1703.01365) and Occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901).
train.explain_eval measures how good each is.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captum.attr import IntegratedGradients, LayerGradCam, LayerGradientXActivation, Occlusion
from PIL import Image
from torch import nn
from torchvision.transforms.functional import gaussian_blur

from skin_lesion.classes import CODES, check_code
from skin_lesion.images import ImageSource, open_image
from skin_lesion.predict import Classifier, Prediction

LAYER = "bn2"  # timm's name of EfficientNet's last feature map (batch norm and SiLU after conv_head)
MIDDLE_LAYER = "blocks.4"  # and of Prediction.middle
STEPS = 32  # of Integrated Gradients
ROUNDING = 1e-5  # of a logit: a map whose maximum is less shows the limits of float32 and nothing else
WINDOWS = 6  # side by side in Occlusion; each is moved by half its width

OnStep = Callable[[], None]  # called before every question to the model; may raise to stop


@dataclass(frozen=True)
class Method:
    """A way to explain; METHODS holds them all."""

    name: str
    layer: str  # timm's names of the feature maps it reads, "input" where it asks the whole model
    how: str  # in a sentence, for people


METHODS = {
    "gradcam": Method(
        "Grad-CAM",
        LAYER,
        "Which cells of the last feature map raised the score, by its average gradient; the cells are coarse.",
    ),
    "finer": Method(
        "Finer map",
        f"{LAYER} and {MIDDLE_LAYER}",
        "This project's own: Grad-CAM times gradient × activation of an earlier feature map, in cells half as wide.",
    ),
    "integrated_gradients": Method(
        "Integrated Gradients",
        "input",
        "Which pixels raised the score on the way from a blurred copy to the image; smoothed.",
    ),
    "occlusion": Method("Occlusion", "input", "How far the score falls where a window of the image is blurred."),
}


def check_method(name: str) -> str:
    """The name itself. Raises ValueError where it is none of METHODS; lists them."""
    if name not in tuple(METHODS):  # which, unlike a dict, compares what cannot be hashed too: JSON holds lists
        raise ValueError(f"Unknown method {name!r}. Use one of: {', '.join(METHODS)}.")
    return name


@dataclass(frozen=True, eq=False)
class Explanation:
    """The map of one class for one image."""

    code: str
    probability: float  # of the class
    heat: np.ndarray = field(repr=False)  # (h, w) float32 in [0, 1]; 1 is this map's own maximum
    peak: float  # the maximum before scaling; Grad-CAM: in logits per cell; 0: the method found nothing
    method: str = "gradcam"
    dermatoscopic: bool | None = None  # whether the image looks so, as Prediction says

    @property
    def layer(self) -> str:
        return METHODS[self.method].layer


class _Head(nn.Module):
    """What follows a feature map, with a layer of its own for Captum to hook.

    A new one is made for each call: no hook ever sits on the shared model, so that two visitors'
    maps cannot mix and none is left behind after an error.
    """

    def __init__(self, rest: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.features = nn.Identity()
        self.rest = rest

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.rest(self.features(features))


def explain(
    classifier: Classifier,
    prediction: Prediction,
    codes: Sequence[str] = CODES,
    method: str = "gradcam",
    image: ImageSource | None = None,
    on_step: OnStep = lambda: None,
) -> dict[str, Explanation]:
    """Maps of the given classes for the image that `prediction` is of, as it is, with flips too.

    image: the same once more, for the methods that ask the whole model (layer "input").
    on_step: is called before each of the steps(method) questions of these methods, for each class.

    Raises:
        ValueError: there is no code, one is not of the seven, or the method is unknown; lists the valid ones. Or
            `image` is needed and not given.
        ImageError: `image` cannot be used.
    """
    targets = [CODES.index(check_code(code)) for code in codes]
    if not targets:
        raise ValueError(f"No class to explain. Give one or more of: {', '.join(CODES)}.")
    if METHODS[check_method(method)].layer == "input":
        if image is None:
            raise ValueError(f"{method!r} asks the model about altered copies of the image: give it as image=.")
        x = classifier.transform(open_image(image)).unsqueeze(0)  # (1, 3, H, W)
        asked = _counted(classifier.model, on_step)
        maps = [_OF_PIXELS[method](asked, x, target) for target in targets]
    else:
        of_features = _gradcam if method == "gradcam" else _finer
        maps = list(of_features(classifier.model, prediction, targets))
    return {code: _explanation(code, prediction, map_.numpy(), method) for code, map_ in zip(codes, maps, strict=True)}


def steps(method: str) -> int:
    """How often `explain` calls on_step for one class."""
    windows = 2 * WINDOWS - 1  # in a row
    return {"integrated_gradients": STEPS // 4, "occlusion": windows + 1}.get(check_method(method), 0)


def _explanation(code: str, prediction: Prediction, map_: np.ndarray, method: str) -> Explanation:
    peak = float(map_.max())
    if peak < ROUNDING:  # as on an image of one colour, where nothing can be taken away
        peak = 0.0
    heat = map_ / peak if peak > 0 else np.zeros_like(map_)
    share, heat = prediction.probabilities[code], heat.astype(np.float32)
    return Explanation(code, share, heat, peak, method, prediction.dermatoscopic)


def _counted(model: Any, on_step: OnStep) -> Callable[[torch.Tensor], torch.Tensor]:
    def ask(x: torch.Tensor) -> torch.Tensor:
        on_step()
        return model(x)

    return ask


def _gradcam(model: Any, prediction: Prediction, targets: list[int]) -> torch.Tensor:
    """(targets, h, w), at least 0."""
    head = _Head(model.forward_head)
    maps = LayerGradCam(head, head.features).attribute(
        _repeated(prediction.features, targets), target=targets, relu_attributions=True
    )
    return maps.detach().squeeze(1)


def _finer(model: Any, prediction: Prediction, targets: list[int]) -> torch.Tensor:
    """(targets, 2h, 2w), at least 0."""
    head = _Head(lambda x: model.forward_head(model.bn2(model.conv_head(model.blocks[5:](x)))))
    each_channel = LayerGradientXActivation(head, head.features).attribute(
        _repeated(prediction.middle, targets), target=targets
    )
    fine = each_channel.detach().clamp(min=0).sum(1)
    coarse = _gradcam(model, prediction, targets)[:, None]
    return fine * F.interpolate(coarse, fine.shape[-2:], mode="bilinear").squeeze(1)


def _repeated(features: torch.Tensor, targets: list[int]) -> torch.Tensor:
    return features.expand(len(targets), -1, -1, -1).clone().requires_grad_()


def _integrated_gradients(model: Callable[..., torch.Tensor], x: torch.Tensor, target: int) -> torch.Tensor:
    """(H, W), at least 0."""
    of_pixels = IntegratedGradients(model).attribute(
        x, baselines=blurred(x), target=target, n_steps=STEPS, internal_batch_size=4
    )
    return _blur(of_pixels.detach().sum(1).clamp(min=0), x.shape[-1] / 32)[0]


def _occlusion(model: Callable[..., torch.Tensor], x: torch.Tensor, target: int) -> torch.Tensor:
    """(H, W), at least 0."""
    half = math.ceil(x.shape[-1] / (2 * WINDOWS))  # px
    with torch.no_grad():
        falls = Occlusion(model).attribute(
            x,
            sliding_window_shapes=(3, 2 * half, 2 * half),
            strides=(3, half, half),
            baselines=blurred(x),
            target=target,
            perturbations_per_eval=2 * WINDOWS - 1,
        )
    return falls[0, 0].clamp(min=0).float()


_OF_PIXELS = {"integrated_gradients": _integrated_gradients, "occlusion": _occlusion}


def blurred(x: torch.Tensor) -> torch.Tensor:
    """An input (B, 3, H, W) without its details: what a map's methods and its judges put in the place of pixels."""
    return _blur(x, x.shape[-1] / 10)


def _blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """(..., H, W), standard deviation in px."""
    size = 2 * min(round(3 * sigma), x.shape[-1] - 1, x.shape[-2] - 1) + 1
    return gaussian_blur(x, [size, size], [sigma, sigma])


def upsample(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) in [0, 1] over the whole image, as (H, W) for size = (W, H) in px.

    The model saw the whole image squashed to a square, so stretching the map over the whole
    image puts each cell where the model looked, whatever the aspect ratio.
    """
    grown = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(grown), 0, 1)  # bicubic overshoots
