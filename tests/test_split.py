from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_lesion.classes import CODES
from train.data import Record, read_ham10000
from train.split import PARTS, RATIOS, fingerprint, merge_lesions, split


def record(image: str, lesion: str, dx: str) -> Record:
    return Record(image, lesion, dx, "histo", None, "unknown", "back", Path("x.jpg"))


@st.composite
def data_sets(draw) -> list[Record]:
    """Up to 120 lesions of one to six images; one class a lesion, as in HAM10000."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(CODES)), min_size=1, max_size=120))
    return [record(f"I{i}_{k}", f"L{i}", dx) for i, (size, dx) in enumerate(sizes) for k in range(size)]


ratios = st.tuples(*[st.floats(0.05, 1)] * 3)


@settings(deadline=None, max_examples=60)
@given(data_sets(), st.integers(0, 10**6), ratios, st.randoms())
def test_no_lesion_is_in_two_parts_whatever_the_seed_ratio_and_order(records, seed, shares, random):
    parts = split(records, seed, shares)
    where = Counter()
    for part in parts.values():
        where.update({r.lesion_id for r in part})
    assert set(where.values()) == {1}
    assert sorted(r.image_id for p in parts.values() for r in p) == sorted(r.image_id for r in records)

    shuffled = list(records)
    random.shuffle(shuffled)
    assert fingerprint(split(shuffled, seed, shares)) == fingerprint(parts)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 6), min_size=30, max_size=300), st.integers(0, 10**6), ratios)
def test_class_shares_are_close_to_the_ratio(sizes, seed, shares):
    """Six images are the largest lesion: no part is further than two of them from its share of a class."""
    records = [record(f"I{i}_{k}", f"L{i}", CODES[i % 2]) for i, size in enumerate(sizes) for k in range(size)]
    parts = split(records, seed, shares)
    for dx in CODES[:2]:
        total = sum(r.dx == dx for r in records)
        for name, share in zip(PARTS, shares, strict=True):
            assert abs(sum(r.dx == dx for r in parts[name]) - total * share / sum(shares)) <= 12


def test_known_duplicates_count_as_one_lesion():
    records = [record("ISIC_0033481", "A", "nv"), record("ISIC_0033421", "B", "nv"), record("ISIC_1", "C", "nv")]
    assert merge_lesions(records) == {"ISIC_0033481": "A", "ISIC_0033421": "A", "ISIC_1": "C"}


def test_fingerprint_changes_with_seed_ratio_diagnosis_and_data():
    records = [record(f"I{i}", f"L{i}", CODES[i % 7]) for i in range(70)]
    base = fingerprint(split(records))
    assert fingerprint(split(records, seed=1)) != base
    assert fingerprint(split(records, ratios=(0.6, 0.2, 0.2))) != base
    assert fingerprint(split(records[1:])) != base
    other = [record("I0", "L0", "nv"), *records[1:]]
    assert fingerprint(split(other)) != base


def test_impossible_ratios_are_refused():
    records = [record("I", "L", "nv")]
    with pytest.raises(ValueError, match="share above 0"):
        split(records, ratios=(1, 0, 0))
    with pytest.raises(ValueError, match="train, val, test"):
        split(records, ratios=(0.5, 0.5))


@settings(deadline=None, max_examples=40)
@given(data_sets(), st.integers(0, 10**6), st.integers(3, 6))
def test_folds_test_every_image_once_and_never_share_a_lesion(records, seed, k):
    tested = Counter()
    for i in range(1, k + 1):
        parts = split(records, seed, fold=(i, k))
        where = Counter()
        for part in parts.values():
            where.update({r.lesion_id for r in part})
        assert set(where.values()) == {1}
        assert parts["val"] == split(records, seed, fold=(i % k + 1, k))["test"]
        tested.update(r.image_id for r in parts["test"])
    assert tested == Counter(r.image_id for r in records)


def test_folds_are_equal_and_differ_in_their_fingerprint():
    records = [record(f"I{i}", f"L{i}", CODES[i % 7]) for i in range(350)]
    folds = [split(records, 3, fold=(i, 5)) for i in range(1, 6)]
    assert [[len(part) for part in parts.values()] for parts in folds] == [[210, 70, 70]] * 5
    assert len({fingerprint(parts) for parts in folds}) == 5


@pytest.mark.parametrize("fold", [(0, 5), (6, 5), (1, 2)])
def test_impossible_folds_are_refused(fold):
    with pytest.raises(ValueError, match=f"{fold[0]}/{fold[1]} is not that"):
        split([record("I", "L", "nv")], fold=fold)


def test_real_split_is_the_published_one(ham10000):
    records = read_ham10000(ham10000)
    assert len(set(merge_lesions(records).values())) == 7_470 - 18
    parts = split(records)
    assert fingerprint(parts) == "6a532452ed5c5e73"
    for part, ratio in zip(parts.values(), RATIOS, strict=True):
        for dx in CODES:
            total = sum(r.dx == dx for r in records)
            assert sum(r.dx == dx for r in part) == pytest.approx(total * ratio, abs=2)
