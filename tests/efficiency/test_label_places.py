"""Placing labels: they keep apart, and move no further than they must."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.efficiency.report.plots.label_places import Box, place_labels, spread
from iisan.efficiency.report.plots.scales import log_ticks

heights = st.lists(st.floats(-50, 150), min_size=1, max_size=8)


def least_squares_apart(wanted: list[float], gap: float) -> list[float]:
    """The closest numbers that keep a gap, by the min-max formula of monotone regression."""
    order = np.argsort(wanted, kind="stable")
    shifted = [wanted[place] - gap * rank for rank, place in enumerate(order)]
    count = len(wanted)
    found = [0.0] * count
    for rank, place in enumerate(order):
        level = max(min(np.mean(shifted[a : b + 1]) for b in range(rank, count)) for a in range(rank + 1))
        found[place] = float(level) + gap * rank
    return found


@given(heights, st.floats(0.5, 12))
def test_spread_is_the_closest_arrangement_with_gaps(wanted: list[float], gap: float) -> None:
    assert spread(wanted, gap, -1e6, 1e6) == pytest.approx(least_squares_apart(wanted, gap), abs=1e-6)


@given(heights, st.floats(0.5, 12))
def test_spread_stays_inside_where_there_is_room(wanted: list[float], gap: float) -> None:
    found = spread(wanted, gap, 0, 100)
    assert all(later - earlier >= gap - 1e-9 for earlier, later in zip(sorted(found), sorted(found)[1:], strict=False))
    assert all(-1e-9 <= one <= 100 + 1e-9 for one in found)


points = st.lists(st.tuples(st.floats(60, 240), st.floats(60, 240)), min_size=1, max_size=7)


@given(points)
def test_labels_cover_no_label_and_stay_inside(at: list[tuple[float, float]]) -> None:
    frame = Box(0, 0, 300, 300)
    places = place_labels(at, [(40, 9)] * len(at), frame, [Box.around(x, y, 4) for x, y in at], 4)
    for one, other in combinations(places, 2):
        assert one.box.shared(other.box) == pytest.approx(0, abs=1e-6)
    for place in places:
        assert place.box.shared(frame) == pytest.approx(place.box.area)


def test_a_label_alone_stands_right_of_its_point_and_left_at_the_edge() -> None:
    frame = Box(0, 0, 100, 100)
    (free,) = place_labels([(20, 50)], [(30, 8)], frame, [Box.around(20, 50, 4)], 4)
    (edge,) = place_labels([(90, 50)], [(30, 8)], frame, [Box.around(90, 50, 4)], 4)
    assert (free.box.left, free.box.bottom) == (27, 46)
    assert edge.box.right == 83


@given(st.floats(1e-6, 1e9), st.floats(8, 1e9))
def test_ticks_of_logarithmic_axes_are_few_and_inside(low: float, span: float) -> None:
    ticks = log_ticks(low, low * span)
    assert 1 <= len(ticks) <= 6 or span < 10
    assert all(low <= tick <= low * span for tick in ticks)
    assert ticks == sorted(set(ticks))


def test_ticks_are_round() -> None:
    assert log_ticks(9, 450) == [10, 20, 50, 100, 200]
    assert log_ticks(0.9e6, 2e8) == [1e6, 1e7, 1e8] or log_ticks(0.9e6, 2e8) == [1e6, 3e6, 1e7, 3e7, 1e8]
