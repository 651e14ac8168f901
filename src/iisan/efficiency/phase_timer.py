"""Seconds that the parts of training steps take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from iisan.states.phases import PHASES, Phase


class PhaseTimer:
    """Adds up the seconds of each phase of a training step; a phase inside another one interrupts it.

    On CUDA the phases are bounded by events on the stream, which are read only when the sums are asked for: timing adds
    no wait between host and device.

    Args:
        device: Where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._seconds = dict.fromkeys(PHASES, 0.0)
        self._spans: list[tuple[Phase, torch.cuda.Event, torch.cuda.Event]] = []
        self._running: Phase | None = None
        self._since: torch.cuda.Event | float = 0.0

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Counts the block's time for a phase."""
        interrupted = self._running
        self._switch(name)
        try:
            yield
        finally:
            self._switch(interrupted)

    def seconds(self) -> dict[Phase, float]:
        """Seconds of each phase so far."""
        if self._spans:
            torch.cuda.synchronize(self.device)
            for name, start, end in self._spans:
                self._seconds[name] += start.elapsed_time(end) / 1000
            self._spans.clear()
        return dict(self._seconds)

    def _switch(self, name: Phase | None) -> None:
        now = self._now()
        if self._running is not None:
            if isinstance(now, float) and isinstance(self._since, float):
                self._seconds[self._running] += now - self._since
            elif not isinstance(now, float) and not isinstance(self._since, float):
                self._spans.append((self._running, self._since, now))
        self._running, self._since = name, now

    def _now(self) -> torch.cuda.Event | float:
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
