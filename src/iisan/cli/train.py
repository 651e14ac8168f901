"""``iisan train``: a recommender from a dataset and its hidden states."""

from __future__ import annotations

from typing import Any

import typer

from iisan.cli.consoles import results
from iisan.cli.options import add_verb, build, chosen
from iisan.cli.progress import TaskProgress, TrainingProgress
from iisan.jobs.train import TrainJob, train_recommender
from iisan.training.config import TrainConfig


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "train", run, (TrainJob, TrainConfig), arguments=("dataset", "run"))


def run(values: dict[str, Any]) -> None:
    """Train a recommender; the same command continues a run that was interrupted."""
    job = build(TrainJob, chosen(values, TrainJob))
    options = chosen(values, TrainConfig)
    config = build(lambda **given: TrainConfig.preset(job.preset, **given), options)
    with TaskProgress() as progress:
        outcome = train_recommender(job, config, TrainingProgress(progress, config.metric))
    scores = "  ".join(f"{name} {value:.4f}" for name, value in outcome.result.metrics.items())
    results.print(f"best epoch {outcome.result.best_epoch + 1} of {len(outcome.result.history)}: {scores}")
    results.print(f"model: {outcome.folder}", soft_wrap=True)
