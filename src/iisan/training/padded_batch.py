"""A batch in fixed shapes, assembled where its windows are without the host ever waiting."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """A batch of windows, seen as its distinct items and filled up to a given number of them.

    Attributes:
        rows: ``[n]`` catalogue rows, the distinct items first and ascending; the first of them fills up.
        slots: ``[B, L + 1]`` index of each slot into `rows`, plus one; 0 is padding.
        counts: ``[n]`` float, the number of slots of each item, 0 for what fills up.
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
        """``[B · L]`` bool, True where a position has something to predict from."""
        return self.inputs.flatten() > 0

    @property
    def targets(self) -> Tensor:
        """``[B · L]`` index of each position's target into `rows`; 0 where there is none."""
        return (self.slots[:, 1:].flatten() - 1).clamp_min(0)

    @property
    def own(self) -> Tensor:
        """``[B · L, L + 1]`` the items of each position's window, its target where the window is padding."""
        batch, width = self.slots.shape
        own = self.slots.unsqueeze(1).expand(batch, width - 1, width).reshape(-1, width) - 1
        return torch.where(own < 0, self.targets.unsqueeze(1), own)

    @classmethod
    def of(cls, windows: Tensor, n: int) -> PaddedBatch:
        """Finds the distinct items by sorting, whose results have the shapes of what is sorted.

        Args:
            windows: ``[B, L + 1]`` integer, right-aligned catalogue row + 1, 0 at padding; one item at least.
            n: Number of items, at least that of the distinct ones.
        """
        ordered, order = windows.flatten().long().sort()  # padding first
        fresh = torch.cat([ordered[:1] > 0, ordered[1:] != ordered[:-1]])
        numbers = fresh.cumsum(0)  # 1 for the first item; 0 for padding
        slots = torch.empty_like(ordered).scatter_(0, order, numbers).view(windows.shape)
        rows = torch.zeros(n + 1, dtype=torch.long, device=windows.device).scatter_(0, numbers, ordered - 1)[1:]
        counts = torch.zeros(n + 1, device=windows.device)
        counts = counts.scatter_add_(0, numbers, torch.ones_like(ordered, dtype=counts.dtype))[1:]
        return cls(rows=torch.where(counts > 0, rows, rows[0]), slots=slots, counts=counts)
