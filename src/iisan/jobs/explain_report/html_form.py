"""An explanation as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from importlib.resources import files

from iisan.efficiency.gate_values import LayerValues
from iisan.efficiency.report.html_page import bullets, html_page, section
from iisan.efficiency.report.html_table import html_table
from iisan.efficiency.report.plain_table import Column, PlainTable
from iisan.efficiency.report.plots.palette import FAINT, INK, PARTS
from iisan.jobs.explain import ExplainOutcome
from iisan.jobs.explain_report.bars import Bar, bar_rows
from iisan.jobs.explain_report.reading import GATE_TITLES, everywhere_without, gate_lines, reading, strongest_first
from iisan.jobs.explain_report.thumbnails import thumbnails
from iisan.models.explanation.explanation import ExplainedItem, Influence, ScoreParts

_STYLE = files("iisan.jobs.explain_report").joinpath("page.css")
# Nothing may be loaded or run, whatever a title or a picture holds.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_BASE, _WHOLE, _INTERPLAY, _FOR, _AGAINST = FAINT, INK, PARTS[4], PARTS[1], PARTS[0]
_PART_ROLES = (PARTS[1], PARTS[0], PARTS[3], PARTS[2])
_PAST = "bars past"
# Items of the history beside each recommendation; the rest can be unfolded.
SHOWN = 5


def as_html(outcome: ExplainOutcome) -> str:
    """The text of the file, in light or dark as the reader's system is set; pictures are inside."""
    found = outcome.explanation
    ids = list(dict.fromkeys([*found.history, *(item.item_id for item in found.items)]))
    pictures = _Pictures(thumbnails(outcome.dataset, ids))
    whose = f"user {outcome.user_id}" if outcome.user_id is not None else "this history"
    title = f"Why {whose} gets these items of {outcome.dataset.name}"
    style = _STYLE.read_text(encoding="utf-8") + pictures.rules()
    return html_page(title, style, _sections(outcome, pictures), policy=_POLICY)


class _Pictures:
    """Each picture stands in the page once, in a rule, however often it is shown."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls
        self._names = {item_id: f"picture-{number}" for number, item_id in enumerate(urls)}

    def rules(self) -> str:
        return "".join(
            f'.{self._names[one]} {{ background-image: url("{url}"); }}\n' for one, url in self._urls.items()
        )

    def show(self, item_id: str, title: str | None) -> str:
        name = escape(f"picture of {title or item_id}")
        if item_id not in self._names:
            return '<span class="picture none" aria-hidden="true"></span>'
        return f'<span class="picture {self._names[item_id]}" role="img" aria-label="{name}"></span>'


def _sections(outcome: ExplainOutcome, pictures: _Pictures) -> Iterable[str]:
    found = outcome.explanation
    if outcome.notes:
        yield f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in outcome.notes)}</ul>'
    yield section("The history, oldest first", _strip(outcome, pictures))
    for number, item in enumerate(found.items, start=1):
        yield _article(number, item, outcome, pictures)
    if outcome.gates:
        tables = "".join(
            f"<h3>{escape(GATE_TITLES[tower])}</h3>{_gate_table(GATE_TITLES[tower], values)}"
            for tower, values in outcome.gates.items()
        )
        yield section("Gates of the model, the same for every item", tables)
    yield section("How to read it", bullets(reading(outcome)))


def _strip(outcome: ExplainOutcome, pictures: _Pictures) -> str:
    found = outcome.explanation
    titles = outcome.titles
    cells = "".join(
        f"<li>{pictures.show(item_id, titles.get(item_id))}"
        f'<span class="name">{number}. {_name(item_id, titles.get(item_id))}</span></li>'
        for number, item_id in enumerate(found.history, start=1)
    )
    return f'<ol class="strip" tabindex="0" aria-label="The history">{cells}</ol>'


def _name(item_id: str, title: str | None) -> str:
    return f'{escape(title)} <span class="id">{escape(item_id)}</span>' if title else escape(item_id)


def _article(number: int, item: ExplainedItem, outcome: ExplainOutcome, pictures: _Pictures) -> str:
    found = outcome.explanation
    place = f"place {item.place:,} of {found.n_candidates:,}, whose mean score is {found.mean_score:.3f}"
    facts = f"score {item.score:.3f} · {place}"
    content = "" if item.of_item is None else _content(item, item.of_item)
    return (
        f"<article>\n<header>{pictures.show(item.item_id, item.title)}<div><h2>{number}. "
        f"{_name(item.item_id, item.title)}</h2><p>{facts}</p></div></header>\n"
        f'<div class="beside">{content}{_past(item, pictures)}</div>\n</article>'
    )


def _content(item: ExplainedItem, parts: ScoreParts) -> str:
    bars = [Bar("nothing", parts.base, f"{parts.base:+.3f}", "", _BASE)]
    for place, part in enumerate(parts.parts):
        name = escape(part.name if part.present else f"{part.name} (it has none)")
        role = _PART_ROLES[place % len(_PART_ROLES)]
        bars.append(Bar(name, part.alone, f"{part.alone:+.3f}", f"{part.share:.0%}", role))
    if len(parts.parts) > 1:
        number, share = f"{parts.interplay:+.3f}", f"{parts.interplay_share:.0%}"
        bars.append(Bar("interplay", parts.interplay, number, share, _INTERPLAY))
    bars.append(Bar("<strong>score</strong>", item.score, f"{item.score:+.3f}", "", _WHOLE))
    return f"<section><h3>What the item is</h3>{bar_rows(bars)}{_left_out(item, parts)}</section>"


def _left_out(item: ExplainedItem, parts: ScoreParts) -> str:
    lines = [
        (
            part.name,
            f"{part.without - item.score:+.3f}",
            "" if part.place_without is None else f"{part.place_without:,}",
            f"{part.shapley:+.3f}",
            "" if everywhere is None else f"{everywhere - item.score:+.3f}",
        )
        for part, everywhere in zip(parts.parts, everywhere_without(item), strict=True)
    ]
    headings = ("left out", "place then", "fair share", "everywhere")
    columns = (Column("part", numeric=False), *map(Column, headings))
    return html_table(PlainTable(f"Parts of {item.item_id}", columns, tuple(lines)))


def _past(item: ExplainedItem, pictures: _Pictures) -> str:
    told = [one for one in strongest_first(item) if one.drop is not None]
    if not told:
        content = "<p>The history is one item, so the whole score rests on it.</p>"
        return f"<section><h3>What came before</h3>{content}</section>"
    bars = [_influence(one, pictures) for one in told]
    first, rest = bars[:SHOWN], bars[SHOWN:]
    # One scale for those in sight and those folded away.
    more = f"<details><summary>{len(rest)} more</summary>{bar_rows(rest, bars, _PAST)}</details>" if rest else ""
    return f"<section><h3>What came before, strongest first</h3>{bar_rows(first, bars, _PAST)}{more}</section>"


def _influence(one: Influence, pictures: _Pictures) -> Bar:
    drop = one.drop or 0.0
    name = escape(one.title or one.item_id)
    label = f"{pictures.show(one.item_id, one.title)}<span>{one.position}. {name}</span>"
    note = "" if one.place_without is None else f"place {one.place_without:,} without it"
    return Bar(label, drop, f"{drop:+.3f}", note, _FOR if drop >= 0 else _AGAINST)


def _gate_table(title: str, values: dict[str, LayerValues]) -> str:
    head, *lines = gate_lines(values)
    columns = (Column(head[0], numeric=False), *(Column(name) for name in head[1:]))
    return html_table(PlainTable(title, columns, tuple(map(tuple, lines))))
