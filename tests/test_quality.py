"""Hints on quality: each fires on what it names, and on nothing else."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from skin_lesion import load
from skin_lesion.images import open_image
from skin_lesion.quality import BLURRED, DARK, HINTS, OVEREXPOSED, SMALL, colourless, hints, sharpness

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.jpg"))


@pytest.fixture(scope="module")
def skin() -> Image.Image:
    """600×450 of even skin with a dark spot, crossed by thin hairs."""
    pixels = np.full((450, 600, 3), (200, 160, 150), np.uint8)
    across, down = np.meshgrid(np.arange(600), np.arange(450))
    pixels[np.hypot(across - 300, down - 225) < 100] = (90, 60, 50)
    pixels[(across + down) % 60 < 4] = (40, 30, 30)
    return Image.fromarray(pixels)


def exposed(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda value: min(255, value * factor))


def test_a_good_image_gets_none(skin):
    assert hints(skin) == ()


def test_each_is_found_by_itself(skin):
    assert hints(exposed(skin, 0.3)) == ("dark",)
    assert hints(skin.resize((SMALL - 1, 400))) == ("small",) and hints(skin.resize((SMALL, SMALL))) == ()
    assert hints(skin.filter(ImageFilter.GaussianBlur(12))) == ("blurred",)
    assert "overexposed" in hints(exposed(skin, 2.5))
    assert hints(skin, cut_off=True) == ("cut_off",)


def test_a_grey_image_is_no_dermatoscopic_one(bundled):
    """Its answer would be a benign one, whatever it shows."""
    for path in EXAMPLES:
        image = open_image(path)
        grey = image.convert("L")
        assert not colourless(image) and bundled.predict(grey).dermatoscopic is False
        assert "cut_off" not in bundled.predict(grey.crop((300, 0, 600, 450))).quality
        assert not colourless(Image.blend(grey.convert("RGB"), image, 0.5)), "pale is not grey"


def test_several_come_in_their_order(skin):
    worst = exposed(skin.filter(ImageFilter.GaussianBlur(12)).resize((100, 100)), 0.3)
    assert hints(worst, cut_off=True) == ("small", "dark", "blurred", "cut_off")
    assert list(HINTS) == ["small", "dark", "overexposed", "blurred", "cut_off"]


def test_a_tube_s_dark_corners_do_not_make_an_image_dark(skin):
    corners = np.asarray(skin).copy()
    across, down = np.meshgrid(np.arange(600), np.arange(450))
    corners[np.hypot(across - 300, down - 225) > 200] = 0  # more than half of the image
    assert (corners == 0).all(2).mean() > 0.5 and hints(Image.fromarray(corners)) == ()


@pytest.mark.parametrize("grey, found", [(DARK - 5, True), (DARK + 5, False)])
def test_dark_is_judged_by_the_brightest_tenth(grey, found):
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[:40] = grey  # 18 % of the rows
    assert ("dark" in hints(Image.fromarray(pixels))) == found


@pytest.mark.parametrize("rows, found", [(10, False), (14, True)])
def test_burnt_out_is_counted_in_pixels(rows, found):
    """10 and 14 of 224 rows are 4.5 and 6.25 %; the limit lies between."""
    assert 10 / 224 < OVEREXPOSED < 14 / 224
    pixels = np.full((224, 224, 3), 150, np.uint8)
    pixels[:rows] = 255
    assert ("overexposed" in hints(Image.fromarray(pixels))) == found


def test_one_colour_has_no_detail():
    assert sharpness(Image.new("RGB", (300, 300), "peru")) == pytest.approx(0, abs=1e-9)


def test_a_soft_lesion_among_sharp_details_is_not_blurred(skin):
    """Its own border is as wide as in a blurred image; the hairs tell the difference."""
    across, down = np.meshgrid(np.arange(600), np.arange(450))
    soft = 1 - 0.6 * np.exp(-((across - 300) ** 2 + (down - 225) ** 2) / 2 / 80**2)[..., None]
    image = np.asarray(soft * (200, 160, 150))
    image[(across + down) % 60 < 4] = (40, 30, 30)
    sharp = Image.fromarray(image.astype(np.uint8))
    assert sharpness(sharp) > BLURRED > sharpness(sharp.filter(ImageFilter.GaussianBlur(8)))


@given(st.integers(0, 2**32 - 1), st.sampled_from(list(Image.Transpose)))
@settings(max_examples=20, deadline=None)
def test_turning_and_mirroring_change_nothing(seed, how):
    coarse = np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((400, 400), Image.Resampling.BICUBIC)
    assert sharpness(image.transpose(how)) == pytest.approx(sharpness(image), rel=0.02)  # rounding of the reduction
    assert set(hints(image.transpose(how))) == set(hints(image))


@pytest.mark.parametrize("size", [(448, 336), (1200, 900), (2400, 1800)])
def test_the_file_s_resolution_changes_no_hint_but_small(skin, size):
    for factor in (0.3, 1, 2.5):
        for blur in (0, 12):
            image = exposed(skin.filter(ImageFilter.GaussianBlur(blur)), factor)
            assert hints(image.resize(size, Image.Resampling.BICUBIC)) == hints(image)


@pytest.fixture(scope="module")
def bundled():
    return load()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_get_no_hint_but_the_one_they_show(bundled, path):
    assert bundled.predict(path).quality == (("blurred",) if path.stem == "blurred_synthetic" else ())


def test_examples_cropped_to_a_part_of_the_lesion_are_cut_off(bundled):
    """Those that still look dermatoscopic: the others have no lesion to speak of."""
    found = []
    for path in EXAMPLES:
        with Image.open(path) as image:
            part = image.crop((image.width // 3, image.height // 4, image.width * 3 // 4, image.height * 2 // 3))
        prediction = bundled.predict(part)
        assert prediction.dermatoscopic or "cut_off" not in prediction.quality
        if prediction.dermatoscopic:
            found.append("cut_off" in prediction.quality)
    assert len(found) >= 6 and np.mean(found) > 0.5
