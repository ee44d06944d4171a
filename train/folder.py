"""Write the model folder, the one artifact that training, evaluation, push and the app share."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

from skin_lesion.classes import BY_CODE, CODES
from skin_lesion.model import CONFIG, DECISION, METRICS, OOD, WEIGHTS, ModelError, load, read_metrics, weights_digest
from train.files import os_errors, whole
from train.options import FitError

# beside metrics.json, written by train.evaluate
PREDICTIONS = "test_predictions.csv"  # one row a held-out image
FLIPPED = "test_predictions_flips.csv"  # the same, with the mean over four orientations of each
FOREIGN = "foreign_distances.csv"  # one row a picture that is no dermatoscopic image
ALTERED = "altered_answers.csv"  # one row a held-out image: the answers to altered copies
QUALITY = "quality_hints.csv"  # one row a held-out image: the hints on it and on degraded copies
EXPLANATIONS = "explanation_scores.csv"  # by train.explain_eval: one row a held-out image and map
MEASURED = (PREDICTIONS, FLIPPED, FOREIGN, ALTERED, QUALITY, EXPLANATIONS)
FIGURES = "figures"
CAPTIONS = {  # file in it -> what it shows, as the model card says it
    "reliability.png": "How often answers of a given confidence were right, and how many there were",
    "confusion.png": "Which class was taken for which: counts, coloured by the share of the true class",
    "roc.png": "ROC curve of each class against the rest",
    "precision_recall.png": "Precision and recall of each class against the rest",
}
EXPLAINING = "explanation_scores.partial"  # until train.explain_eval ends: what it has so far
EXTERNAL = "external_*.csv"  # by train.external: one row an image


def check_new(out: Path) -> None:
    """Make the model folder `out`, before the work that is to fill it.

    Raises:
        FitError: it holds something that would be lost, or cannot be made.
    """
    if (out / WEIGHTS).exists():
        raise FitError(
            f"{out} holds a finished model. Give another --out, or delete the folder; "
            f"to go on with that model: python -m train.calibrate {out}."
        )
    others = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    if others:
        raise FitError(
            f"--out {out} holds other files, which could be overwritten: {', '.join(others[:3])}"
            f"{' ...' * (len(others) > 3)}. Give a new folder, or an empty one."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FitError(f"--out {out} cannot be written ({error.strerror}); give the path of a folder.") from None


def read_run(folder: Path) -> dict[str, Any]:
    """metrics.json of a model folder that says how its weights were trained.

    Raises:
        ModelError: it does not say so, or is no whole model folder.
    """
    metrics = load(f"local-dir:{folder}").metrics
    if "training" not in metrics:
        raise ModelError(f"{folder / METRICS} does not say how the model was trained; give one of train.fit.")
    return metrics


def metrics_now(folder: Path, digest: str, *answers: str) -> dict[str, Any]:
    """metrics.json as it is by now, to add figures of the weights of this digest to.

    Another command may have written to it, or replaced the weights, since they were loaded.

    answers: files in the folder with answers of these weights, which must not stay beside others.

    Raises:
        ModelError: they were replaced.
    """
    if weights_digest(folder) != digest:
        for name in answers:
            (folder / name).unlink(missing_ok=True)
        raise ModelError(
            f"The weights in {folder} were replaced meanwhile, and these figures are of the old ones. Run it again."
        )
    return read_metrics(folder)


def save_model_folder(model: torch.nn.Module, folder: Path, input_side: int, **records: Any) -> None:
    """Write config.json and model.safetensors as timm does, and `records` as metrics.json.

    The weights get their place last, when all is written: a folder without them does not load.

    input_side: px to which the model's users squash the whole image.
    """
    model = model.to("cpu").to(memory_format=torch.contiguous_format)  # safetensors wants contiguous
    aside = folder / "model.partial"
    try:
        _save_as_timm(model, aside, input_side)
        write_json(aside / METRICS, records)
        for name in (CONFIG, METRICS, WEIGHTS):
            with whole(folder / name) as partial:
                os.replace(aside / name, partial)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _save_as_timm(model: torch.nn.Module, folder: Path, input_side: int) -> None:
    with os_errors(folder / WEIGHTS):
        timm.models.save_for_hf(
            model,
            str(folder),
            safe_serialization=True,
            model_args={"drop_rate": 0.2},  # nothing else is needed to build it again
            model_config={
                "label_names": list(CODES),
                "label_descriptions": {code: BY_CODE[code].name for code in CODES},
                "pretrained_cfg": {
                    "input_size": (3, input_side, input_side),
                    "crop_pct": 1.0,
                    "crop_mode": "squash",
                    "interpolation": "bicubic",
                    "license": "cc-by-nc-4.0",
                    "tag": "ham10000",
                },
            },
        )
    (folder / WEIGHTS).chmod(0o644)  # safetensors writes 0600, but a server may run as somebody else


def calibration_of(metrics: dict[str, Any], digest: str) -> dict[str, Any] | None:
    """What train.calibrate did to the weights of this digest; None if nothing.

    Cut off before new weights took their place, it left what it had done to those there under "earlier".
    """
    found = metrics.get("calibration")
    while found and found.get("weights") != digest:
        found = found.get("earlier")
    return found


def as_trained(logits: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """(..., 7) logits as they were before train.calibrate made (z + prior log(class share)) / temperature of them."""
    return logits * calibration["temperature"] - _shift(calibration)


def as_calibrated(logits: np.ndarray, calibration: dict[str, Any]) -> np.ndarray:
    """The other way."""
    return (logits + _shift(calibration)) / calibration["temperature"]


def _shift(calibration: dict[str, Any]) -> np.ndarray:
    """(7,), what was added to the logits: prior log(class share)."""
    return calibration["prior"] * np.log([calibration["class_share"][code] for code in CODES])


def drop_figures(folder: Path) -> None:
    """Remove thresholds and figures: they must never stand beside weights they are not of."""
    for name in (DECISION, OOD, EXPLAINING, *MEASURED):
        (folder / name).unlink(missing_ok=True)
    for path in folder.glob(EXTERNAL):
        path.unlink()
    shutil.rmtree(folder / FIGURES, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
