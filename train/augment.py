"""Augment a whole batch at once, on the device it trains on; every sample draws its own numbers.

Geometry: random resized crop, dihedral flips and a small rotation, as one affine map with one
interpolation. Light: brightness, contrast, saturation and a gain for each channel; mild, because
colour is part of the diagnosis. The random numbers are drawn on the CPU, so a seed means the same on every device.
"""

import math
from collections.abc import Callable

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
    count = len(images)
    uniform = _uniform(generator, batch or count, share, images.device)

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


def disturb(
    images: torch.Tensor,
    generator: torch.Generator,
    strength: float = 1.0,
    noise: float = 6 / 255,
    grain: int = 8,
    batch: int | None = None,
    share: slice = slice(None),
) -> torch.Tensor:
    """Blur or sharpen, and add noise: float (B, 3, H, W) in [0, 1] -> the same.

    What an image looks like from pixel to pixel tells the camera and the file more than the lesion.

    strength: 0 for the images as they are; both of the following grow with it.
    noise: largest standard deviation at strength 1; half of the images get none.
    grain: px; beside noise in every pixel there is noise as coarse as the blocks of a JPEG file.
    batch, share: as in augment.
    """
    if not strength:
        return images
    count = batch or len(images)
    height, width = images.shape[-2:]
    uniform = _uniform(generator, count, share, images.device)
    # as many numbers as pixels are drawn where they are used
    here = torch.Generator(images.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(count, 3, *size, generator=here, device=images.device)[share]

    blurred = F.avg_pool2d(F.pad(images, (2, 2, 2, 2), mode="reflect"), 5, 1)
    x = images + uniform(-strength, strength, 1, 1, 1) * (blurred - images)  # a negative share sharpens
    noise = strength * noise
    x = x + uniform(-noise, noise, 1, 1, 1).clamp(min=0) * normal(height, width)
    coarse = normal(-(-height // grain), -(-width // grain))
    coarse = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    x = x + uniform(-noise, noise, 1, 1, 1).clamp(min=0) * coarse
    return x.clamp(0, 1)


def _uniform(generator: torch.Generator, count: int, share: slice, device: torch.device) -> Callable[..., torch.Tensor]:
    """uniform(low, high, *shape): (B, *shape), drawn for `count` images on the CPU, of these the share, on `device`."""

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        drawn = torch.rand(count, *shape, generator=generator)[share]
        return (drawn * (high - low) + low).to(device)

    return uniform


def _affine(
    uniform: Callable[..., torch.Tensor], scale: tuple[float, float], aspect: float, degrees: float
) -> torch.Tensor:
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
