"""A store says what a dictionary would; an interruption leaves an item its old states or its new ones, never others."""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from iisan.encoders import EncoderConfig
from iisan.errors import UserError
from iisan.states import (
    HiddenStateStore,
    ImportedStates,
    StoreDtype,
    encode_items,
    import_states,
    open_states,
    verify_store,
)
from iisan.states import writer as writer_module

TAPS, WIDTH = (0, 2, 5), 3
CONTENTS = [None, " ", "red", "blue", "green", "grey", "pink", "teal"]
ITEMS = ["a", "b", "c", "d", "é", "f,f", ""]


def states_of(content: str) -> Tensor:
    """The states ``[T, D]`` of a content; the first tap is the same for all."""
    seed = int.from_bytes(hashlib.sha256(content.encode()).digest()[:4], "big")
    states = np.random.default_rng(seed).standard_normal((len(TAPS), WIDTH)).astype(np.float32)
    states[0] = 1 / 3
    return torch.from_numpy(states)


class HashEncoder:
    """An encoder without a model, which remembers what it was given."""

    def __init__(self, pooling: Any) -> None:
        self.config = EncoderConfig(model="hash", kind="text", pooling=pooling)
        self.identity: dict[str, Any] = {"model": "hash", "pooling": pooling}
        self.width, self.taps, self.n_states = WIDTH, TAPS, 6
        self.module, self.device = nn.Identity(), torch.device("cpu")
        self.seen: list[str] = []

    def encode(self, contents: Sequence[Any], on_batch: Callable[[int], None] | None = None) -> Tensor:
        self.seen += contents
        return torch.stack([states_of(content) for content in contents])

    def probe_contents(self) -> tuple[Any, Any]:
        return "one", "another"

    def prepare(self, contents: Sequence[Any]) -> dict[str, Tensor]:
        raise NotImplementedError

    def forward_taps(self, batch: dict[str, Tensor]) -> Tensor:
        raise NotImplementedError


class Died(BaseException):
    """What stands for a kill: nothing of the program catches it."""


@dataclass(frozen=True)
class Fault:
    step: int
    after: bool
    error: type[BaseException]


@contextmanager
def failing(fault: Fault | None) -> Iterator[None]:
    """Let the k-th operation on files fail, before or after it was done; flushes are left out, which take long."""
    counter = itertools.count()

    def wrapped(original: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*args: Any, **kwargs: Any) -> Any:
            now = fault is not None and next(counter) == fault.step
            if now and fault is not None and not fault.after:
                raise fault.error(28, "No space left on device")
            result = original(*args, **kwargs)
            if now and fault is not None:
                raise fault.error(28, "No space left on device")
            return result

        return operation

    with (
        patch.object(os, "fsync", wrapped(lambda descriptor: None)),
        patch.object(Path, "replace", wrapped(Path.replace)),
        patch.object(writer_module, "write_shard", wrapped(writer_module.write_shard)),
        patch.object(writer_module, "write_index", wrapped(writer_module.write_index)),
    ):
        yield


@dataclass(frozen=True)
class Run:
    """One call: the contents of some items, and what befalls it."""

    contents: dict[str, str | None]
    shard_rows: int
    fault: Fault | None


faults = st.builds(Fault, st.integers(0, 25), st.booleans(), st.sampled_from([OSError, Died]))
runs = st.builds(
    Run,
    # One item always has content: there are no files without states to import.
    st.dictionaries(st.sampled_from(ITEMS[1:]), st.sampled_from(CONTENTS)).map(
        lambda some: {ITEMS[0]: "black", **some}
    ),
    st.integers(1, 4),
    st.none() | faults,
)


def encode(run: Run, folder: Path, dtype: StoreDtype, encoder: HashEncoder) -> None:
    ids, contents = list(run.contents), list(run.contents.values())
    encode_items(encoder, ids, contents, folder / "store", dtype=dtype, shard_rows=run.shard_rows)


def bring(run: Run, folder: Path, dtype: StoreDtype, encoder: HashEncoder) -> None:
    """The same by importing what the encoder would give."""
    given = {item: content for item, content in run.contents.items() if content and content.strip()}
    np.save(folder / "states.npy", torch.stack([states_of(content) for content in given.values()]).numpy())
    import_states(
        open_states([folder / "states.npy"]),
        list(given),
        folder / "store",
        ImportedStates("hash", TAPS, dtype=dtype),
        without=[item for item in run.contents if item not in given],
        shard_rows=run.shard_rows,
    )


