import re

import pytest

from skin_lesion.classes import CLASSES, CODES, check_code


def test_order_is_alphabetical_and_complete():
    assert CODES == ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")


def test_counts_are_those_of_ham10000():
    assert sum(c.images for c in CLASSES) == 10_015
    assert sum(c.lesions for c in CLASSES) == 7_470


def test_every_class_is_described():
    for c in CLASSES:
        assert re.fullmatch(r"#[0-9a-f]{6}", c.colour)
        assert c.source.startswith("https://")
        assert c.group_note.lower().startswith(c.group)
        assert len(c.description) > 60 and len(c.dermatoscopy) > 40
    assert len({c.colour for c in CLASSES}) == 7


def test_groups():
    groups = {c.code: c.group for c in CLASSES}
    assert groups == {
        "akiec": "pre-malignant",
        "bcc": "malignant",
        "bkl": "benign",
        "df": "benign",
        "mel": "malignant",
        "nv": "benign",
        "vasc": "benign",
    }


@pytest.mark.parametrize("code", ["melanoma", "", "MEL", 3, None, ["mel"]])
def test_unknown_code_lists_the_valid_ones(code):
    with pytest.raises(ValueError, match="akiec, bcc, bkl, df, mel, nv, vasc"):
        check_code(code)


def test_counts_agree_with_the_real_metadata(ham10000):
    from collections import Counter

    from train.data import read_ham10000

    records = read_ham10000(ham10000)
    images = Counter(r.dx for r in records)
    lesions = Counter(dx for _, dx in {(r.lesion_id, r.dx) for r in records})
    assert {c.code: (c.images, c.lesions) for c in CLASSES} == {c: (images[c], lesions[c]) for c in CODES}
