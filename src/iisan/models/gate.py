"""Gates: how a block weighs what reaches it (paper equation 2, contract points 3 and 5)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class LayerGate(nn.Module):
    """One learned scalar a block, ``g = sigmoid(w / temperature)``, started at ``w = 0``.

    Args:
        n_blocks: Number of blocks that are gated.
        temperature: Divides the scalar; the paper uses 0.1.
    """

    def __init__(self, n_blocks: int, temperature: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_blocks))
        self.temperature = temperature

    def forward(self) -> Tensor:
        """Returns the gates ``[n_blocks]``, each in (0, 1)."""
        return torch.sigmoid(self.logits / self.temperature)


class ModalityGate(nn.Module):
    """The share of each modality in each block of the inter-modal tower.

    A softmax over one scalar a modality; the last modality's scalar is fixed at 0, so that two modalities need one
    parameter a block and give the same number as :class:`LayerGate`.

    Args:
        n_blocks: Number of blocks.
        n_modalities: Number of modalities ``M``, at least 2.
        temperature: Divides the scalars; the paper uses 0.1.
    """

    def __init__(self, n_blocks: int, n_modalities: int, temperature: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(n_blocks, n_modalities - 1))
        self.temperature = temperature

    def forward(self) -> Tensor:
        """Returns the shares ``[n_blocks, M]``; each row sums to 1."""
        last = self.logits.new_zeros(len(self.logits), 1)
        return torch.softmax(torch.cat([self.logits, last], dim=1) / self.temperature, dim=1)


def shares_of_available(shares: Tensor, available: Sequence[Tensor | None]) -> Tensor:
    """Gives the share of a missing modality to those that an item has.

    Args:
        shares: ``[K, M]``, :class:`ModalityGate`'s output.
        available: For each modality a boolean ``[n]``, or None where every item has it.

    Returns:
        `shares` where nothing is missing, else ``[K, M, n, 1]``; over the modalities they sum to 1 for each item that
        has at least one and to 0 for an item that has none.
    """
    masks = [mask for mask in available if mask is not None]
    if not masks:
        return shares
    full = torch.ones_like(masks[0])
    present = torch.stack([full if mask is None else mask for mask in available])  # [M, n]
    weighted = (shares.unsqueeze(2) * present).unsqueeze(3)  # [K, M, n, 1]
    return weighted / weighted.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weighted.dtype).tiny)
