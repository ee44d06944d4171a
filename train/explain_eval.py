"""Measure the maps on held-out lesions: do they show what the model used, and is it the lesion?

    python -m train.explain_eval skin_lesion/weights --data HAM10000

Writes the section "explanations" into metrics.json, explanation_scores.csv (one row an image and map),
from which every figure can be computed again, and README.md, the model card. One image of each of so
many lesions a class, explained for the class that the model answers. A map that is zero everywhere says nothing:
it points nowhere, has no energy in the lesion, and how often that happens is a row of its own.

- Deletion and insertion (Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421): the class's probability while
  the pixels are taken away, or brought back, in the map's order; area under the curve. In their place stands the
  blurred image, or the mean colour. Deletion: lower is better, insertion: higher.
- Pointing game, energy inside the lesion's mask, and the overlap (IoU) of mask and map, cut at the fixed share
  of its maximum that is best for this method on the validation part.
- Captum's infidelity (https://arxiv.org/abs/1901.09392; squares of the image blurred) and largest sensitivity to
  noise, of the first few lesions a class. Infidelity: lower is better.
- The same for a random map and for a Gaussian in the image's centre, which know nothing of the model.
- Parameter randomisation (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): rank correlation of the map
  with that of the same network with its last layer, or all of its weights, drawn anew.
- Cases where a map helps or misleads, by the rules of skin_lesion.explanation_tables.CASES.

It takes about an hour on one CPU core for a model of 192 px, more than three on a slow one for 256 px. Interrupted?
The same command goes on after the last image that was measured.
"""

import argparse
import copy
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr
from timm.data import resolve_model_data_config
from tqdm import tqdm

from skin_lesion.classes import CODES
from skin_lesion.explain import METHODS, explain, upsample
from skin_lesion.explanation_tables import CASES, DETAILED, MARGIN, MEASURES, explanation_table
from skin_lesion.images import open_image
from skin_lesion.model import METRICS, ModelError, load, read_metrics
from skin_lesion.predict import Classifier, Prediction
from train.card import write_card
from train.command import command
from train.data import DATAVERSE, MASKS, DataError, Record, add_data_argument, given_path, open_mask, read_ham10000
from train.faithfulness import Map, against_mask, baseline_maps, captums, curves, overlap
from train.files import Steps, alone, whole
from train.folder import EXPLAINING, EXPLANATIONS, metrics_now, write_json
from train.metrics import mean
from train.options import number
from train.parts import split_of
from train.split import merge_lesions

SHARES = np.round(np.arange(0.05, 1, 0.05), 2)  # of a map's maximum, where it may be cut
SLOW = 3  # lesions a class for infidelity and sensitivity, which explain each image many times
OF_MASK = ("pointing", "energy", "iou")
EXAMPLES = 3  # of each kind of case
SHOWN = ("image_id", "dx", "answer", "energy", "deletion_blur")  # of an example


def sample(records: Sequence[Record], lesions: dict[str, str], per_class: int) -> list[Record]:
    """One image of each of so many lesions a class, in an order that chance decides, the same every time."""
    order = np.random.default_rng(0).permutation(len(records))
    chosen: dict[str, Record] = {}
    counts = dict.fromkeys(CODES, 0)
    for record in (records[i] for i in order):
        lesion = lesions[record.image_id]
        if lesion not in chosen and counts[record.dx] < per_class:
            chosen[lesion] = record
            counts[record.dx] += 1
    return sorted(chosen.values(), key=lambda r: r.label)


def map_of(classifier: Classifier, prediction: Prediction, method: str, image: Image.Image, code: str) -> Map:
    found = explain(classifier, prediction, [code], method, image)[code]
    height, width = classifier.transform(image).shape[-2:]
    return upsample(found.heat, (width, height))


