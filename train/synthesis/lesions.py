"""One recipe per HAM10000 class, after the dermatoscopic criteria that define it.

Each recipe draws its absorbers over lesion-free skin and returns the photograph. Densities, areas
and shapes were set by eye against what was measured on HAM10000 (how: skin.py); class medians of
green optical density over the skin at centre / border, and share of the image: akiec .50/.21, .41;
bcc .54/.16, .20; bkl .65/.26, .29; df .69/.28, .28; mel 1.51/.48, .31; nv 1.79/.52, .19;
vasc 2.37/.76, .10. Minor over major axis: .74 (nv) to .84 (vasc).
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from train.synthesis.canvas import SS, Canvas, blur, soft
from train.synthesis.skin import expose, skin


def tone(rng: np.random.Generator) -> tuple[float, float]:
    """A skin's brightness and warmth, in the measured sd, from the fairer, yellower part of the range."""
    return rng.uniform(-0.3, 1.0), rng.normal(0.7, 1.0)


def network(c: Canvas, spacing: float, line: float, broken: float) -> np.ndarray:
    """Pigment network: dark lines round pale holes, in [0, 1].

    `spacing` between holes and `line` width in px; `broken` > 0 lets lines thicken, fade and end.
    """
    x, y = c.warp(0.3 * spacing, 3 * spacing, 12 * spacing)
    edge = c.cells(spacing, x, y, 0.9).edge
    width = line * np.exp(broken * 0.6 * c.field(2 * spacing, 10 * spacing))
    mesh = np.exp(-((edge / width) ** 2))
    return blur(mesh, 0.35 * line) * soft(c.field(2 * spacing, 12 * spacing) + 1.3 / (broken + 0.3), 0.5)


def nv(c: Canvas) -> Image.Image:
    """nv: regular brown oval; reticular network fading at the border, globules inside."""
    rng = c.rng
    t = skin(c, mottle=0.6)
    inside, _, _ = c.outline(rng.uniform(0.10, 0.24), rng.uniform(0.68, 0.88), 0.09)
    size = inside.max()
    core = soft(inside - 0.30 * size, 0.16 * size)
    body = soft(inside - 2 + 3 * c.field(8, 40, 2), rng.uniform(6, 11))
    mesh = network(c, rng.uniform(7, 9.5), rng.uniform(1.5, 2.0), 0.4)
    cloud = np.clip(1 + 0.18 * c.field(25, 160) + 0.10 * c.field(6, 24, 1.5), 0.2, 2)
    strength = rng.uniform(0.85, 1.3)
    globules, _, _ = c.blobs(9, (1.4, 3.0), 0.5, edge=0.9, where=core)
    lines = mesh * body * (0.55 - 0.30 * core) * np.clip(cloud + 0.3 * c.field(15, 80), 0.2, 2)
    t.melanin += strength * ((0.45 * body + 0.70 * core) * cloud + lines + 0.35 * globules * core)
    t.melanin += 0.14 * soft(inside + 14, 10)  # faint halo: pigment spread in the rim
    t.blood += 0.12 * blur(body, 4) * (1 + 0.3 * c.field(30, 150))
    t.dermal += rng.uniform(0.2, 0.5) * blur(core, 5) * np.clip(1 + 0.6 * c.field(30, 120), 0, 3)
    t.relief += 0.25 * c.field(6, 22) * body
    return expose(c, t, *tone(rng), rng.choice([0, 0, 1, 3]), rng.choice([0, 0, 0, 1]))


