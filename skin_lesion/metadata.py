"""Take out of an image file what is not the picture: place, time, camera, thumbnails, comments.

The tag that says which side is up stays, and in a JPEG or PNG file every pixel too: its parts are dropped, nothing is
encoded again. That is quick enough for every upload, and the answer stays the same.
"""

import io
import os
import re
import tempfile
import zlib
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError

from skin_lesion.images import DAMAGE, FORMATS, MAX_BYTES, ImageError, open_image

# in a JPEG file, after a start of scan, compressed data until a marker that is neither a stuffed 0 nor a restart
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SOI, EOI, SOS, APP0, APP1, APP2, APP14, COM = 0xD8, 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
PNG = b"\x89PNG\r\n\x1a\n"
PICTURE = {b"IHDR", b"PLTE", b"IDAT", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"bKGD"}  # chunks of PNG
SAID = {"exif", "xmp", "comment", "extension"}  # in Pillow's info of other files
DAMAGED = (UnidentifiedImageError, Image.DecompressionBombError, ImageError, OSError, *DAMAGE)


def strip_file(path: Path) -> None:
    """Take the metadata out of a file, in its place; what is no image that we read is left as it is."""
    if path.stat().st_size > MAX_BYTES:  # an archive, or what open_image refuses
        return
    data = path.read_bytes()
    stripped = strip(data)
    if stripped == data:
        return
    handle, part = tempfile.mkstemp(dir=path.parent)  # a name of its own: the same file may come twice at once
    try:
        with open(handle, "wb") as file:
            file.write(stripped)
        os.replace(part, path)  # nobody ever reads half a file
    finally:
        Path(part).unlink(missing_ok=True)


def strip(data: bytes) -> bytes:
    """The bytes of an image file without metadata; of a cut-off JPEG or PNG file, what is left of the picture.

    Any other file, and what open_image refuses in other formats, stays as it is.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _strip_jpeg(data)
    if data.startswith(PNG):
        return _strip_png(data)
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        # Pillow reads a GIF file's comments only when it comes to their frames
        if image.format != "GIF" and not (image.getexif() or SAID & set(image.info)):
            return data
        opened, file = open_image(data), io.BytesIO()
        opened.save(file, "PNG", compress_level=1)
        if file.tell() > MAX_BYTES:  # a well compressed photograph must not be refused for what we made of it
            file = io.BytesIO()
            opened.save(file, "JPEG", quality=95)
        return file.getvalue()
    except DAMAGED:
        return data


def _strip_jpeg(data: bytes) -> bytes:
    """Keep what decodes the picture: no Exif, thumbnail, XMP, IPTC or comment, and nothing behind the end."""
    kept, place = [data[:2]], 2
    try:
        while (place := data.find(b"\xff", place)) >= 0:  # what stands between segments is skipped, as Pillow does
            marker = data[place + 1]
            if marker in (0x00, 0xFF):  # filling
                place += 2 - marker % 2
                continue
            if marker == EOI:
                kept.append(data[place : place + 2])
                break
            end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
            if marker == SOS:
                found = MARKER.search(data, end)
                end = found.start() if found else len(data)
            if _belongs_to_the_picture(marker, data[place + 4 : place + 16]):
                part = data[place:end]
                if marker == APP0 and len(part) > 18:  # behind version and density a thumbnail
                    part = b"\xff\xe0\x00\x10" + part[4:16] + b"\x00\x00"  # of no pixels
                kept.append(part)
            place = end
    except IndexError:  # cut off
        pass
    if exif := _orientation(data):
        kept.insert(1, b"\xff" + bytes([APP1]) + (len(exif) + 2).to_bytes(2, "big") + exif)
    return b"".join(kept)


def _belongs_to_the_picture(marker: int, start: bytes) -> bool:
    if marker == APP2:
        return start.startswith(b"ICC_PROFILE")
    if marker == APP0:  # JFXX would be a thumbnail
        return start.startswith(b"JFIF\0")
    return marker == APP14 or not (APP0 <= marker <= APP0 + 15 or marker == COM)


def _strip_png(data: bytes) -> bytes:
    """Keep what decodes the first frame: no Exif, text, time or unknown chunk, and nothing behind the end."""
    kept, place = [PNG], len(PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")  # length, kind, content, checksum
        kind = data[place + 4 : place + 8]
        if kind in PICTURE or kind == b"IEND":
            kept.append(data[place:end])
        if kind == b"IEND":
            break
        place = end
    if exif := _orientation(data):
        chunk = b"eXIf" + exif.removeprefix(b"Exif\0\0")
        length, checksum = len(chunk) - 4, zlib.crc32(chunk)
        kept.insert(2, length.to_bytes(4, "big") + chunk + checksum.to_bytes(4, "big"))  # behind the head, IHDR
    return b"".join(kept)


def _orientation(data: bytes) -> bytes:
    """An Exif block that says which side is up, and nothing else; empty where that is the usual one."""
    try:
        up = Image.open(io.BytesIO(data), formats=("JPEG", "PNG")).getexif().get(ExifTags.Base.Orientation, 1)
    except DAMAGED:
        return b""
    if not isinstance(up, int) or up not in range(2, 9):
        return b""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = up
    return exif.tobytes()
