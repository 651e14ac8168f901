"""The best items of a whole catalogue, all of them scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

# Bytes of scores at a time: a few users of a long catalogue, many of a short one.
SCORE_BYTES = 32 << 20
# Items whose best score stands for all of them while the best are looked for.
GROUP = 64
# A filter that lets in a smaller share is ranked over the items that pass only.
SELECTIVE = 0.25

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Best:
    """The best items of ``B`` users, best first.

    Attributes:
        scores: ``[B, k]``, −∞ where there are fewer.
        rows: ``[B, k]`` int64 catalogue rows, meaningless where the score is −∞.
    """

    scores: Tensor
    rows: Tensor

    def to(self, device: torch.device) -> Best:
        """The same on a device."""
        return Best(self.scores.to(device), self.rows.to(device))

    def lists(self) -> list[list[tuple[int, float]]]:
        """Rows and scores of each user, without the places that nothing takes."""
        return [
            [(row, score) for row, score in zip(rows, scores, strict=True) if score != -torch.inf]
            for rows, scores in zip(self.rows.tolist(), self.scores.tolist(), strict=True)
        ]


@dataclass(frozen=True)
class IndexReport:
    """What ranks the catalogue, and how well it finds.

    Attributes:
        kind: ``exact`` or ``approximate``.
        items: Items of the catalogue.
        recall: Share of the exact top `k` that it finds, measured when the weights were loaded; 1 for exact ranking.
        k: Of that measure; 0 for exact ranking.
        queries: Histories that it was measured on; 0 for exact ranking.
        probes: Cells that are searched; 0 for exact ranking.
        cells: Cells that there are; 0 for exact ranking.
    """

    kind: Literal["exact", "approximate"]
    items: int
    recall: float = 1.0
    k: int = 0
    queries: int = 0
    probes: int = 0
    cells: int = 0


class ExactIndex:
    """Scores every item that may be offered.

    Args:
        embeddings: ``[N, d]`` fp32, on the device that ranks.
        offered: ``[N]`` bool, False for items that are never offered.
    """

    def __init__(self, embeddings: Tensor, offered: Tensor) -> None:
        self.embeddings = embeddings
        self.offered = offered.to(embeddings.device)
        self._all_offered = bool(offered.all())

    def __len__(self) -> int:
        return len(self.embeddings)

    def best(self, states: Tensor, k: int, seen: Sequence[Sequence[int]], passing: Mask | None = None) -> Best:
        """The best items by inner product.

        Args:
            states: ``[B, d]`` user states, on the same device.
            k: Places a user.
            seen: For each user the rows that are left out.
            passing: ``[N]`` bool, the items that a filter lets in; None for all.
        """
        if passing is None:
            return self._ranked(states, k, seen, self.embeddings, None if self._all_offered else self.offered)
        allowed = torch.from_numpy(passing).to(self.offered.device) & self.offered
        if int(allowed.sum()) >= SELECTIVE * len(self):
            return self._ranked(states, k, seen, self.embeddings, allowed)
        return self._among(states, k, seen, allowed)

    def _among(self, states: Tensor, k: int, seen: Sequence[Sequence[int]], allowed: Tensor) -> Best:
        """Scores few items only."""
        rows = allowed.nonzero().flatten()
        place = torch.full((len(self),), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        seen_places = [[at for at in place[list(line)].tolist() if at >= 0] if line else [] for line in seen]
        found = self._ranked(states, k, seen_places, self.embeddings[rows], None)
        return Best(found.scores, rows[found.rows] if len(rows) else found.rows)

    def updated(self, embeddings: Tensor, offered: Tensor, changed: Rows) -> ExactIndex:
        """The index of the catalogue as it is now."""
        return ExactIndex(embeddings, offered)

    @property
    def report(self) -> IndexReport:
        """What it is."""
        return IndexReport("exact", len(self))

    def _ranked(
        self, states: Tensor, k: int, seen: Sequence[Sequence[int]], embeddings: Tensor, allowed: Tensor | None
    ) -> Best:
        users = max(1, SCORE_BYTES // (4 * max(len(embeddings), 1)))
        parts = []
        for start in range(0, len(states), users):
            scores = states[start : start + users] @ embeddings.T  # [b, N]
            if allowed is not None:
                scores.masked_fill_(~allowed, -torch.inf)
            scores[_pairs(seen[start : start + users], scores.device)] = -torch.inf
            parts.append(largest(scores, min(k, len(embeddings))))
        return Best(torch.cat([part.scores for part in parts]), torch.cat([part.rows for part in parts]))


def largest(scores: Tensor, k: int) -> Best:
    """The `k` largest of each row ``[b, N]``.

    Groups whose maxima are the `k` largest hold them all, and maxima of groups are found faster than places in a whole
    row.
    """
    whole = scores.shape[1] // GROUP * GROUP
    if scores.device.type != "cpu" or whole < 8 * k * GROUP:
        return Best(*scores.topk(k, dim=1))
    groups = scores[:, :whole].reshape(len(scores), -1, GROUP)  # [b, G, GROUP]
    chosen = groups.amax(dim=2).topk(k, dim=1).indices  # [b, k]
    candidates = groups.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)  # [b, k · GROUP]
    rows = (chosen[:, :, None] * GROUP + torch.arange(GROUP)).flatten(1)
    candidates = torch.cat([candidates, scores[:, whole:]], dim=1)
    rows = torch.cat([rows, torch.arange(whole, scores.shape[1]).expand(len(rows), -1)], dim=1)
    values, places = candidates.topk(k, dim=1)
    return Best(values, rows.gather(1, places))


def in_some(found: Tensor, wanted: Tensor) -> float:
    """Share of the rows `wanted` ``[B, k]`` that are among those `found` ``[B, n]`` for the same user."""
    if not wanted.numel():
        return 1.0
    return float((wanted[:, :, None] == found[:, None, :]).any(dim=2).double().mean())


def _pairs(seen: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """All (user, row) of some lists of rows, int64."""
    counts = np.fromiter(map(len, seen), dtype=np.int64, count=len(seen))
    users = np.repeat(np.arange(len(seen)), counts)
    rows = np.fromiter((row for line in seen for row in line), dtype=np.int64, count=int(counts.sum()))
    return torch.from_numpy(users).to(device), torch.from_numpy(rows).to(device)
