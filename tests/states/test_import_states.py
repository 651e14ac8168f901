"""States computed elsewhere come into a store as they are, or the run stops with the place at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from iisan.encoders import TextEncoder
from iisan.errors import UserError
from iisan.states import (
    HiddenStateStore,
    ImportedStates,
    ImportReport,
    describe_store,
    encode_items,
    import_states,
    open_states,
    verify_store,
)

ABOUT = ImportedStates("clap", dtype="float32")
Array = npt.NDArray[Any]


def random_states(n: int, n_taps: int = 2, width: int = 3, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, n_taps, width)).astype(np.float32)


def bring(folder: Path, states: Array, ids: list[str], about: ImportedStates = ABOUT, **options: Any) -> ImportReport:
    np.save(folder / "states.npy", states)
    return import_states(open_states([folder / "states.npy"]), ids, folder / "store", about, **options)


def read(folder: Path, ids: list[str]) -> torch.Tensor:
    store = HiddenStateStore.open(folder / "store")
    return store.gather(store.rows_of(ids))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_store_says_what_made_it(tmp_path: Path) -> None:
    bring(tmp_path, random_states(2), ["a", "b"], ImportedStates("clap", (3, 7), "mean", "bfloat16"))
    description = describe_store(tmp_path / "store")
    assert (description.taps, description.dtype, description.imported) == ([3, 7], "bfloat16", True)
    identity = {"name": "clap", "imported": True, "pooling": "mean", "taps": [3, 7], "width": 3}
    assert description.encoder == identity
    assert verify_store(tmp_path / "store").imported == "clap"


def test_constant_taps_are_found_and_stored_once(tmp_path: Path) -> None:
    states = random_states(5, n_taps=3)
    states[:, 1] = [1 / 3, -2, 0]
    about = ImportedStates("clap", dtype="float16")
    assert bring(tmp_path, states, list("abcde"), about).constant_taps == (1,)
    store = HiddenStateStore.open(tmp_path / "store")
    assert (store.constant_taps, store.varying_taps) == ([1], [0, 2])
    assert torch.equal(store.constant, torch.from_numpy(states[:1, 1]))  # kept as they came, as an encoder's are
    # More rows with the same constant are taken; with another one they are not.
    more = np.concatenate([states, random_states(2, n_taps=3, seed=1)])
    more[5:, 1] = states[0, 1]
    assert bring(tmp_path, more, list("abcdefg"), about).imported == 2
    more[6, 1, 0] = np.nextafter(more[6, 1, 0], 1)
    with pytest.raises(
        UserError, match=r"states\.npy, row 6 \(from 0\), item 'g', tap 1: the tap is one vector for every item"
    ):
        bring(tmp_path, more, list("abcdefg"), about)


def test_of_one_row_no_tap_is_called_constant(tmp_path: Path) -> None:
    assert bring(tmp_path, random_states(1), ["a"]).constant_taps == ()
    assert bring(tmp_path, random_states(3), ["a", "b", "c"]).constant_taps == ()


def test_states_that_tell_nothing_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="all states are the same"):
        bring(tmp_path, np.ones((4, 2, 3), np.float32), list("abcd"))
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "float32", "a number is not finite"),
        (-np.inf, "float16", "a number is not finite"),
        (70_000, "float16", "a number is too large for float16; store the states as bfloat16 or float32"),
        (3.4e38, "bfloat16", "a number is too large for bfloat16"),
    ],
)
def test_numbers_that_cannot_be_stored(value: float, dtype: Any, message: str, tmp_path: Path) -> None:
    states = random_states(3000)
    states[2048, 1, 2] = value
    ids = [f"i{k}" for k in range(3000)]
    with pytest.raises(UserError, match=rf"states\.npy, row 2048 \(from 0\), item 'i2048', tap 9: {message}"):
        bring(tmp_path, states, ids, ImportedStates("clap", (4, 9), dtype=dtype), shard_rows=100)
    assert not (tmp_path / "store").exists()
    # Rows that are left out are not looked at.
    kept = [item for item in ids if item != "i2048"]
    bring(tmp_path, states, ids, ImportedStates("clap", dtype=dtype), catalogue=kept, on_unknown="skip")


def test_a_double_that_overflows_a_float(tmp_path: Path) -> None:
    states = random_states(2).astype(np.float64)
    states[1, 0, 0] = 1e300
    with pytest.raises(UserError, match=r"row 1 \(from 0\), item 'b', tap 0: a number is too large for float32"):
        bring(tmp_path, states, ["a", "b"], ImportedStates("clap"))


def test_ids_that_are_unknown_missing_or_repeated(tmp_path: Path) -> None:
    states = random_states(3)
    with pytest.raises(UserError, match=r"row 2 \(from 0\): item 'a' has states already, in .*row 0"):
        bring(tmp_path, states, ["a", "b", "a"])
    with pytest.raises(
        UserError,
        match=r"2 ids are of no item of the catalogue, or of one without such content: 'x', 'y'.*--on-unknown skip",
    ):
        bring(tmp_path, states, ["a", "x", "y"], catalogue=["a"])
    with pytest.raises(UserError, match=r"5 items have no states: 'd', 'e', 'f', ….*--on-missing skip"):
        bring(tmp_path, states, ["a", "b", "c"], catalogue=list("abcdefgh"))
    with pytest.raises(UserError, match="no state is of an item that may have one"):
        bring(tmp_path, states, ["x", "y", "z"], catalogue=["a"], on_unknown="skip", on_missing="skip")
    with pytest.raises(ValueError, match="3 rows of states, but 2 item ids"):
        bring(tmp_path, states, ["a", "b"])
    assert not (tmp_path / "store").exists()
    report = bring(tmp_path, states, ["a", "x", "b"], catalogue=list("abc"), on_unknown="skip", on_missing="skip")
    assert (report.imported, report.unknown, report.missing) == (2, 1, 1)
    assert HiddenStateStore.open(tmp_path / "store").item_ids == ["a", "b"]
    # What is in the store already is not missing.
    assert bring(tmp_path, states[:1] + 1, ["c"], catalogue=list("abc")).imported == 1


@pytest.mark.parametrize(
    ("taps", "message"),
    [((1,), "1 layer numbers for 2 taps"), ((2, 1), "do not increase"), ((-1, 1), "do not increase")],
)
def test_bad_layer_numbers(taps: tuple[int, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        bring(tmp_path, random_states(2), ["a", "b"], ImportedStates("clap", taps))


def test_nothing_is_written_twice_and_changed_states_are_noticed(tmp_path: Path) -> None:
    states = random_states(4)
    states[3] = states[0]  # the same states of two items are one row
    ids = list("abcd")
    first = bring(tmp_path, states, ids)
    assert (first.imported, first.reused) == (3, 1)
    before = bytes_of(tmp_path / "store")
    again = bring(tmp_path, states, ids)
    assert (again.imported, again.reused, again.replaced) == (0, 4, 0)
    assert bytes_of(tmp_path / "store") == before
    states[1, 0, 0] += 1
    changed = bring(tmp_path, states, ids)
    assert (changed.imported, changed.reused, changed.replaced) == (1, 3, 1)
    assert torch.equal(read(tmp_path, ids), torch.from_numpy(states))
    assert describe_store(tmp_path / "store").dead_rows == 1
    # Files may bring a part; the rest stays, but for items that must have no states any more.
    part = bring(tmp_path, states[2:3] * 2, ["c"], without=["a", "never there"])
    assert (part.imported, part.replaced, part.removed) == (1, 1, 1)
    assert sorted(HiddenStateStore.open(tmp_path / "store").item_ids) == ["b", "c", "d"]
    assert torch.equal(read(tmp_path, ["d", "c"]), torch.from_numpy(np.stack([states[3], states[2] * 2])))
    assert verify_store(tmp_path / "store").ok


def test_a_store_keeps_its_taps_and_dtype(tmp_path: Path) -> None:
    states = random_states(3)
    bring(tmp_path, states, list("abc"), ImportedStates("clap", (2, 5), dtype="float16"))
    report = bring(tmp_path, states, list("abc"), ImportedStates("clap"))
    assert (report.imported, report.reused) == (0, 3)


@pytest.mark.parametrize(
    ("about", "message"),
    [
        (ImportedStates("mert"), "encoder name is clap in the store and mert now"),
        (ImportedStates("clap", pooling="last"), "encoder pooling is None in the store and last now"),
        (ImportedStates("clap", (1, 2)), "taps is"),
        (ImportedStates("clap", dtype="float16"), "dtype is float32 in the store and float16 now"),
    ],
)
def test_states_of_something_else_are_refused(about: ImportedStates, message: str, tmp_path: Path) -> None:
    bring(tmp_path, random_states(2), ["a", "b"])
    before = bytes_of(tmp_path / "store")
    with pytest.raises(UserError, match=message):
        bring(tmp_path, random_states(2), ["c", "d"], about)
    with pytest.raises(UserError, match="width is 3 in the store and 4 now"):
        bring(tmp_path, random_states(2, width=4), ["c", "d"])
    assert bytes_of(tmp_path / "store") == before


def test_imported_and_encoded_states_do_not_mix(text_encoder: Callable[..., TextEncoder], tmp_path: Path) -> None:
    encoder = text_encoder()
    bring(tmp_path, random_states(2), ["a", "b"])
    with pytest.raises(UserError, match=r"the store holds states that were imported \(of 'clap'\)"):
        encode_items(encoder, ["a"], ["red toy"], tmp_path / "store")
    encode_items(encoder, ["a"], ["red toy"], tmp_path / "encoded" / "store")
    with pytest.raises(UserError, match="the store holds states that an encoder made here"):
        bring(tmp_path / "encoded", random_states(2), ["a", "b"])


class Killed(BaseException):
    pass


def test_an_interrupted_import_is_unfinished_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    states, ids = random_states(10), [f"i{k}" for k in range(10)]
    bring(tmp_path / "whole", states, ids, shard_rows=3)

    def kill(done: int, total: int, label: str) -> None:
        if label == "import" and done > 6:
            raise Killed

    with pytest.raises(Killed):
        bring(tmp_path, states, ids, shard_rows=3, progress=kill)
    report = verify_store(tmp_path / "store")
    assert (report.ok, report.unfinished, report.items) == (True, True, 6)
    assert describe_store(tmp_path / "store").unfinished
    seen: list[tuple[int, int, str]] = []
    after = bring(tmp_path, states, ids, shard_rows=3, progress=lambda *step: seen.append(step))
    assert (after.imported, after.reused) == (4, 6)
    assert seen == [(10, 10, "check"), (3, 4, "import"), (4, 4, "import")]
    assert bytes_of(tmp_path / "store") == bytes_of(tmp_path / "whole" / "store")


def test_an_unfinished_store_is_finished_by_a_run_that_brings_nothing_new(tmp_path: Path) -> None:
    states, ids = random_states(4), list("abcd")

    def kill(done: int, total: int, label: str) -> None:
        if label == "import" and done > 2:
            raise Killed

    with pytest.raises(Killed):
        bring(tmp_path, states, ids, shard_rows=2, progress=kill)
    bring(tmp_path, states[:2], ids[:2])
    report = verify_store(tmp_path / "store")
    assert (report.ok, report.unfinished, report.items) == (True, False, 2)
