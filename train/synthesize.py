"""Render the demo's example images, all synthetic, no patient behind them.

    python -m train.synthesize --out examples

HAM10000's own images may not be passed on with the project, so the examples are computed: noise
fields, cells and strokes shaped after each class's dermatoscopic criteria (train/synthesis/),
coloured by Beer-Lambert absorption with skin and lesion colours measured on HAM10000.

Of `--candidates` draws a class the model chooses, by what it answers to the file as it is saved:

class        of the draws it names rightly, with at least SURE and nothing to complain of, the most lifelike:
             the one whose texture lies nearest to the training images' (Decision.distance)
ambiguous    of the draws of mel, nv and bkl, those with mel and a benign lookalike (nv or bkl) in the model's
             90 % set and no class above UNSURE: the one with the highest entropy of these two probabilities
blurred      of the remaining draws of nv, blurred by BLUR px, the most lifelike that it calls blurred, but
             still dermatoscopic
no lesion    of the landscapes the one that looks to it least like a dermatoscopic image

The examples therefore show what the model recognises, and say nothing about how often it is right.
credits.csv repeats the rule beside each file. Where no draw fits, the best is kept, with a warning.

Writes OUT/<name>_synthetic.jpg (600 x 450, RGB) and OUT/credits.csv, whose column seed holds
SEED/RECIPE/CANDIDATE, the numbers that make the image again. Deterministic given the seed and the
model. Takes about 3 s a candidate on one free CPU core: 3 minutes in all. Then run train.nearest.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from skin_lesion.classes import CODES
from train.command import command
from train.data import given_path
from train.synthesis.landscape import landscape
from train.synthesis.lesions import render

if TYPE_CHECKING:  # it pulls in torch, and --help need not wait
    from skin_lesion.predict import Prediction

SOURCE = "synthetic: rendered by train/synthesize.py"
LICENCE = "CC0-1.0"
COLUMNS = ("file", "class", "shows", "seed", "source", "licence", "note")
RECIPES = (*CODES, "landscape")
LOOKALIKES = ("nv", "bkl")  # of mel
LANDSCAPES = 3
SURE, UNSURE = 0.8, 0.6  # of a probability
BLUR = 4  # px, sd


@dataclass(frozen=True, eq=False)
class Draw:
    """A candidate as it would be saved, with what the model answers to it (skin_lesion.predict.Prediction)."""

    recipe: str
    number: int
    jpeg: bytes
    answer: "Prediction"

    def p(self, code: str) -> float:
        return self.answer.probabilities[code]

    @property
    def lifelike(self) -> float:
        """The higher, the nearer to the training images' texture; 0 where the model was never calibrated."""
        return -(self.answer.distance or 0.0)

    @property
    def sound(self) -> bool:
        return not self.answer.quality and self.answer.dermatoscopic is not False

    @property
    def pair(self) -> tuple[str, str]:
        """mel and the likelier of LOOKALIKES."""
        return "mel", max(LOOKALIKES, key=self.p)

    @property
    def entropy(self) -> float:
        """Of the probabilities of `pair`, in nats."""
        return -sum(self.p(code) * log(self.p(code) or 1) for code in self.pair)


def candidate(recipe: str, seed: int, number: int) -> Image.Image:
    """Draw `number` of one of RECIPES: 600 x 450 RGB, the same for the same arguments."""
    rng = np.random.default_rng([seed, RECIPES.index(recipe), number])
    return landscape(rng) if recipe == "landscape" else render(recipe, rng)


def encode(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=92, subsampling=0)  # 4:4:4: thin red vessels keep their colour
    return file.getvalue()


def best(draws: list[Draw], fits: Callable[[Draw], bool], key: Callable[[Draw], float], what: str) -> Draw:
    """The fitting draw with the highest key, or with a warning the highest of all."""
    fitting = [draw for draw in draws if fits(draw)]
    if not fitting:
        print(f"warning: none of {len(draws)} draws fits as example of {what}; the nearest is kept", file=sys.stderr)
    return max(fitting or draws, key=key)


def of_class(draws: list[Draw], code: str) -> Draw:
    def right(draw: Draw) -> bool:
        return draw.sound and draw.p(code) >= SURE

    # of those that are right the most lifelike, of those that are not the surest: `best` never mixes them
    return best(draws, right, lambda draw: draw.lifelike if right(draw) else draw.p(code), code)


def torn(draw: Draw) -> bool:
    """Whether the model cannot tell which of its pair the draw is."""
    return draw.sound and set(draw.pair) <= set(draw.answer.set90 or ()) and max(map(draw.p, CODES)) < UNSURE


