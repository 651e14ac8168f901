"""``iisan import``: tables and media into a dataset folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build, chosen
from iisan.cli.progress import TaskProgress
from iisan.data.dataset import Dataset
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.importers.iisan import IisanImport, import_iisan


class ImportTarget(BaseModel):
    """Where an import goes."""

    model_config = ConfigDict(extra="forbid")

    output: Path = Field(description="Dataset folder to make")


def add_to(app: typer.Typer) -> None:
    """Adds the verb and its formats."""
    formats = typer.Typer(
        help="Make a dataset folder from tables and media.", no_args_is_help=True, rich_markup_mode=None
    )
    add_verb(formats, "delimited", run_delimited, (ImportTarget, DelimitedImport), arguments=("output",))
    add_verb(formats, "iisan", run_iisan, (ImportTarget, IisanImport), arguments=("output",))
    app.add_typer(formats, name="import")


def run_delimited(values: dict[str, Any]) -> None:
    """Two tables, items and interactions: CSV, TSV, JSON Lines or Parquet, plain or gzip."""
    config = build(DelimitedImport, chosen(values, DelimitedImport))
    _run(values, lambda output, progress: import_delimited(config, output, progress))


def run_iisan(values: dict[str, Any]) -> None:
    """The layout of the IISAN authors' files: `item<TAB>title`, and `user<TAB>items separated by spaces`."""
    config = build(IisanImport, chosen(values, IisanImport))
    _run(values, lambda output, progress: import_iisan(config, output, progress))


def _run(values: dict[str, Any], work: Callable[[Path, TaskProgress], Dataset]) -> None:
    target = build(ImportTarget, chosen(values, ImportTarget))
    with TaskProgress() as progress:
        dataset = work(target.output, progress)
    print_dataset(dataset)


def print_dataset(dataset: Dataset) -> None:
    """Prints the counts of a dataset."""
    counts = dataset.manifest.counts
    table = Table(title=f"{dataset.name} ({dataset.path})", show_header=False)
    table.add_row("items", f"{counts.items:,}")
    for name, present in counts.present.items():
        table.add_row(f"  with {name}", f"{present:,}")
    table.add_row("users", f"{counts.users:,}")
    table.add_row("interactions", f"{counts.interactions:,}")
    for what, number in dataset.manifest.source.dropped.items():
        if number:
            table.add_row(f"left out: {what.replace('_', ' ')}", f"{number:,}")
    results.print(table)
