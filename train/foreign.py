"""Pictures that are no dermatoscopic images, to measure how many of them are noticed.

Photographs that the installed libraries bring along (whole, and each of their quarters), and drawn
ones: pages of text, noise, one colour, the colour of skin, soft gradients. Any folder of other
pictures can be given instead: train.evaluate --foreign DIR.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from skin_lesion.images import SUFFIXES, ImageError, image_files, open_image
from train.data import DataError

DRAWN = 20  # of each kind
SIZE = (600, 450)  # px, as HAM10000's originals
PHOTOGRAPHS = {
    "gradio": [f"media_assets/images/{n}" for n in ("cheetah.jpg", "cheetah1.jpg", "lion.jpg", "tower.jpg")],
    "sklearn.datasets": ["images/china.jpg", "images/flower.jpg"],
    "matplotlib": ["mpl-data/sample_data/grace_hopper.jpg"],
}
SKIN = (225, 180, 160)  # sRGB


def foreign_images(folder: Path | None = None) -> Iterator[tuple[str, Image.Image]]:
    """(kind, image) of the built-in pictures, or of a folder's, where the kind is the sub-folder's name.

    Raises:
        DataError: the folder is missing or has no image; a built-in photograph is gone from its library.
    """
    yield from _folder(folder) if folder else _built_in()


def _built_in() -> Iterator[tuple[str, Image.Image]]:
    for package, paths in PHOTOGRAPHS.items():
        for path in paths:
            file = files(package).joinpath(path)
            if not file.is_file():
                raise DataError(f"{package} has no {path} any more; give a folder of other pictures with --foreign.")
            image = open_image(file.read_bytes())
            width, height = image.size
            yield "photograph", image
            for left, top in ((0, 0), (width // 2, 0), (0, height // 2), (width // 2, height // 2)):
                yield "photograph, a quarter", image.crop((left, top, left + width // 2, top + height // 2))
    rng = np.random.default_rng(0)
    for _ in range(DRAWN):
        yield "text", _text(rng)
        yield "noise", Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        yield "one colour", Image.new("RGB", SIZE, tuple(rng.integers(0, 256, 3).tolist()))
        yield "colour of skin", Image.new("RGB", SIZE, tuple((np.array(SKIN) + rng.integers(-30, 31, 3)).tolist()))
        blobs = rng.uniform(0, 256, (6, 8, 3)).astype(np.uint8)
        yield "gradients", Image.fromarray(blobs).resize(SIZE, Image.Resampling.BICUBIC)


def _folder(folder: Path) -> Iterator[tuple[str, Image.Image]]:
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}; give one with pictures that are no dermatoscopic images.")
    paths = image_files(folder)
    if not paths:
        raise DataError(f"{folder} has no pictures ({', '.join(sorted(SUFFIXES))}).")
    for path in paths:
        try:
            image = open_image(path)
        except ImageError as error:
            raise DataError(f"{path}: {error}") from None
        yield path.parent.name, image


def _text(rng: np.random.Generator) -> Image.Image:
    """A page of made-up words."""
    page = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(page)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    for y in range(10, SIZE[1] - 10, 14):
        words = ("".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(14))
        draw.text((10, y), " ".join(words), fill="black")
    return page
