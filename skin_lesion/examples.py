"""The example images beside a model or this program, each credited in credits.csv.

Such a folder may come from a stranger: what is broken, uncredited or out of bounds is left out, with a line in the log.
"""

import csv
import logging
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image

from skin_lesion.classes import CODES, check_code
from skin_lesion.images import open_image

FOLDER, CREDITS = "examples", "credits.csv"
SHOWS = ("class", "ambiguous", "no lesion", "blurred")  # what an example is there to show
MAX_PER_CLASS = 4  # that many load with the page soon enough; as many of each of the others in SHOWS
MAX_FILES = MAX_PER_CLASS * (len(CODES) + len(SHOWS) - 1)
MAX_SHOWN = 14  # at once, on the page
MAX_ROWS = 100  # of credits.csv; the rest is not looked at
MAX_BYTES = 1_000_000  # of a file; an image of HAM10000, 600×450, is smaller even uncompressed
MAX_TEXT = 300  # characters of a field in credits.csv
NAME = re.compile(r"\w[\w. -]{0,99}\.(jpe?g|png|webp)", re.ASCII | re.IGNORECASE)  # of a file, in no other folder
FORMATS = ("JPEG", "PNG", "WEBP")  # what every browser shows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    path: Path
    code: str  # of its class, according to whoever credits it; "" if it has none, which one of a class never is
    source: str
    licence: str
    note: str  # "" if there is none
    shows: str = "class"  # one of SHOWS

    @property
    def kind(self) -> str:
        """What it stands beside others for: its class, or what else it shows."""
        return self.code if self.shows == "class" else self.shows


def read_examples(folder: Path) -> list[Example]:
    """The examples of a folder in the order of its credits.csv; [] if there are none. Raises nothing."""
    if not folder.is_dir():
        return []
    found: dict[Path, Example] = {}
    try:
        if (folder / CREDITS).stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        lines = (folder / CREDITS).read_text(encoding="utf-8").splitlines()
        rows = list(islice(csv.DictReader(lines), MAX_ROWS))
    except (OSError, ValueError, csv.Error) as error:
        log.warning("No examples are shown from %s: %s cannot be read: %s", folder, CREDITS, error)
        return []
    for row in rows:
        try:
            example = _read_row(folder, row)
            if example.path in found:
                raise ValueError("it is listed twice")
            if sum(other.kind == example.kind for other in found.values()) >= MAX_PER_CLASS:
                raise ValueError(f"there are {MAX_PER_CLASS} of its class already")
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            log.warning("The example %.120r of %s is left out: %s", row.get("file"), folder, error)
        else:
            found[example.path] = example
    return list(found.values())


def shown_together(own: list[Example], ours: list[Example]) -> list[Example]:
    """A model's own examples, then of ours what they do not show: at most MAX_SHOWN, as many kinds of own as fit."""
    have = {example.shows for example in own}
    rest = [example for example in ours if example.shows not in have]
    before = {example.path: sum(e.kind == example.kind for e in own[:place]) for place, example in enumerate(own)}
    kept = sorted(own, key=lambda example: before[example.path])[: max(0, MAX_SHOWN - len(rest))]  # one of each first
    return [example for example in own if example in kept] + rest


def _read_row(folder: Path, row: dict[str, str | None]) -> Example:
    """Raises ValueError, OSError or Pillow's DecompressionBombError: why the row cannot be shown."""
    columns = ("file", "class", "source", "licence", "note", "shows")
    fields = [" ".join((row.get(name) or "").split()) for name in columns]
    if max(map(len, fields)) > MAX_TEXT:
        raise ValueError(f"a field of it is longer than {MAX_TEXT} characters")
    name, code, source, licence, note, shows = fields
    shows = shows or "class"  # older credits have no such column
    if not NAME.fullmatch(name):
        raise ValueError("that is not the name of a JPEG, PNG or WebP file in this folder")
    if shows not in SHOWS:
        raise ValueError(f"it shows {shows!r}, which is none of: {', '.join(SHOWS)}")
    if shows == "class" or code:
        check_code(code)
    if not source or not licence:
        raise ValueError(f"{CREDITS} names no source or no licence")
    path = folder / name
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
    with Image.open(path, formats=FORMATS) as image:
        open_image(image)  # decodes it whole, so that damage shows here
    return Example(path, code, source, licence, note, shows)
