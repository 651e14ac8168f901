"""A stream of prepared batches through a model, and what comes out, put together again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from iisan.encoders.device_copies import Arriving, CudaCopies, DeviceCopies, Leaving
from iisan.encoders.encoder import Batch

# A batch, and the places of its members among the contents of their part.
Placed = tuple[Sequence[int], Batch]
Forward = Callable[[Batch], Tensor]


def encoded_parts(
    sizes: Iterable[int],
    passes: Iterator[tuple[Sequence[int], Tensor]],
    shape: tuple[int, int],
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[Tensor]:
    """Puts the states of each part together.

    Args:
        sizes: Contents of each part.
        passes: Places in their part and states ``[n, T, D]`` of batch after batch; none spans two parts.
        shape: ``T`` and ``D``.
        on_batch: Called after each batch with its size.

    Yields:
        For each part ``[size, T, D]``, fp32, on the CPU.
    """
    for size in sizes:
        out = torch.empty(size, *shape)
        missing = size
        while missing:
            places, states = next(passes)
            out[places] = states
            missing -= len(places)
            if on_batch is not None:
                on_batch(len(places))
        yield out


def forward_passes(
    batches: Iterable[Placed], forward: Forward, device: torch.device
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """Passes batches through a model without gradients.

    On CUDA the next batch is copied to the device while one is worked on, and the host waits for the states of a batch
    only once the next one is on its way; batches of the host are best pinned.

    Args:
        batches: On the CPU.
        forward: Gives the states ``[n, T, D]`` on the device.
        device: Of the model.

    Yields:
        The places of each batch and its states, fp32, on the CPU.
    """
    if device.type == "cuda":
        yield from overlapped(batches, forward, CudaCopies(device))
        return
    for places, batch in batches:
        yield places, _states(forward, batch).cpu()


def overlapped(
    batches: Iterable[Placed], forward: Forward, copies: DeviceCopies
) -> Iterator[tuple[Sequence[int], Tensor]]:
    """:func:`forward_passes` with copies beside the computation."""
    leaving: deque[tuple[Sequence[int], Leaving]] = deque()
    for places, arriving in _one_ahead(batches, copies):
        leaving.append((places, copies.fetch(_states(forward, arriving.batch()))))
        if len(leaving) > 1:
            yield _landed(leaving.popleft())
    while leaving:
        yield _landed(leaving.popleft())


def _one_ahead(batches: Iterable[Placed], copies: DeviceCopies) -> Iterator[tuple[Sequence[int], Arriving]]:
    before: tuple[Sequence[int], Arriving] | None = None
    for places, batch in batches:
        sent = (places, copies.send(batch))
        if before is not None:
            yield before
        before = sent
    if before is not None:
        yield before


def _landed(one: tuple[Sequence[int], Leaving]) -> tuple[Sequence[int], Tensor]:
    places, leaving = one
    return places, leaving.states()


def _states(forward: Forward, batch: Batch) -> Tensor:
    with torch.inference_mode():
        return forward(batch).float()
