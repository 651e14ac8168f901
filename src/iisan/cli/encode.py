"""``iisan encode``: a dataset's items through frozen encoders, into hidden-state stores."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build
from iisan.cli.progress import TaskProgress
from iisan.jobs.encode import EncodeJob, encode_dataset


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "encode", run, (EncodeJob,), arguments=("dataset",))


def run(values: dict[str, Any]) -> None:
    """Encode the items of a dataset with frozen foundation models, once; what did not change is not encoded again."""
    job = build(EncodeJob, values)
    with TaskProgress() as progress:
        reports = encode_dataset(job, progress)
    table = Table("modality", "encoded", "reused", "without", "seconds")
    for name, report in reports.items():
        table.add_row(name, f"{report.encoded:,}", f"{report.reused:,}", f"{report.missing:,}", f"{report.seconds:.1f}")
    results.print(table)
