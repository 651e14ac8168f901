"""``iisan states``: look into a hidden-state store, or fill one with states that were computed elsewhere."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build
from iisan.cli.progress import TaskProgress
from iisan.jobs.import_states import ImportStatesJob, import_dataset_states
from iisan.states.describe import describe_store
from iisan.states.verify import verify_store

Store = Annotated[Path, typer.Argument(help="Folder of a store, e.g. DATASET/states/text.")]


def add_to(app: typer.Typer) -> None:
    """Adds the verb and what it can do."""
    verb = typer.Typer(
        help="Look into a hidden-state store, or import states.", no_args_is_help=True, rich_markup_mode=None
    )
    verb.command("info")(info)
    verb.command("verify")(verify)
    add_verb(verb, "import", import_, (ImportStatesJob,), arguments=("dataset", "modality"))
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
    origin = "" if report.imported is None else f", imported states of '{report.imported}'"
    results.print(f"{report.items:,} items in {report.shards:,} shards{origin}: all well", soft_wrap=True)
    if report.unfinished:
        results.print("the run that wrote it was interrupted; the same command completes it")


def import_(values: dict[str, Any]) -> None:
    """Take states that were computed elsewhere into the store of a modality, with the checks that encoding makes."""
    job = build(ImportStatesJob, values)
    with TaskProgress() as progress:
        report = import_dataset_states(job, progress)
    table = Table(title=f"{job.modality} (states of '{job.encoder_name}')", show_header=False)
    table.add_row("imported", f"{report.imported:,}")
    table.add_row("there already, or the same as another's", f"{report.reused:,}")
    others = {
        "in place of other states": report.replaced,
        "removed": report.removed,
        "left out: not in the catalogue, or without such content": report.unknown,
        "items without states": report.missing,
    }
    for what, count in others.items():
        if count:
            table.add_row(what, f"{count:,}")
    if report.constant_taps:
        table.add_row("taps that are the same for all, stored once", ", ".join(map(str, report.constant_taps)))
    results.print(table)
