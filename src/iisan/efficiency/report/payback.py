"""When encoding the catalogue once has paid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iisan.efficiency.measurement import EncodingCost, Measurement
from iisan.efficiency.report.method_kinds import runs_encoders


@dataclass(frozen=True, slots=True)
class Payback:
    """A method on stored states against one that runs the encoders in every step.

    Attributes:
        method: The one on stored states.
        against: The other.
        encoding: What storing the states costs.
        saved: Seconds that an epoch is shorter; negative where it is longer.
        epochs: After how many epochs the seconds saved are those of encoding; None if that never happens.
    """

    method: str
    against: str
    encoding: EncodingCost
    saved: float
    epochs: float | None

    @property
    def whole_epochs(self) -> int | None:
        """Number of whole epochs after which the method, with encoding, has taken no longer than the other."""
        return None if self.epochs is None else math.ceil(self.epochs)


def paybacks(measured: Sequence[Measurement]) -> tuple[Payback, ...]:
    """Each method that trains on stored states against each that runs the encoders, both in the order given."""
    return tuple(
        _payback(stored, stored.encoding, other)
        for stored in measured
        if stored.encoding is not None
        for other in measured
        if runs_encoders(other)
    )


def _payback(stored: Measurement, encoding: EncodingCost, other: Measurement) -> Payback:
    saved = float(np.mean(other.seconds_per_epoch()) - np.mean(stored.seconds_per_epoch()))
    epochs = encoding.seconds / saved if saved > 0 else None
    return Payback(stored.method, other.method, encoding, saved, epochs)
