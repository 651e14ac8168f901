"""Training ended after a number of steps, which are timed."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from typing import Any

from iisan.training.status import StepStatus


class StopAfter:
    """A reporter that times steps and ends training after some of them.

    Args:
        steps: How many.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.times = [time.perf_counter()]

    def start(self) -> None:
        """Begins with the first step now."""
        self.times = [time.perf_counter()]

    @property
    def median_ms(self) -> float:
        """Median milliseconds of a step."""
        return 1000 * statistics.median(after - before for before, after in pairwise(self.times))

    def on_step(self, status: StepStatus) -> None:
        """Notes the time, and ends training where it was the last step.

        Raises:
            EnoughError: The steps are done.
        """
        self.times.append(time.perf_counter())
        if len(self.times) > self.steps:
            raise EnoughError

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Leaves validation out of the next step's time."""
        gap = time.perf_counter() - self.times[-1]
        self.times = [moment + gap for moment in self.times]


class EnoughError(Exception):
    """The steps are done."""
