"""What a pass through towers side by side is made of, and what it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.models.sanb import Activation
from iisan.models.side_by_side import side_by_side

# What each block has: weight and bias of its two layers; what each block keeps for the backward pass.
N_WEIGHTS, N_KEPT = 4, 4


@dataclass(frozen=True, slots=True)
class TowerPlan:
    """What a pass is made of, apart from numbers. Its inputs are taps ``[G][K][M]`` and weights ``[G][K][4]``, flat.

    Attributes:
        n_towers: ``G``.
        n_blocks: ``K`` of each tower.
        n_taps: Taps of a block, ``M``.
        gated: Whether a gate a block weighs its one tap against the hidden state; else taps are added to it by shares.
        activation: Of the blocks.
        dropout: Probability with which inner activations are dropped; 0 outside of training.
        low: The lower precision of the products; None where they have that of the numbers.
        keep: Whether a backward pass may follow.
    """

    n_towers: int
    n_blocks: int
    n_taps: int
    gated: bool
    activation: Activation
    dropout: float
    low: torch.dtype | None
    keep: bool

    @property
    def n_tap_inputs(self) -> int:
        """Taps of all blocks of all towers."""
        return self.n_towers * self.n_blocks * self.n_taps

    @property
    def n_inputs(self) -> int:
        """All taps and weights."""
        return self.n_tap_inputs + self.n_towers * self.n_blocks * N_WEIGHTS

    def tap_place(self, g: int, k: int, m: int) -> int:
        """Where tap `m` of block `k` of tower `g` stands among the inputs."""
        return (g * self.n_blocks + k) * self.n_taps + m

    def weights_of(self, inputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The weights ``[K][4]`` of all towers side by side, ``[G, ...]`` each."""
        flat = inputs[self.n_tap_inputs : self.n_inputs]
        if self.n_towers == 1:
            return [[part.unsqueeze(0) for part in flat[at : at + N_WEIGHTS]] for at in range(0, len(flat), N_WEIGHTS)]
        parts = [side_by_side(flat[part::N_WEIGHTS]) for part in range(N_WEIGHTS)]
        return list(zip(*(p.view(self.n_towers, -1, *p.shape[1:]).unbind(1) for p in parts), strict=True))


@dataclass(frozen=True, slots=True)
class KeptBlock:
    """What the backward pass needs of a block of each tower.

    Attributes:
        x: ``[G, n, D]``, what the block read.
        inner: ``[G, n, b]`` before the activation; of ReLU after it, which says as much.
        read: ``[G, n, b]``, what the second layer read.
        mask: ``[G, n, b]``, 0 where an activation was dropped, else its scale.
    """

    x: Tensor
    inner: Tensor
    read: Tensor
    mask: Tensor | None

    @classmethod
    def unpacked(cls, tensors: Sequence[Tensor]) -> list[KeptBlock]:
        """The blocks from what :meth:`packed` gave for each, one after the other."""
        return [cls(*tensors[at : at + N_KEPT]) for at in range(0, len(tensors), N_KEPT)]

    def packed(self) -> tuple[Tensor | None, ...]:
        """All of it, in order."""
        return self.x, self.inner, self.read, self.mask
