"""States fetched by a thread are those of the source, come when they are due, and are never overwritten on their way.

The device is played by a transfer that takes its time: what it was given is read when its work is waited for, or late.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.models.whitened_source import WhitenedSource
from iisan.states.pinned_transfer import Sent
from iisan.states.prefetched_source import BUFFERS, PrefetchedSource, one_ahead, states_on
from iisan.states.sources import ItemStates, ModalityShape, ReadsAhead, is_resident, prefetching
from tests.random_source import RandomSource

N = 60


class Late:
    """A copy that happens when somebody waits for it."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.origins = tensors
        self.there = [torch.full_like(one, 1) for one in tensors]
        self.waited = False

    def synchronize(self) -> None:
        if not self.waited:
            for there, origin in zip(self.there, self.origins, strict=True):
                there.copy_(origin)
        self.waited = True


class LateTransfer:
    def __init__(self) -> None:
        self.rooms: list[int] = []
        self.copies: list[Late] = []

    def room(self, size: int) -> Tensor:
        self.rooms.append(size)
        return torch.full((size,), 255, dtype=torch.uint8)

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        self.copies.append(Late(tensors))
        return Sent(self.copies[-1].there, self.copies[-1])

    def receive(self, sent: Sent) -> list[Tensor]:
        return sent.tensors


class Recorder:
    """A source that notes what it is asked for, and by which thread; it may be held up."""

    def __init__(self) -> None:
        self.inner = RandomSource(
            {"image": (2, 6), "text": (3, 8)}, N, missing={"image": [4, 9]}, constant={"text": [0]}, seed=1
        )
        self.modalities, self.n_items = self.inner.modalities, N
        self.asked: list[list[int]] = []
        self.threads: set[threading.Thread] = set()
        self.go_on = threading.Event()
        self.go_on.set()

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        assert self.go_on.wait(10)
        self.threads.add(threading.current_thread())
        self.asked.append(rows.tolist())
        if 13 in rows:
            raise UserError("row 13 is damaged")
        return self.inner.gather(rows)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def source(recorder: Recorder) -> Iterator[PrefetchedSource]:
    prefetched = PrefetchedSource(recorder, LateTransfer())
    yield prefetched
    recorder.go_on.set()
    prefetched.forget()


def transfer(source: PrefetchedSource) -> LateTransfer:
    assert isinstance(source._transfer, LateTransfer)
    return source._transfer


def assert_states(found: dict[str, ItemStates], rows: list[int], source: PrefetchedSource) -> None:
    for copy in transfer(source).copies:
        copy.synchronize()
    expected = RandomSource.gather(source._source.inner, torch.tensor(rows))  # type: ignore[attr-defined]
    assert found.keys() == expected.keys()
    for name, states in expected.items():
        assert [tap.tolist() for tap in found[name].taps] == [tap.tolist() for tap in states.taps]
        ours, theirs = found[name].available, states.available
        assert (ours is None) == (theirs is None)
        assert ours is None or theirs is None or torch.equal(ours, theirs)


def test_what_is_expected_is_fetched_by_another_thread_before_it_is_asked_for(
    source: PrefetchedSource, recorder: Recorder
) -> None:
    rows = torch.tensor([4, 7, 7, 59])
    source.expect(rows)
    source._expected[0][1].result()
    assert recorder.asked == [rows.tolist()]
    assert_states(source.gather(rows), rows.tolist(), source)
    assert recorder.asked == [rows.tolist()]
    assert threading.current_thread() not in recorder.threads


def test_an_expectation_does_not_wait(source: PrefetchedSource, recorder: Recorder) -> None:
    recorder.go_on.clear()
    source.expect(torch.tensor([1]))
    source.expect(torch.tensor([2]))
    assert recorder.asked == []
    recorder.go_on.set()
    source.gather(torch.tensor([1]))


def test_nothing_is_overwritten_before_it_was_sent(source: PrefetchedSource) -> None:
    """Copies happen only when a buffer is wanted again, or at the end; each has its own rows' states all the same."""
    parts = [torch.arange(start, start + 1 + start % 7) for start in range(14, 50, 5)]
    found = []
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        if following is not None:
            source.expect(following)
        found.append(source.gather(part))
    assert sum(copy.waited for copy in transfer(source).copies) == len(parts) - BUFFERS
    for states, part in zip(found, parts, strict=True):
        assert_states(states, part.tolist(), source)


