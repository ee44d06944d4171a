"""Look among the examples for near-copies of training images: the nearest one to each, by two measures.

    python -m train.nearest examples --data HAM10000

correlation   of thumbnails of SIDE x SIDE px, RGB, less what is coarser than COARSE px, over the 8 flips and turns:
              which detail stands where. It judges: most turned, cropped and compressed copies are found by it.
distance      cosine distance between the model's features, averaged over the map: what the model takes for alike.
              It is told, not judged: by it a turned and compressed copy is mostly not even the nearest image, for what
              the features tell is the class.

The measure of what is near are the training images themselves: how near to each lies the nearest image of another
lesion. An example passes if it correlates with no training image more than SHARE of these do with theirs. That proves
nothing: the share of copies that are noticed stands beside it as copies_caught, measured on COPIES training images
turned, cropped, brightened and compressed; the others would have passed.

Writes FOLDER/nearest.csv, one row an example, image ids and numbers only, and exits with 1 if one does not
pass. A row holds for the file with its digest and the weights with theirs. Takes some eight minutes on one CPU core.
"""

import argparse
import csv
import hashlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter

from skin_lesion import load
from skin_lesion.examples import read_examples
from skin_lesion.images import open_image
from skin_lesion.model import ModelError
from skin_lesion.predict import Classifier, Prediction
from train.command import command
from train.data import DataError, Record, add_data_argument, given_path, read_ham10000
from train.files import whole
from train.parts import parts_of
from train.predictions import predict_all
from train.split import merge_lesions

FILE = "nearest.csv"
COLUMNS = (
    "file",
    "sha256",
    "weights",
    "by_pixels",
    "correlation",
    "limit",  # of the correlation
    "copies_caught",  # share of copies of training images that lie beyond the limit
    "by_features",
    "distance",
    "typical_distance",  # of the training images to their nearest of another lesion, at the median
)
SIDE = 32  # px of a thumbnail
COARSE = 2  # px of it, sd of the blur that is taken off: every lesion is a dark spot in the middle
SHARE = 0.95
COPIES = 200
CHUNK = 256  # images compared at a time


@dataclass(frozen=True, eq=False)
class Reference:
    """The training part, ready to be compared with."""

    images: list[str]  # (N,) their ids
    lesions: np.ndarray  # (N,) the name of each one's lesion
    features: np.ndarray  # (N, 1280) float32, of length 1
    thumbnails: np.ndarray  # (N, 3 SIDE²) float32, of length 1


def pooled(prediction: Prediction) -> np.ndarray:
    """(1280,) float32: the features averaged over the map, of length 1."""
    mean = prediction.features[0].mean((1, 2)).numpy()
    return mean / np.linalg.norm(mean)


def thumbnail(image: Image.Image) -> np.ndarray:
    """(SIDE, SIDE, 3) float32: the detail, of length 1, so that products are correlations."""
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    small = small - gaussian_filter(small, (COARSE, COARSE, 0))
    return small / max(float(np.linalg.norm(small)), 1e-6)


def turned(small: np.ndarray) -> np.ndarray:
    """(8, 3 SIDE²): the flips and quarter turns of a thumbnail."""
    both = (small, small[:, ::-1])
    return np.stack([np.rot90(one, turn).ravel() for one in both for turn in range(4)])


def reference(classifier: Classifier, training: Sequence[Record]) -> Reference:
    lesion_of = merge_lesions(training)
    return Reference(
        [record.image_id for record in training],
        np.array([lesion_of[record.image_id] for record in training]),
        np.stack([pooled(prediction) for prediction in predict_all(classifier, training, "training part")]),
        np.stack([thumbnail(open_image(record.path)).ravel() for record in training]),
    )


