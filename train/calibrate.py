"""Calibrate a model folder on the validation part: one temperature, folded into the last layer.

    python -m train.calibrate runs/model --data HAM10000

Dividing the logits by a temperature changes how sure the model is, not what it answers (Guo et al.
2017, arXiv:1706.04599). Weight and bias of the last layer are divided by it, so nothing has to be
remembered at run time and a stranger's timm gets calibrated probabilities too. Figures of the
uncalibrated weights are dropped: run train.evaluate next. Takes about a minute on a CPU.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from skin_lesion.model import METRICS, WEIGHTS, ModelError, load, read_metrics
from train.card import write_card
from train.data import DataError, add_data_argument, read_ham10000
from train.evaluate import part_of_training_split, predict_all
from train.folder import PREDICTIONS, write_json
from train.metrics import ece

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
    partial = folder / f"{WEIGHTS}.partial"
    save_file(weights, partial, metadata={"format": "pt"})
    partial.chmod((folder / WEIGHTS).stat().st_mode)
    partial.replace(folder / WEIGHTS)


def calibrate(folder: Path, data: Path) -> dict:
    """Fold the temperature into the folder and return what metrics.json now says of it."""
    classifier = load(f"local-dir:{folder}")
    metrics = read_metrics(folder)
    validation = part_of_training_split(read_ham10000(data), metrics, folder, "val")
    labels = np.array([record.label for record in validation])
    logits = torch.stack([p.logits for p in predict_all(classifier, validation)]).double().numpy()
    t = temperature(labels, logits)
    for limit in LIMITS:
        if abs(np.log(t / limit)) < 1e-3:
            raise ModelError(
                f"The temperature ran to its limit {limit:g}: on the validation part the answers of {folder} say next "
                "to nothing of the truth, or all of it. Train it longer, or look at the data."
            )
    for stale in ("test", "weights"):  # figures must never stand beside weights they are not of
        metrics.pop(stale, None)
    before = metrics.get("calibration", {}).get("temperature", 1.0)
    metrics["calibration"] = {
        "part": "val",
        "temperature": round(t * before, 4),  # of both, if the folder was calibrated before
        "ece_before": round(ece(labels, softmax(logits, axis=1)), 4),
        "ece_after": round(ece(labels, softmax(logits / t, axis=1)), 4),
    }
    (folder / PREDICTIONS).unlink(missing_ok=True)
    write_json(folder / METRICS, metrics)
    fold(folder, t)
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
