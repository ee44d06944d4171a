"""Two ways from images on the disk to batches on the device: the usual one, and this project's."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.report import processors
from skin_lesion.classes import CODES
from train.augment import augment
from train.batches import batches, pick
from train.data import Record

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet

Batch = tuple[torch.Tensor, torch.Tensor]  # images (B, 3, side, side), labels (B,), both on the device
Reader = Callable[[], Iterator[Batch]]  # one pass over all images


def link_by_class(records: list[Record], folder: Path) -> Path:
    """ImageFolder's layout, out of symbolic links."""
    for code in CODES:
        (folder / code).mkdir(parents=True)  # an empty one too: ImageFolder numbers what it finds
    for record in records:
        (folder / record.dx / record.path.name).symlink_to(record.path.resolve())
    return folder


def usual(folder: Path, side: int, batch: int, device: torch.device) -> Reader:
    """A reader over a folder of class folders, with as many workers as this process may use processors."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(side, scale=(0.4, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.ColorJitter(0.2, 0.2, 0.2),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        ImageFolder(folder, transform, allow_empty=True),
        batch,
        shuffle=True,
        drop_last=True,
        num_workers=processors(),
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )

    def read() -> Iterator[Batch]:
        for x, y in loader:
            yield x.to(device, non_blocking=True), y.to(device, non_blocking=True)

    return read


def ours(copies: list[np.ndarray], labels: torch.Tensor, side: int, batch: int, device: torch.device) -> Reader:
    """A reader as the loop of train.fit has it."""
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
    generator = torch.Generator().manual_seed(0)

    def read() -> Iterator[Batch]:
        for index in batches(len(labels), batch, generator):
            x = torch.from_numpy(pick(copies, index, generator)).to(device)
            x = ((augment(x, side, generator) - mean) / std).contiguous(memory_format=torch.channels_last)
            yield x, labels[index].to(device)

    return read
