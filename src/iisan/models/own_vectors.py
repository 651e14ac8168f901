"""A learned vector of each item's own, added to what its content says."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class OwnVectors(nn.Module):
    """One vector an item, zero at the start, so that an item never trained on is its content alone.

    In training an item's vector is left out now and then: content must carry the items that have few interactions.

    Args:
        n_items: ``N``.
        dim: ``d``.
        dropout: Probability with which an item's whole vector is left out.
    """

    def __init__(self, n_items: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Embedding(n_items, dim)
        nn.init.zeros_(self.table.weight)
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """Vectors ``[n, d]`` of catalogue `rows` ``[n]``.

        In evaluation mode rows beyond the table stand for items that came after training, whose vector is zero.
        """
        if not self.training:
            known = rows < self.table.num_embeddings
            inside: Tensor = self.table(rows.clamp(max=self.table.num_embeddings - 1))
            return inside * known.unsqueeze(1)
        vectors: Tensor = self.table(rows)
        if self.dropout == 0:
            return vectors
        kept = torch.rand(len(rows), 1, device=vectors.device) >= self.dropout
        return vectors * kept
