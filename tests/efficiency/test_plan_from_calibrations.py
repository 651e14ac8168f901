"""From a few measured steps to a prediction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from iisan.efficiency.available_memory import available_bytes
from iisan.efficiency.plan import MARGIN, MemoryLine, step_seconds
from tests.calibrations import calibration


def test_memory_follows_the_line_through_both_batches() -> None:
    line = MemoryLine.through([calibration(8, peak=1800), calibration(16, peak=2600)])
    assert (line.base, line.slope) == (1000, 100)
    assert line.at(64) == 7400
    # 10 % stays free: 9000 - 1000 leave room for 80.
    assert line.largest_batch(10_000, limit=1000) == 80
    assert line.largest_batch(10_000, limit=50) == 50
    assert line.largest_batch(1000, limit=1000) == 0


@given(
    small=st.integers(0, 10**9),
    large=st.integers(0, 10**9),
    available=st.integers(0, 10**12),
    limit=st.integers(1, 10**4),
)
def test_the_largest_batch_fits_and_the_next_does_not(small: int, large: int, available: int, limit: int) -> None:
    line = MemoryLine.through([calibration(4, peak=small), calibration(8, peak=large)])
    largest = line.largest_batch(available, limit)
    room = available * (1 - MARGIN)
    assert 0 <= largest <= limit
    assert largest == 0 or line.at(largest) <= room + 1
    assert largest == limit or line.at(largest + 1) > room - 1


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (2.0, 3.0, 5.0),  # on the line: one second more for each 4
        (1.0, 2.0, 4.0),  # proportional
        (1.0, 9.0, 18.0),  # steeper than proportional is noise
        (3.0, 2.0, 2.0),  # falling is noise
    ],
)
def test_a_step_is_continued_in_a_straight_line_within_bounds(low: float, high: float, expected: float) -> None:
    runs = [calibration(4, seconds=low), calibration(8, seconds=high)]
    assert step_seconds(runs, 16) == pytest.approx(expected)


def test_a_step_that_was_run_takes_what_it_took_and_one_slow_block_does_not_count() -> None:
    runs = [calibration(4, seconds=2.0), calibration(8, seconds=3.0)]
    assert step_seconds(runs, 8) == 3.0
    assert step_seconds([calibration(1, seconds=2.0)], 1) == 2.0


def test_free_memory_of_the_system_is_told() -> None:
    free = available_bytes(torch.device("cpu"))
    if free is None:
        pytest.skip("this system does not tell how much memory is free")
    assert 10**6 < free < 10**14
