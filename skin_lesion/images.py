"""Open an image that somebody uploaded: upright, RGB, of a size we can work with, or refuse it.

Every refusal is an ImageError whose text is one plain sentence for the person who chose the file.
"""

import io
import os
import struct
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from skin_lesion.language import Translator

MAX_PIXELS = 50_000_000  # a 50-megapixel photograph needs 150 MB as RGB
MIN_SIDE = 32  # px; below this nothing of a lesion can be seen
MAX_BYTES = 40_000_000  # of the file
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")  # JPEG includes the MPO of many phones
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
UNREAD = (".heic", ".heif", ".avif", ".dng")  # of phones and cameras too, but not read here
DNG_VERSION = 50706  # a TIFF tag

# Pillow's decoders raise any of these on damaged files, and OSError
DAMAGE = (SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError, struct.error)

ImageSource = str | os.PathLike | bytes | np.ndarray | Image.Image


# Pillow warns from 89 megapixels on; below, we refuse from 50 on with a sentence of our own
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class ImageError(ValueError):
    """The image cannot be used; the message says why and what to do.

    ImageError("{size} is too large.", size=3): so that `said` can say it in a visitor's language too.
    """

    def __init__(self, english: str, **values: object):
        super().__init__(english.format(**values) if values else english)
        self.english, self.values = english, values

    def said(self, t: Translator) -> str:
        return t(self.english, **self.values)


def image_files(folder: Path, endings: Sequence[str] = SUFFIXES) -> list[Path]:
    """The files in and below a folder that are images by their ending, sorted; links are followed."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # a link may lead back
            folders.clear()
            continue
        seen.add(real)
        found += [path for name in names if (path := Path(place, name)).suffix.lower() in endings and path.is_file()]
    return sorted(found)


def open_image(source: ImageSource | None) -> Image.Image:
    """Open a path, the bytes of a file, an array (H, W), (H, W, 3|4) uint8, or a PIL image.

    Returns an upright RGB image without metadata, in the colours of sRGB. Transparent parts become white, 16-bit
    grey is scaled to 8 bits, an animation gives its first frame.

    Raises:
        ImageError: no image, not an image, damaged, too small or too large, or of grey whose white is unknown.
    """
    if source is None:
        raise ImageError("There is no image yet: choose or drop one first.")
    try:
        image = _open(source)
        _check_size(image.width, image.height)
        image.load()  # decodes here, so that damage shows here
        return to_rgb(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(
            "The image is too large: more than {limit} megapixels; make it smaller and try again.",
            limit=MAX_PIXELS // 1_000_000,
        ) from None
    except UnidentifiedImageError:
        raise ImageError("This file is not an image that can be read; use a JPEG or PNG file.") from None
    except FileNotFoundError:
        raise ImageError("The file is not there, or not any more; choose the image again.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise ImageError("The file cannot be read ({reason}); choose another one.", reason=error.strerror) from None
    except (OSError, *DAMAGE):
        raise ImageError("The image is damaged or incomplete; save or download it again.") from None


def _open(source: ImageSource) -> Image.Image:
    if isinstance(source, Image.Image):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    file: Path | io.BytesIO
    if isinstance(source, (bytes, bytearray)):
        size, file = len(source), io.BytesIO(source)
    else:
        path = Path(source)
        size, file = path.stat().st_size, path
    if size == 0:
        raise ImageError("The file is empty; choose another one.")
    if size > MAX_BYTES:
        raise ImageError(
            "The file is too large: {size} MB, the limit is {limit} MB.",
            size=round(size / 1e6),
            limit=MAX_BYTES // 1_000_000,
        )
    image = Image.open(file, formats=FORMATS)
    if isinstance(image, TiffImageFile) and DNG_VERSION in image.tag_v2:  # its first picture is a thumbnail
        raise UnidentifiedImageError
    return image


def _from_array(array: np.ndarray) -> Image.Image:
    channels_fit = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not channels_fit:
        raise ImageError(
            "An array must be uint8 of shape (H, W), (H, W, 3) or (H, W, 4); got {dtype} of shape {shape}.",
            dtype=array.dtype,
            shape=array.shape,
        )
    return Image.fromarray(array)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            "The image is too small: {width}×{height} pixels; each side needs at least {limit}.",
            width=width,
            height=height,
            limit=MIN_SIDE,
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            "The image is too large: {width}×{height} pixels; the limit is {limit} megapixels; make it smaller and try "
            "again.",
            width=width,
            height=height,
            limit=MAX_PIXELS // 1_000_000,
        )


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """As a browser shows it: many phones save Display P3, whose numbers mean other colours than in sRGB."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            kept = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
            if shown := ImageCms.profileToProfile(kept, source, ImageCms.createProfile("sRGB"), outputMode="RGB"):
                return shown
        except (ImageCms.PyCMSError, *DAMAGE, OSError):
            pass  # a damaged profile, or one of another kind of picture, says nothing about the colours
    return image.convert("RGB")


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn upright after the EXIF tag, convert any mode and colour profile to sRGB and drop all metadata."""
    try:
        image = ImageOps.exif_transpose(image)
    except DAMAGE:
        pass  # an unreadable tag says nothing about the picture
    profile = image.info.get("icc_profile")
    if image.mode == "F":
        raise ImageError("The image holds decimal numbers, whose black and white are unknown; save it as JPEG or PNG.")
    if image.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("The image holds more than 16 bits of grey; save it as JPEG or PNG.")
        if values.max() < 4096:  # 12 bits or fewer, as some cameras give them: all would be next to black
            raise ImageError("The image holds fewer than 16 bits of grey in a file for 16; save it as JPEG or PNG.")
        image = Image.fromarray(np.uint8(values >> 8))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getbbox() is None:
            raise ImageError("The image is entirely transparent: there is nothing to see; choose another one.")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    rgb = _to_srgb(image, profile)
    clean = Image.new("RGB", rgb.size)  # a new image carries no EXIF, no GPS, no profile
    clean.paste(rgb)
    return clean
