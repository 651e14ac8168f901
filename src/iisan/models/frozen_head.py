"""The frozen baseline: the encoders' last hidden states through a linear head (paper table 3, "frozen")."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from iisan.models.config import FrozenConfig
from iisan.states.sources import ItemStates


class FrozenHead(nn.Module):
    """A linear layer over the concatenated last taps of all modalities.

    Args:
        config: Widths and the embedding width ``d``.
    """

    def __init__(self, config: FrozenConfig) -> None:
        super().__init__()
        self.names = sorted(config.widths)
        self.linear = nn.Linear(sum(config.widths.values()), config.dim)

    def forward(self, states: Mapping[str, ItemStates], rows: Tensor | None = None) -> Tensor:
        """Item embeddings ``[n, d]``; a missing modality counts as zeros. `rows` is not used."""
        parts = []
        for name in self.names:
            last, available = states[name].taps[-1], states[name].available
            parts.append(last if available is None else last * available.unsqueeze(1))
        return self.linear(torch.cat(parts, dim=1))  # type: ignore[no-any-return]
