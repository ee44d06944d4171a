"""How good is a map? Measures of faithfulness, and of agreement with the lesion's mask. Pure.

A map is (H, W) float32 of the input's size, at least 0; an input x (1, 3, H, W), normalised, H = W.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max

from skin_lesion.explain import blurred, upsample

STEPS = 16  # of a deletion or insertion curve
SQUARES, NOISES = 32, 4  # that an image is altered by, for Captum's infidelity and sensitivity
SIGMA = 0.2  # of the Gaussian in the centre, as a share of the image's side

Map = np.ndarray


def baseline_maps(side: int, rng: np.random.Generator) -> dict[str, Map]:
    """What knows nothing of the model."""
    cells = rng.random((side // 32, side // 32)).astype(np.float32)
    across, down = np.meshgrid(*[np.linspace(-0.5, 0.5, side)] * 2)
    centre = np.exp(-(across**2 + down**2) / (2 * SIGMA**2))
    return {"random": upsample(cells, (side, side)), "centre": centre.astype(np.float32)}


@torch.no_grad()
def curves(model: Any, x: torch.Tensor, target: int, map_: Map) -> dict[str, float]:
    """Areas under the four curves. x: (1, 3, S, S)."""
    side = x.shape[-1]
    # ties in an order of chance: a flat map must not gain, or lose, by where its pixels happen to be listed
    order = np.lexsort((np.random.default_rng(0).permutation(map_.size), -map_.ravel()))
    rank = np.empty(order.size, int)
    rank[order] = np.arange(order.size)
    ranks = torch.from_numpy(rank.reshape(side, side))
    taken = torch.stack([ranks < round(k * side * side / STEPS) for k in range(STEPS + 1)])[:, None]  # (S + 1, 1, S, S)
    areas = {}
    for name, instead in (("blur", blurred(x)), ("mean", torch.zeros_like(x))):
        for what, pictures in (
            ("deletion", torch.where(taken, instead, x)),
            ("insertion", torch.where(taken, x, instead)),
        ):
            probability = model(pictures).softmax(1)[:, target].numpy()
            areas[f"{what}_{name}"] = float(((probability[1:] + probability[:-1]) / 2).mean())
    return areas


def against_mask(map_: Map, mask: np.ndarray, share: float) -> dict[str, float]:
    """mask: (H, W) bool. share: of the map's maximum, where it is cut. A map that is zero everywhere points nowhere."""
    return {
        "pointing": float(mask[map_ == map_.max()].mean()) if map_.any() else 0.0,
        "energy": float((map_ * mask).sum() / map_.sum()) if map_.any() else 0.0,
        "iou": overlap(map_, mask, share),
        "empty": float(not map_.any()),
    }


def overlap(map_: Map, mask: np.ndarray, share: float) -> float:
    """IoU of the mask and what the map has above a share of its maximum."""
    high = map_ > share * map_.max()
    both = np.sum(high | mask)
    return float(np.sum(high & mask) / both) if both else 0.0


def captums(model: Any, x: torch.Tensor, target: int, again: Callable[[torch.Tensor], Map]) -> dict[str, float]:
    """Captum's two measures. again: explains another input (1, 3, S, S)."""
    torch.manual_seed(0)
    side = x.shape[-1]

    def attribution(inputs: torch.Tensor) -> torch.Tensor:
        each = [torch.from_numpy(again(one[None])) for one in inputs]
        return torch.stack(each)[:, None].expand_as(inputs).contiguous()

    @infidelity_perturb_func_decorator(multiply_by_inputs=True)
    def blur_squares(inputs: torch.Tensor, baselines: torch.Tensor) -> torch.Tensor:
        out = inputs.clone()
        for one, blur in zip(out, baselines.expand_as(out), strict=True):
            size = int(torch.randint(side // 8, side // 2, ()))
            top, left = (int(torch.randint(0, side - size, ())) for _ in range(2))
            one[:, top : top + size, left : left + size] = blur[:, top : top + size, left : left + size]
        return out

    with torch.no_grad():
        unfaithful = infidelity(
            model,
            blur_squares,
            x,
            attribution(x),
            baselines=blurred(x),
            target=target,
            n_perturb_samples=SQUARES,
            normalize=True,
        )
    unstable = sensitivity_max(lambda inputs: (attribution(inputs[0]),), x, n_perturb_samples=NOISES)
    return {"infidelity": float(unfaithful), "sensitivity": float(unstable)}
