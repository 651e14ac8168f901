"""What is kept of an added item for people: its picture, and attributes to filter by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

# Columns of a table of items; tables without them know no facts.
PICTURE, ATTRIBUTES = "picture", "attributes"


@dataclass(frozen=True)
class AddedFacts:
    """Facts about one item that was added.

    Attributes:
        picture: SHA-256 of the picture file that was given, under which the model folder keeps a small copy of it; None
            where there is none.
        attributes: Value by name.
    """

    picture: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return self.picture is not None or bool(self.attributes)


def fact_columns(facts: Mapping[int, AddedFacts], n: int) -> dict[str, pa.Array]:
    """Columns of ``n`` items, some of which have facts, by row; no column where none has.

    Empty facts are kept too: they say that an item has nothing, whatever was said of it before.
    """
    if not facts:
        return {}
    pictures: list[str | None] = [None] * n
    attributes: list[str | None] = [None] * n
    for row, one in facts.items():
        pictures[row] = one.picture
        attributes[row] = json.dumps(dict(one.attributes), ensure_ascii=False)
    return {PICTURE: pa.array(pictures, pa.string()), ATTRIBUTES: pa.array(attributes, pa.string())}


def facts_of(table: pa.Table) -> dict[int, AddedFacts]:
    """Facts by row, of the rows that have any, be they empty.

    Raises:
        ValueError: The columns hold something else.
    """
    pictures, attributes = _given(table, PICTURE), _given(table, ATTRIBUTES)
    return {
        row: AddedFacts(pictures.get(row), _parsed(attributes[row]) if row in attributes else {})
        for row in sorted({*pictures, *attributes})
    }


def _given(table: pa.Table, name: str) -> dict[int, str]:
    if name not in table.column_names:
        return {}
    if table.schema.field(name).type != pa.string():
        raise ValueError(f"column {name!r} holds no texts")
    return dict(_present(table[name].to_pylist()))


def _present(values: Iterable[str | None]) -> Iterable[tuple[int, str]]:
    return ((row, value) for row, value in enumerate(values) if value is not None)


def _parsed(text: str) -> dict[str, str]:
    found: Any = json.loads(text)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError("attributes are no texts by name")
    return found
