"""The blocks of a tower, or of several alike, as one operation, whose backward pass is written out.

Left to autograd, a block makes a new buffer for every intermediate result and passes over all items a dozen times. Here
it costs its products, two or three passes forward and one or two backward. On a CPU each core has products of its own
rather than parts of one that is small: those of a tower where several run side by side, else those of some items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from iisan.models.dropout_masks import DropoutMasks
from iisan.models.entering_taps import EnteringTaps
from iisan.models.sanb import SANB
from iisan.models.tower_gradients import tower_gradients
from iisan.models.tower_plan import KeptBlock, TowerPlan
from iisan.models.tower_products import add_rows_times, lowered, rows_times


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
    plan = TowerPlan(
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
    def forward(ctx: Any, plan: TowerPlan, weighing: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        weights, rests = plan.weights_of(inputs), 1 - weighing if plan.gated else None
        kept: list[KeptBlock] = []
        for k in range(plan.n_blocks):
            entering = EnteringTaps.of_block(plan, k, weighing, inputs)
            if k:
                rest = None if rests is None else rests[:, k].unsqueeze(2)  # [G, 1, 1]
                x = _next(plan, kept[-1], weights[k - 1], entering, rest)
            else:
                x = _first(plan, entering)
            kept = [*(kept if plan.keep else ()), _block(plan, x, weights[k])]
        if plan.keep:
            ctx.plan = plan
            ctx.save_for_backward(weighing, *inputs, *(part for block in kept for part in block.packed()))
        return _after(plan, kept[-1], weights[-1]).unbind()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plan: TowerPlan = ctx.plan
        weighing, *saved = ctx.saved_tensors
        inputs, kept = saved[: plan.n_inputs], KeptBlock.unpacked(saved[plan.n_inputs :])
        return None, *tower_gradients(plan, weighing, inputs, kept, gradients, ctx.needs_input_grad[2:])


def _first(plan: TowerPlan, entering: Sequence[EnteringTaps]) -> Tensor:
    """What the first block of each tower reads, ``[G, n, D]``: its taps alone."""
    tap, _ = entering[0].weighed[0]
    x = tap.new_empty(plan.n_towers, entering[0].rows, tap.shape[2])
    for taps in entering:
        taps.alone(x)
    return x


def _next(
    plan: TowerPlan,
    block: KeptBlock,
    weights: Sequence[Tensor],
    entering: Sequence[EnteringTaps],
    rest: Tensor | None,
) -> Tensor:
    """What a block of each tower reads: what the one before it gives, times `rest`, with its own taps."""
    if entering[0].rows > block.x.shape[1]:
        hidden = _after(plan, block, weights)
        return _mixed(entering, hidden, hidden.new_empty(plan.n_towers, entering[0].rows, hidden.shape[2]))
    # The product goes straight to where it is read, so that the hidden state in between takes no pass of its own.
    x = _mixed(entering, block.x, torch.empty_like(block.x) if plan.keep else block.x)
    return _add_layer(plan, x, block.read, weights, rest)


def _mixed(entering: Sequence[EnteringTaps], hidden: Tensor, out: Tensor) -> Tensor:
    for taps in entering:
        taps.into(hidden, out)
    return out


def _after(plan: TowerPlan, block: KeptBlock, weights: Sequence[Tensor]) -> Tensor:
    """The hidden state of each tower after a block."""
    return _add_layer(plan, block.x.clone() if plan.keep else block.x, block.read, weights, None)


def _add_layer(plan: TowerPlan, total: Tensor, read: Tensor, weights: Sequence[Tensor], rest: Tensor | None) -> Tensor:
    """Adds what a block's second layer gives, times `rest` if there is one, to `total`."""
    up, bias = weights[2], weights[3].unsqueeze(1)
    if rest is not None:
        read, bias = read * rest, bias * rest
    return add_rows_times(total.add_(bias), read, up.mT, plan.low)


def _block(plan: TowerPlan, x: Tensor, weights: Sequence[Tensor]) -> KeptBlock:
    """Everything of a block of each tower but its second layer."""
    inner = rows_times(x, weights[0].mT, plan.low).add_(lowered(weights[1], plan.low).unsqueeze(1))
    active = inner.relu_() if plan.activation == "relu" else functional.gelu(inner)
    mask = DropoutMasks(plan.dropout, active.numel(), active).next(*active.shape)
    return KeptBlock(x, inner, active if mask is None else active * mask, mask)
