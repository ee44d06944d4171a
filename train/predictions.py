"""A model's answers on a set of images, kept as a CSV from which every figure can be computed again."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.images import ImageError, open_image
from skin_lesion.model import ModelError
from skin_lesion.predict import Classifier, Prediction
from train.data import DataError, Record
from train.files import read_rows, whole
from train.subgroups import age_band

COLUMNS = ("image_id", "lesion", "dx", "dx_type", "age", "sex", "localization", *CODES, "distance")


@dataclass(frozen=True, eq=False)
class Predictions:
    labels: np.ndarray  # (N,) index into CODES
    probabilities: np.ndarray  # (N, 7)
    lesions: np.ndarray  # (N,) name
    distances: np.ndarray  # (N,) Decision.distance; nan where the model was never calibrated
    groups: dict[str, np.ndarray]  # name -> (N,) value, for figures of subgroups

    def where(self, chosen: np.ndarray) -> "Predictions":
        """Those of a boolean (N,)."""
        return Predictions(
            self.labels[chosen],
            self.probabilities[chosen],
            self.lesions[chosen],
            self.distances[chosen],
            {name: values[chosen] for name, values in self.groups.items()},
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Predictions"]) -> "Predictions":
        return cls(
            np.concatenate([p.labels for p in parts]),
            np.concatenate([p.probabilities for p in parts]),
            np.concatenate([p.lesions for p in parts]),
            np.concatenate([p.distances for p in parts]),
            {name: np.concatenate([p.groups[name] for p in parts]) for name in parts[0].groups},
        )


def predict_all(
    classifier: Classifier,
    records: Sequence[Record],
    what: str,
    alter: Callable[[Image.Image], Image.Image] | None = None,
) -> Iterator[Prediction]:
    """One prediction a record, in order, by the same path as in the app.

    what: named by the progress bar. alter: what is done to each image before, if anything.

    Raises:
        DataError: an image cannot be used; names it.
    """
    for record in tqdm(records, what, unit="image", leave=False, disable=None):
        try:
            yield classifier.predict(alter(open_image(record.path)) if alter else record.path)
        except ImageError as error:
            raise DataError(f"{record.path}: {error}") from None


def write_predictions(
    path: Path, classifier: Classifier, records: Sequence[Record], lesions: dict[str, str], what: str
) -> None:
    """Predict every record and write the CSV. lesions: image_id -> name of its lesion."""
    with whole(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record, prediction in zip(records, predict_all(classifier, records, what), strict=True):
            age = "" if record.age is None else f"{record.age:g}"
            about = [record.dx, record.dx_type, age, record.sex, record.localization]
            far = float("nan") if prediction.distance is None else prediction.distance
            numbers = [*prediction.probabilities.values(), far]
            writer.writerow([record.image_id, lesions[record.image_id], *about, *(f"{n:.6f}" for n in numbers)])


def read_predictions(path: Path) -> Predictions:
    """Raises ModelError where the file is missing, damaged or of an older version."""
    rows = read_rows(path, COLUMNS)
    try:
        return _as_predictions(rows)
    except ValueError as error:
        raise ModelError(f"{path} is damaged ({error}); run train.evaluate anew.") from None


def _as_predictions(rows: list[dict[str, str]]) -> Predictions:
    def column(name: str) -> np.ndarray:
        return np.array([row[name] for row in rows])

    return Predictions(
        labels=np.array([CODES.index(row["dx"]) for row in rows]),
        probabilities=np.array([[float(row[code]) for code in CODES] for row in rows]),
        lesions=column("lesion"),
        distances=column("distance").astype(float),
        groups={
            "age": np.array([age_band(float(row["age"]) if row["age"] else None) for row in rows]),
            "sex": column("sex"),
            "site": column("localization"),
            "diagnosis by": column("dx_type"),
        },
    )


def image_size(records: Sequence[Record]) -> str:
    """Size of most of the files, as "600×450": figures hold for images like these."""
    sizes: Counter[tuple[int, int]] = Counter()
    for record in records:
        with Image.open(record.path) as image:
            sizes[image.size] += 1
    width, height = sizes.most_common(1)[0][0]
    return f"{width}×{height}"