def mel(c: Canvas) -> Image.Image:
    """mel: asymmetric, many colours, atypical network, veil, streaks, dots, regression."""
    rng = c.rng
    t = skin(c, mottle=0.8, sun=rng.choice([0.0, 0.4]))
    inside, radius, theta = c.outline(
        rng.uniform(0.17, 0.34), rng.uniform(0.65, 0.85), 0.13, lobes=int(rng.integers(2, 5)), finest=11
    )
    size = inside.max()
    streaks = c.rays(theta, radius, 55)
    inside = inside + 3.5 * np.maximum(streaks, -0.6) * soft(c.field(80, 300) - 0.2, 0.3)
    sharp = np.exp(0.5 * c.field(60, 250)) * 4.5  # abrupt here, faded there
    body = soft(inside + 1.6 * c.field(8, 30, 2.5), sharp)
    deep = soft(inside - 0.15 * size, 0.08 * size)
    black, other = c.field(110, 500, 3), c.field(110, 500, 3)
    fine = c.field(8, 60, 2.6)
    mass = np.clip(0.95 + 0.16 * fine + 0.30 * c.field(40, 180, 2.5), 0.2, 3)
    dark = blur(soft(black + 0.16 * fine - 0.2, 0.22) * deep, 1.5)
    mesh = network(c, rng.uniform(10, 14), rng.uniform(2.6, 3.6), 0.9)
    veil = blur(soft(other + 0.15 * fine - 0.85, 0.28) * deep, 5)
    clear = blur(soft(-other - 0.4 * black + 0.2 * fine - 1.35, 0.2) * soft(inside - 0.1 * size, 8), 4)
    dots, _, _ = c.blobs(
        13, (1.2, 3.4), 0.5, edge=1.0, rough=0.2, where=np.clip(body * soft(c.field(60, 220) - 0.2, 0.3), 0, 1)
    )
    pepper, _, _ = c.blobs(8, (0.8, 1.7), 0.45, edge=1.2, where=clear)
    t.melanin += body * (mass + 0.60 * mesh * (1 - 0.7 * dark)) * (1 - 0.35 * veil) * (1 - 0.7 * clear)
    t.melanin += (1.3 * dark * np.clip(1 + 0.2 * fine, 0, 2) + 0.8 * dots * soft(inside + 6, 4)) * (1 - 0.6 * clear)
    t.dermal += veil * np.clip(0.6 + 0.2 * c.field(12, 80, 2.4), 0, 2) + 0.9 * dark + 0.35 * dots + 0.22 * pepper
    t.white += 0.12 * veil * np.clip(1 + 0.35 * c.field(14, 80, 2.4), 0, 2) + 0.14 * clear  # ground-glass haze
    t.tint = np.array([0.68, 0.88, 0.97])
    t.blood += body * np.clip(0.06 + 0.20 * c.field(40, 200), 0, 1) + 0.22 * clear + 0.08 * soft(inside + 22, 12)
    t.relief += 0.30 * c.field(6, 24) * body
    return expose(c, t, *tone(rng), rng.choice([0, 1, 3]), rng.choice([0, 0, 1]))


def bcc(c: Canvas) -> Image.Image:
    """bcc: pearly pink; arborizing vessels, blue-grey ovoid nests, erosion."""
    rng = c.rng
    t = skin(c, mottle=1.1, sun=rng.choice([0.0, 0.3, 0.5]), vessels=0.7)
    inside, _, _ = c.outline(rng.uniform(0.13, 0.28), rng.uniform(0.65, 0.9), 0.11, lobes=int(rng.integers(1, 3)))
    size = inside.max()
    body, core = soft(inside, 10), soft(inside - 0.3 * size, 0.12 * size)
    t.blood += (0.46 * body + 0.20 * core) * np.clip(1 + 0.35 * c.field(20, 120, 2.5), 0, 3)
    t.melanin += 0.20 * body * np.clip(1 + 0.7 * c.field(18, 120, 2.5), 0, 3)
    t.white += 0.14 * core * np.clip(1 + 0.6 * c.field(20, 90, 2.5), 0, 2.5)  # pearly translucency
    t.dermal += 0.12 * body * np.clip(1 + c.field(25, 110, 2.5), 0, 3)
    place = np.clip(body * soft(c.field(90, 300) + 0.1, 0.2), 0, 1)
    nests, _, _ = c.blobs(48, (6, 19), 0.6, edge=5.0, rough=0.6, oval=0.8, where=place)
    small, _, _ = c.blobs(17, (1.3, 3.4), 0.3, edge=1.6, rough=0.5, where=place)
    uneven = np.clip(1 + 0.25 * c.field(6, 40), 0, 2)
    t.dermal += (0.75 * blur(nests, 2.5) + 0.35 * small) * uneven
    t.melanin += (0.40 * blur(nests, 2.0) + 0.5 * small) * uneven
    edge = np.argwhere((np.abs(inside) < 0.15 * size)[::8, ::8]) * 8.0 / SS  # y, x px
    centre = np.argwhere(inside > 0.9 * size).mean(0) / SS
    for depth in (2.6, 1.1):  # blurred vessels below, sharp ones near the surface
        paths = []
        for y, x in edge[rng.integers(len(edge), size=rng.integers(3, 6))]:
            toward = np.arctan2(centre[0] - y, centre[1] - x) + rng.normal(0, 0.6)
            paths += c.tree(x, y, toward, rng.uniform(0.5, 1.1) * size, rng.uniform(1.5, 3.4), 0.24)
        vessel = c.strokes(paths, depth) * soft(inside + 0.12 * size, 0.08 * size)
        vessel = vessel * soft(c.field(18, 110) + 0.5, 0.4)  # it dives and surfaces
        t.blood += (vessel + 0.5 * blur(vessel, 3.5)) * np.clip(1 + 0.2 * c.field(15, 80), 0.3, 2)
        t.keratin += 0.25 / depth * vessel  # nearer the surface: red, not purple
    if rng.random() < 0.6:  # erosion: orange-red crust
        off = (centre + rng.normal(0, 0.3 * size, 2)).tolist()
        spot = soft(0.15 * size - np.hypot(c.x - off[1], c.y - off[0]) + 0.07 * size * c.field(12, 70, 2.5), 2)
        t.blood += 0.45 * spot * np.clip(1 + 0.4 * c.field(5, 25), 0, 2)
        t.keratin += 0.8 * spot * np.clip(1 + 0.3 * c.field(4, 20), 0, 2)
        t.melanin += 0.5 * spot * np.clip(c.field(6, 24), 0, 2)
        t.relief += 0.5 * spot * c.field(4, 14)
    lines = []
    for x, y in centre[::-1] + rng.normal(0, 0.4 * size, (rng.integers(0, 12), 2)):
        heading = rng.choice([0.3, 1.9]) + rng.normal(0, 0.2)  # in two crossing directions
        lines.append((c.walk(x, y, heading, rng.uniform(8, 22), 0.1), 1.0, 0.5))
    t.white += 0.25 * c.strokes(lines, 0.6)  # shiny white lines
    t.relief += 1.2 * body * c.field(40, 130) + 0.2 * c.field(6, 20) * body
    return expose(c, t, *tone(rng), rng.choice([0, 0, 2]), rng.choice([0, 0, 1]))


