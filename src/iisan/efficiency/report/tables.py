"""The tables of a comparison: the same ones for the terminal, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Callable

from iisan.efficiency.report.comparison import ComparedMethod, Comparison
from iisan.efficiency.report.method_kinds import meaning
from iisan.efficiency.report.payback import Payback
from iisan.efficiency.report.plain_table import Column, PlainTable
from iisan.efficiency.report.quantities import NONE, memory_unit, percent, significant

SHOWN_METRICS = 2
NEVER = "never"
_Cell = Callable[[ComparedMethod], str]


def comparison_tables(comparison: Comparison) -> list[PlainTable]:
    """All tables that have rows: methods, failures, what encoding once costs, and when it is paid back."""
    tables = [
        methods_table(comparison),
        failures_table(comparison),
        encoding_table(comparison),
        payback_table(comparison),
    ]
    return [table for table in tables if table.rows]


def methods_table(comparison: Comparison) -> PlainTable:
    """One row a measured method, lowest TPME first."""
    cells = _method_cells(comparison)
    rows = (tuple(cell(method) for cell in cells.values()) for method in comparison.methods)
    columns = (Column("method", numeric=False), *(Column(heading) for heading in list(cells)[1:]))
    return PlainTable("Methods, lowest TPME first", columns, tuple(rows))


def failures_table(comparison: Comparison) -> PlainTable:
    """One row a method that could not be measured."""
    rows = tuple((failure.method, " ".join(failure.reason.split())) for failure in comparison.failures)
    return PlainTable("Not measured", (Column("method", numeric=False), Column("reason", numeric=False)), rows)


def encoding_table(comparison: Comparison) -> PlainTable:
    """What storing the hidden states costs once; it is in no method's seconds an epoch."""
    rows = []
    for method in comparison.methods:
        cost = method.measurement.encoding
        if cost is not None:
            rows.append(
                (method.name, significant(cost.seconds), f"{cost.items:,}", f"{min(cost.measured_items, cost.items):,}")
            )
    columns = (Column("method", numeric=False), Column("seconds, once"), Column("items"), Column("of them timed"))
    return PlainTable("Encoding the catalogue once", columns, tuple(rows))


def payback_table(comparison: Comparison) -> PlainTable:
    """After how many epochs encoding once has paid; one row a method that runs the encoders in every step."""
    stored = list(dict.fromkeys(payback.method for payback in comparison.paybacks))
    columns = [Column("against", numeric=False)]
    for name in stored:
        columns += [Column(f"{name} saves, s an epoch"), Column(f"{name} pays after, epochs")]
    rows: dict[str, tuple[str, ...]] = {}
    for payback in comparison.paybacks:
        cells = (_saved(payback), NEVER if payback.epochs is None else significant(payback.epochs, 2))
        rows[payback.against] = (*rows.get(payback.against, (payback.against,)), *cells)
    return PlainTable("When encoding is paid back", tuple(columns), tuple(rows.values()))


def meanings_table(comparison: Comparison) -> PlainTable:
    """What each method trains."""
    names = [method.name for method in comparison.methods] + [failure.method for failure in comparison.failures]
    rows = tuple((name, meaning(name)) for name in names if meaning(name))
    return PlainTable(
        "What the methods are", (Column("method", numeric=False), Column("what it does", numeric=False)), rows
    )


def _method_cells(comparison: Comparison) -> dict[str, _Cell]:
    unit, size = memory_unit(max((method.measurement.peak_memory for method in comparison.methods), default=0))
    cells: dict[str, _Cell] = {"method": lambda method: method.name, "TPME": lambda method: f"{method.tpme.value:.3f}"}
    if comparison.has_repeats:
        cells["95 % interval"] = lambda method: f"{method.tpme.low:.3f}–{method.tpme.high:.3f}"
    for metric in comparison.metrics[:SHOWN_METRICS]:
        cells[f"{metric}, %"] = lambda method, name=metric: percent(method.measurement.test_metrics[name])  # type: ignore[misc]
    cells["s an epoch"] = lambda method: significant(method.seconds)
    if any(method.measurement.encoding is not None for method in comparison.methods):
        cells["s of encoding, once"] = _encoding_seconds
    cells["trainable parameters"] = lambda method: f"{method.measurement.parameters.trainable:,}"
    cells[f"peak memory, {unit}"] = lambda method: significant(method.measurement.peak_memory / size)
    if any(method.joules is not None for method in comparison.methods):
        cells["kJ an epoch"] = _kilojoules
    return cells


def _encoding_seconds(method: ComparedMethod) -> str:
    cost = method.measurement.encoding
    return NONE if cost is None else significant(cost.seconds)


def _kilojoules(method: ComparedMethod) -> str:
    return NONE if method.joules is None else significant(method.joules / 1000)


def _saved(payback: Payback) -> str:
    return f"{'−' if payback.saved < 0 else ''}{significant(abs(payback.saved))}"
