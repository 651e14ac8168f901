"""Copies between host and device that run beside the device's computations."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from iisan.encoders.encoder import Batch


class Arriving(Protocol):
    """A batch on its way to the device."""

    def batch(self) -> Batch:
        """The batch; what is computed from now on waits for it, the host does not."""
        ...


class Leaving(Protocol):
    """States on their way to the host."""

    def states(self) -> Tensor:
        """The states, once they are there; the host waits."""
        ...


class DeviceCopies(Protocol):
    """Starts copies and does not wait for them."""

    def send(self, batch: Batch) -> Arriving:
        """Starts to copy a batch to the device."""
        ...

    def fetch(self, states: Tensor) -> Leaving:
        """Starts to copy states to the host, after what they are computed by."""
        ...


class CudaCopies:
    """Copies of a CUDA device: batches by a stream of their own, states behind the computation.

    Args:
        device: The device.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sending = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def send(self, batch: Batch) -> Arriving:
        """Starts to copy a batch; what is not pinned is copied to pinned memory first."""
        with torch.cuda.stream(self._sending):
            pinned = {name: tensor if tensor.is_pinned() else tensor.pin_memory() for name, tensor in batch.items()}
            moved = {name: tensor.to(self._device, non_blocking=True) for name, tensor in pinned.items()}
        return _Sent(moved, self._sending.record_event(), self._device)

    def fetch(self, states: Tensor) -> Leaving:
        """Starts to copy states."""
        host = torch.empty(states.shape, dtype=states.dtype, pin_memory=True)
        host.copy_(states, non_blocking=True)
        return _Fetched(host, torch.cuda.current_stream(self._device).record_event())


class _Sent:
    def __init__(self, batch: Batch, sent: torch.cuda.Event, device: torch.device) -> None:
        self._batch = batch
        self._sent = sent
        self._device = device

    def batch(self) -> Batch:
        computing = torch.cuda.current_stream(self._device)
        computing.wait_event(self._sent)
        for tensor in self._batch.values():
            # Else its memory could be given to the next batch while this one is read.
            tensor.record_stream(computing)
        return self._batch


class _Fetched:
    def __init__(self, host: Tensor, fetched: torch.cuda.Event) -> None:
        self._host = host
        self._fetched = fetched

    def states(self) -> Tensor:
        self._fetched.synchronize()
        return self._host
