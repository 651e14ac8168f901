"""The columns of a store's items, against a dictionary filled statement by statement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.states import HiddenStateStore, IndexEntry, StoreSpec, StoreWriter
from iisan.states.index import REMOVED, SCHEMA, StoreIndex
from iisan.states.store_items import StoreItems

IDS = ["a", "b", "ü", "d", "e"]
STATEMENTS = st.lists(
    st.builds(
        lambda item, row: IndexEntry(item, "" if row == REMOVED else f"hash {row}", row),
        st.sampled_from(IDS),
        st.integers(REMOVED, 6),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(statements=STATEMENTS, wanted=st.lists(st.sampled_from([*IDS, "unknown"]), max_size=8))
def test_the_last_statement_of_each_item_counts(statements: list[IndexEntry], wanted: list[str]) -> None:
    expected = StoreIndex()
    expected.add(statements)
    rows = [[getattr(one, name) for one in statements] for name in SCHEMA.names]
    items = StoreItems(pa.Table.from_arrays([pa.array(column) for column in rows], schema=SCHEMA))
    assert items.ids == list(expected.live)
    assert len(items) == len(expected.live)
    assert items.rows.tolist() == [entry.row for entry in expected.live.values()]
    found = [expected.live.get(item) for item in wanted]
    assert items.rows_of(wanted).tolist() == [REMOVED if one is None else one.row for one in found]
    assert items.rows_of(wanted).dtype == np.int64
    assert items.hashes_of(wanted) == [None if one is None else one.content_hash for one in found]
    for row in range(7):
        assert items.at_row(row) == [item for item, entry in expected.live.items() if entry.row == row]


@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.integers(0, 22), max_size=40))
def test_gather_takes_any_rows_from_any_shards(store: HiddenStateStore, rows: list[int]) -> None:
    wanted = torch.tensor(rows, dtype=torch.long)
    assert torch.equal(store.gather(wanted)[:, 0, 0], wanted.float())
    assert torch.equal(store.gather(wanted)[:, 1, 2], -wanted.float())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> HiddenStateStore:
    """Row ``k`` holds ``k`` in tap 0 and ``−k`` in tap 1; shards of 7, 0, 1 and 15 rows."""
    folder: Path = tmp_path_factory.mktemp("shards") / "text"
    with StoreWriter(folder, StoreSpec({"model": "numbers"}, "float32", (0, 1), 3)) as writer:
        for size in (7, 0, 1, 15):
            first = writer.next_row
            numbers = torch.arange(first, first + size).float()
            states = torch.stack([numbers, -numbers], dim=1).unsqueeze(2).expand(size, 2, 3)
            writer.append(states, [IndexEntry(f"i{first + k}", f"h{first + k}", first + k) for k in range(size)])
    return HiddenStateStore.open(folder)
