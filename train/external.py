"""Test a model folder on other labelled images, which it was not trained on.

    python -m train.external runs/model --images DIR                    # DIR/mel/*.jpg, DIR/nv/*.jpg ...
    python -m train.external runs/model --images DIR --truth CSV        # image,MEL,NV,BCC,AKIEC,BKL,DF,VASC

Writes metrics.json (section "external", under the set's name), external_NAME.csv with every answer
and the model card. Images that bear the name of a HAM10000 image are refused unless the
model's own test part held them out.
"""

import argparse
import csv
import io
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from skin_lesion.classes import CODES
from skin_lesion.images import SUFFIXES, image_files
from skin_lesion.model import METRICS, ModelError, load
from skin_lesion.tables import headline_lines
from train.card import write_card
from train.command import command
from train.data import DataError, Record, given_path
from train.evaluate import figures_of
from train.files import read_rows
from train.folder import PREDICTIONS, metrics_now, write_json
from train.predictions import image_size, read_predictions, write_predictions

HAM10000_IDS = range(24306, 34321)  # ISIC_0024306 to ISIC_0034320
UNKNOWN = {"dx_type": "unknown", "age": None, "sex": "unknown", "localization": "unknown"}


def read_labelled(images: Path, truth: Path | None = None) -> list[Record]:
    """Images with their diagnosis: from sub-folders named by class, or from an ISIC ground-truth CSV.

    Such sets seldom say which images show one lesion; an optional column lesion_id does, otherwise
    every image counts as a lesion of its own.

    Raises:
        DataError: a folder, image, column, class or value is missing, unknown or double.
    """
    if not images.is_dir():
        raise DataError(f"There is no folder {images}. Give one of images, or of a folder of images for each class.")
    paths = image_files(images)
    if not paths:
        raise DataError(f"{images} holds no image ({', '.join(SUFFIXES)}).")
    _refuse_double([path.stem for path in paths], "images")
    records = _from_table(truth, paths) if truth else _from_folders(images, paths)
    _refuse_double([record.image_id for record in records], f"lines of {truth}")
    return sorted(records, key=lambda record: record.image_id)


def _refuse_double(names: list[str], what: str) -> None:
    double = [name for name, times in Counter(names).items() if times > 1]
    if double:
        raise DataError(
            f"Several {what} have one name: {', '.join(double[:5])}. Names must be unique without their ending."
        )


def _from_folders(images: Path, paths: list[Path]) -> list[Record]:
    unknown = sorted(
        {p.relative_to(images).parts[0] for p in paths} - {c for code in CODES for c in (code, code.upper())}
    )
    if unknown:
        raise DataError(
            f"{images} has {', '.join(unknown[:5])} beside or instead of sub-folders named by class. "
            f"Valid: {', '.join(CODES)}; or give the diagnoses with --truth CSV."
        )
    return [_record(p, p.relative_to(images).parts[0].lower(), p.stem) for p in paths]


def _from_table(truth: Path, paths: list[Path]) -> list[Record]:
    if not truth.is_file():
        raise DataError(f"There is no file {truth}. Give the CSV file that says which image is what.")
    try:
        text = truth.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{truth} is not a CSV file in UTF-8.") from None
    with io.StringIO(text, newline="") as file:
        reader = csv.DictReader(file)
        columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
        missing = [name for name in ("image", *CODES) if name not in columns]
        if missing:
            raise DataError(
                f"{truth} lacks the column(s) {', '.join(missing)}; it has: {', '.join(columns) or 'none'}. "
                "Expected, in any order: image, MEL, NV, BCC, AKIEC, BKL, DF, VASC."
            )
        try:
            rows = list(reader)
        except csv.Error as error:
            raise DataError(f"{truth}, near line {reader.line_num}: {error}.") from None
    if not rows:
        raise DataError(f"{truth} has a head but no rows.")
    by_name = {p.stem: p for p in paths}
    records = []
    for line, row in enumerate(rows, start=2):
        name = row[columns["image"]] or ""
        name = name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name
        try:
            yes = [code for code in CODES if float(row[columns[code]]) == 1]
            no = [code for code in CODES if float(row[columns[code]]) == 0]
        except (TypeError, ValueError):
            yes = no = []
        if len(yes) != 1 or len(no) != len(CODES) - 1:
            raise DataError(f"{truth}, line {line} ({name}): exactly one class must be 1 and the others 0.")
        if name not in by_name:
            raise DataError(f"{truth}, line {line}: there is no image {name!r} in the folder of --images.")
        records.append(_record(by_name[name], yes[0], row.get(columns.get("lesion_id", ""), "") or name))
    return records


def _record(path: Path, dx: str, lesion: str) -> Record:
    return Record(image_id=path.stem, lesion_id=lesion, dx=dx, path=path, **UNKNOWN)  # type: ignore[arg-type]


def _refuse_trained_on(records: list[Record], folder: Path) -> None:
    held_out = set()
    if (folder / PREDICTIONS).is_file():
        held_out = {row["image_id"] for row in read_rows(folder / PREDICTIONS, ["image_id"])}
    known = [
        r.image_id
        for r in records
        if (m := re.fullmatch(r"ISIC_(\d{7})", r.image_id)) and int(m[1]) in HAM10000_IDS and r.image_id not in held_out
    ]
    if known:
        raise DataError(
            f"{len(known)} of {len(records)} images are HAM10000's by their names (the first: {known[0]}), and "
            "the model may have been trained on them: that would be no test. Take them out."
        )


def external(folder: Path, images: Path, truth: Path | None, name: str) -> dict[str, Any]:
    """Test, write what is named above, and return the set's section of metrics.json."""
    classifier = load(f"local-dir:{folder}")
    if "training" not in classifier.metrics:
        raise ModelError(
            f"{folder} has no metrics.json of train.fit, into which the figures could go. "
            "Give a folder that train.fit wrote."
        )
    records = read_labelled(images, truth)
    if unused := len(image_files(images)) - len(records):
        print(f"train.external: {unused} images have no line in {truth} and are left out", file=sys.stderr)
    _refuse_trained_on(records, folder)
    answers = folder / f"external_{name}.csv"
    write_predictions(answers, classifier, records, {r.image_id: r.lesion_id for r in records}, name)
    found = read_predictions(answers)
    found.groups.clear()  # these sets say nothing of age, sex or site
    section = figures_of(found, classifier.decision) | {"image_size": image_size(records)}
    metrics = metrics_now(folder, classifier.revision, answers.name) | {"weights": classifier.revision}
    metrics.setdefault("external", {})[name] = section
    write_json(folder / METRICS, metrics)
    write_card(folder, metrics)
    return section


@command("train.external")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.external", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a model folder, as train.fit writes it")
    parser.add_argument("--images", type=given_path, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument("--truth", type=given_path, metavar="CSV", help="ground truth, as the ISIC challenges give it")
    parser.add_argument("--name", help="what to call the set (default: the folder's name)")
    args = parser.parse_args()
    name = args.name or args.images.resolve().name
    if not re.fullmatch(r"[\w.-]{1,60}", name):
        parser.error(f"--name {name!r}: use 1 to 60 letters, digits, dots, dashes and underscores")
    section = external(args.model, args.images, args.truth, name)
    print(headline_lines(section))
    return 0


if __name__ == "__main__":
    sys.exit(main())
