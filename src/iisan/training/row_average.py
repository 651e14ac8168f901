"""The moving average of a table of which each step moves few rows."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RowAverage:
    """Follows a table row by row: a row that stood still for ``n`` steps is caught up with in one.

    While a row stands still its average comes closer to it by the product of the steps' decays. The logarithm of the
    product from the start is kept, and for each row where it stood when the row was last caught up with.

    Args:
        table: ``[N, d]``, with sparse gradients.
    """

    def __init__(self, table: nn.Parameter) -> None:
        self.table = table
        self.values = table.detach().clone()  # [N, d]
        self.marks = torch.zeros(len(table), dtype=torch.float64, device=table.device)  # [N]
        self.log_kept = 0.0

    @torch.no_grad()
    def before_step(self) -> None:
        """Catches up with the rows that have a gradient, and are therefore about to move."""
        if self.table.grad is None:
            return
        rows = self.table.grad.indices()[0]
        self.values[rows] = self._current(self.table[rows], self.values[rows], self.marks[rows])
        self.marks.index_fill_(0, rows, self.log_kept)

    def after_step(self, decay: float) -> None:
        """Notes a step whose average keeps `decay` of the old one."""
        self.log_kept += math.log(decay)

    @torch.no_grad()
    def current(self) -> Tensor:
        """The average ``[N, d]`` now."""
        return self._current(self.table.detach(), self.values, self.marks)

    def _current(self, table: Tensor, values: Tensor, marks: Tensor) -> Tensor:
        kept = (self.log_kept - marks).exp().to(table.dtype).unsqueeze(1)  # [n, 1]
        return table.lerp(values, kept)

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint needs, by name; not caught up with, for that would round otherwise than an unbroken run."""
        log_kept = torch.tensor(self.log_kept, dtype=torch.float64)
        return {"rows.values": self.values, "rows.marks": self.marks, "rows.log_kept": log_kept}

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Takes back what :meth:`state` gave.

        Raises:
            KeyError: A part is missing.
        """
        self.values.copy_(state["rows.values"])
        self.marks.copy_(state["rows.marks"])
        self.log_kept = float(state["rows.log_kept"])
