"""Filters against a look at every item."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from iisan.errors import UserError
from iisan.models.added_facts import AddedFacts
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore
from iisan.serving.filters import Filters
from iisan.serving.item_facts import Attribute, ItemFacts

N = 12
VALUES = [None, "red", "green", "blue"]
ids = st.lists(st.sampled_from([f"i{row}" for row in range(N + 3)]), max_size=6)
values = st.lists(st.sampled_from(["red", "green", "blue", "ultraviolet"]), max_size=3)


def facts_of(columns: dict[str, list[str | None]], changed: dict[int, AddedFacts]) -> ItemFacts:
    """Facts of `N` items, of which some came later."""
    before = ItemTable([f"i{row}" for row in range(N)], [None] * N, torch.zeros(N, 2), torch.ones(N, dtype=torch.bool))
    n = max([N, *(row + 1 for row in changed)])
    after = ItemTable(
        [f"i{row}" for row in range(n)],
        [None] * n,
        torch.zeros(n, 2),
        torch.ones(n, dtype=torch.bool),
        facts=changed,
    )
    rows = np.arange(N)
    attributes = {name: Attribute.of(pa.chunked_array([column], pa.string()), rows) for name, column in columns.items()}
    nothing = np.zeros(N, dtype=np.int64)
    facts = ItemFacts(attributes, nothing, None, nothing - 1, [], PictureStore(Path("nowhere")), before)
    return facts.updated(after, changed)


@settings(max_examples=150, deadline=None)
@given(
    colours=st.lists(st.sampled_from(VALUES), min_size=N, max_size=N),
    sizes=st.lists(st.sampled_from([None, "red", "L"]), min_size=N, max_size=N),
    changed=st.dictionaries(
        st.integers(0, N + 2),
        st.dictionaries(st.sampled_from(["colour", "taste"]), st.sampled_from(["red", "blue", "sour"])),
        max_size=4,
    ),
    include=st.none() | ids,
    exclude=ids,
    wanted=st.dictionaries(st.sampled_from(["colour", "size"]), values, max_size=2),
)
def test_what_passes_is_what_meets_every_condition(
    colours: list[str | None],
    sizes: list[str | None],
    changed: dict[int, dict[str, str]],
    include: list[str] | None,
    exclude: list[str],
    wanted: dict[str, list[str]],
) -> None:
    more = {row: AddedFacts(None, attributes) for row, attributes in changed.items()}
    more |= {row: AddedFacts() for row in range(N, max([0, *more]) + 1) if row not in more}
    facts = facts_of({"colour": colours, "size": sizes}, more)
    found = Filters(include=include, exclude=exclude, attributes=wanted).passing(facts.table, facts)
    assert len(found) == len(facts.table)
    for row in range(len(found)):
        kept = {"colour": colours[row], "size": sizes[row]} if row not in more else dict(more[row].attributes)
        assert facts.attributes_of(row) == {name: value for name, value in kept.items() if value is not None}
        meets = (
            (include is None or f"i{row}" in include)
            and f"i{row}" not in exclude
            and all(kept.get(name) in some for name, some in wanted.items())
        )
        assert bool(found[row]) == meets


def test_an_attribute_that_there_is_not() -> None:
    facts = facts_of({"colour": ["red"] * N}, {})
    with pytest.raises(UserError, match="items have no attribute 'size'; there are: colour"):
        Filters(attributes={"size": ["L"]}).passing(facts.table, facts)


@pytest.mark.parametrize(
    "bad",
    [
        {"includes": ["i1"]},
        {"include": "i1"},
        {"include": ["i1"] * 10_001},
        {"exclude": ["x" * 1001]},
        {"attributes": {"colour": "red"}},
        {"attributes": {str(number): [] for number in range(33)}},
    ],
)
def test_what_is_too_much_or_no_filter_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Filters.model_validate(bad)


def test_without_conditions_everything_passes() -> None:
    facts = facts_of({}, {})
    assert Filters().empty
    assert not Filters(include=[]).empty
    assert Filters().passing(facts.table, facts).all()
    assert not Filters(include=[]).passing(facts.table, facts).any()
