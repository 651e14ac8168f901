"""The yardstick without content: an embedding table over item ids."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from iisan.models.config import ItemIdConfig
from iisan.states.sources import ItemStates


class ItemIdEmbedding(nn.Module):
    """One learned vector an item, started small.

    Args:
        config: Number of items and the embedding width ``d``.
    """

    def __init__(self, config: ItemIdConfig) -> None:
        super().__init__()
        self.table = nn.Embedding(config.n_items, config.dim)
        nn.init.normal_(self.table.weight, std=0.02)

    def forward(self, states: Mapping[str, ItemStates], rows: Tensor) -> Tensor:
        """Item embeddings ``[n, d]`` of catalogue `rows` ``[n]``. `states` are not used."""
        return self.table(rows)  # type: ignore[no-any-return]
