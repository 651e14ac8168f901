"""The colours of the sample shop: what only a picture tells."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[float, float, float]
"""Red, green, blue, each 0..255."""


@dataclass(frozen=True)
class Shades:
    """One product's colours.

    Attributes:
        main: What most of the product is painted with.
        second: The pattern's other tone.
        dark: Insides, soles and seams.
    """

    main: Rgb
    second: Rgb
    dark: Rgb


# Hue, lightness and saturation, each 0..1, as painted before the jitter of one product.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.995, 0.48, 0.70),
    "pink": (0.925, 0.70, 0.66),
    "orange": (0.062, 0.55, 0.86),
    "yellow": (0.132, 0.58, 0.86),
    "green": (0.330, 0.38, 0.48),
    "teal": (0.480, 0.38, 0.62),
    "blue": (0.600, 0.50, 0.68),
    "violet": (0.745, 0.52, 0.46),
}

PALETTES: dict[str, str] = {
    "red": "rosy",
    "pink": "rosy",
    "orange": "sunny",
    "yellow": "sunny",
    "green": "leafy",
    "teal": "leafy",
    "blue": "watery",
    "violet": "watery",
}
"""Colour to the family it belongs to."""

BACKDROPS: tuple[Rgb, ...] = (
    (243, 240, 234),
    (232, 233, 236),
    (236, 228, 217),
    (224, 227, 224),
    (245, 243, 241),
    (221, 216, 209),
)
FITTINGS: tuple[Rgb, ...] = ((176, 132, 92), (66, 66, 72), (158, 162, 168), (120, 84, 58))
"""Wood, iron, steel and walnut: handles, legs and buckles that say nothing about taste."""

_HUE_JITTER = 0.010
_TONE_JITTER = 0.035


def _rgb(hue: float, lightness: float, saturation: float) -> Rgb:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, min(max(lightness, 0.0), 1.0), min(max(saturation, 0.0), 1.0))
    return (255.0 * red, 255.0 * green, 255.0 * blue)


def mix_shades(colour: str, rng: np.random.Generator) -> Shades:
    """Mix the paint of one product.

    Args:
        colour: A key of `COLOURS`.
        rng: Source of the small jitter that keeps two products of one colour from looking copied.

    Returns:
        Main tone, second tone (a pale tint of the same hue, so that a pattern never adds a colour) and dark tone.
    """
    hue, lightness, saturation = COLOURS[colour]
    hue += rng.uniform(-_HUE_JITTER, _HUE_JITTER)
    lightness += rng.uniform(-_TONE_JITTER, _TONE_JITTER)
    saturation += rng.uniform(-_TONE_JITTER, _TONE_JITTER)
    pale = 0.90 + rng.uniform(-0.02, 0.03)
    return Shades(
        main=_rgb(hue, lightness, saturation),
        second=_rgb(hue, pale, saturation * 0.85),
        dark=_rgb(hue, lightness * 0.58, saturation * 0.90),
    )


def as_array(colour: Rgb) -> NDArray[np.float32]:
    """Return a colour as float32 ``[3]``, ready to be spread over pixels."""
    return np.asarray(colour, dtype=np.float32)
