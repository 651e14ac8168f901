"""The patterns of the sample shop: what is printed on a product, and never in its title."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One number a pixel, ``[height, width]``."""


def _wave(position: Plane) -> Plane:
    """Triangle wave of period 1 between 0 (at whole numbers) and 1 (half-way)."""
    wave: Plane = (2.0 * np.abs(position - np.floor(position + 0.5))).astype(np.float32)
    return wave


def _edge(distance: Plane, softness: float) -> Plane:
    """Turn a signed distance into coverage 0..1; the ramp stands in for antialiasing."""
    cover: Plane = np.clip(0.5 + distance / softness, 0.0, 1.0).astype(np.float32)
    return cover


def _plain(u: Plane, v: Plane, softness: float) -> Plane:
    return np.zeros_like(u)


def _stripes(u: Plane, v: Plane, softness: float) -> Plane:
    return _edge(_wave(u) - 0.5, 2 * softness)


def _dots(u: Plane, v: Plane, softness: float) -> Plane:
    # Every other row is shifted by half a period, as printed cloth has it.
    row = np.floor(v + 0.5)
    shifted = u + 0.5 * np.mod(row, 2.0)
    away = np.hypot(shifted - np.floor(shifted + 0.5), v - row).astype(np.float32)
    return _edge(0.30 - away, softness)


def _checks(u: Plane, v: Plane, softness: float) -> Plane:
    across, along = _edge(_wave(u) - 0.5, 2 * softness), _edge(_wave(v) - 0.5, 2 * softness)
    return ((across + along) / 2).astype(np.float32)


def _zigzag(u: Plane, v: Plane, softness: float) -> Plane:
    return _edge(_wave(v + 0.45 * _wave(u)) - 0.5, 2 * softness)


def _diamonds(u: Plane, v: Plane, softness: float) -> Plane:
    return _edge(_wave(u) + _wave(v * 0.6) - 1.0, 3 * softness)


PATTERNS: dict[str, Callable[[Plane, Plane, float], Plane]] = {
    "plain": _plain,
    "stripes": _stripes,
    "dots": _dots,
    "checks": _checks,
    "zigzag": _zigzag,
    "diamonds": _diamonds,
}

# Period as a share of the picture's side, and how far the pattern may be turned, in degrees.
_PERIODS = {"plain": 0.10, "stripes": 0.125, "dots": 0.105, "checks": 0.13, "zigzag": 0.12, "diamonds": 0.13}
_TURNS = {"plain": 0.0, "stripes": 40.0, "dots": 12.0, "checks": 8.0, "zigzag": 6.0, "diamonds": 5.0}


def lay_pattern(pattern: str, size: int, rng: np.random.Generator) -> Plane:
    """Lay a pattern over a square picture.

    Args:
        pattern: A key of `PATTERNS`.
        size: Side of the picture in pixels.
        rng: Source of the print's scale, turn and offset.

    Returns:
        How much of the second tone each pixel carries, 0..1, ``[size, size]``.
    """
    period = _PERIODS[pattern] * size * rng.uniform(0.88, 1.14)
    turn = np.deg2rad(rng.uniform(-_TURNS[pattern], _TURNS[pattern]))
    shift = rng.uniform(0.0, 1.0, size=2)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / np.float32(period)
    u = (x * np.cos(turn) + y * np.sin(turn) + shift[0]).astype(np.float32)
    v = (y * np.cos(turn) - x * np.sin(turn) + shift[1]).astype(np.float32)
    return PATTERNS[pattern](u, v, 1.5 / period)
