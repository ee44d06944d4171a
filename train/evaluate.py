"""Evaluate a model folder on the held-out lesions and write the figures into it.

    python -m train.evaluate skin_lesion/weights --data HAM10000

Writes into the folder: metrics.json (section "test"), test_predictions.csv (one row an image),
test_predictions_flips.csv (the same with the mean over four orientations, skin_lesion.load's `flips`),
altered_answers.csv, quality_hints.csv and foreign_distances.csv, from which every figure can be computed again,
figures/ and README.md, the model card. Takes minutes, on one slow core half an hour. Refuses a folder that was
trained on another split: its figures would not be held out.
"""

import argparse
import csv
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from skin_lesion.decision import Decision
from skin_lesion.model import METRICS, load, read_metrics, weights_digest
from skin_lesion.predict import Classifier
from skin_lesion.tables import headline_lines
from train.altered import answers_stay, write_altered
from train.card import write_card
from train.command import command
from train.curves import curves, reliability
from train.data import add_data_argument, given_path, read_ham10000
from train.decisions import achieved, foreign_caught
from train.degraded import hints_found, write_hints
from train.figures import write_figures
from train.files import read_rows, whole
from train.folder import (
    ALTERED,
    FIGURES,
    FLIPPED,
    FOREIGN,
    PREDICTIONS,
    QUALITY,
    as_trained,
    calibration_of,
    metrics_now,
    write_json,
)
from train.foreign import foreign_images
from train.metrics import ece, summarise
from train.parts import split_of
from train.predictions import Predictions, image_size, read_predictions, write_predictions
from train.split import merge_lesions
from train.subgroups import subgroups


def figures_of(
    found: Predictions, decision: Decision | None, calibration: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Everything metrics.json says of a set of predictions. calibration: what train.calibrate did, if it ran."""
    of = summarise(found.labels, found.probabilities, found.lesions)
    if calibration:  # undo it
        logits = as_trained(np.log(np.maximum(found.probabilities, 1e-6)), calibration)
        of["ece_before_calibration"] = round(ece(found.labels, softmax(logits, axis=1)), 4)
    if decision:
        of["decision"] = achieved(decision, found.labels, found.probabilities, found.lesions, found.distances)
    if found.groups:
        of["subgroups"] = subgroups(found.labels, found.probabilities, found.lesions, found.groups)
        histo = found.where(found.groups["diagnosis by"] == "histo")
        if len(histo.labels):
            of["histo"] = summarise(histo.labels, histo.probabilities, histo.lesions)
    return of


def write_foreign(path: Path, classifier: Classifier, folder: Path | None) -> None:
    """Distances of pictures that are no dermatoscopic images; built-in ones, or those of a folder."""
    rows = [(kind, classifier.predict(image).distance) for kind, image in foreign_images(folder)]
    with whole(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["kind", "distance"])
        writer.writerows([kind, f"{far:.6f}"] for kind, far in rows)


def read_foreign(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """kinds (M,), distances (M,). Raises ModelError where the file is missing."""
    rows = read_rows(path, ["kind", "distance"])
    return np.array([row["kind"] for row in rows]), np.array([float(row["distance"]) for row in rows])


def held_out_section(folder: Path, decision: Decision | None, metrics: dict[str, Any]) -> dict[str, Any]:
    """The section "test" of metrics.json, from the folder's CSV files alone."""
    found = read_predictions(folder / PREDICTIONS)
    section = figures_of(found, decision, calibration_of(metrics, weights_digest(folder)))
    section["flips"] = figures_of(replace(read_predictions(folder / FLIPPED), groups={}), decision)
    section["altered"] = answers_stay(folder / ALTERED, found.labels, found.probabilities, found.lesions)
    section["quality"] = hints_found(
        folder / QUALITY, found.lesions, decision is not None and decision.probe is not None
    )
    if decision:
        kinds, far = read_foreign(folder / FOREIGN)
        section["foreign"] = foreign_caught(decision, found.distances, far, kinds)
    section["curves"] = curves(found.labels, found.probabilities, found.lesions, decision)
    section["reliability"] = reliability(found.labels, found.probabilities, found.lesions)
    return section


def evaluate(folder: Path, data: Path, foreign: Path | None = None) -> dict[str, Any]:
    """Evaluate and write everything named above; return the metrics."""
    classifier = load(f"local-dir:{folder}")
    metrics, records = read_metrics(folder), read_ham10000(data)
    test = split_of(records, metrics, folder)["test"]
    lesions = merge_lesions(records)
    if foreign:
        deque(foreign_images(foreign), maxlen=0)  # refuses a wrong folder, or a wrong file in it, before the work
    write_predictions(folder / PREDICTIONS, classifier, test, lesions, "test part")
    write_predictions(folder / FLIPPED, replace(classifier, flips=True), test, lesions, "four orientations")
    if classifier.decision:
        write_foreign(folder / FOREIGN, classifier, foreign)
    write_altered(folder / ALTERED, classifier, test)
    write_hints(folder / QUALITY, classifier, test, data)
    section = held_out_section(folder, classifier.decision, metrics) | {"image_size": image_size(test)}
    section["foreign_source"] = foreign.name if foreign else "built in"
    answers = (PREDICTIONS, FLIPPED, FOREIGN, ALTERED, QUALITY)
    metrics_now(folder, classifier.revision, *answers)
    found = read_predictions(folder / PREDICTIONS)
    below = f"{section['images']:,} held-out images of {section['lesions']:,} lesions; weights {classifier.revision}"
    write_figures(folder / FIGURES, found.labels, found.probabilities, below)  # meanwhile others may write
    metrics = metrics_now(folder, classifier.revision, *answers) | {"weights": classifier.revision, "test": section}
    write_json(folder / METRICS, metrics)
    write_card(folder, metrics)
    return metrics


@command("train.evaluate")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a model folder, as train.fit writes it")
    add_data_argument(parser)
    parser.add_argument(
        "--foreign",
        type=given_path,
        metavar="DIR",
        help="pictures that are no dermatoscopic images (default: built-in ones)",
    )
    args = parser.parse_args()
    metrics = evaluate(args.model, args.data, args.foreign)
    print(headline_lines(metrics["test"]))
    if "decision" not in metrics["test"]:
        print(f"no decision.json: for prediction sets and operating points, run train.calibrate {args.model} first")
    print(f"written: {args.model / METRICS}, {PREDICTIONS}, {FIGURES}/, README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
