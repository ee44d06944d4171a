"""A landscape at dusk, for the example that is no lesion: mountains over a lake, firs on the near shore."""

import numpy as np
from PIL import Image
from scipy import ndimage

from train.synthesis.canvas import SS, Canvas, H, W, soft

# sRGB 0..1
ZENITH, HORIZON, SUN = (np.array(rgb) for rgb in ([0.20, 0.34, 0.58], [0.99, 0.76, 0.55], [1.0, 0.93, 0.78]))
FAR, NEAR = np.array([0.62, 0.60, 0.70]), np.array([0.10, 0.16, 0.17])
RIDGES = 4
SHORE = 0.66  # of the height


def landscape(rng: np.random.Generator) -> Image.Image:
    """600 x 450 RGB, a function of `rng` alone."""
    c = Canvas(rng)
    y = c.y / H
    picture = _mix(ZENITH, HORIZON, np.clip(y / 0.55, 0, 1) ** 1.4)
    away = np.hypot(c.x - W * rng.uniform(0.25, 0.75), c.y - H * rng.uniform(0.34, 0.42))
    cloud = soft(c.field(25, 300, 3.2, stretch=5.0) + 0.25 * c.field(6, 40, 2.2, stretch=3.0) - 0.7, 0.3)
    picture = _mix(picture, SUN, 0.65 * np.exp(-away / 70) + 0.45 * cloud * (0.4 + 0.6 * np.exp(-away / 200)))
    picture = _mix(picture, SUN, soft(17 - away, 0.8))

    for ridge in range(RIDGES):  # the nearer, the darker, lower and rougher: haze lies between
        near = ridge / (RIDGES - 1)
        height = np.cumsum(rng.standard_normal(W * SS))
        height = ndimage.gaussian_filter1d(height - np.linspace(height[0], height[-1], W * SS), 5 - 4 * near)
        skyline = H * (0.45 + 0.14 * near) - (62 - 40 * near) * height / np.abs(height).max()
        below = soft(c.y - skyline, 0.7)
        slope = np.clip(1 + 0.10 * c.field(5, 60, 2.2, stretch=2.0, angle=rng.uniform(0.6, 1.0)), 0.5, 1.5)
        rock = _mix(FAR, NEAR, np.full_like(y, near)) * slope[..., None]
        mist = np.clip((c.y - skyline) / 110, 0, 1) * (0.5 - 0.4 * near)
        picture = _mix(picture, _mix(rock, HORIZON, mist), below)

    shore = int(SHORE * H * SS)
    depth = np.arange(H * SS - shore)
    ripple = c.field(5, 40, 1.5, stretch=9.0)[shore:] * np.minimum(depth / 25, 5)[:, None]
    mirrored = np.clip(shore - 1 - depth[:, None] + ripple, 0, shore - 1).astype(int)
    water = picture[mirrored, np.arange(W * SS)] * 0.78 + 0.10 * ZENITH
    picture = np.concatenate([picture[:shore], water])

    bank = H * 0.93 - 9 * c.field(120, 900)[0]
    firs = []
    for x in np.sort(rng.uniform(0, W, 46)):
        foot, tall = bank[int(x * SS)] + 6, rng.uniform(16, 80) * (1.25 - abs(x / W - 0.5) / 0.5 * -0.6) / 1.8
        trunk = np.linspace([x, foot - tall], [x + rng.normal(0, 1), foot], 26)
        firs += [(trunk[i : i + 3], 0.8 + 0.16 * tall * i / 26, 1.2 + 0.30 * tall * i / 26) for i in range(0, 24, 2)]
    grass = soft(c.y - bank + 2.5 * c.field(2.5, 9, 1.0), 1.0)
    picture = _mix(picture, NEAR * 0.55, np.maximum(grass, c.strokes(firs)))

    picture = picture.reshape(H, SS, W, SS, 3).mean((1, 3))
    picture = picture + 0.008 * rng.standard_normal((H, W, 1))
    return Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """From colour `a` to colour `b`, by a map of shares in [0, 1]."""
    share = np.clip(share, 0, 1)[..., None]
    return a * (1 - share) + b * share
