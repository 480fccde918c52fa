"""Random stroke glyphs: a labelled source task for pretraining that is drawn, not downloaded.

A class is a glyph of one to three pen strokes, chosen once at random. A sample is that glyph drawn
again with a jittered shape, another pen, another background and another resolution. Lengths are in
half image widths: the image spans -1..1.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Points = NDArray[np.float64]  # (points, 2), x and y

_OVERSAMPLING = 2  # Pillow draws without antialiasing: draw larger, then shrink
_STEPS = 8  # straight segments between two control points
_COARSEST_PX = 8  # the coarsest lens has the resolution of scikit-learn's digits


@dataclass(frozen=True)
class Glyph:
    """The control points of each pen stroke of one class."""

    strokes: tuple[Points, ...]


@dataclass(frozen=True)
class Pen:
    """The appearance of one sample apart from its shape."""

    thickness: float  # in half image widths
    ink: float  # grey level, 0..255
    ground: float
    lens_px: int  # points per side that the lens resolves
    noise: float  # standard deviation, grey levels


def draw_strokes(
    classes: int, per_class: int, image_px: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw `per_class` samples of each glyph, class after class.

    Returns images (n, px, px, 3) uint8 with equal channels, and labels (n,). Sample i of class c
    depends on (c, i, image_px, seed) alone, so a larger set contains the smaller one.
    """
    images = np.empty((classes, per_class, image_px, image_px), np.uint8)
    for label in range(classes):
        glyph = random_glyph(np.random.default_rng([seed, label, 0]))
        rng = np.random.default_rng([seed, label, 1])
        for sample in range(per_class):
            images[label, sample] = draw_sample(glyph, image_px, rng)
    grey = images.reshape(-1, image_px, image_px, 1)
    labels = np.repeat(np.arange(classes, dtype=np.int32), per_class)
    return np.repeat(grey, 3, axis=3), labels


def random_glyph(rng: np.random.Generator) -> Glyph:
    """Draw a glyph of one to three strokes, most of them starting at a point of an earlier one."""
    strokes: list[Points] = []
    for _ in range(rng.integers(1, 4)):
        stroke = _random_stroke(rng)
        if strokes and rng.random() < 0.7:
            joint = rng.choice(np.concatenate(strokes))
            stroke = stroke + (joint - stroke[0])
        strokes.append(stroke)
    return Glyph(_fill_image(strokes))


def _random_stroke(rng: np.random.Generator) -> Points:
    """Return a line (two points), a curve (more), or a loop (a curve that ends where it began)."""
    points = rng.uniform(-1, 1, (rng.integers(2, 6), 2))
    is_loop = len(points) > 2 and rng.random() < 0.35
    return np.concatenate([points, points[:1]]) if is_loop else points


def _fill_image(strokes: list[Points]) -> tuple[Points, ...]:
    every = np.concatenate(strokes)
    low, high = every.min(axis=0), every.max(axis=0)
    half_width = max(float((high - low).max()) / 2, 1e-6)
    return tuple((stroke - (low + high) / 2) / half_width for stroke in strokes)


def draw_sample(glyph: Glyph, image_px: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw one sample of the glyph: a grey image (px, px) uint8."""
    warp, shift = _random_warp(rng)
    strokes = [(s + _jitter(s, rng)) @ warp + shift for s in glyph.strokes]
    pen = random_pen(image_px, rng)
    cover = _seen_through_lens(_draw_cover(strokes, image_px, pen.thickness), pen.lens_px)
    grey = pen.ground + (pen.ink - pen.ground) * np.asarray(cover, np.float64) / 255
    grey += pen.noise * rng.standard_normal(grey.shape)
    return np.rint(grey).clip(0, 255).astype(np.uint8)


def _jitter(stroke: Points, rng: np.random.Generator) -> Points:
    """Return a stroke's random displacement; the two ends of a loop move together."""
    move = 0.07 * rng.standard_normal(stroke.shape)
    if np.array_equal(stroke[0], stroke[-1]):
        move[-1] = move[0]
    return move


def _random_warp(rng: np.random.Generator) -> tuple[Points, Points]:
    """Return a matrix (2, 2) that slightly rotates, slants and scales, and a shift (2,)."""
    turn, slant = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    stretch = np.diag(rng.uniform(0.6, 0.95, 2))
    return np.array([[1, 0], [slant, 1]]) @ stretch @ rotation, rng.uniform(-0.12, 0.12, 2)


def random_pen(image_px: int, rng: np.random.Generator) -> Pen:
    """Draw a pen with light ink on dark or dark on light, at least 80 grey levels apart."""
    dark, light = rng.uniform(0, 85), rng.uniform(165, 255)
    ink, ground = (light, dark) if rng.random() < 0.5 else (dark, light)
    lens_px = int(np.exp(rng.uniform(np.log(_COARSEST_PX), np.log(image_px))))
    return Pen(rng.uniform(0.06, 0.3), ink, ground, lens_px, rng.uniform(0, 12))


def _draw_cover(strokes: list[Points], image_px: int, thickness: float) -> Image.Image:
    """Return how much of each pixel the ink covers, 0..255."""
    side = image_px * _OVERSAMPLING
    image = Image.new("L", (side, side))
    canvas = ImageDraw.Draw(image)
    radius = thickness * side / 4
    for stroke in strokes:
        path = [(float(x), float(y)) for x, y in (smooth_path(stroke) + 1) * side / 2]
        canvas.line(path, fill=255, width=max(round(2 * radius), 1), joint="curve")
        for x, y in (path[0], path[-1]):  # round ends
            canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    return image.resize((image_px, image_px), Image.Resampling.BOX)


def _seen_through_lens(image: Image.Image, lens_px: int) -> Image.Image:
    """Blur like a camera with `lens_px` points per side: shrink, then enlarge bilinearly."""
    coarse = image.resize((lens_px, lens_px), Image.Resampling.BOX)
    return coarse.resize(image.size, Image.Resampling.BILINEAR)


def smooth_path(stroke: Points) -> Points:
    """Return a Catmull-Rom curve through control points (k, 2), with eight steps between
    neighbours.
    """
    before, after = 2 * stroke[0] - stroke[1], 2 * stroke[-1] - stroke[-2]
    if np.array_equal(stroke[0], stroke[-1]):
        before, after = stroke[-2], stroke[1]
    knots = np.concatenate([before[None], stroke, after[None]])
    p0, p1, p2, p3 = (knots[i : len(knots) - 3 + i, None] for i in range(4))
    t = np.arange(_STEPS)[None, :, None] / _STEPS
    curve = (
        2 * p1
        + (p2 - p0) * t
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
        + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    ) / 2
    return np.concatenate([curve.reshape(-1, 2), stroke[-1:]])
