"""Whether one model is better than another, or the users at hand only happened to suit it: a paired bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

# Counts held at once: 4 Mi of eight bytes each.
COUNTS_AT_ONCE = 1 << 22
# Differences of a hundred thousand users add up to zero only to rounding.
ZERO = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """A metric of two models on the same users.

    Attributes:
        first: Mean over users of the first model's metric.
        other: Mean of the other model's.
        difference: ``other - first``.
        low: Lower end of the interval of the difference.
        high: Upper end of it.
        p_value: Two-sided: twice the share of resamples on the far side of zero, at most 1.
    """

    first: float
    other: float
    difference: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    first: Mapping[str, Values],
    other: Mapping[str, Values],
    *,
    resamples: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, PairedDifference]:
    """Resamples users, each with both models' values, and looks how the mean difference scatters.

    Users with the same differences are interchangeable, so how often each kind of user is drawn is drawn instead of the
    users: the same distribution, at a cost that does not grow with their number. Efron and Tibshirani, An Introduction
    to the Bootstrap, 1993, chapters 13 (percentile interval) and 15.

    Args:
        first: For each metric the values of the users ``[U]``.
        other: The other model's values of the same metrics and users.
        resamples: How many samples of users to draw.
        seed: Seed of the draws.
        level: Probability of the interval.

    Raises:
        ValueError: The metrics or the users differ, or there are none.
    """
    if list(first) != list(other) or not first:
        raise ValueError("both models need the same metrics")
    if len({values.shape for values in (*first.values(), *other.values())}) != 1:
        raise ValueError("both models need the values of the same users")
    differences = np.stack([other[name] - first[name] for name in first], axis=1)  # [U, metrics]
    means = _resampled_means(differences, resamples, np.random.default_rng(seed))  # [resamples, metrics]
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    below, above = (means <= ZERO).sum(axis=0), (means >= -ZERO).sum(axis=0)
    # The sample at hand counts as one more resample, so that no p-value is 0.
    p_values = np.minimum(1.0, 2 * (np.minimum(below, above) + 1) / (resamples + 1))
    return {
        name: PairedDifference(
            first=float(first[name].mean()),
            other=float(other[name].mean()),
            difference=float(differences[:, column].mean()),
            low=float(ends[0, column]),
            high=float(ends[1, column]),
            p_value=float(p_values[column]),
        )
        for column, name in enumerate(first)
    }


def _resampled_means(differences: Values, resamples: int, rng: np.random.Generator) -> Values:
    kinds, counts = np.unique(differences, axis=0, return_counts=True)  # [G, metrics], [G]
    n_users = len(differences)
    at_once = max(1, COUNTS_AT_ONCE // len(kinds))
    parts = [
        rng.multinomial(n_users, counts / n_users, size=min(at_once, resamples - start)) @ kinds / n_users
        for start in range(0, resamples, at_once)
    ]
    means: Values = np.concatenate(parts)
    return means
