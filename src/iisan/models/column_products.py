"""Products of a few rows with a wide matrix, the columns of which are divided among the cores of a CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from iisan.models.product_parts import column_parts


def columns_times(left: Tensor, right: Tensor) -> Tensor:
    """``left · right``, ``[k, a]`` times ``[a, c]``, either of which may be a transposed view."""
    parts = column_parts(right.shape[1], right.device)
    if parts == 1:
        return left @ right
    cut = right.view(len(right), parts, -1).transpose(0, 1)  # [parts, a, c / parts]
    products = torch.bmm(left.expand(parts, -1, -1), cut)  # [parts, k, c / parts]
    return products.transpose(0, 1).reshape(len(left), right.shape[1])
