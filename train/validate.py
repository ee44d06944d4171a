"""Probabilities of whole images during training."""

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config


def normalisation(model: torch.nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the model's input, as timm knows them."""
    config = resolve_model_data_config(model)
    return config["mean"], config["std"]


@torch.inference_mode()
def predict(
    model: torch.nn.Module,
    images: np.ndarray,
    side: int,
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
) -> np.ndarray:
    """Probabilities (N, 7) of whole images, uint8 (N, 3, S, S); leaves the model in evaluation mode.

    side: px, of the model's input, to which the images are resized.
    """
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in normalisation(model))
    model.eval()
    rows = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(np.array(images[start : start + batch])).to(device).float() / 255
        if side != x.shape[-1]:
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
        x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            logits = model(x)
        rows.append(logits.float().softmax(1).cpu().numpy())
    return np.concatenate(rows)
