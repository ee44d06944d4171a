"""A lesion that the image's edge cuts off: the truth from masks, the probe that learns it, and what is kept of it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from shared_fixtures import write_dataset

from skin_lesion.classes import CODES
from skin_lesion.decision import LEVELS, Decision, largest_side, rim
from skin_lesion.model import ModelError, load
from train import calibrate
from train.data import MASKS, open_mask, read_ham10000
from train.folder import write_json
from train.rim import CUT_OFF, WHOLE, add_cut_off, covered_side, fit_probe, sample, through_lesion
from train.split import RATIOS, fingerprint, split

SETS = {f"{level:.2f}": dict.fromkeys(CODES, 0.5) for level in LEVELS}
BASE = {"sets": SETS, "operating_points": {"melanoma": [], "malignancy": []}, "ood": {"farthest": 1e3}}


def known(channels: int) -> dict[str, torch.Tensor]:
    return {"mean": torch.zeros(2 * channels), "whitening": torch.eye(2 * channels)}


def test_the_rim_by_hand():
    """Of 3 × 3 cells the upper row, the lower one, the left column and the right one, each beside the mean of all."""
    middle = torch.arange(9.0).reshape(1, 1, 3, 3)
    order = (0, 1, 2, 6, 7, 8, 0, 3, 6, 2, 5, 8)
    assert rim(middle).tolist() == [[float(i), 4.0] for i in order]
    assert rim(torch.zeros(1, 5, 4, 6)).shape == (2 * 4 + 2 * 6, 10)


def test_the_side_that_is_covered_most():
    """A grid of two rows and three columns: sides of 3, 3, 2 and 2 cells."""
    values = torch.tensor([1.0, 0, 0, 0, 0, 0, 1, 0, 0, 0])
    assert largest_side(values, (2, 3)) == 0.5
    assert largest_side(rim(torch.arange(6.0).reshape(1, 1, 2, 3))[:, 0], (2, 3)) == 4  # the lower row: 3, 4, 5


def test_the_share_that_a_lesion_covers_is_a_mean_of_probabilities():
    """Weight 1 on the cell, -1 on the mean, bias 0: sigmoid(cell - 4); the lower row has the most."""
    decision = Decision({}, {}, 10, torch.zeros(2), torch.eye(2), torch.tensor([1.0, -1.0, 0.0]), 0.9)
    middle = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = float(torch.tensor([2.0, 3.0, 4.0]).sigmoid().mean())
    assert decision.covered(middle) == pytest.approx(expected) and 0.9 < expected
    assert decision.cut_off(middle)
    assert not replace(decision, most_covered=0.96).cut_off(middle)
    assert not replace(decision, farthest=1).cut_off(middle), "a picture that is no dermatoscopic one has no lesion"
    without = Decision({}, {}, 1.0, torch.zeros(2), torch.eye(2))
    assert without.covered(middle) is None and not without.cut_off(middle)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The small data set; every second lesion fills the left half of its mask, and of its image."""
    folder = write_dataset(tmp_path_factory.mktemp("cut"))
    for record in read_ham10000(folder)[::2]:
        mask = np.zeros((48, 64), np.uint8)
        mask[:, :32] = 255
        Image.fromarray(mask).convert("1").save(folder / MASKS / f"{record.image_id}_segmentation.png")
        with Image.open(record.path) as image:
            pixels = np.asarray(image).copy()
        pixels[:, :32] = 0
        Image.fromarray(pixels).save(record.path)
    return folder


def test_the_side_of_a_mask_and_its_cells(data, tmp_path):
    cut, whole = (open_mask(record, data) for record in read_ham10000(data)[:2])
    assert covered_side(cut) == 1 and covered_side(whole) == 0  # the left side; none
    assert covered_side(cut.crop((10, 0, 64, 48))) == 1 and covered_side(cut.crop((40, 0, 64, 48))) == 0
    features, lesion = sample(torch.zeros(1, 3, 4, 4), cut)
    assert features.shape == (16, 6)
    assert lesion.tolist() == [True, True, False, False] * 2 + [True] * 4 + [False] * 4
    assert open_mask(read_ham10000(data)[0], tmp_path) is None


