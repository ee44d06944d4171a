"""Fixtures: a small HAM10000 made of noise, a small trained-by-nobody model folder, the real data if at hand."""

import csv
import os
from pathlib import Path

# before huggingface_hub is imported, which reads it then: no test may reach the real Hub
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("SKIN_LESION_MODEL", None)  # a developer's own model is not under test

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from skin_lesion.classes import CODES
from skin_lesion.model import load
from train import loop
from train.cache import load_images
from train.data import COLUMNS
from train.folder import save_model_folder
from train.start import build_model


def write_dataset(folder: Path, lesions_per_class: int = 6, images_per_lesion: int = 2) -> Path:
    """A folder in HAM10000's layout: each class has its own mean colour, so that it can be learnt."""
    rng = np.random.default_rng(0)
    rows = []
    for c, dx in enumerate(CODES):
        for lesion in range(lesions_per_class):
            for _ in range(images_per_lesion):
                number = len(rows)
                name = f"ISIC_{number:07d}"
                part = folder / f"HAM10000_images_part_{1 + number % 2}"
                part.mkdir(parents=True, exist_ok=True)
                colour = np.array([c * 36, 255 - c * 36, 128])
                pixels = np.clip(colour + rng.normal(0, 12, (48, 64, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(part / f"{name}.jpg", quality=95)
                rows.append([f"HAM_{c}{lesion:03d}", name, dx, "histo", "50.0", "male", "back"])
    with open(folder / "HAM10000_metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("ham"))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Keep the decoded images of the tests out of the project's own cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_images, "__defaults__", (False, tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def trained(dataset, tmp_path_factory) -> Path:
    """The model folder of three epochs on the small data set."""
    return loop.fit(tiny.options(dataset, tmp_path_factory.mktemp("run") / "model", *tiny.THREE_EPOCHS))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory) -> Path:
    """Random weights under the real architecture."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = build_model("none")
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    save_model_folder(model, folder, 224)
    return folder


@pytest.fixture(scope="session")
def classifier(model_folder):
    return load(f"local-dir:{model_folder}")


@pytest.fixture(scope="session")
def image() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def ham10000() -> Path:
    """The real data set; tests that need it are skipped by name without it."""
    folder = os.environ.get("HAM10000_DIR")
    if not folder:
        pytest.skip("needs HAM10000: set HAM10000_DIR to its folder")
    return Path(folder)
