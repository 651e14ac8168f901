"""``iisan import-checkpoint``: weights of the authors' implementation into a model folder."""

from __future__ import annotations

from typing import Any

import typer

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build
from iisan.jobs.import_checkpoint import ImportCheckpointJob, import_checkpoint


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "import-checkpoint", run, (ImportCheckpointJob,), arguments=("checkpoint", "output"))


def run(values: dict[str, Any]) -> None:
    """Convert a checkpoint of the IISAN authors' code; with a dataset and its states, make it ready to recommend."""
    job = build(ImportCheckpointJob, values)
    model = import_checkpoint(job)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    results.print(f"{n_parameters:,} parameters: {job.output}", soft_wrap=True)
