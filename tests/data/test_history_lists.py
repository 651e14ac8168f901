"""Logs whose rows are users with lists of items."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.data import Dataset, DelimitedImport, import_delimited
from iisan.errors import UserError


def run(folder: Path, users: pa.Array, histories: pa.Array, **options: object) -> Dataset:
    pq.write_table(pa.table({"item_id": ["0", "1", "2"], "title": ["a", "b", "c"]}), folder / "items.parquet")
    pq.write_table(pa.table({"user_id": users, "history": histories}), folder / "log.parquet")
    tables = {"items": folder / "items.parquet", "interactions": folder / "log.parquet", "history_column": "history"}
    return import_delimited(DelimitedImport.model_validate({**tables, **options}), folder / "out")


HISTORIES = st.lists(st.one_of(st.none(), st.lists(st.integers(0, 2), max_size=4)), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(histories=HISTORIES.filter(any), large=st.booleans(), text=st.booleans())
def test_lists_become_interactions_in_their_order(histories: list[list[int] | None], large: bool, text: bool) -> None:
    kind = pa.string() if text else pa.int64()
    values = [None if one is None else [str(item) if text else item for item in one] for one in histories]
    column = pa.array(values, pa.large_list(kind) if large else pa.list_(kind))
    with tempfile.TemporaryDirectory() as name:
        dataset = run(Path(name), pa.array([f"u{row}" for row in range(len(histories))]), column)
        log = dataset.interactions
        found = [(dataset.user_ids[user], int(item)) for user, item in zip(log.user, log.item, strict=True)]
    assert found == [(f"u{row}", item) for row, one in enumerate(histories) for item in one or []]
    assert log.timestamp is None


@pytest.mark.parametrize(
    ("users", "histories", "options", "words"),
    [
        (["u", "v", "u"], [["0"], ["1"], ["2"]], {}, ["row 3", "user 'u' is there already"]),
        (["u", "v"], [["0"], ["1", None]], {}, ["row 2", "item id is missing"]),
        (["u", " "], [["0"], ["1"]], {}, ["row 2", "user id is blank"]),
        (["u", "v"], ["0 1", "2"], {}, ["'history' holds string, not lists"]),
        (["u"], [["7"]], {}, ["1 items that the catalogue lacks, such as '7'"]),
        (["u"], [["0"]], {"rating_column": "x"}, ["leave timestamp_column, rating_column"]),
        (["u"], [["0"]], {"history_column": "items"}, ["no column 'items'"]),
    ],
)
def test_bad_lists_are_one_line(
    tmp_path: Path, users: list[str], histories: list[object], options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        run(tmp_path, pa.array(users), pa.array(histories), **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)
