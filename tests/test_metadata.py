"""Uploads lose what is not the picture, and keep every pixel of it."""

import io
import struct
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, PngImagePlugin

from skin_lesion.images import open_image
from skin_lesion.metadata import strip, strip_file

SECRETS = (b"Vienna", b"GPSCAMERA", b"a secret remark")


def exif(orientation: int = 1) -> Image.Exif:
    """Place, camera and which side is up."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    tags[ExifTags.Base.Model] = "GPSCAMERA"
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSProcessingMethod] = b"Vienna"
    return tags


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_file_keeps_its_pixels_and_the_side_that_is_up(image, orientation, options):
    whole = encoded(image, "JPEG", exif=exif(orientation), comment=b"a secret remark", **options)
    phone = whole + whole  # a second picture behind the first, with an Exif of its own
    assert all(secret in phone for secret in SECRETS)
    stripped = strip(phone)
    assert not any(secret in stripped for secret in SECRETS)
    assert np.array_equal(np.asarray(open_image(stripped)), np.asarray(open_image(whole)))
    assert open_image(stripped).size == (image.size if orientation == 1 else image.size[::-1])
    assert dict(Image.open(io.BytesIO(stripped)).getexif()) == ({} if orientation == 1 else {0x0112: orientation})
    assert strip(stripped) == stripped


def test_a_well_compressed_photograph_does_not_become_too_large(image, monkeypatch):
    whole = encoded(image, "WEBP", exif=exif(6), quality=20)
    monkeypatch.setattr("skin_lesion.metadata.MAX_BYTES", 12_000)  # its 10,800 pixels of noise are 32 kB as PNG
    stripped = strip(whole)
    assert stripped.startswith(b"\xff\xd8\xff") and SECRETS[0] not in stripped
    assert open_image(stripped).size == open_image(whole).size


@pytest.mark.parametrize("filling", [b"\0", b"\0\0\0", b"junk", b"\xff", b"\xff\0"])
def test_what_a_jpeg_file_holds_between_its_parts_is_passed_over(image, filling):
    """As Pillow does: a file that opens must not be cut to pieces."""
    whole = encoded(image, "JPEG", exif=exif(1), comment=b"a secret remark")
    at = whole.index(b"\xff\xdb")  # the first table
    filled = whole[:at] + filling + whole[at:]
    stripped = strip(filled)
    assert np.array_equal(np.asarray(open_image(stripped)), np.asarray(open_image(filled)))
    assert stripped == strip(whole)


def test_the_thumbnails_of_a_jpeg_file_go_too(image):
    """They may show what was cropped away: one of RGB values in the head (JFIF), one in a part of its own (JFXX)."""
    plain = encoded(image, "JPEG", dpi=(72, 72))
    assert plain[2:4] == b"\xff\xe0" and plain[4:6] == b"\x00\x10"
    head = b"\xff\xe0" + (16 + 12).to_bytes(2, "big") + plain[6:18] + b"\x02\x02" + b"Vienna" * 2
    own = b"JFXX\x00\x10" + encoded(image.resize((9, 9)), "JPEG", comment=b"a secret remark")
    whole = plain[:2] + head + b"\xff\xe0" + (len(own) + 2).to_bytes(2, "big") + own + plain[20:]
    assert np.array_equal(np.asarray(open_image(whole)), np.asarray(open_image(plain)))
    assert strip(whole) == plain


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_files_keep_their_pixels(image, kind):
    whole = encoded(image, kind, exif=exif(8), **({"lossless": True} if kind == "WEBP" else {}))
    assert any(secret in whole for secret in SECRETS)
    stripped = strip(whole)
    assert not any(secret in stripped for secret in SECRETS)
    assert np.array_equal(np.asarray(open_image(stripped)), np.asarray(open_image(whole)))


def test_texts_in_a_png_file_go_too(image):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a secret remark")
    info.add_itxt("XML:com.adobe.xmp", "<x>Vienna</x>", zip=True)
    whole = encoded(image, "PNG", pnginfo=info)
    stripped = Image.open(io.BytesIO(strip(whole)))
    assert b"a secret remark" in whole and stripped.info == {}


def test_a_png_file_keeps_its_parts_and_nothing_stands_behind_its_end(image):
    """As open_image sees them: transparent and too small pictures too, and a chunk of a camera's own."""
    for picture in (image.convert("RGBA"), image.resize((8, 8)), image.quantize(9)):
        plain = encoded(picture, "PNG", transparency=3) if picture.mode == "P" else encoded(picture, "PNG")
        remark = len(b"a secret remark").to_bytes(4, "big") + b"prVt" + b"a secret remark" + bytes(4)
        whole = plain[:33] + remark + plain[33:] + b"Vienna"
        assert strip(whole) == plain
        turned = Image.open(io.BytesIO(strip(encoded(picture, "PNG", exif=exif(6)))))
        assert dict(turned.getexif()) == {0x0112: 6} and np.array_equal(np.asarray(turned), np.asarray(picture))


def test_a_comment_behind_the_first_frame_of_a_gif_file_goes_too(image):
    frames = {"save_all": True, "append_images": [image.rotate(90)], "duration": 100}
    plain = encoded(image, "GIF", **frames)
    whole = plain[:-1] + b"\x21\xfe\x0fa secret remark\x00" + plain[-1:]  # an extension before the end
    assert b"a secret remark" not in strip(whole)
    assert np.array_equal(np.asarray(open_image(strip(whole))), np.asarray(open_image(whole)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("entry", [(11, 1, struct.pack(">f", 6)), (2, 2, b"6\0\0\0"), (3, 1, b"\0\x09\0\0")])
def test_what_no_camera_says_of_the_side_that_is_up_breaks_nothing(image, kind, entry):
    """A float, a text and a number too high: (type, count, value) of the tag."""
    usual, strange = (struct.pack(">HHI", 0x0112, *of[:2]) + of[2] for of in ((3, 1, b"\0\x01\0\0"), entry))
    tags = exif().tobytes()
    assert usual in tags
    stripped = strip(encoded(image, kind, exif=tags.replace(usual, strange)))
    assert b"Vienna" not in stripped and not Image.open(io.BytesIO(stripped)).getexif()


def test_an_image_too_large_to_be_opened_loses_what_it_says_too(image):
    whole = encoded(image, "JPEG", exif=exif(6))
    head = whole.index(b"\xff\xc0") + 5  # height and width, two bytes each
    bomb = whole[:head] + b"\xff\xff\xff\xff" + whole[head + 4 :]
    assert not any(secret in strip(bomb) for secret in SECRETS)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_file_that_says_nothing_is_left_as_it_is(image, kind):
    plain = encoded(image, kind)
    assert strip(plain) == plain


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 2000))
def test_no_bytes_break_it(garbage, length):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about damaged tags
        for kind, head in (("JPEG", b"\xff\xd8\xff"), ("PNG", b"\x89PNG\r\n\x1a\n")):
            whole = encoded(Image.new("RGB", (40, 40)), kind, exif=exif(6))
            for data in (garbage, head + garbage, whole[:length], whole[:length] + garbage):
                assert b"Vienna" not in strip(data) or not data.startswith(head)


def test_a_file_is_changed_in_its_place_and_nothing_is_left_beside_it(image, tmp_path):
    path = tmp_path / "mole.jpg"
    path.write_bytes(encoded(image, "JPEG", exif=exif(6)))
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    for file in (path, text):
        strip_file(file)
    assert b"Vienna" not in path.read_bytes() and text.read_text() == "no image"
    assert sorted(tmp_path.iterdir()) == [path, text]
