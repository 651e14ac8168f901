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

from iisan.models.dropout_masks import DropoutMasks
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


def run_gated(blocks: Sequence[SANB], taps: Sequence[Tensor], gates: Tensor) -> Tensor:
    """``h_k = SANB_k(g_k · tap_k + (1 − g_k) · h_{k−1})`` over all blocks, with ``h_{−1} = 0``.

    Blocks run on one row for as long as nothing that differs from item to item has entered.

    Args:
        blocks: ``K`` blocks, alike in all but their weights.
        taps: One a block, ``[n, D]``, or ``[1, D]`` where it is the same for every item.
        gates: ``[K]``.

    Returns:
        The last hidden state, ``[n, D]`` (``[1, D]`` if all taps are constant).
    """
    return _run(blocks, [[tap] for tap in taps], gates, gated=True)


def run_shared(blocks: Sequence[SANB], taps: Sequence[Sequence[Tensor]], shares: Tensor) -> Tensor:
    """``h_k = SANB_k(h_{k−1} + Σ_m s_{k,m} · tap_{k,m})`` over all blocks, with ``h_{−1} = 0``.

    Args:
        blocks: ``K`` blocks, alike in all but their weights.
        taps: ``M`` a block, each as in :func:`run_gated`.
        shares: ``[K, M]``, or ``[K, M, n, 1]`` where each item has its own.

    Returns:
        The last hidden state, ``[n, D]`` (``[1, D]`` if nothing differs from item to item).
    """
    return _run(blocks, taps, shares, gated=False)


