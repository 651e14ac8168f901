"""TPME against hand-computed cases and its defining properties (contract point 11)."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.efficiency import tpme, tpme_intervals

# Three methods: time 100, 60, 20; parameters 50, 10, 30; memory 40, 20, 30.
# Scaled: time 1, 0.5, 0; parameters 1, 0, 0.5; memory 1, 0, 0.5.
TIMES, PARAMETERS, MEMORIES = [100, 60, 20], [50, 10, 30], [40, 20, 30]


def test_hand_computed_with_the_papers_weights() -> None:
    assert tpme(TIMES, PARAMETERS, MEMORIES) == pytest.approx([1.0, 0.225, 0.275], abs=1e-12)


def test_hand_computed_with_other_weights() -> None:
    assert tpme(TIMES, PARAMETERS, MEMORIES, (0.2, 0.5, 0.3)) == pytest.approx([1.0, 0.1, 0.4], abs=1e-12)


def test_a_quantity_in_which_all_are_equal_counts_nothing() -> None:
    assert tpme([3, 1], [7, 7], [2, 2]) == pytest.approx([0.45, 0.0])


def test_a_single_method_is_zero() -> None:
    assert tpme([443.0], [110e6], [47.0]) == [0.0]


def test_weights_in_decimals_that_do_not_add_exactly_are_taken() -> None:
    assert 0.6 + 0.3 + 0.1 != 1.0
    assert tpme([1, 2], [1, 2], [1, 2], (0.6, 0.3, 0.1)) == pytest.approx([0.0, 1.0])


@pytest.mark.parametrize("weights", [(0.5, 0.5, 0.5), (1.0, 0.1, -0.1), (math.nan, 0.5, 0.5), (0.45, 0.1, 0.449)])
def test_weights_that_are_none_are_refused(weights: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        tpme([1, 2], [1, 2], [1, 2], weights)


@pytest.mark.parametrize(
    ("times", "parameters", "memories"),
    [([], [], []), ([1, 2], [1], [1, 2]), ([1, -2], [1, 2], [1, 2]), ([1, math.nan], [1, 2], [1, 2])],
)
def test_measurements_that_are_none_are_refused(
    times: list[float], parameters: list[float], memories: list[float]
) -> None:
    with pytest.raises(ValueError, match="number"):
        tpme(times, parameters, memories)


quantity = st.floats(min_value=0, max_value=1e12, allow_nan=False)


@given(st.lists(st.tuples(quantity, quantity, quantity), min_size=1, max_size=8), st.floats(0.001, 1000))
def test_unit_and_order_do_not_matter(methods: list[tuple[float, float, float]], unit: float) -> None:
    times, parameters, memories = (list(column) for column in zip(*methods, strict=True))
    values = tpme(times, parameters, memories)
    assert all(0 <= value <= 1 + 1e-12 for value in values)
    backwards = tpme(times[::-1], parameters[::-1], memories[::-1])
    assert backwards == pytest.approx(values[::-1], abs=1e-12)
    if all(max(column) - min(column) > 1e-3 for column in (times, parameters, memories)):
        scaled = tpme([unit * time for time in times], parameters, memories)
        assert scaled == pytest.approx(values, abs=1e-6)


def test_repeats_without_spread_give_an_interval_of_no_width() -> None:
    (first, second) = tpme_intervals([[4, 4], [2, 2]], [1, 2], [[8], [6]])
    assert (first.value, first.low, first.high) == pytest.approx((0.9, 0.9, 0.9))
    assert (second.value, second.low, second.high) == pytest.approx((0.1, 0.1, 0.1))


def test_a_noisy_method_has_a_wide_interval_around_its_value() -> None:
    noisy = tpme_intervals([[10.0], [2.0, 6.0, 4.0], [1.0]], [3, 2, 1], [[3], [2], [1]])[1]
    # Scaled means of the middle method's time lie between (2 - 1) / 9 and (6 - 1) / 9.
    rest = 0.1 * 0.5 + 0.45 * 0.5
    assert 0.45 / 9 + rest <= noisy.low < noisy.value < noisy.high <= 0.45 * 5 / 9 + rest
    assert noisy.value == pytest.approx(0.45 * 3 / 9 + rest)


def test_intervals_refuse_a_method_without_measurements() -> None:
    with pytest.raises(ValueError, match="no measurements"):
        tpme_intervals([[1.0], []], [1, 2], [[1.0], [2.0]])
