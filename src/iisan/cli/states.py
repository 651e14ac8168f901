"""``iisan states``: look into a hidden-state store."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
    table = Table(title=escape(str(store)), show_header=False)
    for field in fields(description):
        table.add_row(field.name.replace("_", " "), escape(str(getattr(description, field.name))))
    Console().print(table)


def verify(store: Store) -> None:
    """Compare every checksum and look for bad numbers; exit code 1 where something is wrong."""
    report = verify_store(store)
    console = Console()
    for problem in report.problems:
        console.print(problem, style="red", highlight=False, soft_wrap=True, markup=False)
    if not report.ok:
        raise typer.Exit(1)
    console.print(f"{report.items:,} items in {report.shards:,} shards: all well", highlight=False)
