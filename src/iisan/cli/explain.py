"""``iisan explain``: why a model recommends what it does."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from iisan.cli.consoles import messages, results
from iisan.cli.options import add_verb, build
from iisan.jobs.explain import ExplainJob, ExplainOutcome, explain_recommendations
from iisan.jobs.explain_report.html_form import as_html
from iisan.jobs.explain_report.json_form import as_json
from iisan.jobs.explain_report.reading import GATE_TITLES, everywhere_without, gate_lines, reading, strongest_first
from iisan.jobs.output_file import output_file
from iisan.models.explanation.explanation import ExplainedItem, ScoreParts

WIDTH_IN_FILES = 120
# Items of the history shown for each recommendation.
SHOWN = 5


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    add_verb(app, "explain", run, (ExplainJob,), arguments=("model", "dataset"))


def run(values: dict[str, Any]) -> None:
    """Explain recommendations: what picture, text and each item of the history add to a score, and the gates."""
    job = build(ExplainJob, values)
    outcome = explain_recommendations(job)
    for note in outcome.notes:
        messages.print(note, soft_wrap=True)
    if job.output is None and job.format == "text":
        _print(outcome, results)
        return
    text = {"text": _as_text, "json": as_json, "html": as_html}[job.format](outcome)
    if job.output is None:
        typer.echo(text, nl=False)
        return
    with output_file(job.output) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")


def _as_text(outcome: ExplainOutcome) -> str:
    stream = io.StringIO()
    _print(outcome, Console(file=stream, width=WIDTH_IN_FILES, markup=False, emoji=False, highlight=False))
    return stream.getvalue()


def _print(outcome: ExplainOutcome, console: Console) -> None:
    found = outcome.explanation
    for number, item in enumerate(found.items, start=1):
        console.print(
            f"{number}. {_name(item.item_id, item.title)}: score {item.score:.3f}, place {item.place:,} of "
            f"{found.n_candidates:,}"
        )
        if item.of_item is not None:
            console.print(_content_table(item, item.of_item))
        console.print(_history_table(item))
    for tower, values in outcome.gates.items():
        heading, *lines = gate_lines(values)
        console.print(_table(GATE_TITLES[tower], heading, lines))
    for line in reading(outcome):
        console.print(f"- {line}")


def _content_table(item: ExplainedItem, parts: ScoreParts) -> Table:
    lines = [["nothing", f"{parts.base:+.3f}", "", "", "", "", ""]]
    for part, everywhere in zip(parts.parts, everywhere_without(item), strict=True):
        lines.append(
            [
                part.name if part.present else f"{part.name} (it has none)",
                f"{part.alone:+.3f}",
                f"{part.share:.0%}",
                f"{part.shapley:+.3f}",
                f"{part.without - item.score:+.3f}",
                "" if part.place_without is None else f"{part.place_without:,}",
                "" if everywhere is None else f"{everywhere - item.score:+.3f}",
            ]
        )
    if len(parts.parts) > 1:
        lines.append(["interplay", f"{parts.interplay:+.3f}", f"{parts.interplay_share:.0%}", "", "", "", ""])
    lines.append(["score", f"{item.score:+.3f}", "", "", "", "", ""])
    heading = ["what it is", "alone", "share", "fair share", "left out", "place then", "everywhere"]
    return _table(None, heading, lines)


def _history_table(item: ExplainedItem) -> Table:
    lines = [
        [
            f"{one.position}. {_name(one.item_id, one.title)}",
            "all of it" if one.drop is None else f"{one.drop:+.3f}",
            "" if one.place_without is None else f"{one.place_without:,}",
        ]
        for one in strongest_first(item)[:SHOWN]
    ]
    return _table(None, ["what came before", "adds", "place without it"], lines)


def _table(title: str | None, heading: list[str], lines: Iterable[list[str]]) -> Table:
    table = Table(title=title)
    for place, name in enumerate(heading):
        table.add_column(name, justify="right" if place else "left")
    for line in lines:
        table.add_row(*map(Text, line))
    return table


def _name(item_id: str, title: str | None) -> str:
    """An id and a title on one line, without what a terminal would take for a command."""
    name = f"{item_id}  {title}" if title else item_id
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in name)
