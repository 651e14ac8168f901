"""Products of items with a block's weights, for towers side by side ``[G, n, ·]``, in the precision asked for.

On a CPU a product of one tower is cut into parts of its items, one a core, or, where the items are summed over, of its
columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.models.column_products import columns_times
from iisan.models.product_parts import row_parts


def rows_times(left: Tensor, right: Tensor, low: torch.dtype | None) -> Tensor:
    """``left · right``: ``[G, n, a]`` contiguous times ``[G, a, c]``, in the precision `low` if there is one."""
    left, right = lowered(left, low), lowered(right, low)
    products = [torch.bmm(_cut(left, *place), _repeated(right, place[1])) for place in _places(left)]
    its_rows = [product.view(len(left), -1, right.shape[2]) for product in products]
    return its_rows[0] if len(its_rows) == 1 else torch.cat(its_rows, dim=1)


def add_rows_times(total: Tensor, left: Tensor, right: Tensor, low: torch.dtype | None) -> Tensor:
    """Adds ``left · right`` to the contiguous `total` in place, and returns it."""
    if low is not None:
        return total.add_(rows_times(left, right, low))
    for place in _places(left):
        _cut(total, *place).baddbmm_(_cut(left, *place), _repeated(right, place[1]))
    return total


def over_items(left: Tensor, right: Tensor, low: torch.dtype | None) -> Tensor:
    """``leftᵀ · right`` summed over the items: ``[G, n, a]`` and ``[G, n, c]`` give ``[G, a, c]``."""
    transposed, its_right = lowered(left, low).mT, lowered(right, low)
    if len(left) == 1:
        return columns_times(transposed[0], its_right[0]).unsqueeze(0).to(left.dtype)
    return torch.bmm(transposed, its_right).to(left.dtype)


def lowered(values: Tensor, low: torch.dtype | None) -> Tensor:
    """`values` in the precision `low`, if there is one."""
    return values if low is None else values.to(low)


def _places(rows: Tensor) -> list[tuple[slice, int]]:
    """Which rows are cut into how many parts: of a tower alone those that divide evenly, then the few that are over."""
    towers, n, _ = rows.shape
    parts = row_parts(n, rows.device) if towers == 1 else 1
    over = n % parts
    return [(slice(0, n - over), parts), *([(slice(n - over, n), 1)] if over else [])]


def _cut(rows: Tensor, place: slice, parts: int) -> Tensor:
    return rows[:, place] if parts == 1 else rows[:, place].view(parts, -1, rows.shape[2])


def _repeated(weight: Tensor, parts: int) -> Tensor:
    return weight if parts == 1 else weight.expand(parts, -1, -1)
