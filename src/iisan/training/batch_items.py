"""The distinct items of a batch: each one is encoded once, wherever it stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class BatchItems:
    """A batch of windows, seen as its distinct items.

    Attributes:
        rows: ``[n]`` catalogue rows of the distinct items, ascending.
        slots: ``[B, L + 1]`` index of each slot into `rows`, plus one; 0 is padding.
        counts: ``[n]`` float, the number of slots of each item.
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
