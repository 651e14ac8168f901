"""The towers of a side network in operations that an ONNX graph has.

The model runs a tower as one operation with buffers of its own, which cannot be recorded. What is here is the formula
as the paper writes it; an export is compared with the model before it is put in place.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from iisan.models.inter_tower import InterTower
from iisan.models.intra_tower import IntraTower
from iisan.models.recommender import Recommender
from iisan.models.side_network import SideNetwork

Part = TypeVar("Part", bound=nn.Module)


class PlainIntraTower(nn.Module):
    """``h_k = SANB_k(g_k · tap_k + (1 − g_k) · h_{k−1})``.

    Args:
        tower: Whose weights it has.
    """

    def __init__(self, tower: IntraTower) -> None:
        super().__init__()
        self.blocks, self.gate = tower.blocks, tower.gate

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Maps ``T`` taps ``[n, D]`` to ``[n, D]``."""
        gates = self.gate()
        hidden = torch.zeros_like(taps[0])
        for block, gate, tap in zip(self.blocks, gates.unbind(), taps, strict=True):
            hidden = block(gate * tap + (1 - gate) * hidden)
        return hidden


class PlainIntraTowers(nn.ModuleDict):
    """The towers of all modalities, one after the other."""

    def forward(self, taps: Mapping[str, Sequence[Tensor]]) -> dict[str, Tensor]:
        """Maps the taps of each modality, ``[n, D_m]`` each, to ``[n, D_m]``."""
        return {name: tower(taps[name]) for name, tower in self.items()}


class PlainInterTower(nn.Module):
    """``h_k = SANB_k(h_{k−1} + Σ_m s_{k,m} · tap_{k,m})``.

    Args:
        tower: Whose weights it has.
    """

    def __init__(self, tower: InterTower) -> None:
        super().__init__()
        self.blocks, self.gate, self.dtl, self.width = tower.blocks, tower.gate, tower.dtl, tower.width

    def forward(self, taps: Mapping[str, Sequence[Tensor]], available: Mapping[str, Tensor]) -> Tensor:
        """Maps the taps of all modalities, ``[n, D_m]`` each, to ``[n, D]``; `available` has a bool ``[n]`` of each."""
        columns = [self._aligned(name, its) for name, its in taps.items()]
        present = torch.stack(list(available.values()), dim=1).float()  # [n, M]
        hidden = present.new_zeros(1, self.width)
        for block, row, shares in zip(self.blocks, zip(*columns, strict=True), self.gate().unbind(), strict=True):
            weights = present * shares  # [n, M]
            weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
            for tap, weight in zip(row, weights.unbind(1), strict=True):
                hidden = hidden + weight.unsqueeze(1) * tap
            hidden = block(hidden)
        return hidden

    def _aligned(self, name: str, taps: Sequence[Tensor]) -> list[Tensor]:
        last = list(taps)[-len(self.blocks) :]
        aligned: list[Tensor] = self.dtl[name](last) if name in self.dtl else last
        return aligned


def with_plain_towers(model: Recommender) -> Recommender:
    """The same model, with the same weights and not copies of them, that runs its towers operation by operation."""
    side = model.item_encoder
    if not isinstance(side, SideNetwork):
        return model
    plain = _shallow(side)
    plain._modules["intra"] = PlainIntraTowers(
        {name: PlainIntraTower(tower) for name, tower in side.intra.items() if isinstance(tower, IntraTower)}
    )
    if side.inter is not None:
        plain._modules["inter"] = PlainInterTower(side.inter)
    copied = _shallow(model)
    copied.item_encoder = plain
    return copied


def _shallow(module: Part) -> Part:
    """A module with the same children, of which each may be exchanged."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied
