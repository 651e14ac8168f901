"""Bringing tensors to a CUDA device beside what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Done(Protocol):
    """Something on a device that will be over."""

    def synchronize(self) -> None:
        """Waits until it is."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """Tensors on their way.

    Attributes:
        tensors: Where they will be.
        done: When they are there, and their origin may be overwritten.
    """

    tensors: list[Tensor]
    done: Done


class Transfer(Protocol):
    """A way to a device."""

    def room(self, size: int) -> Tensor:
        """Room ``[size]`` uint8 from where tensors can be sent."""
        ...

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        """Sends tensors that are in such room, without waiting."""
        ...

    def receive(self, sent: Sent) -> list[Tensor]:
        """The tensors for use by what is computed from now on, without waiting."""
        ...


class PinnedTransfer:
    """From pinned memory by a stream of its own; the stream that computes waits for it, the host does not.

    Args:
        device: A CUDA device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def room(self, size: int) -> Tensor:
        """See :class:`Transfer`."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def send(self, tensors: Sequence[Tensor]) -> Sent:
        """See :class:`Transfer`."""
        with torch.cuda.stream(self._stream):
            there = [one.to(self._device, non_blocking=True) for one in tensors]
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(self._stream)
        return Sent(there, done)

    def receive(self, sent: Sent) -> list[Tensor]:
        """See :class:`Transfer`."""
        computing = torch.cuda.current_stream(self._device)
        if isinstance(sent.done, torch.cuda.Event):
            computing.wait_event(sent.done)
        for one in sent.tensors:  # else the allocator would give their memory to the next ones that are sent
            one.record_stream(computing)
        return sent.tensors
