"""Early stopping on a validation metric."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class EarlyStop:
    """Remembers the best value of a metric (higher is better) and how long ago it was.

    Attributes:
        patience: Epochs without improvement after which to stop.
        best: Best value so far, None before the first.
        best_epoch: The epoch of it, None before the first.
        since: Epochs since then.
    """

    patience: int
    best: float | None = None
    best_epoch: int | None = None
    since: int = 0

    def improved(self, epoch: int, value: float) -> bool:
        """Takes the value of an epoch and says whether it is the best so far."""
        if self.best is None or value > self.best:
            self.best, self.best_epoch, self.since = value, epoch, 0
            return True
        self.since += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.since >= self.patience
