"""Scores of a whole catalogue, some items at a time, so that memory does not grow with the catalogue."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

# Items a block. With the 512 users of an evaluation batch its scores are 4 MiB, which stay in cache when compared.
BLOCK = 2048


def score_blocks(
    user_states: Tensor, items: Tensor, offered: Tensor, excluded: tuple[Tensor, Tensor]
) -> Iterator[tuple[int, Tensor]]:
    """Scores of the items, block by block.

    All blocks have the same shape, the last one filled up: a product of another shape may round differently, and items
    with equal embeddings must get equal scores.

    Args:
        user_states: ``[B, d]``.
        items: ``[N, d]`` embeddings of the catalogue.
        offered: ``[N]`` bool, False for items that are scored −∞.
        excluded: Pairs (user ``[P]``, catalogue row ``[P]``), int64, that are scored −∞.

    Yields:
        The catalogue row of the first column, and scores ``[B, n]``, ``n`` being `BLOCK` or ``N`` if that is smaller,
        with −∞ in the columns beyond the catalogue. The next block is written over them.
    """
    width = min(BLOCK, len(items))
    starts = range(0, len(items), width)
    whole = _offered_throughout(offered, width)
    rows, order = excluded[1].sort()
    users = excluded[0][order]
    edges = torch.arange(0, len(starts) + 1, device=rows.device) * width
    bounds = torch.searchsorted(rows, edges).tolist()
    # One buffer for all blocks: fresh memory would have to be asked of the system, block by block.
    scores = torch.empty(len(user_states), width, dtype=user_states.dtype, device=user_states.device)
    for number, start in enumerate(starts):
        torch.mm(user_states, padded(items[start : start + width], width).T, out=scores)  # [B, n]
        if not whole[number]:
            scores.masked_fill_(~padded(offered[start : start + width], width), -torch.inf)
        pairs = slice(bounds[number], bounds[number + 1])
        scores[users[pairs], rows[pairs] - start] = -torch.inf
        yield start, scores


def padded(values: Tensor, length: int) -> Tensor:
    """The first dimension filled up with zeros to `length`."""
    missing = length - len(values)
    return functional.pad(values, (0, 0) * (values.dim() - 1) + (0, missing)) if missing else values


def _offered_throughout(offered: Tensor, width: int) -> list[bool]:
    """For each block of `width` columns, whether all of them are offered."""
    blocks = padded(offered, -(-len(offered) // width) * width).view(-1, width)
    return [bool(whole) for whole in blocks.all(dim=1).tolist()]


class BestItems:
    """The `k` items with the highest scores of each user, of the blocks seen so far.

    Which of several items with equal scores are among them, and in what order, is not defined.

    Args:
        n_users: ``B``.
        k: Places a user; none is allowed.
        device: Where the scores are.
    """

    def __init__(self, n_users: int, k: int, device: torch.device) -> None:
        self.scores = torch.full((n_users, k), -torch.inf, device=device)
        self._rows = torch.zeros(n_users, k, dtype=torch.long, device=device)

    @property
    def rows(self) -> Tensor:
        """``[B, k]`` int64 catalogue rows, best first; −1 where there are fewer with a score above −∞."""
        return self._rows.masked_fill(self.scores == -torch.inf, -1)

    def take(self, start: int, scores: Tensor) -> None:
        """Takes a block of scores ``[B, n]`` whose first column is catalogue row `start`."""
        k = self.scores.shape[1]
        if not k:
            return
        users = self._may_change(scores)
        scores = scores[users]
        block = scores.topk(min(k, scores.shape[1]), dim=1)
        best = torch.cat([self.scores[users], block.values], dim=1).topk(k, dim=1)
        rows = torch.cat([self._rows[users], block.indices + start], dim=1).gather(1, best.indices)
        self.scores[users], self._rows[users] = best.values, rows

    def _may_change(self, scores: Tensor) -> Tensor | slice:
        """The users whose list a block changes: of a long catalogue, few in most blocks."""
        if scores.device.type != "cpu":
            return slice(None)  # to find out would make the host wait
        users = (scores.amax(dim=1) > self.scores[:, -1]).nonzero().flatten()
        return users if 2 * len(users) < len(scores) else slice(None)  # a copy of most of them would cost more
