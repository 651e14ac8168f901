"""A score taken apart by what is left out: all subsets of a few parts are tried."""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Scores of ``K`` items taken apart by ``P`` parts; fp64.

    Attributes:
        base: ``[K]``, v(∅).
        alone: ``[P, K]``, v({p}) − v(∅).
        interplay: ``[K]``, v(all) − v(∅) − Σ alone: the sum of the dividends (Harsanyi 1963) of all subsets of two
            parts or more.
        without: ``[P, K]``, v(all but p).
        shapley: ``[P, K]``, the mean of v(S and p) − v(S) over all orders (Shapley 1953). They sum to v(all) − v(∅).
    """

    base: Tensor
    alone: Tensor
    interplay: Tensor
    without: Tensor
    shapley: Tensor


def decompose(values: Tensor) -> Decomposition:
    """Takes scores apart.

    Args:
        values: ``[2^P, K]``, v(S); bit ``p`` of the row's number says whether part ``p`` is in ``S``.

    Raises:
        ValueError: The number of rows is no power of two.
    """
    n_parts = len(values).bit_length() - 1
    if len(values) != 1 << n_parts:
        raise ValueError(f"{len(values)} values are not those of all subsets")
    values = values.double()
    full, numbers, bits = len(values) - 1, torch.arange(len(values), device=values.device), range(n_parts)
    alone = values[[1 << part for part in bits]] - values[0]
    sizes = sum((numbers >> part & 1 for part in bits), torch.zeros_like(numbers))  # [2^P]
    weight_of_size = [factorial(size) * factorial(n_parts - size - 1) / factorial(n_parts) for size in bits]
    weights = values.new_tensor([*weight_of_size, 0.0])[sizes]  # [2^P]; the full set has nothing to be added
    shapley = torch.zeros_like(alone)
    for part in bits:
        lacking = numbers[(numbers >> part & 1) == 0]
        shapley[part] = weights[lacking] @ (values[lacking | 1 << part] - values[lacking])
    return Decomposition(
        base=values[0],
        alone=alone,
        interplay=values[full] - values[0] - alone.sum(dim=0),
        without=values[[full ^ 1 << part for part in bits]],
        shapley=shapley,
    )
