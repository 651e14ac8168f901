"""The outlines of the sample shop's products, drawn on a sheet of 100 by 100."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Paint = Literal["body", "tint", "dark", "fitting"]


class Layer:
    """One coat of a drawing: a mask that is painted in coordinates of 0..100.

    Args:
        side: Side of the mask in pixels.
    """

    def __init__(self, side: int) -> None:
        self.mask = Image.new("L", (side, side), 0)
        self._draw = ImageDraw.Draw(self.mask)
        self._scale = side / 100.0

    def _points(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self._scale, y * self._scale) for x, y in points]

    def _box(self, box: Box) -> Box:
        left, top, right, bottom = (edge * self._scale for edge in box)
        return left, top, right, bottom

    def ellipse(self, box: Box, ink: int = 255) -> None:
        """Fill an ellipse; ``ink=0`` cuts it out."""
        self._draw.ellipse(self._box(box), fill=ink)

    def polygon(self, points: Sequence[Point], ink: int = 255) -> None:
        """Fill a polygon with straight sides."""
        self._draw.polygon(self._points(points), fill=ink)

    def blob(self, points: Sequence[Point], ink: int = 255) -> None:
        """Fill a closed smooth curve through ``points``."""
        self._draw.polygon(self._points(smooth(points)), fill=ink)

    def rounded(self, box: Box, radius: float, ink: int = 255) -> None:
        """Fill a rectangle with round corners."""
        self._draw.rounded_rectangle(self._box(box), radius * self._scale, fill=ink)

    def line(self, points: Sequence[Point], width: float, ink: int = 255) -> None:
        """Draw a line of ``width`` with round ends through ``points``."""
        thick = width * self._scale
        placed = self._points(points)
        self._draw.line(placed, fill=ink, width=max(1, round(thick)), joint="curve")
        for x, y in (placed[0], placed[-1]):
            self._draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=ink)

    def arc(self, box: Box, start: float, end: float, width: float, ink: int = 255) -> None:
        """Draw part of an ellipse's outline, from ``start`` to ``end`` degrees clockwise from three o'clock."""
        self._draw.arc(self._box(box), start, end, fill=ink, width=max(1, round(width * self._scale)))


class Sketch:
    """A product drawn in coats, each over the ones before it.

    Attributes:
        coats: What each coat is painted with, and where, from the back to the front.

    Args:
        side: Side of every mask in pixels.
    """

    def __init__(self, side: int) -> None:
        self.coats: list[tuple[Paint, Layer]] = []
        self._side = side

    def _coat(self, paint: Paint) -> Layer:
        if not self.coats or self.coats[-1][0] != paint:
            self.coats.append((paint, Layer(self._side)))
        return self.coats[-1][1]

    def body(self) -> Layer:
        """Return the coat that carries the pattern."""
        return self._coat("body")

    def tint(self) -> Layer:
        """Return a coat in the main colour without pattern: handles, brims, lids."""
        return self._coat("tint")

    def dark(self) -> Layer:
        """Return a coat in the dark tone: insides, seams."""
        return self._coat("dark")

    def fitting(self) -> Layer:
        """Return a coat of wood or metal: legs, buckles, knobs, soles."""
        return self._coat("fitting")


def smooth(points: Sequence[Point], steps: int = 8) -> list[Point]:
    """Pass a closed Catmull-Rom curve through ``points``, ``steps`` points to a side."""
    knots = np.asarray(points, dtype=np.float64)
    before, after, beyond = np.roll(knots, 1, 0), np.roll(knots, -1, 0), np.roll(knots, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    k0, k1, k2, k3 = (k[:, None, :] for k in (before, knots, after, beyond))
    curve = 0.5 * (2 * k1 + (k2 - k0) * t + (2 * k0 - 5 * k1 + 4 * k2 - k3) * t**2 + (3 * k1 - k0 - 3 * k2 + k3) * t**3)
    return [(float(x), float(y)) for x, y in curve.reshape(-1, 2)]


def _mug(s: Sketch) -> None:
    s.tint().ellipse((54, 38, 86, 74))
    s.tint().ellipse((61, 46, 78, 66), ink=0)
    s.body().rounded((20, 30, 68, 84), 8)
    s.body().rounded((20, 28, 68, 60), 2)
    s.body().ellipse((20, 23, 68, 35))
    s.dark().ellipse((23, 25, 65, 33))


def _teapot(s: Sketch) -> None:
    s.tint().arc((66, 38, 94, 74), -100, 110, 5.5)
    s.tint().polygon([(32, 72), (10, 40), (5, 41), (5, 45), (11, 50), (24, 80)])
    s.body().ellipse((22, 34, 78, 86))
    s.dark().ellipse((36, 34, 64, 41))
    s.tint().blob([(36, 37), (50, 25), (64, 37)])
    s.tint().ellipse((36, 33, 64, 40))
    s.fitting().ellipse((46, 19, 54, 28))


def _bottle(s: Sketch) -> None:
    s.body().rounded((34, 44, 66, 88), 6)
    s.body().blob([(34, 50), (35, 42), (41, 33), (46, 29), (54, 29), (59, 33), (65, 42), (66, 50), (50, 60)])
    s.tint().rounded((43, 20, 57, 36), 1)
    s.fitting().rounded((41, 9, 59, 22), 3)
    s.fitting().arc((43, 2, 57, 17), 180, 360, 2.4)


def _lamp(s: Sketch) -> None:
    s.fitting().rounded((48, 48, 52, 84), 1)
    s.fitting().ellipse((31, 80, 69, 89))
    s.fitting().ellipse((44, 62, 56, 74))
    s.body().polygon([(36, 14), (64, 14), (82, 52), (18, 52)])
    s.body().ellipse((18, 47, 82, 57))
    s.body().ellipse((36, 11, 64, 17))
    s.dark().ellipse((38, 12.4, 62, 15.8))
    s.fitting().line([(66, 55), (66, 66)], 0.9)
    s.fitting().ellipse((64.2, 65, 67.8, 69))


def _armchair(s: Sketch) -> None:
    for top, foot in ((24, 21), (76, 79)):
        s.fitting().line([(top, 76), (foot, 91)], 4.0)
    s.body().rounded((22, 15, 78, 78), 16)
    s.dark().rounded((26, 52, 74, 72), 5)
    s.tint().rounded((26, 53, 74, 68), 5)
    s.body().rounded((20, 69.5, 80, 83), 4)
    for left in (10, 71):
        s.dark().rounded((left, 42.4, left + 19, 84), 8)
    for left in (10, 71):
        s.body().rounded((left + 0.8, 43.2, left + 18.2, 83.2), 7)


def _cushion(s: Sketch) -> None:
    s.tint().blob([(11, 21), (50, 23), (89, 21), (87, 53), (89, 85), (50, 83), (11, 85), (13, 53)])
    s.body().blob([(14, 24), (50, 26.5), (86, 24), (83.5, 53), (86, 82), (50, 79.5), (14, 82), (16.5, 53)])
    s.fitting().ellipse((47.5, 50.5, 52.5, 55.5))


def _sneaker(s: Sketch) -> None:
    s.body().blob(
        [(12, 72), (11, 55), (13, 38), (22, 33), (32, 40), (44, 45), (56, 54), (72, 60), (88, 64), (92, 74), (50, 78)]
    )
    s.dark().blob([(13, 38), (22, 33), (32, 40), (28, 45), (17, 44)])
    s.fitting().rounded((9, 71, 94, 81), 4.5)
    s.dark().rounded((10, 78.4, 93, 82), 1.6)
    s.tint().blob([(78, 62), (88, 63.5), (93, 72), (76, 72)])
    for x, y in ((37, 45), (44, 49), (51, 54)):
        s.fitting().line([(x, y - 3), (x - 6, y + 6)], 2.0)


def _cap(s: Sketch) -> None:
    s.body().blob([(14, 66), (16, 44), (30, 27), (48, 23), (64, 29), (74, 44), (76, 66), (46, 62)])
    s.tint().blob([(44, 63), (66, 58), (84, 62), (97, 73), (80, 75), (58, 72), (40, 74)])
    s.dark().line([(45, 24), (44, 44), (42, 64)], 0.9)
    s.fitting().ellipse((43, 20.5, 50, 25.5))


def _shirt(s: Sketch) -> None:
    s.body().polygon(
        [
            (36, 16), (64, 16), (80, 23), (94, 44), (81, 53), (73, 42), (73, 88), (27, 88), (27, 42), (19, 53), (6, 44),
            (20, 23),
        ]
    )  # fmt: skip
    s.body().rounded((27, 80, 73, 89), 2)
    s.dark().ellipse((37.5, 4, 62.5, 26.5))
    s.dark().polygon([(30, 0), (70, 0), (70, 16), (30, 16)], ink=0)
    s.dark().ellipse((37.5, 13.6, 62.5, 18.4))
    s.dark().line([(27.5, 83), (72.5, 83)], 0.5)


def _tote(s: Sketch) -> None:
    s.fitting().arc((33, 8, 67, 70), 180, 360, 3.6)
    s.body().polygon([(19, 38), (81, 38), (86, 84), (14, 84)])
    s.body().rounded((14, 76, 86, 88), 4)
    s.dark().polygon([(19, 37.5), (81, 37.5), (81.8, 43), (18.2, 43)])
    s.fitting().arc((37, 14, 63, 78), 180, 360, 3.6)
    s.fitting().rounded((35.4, 44, 42, 53), 1)
    s.fitting().rounded((58, 44, 64.6, 53), 1)


def _backpack(s: Sketch) -> None:
    s.fitting().arc((40, 6, 60, 28), 180, 360, 3.2)
    s.tint().rounded((14, 50, 30, 82), 6)
    s.tint().rounded((70, 50, 86, 82), 6)
    s.body().rounded((22, 16, 78, 88), 18)
    s.body().rounded((22, 60, 78, 88), 7)
    s.dark().rounded((29, 53.2, 71, 82.8), 6)
    s.tint().rounded((30, 54, 70, 82), 6)
    s.dark().line([(33, 62), (67, 62)], 1.0)
    s.dark().arc((27, 21, 73, 80), 196, 344, 1.0)
    s.fitting().rounded((47.6, 60, 52.4, 67), 1)


def _umbrella(s: Sketch) -> None:
    s.fitting().line([(50, 12), (50, 80)], 2.4)
    s.fitting().arc((50, 72, 66, 92), 0, 180, 2.6)
    s.body().ellipse((8, 18, 92, 102))
    s.body().polygon([(0, 58), (100, 58), (100, 100), (0, 100)], ink=0)
    for left in (8, 29, 50, 71):
        s.body().ellipse((left, 53, left + 21, 64), ink=0)
    for edge in (29, 50, 71):
        s.dark().line([(50, 18), ((50 + edge) / 2 + (edge - 50) * 0.28, 34), (edge, 58)], 0.7)
    s.fitting().rounded((48.6, 10, 51.4, 19), 1)


SILHOUETTES: dict[str, Callable[[Sketch], None]] = {
    "mug": _mug,
    "teapot": _teapot,
    "bottle": _bottle,
    "lamp": _lamp,
    "armchair": _armchair,
    "cushion": _cushion,
    "sneaker": _sneaker,
    "cap": _cap,
    "shirt": _shirt,
    "tote bag": _tote,
    "backpack": _backpack,
    "umbrella": _umbrella,
}
"""Category to the function that sketches it."""

DEPARTMENTS: dict[str, str] = {
    "mug": "kitchen",
    "teapot": "kitchen",
    "bottle": "kitchen",
    "lamp": "living",
    "armchair": "living",
    "cushion": "living",
    "sneaker": "clothes",
    "cap": "clothes",
    "shirt": "clothes",
    "tote bag": "carry",
    "backpack": "carry",
    "umbrella": "carry",
}
"""Category to the department that sells it."""
