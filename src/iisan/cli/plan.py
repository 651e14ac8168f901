"""``iisan plan``: what a training run would take."""

from __future__ import annotations

from typing import Any, Literal

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build, chosen
from iisan.efficiency.plan import Plan, Prediction
from iisan.jobs.plan import PlanJob, plan_run
from iisan.training.config import TrainConfig


class PlanOutput(BaseModel):
    """In what form to print."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["table", "json"] = Field("table", description="Form of the answer")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "plan", run, (PlanJob, PlanOutput, TrainConfig), arguments=("dataset",))


def run(values: dict[str, Any]) -> None:
    """Predict cache size, parameters, peak memory and time of an epoch, and which batch fits, by a few real steps."""
    output = build(PlanOutput, chosen(values, PlanOutput))
    job = build(PlanJob, chosen(values, PlanJob))
    options = chosen(values, TrainConfig)
    config = build(lambda **given: TrainConfig.preset(job.preset, **given), options)
    with messages.status("planning") as status:
        plan = plan_run(job, config, status.update)
    if output.format == "json":
        typer.echo(plan.model_dump_json(indent=2))
    else:
        print_plan(plan)


def print_plan(plan: Plan) -> None:
    """Prints the predictions, each with how it was obtained and how far off it may be."""
    table = Table(title=f"{plan.method}, batch {plan.batch_size}, on {plan.device}")
    table.add_column("what")
    table.add_column("prediction", justify="right", no_wrap=True)
    table.add_column("how")
    table.add_column("may be off by")
    for what, prediction, shown in _rows(plan):
        table.add_row(what, shown, prediction.how, prediction.error)
    results.print(table)
    for name, cache in plan.caches.items():
        state = "encoded" if cache.encoded else "not encoded yet"
        line = f"{name}: {cache.contents:,} contents × {cache.taps} taps × {cache.width}, {cache.dtype}, {state}"
        results.print(line, soft_wrap=True, highlight=False)
    results.print(_verdict(plan), soft_wrap=True, highlight=False)


def _rows(plan: Plan) -> list[tuple[str, Prediction, str]]:
    rows = [
        ("states on disk", plan.cache_bytes, _bytes(plan.cache_bytes.value)),
        ("encoding", plan.encoding_seconds, _seconds(plan.encoding_seconds.value)),
        ("trainable parameters", plan.trainable_parameters, f"{plan.trainable_parameters.value:,.0f}"),
        ("parameters in all", plan.parameters, f"{plan.parameters.value:,.0f}"),
        ("an epoch", plan.epoch_seconds, _seconds(plan.epoch_seconds.value)),
        ("peak memory", plan.peak_memory, _bytes(plan.peak_memory.value)),
    ]
    if plan.largest_batch is not None:
        rows.append(("largest batch", plan.largest_batch, f"{plan.largest_batch.value:,.0f}"))
    return rows


def _verdict(plan: Plan) -> str:
    if plan.available_memory is None or plan.largest_batch is None:
        return "the system does not tell how much memory is free, so which batch fits is not known"
    free = f"{_bytes(plan.available_memory)} are free"
    if plan.fits:
        return f"a batch of {plan.batch_size} fits: {free}"
    return (
        f"a batch of {plan.batch_size} does not fit: {free}; the largest that does is {plan.largest_batch.value:,.0f}"
    )


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            return f"{value / size:,.2f} {unit}"
    return f"{value / 1e3:,.1f} kB"


def _seconds(value: float) -> str:
    if value >= 120:
        return f"{value / 60:,.1f} min"
    return f"{value:,.1f} s" if value >= 1 else f"{value:,.2g} s"
