"""Skin, light and camera: from maps of absorbers to an RGB photograph-like image.

Colour is made as in tissue, not by pasting paint: absorbers add optical density to the skin's
own (Beer-Lambert, linear light), pale structures scatter white light back, and the camera's
falloff, blur and noise come last. Densities are in units of the green channel's optical density.

Measured on HAM10000 (up to 150 images per class drawn with seed 0, 224 x 224 copies, sRGB made
linear, natural logarithms; lesion masks of Tschandl et al. 2020): skin = median outside the mask
grown by 10 px and within 105 px of the centre; an absorber = skin minus lesion median, by channel;
contrast by octave = sd of differences of Gaussians (1, 2, 4, 8, 16 px) of log green on that skin.
"""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from scipy import ndimage

from train.synthesis.canvas import SS, Canvas, H, W, blur, soft

SKIN_SRGB = np.array([208, 167, 175])  # median of the seven class medians
# First two principal components of the skin's log colour over images, alike in all classes
# (sd 0.40-0.51 and 0.14-0.24): brightness, which moves red least, and pink to yellow.
SKIN_AXES = np.array([[0.42, 0.64, 0.64], [0.75, 0.02, -0.65]])
SKIN_SD = np.array([0.45, 0.16])
# Optical density in R, G, B per unit of green. Measured: melanin from 0.33, 1, 1.21 (border of
# naevi) to 0.43, 1, 1.12 (centre of melanomas); blood 0.24, 1, 0.50 (centre of vascular lesions),
# here a little less blue so that fine vessels look red. By eye: melanin in the dermis looks
# blue-grey, for red light, scattered least, reaches it (Tyndall effect); horn and scale are yellow.
ABSORBERS = {
    "melanin": np.array([0.42, 1.00, 1.22], np.float32),
    "blood": np.array([0.22, 1.00, 0.60], np.float32),
    "dermal": np.array([0.88, 1.00, 0.76], np.float32),
    "keratin": np.array([0.16, 0.42, 1.00], np.float32),
}
# Stray light, linear RGB: the darkest 1 % of a melanoma's pixels still send back 0.003-0.015
# (green; 10 % to 50 % of the images).
FLARE = np.array([0.0072, 0.0061, 0.0068])


@dataclass
class Tissue:
    """One lesion on its skin: maps of absorbers (green optical density) and of scatter.

    `white`: share of light scattered back early (scar, scale, veil), having crossed about half of
    the skin's own density, times `tint` (linear RGB); `relief`: height, px.
    """

    melanin: np.ndarray
    blood: np.ndarray
    dermal: np.ndarray
    keratin: np.ndarray
    white: np.ndarray
    relief: np.ndarray
    tint: np.ndarray = field(default_factory=lambda: np.array([0.90, 0.97, 0.97]))


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB 0..255 to linear light 0..1."""
    a = np.asarray(srgb) / 255
    return np.where(a <= 0.04045, a / 12.92, ((a + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB 0..1."""
    a = np.clip(linear, 0, 1)
    return np.where(a <= 0.0031308, 12.92 * a, 1.055 * a ** (1 / 2.4) - 0.055)


