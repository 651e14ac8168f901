"""A source on a disk whose states are fetched and brought to a device while it computes something else."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.states.cached_source import CachedSource
from iisan.states.pinned_transfer import Done, PinnedTransfer, Sent, Transfer
from iisan.states.sources import ItemStates, ModalityShape, StateSource, prefetching
from iisan.states.store import HiddenStateStore

# Buffers that states pass through: one is filled while another is sent.
BUFFERS = 2
# Gathers that may be expected at once: that of this step and that of the next.
EXPECTED = 2
# Tensors begin at multiples of this in a buffer.
ALIGNMENT = 64


class PrefetchedSource:
    """States of another source, on a device.

    What is expected is fetched by a thread, in the order in which it was expected. What is asked for without having
    been expected is fetched by the same thread, and waited for. An error of the other source is raised by `gather`.

    Args:
        source: Gives states on the CPU.
        transfer: Brings them to where they are wanted.
    """

    resident = False
    prefetches = True

    def __init__(self, source: StateSource, transfer: Transfer) -> None:
        self._source = source
        self._transfer = transfer
        self._expected: deque[tuple[Tensor, Future[_Fetched]]] = deque()
        self._buffers: deque[_Buffer] = deque()
        self._thread: ThreadPoolExecutor | None = None

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """The modalities served."""
        return self._source.modalities

    @property
    def n_items(self) -> int:
        """``N``, the size of the catalogue."""
        return self._source.n_items

    def expect(self, rows: Tensor) -> None:
        """Begins to fetch states; of more than two expectations the oldest is given up."""
        while len(self._expected) >= EXPECTED:
            self._expected.popleft()[1].cancel()
        self._expected.append((rows, self._begun(rows)))

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of catalogue `rows` ``[n]``; on the device, rows that are on the CPU cost it no wait."""
        rows = rows.cpu()
        fetched = (self._taken(rows) or self._begun(rows)).result()
        return fetched.unpacked(self._transfer.receive(fetched.sent))

    def forget(self) -> None:
        """Ends the thread and lets go of the buffers and of what is expected."""
        self._expected.clear()
        if self._thread is not None:
            self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = None
        for buffer in self._buffers:
            buffer.wait()
        self._buffers.clear()

    def _begun(self, rows: Tensor) -> Future[_Fetched]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch")
        return self._thread.submit(self._fetch, rows)

    def _taken(self, rows: Tensor) -> Future[_Fetched] | None:
        """What was begun for some rows; older expectations have not been met and are given up."""
        if not any(torch.equal(rows, expected) for expected, _ in self._expected):
            return None
        while True:
            expected, future = self._expected.popleft()
            if torch.equal(rows, expected):
                return future
            future.cancel()

    def _fetch(self, rows: Tensor) -> _Fetched:
        states = self._source.gather(rows)
        buffer = self._buffers.popleft() if len(self._buffers) == BUFFERS else _Buffer(self._transfer)
        self._buffers.append(buffer)
        tensors = [one for state in states.values() for one in _tensors(state)]
        return _Fetched(_forms(states), buffer.send(tensors))


@dataclass(frozen=True, slots=True)
class _Form:
    """What states of a modality are made of, apart from numbers."""

    n_taps: int
    has_available: bool
    whitened: bool


@dataclass(frozen=True, slots=True)
class _Fetched:
    forms: dict[str, _Form]
    sent: Sent

    def unpacked(self, tensors: Sequence[Tensor]) -> dict[str, ItemStates]:
        left, states = iter(tensors), {}
        for name, form in self.forms.items():
            taps = [next(left) for _ in range(form.n_taps)]
            states[name] = ItemStates(taps, next(left) if form.has_available else None, form.whitened)
        return states


def _forms(states: dict[str, ItemStates]) -> dict[str, _Form]:
    return {name: _Form(len(state.taps), state.available is not None, state.whitened) for name, state in states.items()}


def _tensors(state: ItemStates) -> list[Tensor]:
    return [*state.taps, *([] if state.available is None else [state.available])]


class _Buffer:
    """Room that grows to what passes through it, and is not overwritten before that was sent."""

    def __init__(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._room: Tensor | None = None  # [bytes]
        self._sent: Done | None = None

    def wait(self) -> None:
        """Waits until what passes through has been sent."""
        if self._sent is not None:
            self._sent.synchronize()
            self._sent = None

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        self.wait()
        sizes = [math.ceil(one.nbytes / ALIGNMENT) * ALIGNMENT for one in tensors]
        if self._room is None or len(self._room) < sum(sizes):
            self._room = self._transfer.room(sum(sizes))
        rooms = torch.split(self._room[: sum(sizes)], sizes)
        held = [_copied(one, room) for one, room in zip(tensors, rooms, strict=True)]
        sent = self._transfer.send(held)
        self._sent = sent.done
        return sent


def _copied(values: Tensor, room: Tensor) -> Tensor:
    return room[: values.nbytes].view(values.dtype).view(values.shape).copy_(values)


def states_on(
    stores: dict[str, HiddenStateStore], item_ids: Sequence[str], device: torch.device
) -> CachedSource | PrefetchedSource:
    """The stored states of a catalogue for a device: on it where they fit a budget, else fetched as they are wanted.

    Args:
        stores: By modality.
        item_ids: The catalogue.
        device: Where they are wanted.

    Raises:
        UserError: As of `CachedSource`.
    """
    source = CachedSource(stores, item_ids, device=device)
    if source.resident or device.type != "cuda":
        return source
    return PrefetchedSource(CachedSource(stores, item_ids, resident=False), PinnedTransfer(device))


def one_ahead(source: StateSource, parts: Sequence[Tensor]) -> Generator[Tensor, None, None]:
    """Yields parts that a source is to be asked for, each when the one after it is expected.

    Where a source does not prefetch, this does nothing else.

    Args:
        source: States by row.
        parts: Rows ``[n]`` each, on the CPU.
    """
    fetching = prefetching(source)
    if fetching is None:
        yield from parts
        return
    try:
        for number, part in enumerate(parts):
            for coming in parts[number if number == 0 else number + 1 : number + 2]:
                fetching.expect(coming)
            yield part
    finally:
        fetching.forget()