def after(expected: dict[str, str], run: Run) -> dict[str, str]:
    """What a dictionary would hold."""
    kept = {item: content for item, content in expected.items() if item not in run.contents}
    return kept | {item: content for item, content in run.contents.items() if content is not None and content.strip()}


def compare(folder: Path, expected: dict[str, str], dtype: StoreDtype, order: list[str]) -> None:
    store = HiddenStateStore.open(folder / "store")
    assert sorted(store.item_ids) == sorted(expected)
    assert store.rows_of([item for item in ITEMS if item not in expected]).max(initial=-1) == -1
    wanted = [item for item in order if item in expected]
    read = store.gather(store.rows_of(wanted))
    columns = [TAPS.index(tap) for tap in store.varying_taps]
    for k, item in enumerate(wanted):
        assert torch.equal(read[k], states_of(expected[item])[columns].to(store.dtype))
    assert str(store.dtype) == f"torch.{dtype}"
    for k, tap in enumerate(store.constant_taps):
        assert torch.equal(store.constant[k], states_of("any")[TAPS.index(tap)])
    report = verify_store(folder / "store")
    assert report.problems == []
    assert report.items == len(expected)


def observed(folder: Path, before: dict[str, str], wanted: dict[str, str], run: Run) -> dict[str, str]:
    """What an interrupted run left, each item's old or new content."""
    if not (folder / "store" / "manifest.json").exists():
        return before
    store = HiddenStateStore.open(folder / "store")
    columns = [TAPS.index(tap) for tap in store.varying_taps]
    found = {}
    for item in store.item_ids:
        state = store.gather(store.rows_of([item]))[0]
        choices = {content for said in (before, wanted) if (content := said.get(item)) is not None}
        match = [one for one in choices if torch.equal(state, states_of(one)[columns].to(store.dtype))]
        assert len(match) == 1, item
        found[item] = match[0]
    gone = {item for item in before if item not in found}
    assert gone <= {item for item in run.contents if item not in wanted}
    return found


WAYS = {"encode, first token": (encode, "first"), "encode, mean": (encode, "mean"), "import": (bring, "mean")}
# Of states that are all the same, or of one item's, an import cannot tell which taps are constant.
BASE = Run({ITEMS[0]: "black", "b": "blue"}, 4, None)


@settings(max_examples=60, deadline=None)
@given(
    sequence=st.lists(runs, min_size=1, max_size=7),
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
    way=st.sampled_from(sorted(WAYS)),
    order=st.lists(st.sampled_from(ITEMS), max_size=12),
)
def test_a_store_is_a_dictionary(sequence: list[Run], dtype: StoreDtype, way: str, order: list[str]) -> None:
    call, pooling = WAYS[way]
    expected: dict[str, str] = {}
    committed: set[str] = set()
    undisturbed = replace(sequence[-1], fault=None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for run in [BASE, *sequence, undisturbed]:
            encoder = HashEncoder(pooling)
            wanted = after(expected, run)
            fault = None
            try:
                with failing(run.fault):
                    call(run, folder, dtype, encoder)
            except (UserError, Died) as error:
                fault = error
            if fault is None:
                expected = wanted
                compare(folder, expected, dtype, order)
            else:
                event(type(fault).__name__)
                assert run.fault is not None
                assert isinstance(fault, Died) or "what was committed is safe" in str(fault)
                expected = observed(folder, expected, wanted, run)
            fresh = [content for content in encoder.seen if content not in encoder.probe_contents()]
            assert len(fresh) == len(set(fresh))
            assert not committed & set(fresh), "encoded twice"
            committed |= set(expected.values())


def test_every_single_fault_in_turn(tmp_path: Path) -> None:
    """A short story, disturbed at one operation after the other; each call is then made again and ends well."""
    story = [
        Run({"a": "red", "b": "blue", "c": "red"}, 1, None),
        Run({"a": "green", "b": None, "d": "blue"}, 1, None),
    ]
    faulted = 0
    for late, step in itertools.product((False, True), range(30)):
        folder = tmp_path / f"{late} {step}"
        folder.mkdir()
        expected: dict[str, str] = {}
        for run in story:
            wanted = after(expected, run)
            try:
                with failing(Fault(step, late, OSError)):
                    encode(run, folder, "float32", HashEncoder("first"))
            except UserError:
                faulted += 1
                expected = observed(folder, expected, wanted, run)
            with failing(None):
                encode(run, folder, "float32", HashEncoder("first"))
            expected = wanted
            compare(folder, expected, "float32", ITEMS)
    assert 60 < faulted < 120, "the last steps are beyond the end of a call"
