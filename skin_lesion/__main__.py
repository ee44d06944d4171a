"""Classify images from the command line.

    python -m skin_lesion predict examples
    python -m skin_lesion predict a.jpg b.jpg --format json --model hf-hub:USER/REPO
    python -m skin_lesion report a.jpg --out report.html

Research and education only; not a medical device.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from skin_lesion.images import SUFFIXES, UNREAD, ImageError, image_files, open_image
from skin_lesion.language import LANGUAGES, translator
from skin_lesion.rows import COLUMNS, csv_line, csv_values
from skin_lesion.texts import DISCLAIMER

if TYPE_CHECKING:
    from skin_lesion.predict import Classifier


def main(argv: list[str] | None = None) -> int:
    """Exit status 0: all read; 1: some path or the model could not be used; 2: wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m skin_lesion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--model",
        metavar="SOURCE",
        default=os.environ.get("SKIN_LESION_MODEL") or None,
        help="local-dir:PATH or hf-hub:USER/REPO@REVISION (default: the variable SKIN_LESION_MODEL, "
        "else the bundled weights)",
    )
    predict = commands.add_parser("predict", parents=[model], help="classify images or folders of images")
    predict.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="an image, or a folder of images")
    predict.add_argument(
        "--flips",
        action="store_true",
        help="answer with the mean over four orientations of each image, for four passes; the app and the "
        "report have the image as it is, which their maps explain",
    )
    predict.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: %(default)s")
    report = commands.add_parser("report", parents=[model], help="write one answer as a page to keep or print")
    report.add_argument("image", type=Path, metavar="IMAGE")
    report.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="is overwritten")
    report.add_argument("--language", choices=LANGUAGES, default="en", help="default: %(default)s")
    args = parser.parse_args(argv)
    if args.command == "report" and args.out.suffix.lower() != ".html":  # perhaps the image itself
        parser.error(f"--out {args.out} does not end in .html: name another file.")

    from skin_lesion.model import ModelError, load  # slow to import; --help need not wait

    try:
        classifier = load(args.model, flips=args.command == "predict" and args.flips)
    except ModelError as error:
        print(f"skin_lesion: {error}", file=sys.stderr)
        return 1
    if args.command == "report":
        return _report(classifier, args.image, args.out, args.language)

    failed = False
    write = {"table": _write_table, "json": _write_json, "csv": _write_csv}[args.format]
    first = True
    for path, problem in _images(args.paths):
        try:
            if problem:
                raise ImageError(problem)
            result = {"image": str(path), **classifier.predict(path).to_dict()}
        except ImageError as error:
            print(f"skin_lesion: {path}: {error}", file=sys.stderr)
            failed = True
            continue
        write(result, first)
        first = False
    return int(failed)


def _report(classifier: "Classifier", path: Path, out: Path, language: str) -> int:
    from skin_lesion.explain import explain
    from skin_lesion.report import report_html

    try:
        image = open_image(path)
        prediction = classifier.predict(image)
        shown = explain(classifier, prediction, [prediction.code])[prediction.code]
        now, t = datetime.now(timezone.utc), translator(language)
        out.write_text(report_html(image, prediction, shown, classifier.metrics, t, now), encoding="utf-8")
    except ImageError as error:
        print(f"skin_lesion: {path}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"skin_lesion: {out}: The report cannot be written ({error.strerror}).", file=sys.stderr)
        return 1
    return 0


def _images(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each image to classify with "", or a path with the reason why there is none."""
    for path in paths:
        if path.is_dir():
            found = image_files(path, SUFFIXES + UNREAD)
            yield from ((p, "") for p in found)
            if not found:
                yield path, f"The folder holds no image ({', '.join(SUFFIXES)})."
        elif path.exists():
            yield path, ""
        else:
            yield path, "There is no such file or folder."


def _write_table(result: dict, first: bool) -> None:
    if first:
        print(DISCLAIMER, file=sys.stderr)
        print("class  probability  malignant  possible             image")
    code = result["prediction"]
    shares = [f"{share:.1%}" for share in (result["probabilities"][code], result["malignant"])]
    possible, notes = " ".join(result["set90"] or "-"), list(result["quality"])
    if result["dermatoscopic"] is False:  # of it the answer says nothing; JSON and CSV have it all the same
        code, shares, possible = "-", ["-", "-"], "-"
        notes = ["does not look like a dermatoscopic image", *notes]
    noted = f"  ({', '.join(notes)})" if notes else ""
    print(f"{code:5}  {shares[0]:>11}  {shares[1]:>9}  {possible:19}  {result['image']}{noted}", flush=True)


def _write_json(result: dict, first: bool) -> None:
    print(json.dumps(result), flush=True)


def _write_csv(result: dict, first: bool) -> None:
    head = csv_line(COLUMNS) if first else ""
    print(head + csv_line(csv_values(result)), end="", flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)  # as a program that SIGPIPE ends
