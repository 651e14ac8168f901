"""Whether what a model was trained on gives away what it is tested on: counted, not assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iisan.data.interactions import Interactions
from iisan.data.split import Split, TargetPart


@dataclass(frozen=True)
class LeakVerdict:
    """What the training part of a model holds of, and after, the targets that it is evaluated on.

    Attributes:
        trained_on: Share of the targets whose own interaction is in the training part; None where it is not known.
        later: Share of the targets that training interactions, of any user, are later than; None where it is not known.
        stopped_by: Share of the targets by which early stopping chose the weights; None where it is not known.
        unknown: Why it cannot be judged; empty where it can.
    """

    trained_on: float | None = None
    later: float | None = None
    stopped_by: float | None = None
    unknown: str = ""

    @property
    def leak_free(self) -> bool | None:
        """True where no target is in the training part and none is older than any of it; None: cannot be judged."""
        if self.trained_on is None or self.later is None:
            return None if not self.trained_on else False
        return self.trained_on == 0 and self.later == 0

    def __str__(self) -> str:
        """The verdict and why, in one line."""
        if self.leak_free:
            return f"leak-free: no target was trained on, and no training interaction is later than one{self._stopped}"
        if self.leak_free is None:
            return f"whether it leaks cannot be judged: {self.unknown}"
        return f"not leak-free: {self._trained_on}; {self._later}{self._stopped}"

    @property
    def _trained_on(self) -> str:
        return (
            f"{_percent(self.trained_on)} of the targets were trained on"
            if self.trained_on
            else "no target was trained on"
        )

    @property
    def _later(self) -> str:
        if self.later is None:
            return self.unknown
        return f"training interactions, of any user, are later than {_percent(self.later)} of the targets"

    @property
    def _stopped(self) -> str:
        return f"; early stopping chose by {_percent(self.stopped_by)} of them" if self.stopped_by else ""


def judge_leak(trained: Split, evaluated: Split, part: TargetPart, log: Interactions) -> LeakVerdict:
    """Counts what a model's training part holds of the targets of an evaluation, and after them.

    Args:
        trained: The split that the model was trained under.
        evaluated: The split that it is evaluated under, of the same log.
        part: Which targets.
        log: The log of both.
    """
    targets = evaluated.histories(part).last
    trained_on = float(trained.trained[targets].mean())
    stopped_by = float(np.isin(targets, trained.valid.last).mean())
    if log.timestamp is None:
        return LeakVerdict(trained_on, None, stopped_by, "the log has no times")
    latest = log.timestamp[trained.trained].max()
    return LeakVerdict(trained_on, float((log.timestamp[targets] < latest).mean()), stopped_by)


def _percent(share: float | None) -> str:
    value = 100 * (share or 0.0)
    if 0 < value < 0.1:
        return "under 0.1 %"
    return "over 99.9 %" if 99.9 < value < 100 else f"{value:.1f} %"