def _run(blocks: Sequence[SANB], taps: Sequence[Sequence[Tensor]], weighing: Tensor, *, gated: bool) -> Tensor:
    device, first = weighing.device.type, blocks[0]
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
            plan, weighing, *(tap for row in taps for tap in row), *weights
        )
        return out


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, weighing: Tensor, *tensors: Tensor) -> Tensor:
        taps, weights = plan.blocks_of(tensors)
        kept: list[_Kept] = []
        for k, (row, factors) in enumerate(zip(taps, _factors(weighing), strict=True)):
            mix = _Mix(plan.gated, row, factors)
            x = _next(plan, kept[-1], weights[k - 1], mix) if k else mix.alone()
            kept = [*(kept if plan.keep else ()), _block(plan, x, weights[k])]
        if plan.keep:
            ctx.plan = plan
            flat = (part for one in kept for part in (one.x, one.inner, one.read, one.mask))
            ctx.save_for_backward(weighing, *tensors, *flat)
        return _after(plan, kept[-1], weights[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """From the last block to the first.

        Each block's second bias needs the column sums of the gradient. They follow from those of the block after it, so
        the items are summed once.
        """
        plan: _Plan = ctx.plan
        weighing, *tensors = ctx.saved_tensors
        n_inputs = len(tensors) - N_KEPT * plan.n_blocks
        taps, weights = plan.blocks_of(tensors)
        kept = [_Kept(*tensors[at : at + N_KEPT]) for at in range(n_inputs, len(tensors), N_KEPT)]
        factors = _factors(weighing)
        for_taps: list[Tensor | None] = [None] * (plan.n_blocks * plan.n_taps)
        for_weights: list[Tensor] = []
        for_factors: list[Scalar] = []
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
                if ctx.needs_input_grad[2 + k * plan.n_taps + m]:
                    for_taps[k * plan.n_taps + m] = _tap_gradient(gradient, tap, factors[k][m])
            products = [_inner_product(gradient, sums, tap, factors[k][0]) for tap in taps[k]]
            if plan.gated and k:
                rest = 1 - factors[k][0]
                products = [_gate_gradient(products[0], _dot(gradient, block.x), rest)]
                sums = sums * rest
                gradient = gradient.mul_(rest) if len(kept[k - 1].x) == len(gradient) else gradient
            for_factors[:0] = products
            if k and len(kept[k - 1].x) < len(gradient):
                gradient = sums.unsqueeze(0).clone()
        return (None, _stacked(for_factors, weighing), *for_taps, *for_weights)


@dataclass(frozen=True, slots=True)
class _Mix:
    """How the taps of a block enter it.

    Attributes:
        gated: Whether a gate weighs the one tap against the hidden state, or taps are added to it.
        taps: ``M``, each ``[n, D]`` or ``[1, D]``.
        factors: Weight of each tap.
    """

    gated: bool
    taps: Sequence[Tensor]
    factors: Sequence[Scalar]

    @property
    def n(self) -> int:
        """The rows of what is mixed."""
        shares = (len(one) for one in self.factors if isinstance(one, Tensor) and one.dim())
        return max(*(len(tap) for tap in self.taps), *shares, 1)

    @property
    def rest(self) -> Scalar:
        """The weight of the hidden state."""
        return 1 - self.factors[0] if self.gated else 1.0

    def alone(self) -> Tensor:
        """The taps without a hidden state, ``[n, D]``."""
        (tap, factor), *others = self._widest_first()
        x = tap * factor
        for other, its_factor in others:
            _add_scaled(x, other, its_factor, x)
        return x

    def into(self, hidden: Tensor, out: Tensor) -> Tensor:
        """The hidden state with the taps, written to `out` ``[n, D]``, which may be the hidden state."""
        if self.gated:
            return torch.lerp(hidden, self.taps[0], self.factors[0], out=out)
        for tap, factor in self._widest_first():
            hidden = _add_scaled(hidden, tap, factor, out)
        return hidden

    def _widest_first(self) -> list[tuple[Tensor, Scalar]]:
        """The sum of the first two already has all rows, as the buffer it is written to."""
        return sorted(zip(self.taps, self.factors, strict=True), key=lambda weighed: -len(weighed[0]))


def _add_scaled(total: Tensor, tap: Tensor, factor: Scalar, out: Tensor) -> Tensor:
    if isinstance(factor, Tensor):
        return torch.addcmul(total, tap, factor, out=out)
    return torch.add(total, tap, alpha=factor, out=out)


def _factors(weighing: Tensor) -> list[list[Scalar]]:
    """For each block the weight of each tap.

    On the CPU as numbers of Python, for which its kernels are vectorised; elsewhere that would make the host wait.
    """
    rows = weighing.unsqueeze(1) if weighing.dim() == 1 else weighing  # [K, M] or [K, M, n, 1]
    if rows.dim() == 2 and rows.device.type == "cpu":
        return cast(list[list[Scalar]], rows.tolist())
    return [list(row.unbind()) for row in rows.unbind()]


def _stacked(factors: Sequence[Scalar], weighing: Tensor) -> Tensor:
    """The gradient of the weights of all taps, in their shape."""
    parts = [part for part in factors if isinstance(part, Tensor)]
    if parts:
        return torch.stack(parts).view_as(weighing)
    return torch.tensor(factors, dtype=weighing.dtype).view_as(weighing)


def _next(plan: _Plan, block: _Kept, weights: Sequence[Tensor], mix: _Mix) -> Tensor:
    """What a block reads: what the one before it gives, mixed with its own taps."""
    if mix.n > len(block.x):
        return mix.into(_after(plan, block, weights), block.x.new_empty(mix.n, block.x.shape[1]))
    # The product goes straight to where it is read, so that the hidden state in between takes no pass of its own.
    x = mix.into(block.x, torch.empty_like(block.x) if plan.keep else block.x)
    return _add_layer(plan, x, block.read, weights, mix.rest)


def _after(plan: _Plan, block: _Kept, weights: Sequence[Tensor]) -> Tensor:
    """The hidden state after a block."""
    return _add_layer(plan, block.x.clone() if plan.keep else block.x, block.read, weights, 1.0)


def _add_layer(plan: _Plan, total: Tensor, read: Tensor, weights: Sequence[Tensor], scale: Scalar) -> Tensor:
    """Adds what a block's second layer gives, times `scale`, to `total`."""
    up, bias = weights[2], weights[3]
    if isinstance(scale, Tensor):
        return _add_product(plan, total.add_(bias * scale), read * scale, up.t())
    return _add_product(plan, total.add_(bias, alpha=scale), read, up.t(), scale)


def _block(plan: _Plan, x: Tensor, weights: Sequence[Tensor]) -> _Kept:
    """Everything of a block but its second layer."""
    down, bias = _lowered(plan, weights[0]), _lowered(plan, weights[1])
    inner = torch.mm(_lowered(plan, x), down.t()).add_(bias)
    active = inner.relu_() if plan.activation == "relu" else functional.gelu(inner)
    mask = DropoutMasks(plan.dropout, active.numel(), active).next(*active.shape)
    return _Kept(x, inner, active if mask is None else active * mask, mask)


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


def _gate_gradient(of_tap: Scalar, of_x: Scalar, rest: Scalar) -> Scalar:
    """Gradient of a gate from the inner products of the gradient with its tap and with what the block read.

    The gate's is that with the difference of tap and hidden state, which is ``(tap − x) / (1 − gate)``: no need to keep
    the latter. Where the gate is 1, x is the tap; and the gate's own sigmoid has the factor that was divided out.
    """
    tiny = torch.finfo(torch.float32).tiny
    return (of_tap - of_x) / (rest.clamp_min(tiny) if isinstance(rest, Tensor) else max(rest, tiny))


def _tap_gradient(gradient: Tensor, tap: Tensor, factor: Scalar) -> Tensor:
    own = gradient * factor
    return own if len(tap) == len(own) else own.sum(dim=0, keepdim=True)


def _inner_product(gradient: Tensor, sums: Tensor, tap: Tensor, factor: Scalar) -> Scalar:
    """Of the gradient and a tap, over all elements; for each item ``[n, 1]`` where it has a weight of its own."""
    if isinstance(factor, Tensor) and factor.dim():
        return (gradient * tap).sum(dim=1, keepdim=True)
    # Of one row for all items it takes no more than the column sums.
    return _dot(gradient, tap) if len(tap) == len(gradient) else _dot(sums, tap)


def _dot(left: Tensor, right: Tensor) -> Scalar:
    product = torch.dot(left.reshape(-1), right.reshape(-1))
    return product.item() if product.device.type == "cpu" else product


def _product(plan: _Plan, left: Tensor, right: Tensor) -> Tensor:
    return (_lowered(plan, left) @ _lowered(plan, right)).to(left.dtype)


def _add_product(
    plan: _Plan, total: Tensor, left: Tensor, right: Tensor, scale: float = 1.0, *, fresh: bool = False
) -> Tensor:
    """``total + scale · left · right``, in place of `total` unless the result is to be `fresh`."""
    if plan.low is not None:
        product = _lowered(plan, left) @ _lowered(plan, right)
        return torch.add(total, product, alpha=scale) if fresh else total.add_(product, alpha=scale)
    if fresh:
        return torch.addmm(total, left, right, alpha=scale)
    return total.addmm_(left, right, alpha=scale)


def _lowered(plan: _Plan, values: Tensor) -> Tensor:
    return values if plan.low is None else values.to(plan.low)
