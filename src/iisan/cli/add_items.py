"""``iisan add-items``: new items for a trained model."""

from __future__ import annotations

from typing import Any

import typer
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build
from iisan.cli.progress import TaskProgress
from iisan.jobs.add_items import AddItemsJob, add_items

SHOWN_ALWAYS = ("added", "replaced", "unchanged")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "add-items", run, (AddItemsJob,), arguments=("model", "items"))


def run(values: dict[str, Any]) -> None:
    """Add new items to a trained model without training: encode, embed, append; they can be recommended at once."""
    job = build(AddItemsJob, values)
    with TaskProgress() as progress:
        outcome = add_items(job, progress)
    table = Table(show_header=False)
    for name, label in (
        ("added", "added"),
        ("replaced", "replaced"),
        ("unchanged", "unchanged"),
        ("skipped", "known with other content, left as they are"),
        ("empty", "without content, left out"),
    ):
        number = getattr(outcome, name)
        if number or name in SHOWN_ALWAYS:
            table.add_row(label, f"{number:,}")
    for reason, number in outcome.refused.items():
        table.add_row(f"picture left out: {reason}", f"{number:,}")
    table.add_row("items of the model now", f"{outcome.n_items:,}")
    results.print(table)
    results.print(f"model: {outcome.folder}", soft_wrap=True)
