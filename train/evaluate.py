"""Evaluate a model folder on the held-out lesions and write the figures into it.

    python -m train.evaluate skin_lesion/weights --data HAM10000

Writes into the folder: metrics.json (section "test"), test_predictions.csv (one row an image, from
which every figure can be computed again) and README.md, the model card. Takes a minute or two on
a CPU. Refuses a folder that was trained on another split: its figures would not be held out.
"""

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.model import METRICS, ModelError, load, read_metrics, weights_digest
from skin_lesion.predict import Classifier, Prediction
from skin_lesion.tables import HEADLINE_NAMES, with_interval
from train.card import write_card
from train.data import DataError, Record, add_data_argument, read_ham10000
from train.folder import PREDICTIONS, write_json
from train.metrics import summarise
from train.split import fingerprint, merge_lesions, split


def part_of_training_split(records: list[Record], metrics: dict, folder: Path, part: str) -> list[Record]:
    """The "train", "val" or "test" part of the split that the model in `folder` was trained on.

    Raises:
        ModelError: the folder does not say which, or this data gives another split.
    """
    if "split" not in metrics:
        raise ModelError(
            f"{folder / METRICS} does not say which split the model was trained on; train it with train.fit."
        )
    made = metrics["split"]
    parts = split(records, made["seed"], made["ratios"])
    found = fingerprint(parts)
    if found != made["fingerprint"]:
        raise ModelError(
            f"The model in {folder} was trained on split {made['fingerprint']}, but this data gives {found}: "
            "some test images may have been trained on. Use the same HAM10000, or train anew."
        )
    return parts[part]


def predict_all(classifier: Classifier, records: list[Record]) -> Iterator[Prediction]:
    """One prediction a record, in order, by the same path as in the app."""
    for record in tqdm(records, "predicting", unit="image", leave=False, disable=None):
        yield classifier.predict(record.path)


def image_size(records: list[Record]) -> str:
    """Size of most of the files, as "600×450": figures hold for images like these."""
    sizes = Counter(Image.open(record.path).size for record in records)
    width, height = sizes.most_common(1)[0][0]
    return f"{width}×{height}"


def write_predictions(path: Path, records: list[Record], lesions: dict[str, str], probabilities: np.ndarray) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", "lesion", "dx", *CODES])
        for record, row in zip(records, probabilities, strict=True):
            writer.writerow([record.image_id, lesions[record.image_id], record.dx, *(f"{p:.6f}" for p in row)])


def read_predictions(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """labels (N,), probabilities (N, 7), lesions (N,) of a test_predictions.csv."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labels = np.array([CODES.index(row["dx"]) for row in rows])
    probabilities = np.array([[float(row[code]) for code in CODES] for row in rows])
    return labels, probabilities, np.array([row["lesion"] for row in rows])


def evaluate(folder: Path, data: Path) -> dict:
    """Evaluate, write metrics.json, the predictions and the card; return the metrics."""
    classifier = load(f"local-dir:{folder}")
    records = read_ham10000(data)
    metrics = read_metrics(folder)
    test = part_of_training_split(records, metrics, folder, "test")
    probabilities = np.array([list(p.probabilities.values()) for p in predict_all(classifier, test)])
    write_predictions(folder / PREDICTIONS, test, merge_lesions(records), probabilities)
    metrics["weights"] = weights_digest(folder)
    metrics["test"] = summarise(*read_predictions(folder / PREDICTIONS)) | {"image_size": image_size(test)}
    write_json(folder / METRICS, metrics)
    write_card(folder, metrics)
    return metrics


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder, as train.fit writes it")
    add_data_argument(parser)
    args = parser.parse_args()
    try:
        metrics = evaluate(args.model, args.data)
    except (DataError, ModelError) as error:
        print(f"train.evaluate: {error}", file=sys.stderr)
        return 1
    for name, figure in metrics["test"]["headlines"].items():
        print(f"{HEADLINE_NAMES[name]:60} {with_interval(figure)}")
    print(f"written: {args.model / METRICS}, {PREDICTIONS}, README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