def test_buffers_are_used_again(source: PrefetchedSource) -> None:
    for start in range(20, 40):
        source.gather(torch.arange(start, start + 5))
    assert len(transfer(source).rooms) == BUFFERS
    source.gather(torch.arange(14, 40))
    assert len(transfer(source).rooms) == BUFFERS + 1


def test_what_is_not_as_expected_is_fetched_anew(source: PrefetchedSource, recorder: Recorder) -> None:
    source.expect(torch.tensor([1, 2]))
    assert_states(source.gather(torch.tensor([2, 1])), [2, 1], source)
    assert_states(source.gather(torch.tensor([1, 2])), [1, 2], source)
    assert recorder.asked == [[1, 2], [2, 1]]


def test_unmet_expectations_do_not_pile_up(source: PrefetchedSource) -> None:
    for row in range(20, 30):
        source.expect(torch.tensor([row]))
    assert [rows.tolist() for rows, _ in source._expected] == [[28], [29]]


def test_an_error_comes_as_it_is_when_its_rows_are_asked_for(source: PrefetchedSource) -> None:
    source.expect(torch.tensor([12, 13]))
    source.expect(torch.tensor([14]))
    with pytest.raises(UserError, match="row 13 is damaged"):
        source.gather(torch.tensor([12, 13]))
    assert_states(source.gather(torch.tensor([14])), [14], source)


def test_forgetting_ends_the_thread_and_what_it_had_to_do(source: PrefetchedSource, recorder: Recorder) -> None:
    recorder.go_on.clear()
    source.expect(torch.tensor([1]))
    source.expect(torch.tensor([2]))
    timer = threading.Timer(0.1, recorder.go_on.set)
    timer.start()
    source.forget()
    assert recorder.asked in ([], [[1]])
    assert not any(thread.name.startswith("prefetch") and thread.is_alive() for thread in recorder.threads)
    assert_states(source.gather(torch.tensor([3])), [3], source)  # and it may begin anew


def test_parts_are_expected_one_ahead_and_forgotten_in_the_end(source: PrefetchedSource, recorder: Recorder) -> None:
    parts = torch.split(torch.arange(14, 45), 10)
    for part in one_ahead(source, parts):
        assert_states(source.gather(part), part.tolist(), source)
    assert recorder.asked == [part.tolist() for part in parts]
    assert source._thread is None
    with pytest.raises(KeyboardInterrupt):
        interrupted(source, parts)
    assert source._thread is None


def interrupted(source: PrefetchedSource, parts: Sequence[Tensor]) -> None:
    ahead = one_ahead(source, parts)
    source.gather(next(ahead))
    ahead.throw(KeyboardInterrupt())


def test_a_source_that_does_not_prefetch_is_asked_for_parts_as_they_are(recorder: Recorder) -> None:
    parts = [torch.tensor([1]), torch.tensor([2])]
    assert [part.tolist() for part in one_ahead(recorder, parts)] == [[1], [2]]
    assert recorder.asked == []


def test_a_whitened_source_passes_expectations_on(source: PrefetchedSource, recorder: Recorder) -> None:
    whitened = WhitenedSource(source, {}, budget=0)
    assert prefetching(whitened) is whitened
    assert not is_resident(whitened)
    whitened.expect(torch.tensor([3]))
    assert_states(whitened.gather(torch.tensor([3])), [3], source)
    assert len(recorder.asked) == 1
    whitened.forget()
    assert source._thread is None
    assert prefetching(WhitenedSource(recorder, {}, budget=0)) is None
    assert prefetching(WhitenedSource(PrefetchedSource(recorder.inner, LateTransfer()), {})) is None  # all is kept


def test_it_is_a_source_that_reads_ahead(source: PrefetchedSource) -> None:
    assert isinstance(source, ReadsAhead)
    assert source.modalities == {"image": ModalityShape(2, 6), "text": ModalityShape(3, 8)}
    assert source.n_items == N


def test_on_a_cpu_states_come_from_the_stores_themselves() -> None:
    source: Any = states_on({}, ["a"], torch.device("cpu"))
    assert prefetching(source) is None