def mask_of(record: Record, data: Path, side: int) -> np.ndarray:
    """(side, side) bool. Raises DataError where the lesion has none."""
    mask = open_mask(record, data)
    if mask is None:
        name = f"{record.image_id}_segmentation.png"
        raise DataError(f"There is no {name} in {data / MASKS}. Unpack {MASKS}.zip there, from {DATAVERSE}.")
    return np.asarray(mask.resize((side, side), Image.Resampling.NEAREST)) > 127


def redrawn(model: Any, images: torch.Tensor | None = None) -> Any:
    """The same network with its last layer drawn anew; or all of its weights, if `images` are given.

    images: (B, 3, H, W), on which batch norm finds its statistics. Without them the signal dies away in so deep a
        random network, its maps are flat, and nothing would be compared.
    """
    torch.manual_seed(0)
    other = copy.deepcopy(model)
    for module in [other.classifier] if images is None else other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # an average of all it sees
            module.train()
    if images is not None:
        with torch.no_grad():
            other(images)
    return other.eval()


def overlaps(
    classifier: Classifier, records: Sequence[Record], data: Path, done: int = 0
) -> Iterator[dict[str, list[float]]]:
    """{map: its overlap with the mask, cut at each of SHARES} of one image after the other, but the first `done`."""
    for record, _, maps, _ in all_maps(classifier, records, "validation part", done):
        mask = mask_of(record, data, next(iter(maps.values())).shape[0])
        yield {name: [overlap(map_, mask, share) for share in SHARES] for name, map_ in maps.items()}


def best_shares(found: Sequence[dict[str, list[float]]]) -> dict[str, float]:
    """{map: share of its maximum at which its overlap with the masks is largest on the average}."""
    return {name: float(SHARES[np.mean([image[name] for image in found], axis=0).argmax()]) for name in found[0]}


def all_maps(
    classifier: Classifier, records: Sequence[Record], what: str, done: int = 0
) -> Iterator[tuple[Record, Image.Image, dict[str, Map], Prediction]]:
    """For the class that the model answers: the maps of all methods and of the two that know nothing.

    Without the first `done` images; the others get the maps that they would have got after these.
    """
    rng = np.random.default_rng(0)
    side = resolve_model_data_config(classifier.model)["input_size"][-1]
    for _ in records[:done]:
        baseline_maps(side, rng)
    for record in tqdm(records[done:], what, len(records), unit="image", disable=None, initial=done):
        image = open_image(record.path)
        prediction = classifier.predict(image)
        maps = {name: map_of(classifier, prediction, name, image, prediction.code) for name in METHODS}
        yield record, image, maps | baseline_maps(side, rng), prediction


