"""The slots of a batch of histories that are computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Slots:
    """Some of the slots of ``B`` histories of length ``L``, in order.

    Attributes:
        n: ``B · L``.
        rows: ``[R]`` int64, which of them, the histories one after the other; None for all of them.
    """

    n: int
    rows: Tensor | None

    @classmethod
    def real(cls, real: Tensor) -> Slots:
        """Those that are True in ``[B, L]``; a host waits for the device to count them."""
        return cls(real.numel(), real.flatten().nonzero().squeeze(1))

    def take(self, values: Tensor) -> Tensor:
        """From ``[B · L, d]`` to ``[R, d]``."""
        return values if self.rows is None else values.index_select(0, self.rows)

    def spread(self, values: Tensor) -> Tensor:
        """From ``[R, d]`` to ``[B · L, d]``, zero elsewhere."""
        if self.rows is None:
            return values
        spread = torch.zeros(self.n, values.shape[1], dtype=values.dtype, device=values.device)
        return spread.index_copy_(0, self.rows, values)
