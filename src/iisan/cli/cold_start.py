"""``iisan cold-start``: how a model ranks items that were held out of its training."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import messages, results
from iisan.cli.narrow_table import Heading, narrow_table
from iisan.cli.options import add_verb, build, chosen
from iisan.evaluation.cold_start import PERCENTILE, ChoiceRanks, ColdStart
from iisan.evaluation.protocol import Protocol
from iisan.jobs.cold_start import ColdStartJob, cold_start

# A target that a person chose before is unusual here, and to rank it last says nothing about new items.
SHOWN: Protocol = "keep_target"


class ColdStartOutput(BaseModel):
    """In what form to print."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["table", "json"] = Field("table", description="Form of the answer")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "cold-start", run, (ColdStartJob, ColdStartOutput), arguments=("model", "dataset"))


def run(values: dict[str, Any]) -> None:
    """Rank items that were held out of training (`train --hold-out-items`) for the users who later chose them."""
    output = build(ColdStartOutput, chosen(values, ColdStartOutput))
    with messages.status("ranking"):
        outcome = cold_start(build(ColdStartJob, chosen(values, ColdStartJob)))
    if output.format == "json":
        typer.echo(json.dumps(asdict(outcome), indent=2))
    else:
        print_cold_start(outcome)


def print_cold_start(outcome: ColdStart) -> None:
    """Prints the metrics in percent, a table for each set of targets and candidates."""
    tables = {
        f"new items among all {outcome.among_all.n_candidates:,} items": outcome.among_all,
        f"new items among the {outcome.among_new.n_candidates:,} new ones": outcome.among_new,
    }
    if outcome.warm is not None:
        tables[f"learned items among all {outcome.warm.n_candidates:,} items, for scale"] = outcome.warm
    for title, ranks in tables.items():
        results.print(_table(title, ranks))
    for line in _notes(outcome):
        results.print(line, soft_wrap=True)


def _table(title: str, ranks: ChoiceRanks) -> Table:
    names = list(next(iter(ranks.metrics.values()))[SHOWN])
    counts = f"{ranks.n_choices:,} choices of {ranks.n_items:,} items by {ranks.n_users:,} users"
    rows = [
        [ranked_by, *(f"{value if name == PERCENTILE else 100 * value:.2f}" for name, value in metrics[SHOWN].items())]
        for ranked_by, metrics in ranks.metrics.items()
    ]
    headings = [Heading("ranked by", numeric=False), *map(Heading, names)]
    return narrow_table(f"{title}\n{counts}, percent", headings, rows)


def _notes(outcome: ColdStart) -> list[str]:
    reads = "the items that it learned" if outcome.history == "warm" else "the whole history, new items too"
    notes = [
        f"the model reads {reads}; what a user had before is not ranked, but for the target itself",
        f"{PERCENTILE}: mean place of the target among the candidates, 0 is the top and 50 is chance",
    ]
    if outcome.warm is not None:
        notes.append("learned items: the test targets of the same users that are not new")
    if outcome.among_all.repeated:
        notes.append(f"targets that repeat the history: {_percent(outcome.among_all)} (protocol paper: in the JSON)")
    return notes


def _percent(ranks: ChoiceRanks) -> str:
    return f"{100 * ranks.repeated:.1f} %"
