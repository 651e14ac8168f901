"""What training tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class StepStatus:
    """One step done.

    Attributes:
        epoch: Epoch under way, from 0.
        step: Steps of it that are done.
        n_steps: Steps of an epoch.
        loss: Mean loss of the epoch so far.
        memory: Bytes in use, None where unknown.
    """

    epoch: int
    step: int
    n_steps: int
    loss: float
    memory: int | None


class Reporter(Protocol):
    """Receives what training tells; the command line shows it, a library user may log it."""

    def on_step(self, status: StepStatus) -> None:
        """Called after each step."""
        ...

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Called after each epoch with its line of ``metrics.jsonl``."""
        ...


class Reporters:
    """Tells several reporters, one after the other; without any it is silent.

    Args:
        *reporters: Whom to tell.
    """

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def on_step(self, status: StepStatus) -> None:
        """Tells each of them."""
        for reporter in self.reporters:
            reporter.on_step(status)

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Tells each of them."""
        for reporter in self.reporters:
            reporter.on_epoch(record)
