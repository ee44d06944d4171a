import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from skin_lesion.images import MAX_PIXELS, MIN_SIDE, ImageError, open_image


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def halves(left, right, mode: str = "RGB") -> Image.Image:
    """60 × 40: left half one colour, right half another."""
    image = Image.new(mode, (60, 40), left)
    image.paste(right, (30, 0, 60, 40))
    return image


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"this is a text file", "not an image that can be read"),
        (encode(Image.new("RGB", (1, 1)), "PNG"), "too small: 1×1"),
        (encode(Image.new("RGB", (MIN_SIDE - 1, 500)), "PNG"), "too small"),
        (encode(Image.new("1", (20_000, 20_000)), "PNG"), "too large"),
        (encode(Image.new("1", (8_000, 8_000)), "PNG"), "too large: 8000×8000"),
        (encode(Image.effect_noise((300, 300), 50), "JPEG")[:2000], "damaged or incomplete"),
        (encode(Image.effect_noise((300, 300), 50), "PNG")[:2000], "damaged or incomplete"),
        (encode(Image.new("RGBA", (60, 40)), "PNG"), "entirely transparent"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image that can be read"),
    ],
)
def test_unusable_files_are_refused_in_one_plain_sentence(data, message, tmp_path):
    path = tmp_path / "mole.jpg"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        with pytest.raises(ImageError, match=message) as caught:
            open_image(source)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_no_image_and_no_file_are_refused(tmp_path):
    with pytest.raises(ImageError, match="choose or drop one"):
        open_image(None)
    with pytest.raises(ImageError, match="not there, or not any more"):
        open_image(tmp_path / "absent.jpg")
    with pytest.raises(ImageError, match=r"cannot be read \(Is a directory\)"):
        open_image(tmp_path)


def test_largest_allowed_size_is_judged_before_decoding():
    # a header that promises 49 megapixels passes the size check and fails as damaged
    data = encode(Image.new("1", (7_000, 7_000)), "PNG")
    assert 7_000 * 7_000 <= MAX_PIXELS
    with pytest.raises(ImageError, match="damaged"):
        open_image(data[: len(data) // 2])


def test_exif_rotation_is_applied_and_all_metadata_dropped():
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: turn 90 degrees clockwise to see it
    exif[0x8825] = {1: "N", 2: (48.0, 12.0, 0.0)}  # GPS
    opened = open_image(encode(halves("red", "blue"), "JPEG", exif=exif, quality=95))
    assert opened.size == (40, 60)
    top, bottom = opened.getpixel((20, 10)), opened.getpixel((20, 50))
    assert top[0] > 200 and bottom[2] > 200
    assert not opened.getexif() and not opened.info


def test_unreadable_exif_does_not_cost_the_picture():
    data = encode(halves("red", "blue"), "PNG", exif=b"Exif\x00\x00no tiff header")
    assert open_image(data).size == (60, 40)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_greys_of_unknown_range_are_refused(mode):
    image = Image.new(mode, (60, 40), 100_000)
    with pytest.raises(ImageError, match="save it as JPEG or PNG"):
        open_image(encode(image, "TIFF"))


def test_cmyk_becomes_rgb():
    opened = open_image(encode(halves("red", "white").convert("CMYK"), "JPEG", quality=95))
    assert opened.mode == "RGB"
    assert np.allclose(opened.getpixel((50, 20)), 255, atol=6)
    r, g, b = opened.getpixel((10, 20))
    assert r > 200 and g < 60 and b < 60


def test_sixteen_bit_grey_keeps_its_shades():
    values = np.repeat(np.linspace(0, 65535, 64).astype(np.uint16)[None], 40, 0)
    opened = open_image(encode(Image.fromarray(values), "PNG"))
    shades = np.asarray(opened)[0, :, 0].astype(int)
    assert shades[0] == 0 and shades[-1] == 255
    assert (np.diff(shades) > 0).all()


def test_grey_that_would_come_out_next_to_black_is_refused():
    twelve = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for values in (twelve, (twelve // 16).astype(np.int32)):
        with pytest.raises(ImageError, match="fewer than 16 bits of grey"):
            open_image(Image.fromarray(values))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_colours_are_those_of_the_profile(mode):
    """A profile whose red and blue primaries are exchanged, as a browser would show it."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exchanged = profile.replace(b"rXYZ", b"?XYZ").replace(b"bXYZ", b"rXYZ").replace(b"?XYZ", b"bXYZ")
    pixels = np.random.default_rng(0).integers(60, 200, (40, 40, 3), dtype=np.uint8)
    for icc, expected in ((profile, pixels), (exchanged, pixels[..., ::-1]), (b"nonsense", pixels)):
        file = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(file, "PNG", icc_profile=icc)
        found = np.asarray(open_image(file.getvalue()), int)
        assert np.abs(found - expected).max() <= 2


def test_palette_with_transparency_lies_on_white():
    rgba = halves((255, 0, 0, 255), (0, 0, 0, 0), "RGBA")
    opened = open_image(encode(rgba.quantize(), "PNG"))
    assert opened.getpixel((10, 20)) == (255, 0, 0)
    assert opened.getpixel((50, 20)) == (255, 255, 255)


def test_animated_gif_gives_its_first_frame():
    first, second = halves("red", "red"), halves("blue", "blue")
    opened = open_image(encode(first, "GIF", save_all=True, append_images=[second]))
    assert opened.getpixel((10, 10))[0] > 200


def test_arrays_are_checked():
    assert open_image(np.zeros((40, 50, 3), np.uint8)).size == (50, 40)
    assert open_image(np.zeros((40, 50), np.uint8)).mode == "RGB"
    for array in (np.zeros((40, 50, 3)), np.zeros((40, 50, 2), np.uint8), np.zeros((3,), np.uint8)):
        with pytest.raises(ImageError, match="uint8"):
            open_image(array)
