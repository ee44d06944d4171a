"""Do the hints on quality fire when they should, and only then? Held-out images, and degraded copies of some.

The hints on each are kept in a CSV, like everything that metrics.json says.
"""

import csv
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skin_lesion.images import open_image
from skin_lesion.predict import Classifier
from skin_lesion.quality import HINTS, hints
from train.altered import blurred
from train.data import Record, open_mask
from train.files import read_rows, whole
from train.metrics import mean
from train.predictions import predict_all
from train.rim import CUT_OFF, covered_side, through_lesion

EVERY = 5  # one in so many images is degraded
AS_IT_IS, CROPPED = "as it is", "cropped through the lesion"  # further columns
SIDE = "covered of a side"  # by the lesion, of the side that it covers most; empty where it has no mask
NONE = "none"  # no hint; an empty cell was not measured


def _exposed(image: Image.Image, factor: float) -> Image.Image:
    return image.point(lambda value: min(255, value * factor))


# name -> (the hint it calls for, what is done to the image)
DEGRADATIONS: dict[str, tuple[str, Callable[[Image.Image], Image.Image]]] = {
    "blurred by 1 % of its width": ("blurred", partial(blurred, share=0.01)),
    "blurred by 2 % of its width": ("blurred", partial(blurred, share=0.02)),
    "0.3 times as bright": ("dark", partial(_exposed, factor=0.3)),
    "2.5 times as bright": ("overexposed", partial(_exposed, factor=2.5)),
    "reduced to 96×96": ("small", lambda image: image.resize((96, 96), Image.Resampling.BICUBIC)),
}


def write_hints(path: Path, classifier: Classifier, records: Sequence[Record], data: Path) -> None:
    """One row an image: its hints; of some, those of its degraded copies; what its mask says, where there is one."""
    with whole(path) as partial_, open(partial_, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image_id", SIDE, AS_IT_IS, *DEGRADATIONS, CROPPED])
        predictions = predict_all(classifier, records, "hints on quality")
        for i, (record, prediction) in enumerate(zip(records, predictions, strict=True)):
            mask = open_mask(record, data)
            row = [record.image_id, f"{covered_side(mask):.4f}" if mask else "", _cell(prediction.quality)]
            if i % EVERY == 0:
                image = open_image(record.path)
                row += [_cell(hints(degrade(image))) for _, degrade in DEGRADATIONS.values()]
                if mask:
                    cropped, _ = through_lesion(image, mask, across=i // EVERY % 2 == 1)
                    row.append(_cell(classifier.predict(cropped).quality))
            writer.writerow(row + [""] * (4 + len(DEGRADATIONS) - len(row)))


def _cell(found: Sequence[str]) -> str:
    return " ".join(found) or NONE


def hints_found(path: Path, lesions: np.ndarray, detects_cut_off: bool) -> dict[str, Any]:
    """Shares with intervals. lesions: (N,) of the images in the order of the file.

    Returns:
        {"flagged": {hint: share of the images as they are}, "degraded": number of images that were,
         "caught": {degradation: {"hint", "share"}},
         "cut_off": {"from": CUT_OFF, "images": that are cut off, "sensitivity", "specificity"}, where there are masks}

    Raises:
        ModelError: the file is missing or of an older version.
    """
    rows = read_rows(path, [SIDE, AS_IT_IS, *DEGRADATIONS, CROPPED])

    def has(column: str, hint: str) -> np.ndarray:  # (N,) bool
        return np.array([hint in row[column].split() for row in rows])

    known = [hint for hint in HINTS if hint != "cut_off" or detects_cut_off]
    chosen = {name: (hint, np.array([row[name] != "" for row in rows])) for name, (hint, _) in DEGRADATIONS.items()}
    chosen[CROPPED] = "cut_off", np.array([row[CROPPED] != "" for row in rows])
    found: dict[str, Any] = {
        "flagged": {hint: mean(has(AS_IT_IS, hint), lesions) for hint in known},
        "degraded": sum(row[next(iter(DEGRADATIONS))] != "" for row in rows),
        "caught": {
            name: {"hint": hint, "share": mean(has(name, hint)[some], lesions[some])}
            for name, (hint, some) in chosen.items()
            if hint in known and some.any()
        },
    }
    side = np.array([float(row[SIDE] or "nan") for row in rows])
    if detects_cut_off and not np.isnan(side).all():
        cut, whole_ = side >= CUT_OFF, side < CUT_OFF
        flagged = has(AS_IT_IS, "cut_off")
        found["cut_off"] = {
            "from": CUT_OFF,
            "images": int(cut.sum()),
            "sensitivity": mean(flagged[cut], lesions[cut]) if cut.any() else None,
            "specificity": mean(~flagged[whole_], lesions[whole_]) if whole_.any() else None,
        }
    return found
