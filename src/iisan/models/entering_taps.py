"""How taps enter a block of towers side by side: by a gate that weighs them against the hidden state, or by shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from iisan.models.side_by_side import view_side_by_side
from iisan.models.tower_plan import TowerPlan


@dataclass(frozen=True, slots=True)
class EnteringTaps:
    """The taps of a block of some towers.

    Attributes:
        towers: Which towers; all where the taps lie side by side, else one.
        gated: Whether a gate weighs the one tap against the hidden state, or taps are added to it.
        weighed: For each tap, those with most rows first, ``[g, n, D]`` or ``[g, 1, D]``, and its weight, ``[g, 1, 1]``
            or ``[g, n, 1]``. So the sum of the first two already has all rows, as the buffer that it is written to.
    """

    towers: slice
    gated: bool
    weighed: Sequence[tuple[Tensor, Tensor]]

    @classmethod
    def of_block(cls, plan: TowerPlan, k: int, weighing: Tensor, inputs: Sequence[Tensor]) -> list[EnteringTaps]:
        """Those of block `k`.

        Args:
            plan: Of the pass.
            k: Index of the block.
            weighing: ``[G, K, M]`` or ``[G, K, M, n, 1]``.
            inputs: Of the pass.
        """
        taps = [[inputs[plan.tap_place(g, k, m)] for g in range(plan.n_towers)] for m in range(plan.n_taps)]
        views = [view_side_by_side(its) for its in taps]
        together = [view for view in views if view is not None]
        if len(together) == len(taps):
            return [cls._of(slice(None), plan.gated, together, weighing[:, k])]
        return [
            cls._of(slice(g, g + 1), plan.gated, [its[g].unsqueeze(0) for its in taps], weighing[g : g + 1, k])
            for g in range(plan.n_towers)
        ]

    @classmethod
    def _of(cls, towers: slice, gated: bool, taps: Sequence[Tensor], weights: Tensor) -> EnteringTaps:
        columns = (weights.unsqueeze(2).unsqueeze(3) if weights.dim() == 2 else weights).unbind(1)
        return cls(towers, gated, sorted(zip(taps, columns, strict=True), key=lambda weighed: -weighed[0].shape[1]))

    @property
    def rows(self) -> int:
        """Of what enters."""
        return max(max(tap.shape[1], weight.shape[1]) for tap, weight in self.weighed)

    def alone(self, out: Tensor) -> None:
        """Writes the weighed taps without a hidden state to `out`, ``[G, n, D]``."""
        (tap, weight), *others = self.weighed
        x = torch.mul(tap, weight, out=out[self.towers])
        for other, its_weight in others:
            x.addcmul_(other, its_weight)

    def into(self, hidden: Tensor, out: Tensor) -> None:
        """Writes the hidden state ``[G, n, D]`` or ``[G, 1, D]`` with the weighed taps to `out` ``[G, n, D]``.

        `out` may be the hidden state.
        """
        before, x = hidden[self.towers], out[self.towers]
        if self.gated:
            ((tap, gate),) = self.weighed
            torch.lerp(before, tap, gate, out=x)
            return
        for tap, share in self.weighed:
            before = torch.addcmul(before, tap, share, out=x)
