"""Metrics of a full ranking, from each user's rank of the target."""

from __future__ import annotations

import torch
from torch import Tensor


def hit_rate(ranks: Tensor, k: int) -> float:
    """HR@k: the share of users whose target is among the first `k` (with one target, also recall). `ranks` ``[U]``."""
    return float((ranks <= k).double().mean())


def ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k with one relevant item: mean of ``1 / log2(rank + 1)`` where the rank is at most `k`, else 0."""
    ranks = ranks.double()
    return float(torch.where(ranks <= k, 1 / torch.log2(ranks + 1), 0.0).mean())


def mean_reciprocal_rank(ranks: Tensor) -> float:
    """MRR over the whole catalogue: mean of ``1 / rank``."""
    return float((1 / ranks.double()).mean())


def ranking_metrics(ranks: Tensor, ks: tuple[int, ...]) -> dict[str, float]:
    """HR and NDCG at each of `ks`, and MRR, as fractions of one, by their usual names (``"HR@10"``)."""
    metrics = {f"HR@{k}": hit_rate(ranks, k) for k in ks}
    metrics |= {f"NDCG@{k}": ndcg(ranks, k) for k in ks}
    return {**metrics, "MRR": mean_reciprocal_rank(ranks)}
