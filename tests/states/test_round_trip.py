"""Whatever is written comes back, and the latest statement about an item counts."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.errors import UserError
from iisan.states import HiddenStateStore, IndexEntry, StoreDtype, StoreSpec, StoreWriter, verify_store
from iisan.states.index import REMOVED

TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def spec(dtype: StoreDtype = "float32", taps: tuple[int, ...] = (0, 2), width: int = 3, **rest: object) -> StoreSpec:
    return StoreSpec({"model": "m"}, dtype, taps, width, **rest)  # type: ignore[arg-type]


def entries(ids: list[str], first: int) -> list[IndexEntry]:
    return [IndexEntry(item, f"hash of {item} {first + k}", first + k) for k, item in enumerate(ids)]


item_ids = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
shards = st.lists(st.lists(item_ids, unique=True, max_size=6), max_size=5)


@settings(max_examples=40, deadline=None)
@given(shards=shards, dtype=st.sampled_from(["float16", "bfloat16", "float32"]), data=st.data())
def test_store_behaves_like_a_dictionary(shards: list[list[str]], dtype: StoreDtype, data: st.DataObject) -> None:
    slow: dict[str, torch.Tensor] = {}
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    with tempfile.TemporaryDirectory() as folder:
        with StoreWriter(folder, spec(dtype)) as writer:
            for ids in shards:
                removed = {item for item in ids if item in slow and data.draw(st.booleans())}
                kept = [item for item in ids if item not in removed]
                states = torch.randn(len(kept), 2, 3, generator=generator)
                tombstones = [IndexEntry(item, "", REMOVED) for item in removed]
                writer.append(states, [*entries(kept, writer.next_row), *tombstones])
                for item in removed:
                    del slow[item]
                slow.update({item: states[k].to(TORCH[dtype]) for k, item in enumerate(kept)})
        store = HiddenStateStore.open(folder)
        assert sorted(store.item_ids) == sorted(slow)
        assert len(store) == len(slow)
        wanted = data.draw(st.lists(st.sampled_from(sorted(slow)), max_size=12)) if slow else []
        read = store.gather(store.rows_of(wanted))
        assert read.dtype == store.dtype == TORCH[dtype]
        assert read.shape == (len(wanted), 2, 3)
        for k, item in enumerate(wanted):
            assert torch.equal(read[k], slow[item])
        assert verify_store(folder).problems == []


def test_absent_items_have_row_minus_one(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, spec()) as writer:
        writer.append(torch.zeros(2, 2, 3), entries(["a", "b"], 0))
    store = HiddenStateStore.open(tmp_path)
    assert store.rows_of(["b", "?", "a"]).tolist() == [1, -1, 0]
    assert store.rows_of([]).dtype == np.int64


@pytest.mark.parametrize("rows", [[-1], [2], [0, 5]])
def test_rows_out_of_range_are_refused(rows: list[int], tmp_path: Path) -> None:
    with StoreWriter(tmp_path, spec()) as writer:
        writer.append(torch.zeros(2, 2, 3), entries(["a", "b"], 0))
    with pytest.raises(IndexError, match=r"0\.\.1"):
        HiddenStateStore.open(tmp_path).gather(torch.tensor(rows))


def test_tensor_and_array_rows_are_the_same(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, spec()) as writer:
        for _ in range(3):
            writer.append(torch.randn(4, 2, 3), entries([f"{writer.next_row + k}" for k in range(4)], writer.next_row))
    store = HiddenStateStore.open(tmp_path)
    rows = torch.tensor([11, 0, 4, 4, 3])
    by_tensor = store.gather(rows)
    assert torch.equal(by_tensor, store.gather(rows.numpy()))
    by_tensor.zero_()  # a copy: the store itself is untouched
    assert store.gather(rows).abs().sum() > 0


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, spec()) as writer:
        writer.append(torch.ones(1, 2, 3), entries(["a"], 0))
        before = HiddenStateStore.open(tmp_path)
        writer.append(torch.full((1, 2, 3), 2.0), entries(["a"], 1))
        after = HiddenStateStore.open(tmp_path)
    assert before.gather(before.rows_of(["a"])).unique().tolist() == [1.0]
    assert after.gather(after.rows_of(["a"])).unique().tolist() == [2.0]


def test_constant_taps_are_stored_once(tmp_path: Path) -> None:
    constant = torch.tensor([[1.0, 2.0, 3.0]])
    states = torch.randn(4, 3, 3)
    states[:, 1] = constant
    with StoreWriter(tmp_path, spec(taps=(0, 2, 5), constant_taps=(2,), constant=constant)) as writer:
        writer.append(states, entries(list("abcd"), 0))
    store = HiddenStateStore.open(tmp_path)
    assert (store.taps, store.constant_taps, store.varying_taps) == ([0, 2, 5], [2], [0, 5])
    assert torch.equal(store.constant, constant)
    assert torch.equal(store.gather(np.arange(4)), states[:, [0, 2]])


def test_a_tap_that_is_not_constant_after_all_is_never_stored(tmp_path: Path) -> None:
    states = torch.ones(2, 2, 3)
    states[1, 0, 2] += 0.01
    with StoreWriter(tmp_path, spec(constant_taps=(0,), constant=torch.ones(1, 3))) as writer:
        with pytest.raises(RuntimeError, match="one vector for every item"):
            writer.append(states, entries(["a", "b"], 0))
        states[1, 0, 2] = float("nan")
        with pytest.raises(RuntimeError, match="one vector for every item"):
            writer.append(states, entries(["a", "b"], 0))
        assert writer.next_row == 0


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (70_000.0, "float16", "item 'b': a hidden state is too large for float16; store the states as bfloat16"),
        (3.4e38, "bfloat16", "item 'b': a hidden state is too large for bfloat16"),
        (float("nan"), "float16", "item 'b': a hidden state is not a finite number"),
        (float("-inf"), "float32", "item 'b': a hidden state is not a finite number"),
    ],
)
def test_numbers_that_cannot_be_stored(value: float, dtype: StoreDtype, message: str, tmp_path: Path) -> None:
    states = torch.ones(3, 2, 3)
    states[1, 1, 0] = value
    with StoreWriter(tmp_path, spec(dtype)) as writer, pytest.raises(UserError, match=message):
        writer.append(states, entries(["a", "b", "c"], 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "manifest.json"]


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, spec()) as writer:
        with pytest.raises(ValueError, match=r"\[n, 2, 3\]"):
            writer.append(torch.zeros(1, 3, 3), [])
        with pytest.raises(ValueError, match="row 1"):
            writer.append(torch.zeros(1, 2, 3), [IndexEntry("a", "h", 1)])
