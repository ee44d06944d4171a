"""Many images at once, loose or in zip files: one row after another, and no bad file stops the rest.

A zip file is read where it lies, one member at a time into memory; nothing of it is written to a disk. What it promises
is checked before any of it is unpacked, so that it can cost no more than as many images would.
"""

import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from skin_lesion import images
from skin_lesion.images import MAX_BYTES, SUFFIXES, ImageError
from skin_lesion.language import Translator, translator
from skin_lesion.predict import Classifier
from skin_lesion.rows import Row

MAX_IMAGES = 200  # files at once, whether they can be read or not
MAX_ZIP_BYTES = 400_000_000  # of a zip file: as many photographs of 2 MB each
DIRECTORY_BYTES = 1_000_000  # of a zip file's table of contents, with some 10,000 members
LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what computers put beside images unasked
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others can take any amount of memory to unpack

# zipfile raises any of these on damaged or forged archives
DAMAGE = (*images.DAMAGE, OSError, RuntimeError, zipfile.BadZipFile, zlib.error)

# as the person who chose the file knows it, and where it lies or why it could not be had
Named = tuple[str, str | os.PathLike | ImageError]
Read = Callable[[], Path | bytes]  # what to open; raises ImageError where there is nothing
ENGLISH = translator("en")


def classify(classifier: Classifier, files: Sequence[Named], t: Translator = ENGLISH) -> Iterator[Row]:
    """Classify images and the images in zip files, one at a time, each when its row is asked for.

    A file whose name ends in ".zip" is opened as a zip file; its members are called "photos.zip/folder/mole.jpg".

    Yields:
        {"image": name, **Prediction.to_dict()} or {"image": name, "error": sentence}, every name once; in the order of
        the files, but in a zip file first what looks like an image. Folders, hidden files and LITTER in it get no row.
        After MAX_IMAGES files the rest is not looked at: a row says so for each, one for the rest of a zip file, and
        has how many it stands for under "left_out".
    """
    seen: dict[str, int] = {}
    for name, read, left_out in _walk(files):
        unique = name
        while unique in seen:
            seen[name] += 1
            unique = f"{name} ({seen[name]})"
        seen[unique] = 1
        try:
            row = {"image": unique, **classifier.predict(read()).to_dict()}
        except ImageError as error:
            row = {"image": unique, "error": error.said(t), **({"left_out": left_out} if left_out else {})}
        yield row


def count(files: Sequence[Named]) -> int:
    """How many files the rows of `classify` will stand for; of zip files only the table of contents is read."""
    return sum(left_out or 1 for _, _, left_out in _walk(files))


def _walk(files: Sequence[Named]) -> Iterator[tuple[str, Read, int]]:
    """What each row will be called, how to get at its image, and for how many files it says that they are left out."""
    left = MAX_IMAGES
    for given, path in files:
        name = _clean(given)
        if not left:
            beyond = ImageError(
                "Not looked at: the limit is {limit} files at once; give the rest in another go.", limit=MAX_IMAGES
            )
            yield name, partial(_raise, beyond), 1
        elif isinstance(path, ImageError):
            left -= 1
            yield name, partial(_raise, path), 0
        elif not name.lower().endswith(".zip"):
            left -= 1
            yield name, partial(Path, path), 0
        else:
            for row in _walk_zip(name, Path(path), left):
                left = max(0, left - 1)
                yield row


def _walk_zip(name: str, path: Path, left: int) -> Iterator[tuple[str, Read, int]]:
    try:
        with _opened(path) as archive:
            members = [(m, _problem(m)) for m in archive.infolist() if not (m.is_dir() or _is_litter(m))]
            members.sort(key=lambda item: item[1] is not None)
            for member, problem in members[:left]:
                read = partial(_raise, problem) if problem else partial(_unpack, archive, member)
                yield f"{name}/{_member_name(member)}", read, 0
    except ImageError as error:
        yield name, partial(_raise, error), 0
        return
    if not members:
        nothing = ImageError("The zip file holds no image ({endings}).", endings=", ".join(SUFFIXES))
        yield name, partial(_raise, nothing), 0
    elif (more := len(members) - left) > 0:
        beyond = ImageError(
            "{more} more in it, not looked at: the limit is {limit} files at once; give the rest in another go.",
            more=more,
            limit=MAX_IMAGES,
        )
        yield name, partial(_raise, beyond), more


def _raise(error: ImageError) -> bytes:
    raise error


class _Zip(io.FileIO):
    """A file that is not read at one go merely because it says so: zipfile believes any length of the directory."""

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = os.fstat(self.fileno()).st_size - self.tell()
        if size > DIRECTORY_BYTES:
            raise ImageError("The zip file holds too many files; make several zip files of it.")
        return super().read(size)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Raises ImageError where it is no zip file, or one that is too large."""
    try:
        size = path.stat().st_size
        if size > MAX_ZIP_BYTES:
            raise ImageError(
                "The zip file is too large: {size} MB, the limit is {limit} MB.",
                size=round(size / 1e6),
                limit=MAX_ZIP_BYTES // 1_000_000,
            )
        file = _Zip(path)
    except FileNotFoundError:
        raise ImageError("The file is not there, or not any more; choose it again.") from None
    with file:
        try:
            archive = zipfile.ZipFile(file)  # type: ignore[arg-type]
        except ImageError:
            raise
        except DAMAGE:
            raise ImageError("This is no zip file that can be read, or it is damaged; zip the images again.") from None
        yield archive


def _is_litter(member: zipfile.ZipInfo) -> bool:
    parts = _clean(member.filename).split("/")
    return any(part.startswith(".") or part in LITTER for part in parts)


def _member_name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not member.flag_bits & 0x800:  # not marked as UTF-8; in a zip file from a Mac it is UTF-8 all the same
        try:
            name = name.encode("cp437").decode()
        except UnicodeError:
            pass
    return _clean(name)


def _clean(name: str) -> str:
    """A name to be shown: no way out of a folder, nothing that cannot be seen."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    return "".join(c if c.isprintable() else "\ufffd" for c in "/".join(parts)) or "\ufffd"


def _problem(member: zipfile.ZipInfo) -> ImageError | None:
    """Why a member is not even unpacked, by what the zip file says of it."""
    suffix = PurePosixPath(member.filename).suffix.lower()
    if suffix == ".zip":
        return ImageError("A zip file in a zip file is not opened; give it by itself.")
    if suffix not in SUFFIXES:
        return ImageError("This is no image by its ending ({endings}).", endings=", ".join(SUFFIXES))
    if member.flag_bits & 0x1:
        return ImageError("The file is protected with a password; zip it without one.")
    if member.compress_type not in METHODS:
        return ImageError("The file is packed in an unusual way; zip it with the usual method, deflate.")
    if member.file_size > MAX_BYTES:
        return ImageError(
            "The file is too large: {size} MB, the limit is {limit} MB.",
            size=round(member.file_size / 1e6),
            limit=MAX_BYTES // 1_000_000,
        )
    return None


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of one member: never more than it promised, to which zipfile holds it."""
    try:
        with archive.open(member) as file:
            return b"".join(iter(partial(file.read, 1 << 16), b""))
    except DAMAGE:
        raise ImageError("The file is damaged inside the zip file; zip it again.") from None
