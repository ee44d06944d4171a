"""Render the demo's example images: one synthetic dermatoscopic image per class, no patient behind it.

    python -m train.synthesize --out examples

HAM10000's own images may not be passed on with the project, so the examples are computed: noise
fields, cells and strokes shaped after each class's dermatoscopic criteria (train/synthesis/),
coloured by Beer-Lambert absorption with skin and lesion colours measured on HAM10000.

Selection: of `--candidates` draws per class the one to which the classifier gives its own class
the highest probability is kept. The examples therefore show what the classifier recognises, and
say nothing about how often it is right. credits.csv repeats this rule beside each file.

Writes OUT/<code>_synthetic.jpg (600 x 450, RGB) for each class and OUT/credits.csv, whose column
seed holds SEED/CLASS/CANDIDATE, the numbers that make the image again. Deterministic given the
seed and the model. Takes about 2 s a candidate on one CPU core: 6 minutes in all.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from skin_lesion.classes import CODES
from train.data import given_path
from train.synthesis.lesions import render

SOURCE = "synthetic: rendered by train/synthesize.py"
LICENCE = "CC0-1.0"
COLUMNS = ("file", "class", "seed", "source", "licence", "note")


def candidate(code: str, seed: int, number: int) -> Image.Image:
    """Draw `number` of class `code`: 600 x 450 RGB, the same for the same arguments."""
    return render(code, np.random.default_rng([seed, CODES.index(code), number]))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.synthesize", description="Render the demo's synthetic example images."
    )
    parser.add_argument(
        "--out", type=given_path, default=Path("examples"), help="folder for the images and credits.csv"
    )
    parser.add_argument("--candidates", type=int, default=24, help="draws per class to choose from")
    parser.add_argument("--seed", type=int, default=0, help="non-negative; another one gives other images")
    parser.add_argument("--model", metavar="SOURCE", help="model that chooses, as skin_lesion.load takes it")
    args = parser.parse_args(argv)
    if args.candidates < 1 or args.seed < 0:
        parser.error("--candidates must be at least 1 and --seed at least 0")

    from skin_lesion.model import ModelError, load  # here, for it pulls in torch: --help need not wait

    try:
        classifier = load(args.model)
    except ModelError as error:
        print(f"train.synthesize: {error}", file=sys.stderr)
        return 1
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"train.synthesize: --out {args.out} cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    rows = []
    for code in CODES:
        best, chosen, probabilities = -1, None, {code: -1.0}
        for number in range(args.candidates):
            image = candidate(code, args.seed, number)
            found = classifier.predict(image).probabilities
            if found[code] > probabilities[code]:
                best, chosen, probabilities = number, image, found
        assert chosen is not None
        path = args.out / f"{code}_synthetic.jpg"
        chosen.save(path, quality=92, subsampling=0)  # 4:4:4: thin red vessels keep their colour
        print(f"{path}: candidate {best}, p({code}) = {probabilities[code]:.3f}")
        top = max(probabilities, key=probabilities.__getitem__)
        if top != code:
            print(
                f"warning: no candidate of {code} was taken for {code}; the best got p({code}) = "
                f"{probabilities[code]:.3f}, behind {top} at {probabilities[top]:.3f}",
                file=sys.stderr,
            )
        note = (
            "synthetic, no patient; not a photograph; of "
            f"{args.candidates} draws the one the classifier gave this class the highest probability"
        )
        rows.append((path.name, code, f"{args.seed}/{CODES.index(code)}/{best}", SOURCE, LICENCE, note))
    with open(args.out / "credits.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
