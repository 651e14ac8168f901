"""One product picture: a backdrop, a shadow and a painted silhouette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from iisan.demo.palette import BACKDROPS, FITTINGS, as_array, mix_shades
from iisan.demo.patterns import Plane, lay_pattern
from iisan.demo.silhouettes import SILHOUETTES, Paint, Sketch

Canvas = NDArray[np.float32]
"""Pixels, ``[size, size, 3]``, 0..255."""

_OVERSAMPLE = 2


def draw_picture(category: str, colour: str, pattern: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw one product.

    Args:
        category: A key of `iisan.demo.silhouettes.SILHOUETTES`.
        colour: A key of `iisan.demo.palette.COLOURS`.
        pattern: A key of `iisan.demo.patterns.PATTERNS`.
        size: Side of the picture in pixels.
        rng: Source of the backdrop, the fittings, the print's placing and the small jitters.

    Returns:
        RGB picture of ``size`` by ``size`` pixels.
    """
    shades = mix_shades(colour, rng)
    print_ = lay_pattern(pattern, size, rng)[..., None]  # [size, size, 1]
    main, second = as_array(shades.main), as_array(shades.second)
    paints: dict[Paint, Canvas] = {
        "body": main * (1 - print_) + second * print_,
        "tint": main,
        "dark": as_array(shades.dark),
        "fitting": as_array(FITTINGS[rng.integers(len(FITTINGS))]),
    }
    coats = _coats(category, size, rng)
    outline = np.maximum.reduce([where for _, where in coats])
    canvas = _cast_shadow(_backdrop(size, rng), outline)
    for paint, where in coats:
        _lay_coat(canvas, where, np.broadcast_to(paints[paint], canvas.shape))
    return Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8), mode="RGB")


def _lay_coat(canvas: Canvas, where: Plane, paint: Canvas) -> None:
    """Paint the pixels of one coat onto ``canvas``, in place."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    # Most coats are small: only their own rectangle is blended.
    spot = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    cover = where[spot][..., None]
    canvas[spot] += cover * (paint[spot] * _light(where)[spot][..., None] - canvas[spot])


def _coats(category: str, size: int, rng: np.random.Generator) -> list[tuple[Paint, Plane]]:
    """Sketch the product, mirrored half of the time, and bring each coat to coverage 0..1 in the picture."""
    side = round(size * rng.uniform(0.80, 0.90))
    left = round((size - side) / 2 + size * rng.uniform(-0.03, 0.03))
    top = round((size - side) / 2 + size * rng.uniform(-0.02, 0.01))
    mirrored = rng.random() < 0.5
    sketch = Sketch(side * _OVERSAMPLE)
    SILHOUETTES[category](sketch)
    coats: list[tuple[Paint, Plane]] = []
    for paint, layer in sketch.coats:
        small = layer.mask.reduce(_OVERSAMPLE)
        if mirrored:
            small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        sheet = Image.new("L", (size, size), 0)
        sheet.paste(small, (left, top))
        coats.append((paint, np.asarray(sheet, dtype=np.float32) / 255.0))
    return coats


def _blur(plane: Plane, radius: float) -> Plane:
    """Blur a plane of 0..1 with a Gaussian of ``radius`` pixels."""
    picture = Image.fromarray((plane * 255.0).astype(np.uint8), mode="L")
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255.0


def _light(where: Plane) -> Plane:
    """Light from the upper left: a coat's rim on that side is brighter, the far rim falls into shade."""
    size = where.shape[0]
    soft = _blur(where, size * 0.035)
    shift = max(1, round(size * 0.03))
    lit, shaded = np.roll(soft, (-shift, -shift), (0, 1)), np.roll(soft, (shift, shift), (0, 1))
    ramp = np.linspace(0.05, -0.07, size, dtype=np.float32)
    return (1.0 + 0.22 * (lit - shaded) + ramp[:, None] + 0.5 * ramp[None, :]).astype(np.float32)


def _backdrop(size: int, rng: np.random.Generator) -> Canvas:
    """Wall and table, or a disc on a wall, in pale tones that carry none of the shop's colours."""
    wall, other = (as_array(BACKDROPS[k]) for k in rng.permutation(len(BACKDROPS))[:2])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(size)
    if rng.random() < 0.6:
        place = np.clip((y - rng.uniform(0.70, 0.80)) * size, 0, 1)
        other = other * 0.94
    else:
        place = np.clip((rng.uniform(0.40, 0.46) - np.hypot(x - 0.5, y - 0.5)) * size, 0, 1)
    glow = 1.03 - 0.14 * np.hypot(x - 0.35, y - 0.25)
    cover = place[..., None]
    canvas: Canvas = ((wall * (1 - cover) + other * cover) * glow[..., None]).astype(np.float32)
    return canvas


def _cast_shadow(canvas: Canvas, outline: Plane) -> Canvas:
    """Darken the backdrop to the lower right of the product, and under its foot."""
    size = outline.shape[0]
    thrown = np.roll(_blur(outline, size * 0.035), (round(size * 0.025), round(size * 0.03)), (0, 1))
    rows, columns = np.flatnonzero(outline.max(1) > 0.5), np.flatnonzero(outline.max(0) > 0.5)
    foot, middle, half = float(rows[-1]), float(columns[0] + columns[-1]) / 2, float(columns[-1] - columns[0]) / 2
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    away = np.hypot((x - middle) / (half * 0.95), (y - foot) / (size * 0.045))
    under = np.clip(1.3 - away, 0, 1)
    shaded: Canvas = (canvas * (1 - 0.20 * thrown - 0.22 * under)[..., None]).astype(np.float32)
    return shaded
