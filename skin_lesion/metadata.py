"""Take out of an image file what is not the picture: place, time, camera, thumbnails, comments.

The tag that says which side is up stays, and in a JPEG file every pixel too: its parts are dropped, nothing is encoded
again. That is quick enough for every upload, and the answer stays the same.
"""

import io
import os
import re
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from skin_lesion.images import DAMAGE, FORMATS, MAX_BYTES, ImageError, open_image

# after a start of scan, compressed data until a marker that is neither a stuffed 0 nor a restart
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SOI, EOI, SOS, APP0, APP2, APP14, COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xE2, 0xEE, 0xFE
SAID = {"exif", "xmp", "comment", "extension"}  # in Pillow's info, beside the texts of a PNG file


def strip_file(path: Path) -> None:
    """Take the metadata out of a file, in its place; what is no image that we read is left as it is."""
    if path.stat().st_size > MAX_BYTES:  # an archive, or what open_image refuses
        return
    data = path.read_bytes()
    stripped = strip(data)
    if stripped == data:
        return
    part = path.with_name(path.name + ".partial")
    try:
        part.write_bytes(stripped)
        os.replace(part, path)  # nobody ever reads half a file
    finally:
        part.unlink(missing_ok=True)


def strip(data: bytes) -> bytes:
    """The bytes of an image file without metadata; of any other file, or a damaged one, the same bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return _strip_jpeg(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if not (image.getexif() or SAID & set(image.info) or any(isinstance(v, str) for v in image.info.values())):
            return data
        file = io.BytesIO()
        open_image(data).save(file, "PNG", compress_level=1)
        return file.getvalue()
    except (UnidentifiedImageError, Image.DecompressionBombError, ImageError, OSError, *DAMAGE):
        return data


def _strip_jpeg(data: bytes) -> bytes:
    """Keep what decodes the picture: no Exif, XMP, IPTC or comment, and nothing behind the end, as phones put there."""
    kept, place = [data[:2]], 2
    try:
        while data[place] == 0xFF:
            marker = data[place + 1]
            if marker == 0xFF:  # filling
                place += 1
                continue
            if marker == EOI:
                return b"".join([kept[0], _orientation(data), *kept[1:], data[place : place + 2]])
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            if marker == SOS:
                found = MARKER.search(data, end)
                end = found.start() if found else len(data)
            if _belongs_to_the_picture(marker, data[place + 4 : place + 16]):
                kept.append(data[place:end])
            place = end
    except IndexError:  # cut off
        pass
    return b"".join([kept[0], _orientation(data), *kept[1:]])


def _belongs_to_the_picture(marker: int, start: bytes) -> bool:
    if marker == APP2:
        return start.startswith(b"ICC_PROFILE")
    return marker in (APP0, APP14) or not (APP0 <= marker <= APP0 + 15 or marker == COM)


def _orientation(data: bytes) -> bytes:
    """An Exif segment with the orientation alone, or nothing where that is the usual one."""
    try:
        up = Image.open(io.BytesIO(data), formats=("JPEG",)).getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, *DAMAGE):
        return b""
    if up not in range(2, 9):
        return b""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = up
    body = exif.tobytes()
    return b"\xff" + bytes([APP0 + 1]) + (len(body) + 2).to_bytes(2, "big") + body