def foreign(draw: Draw) -> bool:
    return draw.answer.dermatoscopic is False


def hazy(draw: Draw) -> bool:
    return "blurred" in draw.answer.quality and not foreign(draw)


def choose(draws: dict[str, list[Draw]], blurred: Callable[[Draw], Draw]) -> dict[str, Draw]:
    """By name in the order of the gallery: each class, then ambiguous, no_lesion, blurred. The rules: above."""
    chosen = {code: of_class(draws[code], code) for code in CODES}
    left = {code: [draw for draw in draws[code] if draw is not chosen[code]] or draws[code] for code in CODES}
    unclear = [draw for code in ("mel", *LOOKALIKES) for draw in left[code]]
    chosen["ambiguous"] = best(unclear, torn, lambda draw: draw.entropy, "mel and a lookalike")
    scenes = draws["landscape"]
    chosen["no_lesion"] = best(scenes, foreign, lambda draw: -draw.lifelike, "no lesion")
    naevi = [blurred(draw) for draw in left["nv"]]
    chosen["blurred"] = best(naevi, hazy, lambda draw: draw.lifelike, "a blurred image")
    return chosen


def note(name: str, count: int) -> str:
    """For credits.csv: how the image was chosen."""
    rule = {
        "ambiguous": f"of {3 * count} draws of mel, nv and bkl the one that the model can least tell apart",
        "no_lesion": f"of {LANDSCAPES} landscapes the one that looks to the model least like a dermatoscopic image",
        "blurred": f"a draw of nv, blurred by {BLUR} pixels",
    }.get(name, f"of {count} draws the most lifelike one that the model takes for this class")
    return f"synthetic, no patient; not a photograph; {rule}"


@command("train.synthesize")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.synthesize", description="Render the demo's synthetic example images."
    )
    parser.add_argument(
        "--out", type=given_path, default=Path("examples"), help="folder for the images and credits.csv"
    )
    parser.add_argument("--candidates", type=int, default=8, help="draws per class to choose from")
    parser.add_argument("--seed", type=int, default=0, help="non-negative; another one gives other images")
    parser.add_argument("--model", metavar="SOURCE", help="model that chooses, as skin_lesion.load takes it")
    args = parser.parse_args(argv)
    if args.candidates < 1 or args.seed < 0:
        parser.error("--candidates must be at least 1 and --seed at least 0")

    from skin_lesion.model import load  # here, for the same reason

    classifier = load(args.model)
    args.out.mkdir(parents=True, exist_ok=True)

    def shown(recipe: str, number: int, image: Image.Image) -> Draw:
        jpeg = encode(image)
        return Draw(recipe, number, jpeg, classifier.predict(jpeg))

    def blurred(draw: Draw) -> Draw:
        sharp = candidate(draw.recipe, args.seed, draw.number)
        return shown(draw.recipe, draw.number, sharp.filter(ImageFilter.GaussianBlur(BLUR)))

    counts = dict.fromkeys(CODES, args.candidates) | {"landscape": LANDSCAPES}
    draws: dict[str, list[Draw]] = {recipe: [] for recipe in counts}
    for recipe, count in counts.items():
        for number in range(count):
            draws[recipe].append(shown(recipe, number, candidate(recipe, args.seed, number)))
            print(f"{recipe} {number + 1}/{count}: {describe(draws[recipe][-1])}", flush=True)

    rows = []
    for name, draw in choose(draws, blurred).items():
        path = args.out / f"{name}_synthetic.jpg"
        path.write_bytes(draw.jpeg)
        print(f"{path}: candidate {draw.number} of {draw.recipe}, {describe(draw)}")
        shows = "class" if name in CODES else name.replace("_", " ")
        code = draw.recipe if name in (*CODES, "blurred") else ""  # nobody can say of which an ambiguous one is
        seed = f"{args.seed}/{RECIPES.index(draw.recipe)}/{draw.number}"
        rows.append((path.name, code, shows, seed, SOURCE, LICENCE, note(name, args.candidates)))
    with open(args.out / "credits.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return 0


def describe(draw: Draw) -> str:
    top, second = sorted(CODES, key=draw.p, reverse=True)[:2]
    distance = "unknown" if draw.answer.distance is None else f"{draw.answer.distance:.2f}"
    return f"p({top}) = {draw.p(top):.3f}, p({second}) = {draw.p(second):.3f}, distance {distance}"


if __name__ == "__main__":
    sys.exit(main())
