"""Texture primitives on a supersampled plane: noise fields, cells, outlines, strokes.

Every length here is in pixels of the finished 600 x 450 image; the plane itself is sampled
`SS` times finer along each axis, so thin lines and sharp borders come out antialiased.
All maps are float32 arrays of shape (H*SS, W*SS).
"""

from dataclasses import dataclass
from math import cos, pi, sin, sqrt

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft, ndimage

W, H, SS = 600, 450, 2


def soft(x: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """Sigmoid step of `x` (pixels, 0 at the step) with transition `width` (pixels); in [0, 1]."""
    return 1 / (1 + np.exp(-np.clip(x / width, -30, 30)))


def blur(a: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of a map by `sigma` output pixels (stands for scattering over that length)."""
    return ndimage.gaussian_filter(a, sigma * SS, truncate=3)


@dataclass
class Cells:
    """Cells around jittered points: per-pixel distances (px) to the nearest and second point,
    offsets to the nearest point (px), and index of the nearest point in a flat table."""

    near: np.ndarray
    second: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    index: np.ndarray
    count: int

    @property
    def edge(self) -> np.ndarray:
        """Distance to the cell's border, px (half of second - nearest: exact on the midline)."""
        return (self.second - self.near) / 2


class Canvas:
    """The plane of one image: pixel coordinates `x`, `y` and the random generator it draws from."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        step = (np.arange(max(W, H) * SS, dtype=np.float32) + 0.5) / SS
        self.y, self.x = np.meshgrid(step[: H * SS], step[: W * SS], indexing="ij")

    def field(self, lo: float, hi: float, beta: float = 2.0, stretch: float = 1.0, angle: float = 0.0) -> np.ndarray:
        """Gaussian random field with wavelengths `lo`..`hi` px, power ~ f**-beta, mean 0, sd 1.

        `stretch` > 1 elongates its features by that factor along `angle` (radians). Made by
        shaping white noise in the Fourier domain: no lattice and no period shows. Coarse fields
        are made on a coarse grid, and all on a plane 1/4 larger, so opposite edges differ.
        """
        q = max(1.0, lo * SS / 5)  # at least five samples per shortest wavelength
        h, w = int(H * SS / q * 1.25) + 4, int(W * SS / q * 1.25) + 4
        fy, fx = fft.fftfreq(h)[:, None].astype(np.float32), fft.rfftfreq(w)[None].astype(np.float32)
        along = fx * cos(angle) + fy * sin(angle)
        f = np.hypot(along * stretch, -fx * sin(angle) + fy * cos(angle)) * SS / q + 1e-9
        gain = f ** (-beta / 2) * np.exp(-((f * lo) ** 4)) * -np.expm1(-((f * hi) ** 4))
        noise = fft.irfft2(fft.rfft2(self.rng.standard_normal((h, w), np.float32)) * gain, s=(h, w))
        crop = noise[: int(H * SS / q) + 2, : int(W * SS / q) + 2].astype(np.float32)
        a = np.asarray(Image.fromarray(crop).resize((W * SS, H * SS), Image.Resampling.BICUBIC))
        return (a - a.mean()) / a.std()

    def warp(self, amount: float, lo: float, hi: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates displaced by a smooth random field of sd `amount` px: bends what is drawn."""
        return self.x + amount * self.field(lo, hi), self.y + amount * self.field(lo, hi)

    def cells(
        self, spacing: float, x: np.ndarray | None = None, y: np.ndarray | None = None, jitter: float = 0.85
    ) -> Cells:
        """Worley cells: points `spacing` px apart on a jittered, row-shifted lattice."""
        if x is None or y is None:
            x, y = self.x, self.y
        u, v = x / spacing + 8, y / spacing + 8  # 8: room for warped coordinates below 0
        cols, rows = int(W / spacing) + 20, int(H / spacing) + 20
        px = (self.rng.random((rows, cols), dtype=np.float32) - 0.5) * jitter + 0.5
        py = (self.rng.random((rows, cols), dtype=np.float32) - 0.5) * jitter + 0.5
        px[1::2] += 0.5
        px += np.arange(cols, dtype=np.float32)
        py += np.arange(rows, dtype=np.float32)[:, None]
        i0 = np.clip(np.floor(v).astype(np.int32), 1, rows - 2)
        home = i0 * cols + np.clip(np.floor(u - 0.25).astype(np.int32), 1, cols - 2)
        near = np.full(u.shape, 81.0, np.float32)  # squared until the end: this loop is most of the cost of an image
        second, dx, dy = near.copy(), near.copy(), near.copy()
        index = np.zeros(u.shape, np.int32)
        for flat in (home + (di * cols + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)):
            ox, oy = u - px.ravel()[flat], v - py.ravel()[flat]
            d = ox * ox + oy * oy
            closer = d < near
            np.minimum(second, np.maximum(d, near), out=second)
            for kept, new in ((near, d), (dx, ox), (dy, oy), (index, flat)):
                np.copyto(kept, new, where=closer)
        near, second = np.sqrt(near), np.sqrt(second)
        return Cells(near * spacing, second * spacing, dx * spacing, dy * spacing, index, rows * cols)

    def blobs(
        self,
        spacing: float,
        radius: tuple[float, float],
        share: float,
        edge: float = 0.8,
        rough: float = 0.15,
        oval: float = 0.3,
        where: np.ndarray | None = None,
    ) -> tuple[np.ndarray, Cells, np.ndarray]:
        """Scattered roundish spots: coverage in [0, 1], their cells, signed distance inside (px).

        A `share` of the cells hold one, of `radius` px drawn log-uniformly, elongated by up to
        1 + `oval`, its border `edge` px soft and roughened; `where` (a map in [0, 1]) thins them.
        """
        rng = self.rng
        c = self.cells(spacing, *self.warp(rough * radius[1], 3 * radius[1], 12 * radius[1]), jitter=0.7)
        r = np.exp(rng.uniform(np.log(radius[0]), np.log(radius[1]), c.count)).astype(np.float32)
        turn = rng.uniform(0, np.pi, c.count).astype(np.float32)
        k = (1 + oval * rng.random(c.count)).astype(np.float32)
        keep = rng.random(c.count) < share
        if where is not None:  # decided by the map's value around each point, cell by cell
            size = np.bincount(c.index.ravel(), minlength=c.count)
            mean = np.bincount(c.index.ravel(), where.ravel(), c.count) / np.maximum(size, 1)
            keep &= rng.random(c.count) < mean**1.5
        co, si = np.cos(turn)[c.index], np.sin(turn)[c.index]
        a, b = c.dx * co + c.dy * si, -c.dx * si + c.dy * co
        inside = np.where(keep, r, -99)[c.index] - np.hypot(a / k[c.index], b * np.sqrt(k[c.index]))
        k0 = 0.22 * radius[1]  # smooth minimum with the cell's border: neighbours press, not cut
        inside = np.clip(inside, -20 * k0, 20 * k0)
        inside = -k0 * np.log(np.exp(-inside / k0) + np.exp(-np.minimum(c.edge - 0.5, 20 * k0) / k0))
        return soft(inside, edge), c, inside

    def outline(
        self, area: float, ratio: float, irregular: float, lobes: int = 1, finest: float = 6
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A lesion's shape: signed distance to its border (px, > 0 inside), and polar coordinates
        about its centre (radius over mean radius, angle).

        `area`: share of the image; `ratio`: minor over major axis; `irregular`: border roughness
        as a share of the radius, over wavelengths from `finest` px up; more `lobes` make it
        asymmetric.
        """
        rng = self.rng
        size = sqrt(area * W * H / pi)
        cx, cy = W / 2 + rng.normal(0, 16), H / 2 + rng.normal(0, 11)
        turn = rng.normal(0, 0.6)
        co, si = cos(turn), sin(turn)
        a = (self.x - cx) * co + (self.y - cy) * si
        b = -(self.x - cx) * si + (self.y - cy) * co
        radius, theta = np.hypot(a, b) / size, np.arctan2(b, a)
        total = np.zeros_like(radius)
        for _ in range(lobes):
            part = 1.0 if lobes == 1 else rng.uniform(0.55, 0.85)
            ox, oy = (0, 0) if lobes == 1 else (rng.uniform(-0.55, 0.55, 2) * size).tolist()
            rho = np.hypot((a - ox) * sqrt(ratio), (b - oy) / sqrt(ratio)) / (part * size)
            total = total + np.exp(np.clip(8 * part * (1 - rho), -30, 30))  # smooth union
        inside = np.log(total + 1e-9) / 8 * size
        rough = (
            0.75 * self.field(0.7 * size, 3 * size)
            + 0.4 * self.field(0.2 * size, 0.8 * size)
            + 0.13 * self.field(finest, 0.3 * size, 3.0)
        )
        return inside + irregular * size * rough, radius.astype(np.float32), theta

    def rays(self, theta: np.ndarray, radius: np.ndarray, count: int, twist: float = 1.0) -> np.ndarray:
        """Noise drawn out along the radius (about `count` rays round the circle), mean 0, sd 1."""
        table = ndimage.gaussian_filter(
            self.rng.standard_normal((24, 512)), (1.6, 512 / count / 5), mode=("nearest", "wrap")
        )
        bend = theta + 0.04 * twist * self.field(25, 150)
        at = np.stack([np.clip(radius * 10, 0, 23), (bend / (2 * np.pi)) % 1 * 512])
        a = ndimage.map_coordinates(table, at, order=1, mode="grid-wrap").astype(np.float32)
        return (a - table.mean()) / table.std()

    def strokes(self, paths: list[tuple[np.ndarray, float, float]], edge: float = 0.4) -> np.ndarray:
        """Coverage of tapering lines: each an (n, 2) path of x, y px with its two end widths, px."""
        image = Image.new("L", (W * SS, H * SS), 0)
        draw = ImageDraw.Draw(image)
        for path, first, last in paths:
            q = path * SS
            for p0, p1, w in zip(q[:-1], q[1:], np.linspace(first, last, len(q) - 1) * SS, strict=True):
                fill = int(255 * min(1, w))  # thinner than a sample: fainter instead
                draw.line([*p0, *p1], fill=fill, width=max(1, round(w)))
                if w > 2.5:
                    draw.ellipse([*(p1 - w / 2 + 0.5), *(p1 + w / 2 - 0.5)], fill=fill)
        return blur(np.asarray(image, np.float32) / 255, edge)

    def walk(
        self,
        x: float,
        y: float,
        heading: float,
        length: float,
        wander: float,
        curve: float = 0.0,
        stiff: float = 12.0,
        step: float = 3.0,
    ) -> np.ndarray:
        """A smooth random path, (n, 2) px: `wander` (sd, kept up over `stiff` px) and `curve` (mean)
        are turns in radians per 10 px."""
        n = max(3, int(length / step))
        sigma = stiff / step
        turn = ndimage.gaussian_filter1d(self.rng.standard_normal(n), sigma) * np.sqrt(3.5 * sigma)
        angle = heading + np.cumsum((wander * turn + curve) * step / 10)
        return np.stack([x + np.cumsum(np.cos(angle)) * step, y + np.cumsum(np.sin(angle)) * step], 1)

    def tree(
        self, x: float, y: float, heading: float, length: float, width: float, wander: float, root: bool = True
    ) -> list[tuple[np.ndarray, float, float]]:
        """An arborizing vessel: a trunk of `width` px that forks into ever finer branches."""
        path = self.walk(x, y, heading, length, wander, stiff=7)
        third = len(path) // 3 + 1  # the trunk swells as it rises to the surface, then tapers
        out = [(path[:third], width * (0.3 if root else 1), width), (path[third - 1 :], width, 0.6 * width)]
        if width > 0.9:
            for side in self.rng.permutation([-1, 1])[: self.rng.integers(1, 3)]:
                at = self.rng.integers(len(path) // 2, len(path))
                d = path[at] - path[at - 1]
                turn = np.arctan2(d[1], d[0]) + side * self.rng.uniform(0.3, 0.9)
                out += self.tree(
                    path[at, 0],
                    path[at, 1],
                    turn,
                    length * self.rng.uniform(0.45, 0.85),
                    width * 0.62,
                    wander,
                    root=False,
                )
        return out
