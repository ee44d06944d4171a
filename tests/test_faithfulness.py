import numpy as np
import pytest
import torch

from skin_lesion.explain import blurred
from train.faithfulness import STEPS, against_mask, baseline_maps, captums, curves, overlap

SIDE = 32


class _Half(torch.nn.Module):
    """Two classes; the logit of class 1 is ten times the mean of the left half."""

    def forward(self, x):
        score = 10 * x[:, :, :, : SIDE // 2].mean((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], 1)


LEFT = np.zeros((SIDE, SIDE), np.float32)
LEFT[:, : SIDE // 2] = 1
WHITE = torch.ones(1, 3, SIDE, SIDE)


def test_deletion_and_insertion_worked_by_hand():
    """White image: the score is 10 times the share of the left half that is white.

    The map marks the left half: after k of 16 steps max(0, 1 - k / 8) of it is left, and the area is the
    trapezoid rule over sigmoid(10 times that); insertion runs the other way. Blurring a white image changes nothing.
    """
    found = curves(_Half(), WHITE, 1, LEFT)
    k = np.arange(STEPS + 1)

    def area(share):
        p = 1 / (1 + np.exp(-10 * share))
        return float(((p[1:] + p[:-1]) / 2).mean())

    assert found["deletion_mean"] == pytest.approx(area(np.maximum(0, 1 - k / 8)), abs=1e-6)
    assert found["insertion_mean"] == pytest.approx(area(np.minimum(1, k / 8)), abs=1e-6)
    assert found["deletion_blur"] == found["insertion_blur"] == pytest.approx(area(np.ones(17)), abs=1e-6)


def test_a_map_of_the_wrong_half_does_worse():
    right, wrong = curves(_Half(), WHITE, 1, LEFT), curves(_Half(), WHITE, 1, 1 - LEFT)
    assert right["deletion_mean"] < wrong["deletion_mean"] and right["insertion_mean"] > wrong["insertion_mean"]


def test_against_the_mask_worked_by_hand():
    """Map [[4, 2], [0, 2]], lesion the upper row: 6 of 8 lie in it; above half of 4 only the first cell does."""
    map_ = np.array([[4.0, 2.0], [0.0, 2.0]], np.float32)
    lesion = np.array([[True, True], [False, False]])
    assert against_mask(map_, lesion, 0.5) == {
        "pointing": 1,
        "energy": 0.75,
        "iou": 0.5,
        "empty": 0,
    }
    assert against_mask(map_, lesion, 0.4)["iou"] == pytest.approx(2 / 3)
    assert against_mask(map_, ~lesion, 0.5) == {"pointing": 0, "energy": 0.25, "iou": 0, "empty": 0}


def test_a_map_that_is_zero_everywhere_and_an_empty_mask_give_zeros():
    nothing, lesion = np.zeros((2, 2), np.float32), np.ones((2, 2), bool)
    assert against_mask(nothing, lesion, 0.5) == {"pointing": 0, "energy": 0, "iou": 0, "empty": 1}
    assert overlap(nothing, ~lesion, 0.5) == 0


def test_pixels_that_are_equally_hot_gain_nothing_by_where_they_stand():
    """Of two hottest pixels one lies in the lesion: half a point. And a flat map deletes both halves alike."""
    map_, lesion = np.array([[1.0, 1.0], [0.0, 0.0]], np.float32), np.array([[True, False], [True, True]])
    assert against_mask(map_, lesion, 0.5)["pointing"] == 0.5
    flat = np.zeros((SIDE, SIDE), np.float32)
    found = curves(_Half(), WHITE, 1, flat)
    k = np.arange(STEPS + 1)
    p = 1 / (1 + np.exp(-10 * (1 - k / STEPS)))
    assert found["deletion_mean"] == pytest.approx(float(((p[1:] + p[:-1]) / 2).mean()), abs=0.01)


def test_baseline_maps():
    maps = baseline_maps(64, np.random.default_rng(0))
    assert set(maps) == {"random", "centre"} and all(m.shape == (64, 64) and m.min() >= 0 for m in maps.values())
    rows, columns = np.unravel_index(maps["centre"].argmax(), (64, 64))
    assert {rows, columns} <= {31, 32}
    again = baseline_maps(64, np.random.default_rng(1))
    assert not np.array_equal(maps["random"], again["random"]) and np.array_equal(maps["centre"], again["centre"])


def test_captums_measures_tell_a_faithful_map_from_another():
    torch.manual_seed(3)
    x = torch.rand(1, 3, SIDE, SIDE)
    exact = LEFT * (x - blurred(x)).mean(1)[0].numpy()  # what blurring takes away, but for a factor

    def linear(inputs):
        return 10 * inputs[:, :, :, : SIDE // 2].mean((1, 2, 3), keepdim=False)[:, None].expand(-1, 2)

    good = captums(linear, x, 1, lambda _: exact)
    bad = captums(linear, x, 1, lambda _: 1 - LEFT)
    assert good["infidelity"] < 1e-9 < bad["infidelity"]
    assert good["sensitivity"] == 0
    noisy = captums(linear, x, 1, lambda inputs: inputs[0, 0].numpy())
    assert noisy["sensitivity"] > 0


def test_blurred_keeps_the_mean_and_loses_the_detail():
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    soft = blurred(x)
    assert soft.shape == x.shape and soft.std() < 0.2 * x.std() and abs(soft.mean() - x.mean()) < 0.02
