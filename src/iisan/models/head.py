"""Heads: from a tower's last hidden state to the item embedding width (contract point 7)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from iisan.models.head_products import linear, matrix_product


class Head(nn.Module):
    """One or two linear layers, ``D → d`` or ``D → inner → d``, with nothing non-linear between them.

    Args:
        width: Hidden width ``D`` of the tower.
        inner: Width between the two layers (the paper: ``D``); None for a single layer.
        out: Item embedding width ``d``.
    """

    def __init__(self, width: int, inner: int | None, out: int) -> None:
        super().__init__()
        widths = [width, out] if inner is None else [width, inner, out]
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))

    def forward(self, hidden: Tensor) -> Tensor:
        """Maps ``[n, D]`` to ``[n, d]``."""
        weight, bias = self.folded(None)
        return linear(hidden, weight, bias)

    def folded(self, outer: Tensor | None) -> tuple[Tensor, Tensor]:
        """The whole chain, and a linear map after it, as one matrix.

        The product of the small matrices costs less than a pass of the items through each of them, and the parameters
        stay apart, so the optimiser's trajectory is that of the chain.

        Args:
            outer: ``[k, d]``, applied after the head, or None.

        Returns:
            Weight ``[k, D]`` and bias ``[k]``.
        """
        *inner, last = self._linears()
        weight: Tensor = last.weight if outer is None else matrix_product(outer, last.weight)
        bias: Tensor = last.bias if outer is None else outer @ last.bias
        for layer in reversed(inner):
            bias = bias + weight @ layer.bias
            weight = matrix_product(weight, layer.weight)
        return weight, bias

    def _linears(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]
