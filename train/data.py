"""Read HAM10000 in the layout of its Kaggle archive, and say exactly what is wrong with any other.

    DIR/HAM10000_metadata.csv        lesion_id, image_id, dx, dx_type, age, sex, localization
    DIR/HAM10000_images_part_1/*.jpg
    DIR/HAM10000_images_part_2/*.jpg

Images are found by name in or below any sub-folder whose name contains "images", in either case, and
the metadata may be separated by tabs, so the Dataverse's download works too once its archives are unpacked.
"""

import argparse
import csv
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.images import DAMAGE

COLUMNS = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
MASKS = "HAM10000_segmentations_lesion_tschandl"  # folder of the lesions' masks
DATAVERSE = "https://doi.org/10.7910/DVN/DBW86T"
DOWNLOAD = f"{DATAVERSE} or kaggle.com/datasets/kmader/skin-cancer-mnist-ham10000"


class DataError(ValueError):
    """The folder is not a HAM10000 that can be trained on; the message says why."""


@dataclass(frozen=True)
class Record:
    """One image of the data set."""

    image_id: str
    lesion_id: str
    dx: str  # one of CODES
    dx_type: str  # how the diagnosis was made: histo, follow_up, consensus, confocal
    age: float | None  # years, in steps of five
    sex: str  # male, female, unknown
    localization: str
    path: Path

    @property
    def label(self) -> int:
        """Index of dx in CODES."""
        return CODES.index(self.dx)


def given_path(text: str) -> Path:
    """A type for argparse: Path("") would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("'' is an empty path; name a file or folder, or . for the current one")
    return Path(text)


def add_data_argument(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --data, which falls back to the variable HAM10000_DIR."""

    def folder(text: str) -> Path:
        if not text:
            raise argparse.ArgumentTypeError("name the HAM10000 folder, or set the variable HAM10000_DIR to it")
        return Path(text)

    default = os.environ.get("HAM10000_DIR", "")
    parser.add_argument(
        "--data",
        type=folder,
        default=default if default or required else None,  # argparse hands a text to `type`, an empty one too
        metavar="DIR",
        help="the HAM10000 folder (default: the variable HAM10000_DIR)",
    )


def read_ham10000(folder: str | os.PathLike) -> list[Record]:
    """Read metadata and image paths of a HAM10000 folder, sorted by image_id.

    Raises:
        DataError: the folder, a column, an image or a diagnosis is missing, unknown or double.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}. Download HAM10000 from {DOWNLOAD}.")
    # the Dataverse serves the same table without the ending, or separated by tabs
    tables = [folder / f"HAM10000_metadata{ending}" for ending in (".csv", "", ".tab")]
    table = next((path for path in tables if path.is_file()), None)
    if table is None:
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
        raise DataError(
            f"{folder} has no HAM10000_metadata.csv (found there: {found}). "
            f"Give the unpacked HAM10000 folder; download: {DOWNLOAD}."
        )
    try:
        text = table.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{table} cannot be read ({error.strerror}); change who may, or copy it.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{table} is not UTF-8 text ({error}); download it again, or save it as UTF-8.") from None
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if "\t" in text.partition("\n")[0] else ",")
    missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{table} lacks the column(s) {', '.join(missing)}; it has: {', '.join(reader.fieldnames or ()) or 'none'}."
        )
    try:
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{table}, near line {reader.line_num}: {error}; download it again.") from None
    _check_rows(table, rows)

    paths = {
        path.stem: path
        for sub in sorted(folder.iterdir())
        if sub.is_dir() and "images" in sub.name.lower()
        for path in sub.rglob("*")
        if path.suffix.lower() in {".jpg", ".jpeg", ".png"}
    }
    lost = sorted(row["image_id"] for row in rows if row["image_id"] not in paths)
    if lost:
        raise DataError(
            f"{len(lost)} of {len(rows)} images listed in {table.name} are missing from the image "
            f"folders (HAM10000_images_part_1, HAM10000_images_part_2) of {folder}; "
            f"the first: {', '.join(lost[:5])}."
        )
    records = [_record(row, paths[row["image_id"]]) for row in rows]
    return sorted(records, key=lambda record: record.image_id)


def open_mask(record: Record, data: Path) -> Image.Image | None:
    """A lesion's mask in grey, 255 on the lesion; None where the data have none. Raises DataError if it is damaged."""
    path = data / MASKS / f"{record.image_id}_segmentation.png"
    if not path.is_file():
        return None
    try:
        with Image.open(path) as mask:
            return mask.convert("L")
    except (OSError, *DAMAGE):
        raise DataError(f"{path} is damaged or incomplete; unpack {MASKS}.zip again.") from None


def _check_rows(table: Path, rows: list[dict[str, str]]) -> None:
    if not rows:
        raise DataError(f"{table} has a head but no rows.")
    short = [i for i, row in enumerate(rows, start=2) if None in row.values() or None in row]
    if short:
        raise DataError(f"{table} has {len(short)} broken row(s); the first is line {short[0]}.")
    empty = [i for i, row in enumerate(rows, start=2) if not row["image_id"] or not row["lesion_id"]]
    if empty:
        raise DataError(f"{table} has {len(empty)} row(s) without image_id or lesion_id; the first is line {empty[0]}.")
    unknown = Counter(row["dx"] for row in rows if row["dx"] not in BY_CODE)
    if unknown:
        seen = ", ".join(f"{dx!r} ({n} rows)" for dx, n in unknown.most_common(5))
        raise DataError(f"{table} has unknown diagnoses in dx: {seen}. Valid: {', '.join(CODES)}.")
    double = [i for i, n in Counter(row["image_id"] for row in rows).items() if n > 1]
    if double:
        raise DataError(f"{table} lists {len(double)} image_id(s) more than once; the first: {', '.join(double[:5])}.")


def _record(row: dict[str, str], path: Path) -> Record:
    try:
        age = float(row["age"]) if row["age"] else None
    except ValueError:
        raise DataError(
            f"{row['image_id']}: age {row['age']!r} is not a number of years (leave it empty if unknown)."
        ) from None
    if age is not None and not 0 <= age < 200:
        raise DataError(f"{row['image_id']}: age {row['age']!r} is no age in years (leave it empty if unknown).")
    fields = {name: row[name] for name in COLUMNS if name != "age"}
    return Record(**fields, age=age, path=path)
