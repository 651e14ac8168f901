from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iisan.data import parse_template
from iisan.errors import UserError


@pytest.mark.parametrize(
    ("template", "row", "expected"),
    [
        ("title", {"title": "Mug"}, "Mug"),
        ("title", {"title": None}, None),
        ("title", {"title": "  "}, None),
        ("{title}. {genres}", {"title": "Mug", "genres": "A|B"}, "Mug. A|B"),
        ("{title}. {genres}", {"title": "Mug", "genres": ""}, "Mug"),
        ("{title}. {genres}", {"title": "", "genres": "A"}, "A"),
        ("{title}. {genres}", {"title": None, "genres": None}, None),
        ("{a}, {b}, {c}", {"a": "1", "b": None, "c": "3"}, "1, 3"),
        ("{t} by {w} ({y}).", {"t": "Emma", "w": "Austen", "y": "1815"}, "Emma by Austen (1815)."),
        ("{t} by {w} ({y}).", {"t": "Emma", "w": "Austen", "y": None}, "Emma by Austen."),
        ("{t} by {w} ({y}).", {"t": "Emma", "w": None, "y": "1815"}, "Emma (1815)."),
        ("{t} by {w} ({y}).", {"t": None, "w": None, "y": "1815"}, "(1815)."),
        ('"{t}" by {w}', {"t": "Emma", "w": None}, '"Emma"'),
        ('"{t}" by {w}', {"t": None, "w": "Austen"}, "Austen"),
        ("{w}'s {t}", {"w": "Austen", "t": "Emma"}, "Austen's Emma"),
        ("{w}'s {t}", {"w": "Austen", "t": None}, "Austen"),
        ("Film: {t}!", {"t": "Emma"}, "Film: Emma!"),
        ("{{{t}}}", {"t": "x"}, "{x}"),
        ("{a}{b}", {"a": "x", "b": "y"}, "xy"),
        ("{a} {a}", {"a": "x"}, "x x"),
        ("{brand name}", {"brand name": "Öl"}, "Öl"),
    ],
)
def test_renders(template: str, row: dict[str, str | None], expected: str | None) -> None:
    assert parse_template(template).render(row) == expected


@pytest.mark.parametrize("template", ["{title", "title}", "{}", "{title!r}", "{title:>10}", "{{title}}"])
def test_refuses_what_is_no_template(template: str) -> None:
    with pytest.raises(UserError, match="template"):
        parse_template(template)


@given(
    values=st.lists(st.one_of(st.none(), st.text(alphabet="xyz", min_size=1)), min_size=1, max_size=5),
    separator=st.sampled_from([" ", ", ", ". ", " | ", " - "]),
)
def test_one_separator_between_what_is_there(values: list[str | None], separator: str) -> None:
    template = separator.join(f"{{f{number}}}" for number in range(len(values)))
    row = {f"f{number}": value for number, value in enumerate(values)}
    there = [value for value in values if value]
    assert parse_template(template).render(row) == (separator.join(there) if there else None)
