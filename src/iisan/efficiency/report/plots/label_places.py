"""Where labels go so that they do not cover each other: geometry only, in the drawing's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Directions from a point, the preferred ones first, and distances between the point's mark and the label.
_ANGLES = (0, 180, 90, 270, 45, 315, 135, 225)
_DISTANCES = (3.0, 8.0, 15.0, 24.0, 36.0, 50.0)
_SWEEPS = 4
_OVER_LABEL, _OVER_MARK, _OUTSIDE = 4.0, 2.0, 8.0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: Box) -> float:
        """Area that two rectangles have in common."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)

    @staticmethod
    def around(x: float, y: float, reach: float) -> Box:
        """The square around a point."""
        return Box(x - reach, y - reach, x + reach, y + reach)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a label stands, and how far from its point's mark."""

    box: Box
    distance: float


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    marks: Sequence[Box],
    reach: float,
) -> list[Place]:
    """A place near each point for its label, covering no other label and no mark where there is room.

    Each label takes the cheapest of some places around its point, given where the others stand, a few times over.

    Args:
        points: Centres of what is labelled.
        sizes: Width and height of each label.
        frame: What labels should stay inside of.
        marks: What labels should not cover; the points' own marks among them.
        reach: How far a point's mark goes from its centre.
    """
    candidates = [_candidates(point, size, reach) for point, size in zip(points, sizes, strict=True)]
    own = [[_own_cost(place, frame, marks) for place in places] for places in candidates]
    chosen = [min(range(len(costs)), key=costs.__getitem__) for costs in own]
    for _ in range(_SWEEPS):
        for label, places in enumerate(candidates):
            others = [candidates[other][chosen[other]].box for other in range(len(points)) if other != label]
            chosen[label] = min(
                range(len(places)),
                key=lambda at, label=label, places=places, others=others: (  # type: ignore[misc]
                    own[label][at] + _OVER_LABEL * sum(places[at].box.shared(other) for other in others)
                ),
            )
    return [places[at] for places, at in zip(candidates, chosen, strict=True)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves numbers apart by as little as can be (in squares), so that no two are closer than `gap`.

    They stay between `low` and `high` where there is room for that; where there is none they keep their gap.
    """
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    groups: list[tuple[float, int]] = []  # mean of "wanted − gap · rank", and how many
    for rank, place in enumerate(order):
        mean, count = wanted[place] - gap * rank, 1
        while groups and groups[-1][0] >= mean:
            before, many = groups.pop()
            mean, count = (before * many + mean * count) / (many + count), many + count
        groups.append((mean, count))
    means = [mean for mean, count in groups for _ in range(count)]
    top = max(low, high - gap * (len(wanted) - 1))
    found = [0.0] * len(wanted)
    for rank, place in enumerate(order):
        found[place] = min(max(means[rank], low), top) + gap * rank
    return found


def _candidates(point: tuple[float, float], size: tuple[float, float], reach: float) -> list[Place]:
    return [_beside(point, size, reach, distance, angle) for distance in _DISTANCES for angle in _ANGLES]


def _beside(
    point: tuple[float, float], size: tuple[float, float], reach: float, distance: float, angle: float
) -> Place:
    away, (width, height) = reach + distance, size
    across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    # The label's nearest edge, not its middle, is that far away.
    x = point[0] + across * away + width / 2 * _side(across)
    y = point[1] + up * away + height / 2 * _side(up)
    return Place(Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2), distance)


def _side(component: float) -> float:
    return 0.0 if abs(component) < 0.1 else math.copysign(1.0, component)


def _own_cost(place: Place, frame: Box, marks: Sequence[Box]) -> float:
    outside = place.box.area - place.box.shared(frame)
    covered = sum(place.box.shared(mark) for mark in marks)
    return place.distance + _OUTSIDE * outside + _OVER_MARK * covered
