"""Pool the held-out predictions of a cross-validation: every image judged by a model that never saw its lesion.

    export HAM10000_DIR=/path/to/ham10000
    for i in 1 2 3 4 5; do
      python -m train.fit --fold $i/5 --out runs/fold$i && python -m train.calibrate runs/fold$i \\
        && python -m train.evaluate runs/fold$i || break
    done
    python -m train.pool runs/fold1 runs/fold2 runs/fold3 runs/fold4 runs/fold5 --into runs/model

Prints the pooled figures; with --into they are also written into that model folder's metrics.json
(section "out_of_fold") and its card. They judge the recipe, of which the folder's own weights are
one more outcome, and with all images counted their intervals are far narrower.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skin_lesion.model import METRICS, ModelError, read_metrics
from skin_lesion.tables import headline_lines
from train.card import write_card
from train.command import command
from train.data import given_path
from train.evaluate import figures_of
from train.files import read_rows
from train.folder import PREDICTIONS, write_json
from train.predictions import Predictions, read_predictions


def pool(folders: Sequence[Path], into: Path | None = None) -> dict[str, Any]:
    """Figures of all folds together. into: the model folder that they are for.

    Raises:
        ModelError: a folder is not an evaluated fold, or they are not all folds of one cross-validation, or `into`
            is not of their recipe.
    """
    folds, runs, found, judged = [], [], [], Counter[str]()
    for folder in folders:
        metrics = read_metrics(folder)
        if "fold" not in metrics.get("split", {}) or "test" not in metrics or "averaged" in metrics["training"]:
            raise ModelError(
                f"{folder} is not an evaluated fold: train it with train.fit --fold I/K, then run train.evaluate."
            )
        folds.append(tuple(metrics["split"]["fold"]))
        options = {k: v for k, v in metrics["training"]["options"].items() if k != "fold"}
        made = metrics["split"]
        about = {"seed of the split": made["seed"], "number of images": sum(made["images"].values())}
        about["prior of the calibration"] = _prior(metrics)
        runs.append(about | options)
        found.append(read_predictions(folder / PREDICTIONS))
        if len(found[-1].labels) != (images := metrics["test"]["images"]):
            raise ModelError(
                f"{folder / PREDICTIONS} has {len(found[-1].labels)} rows, but {images} images were held out there; "
                "run train.evaluate anew."
            )
        judged.update(row["image_id"] for row in read_rows(folder / PREDICTIONS, ["image_id"]))
    k = folds[0][1]
    if Counter(folds) != Counter((i, k) for i in range(1, k + 1)):
        given = ", ".join(f"{i}/{k}" for i, k in folds)
        raise ModelError(f"Each fold is needed once, 1/{k} to {k}/{k}; given: {given}.")
    if twice := [image for image, count in judged.items() if count > 1]:
        raise ModelError(
            f"{len(twice)} images were judged by more than one of these models (the first: {twice[0]}), so the answers "
            "in some folder are not its own. Run train.evaluate anew."
        )
    for folder, run in zip(folders, runs, strict=True):
        other = sorted(name for name in run if run[name] != runs[0].get(name))
        if other:
            raise ModelError(f"{folder} was trained with other options than {folders[0]}: {', '.join(other)}.")
    if into:
        _check_recipe(into, folders[0])
    return {"folds": k, **figures_of(Predictions.concatenate(found), None)}


def _prior(metrics: dict[str, Any]) -> float | None:
    """It decides which class is the most probable; None where there was no calibration."""
    return metrics.get("calibration", {}).get("prior")


def _check_recipe(into: Path, fold: Path) -> None:
    made = read_metrics(into)
    if "training" not in made or "fold" in made["split"]:
        raise ModelError(f"--into {into} is no model folder of train.fit, or is a fold itself.")
    options = [
        {**found["training"]["options"], "prior of the calibration": _prior(found)}
        for found in (read_metrics(folder) for folder in (fold, into))
    ]
    other = sorted(k for k in options[0] if k != "fold" and options[0][k] != options[1].get(k))
    if other or {"before", "averaged"} & made["training"].keys():
        raise ModelError(
            f"--into {into} was trained otherwise than the folds ({', '.join(other) or 'several runs'}): "
            "the figures would not be of its recipe."
        )


@command("train.pool")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.pool", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folds", type=given_path, nargs="+", metavar="FOLD", help="the model folders of all folds")
    parser.add_argument(
        "--into", type=given_path, metavar="MODEL", help="model folder to write the pooled figures into"
    )
    args = parser.parse_args()
    pooled = pool(args.folds, args.into)
    if args.into:
        metrics = read_metrics(args.into) | {"out_of_fold": pooled}
        write_json(args.into / METRICS, metrics)
        write_card(args.into, metrics)
    print(
        f"{pooled['images']:,} images of {pooled['lesions']:,} lesions, each judged by one of {pooled['folds']} models"
    )
    print(headline_lines(pooled))
    return 0


if __name__ == "__main__":
    sys.exit(main())
