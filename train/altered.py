"""Held-out images once more, altered as a user's may be: does the answer stay the same?

None of the alterations changes what a lesion is. The answers are kept in a CSV, like everything
that metrics.json says.
"""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.images import open_image
from skin_lesion.predict import Classifier
from train.data import Record
from train.files import read_rows, whole
from train.metrics import accuracy, balanced_accuracy, estimate

KEPT_WIDTH = 0.75  # of a cropped image: what makes a 4:3 image a square
NOISE = 4  # grey levels of 255, standard deviation
BLUR = 0.5  # % of an image's width, standard deviation: 1.1 px of 224


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def _noisy(image: Image.Image) -> Image.Image:
    values = np.asarray(image.convert("RGB"), dtype=float)
    values = values + np.random.default_rng(0).normal(0, NOISE, values.shape)
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def blurred(image: Image.Image, share: float) -> Image.Image:
    """share: standard deviation, of the image's width."""
    return image.filter(ImageFilter.GaussianBlur(share * image.width))


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def _cropped(image: Image.Image) -> Image.Image:
    left = round(image.width * (1 - KEPT_WIDTH) / 2)
    return image.crop((left, 0, image.width - left, image.height))


ALTERATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as JPEG of quality 75": partial(_recompressed, quality=75),
    f"with noise of {NOISE} of 255 grey levels": _noisy,
    f"blurred by {BLUR:.1f} % of its width": partial(blurred, share=BLUR / 100),
    "resized to 224×224": partial(_resized, size=(224, 224)),
    "resized to 600×450": partial(_resized, size=(600, 450)),
    "cropped to the middle three quarters of its width": _cropped,
    "turned by 90°": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "mirrored": ImageOps.mirror,
}


def write_altered(path: Path, classifier: Classifier, records: Sequence[Record]) -> None:
    """One row an image: the most probable class of each of its altered copies."""
    with whole(path) as partial_, open(partial_, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", *ALTERATIONS])
        for record in tqdm(records, "altered images", unit="image", leave=False, disable=None):
            image = open_image(record.path)  # a broken one was named when it was first predicted
            writer.writerow([record.image_id, *(classifier.predict(a(image)).code for a in ALTERATIONS.values())])


def answers_stay(
    path: Path, labels: np.ndarray, probabilities: np.ndarray, lesions: np.ndarray
) -> dict[str, dict[str, Any]]:
    """{alteration: {"same": share of the answers that stay, "balanced_accuracy"}}, with intervals.

    Args:
        labels (N,), probabilities (N, 7), lesions (N,): of the unaltered images, in the order of the file.

    Raises:
        ModelError: the file is missing or of an older version.
    """
    rows = read_rows(path, [*ALTERATIONS])
    before = probabilities.argmax(1)
    found = {}
    for name in ALTERATIONS:
        after = np.eye(len(CODES))[[CODES.index(row[name]) for row in rows]]  # (N, 7)
        found[name] = {
            **estimate({"same": accuracy}, before, after, lesions),
            **estimate({"balanced_accuracy": balanced_accuracy}, labels, after, lesions),
        }
    return found
