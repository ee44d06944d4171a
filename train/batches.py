"""Which images a step sees, and their bytes from the cache."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from train.cache import load_images
from train.data import Record


def copies_of(training: Sequence[Record], side: int) -> list[np.ndarray]:
    """The training images twice, each uint8 (N, 3, side, side): as they are, and compressed once more."""
    return [load_images(training, side), load_images(training, side, recompressed=True)]


def batches(count: int, batch: int, generator: torch.Generator) -> Iterator[np.ndarray]:
    """An epoch over `count` images: indices (B,) in random order, without the incomplete last batch."""
    order = torch.randperm(count, generator=generator).numpy()
    for start in range(0, count - batch + 1, batch):
        yield order[start : start + batch]


def pick(
    copies: list[np.ndarray], index: np.ndarray, generator: torch.Generator, share: slice = slice(None)
) -> np.ndarray:
    """(B, 3, S, S) uint8: a share of the batch `index`, each image from one of the copies at random."""
    which = torch.randint(len(copies), (len(index),), generator=generator).tolist()
    return np.stack([copies[w][i] for w, i in zip(which[share], index[share], strict=True)])