@pytest.mark.parametrize("left, kept", [(20, (40, 200)), (120, (0, 140))])
@pytest.mark.parametrize("across", [False, True])
def test_a_crop_through_the_lesion_keeps_the_wider_side(left, kept, across):
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None], 100, 0)  # 200 × 100, brighter to the right
    mask = np.zeros((50, 100), np.uint8)  # of another size than the picture
    mask[20:30, left // 2 : left // 2 + 20] = 255
    if across:
        ramp, mask = ramp.T, mask.T
    crop, of_mask = through_lesion(Image.fromarray(ramp), Image.fromarray(mask), across)
    width = kept[1] - kept[0]
    assert crop.size == of_mask.size == ((100, width) if across else (width, 100))
    assert crop.getpixel((0, 0)) == kept[0]
    assert covered_side(of_mask) == pytest.approx(0.2)  # 10 of 50 rows


def samples(rng: np.random.Generator, count: int) -> tuple[list[torch.Tensor], list[Image.Image]]:
    """Middles of two channels, 4 × 4, and masks, which the first channel shows."""
    masks = [rng.random((4, 4)) < rng.choice([0, 0, 0.5]) for _ in range(count)]
    noise = [rng.normal(0, 1, (1, 2, 4, 4)).astype(np.float32) for _ in range(count)]
    for middle, mask in zip(noise, masks, strict=True):
        middle[0, 0] += 8 * mask
    return [torch.from_numpy(m) for m in noise], [Image.fromarray(np.uint8(mask) * 255) for mask in masks]


def test_the_probe_learns_the_masks_and_the_limit_keeps_its_promise():
    rng = np.random.default_rng(0)
    learnt = [sample(m, mask) for m, mask in zip(*samples(rng, 200), strict=True)]
    probe = fit_probe(learnt)
    found = torch.cat([features @ probe[:-1] + probe[-1] for features, _ in learnt]) > 0
    assert (found == torch.cat([lesion for _, lesion in learnt])).float().mean() > 0.98

    decision, tensors = dict(BASE), known(2)
    middles, masks = samples(rng, 400)
    add_cut_off(decision, tensors, learnt, middles, [None, *masks[1:]])
    made = Decision.from_json(decision, tensors)
    cut = np.array([covered_side(mask) >= CUT_OFF for mask in masks])
    flagged = np.array([made.cut_off(m) for m in middles])
    assert (~flagged[~cut]).mean() == pytest.approx(WHOLE, abs=0.01) and flagged[cut].mean() > 0.8


@pytest.mark.parametrize("grey", [None, 0, 255], ids=["no mask", "no lesion", "all lesion"])
def test_without_masks_that_tell_anything_there_is_no_hint(grey):
    decision, tensors = dict(BASE), known(2)
    mask = None if grey is None else Image.new("L", (8, 8), grey)
    middles = [torch.randn(1, 2, 4, 4) for _ in range(5)]
    learnt = [] if mask is None else [sample(m, mask) for m in middles]
    add_cut_off(decision, tensors, learnt, middles, [mask] * 5)
    assert "cut_off" not in decision and "probe" not in tensors
    assert Decision.from_json(decision, tensors).probe is None


def test_a_probe_that_does_not_fit_is_refused():
    decision = BASE | {"cut_off": {"most_covered": 0.1}}
    for probe in (torch.zeros(4), torch.full((5,), torch.nan)):
        with pytest.raises(ValueError, match=r"probe \(\d,\) does not fit"):
            Decision.from_json(decision, known(2) | {"probe": probe})
    with pytest.raises(KeyError):
        Decision.from_json(decision, known(2))


def test_calibration_with_masks_gives_the_hint_and_without_them_works_too(data, model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "temperature", lambda labels, logits: 2.0)
    folder = shutil.copytree(model_folder, tmp_path / "model")
    records = read_ham10000(data)
    parts = split(records)
    made = {
        "seed": 0,
        "ratios": RATIOS,
        "fingerprint": fingerprint(parts),
        "images": {p: len(r) for p, r in parts.items()},
    }
    options = {"init": "none", "schedule": [[1, 32]], "batch": 8, "lr": 1e-3, "ema": 0.9, "smoothing": 0, "adjust": 1}
    write_json(folder / "metrics.json", {"split": made, "training": {"images": 56, "options": options | {"seed": 0}}})
    calibrate.calibrate(folder, data)
    classifier = load(f"local-dir:{folder}")
    cut = [r for r in parts["train"] if covered_side(open_mask(r, data)) > 0]
    whole = [r for r in parts["train"] if covered_side(open_mask(r, data)) == 0]
    flagged = [np.mean(["cut_off" in classifier.predict(r.path).quality for r in group[:12]]) for group in (cut, whole)]
    assert flagged[0] > flagged[1] + 0.5

    bare = shutil.copytree(data, tmp_path / "bare")
    shutil.rmtree(bare / MASKS)
    calibrate.calibrate(folder, bare)
    assert load(f"local-dir:{folder}").decision.probe is None
    (folder / "decision.json").write_text((folder / "decision.json").read_text()[:-3] + ', "cut_off": {}}')
    with pytest.raises(ModelError, match="decision.json and ood.safetensors are damaged"):
        load(f"local-dir:{folder}")