def bkl(c: Canvas) -> Image.Image:
    """bkl: sharp stuck-on edge; milia-like cysts, comedo openings, fissures."""
    rng = c.rng
    t = skin(c, mottle=0.9, sun=rng.choice([0.0, 0.4]))
    inside, _, _ = c.outline(
        rng.uniform(0.16, 0.34), rng.uniform(0.7, 0.9), 0.08, lobes=int(rng.choice([1, 1, 2])), finest=18
    )
    size = inside.max()
    inside = inside + 1.5 * c.field(16, 40, 2.5)  # moth-eaten edge
    body = soft(inside + 1.2 * c.field(5, 20, 2), 2.2 * np.exp(0.6 * c.field(50, 250)))  # stuck on here, flat there
    cloud = np.clip(1 + 0.30 * c.field(40, 220, 2.5) + 0.12 * c.field(6, 30, 1.8), 0.2, 3)
    strength = rng.uniform(0.6, 1.2)
    ridge = c.cells(rng.uniform(20, 32), *c.warp(9, 30, 110)).edge
    fissure = np.exp(-((ridge / 1.9) ** 2)) * soft(c.field(30, 120) + 0.1, 0.3)
    gyri = soft(c.field(9, 20, 1.5), 0.6)  # cerebriform surface
    within = soft(inside - 0.08 * size, 4)
    comedo, _, depth = c.blobs(32, (1.8, 5.5), 0.30, edge=1.2, rough=0.3, oval=0.5, where=within)
    cyst, _, _ = c.blobs(27, (1.3, 4.6), 0.45, edge=1.4, rough=0.3, where=within * (1 - blur(comedo, 3)))
    t.melanin += strength * body * cloud * (0.50 + 0.50 * gyri + 0.65 * blur(fissure, 1.0))
    t.melanin += 0.22 * strength * body * np.exp(-((inside / 9) ** 2))  # darker rim
    t.melanin += 1.35 * comedo * np.clip(1 + 0.3 * c.field(3, 12), 0, 2) + 0.25 * body * np.exp(-((depth / 2) ** 2))
    t.keratin += strength * 0.50 * body * np.clip(1 + 0.5 * c.field(20, 120), 0, 3) + 0.5 * comedo
    t.dermal += body * (0.18 + 0.25 * soft(c.field(60, 250), 0.4)) * cloud + 0.8 * comedo
    t.white += 0.50 * blur(cyst, 1.2)
    t.tint = np.array([1.02, 1.00, 0.80])
    t.blood += 0.08 * body + 0.10 * soft(inside + 14, 9)
    t.relief += body * (0.8 * gyri - 1.0 * fissure + 0.15 * c.field(4, 14)) + 3 * blur(body, 4) - comedo
    return expose(c, t, *tone(rng), rng.choice([0, 0, 2, 3]), rng.choice([0, 0, 1]))