def measure(
    classifier: Classifier,
    records: Sequence[Record],
    lesions: dict[str, str],
    data: Path,
    shares: dict[str, float],
    done: int = 0,
) -> Iterator[list[dict[str, Any]]]:
    """The rows of one image after the other, without the first `done`.

    Each a map's: {"image_id", "lesion", "dx", "answer", "map", **MEASURES}; None: not measured.
    """
    model = classifier.model
    some = torch.stack(
        [classifier.transform(open_image(record.path)) for record in records[:: len(records) // 32 or 1]]
    )
    others = {"random_head": redrawn(model), "random_weights": redrawn(model, some)}
    seen = Counter(record.dx for record in records[:done])
    for record, image, maps, prediction in all_maps(classifier, records, "held-out part", done):
        x = classifier.transform(image).unsqueeze(0)
        target, code = CODES.index(prediction.code), prediction.code
        mask = mask_of(record, data, x.shape[-1])
        seen[record.dx] += 1
        changed = {name: replace(classifier, model=other) for name, other in others.items()}
        rows = []
        for name, map_ in maps.items():
            row: dict[str, Any] = {"image_id": record.image_id, "lesion": lesions[record.image_id], "dx": record.dx}
            row |= {"answer": code, "map": name, **dict.fromkeys(MEASURES)}
            row |= curves(model, x, target, map_) | against_mask(map_, mask, shares[name])
            if name in METHODS:
                for which, other in changed.items():
                    map_there = map_of(other, other.predict(image), name, image, code)
                    row[which] = correlation(map_, map_there)
            if seen[record.dx] <= SLOW:
                row |= captums(model, x, target, _again(classifier, name, code, map_))
            rows.append(row)
        yield rows


def correlation(one: Map, other: Map) -> float | None:
    """Spearman's, None where one of them is the same everywhere, so that there is nothing to compare."""
    return float(spearmanr(one.ravel(), other.ravel()).statistic) if one.std() > 0 and other.std() > 0 else None


def _again(classifier: Classifier, name: str, code: str, map_: Map) -> Callable[[torch.Tensor], Map]:
    """Explains another input by the same method; a map that knows nothing of the model stays as it is."""
    if name not in METHODS:
        return lambda x: map_

    def of_input(x: torch.Tensor) -> Map:
        as_is = replace(classifier, transform=lambda _: x[0].detach())
        blank = Image.new("RGB", (32, 32))  # the input is given, so no image is looked at
        return map_of(as_is, as_is.predict(blank), name, blank, code)

    return of_input


def section(rows: Sequence[dict[str, Any]], shares: dict[str, float]) -> dict[str, Any]:
    """The section "explanations" of metrics.json from the rows of explanation_scores.csv."""
    of_map = {name: [row for row in rows if row["map"] == name] for name in shares}
    centre, random = of_map["centre"], of_map["random"]
    found: dict[str, Any] = {"images": len(centre), "slow_images": sum(row["infidelity"] is not None for row in centre)}
    found["per_class"] = max(Counter(row["dx"] for row in centre).values())
    found["maps"] = {
        name: {"iou_share": shares[name]} | {m: _mean(mine, [row[m] for row in mine]) for m in MEASURES}
        for name, mine in of_map.items()
    }
    found["over_centre"] = {
        method: {
            m: _mean(centre, [_less(own[m], other[m]) for own, other in zip(of_map[method], centre, strict=True)])
            for m in MEASURES
            if MEASURES[m].more_is_better is not None
        }
        for method in METHODS
    }
    cases = {method: _cases(of_map[method], centre, random) for method in METHODS}
    found["right"] = sum(row["dx"] == row["answer"] for row in centre)
    found["cases"] = {method: {kind: len(mine) for kind, mine in of_kind.items()} for method, of_kind in cases.items()}
    found["by_class"] = _by_class(of_map[DETAILED], cases[DETAILED])
    found["examples"] = {
        kind: [{key: row[key] for key in SHOWN} for row in mine[:EXAMPLES]] for kind, mine in cases[DETAILED].items()
    }
    return found


def _less(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own - other


def _mean(rows: Sequence[dict[str, Any]], values: Sequence[float | None]) -> dict[str, float | None] | None:
    """{"value", "low", "high"} of the images that were measured; values: one a row."""
    kept = [i for i, value in enumerate(values) if value is not None]
    if not kept:
        return None
    return mean(np.array([values[i] for i in kept]), np.array([rows[i]["lesion"] for i in kept]))


def _by_class(rows: Sequence[dict[str, Any]], cases: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """{true class: {"images", "pointing", "energy", "iou", "cases": {kind: count}}}."""
    found: dict[str, dict[str, Any]] = {}
    for code in CODES:
        mine = [row for row in rows if row["dx"] == code]
        counts = {kind: sum(row["dx"] == code for row in of_kind) for kind, of_kind in cases.items()}
        means = {m: _mean(mine, [row[m] for row in mine]) for m in OF_MASK}
        found[code] = {"images": len(mine), **means, "cases": counts}
    return found


def _cases(
    rows: Sequence[dict[str, Any]], centre: Sequence[dict[str, Any]], random: Sequence[dict[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """{kind of case: the rows of it, the clearest first}; the rules are CASES'."""
    clearness: dict[str, list[tuple[float, dict[str, Any]]]] = {kind: [] for kind in CASES}
    for row, spot, chance in zip(rows, centre, random, strict=True):
        right, inside = row["dx"] == row["answer"], row["pointing"] > 0.5
        over_spot, over_chance = (other["deletion_blur"] - row["deletion_blur"] for other in (spot, chance))
        if right and inside and over_spot >= MARGIN:
            clearness["helps"].append((over_spot, row))
        if inside and not right:
            clearness["wrong"].append((row["energy"], row))
        if row["empty"]:
            clearness["empty"].append((row["deletion_blur"], row))
        elif not inside:
            clearness["elsewhere"].append((-row["energy"], row))
        if over_chance <= 0:
            clearness["chance"].append((-over_chance, row))
    return {
        kind: [row for _, row in sorted(cases, key=lambda case: (-case[0], case[1]["image_id"]))]
        for kind, cases in clearness.items()
    }


def explain_eval(folder: Path, data: Path, per_class: int) -> dict[str, Any]:
    """Measure and write everything named above; return the metrics."""
    classifier = load(f"local-dir:{folder}")
    metrics, records = read_metrics(folder), read_ham10000(data)
    lesions = merge_lesions(records)
    parts = split_of(records, metrics, folder)  # a model may have seen validation images, but not their masks
    chosen = {part: sample(parts[part], lesions, per_class) for part in ("val", "test")}
    for record in chosen["val"] + chosen["test"]:
        mask_of(record, data, 1)  # before hours of work: is there one?
    of: dict[str, Any] = {part: [r.image_id for r in images] for part, images in chosen.items()}
    of |= {"weights": classifier.revision, "maps": list(METHODS), "measures": list(MEASURES), "shares": list(SHARES)}
    with alone(folder) as free:
        if not free:
            raise ModelError(f"Another command measures the maps of {folder}. Wait until it ends.")
        steps = Steps(folder / EXPLAINING, of)  # a validation image each, then a held-out one each
        first = len(chosen["val"])
        for overlap_of_image in overlaps(classifier, chosen["val"], data, min(len(steps.done), first)):
            steps.add(overlap_of_image)
        shares = best_shares(steps.done[:first])
        seconds = seconds_of(classifier, chosen["val"][:5])
        for rows_of_image in measure(classifier, chosen["test"], lesions, data, shares, len(steps.done) - first):
            steps.add(rows_of_image)
    rows = [row for rows_of_image in steps.done[first:] for row in rows_of_image]
    metrics_now(folder, classifier.revision)
    with whole(folder / EXPLANATIONS) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    found = section(read_rows(folder), shares) | {"seconds": seconds}
    metrics = metrics_now(folder, classifier.revision) | {"explanations": found}
    write_json(folder / METRICS, metrics)
    write_card(folder, metrics)
    steps.path.unlink()
    return metrics


def seconds_of(classifier: Classifier, records: Sequence[Record]) -> dict[str, float]:
    """{method: what one map of one class takes, median}."""
    taken: dict[str, list[float]] = {name: [] for name in METHODS}
    for record in records:
        image = open_image(record.path)
        prediction = classifier.predict(image)
        for name, mine in taken.items():
            started = time.perf_counter()
            explain(classifier, prediction, [prediction.code], name, image)
            mine.append(time.perf_counter() - started)
    return {name: round(float(np.median(mine)), 4) for name, mine in taken.items()}


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of explanation_scores.csv, None where nothing was measured."""
    with open(folder / EXPLANATIONS, newline="", encoding="utf-8") as file:
        return [
            row | {m: float(row[m]) if row[m] else None for m in MEASURES}  # type: ignore[operator]
            for row in csv.DictReader(file)
        ]


@command("train.explain_eval")
def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m train.explain_eval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=given_path, metavar="MODEL", help="a model folder, as train.fit writes it")
    add_data_argument(parser)
    parser.add_argument(
        "--lesions", type=number(1, 1000, int), default=20, metavar="N", help="of each class (default: %(default)s)"
    )
    args = parser.parse_args()
    metrics = explain_eval(args.model, args.data, args.lesions)
    print(explanation_table(metrics["explanations"]))
    print(f"written: {args.model / METRICS}, {EXPLANATIONS}, README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
