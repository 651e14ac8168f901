"""The blocks of a tower as one operation, whose backward pass is written out.

Left to autograd, a block makes a new buffer for every intermediate result and passes over all items a dozen times. Here
it costs its products, two or three passes forward and as many backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from iisan.models.sanb import SANB, Activation

Scalar = float | Tensor
# What each block has: weight and bias of its two layers; what each block keeps for the backward pass: see `_Kept`.
N_WEIGHTS, N_KEPT = 4, 4


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a pass is made of, apart from numbers.

    Attributes:
        n_blocks: ``K``.
        n_taps: Taps of a block, ``M``.
        gated: Whether a gate a block weighs its one tap against the hidden state; else taps are added to it by shares.
        activation: Of the blocks.
        dropout: Probability with which inner activations are dropped; 0 outside of training.
        low: The lower precision of the products; None where they have that of the numbers.
        keep: Whether a backward pass may follow.
    """

    n_blocks: int
    n_taps: int
    gated: bool
    activation: Activation
    dropout: float
    low: torch.dtype | None
    keep: bool

    def blocks_of(self, tensors: Sequence[Tensor]) -> tuple[list[Sequence[Tensor]], list[Sequence[Tensor]]]:
        """The taps and the weights of each block."""
        end = self.n_blocks * self.n_taps
        taps = [tensors[at : at + self.n_taps] for at in range(0, end, self.n_taps)]
        return taps, [tensors[at : at + N_WEIGHTS] for at in range(end, end + self.n_blocks * N_WEIGHTS, N_WEIGHTS)]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the backward pass needs of a block.

    Attributes:
        x: ``[n, D]``, what the block read.
        inner: ``[n, b]`` before the activation; of ReLU after it, which says as much.
        read: ``[n, b]``, what the second layer read.
        mask: ``[n, b]``, 0 where an activation was dropped, else its scale.
    """

    x: Tensor
    inner: Tensor
    read: Tensor
    mask: Tensor | None


def run_gated(blocks: Sequence[SANB], hidden: Tensor, taps: Sequence[Tensor], gates: Tensor) -> Tensor:
    """``h_k = SANB_k(g_k · tap_k + (1 − g_k) · h_{k−1})`` over all blocks.

    Args:
        blocks: ``K`` blocks, alike in all but their weights.
        hidden: What comes before the first, ``[n, D]``, or ``[1, D]`` where it is the same for every item.
        taps: One a block, ``[n, D]`` or ``[1, D]``; the first is ``[n, D]`` if any is.
        gates: ``[K]``.

    Returns:
        The last hidden state, ``[n, D]``.
    """
    return _run(blocks, hidden, [[tap] for tap in taps], gates, gated=True)


def run_shared(blocks: Sequence[SANB], hidden: Tensor, taps: Sequence[Sequence[Tensor]], shares: Tensor) -> Tensor:
    """``h_k = SANB_k(h_{k−1} + Σ_m s_{k,m} · tap_{k,m})`` over all blocks.

    Args:
        blocks: ``K`` blocks, alike in all but their weights.
        hidden: What comes before the first, ``[n, D]``, or ``[1, D]`` where it is the same for every item.
        taps: ``M`` a block, each ``[n, D]`` or ``[1, D]``; one of the first block's is ``[n, D]`` if any is, unless
            each item has shares of its own.
        shares: ``[K, M]``, or ``[K, M, n, 1]`` where each item has its own.

    Returns:
        The last hidden state, ``[n, D]``.
    """
    return _run(blocks, hidden, taps, shares, gated=False)


def leading_constant(taps: Sequence[Sequence[Tensor]]) -> int:
    """How many blocks come before the first that has a tap which varies over the items; all, if none does."""
    return next((k for k, row in enumerate(taps) if any(len(tap) > 1 for tap in row)), len(taps))


def _run(
    blocks: Sequence[SANB], hidden: Tensor, taps: Sequence[Sequence[Tensor]], weighing: Tensor, *, gated: bool
) -> Tensor:
    device, first = hidden.device.type, blocks[0]
    plan = _Plan(
        n_blocks=len(blocks),
        n_taps=len(taps[0]),
        gated=gated,
        activation=first.activation,
        dropout=first.dropout if first.training else 0.0,
        low=torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None,
        keep=torch.is_grad_enabled(),
    )
    layers = [layer for block in blocks for layer in (block.down, block.up)]
    weights = [part for layer in layers for part in (layer.weight, layer.bias)]
    with torch.autocast(device, enabled=False):
        out: Tensor = _Pass.apply(  # type: ignore[no-untyped-call]
            plan, hidden, weighing, *(tap for row in taps for tap in row), *weights
        )
        return out


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, hidden: Tensor, weighing: Tensor, *tensors: Tensor) -> Tensor:
        taps, weights = plan.blocks_of(tensors)
        # Shares of each item, `[K, M, n, 1]`, make rows differ that are the same for all items.
        n = max(len(one) for one in (hidden, *taps[0], *(weighing[0] if weighing.dim() > 2 else ())))
        # One buffer for the hidden state of all blocks, so that it stays in the cache.
        out, kept, buffer = hidden, [], hidden.new_empty(n, hidden.shape[1])
        for block_taps, block_weights, factors in zip(taps, weights, _factors(weighing), strict=True):
            x = torch.empty_like(buffer) if plan.keep else buffer
            block = _block(plan, _mixed(plan, out, block_taps, factors, x), block_weights)
            out = _after(plan, block, block_weights, buffer)
            if plan.keep:
                kept.append(block)
        if plan.keep:
            ctx.plan = plan
            flat = (part for one in kept for part in (one.x, one.inner, one.read, one.mask))
            ctx.save_for_backward(hidden, weighing, *tensors, *flat)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """From the last block to the first.

        Each block's second bias needs the column sums of the gradient. They follow from those of the block after it, so
        the items are summed once.
        """
        plan: _Plan = ctx.plan
        hidden, weighing, *tensors = ctx.saved_tensors
        n_inputs = len(tensors) - N_KEPT * plan.n_blocks
        taps, weights = plan.blocks_of(tensors)
        kept = [_Kept(*tensors[at : at + N_KEPT]) for at in range(n_inputs, len(tensors), N_KEPT)]
        factors = _factors(weighing)
        for_taps: list[Tensor | None] = [None] * (plan.n_blocks * plan.n_taps)
        for_weights: list[Tensor] = []
        for_factors: list[Tensor] = []
        gradient = gradient.contiguous()
        sums = gradient.sum(dim=0)  # [D]
        for k in reversed(range(plan.n_blocks)):
            block, down = kept[k], weights[k][0]
            inner, for_up = _inner_gradient(plan, block, gradient, weights[k][2])  # [n, b], [D, b]
            inner_sums = inner.sum(dim=0)  # [b]
            for_weights[:0] = [_product(plan, inner.t(), block.x), inner_sums, for_up, sums]
            # The gradient that came in belongs to autograd; from the second block on the buffer is ours.
            gradient = _add_product(plan, gradient, inner, down, fresh=k == plan.n_blocks - 1)
            sums = torch.addmv(sums, down.t(), inner_sums)
            for m, tap in enumerate(taps[k]):
                if ctx.needs_input_grad[3 + k * plan.n_taps + m]:
                    for_taps[k * plan.n_taps + m] = _tap_gradient(gradient, tap, factors[k][m])
            for_factors.insert(0, _factor_gradient(plan, gradient, sums, taps[k], block.x, factors[k]))
            if plan.gated:
                rest = 1 - factors[k][0]
                sums = sums * rest
                gradient = gradient.mul_(rest) if k or len(hidden) == len(gradient) else gradient
        for_hidden = gradient if len(hidden) == len(gradient) else sums.unsqueeze(0)
        return (None, for_hidden, torch.stack(for_factors).view_as(weighing), *for_taps, *for_weights)


def _factors(weighing: Tensor) -> list[list[Scalar]]:
    """For each block the weight of each tap.

    On the CPU as numbers of Python, for which its kernels are vectorised; elsewhere that would make the host wait.
    """
    rows = weighing.unsqueeze(1) if weighing.dim() == 1 else weighing  # [K, M] or [K, M, n, 1]
    if rows.dim() == 2 and rows.device.type == "cpu":
        return cast(list[list[Scalar]], rows.tolist())
    return [list(row.unbind()) for row in rows.unbind()]


def _mixed(plan: _Plan, hidden: Tensor, taps: Sequence[Tensor], factors: Sequence[Scalar], x: Tensor) -> Tensor:
    """What a block reads, written to `x`."""
    if plan.gated:
        return torch.lerp(hidden, taps[0], factors[0], out=x)
    # Taps of all items first: the sum with a single row is a single row, which `x` is not.
    for tap, factor in sorted(zip(taps, factors, strict=True), key=lambda weighed: -len(weighed[0])):
        if isinstance(factor, Tensor):
            torch.addcmul(hidden, tap, factor, out=x)
        else:
            torch.add(hidden, tap, alpha=factor, out=x)
        hidden = x
    return x


def _block(plan: _Plan, x: Tensor, weights: Sequence[Tensor]) -> _Kept:
    """Everything of a block but its second layer."""
    down, bias = _lowered(plan, weights[0]), _lowered(plan, weights[1])
    inner = torch.addmm(bias, _lowered(plan, x), down.t())
    active = inner.relu_() if plan.activation == "relu" else functional.gelu(inner)
    mask = None
    if plan.dropout:
        mask = torch.empty_like(active).bernoulli_(1 - plan.dropout).div_(1 - plan.dropout)
        active = active * mask
    return _Kept(x, inner, active, mask)


def _after(plan: _Plan, block: _Kept, weights: Sequence[Tensor], out: Tensor) -> Tensor:
    """The hidden state after a block, written to `out`, which may be what the block read."""
    up, bias = weights[2], weights[3]
    return _add_product(plan, torch.add(block.x, bias, out=out), block.read, up.t(), fresh=False)


def _inner_gradient(plan: _Plan, block: _Kept, gradient: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of what the activation read, ``[n, b]``, and of the second layer's weight."""
    lowered = _lowered(plan, gradient)
    inner = lowered @ _lowered(plan, up)
    if block.mask is not None:
        inner = inner.mul_(block.mask)
    if plan.activation == "relu":
        inner = torch.ops.aten.threshold_backward(inner, block.inner, 0)
    else:
        inner = torch.ops.aten.gelu_backward(inner, block.inner)
    return inner.to(gradient.dtype), (lowered.t() @ block.read).to(gradient.dtype)


