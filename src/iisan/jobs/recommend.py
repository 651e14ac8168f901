"""Recommend: the next items after given histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.evaluate import load_recommender
from iisan.jobs.histories import History, dataset_histories, read_histories
from iisan.models.recommender import Recommendation, Recommender
from iisan.training.device import resolve_device

# Of a run in which nothing can be served, so that the error stays a line.
SHOWN_PROBLEMS = 3

Form = Literal["table", "json", "parquet"]


class RecommendJob(BaseModel):
    """For whom, how many, and in what form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(description="Model folder, run folder or hub id")
    history: list[str] = Field([], description="A history: item ids, oldest first, separated by spaces or commas")
    file: Path | None = Field(None, description="File of histories: .jsonl, .parquet, or lines of user<TAB>ids")
    dataset: Path | None = Field(None, description="Dataset folder: recommend for each of its users")
    k: int = Field(10, ge=1, description="Items a list")
    seen: Literal["exclude", "include"] = Field("exclude", description="Whether items of the history may come back")
    format: Form = Field("table", description="Form of the answer")
    output: Path | None = Field(None, description="File for the answer; needed for parquet")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")

    @model_validator(mode="after")
    def _one_source(self) -> RecommendJob:
        if sum([bool(self.history), self.file is not None, self.dataset is not None]) != 1:
            raise ValueError("give exactly one of history, file and dataset")
        if self.format == "parquet" and self.output is None:
            raise ValueError("parquet needs an output file")
        return self


@dataclass(frozen=True)
class Answer:
    """The list for one history.

    Attributes:
        user_id: Whose it is; for histories of the command line their number.
        items: Best first.
    """

    user_id: str
    items: list[Recommendation]


@dataclass(frozen=True)
class RecommendOutcome:
    """All lists, and what could not be served.

    Attributes:
        answers: One for each history in which at least one id is known.
        problems: One line for each unknown id and each history that was left out.
    """

    answers: list[Answer]
    problems: list[str]


def recommend(job: RecommendJob) -> RecommendOutcome:
    """Recommends after each history; unknown ids are named and passed over.

    Raises:
        UserError: The model, the file or the dataset cannot be read, or no history could be served.
    """
    recommender = load_recommender(job.model).to(resolve_device(job.device))
    served, problems = known_histories(recommender, _histories(job))
    if not served:
        what = "; ".join(problems[:SHOWN_PROBLEMS]) or "there is no history"
        raise UserError(what, how="give at least one item id that the model knows")
    lists = recommender.recommend([history.items for history in served], job.k, exclude_seen=job.seen == "exclude")
    answers = [Answer(history.user_id, items) for history, items in zip(served, lists, strict=True)]
    return RecommendOutcome(answers, problems)


def known_histories(recommender: Recommender, histories: Sequence[History]) -> tuple[list[History], list[str]]:
    """Leaves unknown ids out of the histories and says so, a line each."""
    table = recommender.table
    served, problems = [], []
    for history in histories:
        known = [item for item in history.items if table.row(item) is not None]
        problems += [
            f"history {history.user_id}: item {item!r} is not in the model's catalogue, passed over"
            for item in history.items
            if table.row(item) is None
        ]
        if known:
            served.append(History(history.user_id, known))
        else:
            problems.append(f"history {history.user_id}: no known item, left out")
    return served, problems


def _histories(job: RecommendJob) -> list[History]:
    if job.file is not None:
        return read_histories(job.file)
    if job.dataset is not None:
        return dataset_histories(Dataset.open(job.dataset))
    return [History(str(number), text.replace(",", " ").split()) for number, text in enumerate(job.history, start=1)]
