"""Batches prepared ahead come in order, and errors when they are due."""

from __future__ import annotations

import threading
import time

import pytest

from iisan.encoders.prefetch import prefetch


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("n_parts", [0, 1, 7])
def test_parts_come_in_order(workers: int, n_parts: int) -> None:
    def slower_at_first(part: int) -> int:
        time.sleep(0.002 * (n_parts - part))
        return part * part

    assert list(prefetch(slower_at_first, range(n_parts), workers)) == [part * part for part in range(n_parts)]


def test_an_error_is_raised_when_its_part_is_due() -> None:
    def fails_at_two(part: int) -> int:
        if part == 2:
            raise ValueError("two")
        return part

    found = prefetch(fails_at_two, range(5), 2)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(found)


def test_as_many_are_prepared_at_once_as_there_are_workers() -> None:
    meeting = threading.Barrier(3, timeout=10)
    assert list(prefetch(lambda part: meeting.wait() >= 0 and part, range(3), 3)) == [0, 1, 2]


def test_what_still_runs_is_abandoned_where_nobody_wants_it() -> None:
    end, asked = threading.Event(), []

    def waits(part: int) -> int:
        assert part == 0 or end.wait(10)
        return part

    found = prefetch(waits, range(9), 2, abandon=lambda: (asked.append(1), end.set()))
    assert next(found) == 0
    found.close()
    assert asked == [1]
    assert list(prefetch(lambda part: part, range(9), 2, abandon=lambda: asked.append(2))) == list(range(9))
    assert asked == [1]
