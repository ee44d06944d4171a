"""Augment a whole batch at once, on the device it trains on; every sample draws its own numbers.

Geometry: random resized crop, dihedral flips and a small rotation, as one affine map with one
interpolation. Light: brightness, contrast, saturation and a gain for each channel; mild, because
colour is part of the diagnosis. The random numbers are drawn on the CPU, so a seed means the same on every device.
"""

import math

import torch
import torch.nn.functional as F

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def augment(
    images: torch.Tensor,
    size: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.4, 1.0),
    aspect: float = 4 / 3,
    degrees: float = 20.0,
    light: float = 0.2,
    gain: float = 0.06,
    batch: int | None = None,
    share: slice = slice(None),
) -> torch.Tensor:
    """uint8 (B, 3, S, S) -> float (B, 3, size, size) in [0, 1].

    scale: range of the crop's area as a share of the image. aspect: largest ratio of its sides.
    degrees: largest rotation. light: range of brightness, contrast and saturation around 1.
    gain: range of each channel's own factor around 1 (white balance).
    batch, share: `images` is this share of a batch of so many images. The numbers are drawn for the whole
        batch, so that an image gets the same ones whichever process computes it.
    """
    count, device = len(images), images.device

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        drawn = torch.rand(batch or count, *shape, generator=generator)[share]
        return (drawn * (high - low) + low).to(device)

    x = images.float() / 255
    if x.shape[-1] > 1.3 * size:  # grid_sample does not low-pass: shrink first, or fine lines alias
        shrunk = int(1.3 * size)
        x = F.interpolate(x, size=(shrunk, shrunk), mode="bilinear", antialias=True)
    grid = F.affine_grid(_affine(uniform, scale, aspect, degrees), [count, 3, size, size], align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    x = x * uniform(1 - light, 1 + light, 1, 1, 1) * uniform(1 - gain, 1 + gain, 3, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * uniform(1 - light, 1 + light, 1, 1, 1)
    grey = (x * x.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    x = grey + (x - grey) * uniform(1 - light, 1 + light, 1, 1, 1)
    return x.clamp_(0, 1)


def _affine(uniform, scale: tuple[float, float], aspect: float, degrees: float) -> torch.Tensor:
    """(B, 2, 3) maps from output to input coordinates, both in [-1, 1]."""
    area = uniform(*scale)
    ratio = torch.exp(uniform(-math.log(aspect), math.log(aspect)))
    width = (area * ratio).sqrt().clamp(max=1)
    height = (area / ratio).sqrt().clamp(max=1)
    angle = uniform(-math.radians(degrees), math.radians(degrees))
    flip_x, flip_y, turn = (torch.where(uniform(-1, 1) < 0, -1.0, 1.0) for _ in range(3))
    cos, sin = torch.cos(angle), torch.sin(angle)
    # the eight flips and quarter turns: mirror each axis, and swap the axes where turn is -1
    a, b = width * flip_x * cos, -width * flip_y * sin
    c, d = height * flip_x * sin, height * flip_y * cos
    swap = turn < 0
    linear = torch.stack(
        [torch.where(swap, b, a), torch.where(swap, a, b), torch.where(swap, d, c), torch.where(swap, c, d)], 1
    ).view(-1, 2, 2)
    shift = torch.stack([uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)], 1)
    return torch.cat([linear, shift[:, :, None]], 2)
