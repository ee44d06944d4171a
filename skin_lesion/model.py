"""Load a model folder, from the package, from disk or from the Hub, and refuse a wrong one by name.

A model folder is timm's own format: config.json and model.safetensors, here with metrics.json.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data import create_transform, resolve_model_data_config

from skin_lesion.classes import CODES
from skin_lesion.decision import Decision
from skin_lesion.hub import CONFIG, DECISION, METRICS, OOD, SOURCES, WEIGHTS, ModelError, download
from skin_lesion.predict import MIDDLE, Classifier

BUNDLED = Path(__file__).with_name("weights")
ARCHITECTURE = "efficientnet_b0"


def load(source: str | None = None, *, flips: bool = False) -> Classifier:
    """Load a classifier together with its own preprocessing.

    Args:
        source: None for the weights in the package, "local-dir:PATH", or
            "hf-hub:USER/REPO@REVISION" (a branch, tag or commit; without it the default branch).
        flips: test-time augmentation: the probabilities are the mean over the image as it is, mirrored, upside
            down and both, for four passes instead of one. So all four get the same, but for rounding. Maps,
            distance and hints are of the image as it is; temperature and thresholds were set on single ones.

    Raises:
        ModelError: the source is unknown or unreachable, a file is missing or damaged, the
            classes differ from CODES, or a weight is not finite.
    """
    return replace(_load_source(source), flips=flips)


def _load_source(source: str | None) -> Classifier:
    if source is None:
        return _load_folder(BUNDLED, "bundled")
    kind, _, place = source.partition(":")
    if kind == "local-dir" and place:
        return _load_folder(Path(place), source)
    if kind == "hf-hub" and place:
        folder = download(place)
        return _load_folder(folder, source, revision=folder.name)  # the snapshot's commit
    hint = f" Did you mean local-dir:{source}?" if source and Path(source).is_dir() else ""
    raise ModelError(f"Unknown model source {source!r}: use {SOURCES}, or none for the bundled model.{hint}")


def read_metrics(folder: Path) -> dict[str, Any]:
    """metrics.json of a model folder, {} if there is none. Raises ModelError if it is damaged."""
    return _read_json(folder / METRICS) if (folder / METRICS).is_file() else {}


def weights_digest(folder: Path) -> str:
    """ "sha256:" and 12 hex digits of the weights file: names a revision where there is no commit."""
    return file_digest(folder / WEIGHTS)


def file_digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


def load_to_calibrate(folder: Path) -> Classifier:
    """A local folder without its decision.json, which is about to be made anew and may be missing or damaged."""
    return _load_folder(folder, f"local-dir:{folder}", decides=False)


def _load_folder(folder: Path, source: str, revision: str | None = None, decides: bool = True) -> Classifier:
    if not folder.is_dir():
        raise ModelError(f"There is no model folder {folder}. Give one that train.fit wrote.")
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            there = sorted(p.name for p in folder.iterdir())
            found = ", ".join(there[:8]) + f" and {len(there) - 8} more" * (len(there) > 8) or "nothing"
            raise ModelError(
                f"The model folder {folder} lacks {name} (it has: {found}). "
                "Give a folder that train.fit wrote, or download it again."
            )
    _check_config(folder)
    try:
        model = timm.create_model(f"local-dir:{folder}", pretrained=True)
    except SafetensorError as error:
        raise ModelError(
            f"{folder / WEIGHTS} is damaged or incomplete ({error}); copy or download it again."
        ) from error
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        # timm: unknown architecture or arguments; torch: names or shapes that do not fit
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{folder} does not hold a model that timm can build: {reason}") from error
    model.eval().requires_grad_(False)
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(
                f"{folder / WEIGHTS} holds values that are not finite in {name}; train or download it again."
            )
    feature_info: Any = model.feature_info
    channels = feature_info[MIDDLE]["num_chs"]
    digest = weights_digest(folder)
    metrics = read_metrics(folder)
    _same_weights(metrics, digest, folder / METRICS)
    return Classifier(
        model=model,
        transform=create_transform(**resolve_model_data_config(model), is_training=False),
        source=source,
        revision=revision or digest,
        metrics=metrics,
        decision=_read_decision(folder, digest, channels) if decides else None,
        folder=folder,
    )


def _read_decision(folder: Path, digest: str, channels: int) -> Decision | None:
    """channels: of the map that distances are measured on."""
    if not (folder / DECISION).is_file():
        return None
    value = _read_json(folder / DECISION)
    _same_weights(value, digest, folder / DECISION)
    try:
        decision, reference = Decision.from_json(value, load_file(folder / OOD)), file_digest(folder / OOD)
        if len(decision.mean) != 2 * channels:
            raise ValueError(f"mean {tuple(decision.mean.shape)} does not fit a map of {channels} channels")
    except (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / DECISION} and {OOD} are damaged or not what train.calibrate writes ({error}); "
            "copy or download both again, or run train.calibrate."
        ) from error
    if value["ood"].get("digest", reference) != reference:  # calibrations before there was this have none
        raise ModelError(
            f"{folder / OOD} is {reference}, but the thresholds in {DECISION} are of {value['ood']['digest']}: "
            "the folder mixes two models. Copy or download it whole again, or run train.calibrate."
        )
    return decision


def _same_weights(written: dict[str, Any], digest: str, path: Path) -> None:
    if written.get("weights", digest) != digest:
        raise ModelError(
            f"The figures in {path} are of the weights {written['weights']}, but {WEIGHTS} is {digest}: "
            "the folder mixes two models. Copy or download it whole again."
        )


def _check_config(folder: Path) -> None:
    config = _read_json(folder / CONFIG)
    if config.get("architecture") != ARCHITECTURE or config.get("num_classes") != len(CODES):
        raise ModelError(
            f"{folder / CONFIG} describes {config.get('architecture')!r} with {config.get('num_classes')!r} classes; "
            f"this program explains {ARCHITECTURE!r} with {len(CODES)}. Give a folder that train.fit wrote."
        )
    names = config.get("label_names")
    if not isinstance(names, list) or tuple(names) != CODES:
        raise ModelError(
            f"{folder / CONFIG} names other classes, or in another order: label_names is "
            f"{names!r}, expected {list(CODES)!r}. This model was not made for this program."
        )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); copy or download it again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; copy or download it again.")
    return value
