"""``iisan evaluate``: recommenders on held-out interactions."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field

from iisan.cli.consoles import messages
from iisan.cli.evaluation_tables import print_outcome
from iisan.cli.options import add_verb, build, chosen
from iisan.data.manifest import MANIFEST_FILE
from iisan.errors import UserError
from iisan.evaluation.evaluate import Evaluation
from iisan.jobs.evaluate_models import EvaluateModelsJob, EvaluateModelsOutcome, evaluate_models
from iisan.jobs.evaluate_outcome import EvaluateOutcome, SplitEvaluation


class EvaluateOutput(BaseModel):
    """In what form to print."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["table", "json"] = Field("table", description="Form of the answer")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "evaluate", run, (EvaluateModelsJob, EvaluateOutput), arguments=("models",))


def run(values: dict[str, Any]) -> None:
    """Rank each user's held-out item among all candidates; with several models, compare each with the first."""
    output = build(EvaluateOutput, chosen(values, EvaluateOutput))
    job = build(EvaluateModelsJob, _with_dataset(chosen(values, EvaluateModelsJob)))
    with messages.status("ranking"):
        outcome = evaluate_models(job)
    if output.format == "json":
        typer.echo(json.dumps(as_data(outcome), indent=2))
    else:
        print_outcome(outcome)


def as_data(outcome: EvaluateModelsOutcome) -> dict[str, Any]:
    """JSON-able form of the evaluations, without the ranks.

    ``model`` and ``popularity`` are the first model's figures under its first split.
    """
    first = outcome.evaluations[0]
    return {
        "model": _without_ranks(first.model),
        "popularity": _without_ranks(first.popularity),
        "models": [_model_data(one) for one in outcome.evaluations],
        "comparisons": [asdict(one) for one in outcome.comparisons],
    }


def _model_data(outcome: EvaluateOutcome) -> dict[str, Any]:
    return {
        "name": outcome.name,
        "splits": {kind: _split_data(one) for kind, one in outcome.splits.items()},
        "skipped": outcome.skipped,
    }


def _split_data(one: SplitEvaluation) -> dict[str, Any]:
    return {
        "leak": {"leak_free": one.leak.leak_free, **asdict(one.leak), "why": str(one.leak)},
        "cuts": one.split.cuts,
        "unranked": asdict(one.split.unranked[one.model.part]),
        "model": _without_ranks(one.model),
        "popularity": _without_ranks(one.popularity),
    }


def _without_ranks(evaluation: Evaluation) -> dict[str, Any]:
    data = {key: value for key, value in vars(evaluation).items() if key != "ranks"}
    bands = {band: asdict(result) for band, result in evaluation.bands.items()}
    return {**data, "bands": bands, "among_cold": asdict(evaluation.among_cold)}


def _with_dataset(values: dict[str, Any]) -> dict[str, Any]:
    """Takes the dataset from among the models: the last one, where it is the folder of a dataset."""
    models = values.get("models", [])
    if len(models) < 2 or not (Path(models[-1]) / MANIFEST_FILE).is_file():
        return values
    if "dataset" in values:
        raise UserError("the dataset is named twice", where=models[-1], how="name it once")
    return {**values, "models": models[:-1], "dataset": models[-1]}