def skin(c: Canvas, mottle: float = 1.0, sun: float = 0.0, vessels: float = 0.0) -> Tissue:
    """Lesion-free skin: uneven blood and pigment, furrows, pores.

    `mottle` scales the unevenness, `sun` the brown blotches of sun-damaged skin, `vessels` the
    fine superficial vessels. Amplitudes are set so that the finished skin's contrast by octave comes
    near the measured one: 0.02-0.04, rising with wavelength.
    """
    rng = c.rng
    sun, vessels = float(sun), float(vessels)  # numpy's own scalars would make every map float64, twice as slow
    axis, grain = rng.uniform(0, np.pi), rng.uniform(1.0, 1.6)  # run of the skin lines
    furrow = 0.0
    for turn in (0, rng.uniform(0.8, 1.4)):  # two crossing families of fine lines
        f = c.field(9, 30, 1.5, stretch=3.5, angle=axis + turn)
        furrow = furrow + np.exp(-((f / 0.25) ** 2)) * soft(c.field(50, 250) - 0.2, 0.6)
    pore, _, _ = c.blobs(rng.uniform(19, 30), (0.8, 1.9), 0.5, edge=0.8)
    melanin = (
        0.05 * c.field(40, 400, 2.5)
        + 0.025 * c.field(9, 60, 2.2, grain, axis)
        + 0.024 * c.field(2.5, 9, 1.5)
        - rng.uniform(0.04, 0.09) * furrow
        + 0.11 * pore * np.clip(0.6 + c.field(60, 300), 0, 2)
    )
    blood = mottle * (0.08 * c.field(40, 320, 2.5) + 0.045 * c.field(9, 50, 2.4, grain, axis)) + 0.010 * c.field(
        3, 10, 1.5
    )
    if sun > 0:
        blotch = soft(c.field(28, 200, 2.6) + 0.25 * c.field(6, 30, 2) - 1.25, 0.25)
        melanin = melanin + sun * blotch * (0.45 + 0.10 * c.field(5, 20, 1.5))
    if vessels > 0:
        paths = [
            (
                c.walk(rng.uniform(0, W), rng.uniform(0, H), rng.uniform(0, 6.3), rng.uniform(20, 90), 1.1),
                rng.uniform(0.8, 2),
                0.6,
            )
            for _ in range(rng.integers(25, 50))
        ]
        blood = blood + vessels * 0.3 * blur(c.strokes(paths), 1.0) * soft(c.field(60, 250), 0.5)
    # Capillaries under the surface, out of focus: a loose net, here and there dense enough to be seen.
    net = c.cells(rng.uniform(24, 44), *c.warp(10, 20, 90), 1.0).edge
    net = np.exp(-((net / rng.uniform(1.2, 2.4)) ** 2)) * soft(c.field(30, 220) - 0.2, 0.5)
    blood = blood + rng.uniform(0.0, 0.16) * blur(net, rng.uniform(1.0, 2.2))
    zero = np.zeros_like(melanin)
    return Tissue(melanin, blood, zero.copy(), zero.copy(), zero.copy(), 0.07 * c.field(4, 18, 1.8))


