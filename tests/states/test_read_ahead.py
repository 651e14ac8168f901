"""Reading ahead changes when states are read and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from iisan.states import read_ahead, store
from iisan.states.cached_source import CachedSource
from iisan.states.index import IndexEntry
from iisan.states.same_store import StoreSpec
from iisan.states.sources import ReadsAhead
from iisan.states.store import HiddenStateStore
from iisan.states.writer import StoreWriter

N, SHARD, TAPS, WIDTH = 600, 250, 3, 512


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(N, TAPS, WIDTH, generator=torch.Generator().manual_seed(0)).half()


@pytest.fixture
def path(tmp_path: Path, states: torch.Tensor) -> Path:
    spec = StoreSpec({"model": "random"}, "float16", (0, 1, 2), WIDTH, (), torch.zeros(0, WIDTH))
    with StoreWriter(tmp_path / "store", spec) as writer:
        for rows in torch.split(torch.arange(N), SHARD):
            writer.append(states[rows], [IndexEntry(str(row), f"{row:064x}", row) for row in rows.tolist()])
    for file in (tmp_path / "store").iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    return tmp_path / "store"


def drop(path: Path) -> None:
    """Take the store out of the page cache; what is mapped and was touched stays there."""
    for file in path.iterdir():
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each request to read ahead was for."""
    rows: list[int] = []
    original = read_ahead.read_ahead

    def request(shard: np.ndarray, part: np.ndarray) -> None:
        rows.append(len(part))
        original(shard, part)

    monkeypatch.setattr(store, "read_ahead", request)
    return rows


def test_a_cold_store_is_read_ahead_and_gives_the_same_bits(path: Path, states: torch.Tensor, asked: list[int]) -> None:
    drop(path)
    opened = HiddenStateStore.open(path)
    wanted = torch.tensor([599, 3, 3, 250, 0, 249, 4])
    assert torch.equal(opened.gather(wanted), states[wanted])
    assert sum(asked) == len(wanted)


def test_a_store_in_memory_is_not_asked_for(path: Path, states: torch.Tensor, asked: list[int]) -> None:
    if not in_memory_is_known(path):
        pytest.skip("this file system does not say what is in memory")
    asked.clear()
    assert torch.equal(HiddenStateStore.open(path).gather(torch.arange(N)), states)
    assert asked == []


def test_what_is_expected_is_in_memory_when_it_is_gathered(path: Path, states: torch.Tensor) -> None:
    drop(path)
    opened = HiddenStateStore.open(path)
    source = CachedSource({"text": opened}, [*(str(row) for row in range(N)), "unknown"], resident=False)
    assert isinstance(source, ReadsAhead)
    rows = torch.tensor([7, 400, N])
    source.expect(rows)
    found = source.gather(rows)["text"]
    assert torch.equal(found.stacked()[:2], states[rows[:2]].float())
    assert found.available is not None
    assert found.available.tolist() == [True, True, False]


def test_nothing_to_expect_is_nothing_to_do(path: Path) -> None:
    HiddenStateStore.open(path).expect(torch.zeros(0, dtype=torch.long))


def test_a_shard_that_was_taken_away_is_still_read(path: Path, states: torch.Tensor) -> None:
    opened = HiddenStateStore.open(path)
    for file in path.glob("*.safetensors"):
        file.unlink()
    assert torch.equal(opened.gather(torch.arange(N)), states)


def test_a_system_without_such_requests_reads_all_the_same(
    path: Path, states: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fadvise")
    monkeypatch.delattr(os, "RWF_NOWAIT")
    assert torch.equal(HiddenStateStore.open(path).gather(torch.arange(N)), states)


def in_memory_is_known(path: Path) -> bool:
    opened = HiddenStateStore.open(path)
    opened.gather(torch.arange(N))
    return read_ahead.is_in_memory(opened._shards[0], 0)
