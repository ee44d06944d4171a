"""Split HAM10000 into train, validation and test so that no lesion is in two parts.

45 % of the images show a lesion that has several; a split by image puts 35 % of the test images
on a lesion that was trained on. So whole lesions are dealt out, class by class, after merging the
18 pairs that Abhishek et al. (Sci. Data 12:196, 2025) found to show one lesion under two ids.

The deal depends on the seed, the ids and the diagnoses, and on nothing else: not on the order of
the rows, not on the version of a library. Its fingerprint travels in the model folder, and
evaluation refuses a folder whose fingerprint differs.
"""

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from train.data import Record

PARTS = ("train", "val", "test")
RATIOS = (0.70, 0.15, 0.15)
CROSSFIT_SEED = 7  # any number: the same for all models, so that their parts fit together
KNOWN_DUPLICATES = Path(__file__).with_name("known_duplicates.csv")


def merge_lesions(records: Sequence[Record]) -> dict[str, str]:
    """Map image_id to the name of its lesion, known duplicates merged (smallest lesion_id wins)."""
    parent: dict[str, str] = {}

    def root(lesion: str) -> str:
        while parent.setdefault(lesion, lesion) != lesion:
            lesion = parent[lesion]
        return lesion

    lesion_of = {r.image_id: r.lesion_id for r in records}
    with open(KNOWN_DUPLICATES, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            a, b = row["image_id_a"], row["image_id_b"]
            if a in lesion_of and b in lesion_of:  # a subset of the data may lack one
                first, second = sorted((root(lesion_of[a]), root(lesion_of[b])))
                parent[second] = first
    return {image: root(lesion) for image, lesion in lesion_of.items()}


def deal(records: Sequence[Record], ratios: Sequence[float], seed: int) -> dict[str, int]:
    """Deal whole lesions to len(ratios) parts, each class in proportion. Returns image_id -> part.

    Largest lesions first, ties in an order hashed from the seed, each to the part that is least
    full for its class. So every part gets its share of lesions with many images as well, and the
    lesions with one image, dealt last, even out the counts.
    """
    if any(ratio <= 0 for ratio in ratios):
        raise ValueError(f"Every part needs a share above 0; got {tuple(ratios)}.")
    lesion_of = merge_lesions(records)
    images: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        images[lesion_of[record.image_id]].append(record)

    def order(lesion: str) -> tuple[int, str]:
        return -len(images[lesion]), hashlib.sha256(f"{seed}:{lesion}".encode()).hexdigest()

    part_of: dict[str, int] = {}
    full: dict[str, list[int]] = defaultdict(lambda: [0] * len(ratios))  # class -> images per part
    for lesion in sorted(images, key=order):
        group = images[lesion]
        dx = min(Counter(r.dx for r in group).items(), key=lambda item: (-item[1], item[0]))[0]
        count = full[dx]
        part = min(range(len(ratios)), key=lambda i: ((count[i] + len(group)) / ratios[i], i))
        count[part] += len(group)
        part_of.update((record.image_id, part) for record in group)
    return part_of


def split(
    records: Sequence[Record],
    seed: int = 0,
    ratios: Sequence[float] = RATIOS,
    fold: Sequence[int] | None = None,
) -> dict[str, list[Record]]:
    """Split into {"train", "val", "test"}, each sorted by image_id.

    fold: (i, k) for cross-validation instead of `ratios`: of k equal parts the i-th, counted from 1,
        is the test part and the next one the validation part. Over all i every image is tested once.
    """
    if fold:
        i, k = fold
        if not (k >= 3 and 1 <= i <= k):
            raise ValueError(f"Cross-validation needs at least 3 folds, and one of them: {i}/{k} is not that.")
        role = {(i - 1) % k: "test", i % k: "val"}
        part_of = {image: role.get(part, "train") for image, part in deal(records, [1] * k, seed).items()}
    else:
        if len(ratios) != len(PARTS):
            raise ValueError(f"The split has the parts {', '.join(PARTS)}; got {len(ratios)} ratios.")
        part_of = {image: PARTS[part] for image, part in deal(records, ratios, seed).items()}
    parts: dict[str, list[Record]] = {name: [] for name in PARTS}
    for record in sorted(records, key=lambda r: r.image_id):
        parts[part_of[record.image_id]].append(record)
    return parts


def left_out_part(validation: Sequence[Record], i: int, k: int) -> list[Record]:
    """The i-th of k parts of a split's validation part, counted from 1: the rest of it is trained on too.

    So k models together learn from every validation image, and each image can still be judged by one that has not
    seen its lesion, as in scikit-learn's CalibratedClassifierCV.
    """
    if not (k >= 2 and 1 <= i <= k):
        raise ValueError(f"Cross-fitting needs at least 2 parts, and one of them: {i}/{k} is not that.")
    part_of = deal(validation, [1] * k, CROSSFIT_SEED)
    return [record for record in validation if part_of[record.image_id] == i - 1]


def fingerprint(parts: dict[str, list[Record]]) -> str:
    """First 16 hex digits of the SHA-256 over every part's sorted (image_id, dx)."""
    lines = sorted(f"{name},{r.image_id},{r.dx}" for name, part in parts.items() for r in part)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
