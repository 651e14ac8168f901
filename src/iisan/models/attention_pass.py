"""Causal self-attention over the real slots of short histories as one operation, backward pass included.

Histories are short and mostly padding, so attention costs calls rather than arithmetic. Left to autograd it takes some
sixty of them; here it takes twenty.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from iisan.models.slots import Slots


def attend(heads: Tensor, bias: Tensor, n_heads: int, slots: Slots, kept: Tensor | None) -> Tensor:
    """``softmax(q · kᵀ / √e + bias) · v`` for each history and head.

    Args:
        heads: ``[R, 3d]``, query, key and value of each slot that `slots` takes; ``d`` is ``n_heads · e``.
        bias: ``[B · n_heads, L, L]``, 0 where a query may see a key and ``-inf`` elsewhere; each may see one at least.
        n_heads: Number of heads.
        slots: Where the rows of `heads` stand in the histories.
        kept: What to multiply the weights with, ``[B · n_heads, L, L]``: 0 where one is dropped; None for no dropout.

    Returns:
        ``[R, d]``.
    """
    out: Tensor = _Attention.apply(heads, bias, n_heads, slots, kept)  # type: ignore[no-untyped-call]
    return out


def attention_bias(visible: Tensor, n_heads: int, dtype: torch.dtype) -> Tensor:
    """What :func:`attend` adds: ``[B · n_heads, L, L]`` from ``[B, 1, L, L]``, True where a query may see a key."""
    batch, _, length, _ = visible.shape
    hidden = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, -torch.inf)
    return hidden.expand(batch, n_heads, length, length).reshape(batch * n_heads, length, length)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, heads: Tensor, bias: Tensor, n_heads: int, slots: Slots, kept: Tensor | None) -> Tensor:
        length, width = bias.shape[-1], heads.shape[1] // 3
        query, key, value = split = _by_head(slots.spread(heads), 3, length, n_heads)  # [B · heads, L, e] each
        scale = 1 / math.sqrt(width // n_heads)
        weights = torch.softmax(torch.baddbmm(bias, query, key.transpose(1, 2), alpha=scale), dim=-1)
        dropped = weights if kept is None else weights * kept
        ctx.save_for_backward(split, weights, dropped, kept)
        ctx.n_heads, ctx.slots, ctx.scale = n_heads, slots, scale
        return slots.take(_by_slot(torch.bmm(dropped, value).unsqueeze(0), n_heads))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        split, weights, dropped, kept = ctx.saved_tensors
        query, key, value = split
        (of_mixed,) = _by_head(ctx.slots.spread(gradient), 1, weights.shape[-1], ctx.n_heads)
        of_split = torch.empty_like(split)
        torch.bmm(dropped.transpose(1, 2), of_mixed, out=of_split[2])
        of_weights = torch.bmm(of_mixed, value.transpose(1, 2))
        if kept is not None:
            of_weights.mul_(kept)
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
        torch.bmm(of_scores, key, out=of_split[0])
        torch.bmm(of_scores.transpose(1, 2), query, out=of_split[1])
        return ctx.slots.take(_by_slot(of_split, ctx.n_heads)), None, None, None, None


def _by_head(rows: Tensor, parts: int, length: int, n_heads: int) -> Tensor:
    """From ``[B · L, parts · d]`` to ``[parts, B · n_heads, L, e]``."""
    batch, width = len(rows) // length, rows.shape[1] // parts // n_heads
    split = rows.view(batch, length, parts, n_heads, width).permute(2, 0, 3, 1, 4)
    return split.reshape(parts, batch * n_heads, length, width)


def _by_slot(split: Tensor, n_heads: int) -> Tensor:
    """From ``[parts, B · n_heads, L, e]`` to ``[B · L, parts · d]``."""
    parts, lines, length, width = split.shape
    batch = lines // n_heads
    rows = split.view(parts, batch, n_heads, length, width).permute(1, 3, 0, 2, 4)
    return rows.reshape(batch * length, parts * n_heads * width)