def usual(known: Reference) -> tuple[float, float]:
    """How near to an image the nearest one of another lesion lies: median cosine distance, SHARE of correlations."""
    distances, correlations = [], []
    for start in range(0, len(known.images), CHUNK):
        part = slice(start, start + CHUNK)
        same = known.lesions[part, None] == known.lesions  # (C, N)
        cosine = known.features[part] @ known.features.T
        distances.append(1 - np.where(same, -1, cosine).max(1))
        turns = np.stack([turned(one) for one in known.thumbnails[part].reshape(-1, SIDE, SIDE, 3)])  # (C, 8, 3 SIDE²)
        alike = np.max([turns[:, turn] @ known.thumbnails.T for turn in range(8)], axis=0)
        correlations.append(np.where(same, -1, alike).max(1))
    return float(np.median(np.concatenate(distances))), float(np.quantile(np.concatenate(correlations), SHARE))


def copied(image: Image.Image) -> Image.Image:
    """As somebody might pass an image off as another: turned, its margin cut, brighter, compressed."""
    width, height = image.size
    cut = image.crop((round(0.03 * width), round(0.03 * height), round(0.97 * width), round(0.97 * height)))
    file = io.BytesIO()
    ImageEnhance.Brightness(cut.transpose(Image.Transpose.ROTATE_90)).enhance(1.1).save(file, "JPEG", quality=60)
    return Image.open(file)


def caught(training: Sequence[Record], known: Reference, limit: float) -> float:
    """Share of copies of training images that correlate with their originals above the limit."""
    places = np.linspace(0, len(training) - 1, min(COPIES, len(training))).astype(int)
    copies = ((turned(thumbnail(copied(open_image(training[i].path)))) @ known.thumbnails[i]).max() for i in places)
    return float(np.mean([alike > limit for alike in copies]))


def nearest(classifier: Classifier, path: Path, known: Reference) -> dict[str, str | float]:
    """The nearest training images to one picture, in the names of COLUMNS."""
    cosine = known.features @ pooled(classifier.predict(path))
    alike = (turned(thumbnail(open_image(path))) @ known.thumbnails.T).max(0)
    return {
        "by_features": known.images[int(cosine.argmax())],
        "distance": round(1 - float(cosine.max()), 4),
        "by_pixels": known.images[int(alike.argmax())],
        "correlation": round(float(alike.max()), 4),
    }


def passes(row: dict[str, str]) -> bool:
    """Whether an example of nearest.csv lies within the limit, as some copies do too: see copies_caught."""
    return float(row["correlation"]) <= float(row["limit"])


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@command("train.nearest")
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.nearest", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=given_path, metavar="FOLDER", help="examples with their credits.csv")
    add_data_argument(parser)
    parser.add_argument("--model", metavar="SOURCE", help="model whose features compare, as skin_lesion.load takes it")
    args = parser.parse_args(argv)
    classifier = load(args.model)
    if classifier.folder is None:
        raise ModelError(f"The model {args.model} has no folder that says which images it was trained on.")
    examples = read_examples(args.folder)
    if not examples:
        raise DataError(f"{args.folder} has no examples with credits; make them with train.synthesize.")
    records = read_ham10000(args.data)
    training = parts_of(records, classifier.metrics, classifier.folder)["train"]
    known = reference(classifier, training)
    distance, limit = usual(known)
    share = caught(training, known, limit)
    print(f"limit {limit:.4f}, beyond which lie {share:.0%} of copies of training images")
    near = {"typical_distance": round(distance, 4), "limit": round(limit, 4), "copies_caught": round(share, 3)}
    rows = []
    for example in examples:
        name = {"file": example.path.name, "sha256": digest(example.path), "weights": classifier.revision}
        rows.append(
            {key: str(value) for key, value in (name | near | nearest(classifier, example.path, known)).items()}
        )
        verdict = "passes" if passes(rows[-1]) else "TOO NEAR"
        print(
            f"{example.path.name}: correlation {rows[-1]['correlation']}: {verdict}; "
            f"distance {rows[-1]['distance']}, typically {distance:.4f}"
        )
    with whole(args.folder / FILE) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return 0 if all(map(passes, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
