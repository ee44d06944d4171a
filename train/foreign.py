"""Pictures that are no dermatoscopic images, to measure how many of them are noticed.

Photographs that the installed libraries bring along (whole, and each of their quarters), the skin of
the two faces among them, and drawn ones: pages of text, noise, one colour, the colour of skin, soft
gradients, skin with a small mole as a telephone might show it. Any folder of other pictures can be
given instead: train.evaluate --foreign DIR.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from skin_lesion.images import SUFFIXES, ImageError, image_files, open_image
from train.data import DataError

DRAWN = 20  # of each kind
SIZE = (600, 450)  # px, as HAM10000's originals
PHOTOGRAPHS = {  # kind -> package -> its files
    "photograph": {
        "gradio": [f"media_assets/images/{n}" for n in ("cheetah.jpg", "cheetah1.jpg", "lion.jpg", "tower.jpg")],
        "sklearn.datasets": ["images/china.jpg", "images/flower.jpg"],
        "skimage": [f"data/{n}" for n in ("chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")],
    },
    "portrait": {"matplotlib": ["mpl-data/sample_data/grace_hopper.jpg"], "skimage": ["data/astronaut.png"]},
    "grey photograph": {"skimage": [f"data/{n}.png" for n in ("brick", "camera", "coins", "grass", "gravel", "moon")]},
    "page, photographed": {"skimage": ["data/page.png", "data/text.png"]},
    "inside of an eye": {"skimage": ["data/retina.jpg"]},
    "tissue under a microscope": {"skimage": ["data/ihc.png"]},
}
SKIN_OF = {  # file of a portrait -> boxes (left, top, right, bottom), px: cheeks, nose, mouth, forehead, neck
    "grace_hopper.jpg": (
        (184, 232, 240, 282), (294, 224, 338, 280), (222, 252, 318, 328), (214, 338, 322, 376),
        (210, 136, 310, 170), (238, 192, 298, 256), (190, 216, 330, 328),
    ),
    "astronaut.png": (
        (182, 104, 214, 136), (232, 106, 264, 138), (189, 148, 259, 180), (184, 106, 265, 138),
        (191, 66, 259, 98), (184, 90, 265, 180),
    ),
}  # fmt: skip
FACE_OF = {"grace_hopper.jpg": (170, 110, 360, 340), "astronaut.png": (160, 20, 300, 190)}
SKIN = (225, 180, 160)  # sRGB


def foreign_images(folder: Path | None = None) -> Iterator[tuple[str, Image.Image]]:
    """(kind, image) of the built-in pictures, or of a folder's, where the kind is the sub-folder's name.

    Raises:
        DataError: the folder is missing or has no image; a built-in photograph is gone from its library.
    """
    yield from _folder(folder) if folder else _built_in()


def _built_in() -> Iterator[tuple[str, Image.Image]]:
    for kind, packages in PHOTOGRAPHS.items():
        for package, paths in packages.items():
            for path in paths:
                yield from _views(kind, path.rpartition("/")[2], _photograph(package, path))
    rng = np.random.default_rng(0)
    for _ in range(DRAWN):
        yield "text", _text(rng)
        yield "noise", Image.fromarray(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8))
        yield "one colour", Image.new("RGB", SIZE, tuple(rng.integers(0, 256, 3).tolist()))
        yield "colour of skin", Image.new("RGB", SIZE, tuple((np.array(SKIN) + rng.integers(-30, 31, 3)).tolist()))
        blobs = rng.uniform(0, 256, (6, 8, 3)).astype(np.uint8)
        yield "gradients", Image.fromarray(blobs).resize(SIZE, Image.Resampling.BICUBIC)
    for _ in range(DRAWN):  # after the others, which stay as they were
        yield "skin with a mole, drawn", _mole(rng)


def _photograph(package: str, path: str) -> Image.Image:
    file = files(package).joinpath(path)
    if not file.is_file():
        raise DataError(f"{package} has no {path} any more; give a folder of other pictures with --foreign.")
    return open_image(file.read_bytes())


def _views(kind: str, name: str, image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """The photograph, its quarters under the same kind, and the face and skin in it."""
    yield kind, image
    width, height = image.width // 2, image.height // 2
    for left, top in ((0, 0), (width, 0), (0, height), (width, height)):
        yield kind, image.crop((left, top, left + width, top + height))
    if name in FACE_OF:
        yield "face", image.crop(FACE_OF[name])
    for box in SKIN_OF.get(name, ()):
        yield "skin of a face", image.crop(box)


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


def _mole(rng: np.random.Generator) -> Image.Image:
    """Skin from arm's length: one tone from fair to dark, uneven light, grain, and a small brown spot."""
    width, height = SIZE
    light = Image.fromarray(rng.uniform(0.75, 1.1, (3, 4)).astype(np.float32)).resize(SIZE, Image.Resampling.BICUBIC)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), 1.5)
    tone = np.array(SKIN) * rng.uniform(0.35, 1.05)
    x, y = rng.uniform(0.3, 0.7, 2) * SIZE
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    spot = np.hypot(across - x, (down - y) * rng.uniform(0.8, 1.25)) < rng.uniform(8, 22)  # px
    absorbed = ndimage.gaussian_filter(spot.astype(float), 2)[..., None] * np.array([0.45, 0.6, 0.65])
    shaded = tone * np.asarray(light)[..., None] * (1 + 0.15 * grain[..., None]) * (1 - absorbed)
    return Image.fromarray(shaded.clip(0, 255).astype(np.uint8))
