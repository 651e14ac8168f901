"""``iisan states``: look into a hidden-state store."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from iisan.cli.consoles import results
from iisan.states.describe import describe_store
from iisan.states.verify import verify_store

Store = Annotated[Path, typer.Argument(help="Folder of a store, e.g. DATASET/states/text.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verb and what it can do."""
    verb = typer.Typer(help="Look into a hidden-state store.", no_args_is_help=True, rich_markup_mode=None)
    verb.command("info")(info)
    verb.command("verify")(verify)
    app.add_typer(verb, name="states")


def info(store: Store) -> None:
    """What a store holds and which encoder made it."""
    description = describe_store(store)
    table = Table(title=str(store), show_header=False)
    for field in fields(description):
        table.add_row(field.name.replace("_", " "), str(getattr(description, field.name)))
    results.print(table)


def verify(store: Store) -> None:
    """Compare every checksum and look for bad numbers; exit code 1 where something is wrong."""
    report = verify_store(store)
    for problem in report.problems:
        results.print(problem, style="red", soft_wrap=True)
    if not report.ok:
        raise typer.Exit(1)
    results.print(f"{report.items:,} items in {report.shards:,} shards: all well")
