import numpy as np

from skin_lesion.classes import CODES
from train.subgroups import age_band, subgroups

MEL, NV = CODES.index("mel"), CODES.index("nv")


def test_bands_hold_every_age_once():
    assert [age_band(a) for a in (None, 0, 29, 30, 49, 50, 69.5, 70, 85)] == [
        "unknown", "under 30", "under 30", "30 to 49", "30 to 49", "50 to 69", "50 to 69", "70 and over", "70 and over"
    ]  # fmt: skip


def test_each_group_is_measured_by_itself_and_small_ones_are_not():
    """20 melanomas and 20 nevi of women, all right; 12 nevi of men, half of them called melanoma; 3 unknown."""
    labels = np.array([MEL] * 20 + [NV] * 20 + [NV] * 12 + [MEL] * 3)
    answers = np.array([MEL] * 20 + [NV] * 20 + [MEL, NV] * 6 + [NV] * 3)
    sex = np.array(["female"] * 40 + ["male"] * 12 + ["unknown"] * 3)
    found = subgroups(labels, np.eye(7)[answers], np.arange(55), {"sex": sex})["sex"]
    assert list(found) == ["female", "male", "unknown"]
    assert found["female"]["accuracy"] == {"value": 1, "low": 1, "high": 1}
    assert found["female"]["melanoma_auc"]["value"] == 1 and found["female"]["melanomas"] == 20
    assert found["male"]["accuracy"]["value"] == found["male"]["melanoma_specificity"]["value"] == 0.5
    assert found["male"]["accuracy"]["low"] < 0.5 < found["male"]["accuracy"]["high"]
    assert found["male"]["melanoma_auc"]["value"] is found["male"]["melanoma_sensitivity"]["value"] is None
    assert found["unknown"]["images"] == 3 and found["unknown"]["accuracy"]["value"] is None


def test_age_bands_stand_in_their_order():
    ages = np.array([age_band(a) for a in (80, None, 40, 10, 60)])
    found = subgroups(np.full(5, NV), np.eye(7)[[NV] * 5], np.arange(5), {"age": ages})
    assert list(found["age"]) == ["under 30", "30 to 49", "50 to 69", "70 and over", "unknown"]
