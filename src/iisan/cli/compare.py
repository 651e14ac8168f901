"""``iisan compare``: every way of adapting the encoders, side by side."""

from __future__ import annotations

from typing import Any

import typer

from iisan.cli.consoles import messages, results
from iisan.cli.narrow_table import Heading, narrow_table
from iisan.cli.options import add_verb, build, chosen
from iisan.cli.progress import TaskProgress
from iisan.efficiency.report.notes import notes
from iisan.efficiency.report.tables import comparison_tables
from iisan.jobs.compare import CompareJob, CompareOutcome, compare_methods


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "compare", run, (CompareJob,), arguments=("dataset", "output"))


def run(values: dict[str, Any]) -> None:
    """Measure time, memory, parameters and quality of every method on this machine, and their TPME."""
    job = build(CompareJob, chosen(values, CompareJob))
    with TaskProgress() as progress:

        def show(method: str, done: int, total: int, note: str) -> None:
            progress(done, total, method, note)
            if note and not messages.is_terminal:
                messages.print(f"{method}: {note}", soft_wrap=True)

        outcome = compare_methods(job, show)
    print_comparison(outcome)


def print_comparison(outcome: CompareOutcome) -> None:
    """Prints the tables of a comparison and where its report is."""
    for plain in comparison_tables(outcome.comparison):
        headings = [Heading(column.heading, column.numeric) for column in plain.columns]
        results.print(narrow_table(plain.title, headings, plain.rows))
    verdict = outcome.comparison.verdict
    for line in [*([] if verdict is None else [verdict]), *notes(outcome.comparison)]:
        results.print(line, soft_wrap=True, highlight=False)
    results.print(f"report: {', '.join(str(path) for path in outcome.reports)}", soft_wrap=True, highlight=False)
