"""Drawing the negatives of a sampled softmax."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Negatives:
    """Draws items anew for every step, half of them evenly and half by their share of the training interactions.

    Popular items are the ones that the model confuses with a target, so a draw by popularity estimates the softmax's
    denominator well where it is large (Bengio & Senécal 2008, https://doi.org/10.1109/TNN.2007.912312); alone it would
    hardly ever show the model the items at the tail. The even mixture is that of Yang et al. 2020
    (https://doi.org/10.1145/3366424.3386195).

    Args:
        candidates: ``[C]`` int64 catalogue rows to draw from.
        counts: ``[N]`` training interactions of each catalogue row; drawn evenly where the candidates have none.
        n_draws: How many are drawn, with replacement.
        device: Where offsets are wanted; draws are made by the host, which has to know how many items they are.
    """

    def __init__(
        self,
        candidates: npt.NDArray[np.int64],
        counts: npt.NDArray[np.int64],
        n_draws: int,
        device: torch.device,
    ) -> None:
        self.n_draws = n_draws
        shares = counts[candidates] / max(1, counts[candidates].sum())
        self._by_share = n_draws // 2 if shares.any() else 0
        self._evenly = n_draws - self._by_share
        self._candidates = torch.from_numpy(candidates)
        self._bounds = torch.from_numpy(np.cumsum(shares))  # [C]
        expected = np.zeros(len(counts))
        expected[candidates] = self._evenly / len(candidates) + self._by_share * shares
        with np.errstate(divide="ignore"):
            self._log_expected = torch.from_numpy(np.log(expected)).float().to(device)  # [N]

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """Catalogue rows ``[n_draws]`` on the CPU, repeats included, by torch's generator or another."""
        evenly = torch.randint(len(self._candidates), (self._evenly,), generator=generator)
        points = torch.rand(self._by_share, dtype=torch.float64, generator=generator) * self._bounds[-1]
        by_share = torch.searchsorted(self._bounds, points, right=True).clamp_max(len(self._candidates) - 1)
        return self._candidates[torch.cat([evenly, by_share])]

    def offsets(self, rows: Tensor, drawn: Tensor) -> Tensor:
        """What makes the softmax's denominator over the draws that over the candidates, in expectation.

        An item drawn ``k`` times where ``e`` draws of it were to be expected stands for ``k / e`` of it.

        Args:
            rows: ``[n]`` catalogue rows.
            drawn: ``[n]`` how often each was drawn.

        Returns:
            ``[n]`` log of drawn over expected; ``-inf`` where an item was not drawn.
        """
        offsets = drawn.log() - self._log_expected[rows]
        return offsets.masked_fill(drawn == 0, -torch.inf)
