"""SANB: the side adapted network block (paper section 3.2, contract point 2)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["relu", "gelu"]


class SANB(nn.Module):
    """A residual bottleneck, ``x + up(act(down(x)))``.

    Weights start as N(0, 0.01²) and biases as 0, so that a fresh block is close to the identity.

    Args:
        width: Hidden width ``D`` of the encoder beside it.
        bottleneck: Width of the inner layer; the paper uses 64.
        activation: ``"relu"`` as in the paper, or ``"gelu"``.
        dropout: Probability with which inner activations are dropped in training.
    """

    def __init__(self, width: int, bottleneck: int, activation: Activation = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)
        self.activation = activation
        self.dropout = dropout
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the paper's initial weights."""
        for layer in (self.down, self.up):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[n, D]`` to ``[n, D]``."""
        inner = self.down(x)  # [n, bottleneck]
        inner = torch.relu(inner) if self.activation == "relu" else functional.gelu(inner)
        inner = functional.dropout(inner, self.dropout, self.training)
        return x + functional.linear(inner, self.up.weight, self.up.bias)


def sanbs(modules: Iterable[nn.Module]) -> list[SANB]:
    """The blocks of a tower as such."""
    return [module for module in modules if isinstance(module, SANB)]
