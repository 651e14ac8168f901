"""The blocks of a tower, or of several alike, as one operation, whose backward pass is written out.

Left to autograd, a block makes a new buffer for every intermediate result and passes over all items a dozen times. Here
it costs its products, two or three passes forward and as many backward. Towers side by side share their products'
calls: on a CPU each core then has a product of its own, where it would else have a part of a small one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
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
        n_towers: ``G``.
        n_blocks: ``K`` of each tower.
        n_taps: Taps of a block, ``M``.
        gated: Whether a gate a block weighs its one tap against the hidden state; else taps are added to it by shares.
        activation: Of the blocks.
        dropout: Probability with which inner activations are dropped; 0 outside of training.
        low: The lower precision of the products; None where they have that of the numbers.
        keep: Whether a backward pass may follow.
    """

    n_towers: int
    n_blocks: int
    n_taps: int
    gated: bool
    activation: Activation
    dropout: float
    low: torch.dtype | None
    keep: bool

    @property
    def n_tap_inputs(self) -> int:
        """Taps of all blocks of all towers."""
        return self.n_towers * self.n_blocks * self.n_taps

    def taps_of(self, tensors: Sequence[Tensor]) -> list[list[Sequence[Tensor]]]:
        """The taps ``[K][G][M]`` from those of all towers one after the other."""
        return self._by_block(tensors, self.n_taps)

    def weights_of(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """The weights ``[K][4]`` of all towers side by side, ``[G, ...]``, from those one after the other."""
        if self.n_towers == 1:
            return [[part.unsqueeze(0) for part in block] for (block,) in self._by_block(tensors, N_WEIGHTS)]
        # One copy for each kind of weight takes half the time of one for each weight.
        parts = [torch.stack(list(tensors[part::N_WEIGHTS])) for part in range(N_WEIGHTS)]
        sides = [part.view(self.n_towers, self.n_blocks, *part.shape[1:]).unbind(1) for part in parts]
        return [list(block) for block in zip(*sides, strict=True)]

    def _by_block(self, tensors: Sequence[Tensor], width: int) -> list[list[Sequence[Tensor]]]:
        starts = range(0, self.n_towers * self.n_blocks * width, self.n_blocks * width)
        offsets = range(0, self.n_blocks * width, width)
        return [[tensors[start + at : start + at + width] for start in starts] for at in offsets]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What the backward pass needs of a block of each tower.

    Attributes:
        x: ``[G, n, D]``, what the block read.
        inner: ``[G, n, b]`` before the activation; of ReLU after it, which says as much.
        read: ``[G, n, b]``, what the second layer read.
        mask: ``[G, n, b]``, 0 where an activation was dropped, else its scale.
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
    (hidden,) = run_gated_towers([blocks], [taps], [gates])
    return hidden


def run_gated_towers(
    towers: Sequence[Sequence[SANB]], taps: Sequence[Sequence[Tensor]], gates: Sequence[Tensor]
) -> Sequence[Tensor]:
    """What :func:`run_gated` gives for each of ``G`` towers of the same shape.

    Args:
        towers: The ``K`` blocks of each.
        taps: The taps of each; all towers have the same rows in the same blocks.
        gates: Those of each.

    Returns:
        The last hidden state of each.
    """
    return _run(towers, [[[tap] for tap in its] for its in taps], torch.stack(list(gates)).unsqueeze(2), gated=True)


def run_shared(blocks: Sequence[SANB], taps: Sequence[Sequence[Tensor]], shares: Tensor) -> Tensor:
    """``h_k = SANB_k(h_{k−1} + Σ_m s_{k,m} · tap_{k,m})`` over all blocks, with ``h_{−1} = 0``.

    Args:
        blocks: ``K`` blocks, alike in all but their weights.
        taps: ``M`` a block, each as in :func:`run_gated`.
        shares: ``[K, M]``, or ``[K, M, n, 1]`` where each item has its own.

    Returns:
        The last hidden state, ``[n, D]`` (``[1, D]`` if nothing differs from item to item).
    """
    (hidden,) = _run([blocks], [taps], shares.unsqueeze(0), gated=False)
    return hidden


def _run(
    towers: Sequence[Sequence[SANB]], taps: Sequence[Sequence[Sequence[Tensor]]], weighing: Tensor, *, gated: bool
) -> Sequence[Tensor]:
    """Runs ``G`` towers with taps ``[G][K][M]`` and their weights ``[G, K, M]`` or ``[G, K, M, n, 1]``."""
    device, first = weighing.device.type, towers[0][0]
    plan = _Plan(
        n_towers=len(towers),
        n_blocks=len(towers[0]),
        n_taps=len(taps[0][0]),
        gated=gated,
        activation=first.activation,
        dropout=first.dropout if first.training else 0.0,
        low=torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None,
        keep=torch.is_grad_enabled(),
    )
    layers = [layer for blocks in towers for block in blocks for layer in (block.down, block.up)]
    weights = [part for layer in layers for part in (layer.weight, layer.bias)]
    with torch.autocast(device, enabled=False):
        out: Sequence[Tensor] = _Pass.apply(  # type: ignore[no-untyped-call]
            plan, weighing, *(tap for rows in taps for row in rows for tap in row), *weights
        )
        return out


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, weighing: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        taps, weights = plan.taps_of(tensors), plan.weights_of(tensors[plan.n_tap_inputs :])
        kept: list[_Kept] = []
        for k, (row, factors) in enumerate(zip(taps, _factors(weighing), strict=True)):
            mixes = [_Mix(plan.gated, *its) for its in zip(row, factors, strict=True)]
            x = _next(plan, kept[-1], weights[k - 1], mixes) if k else _side_by_side([mix.alone() for mix in mixes])
            kept = [*(kept if plan.keep else ()), _block(plan, x, weights[k])]
        if plan.keep:
            ctx.plan = plan
            flat = (part for one in kept for part in (one.x, one.inner, one.read, one.mask))
            ctx.save_for_backward(
                weighing, *tensors[: plan.n_tap_inputs], *(part for block in weights for part in block), *flat
            )
        return _after(plan, kept[-1], weights[-1]).unbind()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """From the last block to the first.

        Each block's second bias needs the column sums of the gradient. They follow from those of the block after it, so
        the items are summed once.
        """
        plan: _Plan = ctx.plan
        weighing, *tensors = ctx.saved_tensors
        taps, weights, kept = _saved(plan, tensors)
        factors = _factors(weighing)
        for_taps: dict[tuple[int, int, int], Tensor] = {}
        for_weights: list[list[Tensor]] = []
        for_factors: list[list[list[Scalar]]] = []
        gradient = _side_by_side(gradients).contiguous()  # [G, n, D]
        sums = gradient.sum(dim=1)  # [G, D]
        for k in reversed(range(plan.n_blocks)):
            block, down = kept[k], weights[k][0]
            inner, for_up = _inner_gradient(plan, block, gradient, weights[k][2])  # [G, n, b], [G, D, b]
            inner_sums = inner.sum(dim=1)  # [G, b]
            for_weights.insert(0, [_product(plan, inner.mT, block.x), inner_sums, for_up, sums])
            # One gradient that came in belongs to autograd; several were put into a buffer that is ours.
            fresh = k == plan.n_blocks - 1 and plan.n_towers == 1
            gradient = _add_product(plan, gradient, inner, down, fresh=fresh)
            sums = torch.baddbmm(sums.unsqueeze(1), inner_sums.unsqueeze(1), down).squeeze(1)
            wanted = ctx.needs_input_grad[2 + k * plan.n_taps :]
            for g, m in product(range(plan.n_towers), range(plan.n_taps)):
                if wanted[g * plan.n_blocks * plan.n_taps + m]:
                    for_taps[g, k, m] = _tap_gradient(gradient[g], taps[k][g][m], factors[k][g][m])
            for_factors.insert(0, _factor_gradients(plan, k, block, (gradient, sums), taps[k], factors[k]))
            if plan.gated and k:
                rests = [1 - its[0] for its in factors[k]]
                sums = _scaled(sums, rests)
                if kept[k - 1].x.shape[1] == gradient.shape[1]:
                    _scaled(gradient, rests, out=gradient)
            if k and kept[k - 1].x.shape[1] < gradient.shape[1]:
                gradient = sums.unsqueeze(1).clone()
        each = product(range(plan.n_towers), range(plan.n_blocks), range(plan.n_taps))
        parts = product(range(plan.n_towers), range(plan.n_blocks), range(N_WEIGHTS))
        return (
            None,
            _stacked([for_factors[k][g] for g in range(plan.n_towers) for k in range(plan.n_blocks)], weighing),
            *(for_taps.get(place) for place in each),
            *(for_weights[k][part][g] for g, k, part in parts),
        )


def _saved(
    plan: _Plan, tensors: Sequence[Tensor]
) -> tuple[list[list[Sequence[Tensor]]], list[Sequence[Tensor]], list[_Kept]]:
    """Taps ``[K][G][M]``, weights ``[K][4]`` and what was kept of each block."""
    middle = plan.n_tap_inputs
    end = middle + N_WEIGHTS * plan.n_blocks
    weights = [tensors[at : at + N_WEIGHTS] for at in range(middle, end, N_WEIGHTS)]
    kept = [_Kept(*tensors[at : at + N_KEPT]) for at in range(end, len(tensors), N_KEPT)]
    return plan.taps_of(tensors), weights, kept


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(list(parts))


@dataclass(frozen=True, slots=True)
class _Mix:
    """How the taps of a block of one tower enter it.

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


def _factors(weighing: Tensor) -> list[list[list[Scalar]]]:
    """For each block the weights ``[G][M]`` of the taps, from ``[G, K, M]`` or ``[G, K, M, n, 1]``.

    On the CPU as numbers of Python, for which its kernels are vectorised; elsewhere that would make the host wait.
    """
    blocks = weighing.transpose(0, 1)
    if weighing.dim() == 3 and weighing.device.type == "cpu":
        return cast(list[list[list[Scalar]]], blocks.tolist())
    return [[list(tower.unbind()) for tower in block.unbind()] for block in blocks.unbind()]


def _stacked(factors: Sequence[Sequence[Scalar]], weighing: Tensor) -> Tensor:
    """The gradient of the weights of all taps, in their shape."""
    flat = [one for row in factors for one in row]
    parts = [part for part in flat if isinstance(part, Tensor)]
    if parts:
        return torch.stack(parts).view_as(weighing)
    return torch.tensor(flat, dtype=weighing.dtype).view_as(weighing)


def _scaled(values: Tensor, factors: Sequence[Scalar], out: Tensor | None = None) -> Tensor:
    """Each tower's part of `values` ``[G, ...]`` times its factor, in `out` if that is given."""
    out = torch.empty_like(values) if out is None else out
    for part, factor, result in zip(values, factors, out, strict=True):
        torch.mul(part, factor, out=result)
    return out


def _next(plan: _Plan, block: _Kept, weights: Sequence[Tensor], mixes: Sequence[_Mix]) -> Tensor:
    """What a block of each tower reads: what the one before it gives, mixed with its own taps."""
    if mixes[0].n > block.x.shape[1]:
        hidden = _after(plan, block, weights)
        x = hidden.new_empty(plan.n_towers, mixes[0].n, hidden.shape[2])
        return _mixed(mixes, hidden, x)
    # The product goes straight to where it is read, so that the hidden state in between takes no pass of its own.
    x = _mixed(mixes, block.x, torch.empty_like(block.x) if plan.keep else block.x)
    return _add_layer(plan, x, block.read, weights, [mix.rest for mix in mixes])


def _mixed(mixes: Sequence[_Mix], hidden: Tensor, out: Tensor) -> Tensor:
    for mix, before, x in zip(mixes, hidden, out, strict=True):
        mix.into(before, x)
    return out


def _after(plan: _Plan, block: _Kept, weights: Sequence[Tensor]) -> Tensor:
    """The hidden state of each tower after a block."""
    return _add_layer(plan, block.x.clone() if plan.keep else block.x, block.read, weights, [1.0] * plan.n_towers)


def _add_layer(plan: _Plan, total: Tensor, read: Tensor, weights: Sequence[Tensor], scales: Sequence[Scalar]) -> Tensor:
    """Adds what a block's second layer gives, times each tower's scale, to `total`."""
    up, bias = weights[2], weights[3]
    if any(isinstance(scale, Tensor) or scale != 1.0 for scale in scales):
        read, bias = _scaled(read, scales), _scaled(bias, scales)
    return _add_product(plan, total.add_(bias.unsqueeze(1)), read, up.mT)


def _block(plan: _Plan, x: Tensor, weights: Sequence[Tensor]) -> _Kept:
    """Everything of a block of each tower but its second layer."""
    down, bias = _lowered(plan, weights[0]), _lowered(plan, weights[1])
    inner = torch.bmm(_lowered(plan, x), down.mT).add_(bias.unsqueeze(1))
    active = inner.relu_() if plan.activation == "relu" else functional.gelu(inner)
    mask = DropoutMasks(plan.dropout, active.numel(), active).next(*active.shape)
    return _Kept(x, inner, active if mask is None else active * mask, mask)


def _inner_gradient(plan: _Plan, block: _Kept, gradient: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of what the activation read, ``[G, n, b]``, and of the second layer's weight."""
    lowered = _lowered(plan, gradient)
    inner = lowered @ _lowered(plan, up)
    if block.mask is not None:
        inner = inner.mul_(block.mask)
    if plan.activation == "relu":
        inner = torch.ops.aten.threshold_backward(inner, block.inner, 0)
    else:
        inner = torch.ops.aten.gelu_backward(inner, block.inner)
    return inner.to(gradient.dtype), (lowered.mT @ block.read).to(gradient.dtype)


def _factor_gradients(
    plan: _Plan,
    k: int,
    block: _Kept,
    of_x: tuple[Tensor, Tensor],
    taps: Sequence[Sequence[Tensor]],
    factors: Sequence[Sequence[Scalar]],
) -> list[list[Scalar]]:
    """Gradients of the weights ``[G][M]`` of the taps of block `k`.

    Args:
        plan: Of the pass.
        k: The first block has no hidden state to weigh a tap against.
        block: What was kept of it.
        of_x: Gradient of what the block read, ``[G, n, D]``, and its column sums ``[G, D]``.
        taps: ``[G][M]``.
        factors: Their weights.
    """
    products = [
        [_inner_product(gradient, sums, tap, its_factors[0]) for tap in its]
        for gradient, sums, its, its_factors in zip(*of_x, taps, factors, strict=True)
    ]
    if not plan.gated or not k:
        return products
    return [
        [_gate_gradient(of_tap, _dot(gradient, x), 1 - gate)]
        for (of_tap,), gradient, x, (gate,) in zip(products, of_x[0], block.x, factors, strict=True)
    ]


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
    dot = torch.dot(left.reshape(-1), right.reshape(-1))
    return dot.item() if dot.device.type == "cpu" else dot


def _product(plan: _Plan, left: Tensor, right: Tensor) -> Tensor:
    return (_lowered(plan, left) @ _lowered(plan, right)).to(left.dtype)


def _add_product(plan: _Plan, total: Tensor, left: Tensor, right: Tensor, *, fresh: bool = False) -> Tensor:
    """``total + left · right``, in place of `total` unless the result is to be `fresh`."""
    if plan.low is not None:
        added = _lowered(plan, left) @ _lowered(plan, right)
        return torch.add(total, added) if fresh else total.add_(added)
    return torch.baddbmm(total, left, right) if fresh else total.baddbmm_(left, right)


def _lowered(plan: _Plan, values: Tensor) -> Tensor:
    return values if plan.low is None else values.to(plan.low)
