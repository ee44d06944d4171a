"""Calibrate a model folder on the validation part, and set the thresholds that its answers are judged by.

    python -m train.calibrate runs/model --data HAM10000

1. One temperature (Guo et al. 2017, arXiv:1706.04599): changes how sure the model is, not what it
   answers. Weight and bias of the last layer are divided by it, so nothing has to be remembered
   at run time and a stranger's timm gets calibrated probabilities too.
2. decision.json: for every class the probability from which it belongs into a prediction set
   (conformal, 90 and 95 %), operating points for melanoma and malignancy, and the distance
   beyond which an image looks unlike the training images, with ood.safetensors to measure it by.

Figures of the uncalibrated weights are dropped: run train.evaluate next. Two to four minutes on a CPU.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from skin_lesion.decision import LEVELS, SCORES, Decision, statistics
from skin_lesion.model import DECISION, METRICS, OOD, WEIGHTS, ModelError, load, read_metrics, weights_digest
from train.card import write_card
from train.data import DataError, add_data_argument, read_ham10000
from train.decisions import KEPT, familiarity, farthest, operating_points, set_thresholds
from train.evaluate import part_of_training_split
from train.files import whole
from train.folder import PREDICTIONS, write_json
from train.metrics import ece
from train.predictions import predict_all

LIMITS = (0.05, 20.0)  # of the temperature


def temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood. labels (N,), logits (N, 7)."""

    def loss(log_t: float) -> float:
        return -float(np.mean(log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels]))

    found = minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def fold(folder: Path, t: float) -> None:
    """Divide the last layer of the folder's weights by the temperature t, atomically."""
    weights = load_file(folder / WEIGHTS)
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name] / t
    with whole(folder / WEIGHTS) as partial:
        save_file(weights, partial, metadata={"format": "pt"})
        partial.chmod((folder / WEIGHTS).stat().st_mode)


def calibrate(folder: Path, data: Path) -> dict:
    """Fold the temperature into the folder, write its decision.json and ood.safetensors; return its metrics."""
    classifier = load(f"local-dir:{folder}")
    metrics = read_metrics(folder)
    records = read_ham10000(data)
    validation = part_of_training_split(records, metrics, folder, "val")
    labels = np.array([record.label for record in validation])
    answers = [(p.logits, p.middle) for p in predict_all(classifier, validation, "validation part")]
    logits = torch.stack([logits for logits, _ in answers]).double().numpy()  # (N, 7)
    t = temperature(labels, logits)
    for limit in LIMITS:
        if abs(np.log(t / limit)) < 1e-3:
            raise ModelError(
                f"The temperature ran to its limit {limit:g}: on the validation part the answers of {folder} say next "
                "to nothing of the truth, or all of it. Train it longer, or look at the data."
            )
    if abs(t - 1) < 1e-3:
        t = 1.0  # calibrated before: the weights stay as they are, byte for byte
    probabilities = softmax(logits / t, axis=1)
    training = part_of_training_split(records, metrics, folder, "train")
    reference = familiarity(
        np.stack([statistics(p.middle).numpy() for p in predict_all(classifier, training, "training part")])
    )
    decision = {
        "part": "val",
        "split": metrics["split"]["fingerprint"],
        "images": len(validation),
        "sets": {f"{level:.2f}": set_thresholds(labels, probabilities, level) for level in LEVELS},
        "operating_points": {name: operating_points(labels, probabilities, name) for name in SCORES},
        "ood": {"kept": KEPT, "farthest": math.inf},
    }
    measure = Decision.from_json(decision, reference)
    decision["ood"]["farthest"] = farthest(np.array([measure.distance(middle) for _, middle in answers]))

    for stale in ("test", "external", "weights"):  # figures must never stand beside weights they are not of
        metrics.pop(stale, None)
    for name in (DECISION, OOD, PREDICTIONS):  # nor thresholds: from here to the end the folder has none
        (folder / name).unlink(missing_ok=True)
    before = metrics.get("calibration", {}).get("temperature", 1.0)
    metrics["calibration"] = {
        "part": "val",
        "temperature": round(t * before, 4),  # of both, if the folder was calibrated before
        "ece_before": round(ece(labels, softmax(logits * before, axis=1)), 4),
        "ece_after": round(ece(labels, probabilities), 4),
    }
    write_json(folder / METRICS, metrics)
    if t != 1:
        fold(folder, t)
    save_file(reference, folder / OOD)
    write_json(folder / DECISION, {"weights": weights_digest(folder), **decision})
    write_card(folder, metrics)
    return metrics["calibration"]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a model folder, as train.fit writes it")
    add_data_argument(parser)
    args = parser.parse_args()
    try:
        found = calibrate(args.model, args.data)
    except (DataError, ModelError) as error:
        print(f"train.calibrate: {error}", file=sys.stderr)
        return 1
    print(
        f"temperature {found['temperature']:.3f}; "
        f"validation ECE {found['ece_before']:.3f} -> {found['ece_after']:.3f}\n"
        f"next: python -m train.evaluate {args.model} --data {args.data}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
