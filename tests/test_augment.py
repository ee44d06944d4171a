import numpy as np
import pytest
import torch

from train.augment import augment, disturb

STILL = {"scale": (1, 1), "aspect": 1, "degrees": 0, "light": 0, "gain": 0}


def batch(seed: int = 0, count: int = 64, side: int = 32) -> torch.Tensor:
    image = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, side, side), dtype=np.uint8))
    return image.expand(count, -1, -1, -1)


def test_without_crop_and_light_only_the_eight_flips_remain():
    images = batch()
    out = augment(images, 32, torch.Generator().manual_seed(0), **STILL)
    original = images[0].float() / 255
    turns = [torch.rot90(f, k, (1, 2)) for f in (original, original.flip(2)) for k in range(4)]
    seen = set()
    for x in out:
        distances = [float((x - t).abs().max()) for t in turns]
        seen.add(int(np.argmin(distances)))
        assert min(distances) < 1e-4
    assert seen == set(range(8))


def test_every_sample_draws_its_own_numbers_and_a_seed_repeats_them():
    images = batch(count=8)
    a = augment(images, 24, torch.Generator().manual_seed(1))
    b = augment(images, 24, torch.Generator().manual_seed(1))
    assert a.shape == (8, 3, 24, 24) and torch.equal(a, b)
    assert all(not torch.allclose(a[i], a[j], atol=1e-2) for i in range(8) for j in range(i))


def test_values_stay_in_range():
    out = augment(torch.full((16, 3, 32, 32), 255, dtype=torch.uint8), 16, torch.Generator().manual_seed(0), light=0.9)
    assert out.min() >= 0 and out.max() <= 1 and torch.isfinite(out).all()


def test_crop_keeps_the_asked_share_of_the_area():
    """On a horizontal ramp the spread of values is the crop's width."""
    ramp = (torch.arange(256) % 256).to(torch.uint8).expand(200, 3, 256, 256)
    options = STILL | {"scale": (0.25, 0.25)}
    out = augment(ramp, 64, torch.Generator().manual_seed(0), **options)
    spread = (out.amax((1, 2, 3)) - out.amin((1, 2, 3))).mean().item()
    assert spread == pytest.approx(0.5, abs=0.03)


def grey(count: int = 400, side: int = 32) -> torch.Tensor:
    return torch.full((count, 3, side, side), 0.5)


def test_an_image_is_blurred_or_sharpened():
    """The step of an edge becomes flatter or steeper, its two sides stay."""
    edge = (0.25 + 0.5 * (torch.arange(32) >= 16)).expand(200, 3, 32, 32)
    out = disturb(edge, torch.Generator().manual_seed(0), noise=0)
    step = out[:, 0, 16, 16] - out[:, 0, 16, 15]
    assert step.min() < 0.2 and step.max() > 0.8 and step.mean() == pytest.approx(0.5, abs=0.03)
    assert torch.allclose(out[:, :, :, [0, -1]], edge[:, :, :, [0, -1]])


@pytest.mark.parametrize("strength", [0.5, 1])
def test_noise_is_fine_or_coarse_and_as_strong_as_asked(strength):
    out = disturb(grey(), torch.Generator().manual_seed(0), strength, noise=0.04) - 0.5
    fine = (out[..., 1:] - out[..., :-1]).std((1, 2, 3)) / 2**0.5  # next to each other, coarse noise is nearly equal
    deviation = out.std((1, 2, 3))
    assert (deviation < 1e-6).float().mean() == pytest.approx(0.25, abs=0.07)
    assert 0.035 * strength < fine.max() < 0.044 * strength
    coarse_alone = (fine < deviation / 3) & (deviation > 0.001)
    assert coarse_alone.float().mean() == pytest.approx(0.25, abs=0.08)
    assert out.mean().abs() < 0.002


def test_what_disturbs_an_image_is_drawn_for_the_whole_batch_by_the_seed():
    """A share of a batch gets the numbers that it gets within the whole batch."""
    whole = disturb(grey(8), torch.Generator().manual_seed(1))
    part = disturb(grey(4), torch.Generator().manual_seed(1), batch=8, share=slice(0, None, 2))
    assert torch.equal(whole[::2], part)
    other = disturb(grey(8), torch.Generator().manual_seed(2))
    assert not torch.allclose(whole, other, atol=1e-3)


def test_strength_0_leaves_all_as_it_is_and_values_stay_in_range():
    images = batch(count=64).float() / 255
    assert torch.equal(disturb(images, torch.Generator().manual_seed(0), 0), images)
    out = disturb(images, torch.Generator().manual_seed(0), 2)
    assert out.min() >= 0 and out.max() <= 1 and torch.isfinite(out).all()
