"""What models train from: hidden states by catalogue row, whoever provides them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ModalityShape:
    """What a model must know of a modality before it sees a batch.

    Attributes:
        n_taps: ``T``, the number of tapped hidden states, constant ones included.
        width: ``D``, the hidden width of the encoder.
    """

    n_taps: int
    width: int


@dataclass(slots=True)
class ItemStates:
    """The hidden states of ``n`` items in one modality.

    Attributes:
        taps: ``T`` tensors in tap order, fp32; each ``[n, D]``, or ``[1, D]`` where the tap is one vector for every
            item (broadcast it). Rows of items that lack the modality are zero in the ``[n, D]`` ones.
        available: ``[n]`` bool, False where the item lacks the modality; ``None`` when all of them have it.
        whitened: True once a model's whitening has been applied, so that it is not applied twice.
    """

    taps: list[Tensor]
    available: Tensor | None = None
    whitened: bool = False

    @property
    def n_items(self) -> int:
        """How many items these are; 1 if every tap is constant and availability is not given."""
        if self.available is not None:
            return int(self.available.shape[0])
        return max((tap.shape[0] for tap in self.taps), default=0)

    def stacked(self) -> Tensor:
        """All taps as one tensor ``[n, T, D]``, constant taps expanded."""
        n = self.n_items
        return torch.stack([tap.expand(n, -1) for tap in self.taps], dim=1)

    def to(self, device: torch.device | str) -> ItemStates:
        """A copy on `device`."""
        available = None if self.available is None else self.available.to(device)
        return replace(self, taps=[tap.to(device) for tap in self.taps], available=available)


@runtime_checkable
class StateSource(Protocol):
    """Gives hidden states for catalogue rows, from disk, from memory or from a live encoder."""

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """The modalities served, in a fixed order."""
        ...

    @property
    def n_items(self) -> int:
        """``N``, the size of the catalogue."""
        ...

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items.

        Args:
            rows: ``[n]`` int64 catalogue rows, ``0..N-1``, repeats allowed, on any device.

        Returns:
            For each modality the states, in the order of `rows`, fp32 on the source's device.
        """
        ...


@runtime_checkable
class ReadsAhead(Protocol):
    """A source that is faster when it is told beforehand what it will be asked for."""

    def expect(self, rows: Tensor) -> None:
        """Begins to fetch states without waiting for them.

        Args:
            rows: ``[n]`` int64 catalogue rows that `gather` will be asked for soon.
        """
        ...


@runtime_checkable
class Prefetches(ReadsAhead, Protocol):
    """A source that has a thread fetch what is expected, and asks the device nothing if rows come on the CPU."""

    @property
    def prefetches(self) -> bool:
        """Whether it does; one in front of another source may not."""
        ...

    def forget(self) -> None:
        """Ends the thread and lets go of all that it fetched; what is expected later begins anew."""
        ...


def is_resident(source: StateSource) -> bool:
    """Whether all states are where they are wanted, so that a gather reads no disk and asks the host nothing."""
    return bool(getattr(source, "resident", False))


def prefetching(source: StateSource) -> Prefetches | None:
    """The source, if it fetches what is expected by a thread."""
    return source if isinstance(source, Prefetches) and source.prefetches else None
