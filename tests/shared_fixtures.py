"""Fixtures: a small HAM10000 made of noise, a small trained-by-nobody model folder, a Hub, the real data if at hand."""

import csv
import functools
import multiprocessing
import os
import re
import shutil
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from browser import PROGRAMS, find_browser, launch
from clients import PUSH, run_alone
from hub import Repo, serve
from PIL import Image

from skin_lesion.classes import CODES
from skin_lesion.hub import FILES
from skin_lesion.model import load
from train import calibrate, evaluate, loop
from train.cache import load_images
from train.data import COLUMNS, MASKS, read_ham10000
from train.folder import save_model_folder, write_json
from train.foreign import foreign_images
from train.split import PARTS, RATIOS, fingerprint, split
from train.start import build_model


def write_dataset(folder: Path, lesions_per_class: int = 6, images_per_lesion: int = 2) -> Path:
    """A folder in HAM10000's layout: each class has its own mean colour, so that it can be learnt."""
    rng = np.random.default_rng(0)
    rows = []
    masks = folder / MASKS
    masks.mkdir(parents=True, exist_ok=True)
    lesion_mask = Image.fromarray(np.pad(np.full((24, 32), 255, np.uint8), ((12, 12), (16, 16)))).convert("1")
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
                lesion_mask.save(masks / f"{name}_segmentation.png")
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
    """Random weights under the real architecture, whose input is not 224 px, but a fifth of the work."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model = build_model("none")
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    save_model_folder(model, folder, tiny.UNTRAINED)
    return folder


def untrained(model_folder: Path, dataset: Path, folder: Path, **how) -> Path:
    """A folder as train.fit leaves it, with random weights. how: ratios, or a fold."""
    copy = shutil.copytree(model_folder, folder)
    parts = split(read_ham10000(dataset), 0, **how)
    made = {"seed": 0, **how, "fingerprint": fingerprint(parts), "images": {p: len(parts[p]) for p in PARTS}}
    options = {"init": "imagenet", "schedule": [[1, 32]], "batch": 8, "lr": 1e-3, "ema": 0.9, "smoothing": 0}
    training = {"images": made["images"]["train"], "options": options | {"adjust": 1, "seed": 0}}
    write_json(copy / "metrics.json", {"split": made, "training": training})
    return copy


@pytest.fixture(scope="session")
def evaluated(model_folder, dataset, tmp_path_factory) -> Path:
    """A model folder ready to be published, calibrated and evaluated, and what may lie beside it."""
    folder = untrained(model_folder, dataset, tmp_path_factory.mktemp("evaluated") / "model", ratios=RATIOS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)  # random weights have none
        patch.setattr(evaluate, "foreign_images", lambda folder: islice(foreign_images(folder), 0, 64, 8))
        calibrate.calibrate(folder, dataset)
        evaluate.evaluate(folder, dataset)
    for name in (
        "checkpoint.pt",
        "external_none.csv",
        "pytorch_model.bin",
        "log.txt",
        "figures/.hidden",
        "figures/roc.bin",
    ):
        (folder / name).write_bytes(b"must stay at home")
    return folder


@pytest.fixture(scope="session")
def hub():
    with serve() as hub:
        yield hub


@pytest.fixture(scope="session")
def ours(hub, tmp_path_factory):
    """Call a function of tests/clients.py in a process whose Hub is ours."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in hub.environment(tmp_path_factory.mktemp("home"), xet=True).items():
                patch.setenv(name, value)
            pool.submit(os.getpid).result()  # starts it, with these variables
        yield lambda function, *args, **options: pool.submit(function, *args, **options).result(timeout=600)


@pytest.fixture(params=["lfs", "xet"])
def transport(request) -> str:
    """Both of the client's ways to send and fetch; xet is what a user's machine takes."""
    return request.param


@pytest.fixture(scope="session")
def publish(hub, evaluated, tmp_path_factory):
    """Push on the command line, once by each way: (repository, commit, what was printed, what the Hub was asked)."""

    @functools.cache
    def publish(transport: str) -> tuple[str, str, str, list[str]]:
        hub.log.clear()
        hub.blobs.clear()  # as if nobody had sent these weights yet
        arguments = [*PUSH, str(evaluated), "--repo", f"user/{transport}"]
        result = run_alone(hub, tmp_path_factory.mktemp("home"), arguments, xet=transport == "xet")
        assert result.returncode == 0, result.stderr
        commit = re.search(r"revision: ([0-9a-f]{40})", result.stdout)[1]
        return f"user/{transport}", commit, result.stdout, hub.log.copy()

    return publish


@pytest.fixture
def published(publish, transport) -> tuple[str, str, str, list[str]]:
    return publish(transport)


@pytest.fixture
def served(hub, evaluated, published, request):
    """A repository of a test's own: (name, its files). Its weights are those published, so that Xet knows them."""
    name = "user/" + re.sub(r"\W+", "-", request.node.name)[-60:].strip("-")
    content = {path: (evaluated / path).read_bytes() for path in FILES}
    hub.repos[name] = Repo(private=False)
    hub.repos[name].commit(content)
    hub.log.clear()
    yield name, content
    hub.behave()


@pytest.fixture(scope="session")
def classifier(model_folder):
    return load(f"local-dir:{model_folder}")


@pytest.fixture(scope="session")
def image() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="session")
def browser_program() -> str:
    """Chromium or Chrome; without one these tests are skipped by name, but not where CI is set."""
    program = find_browser()
    if program is None:
        missing = f"no browser: install one of {', '.join(PROGRAMS)}, name it in CHROMIUM, or run make browser"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    return program


@pytest.fixture(scope="module")  # as short as can be: while it is open no test can run an event loop of its own
def browser(browser_program):
    with launch(browser_program) as browser:
        yield browser


@pytest.fixture(scope="session")
def ham10000() -> Path:
    """The real data set; tests that need it are skipped by name without it."""
    folder = os.environ.get("HAM10000_DIR")
    if not folder:
        pytest.skip("needs HAM10000: set HAM10000_DIR to its folder")
    return Path(folder)