def akiec(c: Canvas) -> Image.Image:
    """akiec: red pseudo-network round pale follicles (strawberry), scale, sun damage."""
    rng = c.rng
    t = skin(c, mottle=1.1, sun=rng.uniform(0.3, 0.6), vessels=0.8)
    inside, _, _ = c.outline(rng.uniform(0.22, 0.45), rng.uniform(0.7, 0.95), 0.16)
    size = inside.max()
    body = soft(inside, 14)
    follicle, _, depth = c.blobs(rng.uniform(15, 20), (3.0, 5.8), 0.9, edge=1.6, rough=0.4, oval=0.4)
    halo = blur(soft(depth + 2.0, 1.4), 0.5) * soft(c.field(40, 200) + 1.2, 0.4)
    patchy = np.clip(0.85 + 0.35 * c.field(30, 180, 2.5) + 0.12 * c.field(8, 30), 0.05, 2.2)
    fuzzy = np.clip(0.7 + 0.4 * c.field(5, 16, 1.6), 0, 2)  # short wavy vessels between follicles
    t.blood += body * patchy * (0.34 + 0.42 * fuzzy * (1 - halo))
    t.melanin += (
        rng.uniform(0.5, 1.2)
        * body
        * (0.20 + 0.28 * np.clip(c.field(30, 180, 2.5) + 0.3 * c.field(6, 25), 0, 3))
        * (1 - 0.7 * halo)
    )
    t.white += body * (0.10 * halo + 0.12 * follicle) * np.clip(0.9 + 0.4 * c.field(40, 160), 0, 1.6)
    t.keratin += 0.40 * body * soft(depth - 2.6, 0.8) * np.clip(0.7 + 0.8 * c.field(40, 160), 0, 2)  # plugs
    t.keratin += 0.22 * body * patchy
    t.tint = np.array([1.00, 1.04, 0.92])
    crust = soft(c.field(45, 220, 2.6) + 0.35 * c.field(8, 50) - rng.uniform(0.6, 1.2), 0.25)
    crust = crust * soft(inside - 0.2 * size, 8)
    plate = c.cells(11, *c.warp(5, 8, 40), 1.0).edge  # scale splits into plates
    flake = soft(plate - 1.0 + 0.9 * c.field(5, 20), 0.6) * soft(c.field(6, 26, 2) + 0.3, 0.3)
    t.white += crust * (0.12 + 0.42 * blur(flake, 0.5) * np.clip(0.8 + 0.35 * c.field(4, 20, 1.5), 0, 2))
    t.keratin += 0.35 * crust * np.clip(1 + 0.5 * c.field(8, 40), 0, 2)
    t.relief += 0.2 * body * c.field(6, 20) + 0.7 * blur(crust * flake, 0.8)
    return expose(c, t, *tone(rng), rng.choice([0, 0, 2]), rng.choice([0, 0, 1]))


