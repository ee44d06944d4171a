"""Compare model folders on the validation part, to choose the one to ship.

    python -m train.compare runs/one runs/other --data HAM10000

The validation part has few images of the rare classes, so the figures of one pass hang on chance as much as on the
weights, and the best of many runs is one that was lucky. So each image is judged in the four orientations that leave
its sides where they are. Printed is the mean of the four with the lowest and the highest, and how many answers stay
when the image is saved as JPEG of quality 75. Whatever their own calibration did, all models get the same part of the
class shares back, and for the log loss each the temperature that suits it best. A quarter of an hour a model on a CPU.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from scipy.special import log_softmax, softmax

from skin_lesion.classes import CODES
from skin_lesion.model import ModelError, load, read_metrics, weights_digest
from skin_lesion.predict import Classifier
from train.altered import ALTERATIONS
from train.calibrate import PRIOR, temperature
from train.data import DataError, Record, add_data_argument, given_path, read_ham10000
from train.evaluate import part_of_training_split
from train.folder import as_trained, calibration_of
from train.metrics import HEADLINES, accuracy, balanced_accuracy
from train.options import number
from train.predictions import predict_all

ORIENTATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "as it is": lambda image: image,
    "mirrored": ImageOps.mirror,
    "upside down": ImageOps.flip,
    "turned by 180°": lambda image: image.transpose(Image.Transpose.ROTATE_180),
}
JPEG = ALTERATIONS["saved as JPEG of quality 75"]
SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "macro_auc", "melanoma_auc")
COLUMNS = (*(name.replace("_", " ") for name in SHOWN), "log loss", "same after JPEG", "balanced accuracy then")


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
    rows = []
    for plain, compressed in logits:
        before, after = softmax(plain, axis=1), softmax(compressed, axis=1)
        of_truth = log_softmax(plain / temperature(labels, plain), axis=1)[np.arange(len(labels)), labels]
        stays = accuracy(before.argmax(1), after)
        headlines = [HEADLINES[name](labels, before) for name in SHOWN]
        rows.append([*headlines, -of_truth.mean(), stays, balanced_accuracy(labels, after)])
    return np.array(rows, dtype=float)  # nan where a class is missing


def shared_parts(folders: Sequence[Path], records: list[Record]) -> tuple[list[Record], np.ndarray]:
    """The validation part that all models have in common, and each class's share of the training part, (7,).

    Raises:
        ModelError: one is no model folder, or was trained on another split than this data gives, or than the first.
    """
    first = read_metrics(folders[0]).get("split", {}).get("fingerprint")
    for folder in folders:  # before the first of them takes its time
        load(f"local-dir:{folder}")
        metrics = read_metrics(folder)
        validation, training = (part_of_training_split(records, metrics, folder, part) for part in ("val", "train"))
        if metrics["split"]["fingerprint"] != first:
            raise ModelError(f"{folder} was trained on another split than {folders[0]}: compare models of one split.")
    counts = np.bincount([record.label for record in training], minlength=len(CODES)).clip(1)
    return validation, counts / len(training)


def compare(folder: Path, validation: Sequence[Record], share: np.ndarray, prior: float) -> np.ndarray:
    """Figures of one model folder, whatever its calibration: (4, 8), see COLUMNS.

    share: (7,) of the classes in the training part. prior: part of its logarithm that the logits get.

    Raises:
        DataError: an image cannot be used.
    """
    logits = logits_of(load(f"local-dir:{folder}"), validation, folder.name)
    if done := calibration_of(read_metrics(folder), weights_digest(folder)):
        logits = as_trained(logits, done)
    return figures(np.array([record.label for record in validation]), logits + prior * np.log(share))


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
        help="part of the class shares that all get back, 0 to 1 (default: %(default)s)",
    )
    args = parser.parse_args()
    try:
        validation, share = shared_parts(args.models, read_ham10000(args.data))
        print(f"| model, prior {args.prior:g} | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
        for folder in args.models:
            found = compare(folder, validation, share, args.prior)
            columns = zip(found.mean(0), found.min(0), found.max(0), strict=True)
            cells = (f"{mean:.3f} ({low:.3f}–{high:.3f})" for mean, low, high in columns)
            print(f"| {folder} | {' | '.join(cells)} |", flush=True)
    except (DataError, ModelError) as error:
        print(f"train.compare: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
