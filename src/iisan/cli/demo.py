"""``iisan demo``: the whole main job on a sample shop, drawn on the spot."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel, ConfigDict, Field
from rich.table import Table

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build
from iisan.cli.progress import TaskProgress, TrainingProgress
from iisan.cli.recommend import answer_table
from iisan.demo.run import DemoOutcome, run_demo
from iisan.demo.shop import ShopConfig
from iisan.jobs.recommend import Answer
from iisan.serving.settings import ServeSettings
from iisan.training.config import TrainConfig

LABELS = {"popularity": "most popular items", "frozen": "frozen features", "iisan": "IISAN"}
METRICS = ("HR@10", "NDCG@10", "MRR")
SHOWN_OF_HISTORY = 5


class DemoOptions(BaseModel):
    """Options of the demo."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Path = Field(Path("demo"), description="Folder for everything that the demo makes")
    quick: bool = Field(False, description="A smaller shop, in a minute or two")
    seed: int = Field(0, ge=0, description="Seed of the training")
    overwrite: bool = Field(False, description="Start again instead of using what an earlier demo left")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "demo", run, (DemoOptions,))


def run(values: dict[str, Any]) -> None:
    """Draw a sample shop, encode it, train on it, measure, and recommend: the main job from end to end, offline."""
    options = build(DemoOptions, values)
    started = time.monotonic()
    metric = TrainConfig.preset("default").metric
    with TaskProgress() as progress:
        outcome = run_demo(
            options.output,
            ShopConfig.quick() if options.quick else ShopConfig(),
            seed=options.seed,
            overwrite=options.overwrite,
            progress=progress,
            reporter=lambda method: TrainingProgress(progress, metric, LABELS[method]),
        )
    print_outcome(outcome, time.monotonic() - started)


def print_outcome(outcome: DemoOutcome, seconds: float) -> None:
    """Prints the comparison, two shoppers, and where the model is."""
    any_evaluation = next(iter(outcome.evaluations.values()))
    table = Table(
        "ranked by",
        *METRICS,
        title=f"the next item of {any_evaluation.n_users:,} shoppers among {any_evaluation.n_candidates:,}, percent",
    )
    for name, evaluation in outcome.evaluations.items():
        metrics = evaluation.metrics["paper"]
        table.add_row(LABELS[name], *(f"{100 * metrics[metric]:.2f}" for metric in METRICS))
    results.print(table)
    for shopper in outcome.shoppers:
        recent = "; ".join(str(title) for title in shopper.titles[-SHOWN_OF_HISTORY:])
        results.print(f"\n{shopper.history.user_id} last looked at: {recent}", soft_wrap=True)
        answer = Answer(shopper.history.user_id, shopper.items)
        results.print(answer_table(answer, f"what {shopper.history.user_id} may want next"))
    results.print(f"\n{seconds:.0f} s. The model is in {outcome.model}; try", soft_wrap=True)
    example = " ".join(outcome.shoppers[0].history.items[-3:])
    results.print(f'  iisan recommend {outcome.model} --history "{example}"', soft_wrap=True)
    place = "http://{}:{}/".format(*(ServeSettings.model_fields[name].default for name in ("host", "port")))
    results.print(f"or in a browser: start this, and open {place}", soft_wrap=True)
    results.print(f"  iisan serve {outcome.run}", soft_wrap=True)