def df(c: Canvas) -> Image.Image:
    """df: white scar-like centre, pink-brown ring, fine network fading outward."""
    rng = c.rng
    t = skin(c, mottle=0.7)
    inside, radius, theta = c.outline(rng.uniform(0.16, 0.34), rng.uniform(0.75, 0.95), 0.09)
    size = inside.max()
    body = soft(inside - 0.15 * size, 0.13 * size)
    star = c.rays(theta, radius, 22, twist=2.5)
    scar_in = inside - rng.uniform(0.6, 0.74) * size + 0.05 * size * star + 0.06 * size * c.field(18, 120, 2.8)
    scar = blur(soft(scar_in, 0.08 * size), 1.5)
    mesh = network(c, rng.uniform(7, 9), rng.uniform(1.2, 1.6), 0.4)
    cloud = np.clip(1 + 0.28 * c.field(25, 150) + 0.10 * c.field(6, 25, 1.5), 0, 3)
    rays = np.clip(c.rays(theta, radius, 120, twist=2.0), -2, 2)  # fine fibres, seen where the rim thins out
    strength, red = rng.uniform(0.65, 1.1), rng.uniform(0.14, 0.30)  # from brown to pink
    t.melanin += strength * body * cloud * (0.50 + 0.34 * blur(mesh, 0.4) + 0.08 * rays) * (1 - 0.8 * scar)
    t.blood += body * (red + 0.10 * c.field(20, 120)) * (1 - 0.4 * scar)
    t.keratin += (0.35 - red) * body
    t.dermal += 0.10 * blur(body, 6)
    strand = blur(np.exp(-((c.field(9, 34, 2.0) / 0.28) ** 2)), 1.1)  # white fibres across the scar
    spill = soft(scar_in + 0.14 * size, 0.05 * size) * soft(star - 0.6, 0.35)
    t.white += np.clip(0.26 * scar + 0.20 * scar * strand + 0.12 * spill, 0, 0.7) * np.clip(
        1 + 0.25 * c.field(12, 60), 0, 2
    )
    t.tint = np.array([0.93, 0.99, 0.99])
    t.relief += 0.25 * c.field(6, 22) * body + 0.3 * strand * scar
    return expose(c, t, *tone(rng), rng.choice([0, 1, 3, 5]), rng.choice([0, 0, 1]))


def vasc(c: Canvas) -> Image.Image:
    """vasc: red to blue-black lacunae, round and crowded, parted by pale septa."""
    rng = c.rng
    t = skin(c, mottle=0.8, vessels=rng.choice([0.0, 0.4]))
    inside, _, _ = c.outline(rng.uniform(0.06, 0.16), rng.uniform(0.78, 0.98), 0.06)
    size = inside.max()
    body = soft(inside, 2.5)
    t.blood += body * np.clip(rng.uniform(0.8, 1.7) + 0.20 * c.field(12, 70, 2.5), 0, 2)
    blue = float(rng.choice([0.05, 0.25, 0.6]))  # share of thrombosed, blue-black lacunae
    filled = np.zeros_like(body)
    for spacing, low, high, share in ((0.44, 0.14, 0.27, 0.9), (0.22, 0.05, 0.12, 0.8)):
        lac, k, depth = c.blobs(
            spacing * size,
            (low * size, high * size),
            share,
            edge=2.0,
            rough=0.45,
            oval=0.4,
            where=soft(inside - 0.5 * low * size, 3),
        )
        lac = lac * (1 - 0.9 * blur(filled, 1.2)) * soft(inside + 2, 2)
        full = rng.gamma(4.0, 0.3, k.count).astype(np.float32)[k.index]
        dark = (rng.random(k.count) < blue)[k.index] * rng.uniform(0.4, 1.5, k.count)[k.index].astype(np.float32)
        bulge = 0.55 + 0.45 * np.clip(depth / (0.5 * high * size), 0, 1)  # thicker in the middle
        uneven = np.clip(1 + 0.15 * c.field(6, 40, 2), 0, 2)
        t.blood += lac * bulge * uneven * (1.1 + 1.5 * full)
        t.dermal += blur(lac * bulge * (0.12 * full + dark), 0.8) * uneven
        filled = np.maximum(filled, lac)
    t.white += body * (0.04 + 0.11 * blur(1 - filled, 2.0)) * np.clip(0.9 + 0.8 * c.field(20, 90), 0, 2)
    t.tint = np.array([0.82, 0.84, 0.94])
    t.blood += 0.20 * soft(inside + 16, 10) * np.clip(1 + 0.5 * c.field(15, 90), 0, 2)
    t.relief += body * (1.2 * blur(filled, 2) + 0.2 * c.field(5, 18)) + 5 * blur(body, 5)
    return expose(c, t, *tone(rng), rng.choice([0, 0, 1, 3]), rng.choice([0, 0, 1]))


RECIPES: dict[str, Callable[[Canvas], Image.Image]] = {
    "akiec": akiec,
    "bcc": bcc,
    "bkl": bkl,
    "df": df,
    "mel": mel,
    "nv": nv,
    "vasc": vasc,
}


def render(code: str, rng: np.random.Generator) -> Image.Image:
    """One synthetic dermatoscopic image of class `code`: 600 x 450 RGB, a function of `rng` alone."""
    return RECIPES[code](Canvas(rng))
