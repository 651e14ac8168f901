"""The parts of a training step that may be timed apart."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol, get_args

Phase = Literal["data", "forward", "backward", "update"]
PHASES: tuple[Phase, ...] = get_args(Phase)


class PhaseObserver(Protocol):
    """Is told when a phase of a step begins and ends; a phase inside another one interrupts it."""

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """The context in which the phase runs."""
        ...


class Unobserved:
    """Observes nothing."""

    def phase(self, name: Phase) -> AbstractContextManager[None]:
        """A context that does nothing."""
        return nullcontext()
