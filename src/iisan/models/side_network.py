"""The side network of IISAN: hidden states in, item embeddings out (paper figure 2, contract points 4 to 7)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from iisan.models.config import SideNetworkConfig
from iisan.models.head import Head
from iisan.models.head_products import linear
from iisan.models.inter_tower import InterTower
from iisan.models.intra_tower import IntraTower, IntraTowers
from iisan.states.sources import ItemStates

INTER = "inter"


class SideNetwork(nn.Module):
    """One tower a modality, one across them, a head each, and a linear fusion.

    Modalities take part in the order of their names, so the paper's fusion reads [image, text, inter]. With one
    modality there is no inter-modal tower; with one tower there is no fusion.

    Args:
        config: Shapes and choices.
    """

    def __init__(self, config: SideNetworkConfig) -> None:
        super().__init__()
        self.names = sorted(config.modalities)
        many = len(self.names) > 1
        self.intra = IntraTowers()
        heads: dict[str, Head] = {}
        if config.towers != "inter" or not many:
            for name in self.names:
                side = config.modalities[name]
                self.intra[name] = IntraTower(
                    side.n_taps, side.width, side.bottleneck, config.activation, config.dropout, config.gate_temperature
                )
                heads[name] = Head(side.width, side.head_width, config.dim)
        self.intra.lay_side_by_side()
        self.inter: InterTower | None = None
        if config.towers != "intra" and many:
            shapes = {name: (config.modalities[name].n_taps, config.modalities[name].width) for name in self.names}
            self.inter = InterTower(
                shapes, config.inter_bottleneck, config.activation, config.dropout, config.gate_temperature
            )
            heads[INTER] = Head(self.inter.width, config.inter_head_width, config.dim)
        self.heads = nn.ModuleDict(heads)
        self.fusion: nn.Linear | None = None
        if len(heads) > 1:
            self.fusion = nn.Linear(len(heads) * config.dim, config.dim)

    def forward(self, states: Mapping[str, ItemStates], rows: Tensor | None = None) -> Tensor:
        """Item embeddings.

        Args:
            states: For each modality the taps and which items have it.
            rows: Catalogue rows; not used, content says it all.

        Returns:
            ``[n, d]``. A missing modality adds nothing of its own tower; an item without any gets the fusion's bias.
        """
        if self.fusion is None:
            return next(iter(self.tower_embeddings(states).values()))
        parts = []
        columns = torch.split(self.fusion.weight, self.fusion.out_features, dim=1)
        for (name, hidden), column in zip(self.tower_states(states).items(), columns, strict=True):
            weight, bias = self._head(name).folded(column)
            parts.append(_masked(linear(hidden, weight, bias), _present(states, name)))
        return sum(parts[1:], parts[0]) + self.fusion.bias

    def tower_states(self, states: Mapping[str, ItemStates]) -> dict[str, Tensor]:
        """The last hidden state of each tower, ``[n, D_tower]`` (``[1, D_tower]`` if all its taps are constant)."""
        hidden: dict[str, Tensor] = self.intra({name: states[name].taps for name in self.intra})
        if self.inter is not None:
            hidden[INTER] = self.inter(
                {name: states[name].taps for name in self.names},
                {name: states[name].available for name in self.names},
            )
        return hidden

    def tower_embeddings(self, states: Mapping[str, ItemStates]) -> dict[str, Tensor]:
        """The embedding of each tower before fusion, ``[n, d]`` each, zero where the modality is missing."""
        return {
            name: _masked(self._head(name)(hidden), _present(states, name))
            for name, hidden in self.tower_states(states).items()
        }

    def _head(self, name: str) -> Head:
        head = self.heads[name]
        if not isinstance(head, Head):
            raise TypeError(f"tower {name!r} has no head")
        return head


def _present(states: Mapping[str, ItemStates], tower: str) -> Tensor | None:
    """Which items a tower speaks for: those with its modality, or with any for the inter-modal one."""
    if tower != INTER:
        return states[tower].available
    masks = [state.available for state in states.values()]
    if any(mask is None for mask in masks):
        return None
    return torch.stack([mask for mask in masks if mask is not None]).any(dim=0)


def _masked(embedding: Tensor, present: Tensor | None) -> Tensor:
    return embedding if present is None else embedding * present.unsqueeze(1)
