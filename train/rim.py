"""Is the lesion cut off by the image's edge? A linear probe of the trunk's middle, learnt from the lesions' masks.

What it looks at is there after every prediction, so the answer costs next to nothing. It learns from training images
and from these cropped through their lesion: in HAM10000 hardly any lesion reaches the edge but large ones, and a probe
of these alone does not see that a small one is cut (results/LOG.md). Kaggle's archive has no masks; without them
there is no probe, and no such hint.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from skin_lesion.decision import Decision, largest_side, rim
from skin_lesion.images import MIN_SIDE
from train.decisions import DIGITS

EVERY = 4  # one in so many training images is learnt from: their cells are enough for the few weights
CUT_OFF = 0.33  # share of a side of the image: a lesion that covers it or more is cut off
WHOLE = 0.96  # share of the other validation images that shall not be called cut off
STRENGTH = 0.03  # of the fit against its ridge (C of scikit-learn)

Sample = tuple[
    torch.Tensor, torch.Tensor
]  # of an image: `rim` of its middle (R, 2 C); which cells are lesion (R,) bool


def sample(middle: torch.Tensor, mask: Image.Image) -> Sample:
    """What the probe learns from one image. middle: (1, C, h, w), Prediction.middle."""
    height, width = middle.shape[-2:]
    return rim(middle), mask_rim(mask.convert("F").resize((width, height), Image.Resampling.BOX)) > 0.5


def covered_side(mask: Image.Image) -> float:
    """How much of one side of the image the lesion covers, of the side it covers most, as a share."""
    return largest_side(mask_rim(mask), (mask.height, mask.width))


def mask_rim(mask: Image.Image) -> torch.Tensor:
    """(2 width + 2 height,): share of lesion in the outermost pixels, in the order of skin_lesion.decision.rim."""
    return rim(torch.from_numpy(np.asarray(mask, np.float32) / 255)[None, None])[:, 0]


def through_lesion(picture: Image.Image, mask: Image.Image, across: bool) -> tuple[Image.Image, Image.Image]:
    """Picture and mask cropped to one side of the lesion's centre, the wider one, so that the edge cuts the lesion.

    across: cut from left to right instead of from top to bottom.
    """
    mask = mask.resize(picture.size, Image.Resampling.NEAREST)
    if across:
        turn = Image.Transpose.TRANSPOSE
        cut, of_mask = through_lesion(picture.transpose(turn), mask.transpose(turn), False)
        return cut.transpose(turn), of_mask.transpose(turn)
    columns = np.nonzero(np.asarray(mask) > 127)[1]
    centre = round(float(columns.mean())) if len(columns) else mask.width // 2
    if centre < mask.width / 2:
        box = (max(0, min(centre, mask.width - MIN_SIDE)), 0, *mask.size)  # what is narrower is refused as an image
    else:
        box = (0, 0, max(centre, MIN_SIDE), mask.height)
    return picture.crop(box), mask.crop(box)


def fit_probe(samples: Sequence[Sample]) -> torch.Tensor | None:
    """Decision.probe; None where there are no samples, or none with and without lesion at the rim."""
    if not samples:
        return None
    features, lesion = (torch.cat(part).numpy() for part in zip(*samples, strict=True))
    if lesion.all() or not lesion.any():
        return None
    mean, scale = features.mean(0), features.std(0) + 1e-6
    found = LogisticRegression(C=STRENGTH, max_iter=200).fit((features - mean) / scale, lesion)
    weights = found.coef_[0] / scale
    return torch.from_numpy(np.r_[weights, found.intercept_ - weights @ mean].astype(np.float32))


def add_cut_off(
    decision: dict[str, Any],
    tensors: dict[str, torch.Tensor],
    samples: Sequence[Sample],
    middles: Sequence[torch.Tensor],
    masks: Sequence[Image.Image | None],
) -> None:
    """Add "cut_off" to what becomes decision.json and "probe" to ood.safetensors, if the masks allow it.

    samples: of training images. middles, masks: of validation images; WHOLE of those that are not cut off lie up to
        the limit.
    """
    probe = fit_probe(samples)
    whole = [m for m, mask in zip(middles, masks, strict=True) if mask is not None and covered_side(mask) < CUT_OFF]
    if probe is None or not whole:
        return
    tensors["probe"] = probe
    decision["cut_off"] = {"side": CUT_OFF, "whole": WHOLE, "most_covered": 1.0}
    measure = Decision.from_json(decision, tensors)
    found = np.quantile([measure.covered(middle) or 0.0 for middle in whole], WHOLE)
    decision["cut_off"]["most_covered"] = round(float(found), DIGITS)
