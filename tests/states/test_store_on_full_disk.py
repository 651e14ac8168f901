"""Encoding and importing states onto a full disk: one line, what was committed stays, and the next run completes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from iisan.encoders import TextEncoder
from iisan.errors import UserError
from iisan.states import ImportedStates, encode_items, import_states, open_states, verify_store
from tests.full_disk import files_of_at_most, full_from
from tiny_encoders import texts

N = 6
SHARD_ROWS = 4
Fill = Callable[[Path], object]


@pytest.fixture(params=["encode", "import"])
def fill(request: pytest.FixtureRequest, text_encoder: Callable[..., TextEncoder], tmp_path: Path) -> Fill:
    """Brings a store with a constant tap and two shards up to date."""
    ids = [f"i{k}" for k in range(N)]
    if request.param == "encode":
        encoder, contents = text_encoder(pooling="first"), texts(N)
        return lambda store: encode_items(encoder, ids, contents, store, shard_rows=SHARD_ROWS)
    states = np.random.default_rng(0).standard_normal((N, 3, 16)).astype(np.float32)
    states[:, 0] = 1
    np.save(tmp_path / "states.npy", states)
    return lambda store: import_states(
        open_states([tmp_path / "states.npy"]), ids, store, ImportedStates("x"), shard_rows=SHARD_ROWS
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def check_sound(store: Path) -> int:
    """Gives the number of items that were committed."""
    assert not list(store.glob(".*.tmp"))
    if not (store / "manifest.json").exists():
        return 0
    report = verify_store(store)
    assert report.problems == []
    assert report.items in (0, SHARD_ROWS, N)
    return report.items


def line(store: Path, reason: str) -> str:
    return f"{store}: the store cannot be written ({reason}); make room there; what was committed is safe"


def test_full_at_every_call_in_turn(fill: Fill, tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    expected = bytes_of(tmp_path / "whole")
    committed = []
    for step in itertools.count():
        store = tmp_path / f"{step}" / "store"
        said = ""
        with full_from(step) as failed:
            try:
                fill(store)
            except UserError as error:
                said = str(error)
        if not failed:
            break
        assert said == line(store, "No space left on device")
        committed.append(check_sound(store))
        fill(store)
        assert bytes_of(store) == expected
    assert len(committed) > 20
    assert sorted(committed) == committed
    assert set(committed) == {0, SHARD_ROWS, N}


def test_files_that_cannot_grow(fill: Fill, tmp_path: Path) -> None:
    fill(tmp_path / "whole")
    expected = bytes_of(tmp_path / "whole")
    sizes = sorted({len(content) for content in expected.values()})
    for size in sizes[1:]:
        store = tmp_path / f"{size}"
        with files_of_at_most(size - 1), pytest.raises(UserError) as raised:
            fill(store)
        assert str(raised.value) == line(store, "File too large")
        check_sound(store)
        fill(store)
        assert bytes_of(store) == expected
