"""Products of items with a block's weights, for towers side by side ``[G, n, ·]``, in the precision asked for.

On a CPU a product of one tower is cut into parts of its items, one a core: a library that is given one product with few
columns divides it among its threads less well than several of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.models.row_parts import row_parts


def rows_times(left: Tensor, right: Tensor, low: torch.dtype | None) -> Tensor:
    """``left · right``: ``[G, n, a]`` contiguous times ``[G, a, c]``, in the precision `low` if there is one."""
    parts = _parts(left)
    product = torch.bmm(_cut(lowered(left, low), parts), _repeated(lowered(right, low), parts))
    return product.view(*left.shape[:2], -1)


def add_rows_times(total: Tensor, left: Tensor, right: Tensor, low: torch.dtype | None, *, fresh: bool) -> Tensor:
    """``total + left · right``, in place of the contiguous `total` unless the result is to be `fresh`."""
    if low is not None:
        added = rows_times(left, right, low)
        return torch.add(total, added) if fresh else total.add_(added)
    parts = _parts(left)
    operands = _cut(total, parts), _cut(left, parts), _repeated(right, parts)
    return torch.baddbmm(*operands).view_as(total) if fresh else operands[0].baddbmm_(*operands[1:]).view_as(total)


def over_items(left: Tensor, right: Tensor, low: torch.dtype | None) -> Tensor:
    """``leftᵀ · right`` summed over the items: ``[G, n, a]`` and ``[G, n, c]`` give ``[G, a, c]``."""
    return torch.bmm(lowered(left, low).mT, lowered(right, low)).to(left.dtype)


def lowered(values: Tensor, low: torch.dtype | None) -> Tensor:
    """`values` in the precision `low`, if there is one."""
    return values if low is None else values.to(low)


def _parts(left: Tensor) -> int:
    towers, n, _ = left.shape
    return row_parts(n, left.device) if towers == 1 else 1


def _cut(rows: Tensor, parts: int) -> Tensor:
    return rows if parts == 1 else rows.view(parts, -1, rows.shape[2])


def _repeated(weight: Tensor, parts: int) -> Tensor:
    return weight if parts == 1 else weight.expand(parts, -1, -1)
