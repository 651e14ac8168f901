"""Metrics of a full ranking, from each user's rank of the target."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def hits(ranks: Tensor, k: int) -> Tensor:
    """One for each user whose target is among the first `k`, else 0, ``[U]`` float64. `ranks` ``[U]``."""
    return (ranks <= k).double()


def gains(ranks: Tensor, k: int) -> Tensor:
    """``1 / log2(rank + 1)`` of each user whose rank is at most `k`, else 0, ``[U]`` float64."""
    ranks = ranks.double()
    return torch.where(ranks <= k, 1 / torch.log2(ranks + 1), 0.0)


def hit_rate(ranks: Tensor, k: int) -> float:
    """HR@k: the share of users whose target is among the first `k` (with one target, also recall). `ranks` ``[U]``."""
    return float(hits(ranks, k).mean())


def ndcg(ranks: Tensor, k: int) -> float:
    """NDCG@k with one relevant item: mean of ``1 / log2(rank + 1)`` where the rank is at most `k`, else 0."""
    return float(gains(ranks, k).mean())


def mean_reciprocal_rank(ranks: Tensor) -> float:
    """MRR over the whole catalogue: mean of ``1 / rank``."""
    return float((1 / ranks.double()).mean())


def user_metrics(ranks: Tensor, ks: tuple[int, ...]) -> dict[str, npt.NDArray[np.float64]]:
    """Each user's hits and gains ``[U]`` at each of `ks`, by the names of the metrics that are their means."""
    values = {f"HR@{k}": hits(ranks, k) for k in ks} | {f"NDCG@{k}": gains(ranks, k) for k in ks}
    return {name: one.numpy() for name, one in values.items()}


def ranking_metrics(ranks: Tensor, ks: tuple[int, ...]) -> dict[str, float]:
    """HR and NDCG at each of `ks`, and MRR, as fractions of one, by their usual names (``"HR@10"``)."""
    metrics = {f"HR@{k}": hit_rate(ranks, k) for k in ks}
    metrics |= {f"NDCG@{k}": ndcg(ranks, k) for k in ks}
    return {**metrics, "MRR": mean_reciprocal_rank(ranks)}
