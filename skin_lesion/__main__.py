"""Classify images from the command line.

    python -m skin_lesion predict examples
    python -m skin_lesion predict a.jpg b.jpg --format json --model hf-hub:USER/REPO

Research and education only; not a medical device.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from skin_lesion.images import SUFFIXES, ImageError, image_files
from skin_lesion.rows import COLUMNS, csv_line, csv_values


def main(argv: list[str] | None = None) -> int:
    """Exit status 0: all read; 1: some path or the model could not be used; 2: wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m skin_lesion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    predict = commands.add_parser("predict", help="classify images or folders of images")
    predict.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="an image, or a folder of images")
    predict.add_argument(
        "--model",
        metavar="SOURCE",
        default=os.environ.get("SKIN_LESION_MODEL") or None,
        help="local-dir:PATH or hf-hub:USER/REPO@REVISION (default: the variable SKIN_LESION_MODEL, "
        "else the bundled weights)",
    )
    predict.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: %(default)s")
    args = parser.parse_args(argv)

    from skin_lesion.model import ModelError, load  # slow to import; --help need not wait

    try:
        classifier = load(args.model)
    except ModelError as error:
        print(f"skin_lesion: {error}", file=sys.stderr)
        return 1

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


def _images(paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each image to classify with "", or a path with the reason why there is none."""
    for path in paths:
        if path.is_dir():
            found = image_files(path)
            yield from ((p, "") for p in found)
            if not found:
                yield path, f"The folder holds no image ({', '.join(SUFFIXES)})."
        elif path.exists():
            yield path, ""
        else:
            yield path, "There is no such file or folder."


def _write_table(result: dict, first: bool) -> None:
    if first:
        print("class  probability  image")
    code = result["prediction"]
    print(f"{code:5}  {result['probabilities'][code]:11.1%}  {result['image']}", flush=True)


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
