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

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build
from iisan.jobs.output_file import output_file
from iisan.jobs.recommend import Answer, Form, RecommendJob, recommend

WIDTH_IN_FILES = 120
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("place", pa.int64()),
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("score", pa.float64()),
    ]
)


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "recommend", run, (RecommendJob,), arguments=("model",))


def run(values: dict[str, Any]) -> None:
    """Recommend the next items: --history "id id id", --file histories.jsonl, or --dataset for all its users."""
    job = build(RecommendJob, values)
    outcome = recommend(job)
    for problem in outcome.problems:
        messages.print(problem, soft_wrap=True)
    if job.output is None:
        _print(outcome.answers, job.format)
        return
    with output_file(job.output) as draft:
        _write(outcome.answers, job.format, draft)


def _print(answers: list[Answer], form: Form) -> None:
    if form == "json":
        typer.echo(_as_json_lines(answers), nl=False)
    else:
        _print_tables(answers, results)


def _write(answers: list[Answer], form: Form, path: Path) -> None:
    if form == "json":
        path.write_text(_as_json_lines(answers), encoding="utf-8")
    elif form == "parquet":
        _write_parquet(answers, path)
    else:
        with path.open("w", encoding="utf-8") as stream:
            console = Console(file=stream, width=WIDTH_IN_FILES, markup=False, emoji=False, highlight=False)
            _print_tables(answers, console)


def _as_json_lines(answers: list[Answer]) -> str:
    return "".join(json.dumps(_as_data(answer)) + "\n" for answer in answers)


def _as_data(answer: Answer) -> dict[str, Any]:
    items = [{"item_id": one.item_id, "title": one.title, "score": one.score} for one in answer.items]
    return {"user_id": answer.user_id, "items": items}


def _print_tables(answers: list[Answer], console: Console) -> None:
    for answer in answers:
        console.print(answer_table(answer, f"after history {answer.user_id}"))


def answer_table(answer: Answer, title: str) -> Table:
    """A list of recommendations as a table."""
    table = Table("", "item", "title", "score", title=title)
    for place, item in enumerate(answer.items, start=1):
        table.add_row(str(place), item.item_id, item.title or "", f"{item.score:.3f}")
    return table


def _write_parquet(answers: list[Answer], path: Path) -> None:
    rows = [
        {"user_id": answer.user_id, "place": place, "item_id": item.item_id, "title": item.title, "score": item.score}
        for answer in answers
        for place, item in enumerate(answer.items, start=1)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