def expose(
    c: Canvas, t: Tissue, brightness: float = 0.0, warmth: float = 0.0, hairs: int = 0, vignette: float = 0.0
) -> Image.Image:
    """Photograph the tissue: 600 x 450 RGB.

    `brightness`, `warmth` (in the measured sd) shift the skin colour, `hairs` counts dark terminal
    hairs, `vignette` in [0, 1] darkens the corners as the dermatoscope's round aperture does.
    """
    rng = c.rng
    base = np.log(to_linear(SKIN_SRGB)) + np.array([brightness, warmth]) * SKIN_SD @ SKIN_AXES
    base = np.minimum(base, -0.06).astype(np.float32)
    density = sum(np.maximum(getattr(t, name).astype(np.float32), -0.5)[..., None] * e for name, e in ABSORBERS.items())
    light = np.exp(base - density).astype(np.float32)
    white = np.clip(t.white.astype(np.float32), 0, 1)[..., None]
    light = light * (1 - white) + white * np.minimum(np.exp(0.55 * base) * t.tint, 1.0).astype(np.float32)

    # Ring light through immersion fluid: slopes shade gently, ridges catch a weak gloss.
    gy, gx = np.gradient(t.relief, 1 / SS)
    side = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(side) * gx + np.sin(side) * gy).astype(np.float32)
    light = light * np.exp(np.clip(0.16 * slope, -0.3, 0.25))[..., None]
    gloss = soft(slope - 1.5, 0.15) * soft(c.field(20, 120), 0.4)
    light = light + (0.12 * gloss)[..., None]

    if rng.random() < 0.5:  # the lamps glint on what stands out of the fluid: specks, in small groups
        glint, _, _ = c.blobs(7, (0.4, 1.0), 0.10, edge=0.3, where=soft(c.field(25, 160) - 1.1, 0.3))
        light = light + (rng.uniform(0.1, 0.35) * glint)[..., None]
    if rng.random() < 0.35:  # air bubbles in the fluid: a bright rim, dark just inside
        _, _, depth = c.blobs(55, (1.5, 8), 0.05, rough=0.05, oval=0.2)
        rim = np.exp(-((depth / 0.9) ** 2)) - 0.5 * np.exp(-(((depth - 1.8) / 1.0) ** 2))
        light = light * np.exp(0.2 * rim)[..., None]

    light = _hairs(c, light, hairs)
    x, y = c.x / W - 0.5, c.y / H - 0.5
    tilt = rng.normal(0, 0.10, 2).tolist()
    lamp = tilt[0] * x + tilt[1] * y - rng.uniform(0.2, 0.9) * (x**2 + y**2) + 0.03 * c.field(200, 900)
    light = light * np.exp(lamp - lamp.mean() + 0.02)[..., None]
    if vignette > 0:  # edge of the round field of view, softened out of focus
        off = rng.normal(0, 12, 2).tolist()
        r = np.hypot(c.x - W / 2 - off[0], c.y - H / 2 - off[1])
        aperture, width = rng.uniform(318, 352), rng.uniform(5, 13)
        for channel, fringe in enumerate((-1.5, 0.0, 1.5)):  # the lens bends blue more than red
            light[..., channel] *= 1 - vignette * soft(r - aperture - fringe, width)
    light = light * (1 - FLARE) + FLARE

    light = light.reshape(H, SS, W, SS, 3).mean((1, 3))
    light = ndimage.gaussian_filter(light, (rng.uniform(0.45, 0.75),) * 2 + (0,))
    shot = rng.standard_normal(light.shape) * np.sqrt(2.2e-4 * np.maximum(light, 0) + 4e-6)
    light = light + ndimage.gaussian_filter(shot, (0.55, 0.55, 0)) * 1.6  # demosaicing smooths noise
    srgb = to_srgb(light)
    srgb = srgb + 0.25 * (srgb - ndimage.gaussian_filter(srgb, (1.2, 1.2, 0)))  # camera sharpening
    # A camera stores colour at half the resolution of brightness, and its denoising leaves blotches of it.
    grey = srgb.mean(2, keepdims=True)
    blotch = ndimage.gaussian_filter(rng.standard_normal(srgb.shape), (1.6, 1.6, 0)) * rng.uniform(0.01, 0.03)
    colour = ndimage.gaussian_filter(srgb - grey, (1.0, 1.0, 0)) + blotch - blotch.mean(2, keepdims=True)
    return Image.fromarray((np.clip(grey + colour, 0, 1) * 255 + 0.5).astype(np.uint8))


def _hairs(c: Canvas, light: np.ndarray, count: int) -> np.ndarray:
    """Lay dark terminal hairs and pale vellus hairs over the light, (H*SS, W*SS, 3)."""
    rng = c.rng
    grow = rng.uniform(0, 2 * np.pi)

    def lot(n: int, thick: tuple[float, float], long: tuple[float, float], curl: float = 0.03) -> list:
        return [
            (
                c.walk(
                    rng.uniform(-20, W + 20),
                    rng.uniform(-20, H + 20),
                    grow + rng.normal(0, 0.5),
                    rng.uniform(*long),
                    0.05,
                    rng.normal(0, curl),
                    40,
                ),
                w := rng.uniform(*thick),
                w * 0.3,
            )
            for _ in range(n)
        ]

    pale = c.strokes(lot(int(rng.integers(4, 22)), (0.5, 0.9), (60, 200)), 0.6)
    light = light * np.exp(0.12 * pale)[..., None]
    fair = rng.random()  # the fairer, the thinner, browner and more
    ink = np.array([1.3 - 0.6 * fair, 1.75 - 0.5 * fair, 2.0]) * rng.uniform(0.6, 1.15)
    thick = 2.8 - 1.5 * fair
    for hair in lot(round(count * (1 + 1.5 * fair)), (0.6 * thick, thick), (110, 520), 0.045):
        path, w, tip = hair
        focus = rng.uniform(0.45, 1.1)  # hairs lie above the focal plane, some more than others
        cover = c.strokes([hair], focus)
        shadow = c.strokes([(path + 2.5, w, tip)], 2.2)
        shine = c.strokes([(path - 0.2 * w, 0.3 * w, 0.3 * tip)], focus)
        light = light * np.exp(-0.16 * shadow)[..., None] * np.exp(-cover[..., None] * ink)
        light = light + (0.035 * shine * cover)[..., None] * np.array([1.0, 0.9, 0.8])
    return light.astype(np.float32)
