"""What a reader must know to read a comparison right."""

from __future__ import annotations

from iisan.efficiency.report.comparison import Comparison
from iisan.efficiency.report.method_kinds import CACHED


def notes(comparison: Comparison) -> list[str]:
    """Sentences for below the tables."""
    time, parameters, memory = (f"{weight:g}" for weight in comparison.weights)
    lines = [
        f"TPME adds {time} × training time, {parameters} × trainable parameters and {memory} × peak memory, each "
        "scaled so that the smallest of the methods compared is 0 and the largest 1. Lower is better.",
        "TPME depends on the set of methods compared: with one more or one fewer, all numbers may change.",
    ]
    if len(comparison.methods) == 1:
        lines.append("With one method there is nothing to scale against, and its TPME is 0.")
    elif comparison.has_repeats:
        lines.append(
            "Intervals of TPME: bootstrap over the seconds of the epochs; a method's memory was measured once."
        )
    elif comparison.methods:
        lines.append("TPME has no intervals here, since each method ran one epoch.")
    stored = [method.name for method in comparison.methods if method.measurement.encoding is not None]
    if stored:
        lines.append(_stored_line(stored))
    if comparison.methods and not comparison.whole_epochs:
        lines.append("Only some steps of each epoch were run, so metrics are not those of models trained to the end.")
    return lines


def _stored_line(stored: list[str]) -> str:
    names = " and ".join("IISAN cached" if name == CACHED else name for name in stored)
    return (
        f"The seconds an epoch of {names} do not include encoding the catalogue, which is done once and is given "
        "beside them; nor does TPME."
    )
