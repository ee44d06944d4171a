"""The network that training starts from, and what its weights have seen before."""

from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from skin_lesion.classes import CODES
from skin_lesion.model import ARCHITECTURE, WEIGHTS, file_digest, read_metrics
from train.folder import as_trained, calibration_of
from train.options import FitError


def build_model(init: str, drop_path: float = 0.0) -> torch.nn.Module:
    """EfficientNet_B0 with seven outputs.

    init: imagenet, none, or a .safetensors file of timm's names. What train.calibrate did to the weights of a model
        folder is taken out again: class shares in the biases would count twice beside those in the loss.
    """
    arguments: dict[str, Any] = {"num_classes": len(CODES), "drop_rate": 0.2, "drop_path_rate": drop_path}
    if init in ("imagenet", "none"):
        try:
            return timm.create_model(ARCHITECTURE, pretrained=init == "imagenet", **arguments)
        except Exception as error:  # the Hub's client raises many kinds; the next step is one
            raise FitError(
                f"The ImageNet weights could not be downloaded ({error}). Check the network, "
                "or give --init PATH of a .safetensors file, or --init none."
            ) from error
    if Path(init).is_dir():
        raise FitError(f"--init {init} is a folder; give the file of its weights: {Path(init) / WEIGHTS}.")
    model = timm.create_model(ARCHITECTURE, **arguments)
    try:
        weights = load_file(init)
    except (OSError, SafetensorError) as error:
        raise FitError(f"--init {init!r} is neither 'imagenet' nor 'none' nor a safetensors file: {error}") from None
    own = model.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    missing = [k for k in own if k not in fitting and not k.startswith("classifier.")]
    if missing:
        raise FitError(
            f"--init {init} lacks {len(missing)} weights of {ARCHITECTURE}; the first: {missing[0]}. "
            f"Give a file of timm's {ARCHITECTURE}, such as {WEIGHTS} of a model folder."
        )
    calibration = calibration_of(read_metrics(Path(init).parent), file_digest(Path(init)))
    if calibration:
        fitting["classifier.weight"] = fitting["classifier.weight"] * calibration["temperature"]
        biases = as_trained(fitting["classifier.bias"].numpy(), calibration)
        fitting["classifier.bias"] = torch.from_numpy(biases)
    model.load_state_dict(fitting, strict=False)
    return model


def earlier_training(init: str, split_id: str) -> dict[str, Any]:
    """{"before": what metrics.json beside the starting weights says of their training}, {} if nothing.

    Raises:
        FitError: they were trained on another split, so that this one's test images may be among theirs.
    """
    metrics = {} if init in ("imagenet", "none") else read_metrics(Path(init).parent)
    if "split" in metrics and metrics["split"]["fingerprint"] != split_id:
        raise FitError(
            f"--init {init} was trained on split {metrics['split']['fingerprint']}, this run has {split_id}: "
            "images held out here may have been trained on there. Use its data and --split-seed, or other weights."
        )
    return {"before": metrics["training"]} if "training" in metrics else {}
