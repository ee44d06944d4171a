"""Average the weights of models that were trained from the same ones: a model soup, one network for all of them.

    python -m train.soup runs/one runs/other --out runs/soup --input-side 192

Where runs began with the same trained weights, the mean of their weights can come near to the mean of their answers
(Wortsman et al. 2022, https://arxiv.org/abs/2203.05482), at the cost of one; the mean of runs that began anew knows
nothing. Which it is, train.compare shows. Batch norm's statistics are averaged too; measured anew on the training part
they made the bundled model worse (results/LOG.md). What train.calibrate did to the weights is taken out first. A folder
that is given twice counts twice. Next: train.calibrate.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from skin_lesion.model import WEIGHTS, weights_digest
from train.card import write_card
from train.command import command
from train.data import given_path
from train.folder import check_new, read_run, save_model_folder
from train.options import FitError, number
from train.start import build_model


def soup(folders: Sequence[Path], out: Path, input_side: int) -> None:
    """Write the model folder `out`, whose weights are the mean of those of `folders`.

    input_side: px, of the new model.

    Raises:
        FitError: fewer than two folders, models of different splits or of different logit adjustment, or `out` holds
            something already or cannot be written.
        ModelError: a folder holds no model of train.fit.
    """
    if len(folders) < 2:
        raise FitError(f"{folders[0]} alone has no mean; give two folders or more.")
    runs = [read_run(folder) for folder in folders]
    same = [
        {"--adjust": run["training"]["options"]["adjust"], "the split": run["split"]["fingerprint"]} for run in runs
    ]
    for folder, values in zip(folders, same, strict=True):
        for name, value in values.items():
            if value != same[0][name]:
                raise FitError(
                    f"{folder} was trained with {name} {value}, {folders[0]} with {same[0][name]}, so they have no "
                    "mean. Leave one of them out."
                )
    check_new(out)
    models = [build_model(str(folder / WEIGHTS)) for folder in folders]
    states = [model.state_dict() for model in models]
    mean = {name: torch.stack([s[name] for s in states]).double().mean(0) for name in states[0]}
    models[0].load_state_dict(mean)  # each in its own type again
    averaged = [
        {"weights": weights_digest(folder), "training": run["training"]}
        for folder, run in zip(folders, runs, strict=True)
    ]
    options = {"adjust": same[0]["--adjust"], "input_side": input_side}
    records = {"split": runs[0]["split"], "training": {"options": options, "averaged": averaged}}
    try:
        write_card(out, records)
        save_model_folder(models[0], out, input_side, **records)
    except OSError as error:
        (out / "README.md").unlink(missing_ok=True)  # or the next try would be refused
        raise FitError(f"--out {out} cannot be written ({error}). Make room there, or give another.") from None


@command("train.soup")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.soup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=given_path, nargs="+", metavar="MODEL", help="model folders, two or more")
    parser.add_argument("--out", type=given_path, required=True, help="model folder to write")
    parser.add_argument(
        "--input-side", type=number(32, 1024, int), required=True, metavar="PX", help="of the new model's input"
    )
    args = parser.parse_args()
    soup(args.models, args.out, args.input_side)
    print(f"model folder: {args.out}\nnext: python -m train.calibrate {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
