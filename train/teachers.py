"""Learn the answers of trained models instead of the labels (knowledge distillation).

The teachers see every image as the student does, with the same crop, light and partner, and the mean of their
probabilities is the target (Beyer et al. 2022, https://arxiv.org/abs/2106.05237). So one network of the size of each
comes near to what all of them know together. Three things differ. Where the student sees an image compressed once
more, the teachers see the image itself, so it learns to give both the same answer. Each teacher sees it in an
orientation of its own, drawn anew for every batch, so the student learns the mean over all eight. And each sees it
enlarged or reduced as its own input side is to the student's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import resolve_model_data_config
from torch import nn

from skin_lesion.model import ModelError, load, weights_digest
from train.device import place
from train.folder import calibration_of
from train.options import FitError
from train.validate import normalisation


class Teachers(nn.Module):
    """The mean of the teachers' probabilities; built by load_teachers.

    scales: of each teacher's input side to the student's.
    """

    def __init__(self, members: Sequence[nn.Module], scales: Sequence[float]):
        super().__init__()
        self.members = nn.ModuleList(members)
        self.scales = scales

    @torch.no_grad()
    def forward(self, images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """float (B, 3, S, S) in [0, 1] -> (B, 7)."""
        answers = []
        for member, scale in zip(self.members, self.scales, strict=True):
            side = round(scale * images.shape[-1])
            x = images
            if side != x.shape[-1]:
                x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
            turns, mirror = torch.randint(4, (), generator=generator), torch.randint(2, (), generator=generator)
            x = x.rot90(int(turns), (2, 3))
            answers.append(member(x.flip(3) if mirror else x))
        return torch.stack(answers).mean(0)


class _Teacher(nn.Module):
    """Images in [0, 1] to probabilities under the class shares of the training part."""

    mean: torch.Tensor
    std: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: nn.Module, temperature: float, shift: torch.Tensor):
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.register_buffer("shift", shift)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in normalisation(model))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        return (self.model(x).float() * self.temperature + self.shift).softmax(1)


def load_teachers(
    folders: Sequence[Path], side: int, split_id: str, share: torch.Tensor, device: torch.device, amp: str
) -> tuple[Teachers | None, dict[str, Any]]:
    """The models of the given folders, on the device, None where there are none; and what metrics.json says of them.

    side: px, of the student's input.
    share: (7,) of the classes in the training part. What the logit adjustment of a teacher's own training took
        out is given back, but for what its calibration gave back already.

    Raises:
        FitError: a folder holds no model of train.fit, or one that was trained on another split, so that this
            one's test images may be among its training images.
    """
    members, scales, records = [], [], []
    for folder in folders:
        try:
            loaded = load(f"local-dir:{folder}")
        except ModelError as error:
            raise FitError(f"--teacher: {error}") from None
        metrics, model = loaded.metrics, loaded.model
        if "training" not in metrics:
            raise FitError(f"--teacher {folder} has no metrics.json of train.fit; give a folder that it wrote.")
        if metrics["split"]["fingerprint"] != split_id:
            raise FitError(
                f"--teacher {folder} was trained on split {metrics['split']['fingerprint']}, this run has {split_id}: "
                "images held out here may have been trained on there. Use its data and --split-seed, or other teachers."
            )
        digest = weights_digest(folder)
        found = calibration_of(metrics, digest) or {"temperature": 1.0, "prior": 0.0}
        # trained: z + adjust log(share) is the logarithm of a probability; calibrated: (z + prior log(share)) / T
        shift = (metrics["training"]["options"]["adjust"] - found["prior"]) * share.log()
        members.append(place(_Teacher(model, found["temperature"], shift), device, amp).eval())
        scales.append(resolve_model_data_config(model)["input_size"][-1] / side)
        records.append({"weights": digest, "training": metrics["training"]})
    return (Teachers(members, scales), {"teachers": records}) if members else (None, {})
