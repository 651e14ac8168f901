"""Metrics by how popular the target is: much-loved items are easy to find, and most of a catalogue is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iisan.data.interactions import Rows
from iisan.data.split import Split, TargetPart
from iisan.evaluation.metrics import ranking_metrics
from iisan.evaluation.protocol import Protocol

Band = Literal["head", "middle", "tail", "cold"]

BANDS: dict[Band, str] = {
    "head": "the most popular items that hold a third of the training interactions",
    "middle": "the next ones that hold a third",
    "tail": "the rest with a training interaction",
    "cold": "items without a training interaction",
}
# Bands of items with a training interaction.
N_WARM = 3


@dataclass(frozen=True)
class BandResult:
    """How the users did whose target is in a band.

    Attributes:
        n_items: Candidates in the band.
        n_users: Users whose target is in it.
        train_share: Share of the training interactions that the band holds.
        metrics: For each protocol the metrics of these users; nothing where there are none.
    """

    n_items: int
    n_users: int
    train_share: float
    metrics: dict[Protocol, dict[str, float]]


def band_of_items(train_counts: Rows) -> npt.NDArray[np.int8]:
    """The band of each item ``[N]``, int8: its place in :data:`BANDS`.

    Items are taken from the most popular down, equally popular ones in catalogue order; an item is in the head while
    those before it hold less than a third of the training interactions.

    Args:
        train_counts: Training interactions of each item ``[N]``.
    """
    order = np.argsort(-train_counts, kind="stable")
    sorted_counts = train_counts[order]
    before = np.cumsum(sorted_counts) - sorted_counts
    bands = np.empty(len(train_counts), dtype=np.int8)
    bands[order] = np.minimum(N_WARM - 1, N_WARM * before // max(1, int(train_counts.sum())))
    bands[train_counts == 0] = N_WARM
    return bands


def metrics_by_band(
    ranks: Mapping[Protocol, Tensor], split: Split, part: TargetPart, ks: tuple[int, ...]
) -> dict[Band, BandResult]:
    """The metrics of a full ranking, apart for each band of targets.

    Args:
        ranks: For each protocol the rank of each target ``[U]``.
        split: What was ranked.
        part: Which targets.
        ks: List lengths of the metrics.
    """
    bands = band_of_items(split.train_counts)
    of_targets = torch.from_numpy(bands[split.targets(part)])
    of_candidates = bands[split.candidates_of(part)]
    results: dict[Band, BandResult] = {}
    for number, band in enumerate(BANDS):
        chosen = of_targets == number
        n_users = int(chosen.sum())
        results[band] = BandResult(
            n_items=int((of_candidates == number).sum()),
            n_users=n_users,
            train_share=float(split.train_counts[bands == number].sum() / split.train_counts.sum()),
            metrics={name: ranking_metrics(one[chosen], ks) for name, one in ranks.items()} if n_users else {},
        )
    return results
