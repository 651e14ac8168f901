"""``iisan import``: tables and media into a dataset folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build, chosen
from iisan.cli.progress import TaskProgress
from iisan.data.dataset import Dataset
from iisan.data.importers.amazon_2023 import Amazon2023Import, import_amazon_2023
from iisan.data.importers.delimited import DelimitedImport, import_delimited
from iisan.data.importers.huggingface import HuggingFaceImport, import_huggingface
from iisan.data.importers.iisan import IisanImport, import_iisan
from iisan.data.importers.microlens import MicroLensImport, import_microlens
from iisan.data.importers.movielens import MovieLensImport, import_movielens
from iisan.data.importers.options import ImportOptions
from iisan.data.importers.recbole import RecBoleImport, import_recbole
from iisan.data.importers.webdataset import WebDatasetImport, import_webdataset

Options = TypeVar("Options", bound=ImportOptions)


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
    add_verb(formats, "recbole", run_recbole, (ImportTarget, RecBoleImport), arguments=("output",))
    add_verb(formats, "movielens", run_movielens, (ImportTarget, MovieLensImport), arguments=("output",))
    add_verb(formats, "amazon-2023", run_amazon_2023, (ImportTarget, Amazon2023Import), arguments=("output",))
    add_verb(formats, "microlens", run_microlens, (ImportTarget, MicroLensImport), arguments=("output",))
    add_verb(formats, "webdataset", run_webdataset, (ImportTarget, WebDatasetImport), arguments=("output",))
    add_verb(formats, "huggingface", run_huggingface, (ImportTarget, HuggingFaceImport), arguments=("output",))
    app.add_typer(formats, name="import")


def run_delimited(values: dict[str, Any]) -> None:
    """Two tables, items and interactions: CSV, TSV, JSON Lines or Parquet, plain or gzip."""
    _run(values, DelimitedImport, import_delimited)


def run_iisan(values: dict[str, Any]) -> None:
    """The layout of the IISAN authors' files: `item<TAB>title`, and `user<TAB>items separated by spaces`."""
    _run(values, IisanImport, import_iisan)


def run_recbole(values: dict[str, Any]) -> None:
    """RecBole's atomic files: `NAME.inter`, or the parts it is split into, and `NAME.item`."""
    _run(values, RecBoleImport, import_recbole)


def run_movielens(values: dict[str, Any]) -> None:
    """MovieLens from 100K to 32M and latest, as GroupLens publishes it."""
    _run(values, MovieLensImport, import_movielens)


def run_amazon_2023(values: dict[str, Any]) -> None:
    """Amazon Reviews 2023: reviews or pure-ID files, and the metadata of the items."""
    _run(values, Amazon2023Import, import_amazon_2023)


def run_microlens(values: dict[str, Any]) -> None:
    """MicroLens: pairs, titles and covers."""
    _run(values, MicroLensImport, import_microlens)


def run_webdataset(values: dict[str, Any]) -> None:
    """WebDataset tar shards with a sample an item, and a table of interactions."""
    _run(values, WebDatasetImport, import_webdataset)


def run_huggingface(values: dict[str, Any]) -> None:
    """Hugging Face datasets: folders and hub ids, pictures included."""
    _run(values, HuggingFaceImport, import_huggingface)


def _run(
    values: dict[str, Any], options: type[Options], work: Callable[[Options, Path, TaskProgress], Dataset]
) -> None:
    config = build(options, chosen(values, options))
    target = build(ImportTarget, chosen(values, ImportTarget))
    with TaskProgress() as progress:
        dataset = work(config, target.output, progress)
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
