"""Calibrate a model folder on the validation part, and set the thresholds that its answers are judged by.

    python -m train.calibrate runs/model --data HAM10000

1. The last layer. Training with logit adjustment treats all classes as equally frequent; --prior TAU
   gives back that part of log(class share), which rare classes then need more evidence for. Then one
   temperature (Guo et al. 2017, arXiv:1706.04599) says how sure the answers are. Both are folded into
   weight and bias, so nothing has to be remembered at run time and a stranger's timm gets them too.
2. decision.json: for every class the probability from which it belongs into a prediction set
   (conformal, 90 and 95 %), operating points for melanoma and malignancy, and the distance
   beyond which an image looks unlike the training images, with ood.safetensors to measure it by.
   Where the data come with the lesions' masks, also what tells a lesion that the image's edge cuts off.

Of a model that was trained on validation images too, by train.fit --crossfit, the answers of the models that it is the
mean of are used: to each image that of one which has not seen its lesion.

Figures of the uncalibrated weights are dropped: run train.evaluate next. Two to four minutes on a CPU; eleven on one
slow core.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from skin_lesion.classes import CODES
from skin_lesion.decision import LEVELS, SCORES, Decision, statistics
from skin_lesion.images import open_image
from skin_lesion.model import (
    DECISION,
    METRICS,
    OOD,
    WEIGHTS,
    ModelError,
    file_digest,
    load_to_calibrate,
    read_metrics,
    weights_digest,
)
from skin_lesion.predict import Classifier
from train.card import write_card
from train.command import command
from train.data import Record, add_data_argument, given_path, open_mask, read_ham10000
from train.decisions import KEPT, familiarity, farthest, operating_points, set_thresholds
from train.files import save_tensors, whole
from train.folder import as_calibrated, as_trained, calibration_of, drop_figures, write_json
from train.metrics import ece
from train.options import number
from train.parts import parts_of, split_of
from train.predictions import predict_all
from train.rim import EVERY, Sample, add_cut_off, sample, through_lesion

LIMITS = (0.05, 20.0)  # of the temperature
PRIOR = 0.5  # part of the class shares that is given back, unless asked otherwise


def class_share(training: Sequence[Record]) -> np.ndarray:
    """(7,); a class that the training part lacks counts as one image."""
    return np.bincount([record.label for record in training], minlength=len(CODES)).clip(1) / len(training)


def temperature(labels: np.ndarray, logits: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood. labels (N,), logits (N, 7)."""

    def loss(log_t: float) -> float:
        return -float(np.mean(log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(labels)), labels]))

    found = minimize_scalar(loss, bounds=tuple(np.log(LIMITS)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def fold(folder: Path, t: float, shift: np.ndarray, record: Callable[[str], None] = lambda digest: None) -> None:
    """Make the folder's weights answer (logits + shift) / t, atomically. shift: (7,).

    record: called with the digest of the new weights when they are written, just before they take their place.
    """
    weights = load_file(folder / WEIGHTS)
    weights["classifier.weight"] = weights["classifier.weight"] / t
    weights["classifier.bias"] = (weights["classifier.bias"] + torch.from_numpy(shift).float()) / t
    with whole(folder / WEIGHTS) as partial:
        save_tensors(weights, partial)
        partial.chmod((folder / WEIGHTS).stat().st_mode)
        record(file_digest(partial))


def rim_samples(classifier: Classifier, record: Record, middle: torch.Tensor, data: Path, across: bool) -> list[Sample]:
    """Of an image, whose middle is given, and of its copy cropped through the lesion; none without a mask."""
    mask = open_mask(record, data)
    if mask is None:
        return []
    picture, of_mask = through_lesion(open_image(record.path), mask, across)
    return [sample(middle, mask), sample(classifier.predict(picture).middle, of_mask)]


def answers_of_others(
    models: Sequence[Path], records: list[Record], metrics: dict[str, Any], folder: Path
) -> tuple[list[Record], list[tuple[torch.Tensor, torch.Tensor]]]:
    """The validation part, and of each image what a model says that was not trained on its lesion.

    That is its logits, (7,), as it was before any calibration, and its Prediction.middle.

    models: of which the one in `folder`, whose metrics.json is given, is the mean.

    Raises:
        ModelError: it is not; or all of them were trained on some image.
    """
    validation = split_of(records, metrics, folder)["val"]
    averaged = [entry["training"] for entry in metrics["training"].get("averaged", [])]
    found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for path in models:
        classifier, mine = load_to_calibrate(path), read_metrics(path)
        if mine.get("training") not in averaged:
            raise ModelError(
                f"--crossfit {path} is none of the {len(averaged)} models that {folder} is the mean of. "
                "Give those that train.soup was given."
            )
        unseen = [r for r in parts_of(records, mine, path)["val"] if r.image_id not in found]
        done = calibration_of(mine, weights_digest(path))
        for record, p in zip(unseen, predict_all(classifier, unseen, f"validation part, {path}"), strict=True):
            logits = torch.from_numpy(as_trained(p.logits.double().numpy(), done)) if done else p.logits
            found[record.image_id] = logits, p.middle
    if left := len(validation) - len(found):
        raise ModelError(
            f"{left} of {len(validation)} validation images were trained on by all of {', '.join(map(str, models))}. "
            "Give the models of every part I of --crossfit I/K."
        )
    return validation, [found[record.image_id] for record in validation]


def calibrate(folder: Path, data: Path, prior: float | None = None, crossfit: Sequence[Path] = ()) -> dict:
    """Fold prior and temperature into the folder, write its decision.json and ood.safetensors.

    prior: tau of the shift tau * log(class share of the training part), in place of one that was folded in before;
        None for that one, or, where there was none, for PRIOR after --adjust 1, and for as much more or less as
        another logit adjustment took out.
    crossfit: of a model that was trained on validation images, those that it is the mean of; see answers_of_others.

    Returns:
        What metrics.json now says of the calibration.
    """
    classifier = load_to_calibrate(folder)
    metrics = read_metrics(folder)
    records = read_ham10000(data)
    parts = parts_of(records, metrics, folder)
    training = parts["train"]
    share = class_share(training)
    share_of = {code: round(float(s), 6) for code, s in zip(CODES, share, strict=True)}
    done = calibration_of(metrics, weights_digest(folder))
    earlier = done or {"temperature": 1.0, "prior": 0.0, "class_share": share_of}
    if prior is None:
        prior = done["prior"] if done else max(0, metrics["training"]["options"]["adjust"] - 1 + PRIOR)
    if crossfit:
        validation, answers = answers_of_others(crossfit, records, metrics, folder)
    else:
        validation = parts["val"]
        if not validation:
            raise ModelError(
                f"{folder} was trained on the whole validation part. Give with --crossfit the models that it is the "
                "mean of, which left out a part each."
            )
        answers = [(p.logits, p.middle) for p in predict_all(classifier, validation, "validation part")]
    labels = np.array([record.label for record in validation])
    # (7,); divided as the logits are already: as if the prior had come first, which is what metrics.json will say
    shift = (prior - earlier["prior"]) * np.log(share) / earlier["temperature"]
    raw = torch.stack([logits for logits, _ in answers]).double().numpy()  # (N, 7)
    if crossfit:
        raw = as_calibrated(raw, earlier)
    logits = raw + shift
    t = temperature(labels, logits)
    for limit in LIMITS:
        if abs(np.log(t / limit)) < 1e-3:
            raise ModelError(
                f"The temperature ran to its limit {limit:g}: on the validation part the answers of {folder} say next "
                "to nothing of the truth, or all of it. Train it longer, or look at the data."
            )
    if abs(t - 1) < 1e-3 and not shift.any():
        t = 1.0  # calibrated before: the weights stay as they are, byte for byte
    probabilities = softmax(logits / t, axis=1)
    known: list[np.ndarray] = []
    samples: list[Sample] = []
    for i, p in enumerate(predict_all(classifier, training, "training part")):
        known.append(statistics(p.middle).numpy())
        if i % EVERY == 0:
            samples += rim_samples(classifier, training[i], p.middle, data, across=i // EVERY % 2 == 1)
    reference = familiarity(np.stack(known))
    decision = {
        "part": "val",
        "split": metrics["split"]["fingerprint"],
        "images": len(validation),
        "sets": {f"{level:.2f}": set_thresholds(labels, probabilities, level) for level in LEVELS},
        "operating_points": {name: operating_points(labels, probabilities, name) for name in SCORES},
        "ood": {"kept": KEPT, "farthest": math.inf},
    }
    middles = [middle for _, middle in answers]
    measure = Decision.from_json(decision, reference)
    decision["ood"]["farthest"] = farthest(np.array([measure.distance(statistics(middle)) for middle in middles]))
    add_cut_off(decision, reference, samples, middles, [open_mask(r, data) for r in validation])

    for stale in ("test", "external", "explanations", "weights"):
        metrics.pop(stale, None)
    calibration = {
        "part": "val",
        **({"crossfit": [weights_digest(path) for path in crossfit]} if crossfit else {}),
        "temperature": round(t * earlier["temperature"], 4),  # of both, if the folder was calibrated before
        "prior": prior,
        "class_share": share_of,
        "ece_before": round(ece(labels, softmax(as_trained(raw, earlier), axis=1)), 4),
        "ece_after": round(ece(labels, probabilities), 4),
    }

    def record(digest: str, **more: Any) -> None:
        drop_figures(folder)  # not before: where the new weights cannot be written, the old ones keep theirs
        metrics["calibration"] = {**calibration, "weights": digest, **more}
        write_json(folder / METRICS, metrics)

    if t != 1 or shift.any():
        fold(folder, t, shift, lambda digest: record(digest, earlier=earlier))
    record(weights_digest(folder))
    with whole(folder / OOD) as partial:
        save_tensors(reference, partial)
    decision["ood"]["digest"] = file_digest(folder / OOD)
    write_json(folder / DECISION, {"weights": weights_digest(folder), **decision})
    write_card(folder, metrics)
    return metrics["calibration"]


@command("train.calibrate")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.calibrate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a model folder, as train.fit writes it")
    add_data_argument(parser)
    parser.add_argument(
        "--prior",
        type=number(0, 4),
        metavar="TAU",
        help="part of the class shares to give back; 1 for all that --adjust 1 took out (default: that of an earlier "
        f"calibration, else {PRIOR} after --adjust 1, and as much more or less as another took out)",
    )
    parser.add_argument(
        "--crossfit",
        type=given_path,
        nargs="+",
        default=(),
        metavar="MODEL",
        help="the models that MODEL is the mean of, if these were trained with --crossfit: each validation image is "
        "judged by one that has not seen it",
    )
    args = parser.parse_args()
    found = calibrate(args.model, args.data, args.prior, args.crossfit)
    print(
        f"prior {found['prior']:g}, temperature {found['temperature']:.3f}; "
        f"validation ECE {found['ece_before']:.3f} -> {found['ece_after']:.3f}\n"
        f"next: python -m train.evaluate {args.model} --data {args.data}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
