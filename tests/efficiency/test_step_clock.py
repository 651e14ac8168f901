"""Steps timed in blocks, in a training loop that goes on for longer."""

from __future__ import annotations

import time

import pytest
import torch

from iisan.efficiency.step_clock import StepClock, StepsDoneError

CPU = torch.device("cpu")


def steps(clock: StepClock, seconds: list[float]) -> int:
    """A loop of steps that take some time; how many were begun."""
    for number, second in enumerate(seconds):
        with clock.phase("data"):
            time.sleep(second / 2)
        try:
            with clock.phase("update"):
                time.sleep(second / 2)
        except StepsDoneError:
            return number + 1
    return len(seconds)


def test_blocks_are_timed_without_the_warm_up_and_the_loop_is_ended() -> None:
    clock = StepClock(CPU, warm_up=1, block=2, blocks=2)
    assert steps(clock, [0.3, 0.02, 0.02, 0.04, 0.04, 9.0, 9.0]) == 5
    first, second = clock.step_seconds
    assert 0.02 <= first < 0.2
    assert 0.04 <= second < 0.2
    phases = clock.phase_seconds
    assert 0.015 <= phases["data"] < 0.15
    assert 0.015 <= phases["update"] < 0.15
    assert phases["forward"] == phases["backward"] == 0


def test_what_is_done_so_far_is_known() -> None:
    clock = StepClock(CPU, warm_up=0, block=1, blocks=3)
    assert steps(clock, [0.001, 0.001]) == 2
    assert len(clock.step_seconds) == 2


def test_slow_steps_end_after_a_block_that_is_past_the_limit() -> None:
    clock = StepClock(CPU, warm_up=1, block=1, blocks=5, limit=0.0)
    assert steps(clock, [0.01] * 9) == 2
    assert len(clock.step_seconds) == 1


@pytest.mark.parametrize(("warm_up", "block", "blocks"), [(-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_nothing_to_time_is_refused(warm_up: int, block: int, blocks: int) -> None:
    with pytest.raises(ValueError, match="cannot be timed"):
        StepClock(CPU, warm_up, block, blocks)
