"""The products of a head, forward and backward, cut so that each core of a CPU has parts of its own.

They are what an autograd engine would compute, apart from how they are cut. In a lower precision, or where there is
nothing to divide them among, they are left to it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from iisan.models.column_products import columns_times
from iisan.models.tower_products import rows_times


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """``left · right``, ``[k, a]`` times ``[a, c]``."""
    if not _divided(left):
        return left @ right
    product: Tensor = _MatrixProduct.apply(left, right)  # type: ignore[no-untyped-call]
    return product


def linear(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``hidden · weightᵀ + bias``: ``[n, D]`` and ``[k, D]`` give ``[n, k]``."""
    if not _divided(hidden):
        return functional.linear(hidden, weight, bias)
    out: Tensor = _Linear.apply(hidden, weight, bias)  # type: ignore[no-untyped-call]
    return out


def _divided(values: Tensor) -> bool:
    device = values.device.type
    return device == "cpu" and torch.get_num_threads() > 1 and not torch.is_autocast_enabled(device)


class _MatrixProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return columns_times(left, right)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        for_left, for_right = ctx.needs_input_grad
        return (
            columns_times(gradient, right.mT) if for_left else None,
            left.mT @ gradient if for_right else None,
        )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(hidden, weight)
        return _rows_times(hidden, weight.mT).add_(bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        hidden, weight = ctx.saved_tensors
        for_hidden, for_weight, for_bias = ctx.needs_input_grad
        return (
            _rows_times(gradient, weight) if for_hidden else None,
            columns_times(gradient.mT, hidden) if for_weight else None,
            gradient.sum(dim=0) if for_bias else None,
        )


def _rows_times(left: Tensor, right: Tensor) -> Tensor:
    return rows_times(left.contiguous().unsqueeze(0), right.unsqueeze(0), None).squeeze(0)
