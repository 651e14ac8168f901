"""A comparison as CSV: one line a method, in basic units."""

from __future__ import annotations

import csv
import io

from iisan.efficiency.measurement import Failure
from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.states.phases import PHASES

Value = str | int | float | None


def as_csv(comparison: Comparison) -> str:
    """The text of the file: seconds, bytes, joules, fractions of one; empty where a value is not there.

    Failed methods come last, with their reason.
    """
    rows: list[dict[str, Value]] = [_method_row(method) for method in comparison.methods]
    rows += [_failure_row(failure) for failure in comparison.failures]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _method_row(method: ComparedMethod) -> dict[str, Value]:
    one = method.measurement
    steps = sum(record.steps for record in one.epochs)
    return {
        "method": one.method,
        "tpme": method.tpme.value,
        "tpme_low": method.tpme.low,
        "tpme_high": method.tpme.high,
        "seconds_per_epoch": method.seconds,
        "trainable_parameters": one.parameters.trainable,
        "total_parameters": one.parameters.total,
        "peak_memory_bytes": one.peak_memory,
        "memory_kind": one.memory_kind,
        "joules_per_epoch": method.joules,
        "encoding_seconds": None if one.encoding is None else one.encoding.seconds,
        "encoding_items": None if one.encoding is None else one.encoding.items,
        "batch_size": one.batch_size,
        "steps_per_epoch": one.steps_per_epoch,
        "epochs": len(one.epochs),
        "steps": steps,
        **{
            f"{phase}_seconds_per_step": sum(record.phases.get(phase, 0.0) for record in one.epochs) / steps
            for phase in PHASES
        },
        "best_epoch": one.best_epoch,
        **{f"test_{name}": value for name, value in one.test_metrics.items()},
        "device": one.device,
        "failure": None,
        "out_of_memory": None,
    }


def _failure_row(failure: Failure) -> dict[str, Value]:
    return {
        "method": failure.method,
        "failure": " ".join(failure.reason.split()),
        "out_of_memory": str(failure.out_of_memory).lower(),
    }
