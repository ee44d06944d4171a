"""Which images a model was trained on, and which it has never seen."""

from pathlib import Path
from typing import Any

from skin_lesion.model import METRICS, ModelError
from train.data import Record
from train.split import RATIOS, fingerprint, left_out_part, split


def split_of(records: list[Record], metrics: dict[str, Any], folder: Path) -> dict[str, list[Record]]:
    """The split that the model in `folder` was trained on: {"train", "val", "test"}.

    Raises:
        ModelError: the folder does not say which, or this data gives another split.
    """
    if "split" not in metrics:
        raise ModelError(
            f"{folder / METRICS} does not say which split the model was trained on; train it with train.fit."
        )
    made = metrics["split"]
    parts = split(records, made["seed"], made.get("ratios", RATIOS), made.get("fold"))
    found = fingerprint(parts)
    if found != made["fingerprint"]:
        raise ModelError(
            f"The model in {folder} was trained on split {made['fingerprint']}, but this data gives {found}: "
            "some test images may have been trained on. Use the same HAM10000, or train anew."
        )
    return parts


def parts_of(records: list[Record], metrics: dict[str, Any], folder: Path) -> dict[str, list[Record]]:
    """The same, as far as this model's training went: what it saw of the validation part is in "train".

    Raises:
        ModelError: as split_of.
    """
    return divided(split_of(records, metrics, folder), metrics.get("training", {}))


def divided(parts: dict[str, list[Record]], training: dict[str, Any]) -> dict[str, list[Record]]:
    """A split's parts, with the validation images that a training saw moved to "train"; training: of metrics.json."""
    validation = parts["val"]
    for i, k in left_out(training):
        unseen = {record.image_id for record in left_out_part(parts["val"], i, k)}
        validation = [record for record in validation if record.image_id in unseen]
    kept = {record.image_id for record in validation}
    seen = [record for record in parts["val"] if record.image_id not in kept]
    return parts | {"train": sorted(parts["train"] + seen, key=lambda r: r.image_id), "val": validation}


def left_out(training: dict[str, Any]) -> set[tuple[int, int]]:
    """(i, k) of each --crossfit I/K in a training, in what it began with, and in the models it learned from."""
    own = training.get("options", {}).get("crossfit")
    others = [other["training"] for key in ("teachers", "averaged") for other in training.get(key, [])]
    if "before" in training:
        others.append(training["before"])
    return set().union([tuple(own)] if own else [], *map(left_out, others))
