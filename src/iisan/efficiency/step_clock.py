"""The time of single steps of a training loop that goes on for longer."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch

from iisan.efficiency.phase_timer import PhaseTimer
from iisan.states.phases import PHASES, Phase


class StepsDoneError(Exception):
    """All steps that were to be timed are done."""


class StepClock:
    """Observes a training loop, times blocks of its steps and then ends it, before anything is validated or saved.

    Host and device wait for each other only where a block begins or ends, so steps inside it overlap as they do without
    the clock.

    Args:
        device: Where the steps run.
        warm_up: Steps before the first block.
        block: Steps of a block.
        blocks: How many blocks.
        limit: Seconds after which no further block is begun; one is timed in any case.

    Raises:
        ValueError: One of the numbers is negative, or there is nothing to time.
    """

    def __init__(self, device: torch.device, warm_up: int, block: int, blocks: int, *, limit: float = math.inf) -> None:
        if warm_up < 0 or block < 1 or blocks < 1:
            raise ValueError(f"warm-up {warm_up} and {blocks} blocks of {block} steps cannot be timed")
        self.device = device
        self.block = block
        self._bounds = [warm_up + block * number for number in range(blocks + 1)]
        self._end = time.perf_counter() + limit
        self._timer = PhaseTimer(device)
        self._done = 0
        self._moments: list[float] = []
        self._phases: list[dict[Phase, float]] = []
        self._note()

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Counts the block's time for a phase; a step is done with its update.

        Raises:
            StepsDoneError: It was the last step.
        """
        with self._timer.phase(name):
            yield
        if name == "update":
            self._done += 1
            self._note()
            if self._done == self._bounds[-1] or (self.step_seconds and time.perf_counter() > self._end):
                raise StepsDoneError

    @property
    def step_seconds(self) -> list[float]:
        """Seconds of a step, the mean of each block that is done."""
        return [(after - before) / self.block for before, after in pairwise(self._moments)]

    @property
    def phase_seconds(self) -> dict[Phase, float]:
        """Seconds of each phase in a step, the mean of all blocks that are done."""
        first, last = self._phases[0], self._phases[-1]
        steps = self.block * (len(self._phases) - 1)
        return {name: (last[name] - first[name]) / max(1, steps) for name in PHASES}

    def _note(self) -> None:
        if self._done not in self._bounds:
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self._phases.append(self._timer.seconds())
        self._moments.append(time.perf_counter())
