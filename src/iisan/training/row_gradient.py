"""The sparse gradient of a table, each row once."""

from __future__ import annotations

import torch
from torch import Tensor


def summed_by_row(gradient: Tensor) -> Tensor:
    """Sums a sparse gradient by row.

    On the CPU that is ``coalesce``. Elsewhere the host would have to wait for the number of distinct rows, so as many
    rows come as went in: the distinct ones ascending, and after them the first again, with zeros.

    Args:
        gradient: Sparse ``[N, d]`` over rows.

    Returns:
        The same, marked as coalesced.
    """
    if gradient.device.type == "cpu":
        return gradient.coalesce()
    return _fixed_shape_sum(gradient)


def of_each_row(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The rows ``[n]`` of what :func:`summed_by_row` gave and their gradients ``[n, d]``, equal where rows repeat."""
    if gradient.device.type == "cpu":
        return gradient.indices()[0], gradient.values()
    return _first_repeated(gradient)


def _fixed_shape_sum(gradient: Tensor) -> Tensor:
    rows, values = gradient._indices()[0], gradient._values()
    if not len(rows):
        return gradient.coalesce()
    ordered, order = rows.sort()
    numbers = torch.cat([rows.new_zeros(1), (ordered[1:] != ordered[:-1]).cumsum(0)])  # [n] of distinct rows
    summed = torch.zeros_like(values).index_add_(0, numbers, values.index_select(0, order))
    distinct = ordered[:1].expand_as(ordered).scatter(0, numbers, ordered)
    return torch.sparse_coo_tensor(
        distinct.unsqueeze(0), summed, gradient.shape, check_invariants=False, is_coalesced=True
    )


def _first_repeated(gradient: Tensor) -> tuple[Tensor, Tensor]:
    rows, values = gradient.indices()[0], gradient.values()
    return rows, torch.where((rows == rows[:1]).unsqueeze(1), values[:1], values)
