"""``iisan evaluate``: a recommender on held-out interactions."""

from __future__ import annotations

import json
from typing import Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build, chosen
from iisan.evaluation.evaluate import Evaluation
from iisan.evaluation.protocol import PROTOCOLS
from iisan.jobs.evaluate import EvaluateJob, EvaluateOutcome, evaluate_model


class EvaluateOutput(BaseModel):
    """In what form to print."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["table", "json"] = Field("table", description="Form of the answer")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "evaluate", run, (EvaluateJob, EvaluateOutput), arguments=("model", "dataset"))


def run(values: dict[str, Any]) -> None:
    """Rank each user's held-out item among all candidates, by the model and by popularity."""
    output = build(EvaluateOutput, chosen(values, EvaluateOutput))
    with messages.status("ranking"):
        outcome = evaluate_model(build(EvaluateJob, chosen(values, EvaluateJob)))
    if output.format == "json":
        typer.echo(json.dumps(as_data(outcome), indent=2))
    else:
        print_evaluation(outcome)


def as_data(outcome: EvaluateOutcome) -> dict[str, Any]:
    """JSON-able form of an evaluation, without the ranks."""
    return {"model": _without_ranks(outcome.model), "popularity": _without_ranks(outcome.popularity)}


def print_evaluation(outcome: EvaluateOutcome) -> None:
    """Prints the metrics in percent, a row for each ranking and protocol."""
    evaluation = outcome.model
    names = list(evaluation.metrics["paper"])
    table = Table(
        "ranked by",
        "protocol",
        *names,
        title=f"{evaluation.part}: {evaluation.n_users:,} users, {evaluation.n_candidates:,} items, percent",
    )
    for label, one in (("model", outcome.model), ("popularity", outcome.popularity)):
        for protocol, metrics in one.metrics.items():
            table.add_row(label, protocol, *(f"{100 * metrics[name]:.2f}" for name in names))
    results.print(table)
    for protocol, meaning in PROTOCOLS.items():
        results.print(f"{protocol}: {meaning}", soft_wrap=True)
    results.print(
        f"targets that repeat the history: {100 * evaluation.repeated_targets:.1f} %; items ever shown: "
        f"{100 * evaluation.coverage:.1f} %; places taken by the most popular 1 %: {100 * evaluation.popular:.1f} % "
        f"(by popularity {100 * outcome.popularity.popular:.1f} %)",
        highlight=False,
        soft_wrap=True,
    )


def _without_ranks(evaluation: Evaluation) -> dict[str, Any]:
    return {key: value for key, value in vars(evaluation).items() if key != "ranks"}
