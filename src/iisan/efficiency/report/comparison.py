"""What follows from the measurements of several methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from iisan.efficiency.measurement import Failure, Measurement, Outcome
from iisan.efficiency.report.payback import Payback, paybacks
from iisan.efficiency.report.setting import Fact, setting_facts
from iisan.efficiency.report.verdict import verdict
from iisan.efficiency.tpme import PAPER_WEIGHTS, TpmeInterval, tpme, tpme_intervals
from iisan.errors import UserError

USUAL_METRIC = "HR@10"
Weights = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ComparedMethod:
    """One method among those compared.

    Attributes:
        measurement: What was measured.
        seconds: Mean seconds an epoch; encoding the catalogue once is not in them.
        tpme: Among the methods compared; lower is better.
        parts: What time, trainable parameters and memory add to `tpme`.
    """

    measurement: Measurement
    seconds: float
    tpme: TpmeInterval
    parts: tuple[float, float, float]

    @property
    def name(self) -> str:
        """The method's name."""
        return self.measurement.method

    @property
    def joules(self) -> float | None:
        """Energy of a whole epoch, where it was measured."""
        energy, epochs = self.measurement.energy, self.measurement.epochs
        steps = sum(record.steps for record in epochs)
        return None if energy is None else energy * self.measurement.steps_per_epoch / steps


@dataclass(frozen=True, slots=True)
class Comparison:
    """Methods side by side.

    Attributes:
        methods: Those that were measured, lowest TPME first.
        failures: Those that were not.
        weights: Of time, parameters and memory in TPME.
        metrics: Names of the test metrics that all measured methods have, the one that plots show first.
        paybacks: When encoding once has paid, for each method on stored states against each that runs the encoders.
        setting: How it was measured, as names and values.
        verdict: Whether IISAN cached has the lowest TPME of the adapted methods; None if that cannot be said.
    """

    methods: tuple[ComparedMethod, ...]
    failures: tuple[Failure, ...]
    weights: Weights
    metrics: tuple[str, ...]
    paybacks: tuple[Payback, ...]
    setting: tuple[Fact, ...]
    verdict: str | None

    @property
    def metric(self) -> str | None:
        """The test metric that stands for quality; None where none was taken."""
        return self.metrics[0] if self.metrics else None

    @property
    def has_repeats(self) -> bool:
        """Whether the intervals of TPME have anything to go by: several methods, and some ran more than one epoch."""
        return len(self.methods) > 1 and any(len(method.measurement.epochs) > 1 for method in self.methods)

    @property
    def whole_epochs(self) -> bool:
        """Whether every epoch was run to its end, and none scaled up from some of its steps."""
        return all(
            record.steps >= method.measurement.steps_per_epoch
            for method in self.methods
            for record in method.measurement.epochs
        )


def compare_outcomes(
    outcomes: Sequence[Outcome], weights: Weights = PAPER_WEIGHTS, *, setting: Mapping[str, str] | None = None
) -> Comparison:
    """Compares methods that were measured on one machine.

    The seconds of a method's epochs are the repeats from which the intervals of TPME come (:func:`tpme_intervals`).

    Args:
        outcomes: What measuring each method gave.
        weights: Of time, parameters and memory; 1 in all.
        setting: Further facts for the report, by name, e.g. ``{"Dataset": "shop"}``; what the measurements tell
            themselves (machine, versions, budget, batch size, kind of memory) is added.

    Raises:
        ValueError: There are no outcomes, a method is there twice, or the weights are not valid.
        UserError: The methods were measured on different machines, or their memory in different ways.
    """
    names = [outcome.method for outcome in outcomes]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"the outcomes are not one for each method: {names}")
    measured = [outcome for outcome in outcomes if isinstance(outcome, Measurement)]
    _check_comparable(measured)
    methods = _compared(measured, weights)
    return Comparison(
        methods=methods,
        failures=tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)),
        weights=weights,
        metrics=_shared_metrics(measured),
        paybacks=paybacks([method.measurement for method in methods]),
        setting=setting_facts(measured, setting or {}),
        verdict=verdict({method.name: method.tpme.value for method in methods}),
    )


def mean_seconds(measurement: Measurement) -> float:
    """Mean seconds of a whole epoch."""
    return float(np.mean(measurement.seconds_per_epoch()))


def _compared(measured: list[Measurement], weights: Weights) -> tuple[ComparedMethod, ...]:
    if not measured:
        return ()
    seconds = [mean_seconds(one) for one in measured]
    parameters = [one.parameters.trainable for one in measured]
    memories = [one.peak_memory for one in measured]
    intervals = tpme_intervals(
        [one.seconds_per_epoch() for one in measured], parameters, [[memory] for memory in memories], weights
    )
    only: tuple[Weights, ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    time, size, memory = (
        [weight * value for value in tpme(seconds, parameters, memories, one)]
        for weight, one in zip(weights, only, strict=True)
    )
    methods = map(ComparedMethod, measured, seconds, intervals, zip(time, size, memory, strict=True))
    return tuple(sorted(methods, key=lambda method: method.tpme.value))


def _shared_metrics(measured: list[Measurement]) -> tuple[str, ...]:
    """In the first method's order, but for the usual one, which goes first."""
    if not measured:
        return ()
    shared = [name for name in measured[0].test_metrics if all(name in one.test_metrics for one in measured)]
    return tuple(sorted(shared, key=lambda name: name != USUAL_METRIC))


def _check_comparable(measured: list[Measurement]) -> None:
    for what, value_of in (("on different devices", "device"), ("with different kinds of memory", "memory_kind")):
        found = {one.method: str(getattr(one, value_of)) for one in measured}
        if len(set(found.values())) > 1:
            raise UserError(
                f"the methods were measured {what}",
                where=", ".join(f"{method} ({value})" for method, value in found.items()),
                how="measure them on one machine, into an empty folder",
            )