def _factor_gradient(
    plan: _Plan, gradient: Tensor, sums: Tensor, taps: Sequence[Tensor], x: Tensor, factors: Sequence[Scalar]
) -> Tensor:
    """Gradient of a block's gate, or of its shares ``[M]`` or ``[M, n, 1]``."""
    if plan.gated:
        # By the difference of tap and hidden state, which is (tap − x) / (1 − gate): no need to keep the latter. Where
        # the gate is 1, x is the tap; and the gate's own sigmoid has the factor that was divided out.
        moved = _inner_product(gradient, sums, taps[0]) - torch.dot(gradient.view(-1), x.view(-1))
        rest = 1 - factors[0]
        tiny = torch.finfo(moved.dtype).tiny
        return moved / (rest.clamp_min(tiny) if isinstance(rest, Tensor) else max(rest, tiny))
    if isinstance(factors[0], Tensor) and factors[0].dim():
        return torch.stack([(gradient * tap).sum(dim=1, keepdim=True) for tap in taps])
    return torch.stack([_inner_product(gradient, sums, tap) for tap in taps])


def _tap_gradient(gradient: Tensor, tap: Tensor, factor: Scalar) -> Tensor:
    own = gradient * factor
    return own if len(tap) == len(own) else own.sum(dim=0, keepdim=True)


def _inner_product(gradient: Tensor, sums: Tensor, other: Tensor) -> Tensor:
    """Sum of the products of all elements; of one row for all items it takes no more than their column `sums`."""
    if len(other) == len(gradient):
        return torch.dot(gradient.view(-1), other.reshape(-1))
    return torch.dot(sums, other[0])


def _product(plan: _Plan, left: Tensor, right: Tensor) -> Tensor:
    return (_lowered(plan, left) @ _lowered(plan, right)).to(left.dtype)


def _add_product(plan: _Plan, total: Tensor, left: Tensor, right: Tensor, *, fresh: bool) -> Tensor:
    """``total + left · right``, in place of `total` unless the result is to be `fresh`."""
    if plan.low is not None:
        product = _lowered(plan, left) @ _lowered(plan, right)
        return total + product if fresh else total.add_(product)
    return torch.addmm(total, left, right) if fresh else total.addmm_(left, right)


def _lowered(plan: _Plan, values: Tensor) -> Tensor:
    return values if plan.low is None else values.to(plan.low)
