"""``iisan recommend``: the next items after given histories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from iisan.cli.options import add_verb, build
from iisan.cli.progress import messages
from iisan.jobs.recommend import Answer, RecommendJob, recommend


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "recommend", run, (RecommendJob,), arguments=("model",))


def run(values: dict[str, Any]) -> None:
    """Recommend the next items: `--history "id id id"`, `--file histories.jsonl`, or `--dataset` for all its users."""
    job = build(RecommendJob, values)
    outcome = recommend(job)
    for problem in outcome.problems:
        messages.print(problem, highlight=False, soft_wrap=True, markup=False)
    if job.format == "parquet" and job.output is not None:
        _write_parquet(outcome.answers, job.output)
    elif job.format == "json":
        _emit("".join(json.dumps(_as_data(answer)) + "\n" for answer in outcome.answers), job.output)
    else:
        _print_tables(outcome.answers, job.output)


def _as_data(answer: Answer) -> dict[str, Any]:
    items = [{"item_id": one.item_id, "title": one.title, "score": one.score} for one in answer.items]
    return {"user_id": answer.user_id, "items": items}


def _emit(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _print_tables(answers: list[Answer], output: Path | None) -> None:
    stream = None if output is None else output.open("w", encoding="utf-8")
    console = Console(file=stream)
    for answer in answers:
        console.print(answer_table(answer, f"after history {answer.user_id}"))
    if stream is not None:
        stream.close()


def answer_table(answer: Answer, title: str) -> Table:
    """A list of recommendations as a table."""
    table = Table("", "item", "title", "score", title=title)
    for place, item in enumerate(answer.items, start=1):
        table.add_row(str(place), item.item_id, item.title or "", f"{item.score:.3f}")
    return table


def _write_parquet(answers: list[Answer], output: Path) -> None:
    rows = [
        {"user_id": answer.user_id, "place": place, "item_id": item.item_id, "title": item.title, "score": item.score}
        for answer in answers
        for place, item in enumerate(answer.items, start=1)
    ]
    pq.write_table(pa.Table.from_pylist(rows), output)
