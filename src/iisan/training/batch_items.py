"""The distinct items of a batch: each one is encoded once, wherever it stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BatchItems:
    """A batch of windows, seen as its distinct items.

    Attributes:
        rows: ``[n]`` catalogue rows of the distinct items, ascending; after them the first fills up, if anything does.
        slots: ``[B, L + 1]`` index of each slot into `rows`, plus one; 0 is padding.
        counts: ``[n]`` float, how often each item is a negative: the number of its slots or, where negatives are drawn,
            of its draws; 0 where it only fills up.
    """

    rows: Tensor
    slots: Tensor
    counts: Tensor

    @property
    def inputs(self) -> Tensor:
        """``[B, L]`` slots that the sequence encoder reads."""
        return self.slots[:, :-1]

    @property
    def predicted(self) -> Tensor:
        """``[B, L]`` bool, True where a position has something to predict from (its input is real)."""
        return self.inputs > 0

    @classmethod
    def of(cls, windows: Tensor) -> BatchItems:
        """Finds the distinct items.

        Args:
            windows: ``[B, L + 1]`` integer, right-aligned catalogue row + 1, 0 at padding.
        """
        distinct, inverse, counts = torch.unique(windows, return_inverse=True, return_counts=True)
        if distinct[0] == 0:
            distinct, counts = distinct[1:], counts[1:]
            slots = inverse
        else:
            slots = inverse + 1
        return cls(rows=distinct.long() - 1, slots=slots, counts=counts.float())

    @classmethod
    def drawn(cls, windows: Tensor, draws: Tensor) -> BatchItems:
        """Finds the distinct items of a batch and of what was drawn for it.

        Args:
            windows: As in :meth:`of`.
            draws: ``[n_draws]`` catalogue rows, repeats included, where `windows` are.
        """
        # A padding slot is put in front, so that item k of the batch has number k + 1 whether there is padding or not.
        numbers = torch.cat([windows.new_zeros(1), windows.flatten(), (draws + 1).to(windows.dtype)])
        distinct, inverse = torch.unique(numbers, return_inverse=True)
        counts = torch.zeros(len(distinct), device=windows.device)
        ones = torch.ones(len(draws), device=windows.device)
        counts.index_add_(0, inverse[1 + windows.numel() :], ones)
        slots = inverse[1 : 1 + windows.numel()].view(windows.shape)
        return cls(rows=distinct[1:].long() - 1, slots=slots, counts=counts[1:])

    def filled(self, n_items: int, n_windows: int) -> BatchItems:
        """The same in other shapes: filled up with items that count as nothing and windows of padding.

        Args:
            n_items: At least as many as there are.
            n_windows: At least as many as there are.
        """
        n, missing = len(self.rows), n_windows - len(self.slots)
        return BatchItems(
            rows=torch.cat([self.rows, self.rows[:1].expand(n_items - n)]),
            slots=torch.cat([self.slots, self.slots.new_zeros(missing, self.slots.shape[1])]),
            counts=torch.cat([self.counts, self.counts.new_zeros(n_items - n)]),
        )

    def on(self, device: torch.device) -> BatchItems:
        """A copy on `device`; the host does not wait until it is there."""
        return BatchItems(*(_pinned(one, device).to(device, non_blocking=True) for one in self._tensors()))

    def copy_(self, other: BatchItems) -> None:
        """Takes over another batch of the same shapes; the host does not wait until it is there."""
        for ours, theirs in zip(self._tensors(), other._tensors(), strict=True):
            ours.copy_(_pinned(theirs, ours.device), non_blocking=True)

    def _tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.rows, self.slots, self.counts


def _pinned(values: Tensor, device: torch.device) -> Tensor:
    """Where a device can fetch numbers by itself. The allocator keeps the place until it has."""
    return values.pin_memory() if device.type == "cuda" and len(values) else values
