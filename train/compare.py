"""Compare model folders on the validation part, to choose the one to ship.

    python -m train.compare runs/one runs/other --data HAM10000

The validation part has few images of the rare classes, so the figures of one pass depend on chance as much as on the
weights, and the best of many runs is one that was lucky. So each image is judged in the four orientations that do not
swap width and height. Printed are the mean of the four, the lowest and the highest, and what share of the answers stays
the same when the image is saved as JPEG of quality 75. However they were trained and calibrated, all models get the
same part of the class shares, and for the log loss each the temperature that suits it best on these images. Ten
minutes a model of 192 px on one core, with OMP_NUM_THREADS=1.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy.special import log_softmax, softmax

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, load, weights_digest
from skin_lesion.predict import Classifier
from skin_lesion.tables import HEADLINE_NAMES, with_interval
from train.altered import ALTERATIONS
from train.calibrate import PRIOR, class_share, temperature
from train.command import command
from train.data import Record, add_data_argument, given_path, read_ham10000
from train.folder import as_trained, calibration_of, read_run
from train.metrics import HEADLINES, accuracy, balanced_accuracy
from train.options import number
from train.parts import parts_of, split_of
from train.predictions import predict_all

ORIENTATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "upside down": ImageOps.flip,
    **{name: ALTERATIONS[name] for name in ("mirrored", "turned by 180°")},
}
JPEG = ALTERATIONS["saved as JPEG of quality 75"]
SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "melanoma_auc")
COLUMNS = (*(HEADLINE_NAMES[name] for name in SHOWN), "Log loss", "Same after JPEG", "Balanced accuracy after JPEG")


def logits_of(classifier: Classifier, records: Sequence[Record], name: str) -> np.ndarray:
    """(4, 2, N, 7): of each record in each orientation, as it is and compressed once more. name: for the progress."""
    found = []
    for orientation, turn in ORIENTATIONS.items():
        for copy in (turn, lambda image, turn=turn: turn(JPEG(image))):
            answers = predict_all(classifier, records, f"{name}, {orientation}", copy)
            found.append(np.stack([answer.logits.double().numpy() for answer in answers]))
    return np.stack(found).reshape(len(ORIENTATIONS), 2, len(records), len(CODES))


def figures(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """One row an orientation, in the order of COLUMNS. labels (N,), logits (4, 2, N, 7) as logits_of gives them."""
    t = temperature(np.tile(labels, len(logits)), np.concatenate(logits[:, 0]))
    rows = []
    for plain, compressed in logits:
        before, after = softmax(plain, axis=1), softmax(compressed, axis=1)
        headlines = [HEADLINES[name](labels, before) for name in SHOWN]
        loss = -log_softmax(plain / t, axis=1)[np.arange(len(labels)), labels].mean()
        rows.append([*headlines, loss, accuracy(before.argmax(1), after), balanced_accuracy(labels, after)])
    return np.array(rows, dtype=float)  # nan: melanoma AUC without a melanoma


def shared_parts(folders: Sequence[Path], records: list[Record]) -> tuple[list[Record], np.ndarray]:
    """The validation images that no model was trained on, and each class's share of the training part, (7,).

    Raises:
        ModelError: one is no model of train.fit, or was trained on another split than the first, or than this data
            gives; or there is no such image.
    """
    runs = []
    for folder in folders:  # all, before the first of them takes its time
        metrics = read_run(folder)
        runs.append(metrics)
        if metrics["split"]["fingerprint"] != runs[0]["split"]["fingerprint"]:
            raise ModelError(f"{folder} was trained on another split than {folders[0]}: compare models of one split.")
    unseen = [{r.image_id for r in parts_of(records, run, f)["val"]} for run, f in zip(runs, folders, strict=True)]
    parts = split_of(records, runs[0], folders[0])
    validation = [record for record in parts["val"] if all(record.image_id in mine for mine in unseen)]
    if not validation:
        raise ModelError(
            "There is no validation image that none of these models was trained on. Compare those that left out the "
            "same part (--crossfit I/K)."
        )
    return validation, class_share(parts["train"])


def compare(folder: Path, validation: Sequence[Record], share: np.ndarray, prior: float) -> np.ndarray:
    """Figures of one model folder: (4, 8), see COLUMNS.

    share: (7,) of the classes in the training part. prior: the power of it that the answers are to hold, 1 for those
        of a model that was trained without balancing; whatever this one's training and calibration left in them.

    Raises:
        DataError: an image cannot be used.
    """
    classifier = load(f"local-dir:{folder}")
    metrics = classifier.metrics
    logits = logits_of(classifier, validation, str(folder))
    if done := calibration_of(metrics, weights_digest(folder)):
        logits = as_trained(logits, done)
    # trained with logit adjustment: z + adjust log(share) is the logarithm of a probability
    shift = metrics["training"]["options"]["adjust"] - 1 + prior
    return figures(np.array([record.label for record in validation]), logits + shift * np.log(share))


@command("train.compare")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", type=given_path, nargs="+", metavar="MODEL", help="model folders of train.fit")
    add_data_argument(parser)
    parser.add_argument(
        "--prior",
        type=number(0, 1),
        default=PRIOR,
        metavar="TAU",
        help="part of the class shares that the answers of all hold, 0 to 1 (default: %(default)s)",
    )
    args = parser.parse_args()
    validation, share = shared_parts(args.models, read_ham10000(args.data))
    print(f"| model, prior {args.prior:g} | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for folder in args.models:
        found = compare(folder, validation, share, args.prior)
        cells = ({"value": column.mean(), "low": column.min(), "high": column.max()} for column in found.T)
        print(f"| {folder} | {' | '.join(map(with_interval, cells))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
