"""DTL: the dimension transformation layer of IISAN-Versa (contract point 6)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class DTL(nn.Module):
    """One linear layer a block, from a wider encoder's width to the narrower one's.

    Args:
        n_blocks: Number of blocks of the inter-modal tower.
        width: Width ``D`` of the wider encoder.
        narrow: Width of the narrower one.
    """

    def __init__(self, n_blocks: int, width: int, narrow: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, narrow) for _ in range(n_blocks))

    def forward(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``n_blocks`` tensors ``[n, D]`` to as many ``[n, narrow]``."""
        return [layer(tap) for layer, tap in zip(self.layers, taps, strict=True)]
