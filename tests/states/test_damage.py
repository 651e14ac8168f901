"""Damage is found and named; nothing wrong is read as if it were right."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from iisan.data.checksum import sha256_of_file
from iisan.errors import UserError
from iisan.states import (
    CachedSource,
    HiddenStateStore,
    IndexEntry,
    StoreSpec,
    StoreWriter,
    describe_store,
    verify_store,
)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    with StoreWriter(path, StoreSpec({"model": "m"}, "float16", (0, 1), 4, (0,), torch.ones(1, 4))) as writer:
        for row in (0, 3):
            states = torch.cat([torch.ones(3, 1, 4), torch.randn(3, 1, 4)], dim=1)
            writer.append(states, [IndexEntry(f"i{row + k}", f"h{row + k}", row + k) for k in range(3)])
    return path


def edit_manifest(store: Path, **changes: Any) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    manifest.update(changes)
    (store / "manifest.json").write_text(json.dumps(manifest))


def rehash(store: Path, shard: int) -> None:
    """Make the checksums fit again, so that only the content is wrong."""
    manifest = json.loads((store / "manifest.json").read_text())
    for part in ("states", "index"):
        record = manifest["shards"][shard][part]
        record["sha256"] = sha256_of_file(store / record["file"])
    (store / "manifest.json").write_text(json.dumps(manifest))


def test_a_sound_store(store: Path) -> None:
    report = verify_store(store)
    assert report.ok
    assert (report.shards, report.rows, report.items) == (2, 6, 6)
    description = describe_store(store)
    assert (description.items, description.rows, description.dead_rows, description.shards) == (6, 6, 0, 2)
    assert description.taps == [0, 1]
    assert description.constant_taps == [0]
    assert description.size_bytes == sum(file.stat().st_size for file in store.iterdir() if file.name != ".lock")


def test_every_flipped_byte_of_every_file_is_found(store: Path) -> None:
    names = sorted(file.name for file in store.iterdir() if file.suffix in {".safetensors", ".parquet"})
    assert len(names) == 5
    for name in names:
        whole = (store / name).read_bytes()
        for position in (0, len(whole) // 2, len(whole) - 1):
            flipped = bytearray(whole)
            flipped[position] ^= 0x40
            (store / name).write_bytes(flipped)
            assert any(problem.startswith(name) for problem in verify_store(store).problems), (name, position)
        (store / name).write_bytes(whole)
    assert verify_store(store).ok


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00000.parquet", "constant.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_missing_and_short_files_stop_the_reader(name: str, damage: str, store: Path) -> None:
    content = (store / name).read_bytes()
    if damage == "missing":
        (store / name).unlink()
    else:
        (store / name).write_bytes(content[:-1] if damage == "truncated" else b"")
    with pytest.raises(UserError, match=name):
        HiddenStateStore.open(store)
    assert any(name in problem for problem in verify_store(store).problems)


def test_a_huge_header_is_not_believed(store: Path) -> None:
    (store / "shard-00000.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match=r"shard-00000\.safetensors.*header"):
        HiddenStateStore.open(store)


def test_a_shard_of_another_shape(store: Path) -> None:
    save_file({"states": torch.zeros(3, 1, 5, dtype=torch.float16)}, store / "shard-00000.safetensors")
    rehash(store, 0)
    with pytest.raises(UserError, match=r"\[3, 1, 5\]"):
        HiddenStateStore.open(store)
    assert not verify_store(store).ok


def put_nan(store: Path) -> None:
    """Into the third row of the second shard, tap 1, with a checksum that fits."""
    states = torch.zeros(3, 1, 4, dtype=torch.float16)
    states[2, 0, 1] = float("nan")
    save_file({"states": states}, store / "shard-00001.safetensors")
    rehash(store, 1)


def test_nan_in_a_shard_is_found(store: Path) -> None:
    put_nan(store)
    assert verify_store(store).problems == ["shard-00001.safetensors: a number of row 2, tap 1, is not finite"]


@pytest.mark.parametrize("resident", [True, False])
def test_nan_does_not_reach_a_model(resident: bool, store: Path) -> None:
    put_nan(store)
    opened = HiddenStateStore.open(store)
    message = r"shard-00001\.safetensors, row 2 \(item 'i5'\): a number of tap 1 is not finite; make the store anew"
    with pytest.raises(UserError, match=message):
        CachedSource({"text": opened}, opened.item_ids, resident=resident).gather(torch.tensor([0, 5]))
    sound = CachedSource({"text": opened}, opened.item_ids[:5], resident=resident).gather(torch.tensor([0, 4]))
    assert sound["text"].stacked().isfinite().all()


def test_a_large_sum_is_no_infinity(tmp_path: Path) -> None:
    with StoreWriter(tmp_path, StoreSpec({"model": "m"}, "float32", (0,), 4)) as writer:
        writer.append(torch.full((2, 1, 4), 3e38), [IndexEntry(f"i{k}", f"h{k}", k) for k in range(2)])
    store = HiddenStateStore.open(tmp_path)
    for resident in (True, False):
        states = CachedSource({"text": store}, ["i0", "i1"], resident=resident).gather(torch.tensor([0, 1]))
        assert torch.equal(states["text"].taps[0], torch.full((2, 4), 3e38))
    assert verify_store(tmp_path).ok


def test_a_constant_tap_that_is_not_finite(store: Path) -> None:
    save_file({"constant": torch.tensor([[1.0, float("inf"), 1.0, 1.0]])}, store / "constant.safetensors")
    with pytest.raises(UserError, match=r"constant\.safetensors: the constant taps hold a number that is not finite"):
        HiddenStateStore.open(store)
    assert any("not finite" in problem for problem in verify_store(store).problems)


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00000.parquet", "constant.safetensors"])
def test_a_flipped_byte_is_found_when_states_are_loaded(name: str, store: Path) -> None:
    opened = HiddenStateStore.open(store)
    content = bytearray((store / name).read_bytes())
    content[-5] ^= 1
    (store / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"the store is damaged: {name}: its SHA-256 is .*`iisan states verify`"):
        CachedSource({"text": opened}, opened.item_ids, resident=True)


@pytest.mark.parametrize(
    ("ids", "rows", "message"),
    [(["a", "a"], [0, 1], "item 'a' occurs twice"), (["a", "b"], [0, 6], "row 6 does not exist")],
)
def test_wrong_index_entries_are_found(ids: list[str], rows: list[int], message: str, store: Path) -> None:
    table = pa.table({"item_id": ids, "content_hash": ["x", "y"], "row": pa.array(rows, pa.int64())})
    pq.write_table(table, store / "shard-00001.parquet")
    rehash(store, 1)
    assert [problem for problem in verify_store(store).problems if message in problem]


def test_a_folder_without_a_store(tmp_path: Path) -> None:
    for read in (HiddenStateStore.open, verify_store, describe_store):
        with pytest.raises(UserError, match="no hidden-state store here"):
            read(tmp_path / "none")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": "iisan-states", "version": 1}', "\xff"])
def test_a_damaged_manifest(content: str, store: Path) -> None:
    (store / "manifest.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match="manifest is damaged"):
        HiddenStateStore.open(store)


def test_a_newer_version_is_refused(store: Path) -> None:
    edit_manifest(store, version=2)
    with pytest.raises(UserError, match="version 2"):
        HiddenStateStore.open(store)


def test_a_manifest_cannot_point_outside(store: Path) -> None:
    shutil.copy(store / "constant.safetensors", store.parent / "constant.safetensors")
    edit_manifest(store, constant={"file": "../constant.safetensors", "sha256": "0" * 64})
    with pytest.raises(UserError, match="manifest is damaged"):
        HiddenStateStore.open(store)
