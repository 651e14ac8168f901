"""Backward through the blocks of towers side by side, from the last block to the first.

The gradient of a hidden state is ``1 − g`` times that of what the next block reads. These factors are left out of all
that is as wide as the hidden state; their products, here called scales, are multiplied into what is as narrow as the
bottleneck, and into sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from iisan.models.tower_plan import KeptBlock, TowerPlan
from iisan.models.tower_products import add_rows_times, over_items, rows_times


@dataclass(frozen=True, slots=True)
class _BlockGradients:
    """What comes of one block of each tower.

    Attributes:
        down: ``[G, b, D]``, of the first layer's weight.
        up: ``[G, D, b]``, of the second layer's weight.
        inner_sums: ``[G, b]``, of the first layer's bias but for the scale.
        sums: ``[G, D]``, of the second layer's bias but for the scale.
        bend: ``[G]``, see :func:`_inner_gradient`; None where it is zero.
        weighing: Of each tap's weight but for the scale, ``[G · M]`` scalars, or ``[n, 1]`` where items have their own.
        taps: Of the taps that want it, by tower and tap.
    """

    down: Tensor
    up: Tensor
    inner_sums: Tensor
    sums: Tensor
    bend: Tensor | None
    weighing: Sequence[Tensor]
    taps: dict[tuple[int, int], Tensor]


def tower_gradients(
    plan: TowerPlan,
    weighing: Tensor,
    inputs: Sequence[Tensor],
    kept: Sequence[KeptBlock],
    gradients: Sequence[Tensor],
    wanted: Sequence[bool],
) -> tuple[Tensor | None, ...]:
    """Gradients of the weights of the taps, and of all inputs.

    Each block's second bias needs the column sums of the gradient. They follow from those of the block after it, so the
    items are summed once.

    Args:
        plan: Of the pass.
        weighing: ``[G, K, M]`` or ``[G, K, M, n, 1]``.
        inputs: Taps and weights.
        kept: Of each block.
        gradients: Of each tower's last hidden state, ``[n, D]``.
        wanted: Which of the inputs want theirs.
    """
    weights, scales = plan.weights_of(inputs), _scales(weighing) if plan.gated else None
    factors = weighing if scales is None else weighing * scales
    gradient = torch.stack(list(gradients))  # [G, n, D], a copy: what came in belongs to autograd
    sums = gradient.sum(dim=1)  # [G, D]
    found: list[_BlockGradients] = []
    for k in reversed(range(plan.n_blocks)):
        scale = None if scales is None else scales[:, k].unsqueeze(2)  # [G, 1, 1]
        block, (down, _, up, _) = kept[k], weights[k]
        inner, bend = _inner_gradient(plan, block, gradient, up)  # [G, n, b]
        for_up = over_items(gradient, block.read if scale is None else block.read * scale, plan.low)
        for_down = over_items(inner if scale is None else inner * scale, block.x, plan.low)
        inner_sums, sums_after = inner.sum(dim=1), sums
        gradient = add_rows_times(gradient, inner, down, plan.low)
        sums = torch.baddbmm(sums.unsqueeze(1), inner_sums.unsqueeze(1), down).squeeze(1)
        for_weighing = _weighing_gradients(plan, k, weighing, inputs, (gradient, sums))
        for_taps = _tap_gradients(plan, k, factors, inputs, gradient, wanted)
        found.insert(0, _BlockGradients(for_down, for_up, inner_sums, sums_after, bend, for_weighing, for_taps))
        if k and kept[k - 1].x.shape[1] < gradient.shape[1]:
            gradient = sums.unsqueeze(1).clone()
    return _in_order(plan, weighing, weights, found, scales)


def _scales(gates: Tensor) -> Tensor:
    """For each block the product of ``1 − g`` over the blocks after it, ``[G, K, 1]`` from gates of that shape."""
    rests = 1 - gates
    return torch.cat([rests[:, 1:], torch.ones_like(rests[:, :1])], dim=1).flip(1).cumprod(1).flip(1)


def _inner_gradient(plan: TowerPlan, block: KeptBlock, gradient: Tensor, up: Tensor) -> tuple[Tensor, Tensor | None]:
    """Gradient of what the activation read, ``[G, n, b]``, and how much the activation bends.

    The latter is the inner product of activations and their gradient, less that of what they were made of and its
    gradient, ``[G]``. Of ReLU, which is linear on either side of 0, that is nothing: None.
    """
    outer = rows_times(gradient, up, plan.low)
    kept = outer if block.mask is None else outer * block.mask
    if plan.activation == "relu":
        return torch.ops.aten.threshold_backward(kept, block.inner, 0).to(gradient.dtype), None
    inner = torch.ops.aten.gelu_backward(kept, block.inner)
    bend = (outer * block.read - inner * block.inner).sum(dim=(1, 2)) if plan.gated else None
    return inner.to(gradient.dtype), bend


def _weighing_gradients(
    plan: TowerPlan, k: int, weighing: Tensor, inputs: Sequence[Tensor], of_x: tuple[Tensor, Tensor]
) -> list[Tensor]:
    """Inner products of the gradient of what block `k` reads ``[G, n, D]``, whose sums are given, with the taps."""
    return [
        _inner_product(of_x[0][g], of_x[1][g], inputs[plan.tap_place(g, k, m)], by_item=weighing.dim() == 5)
        for g, m in product(range(plan.n_towers), range(plan.n_taps))
    ]


def _inner_product(gradient: Tensor, sums: Tensor, tap: Tensor, *, by_item: bool) -> Tensor:
    """Over all elements, or for each item ``[n, 1]``."""
    if by_item:
        return (gradient * tap).sum(dim=1, keepdim=True)
    # Of one row for all items it takes no more than the column sums.
    left = gradient if len(tap) == len(gradient) else sums
    return torch.dot(left.reshape(-1), tap.reshape(-1))


def _tap_gradients(
    plan: TowerPlan, k: int, factors: Tensor, inputs: Sequence[Tensor], gradient: Tensor, wanted: Sequence[bool]
) -> dict[tuple[int, int], Tensor]:
    found: dict[tuple[int, int], Tensor] = {}
    for g, m in product(range(plan.n_towers), range(plan.n_taps)):
        if wanted[plan.tap_place(g, k, m)]:
            own = gradient[g] * factors[g, k, m]
            found[g, m] = own if len(inputs[plan.tap_place(g, k, m)]) == len(own) else own.sum(dim=0, keepdim=True)
    return found


def _in_order(
    plan: TowerPlan,
    weighing: Tensor,
    weights: Sequence[Sequence[Tensor]],
    found: Sequence[_BlockGradients],
    scales: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """All gradients, as the pass takes what they are of: weights of the taps, then taps, then weights."""
    towers, blocks, taps = range(plan.n_towers), range(plan.n_blocks), range(plan.n_taps)
    inner_sums = torch.stack([block.inner_sums for block in found], dim=1)  # [G, K, b]
    sums = torch.stack([block.sums for block in found], dim=1)  # [G, K, D]
    for_weighing = torch.stack([found[k].weighing[g * plan.n_taps + m] for g, k, m in product(towers, blocks, taps)])
    for_weighing = for_weighing.view_as(weighing)
    if scales is not None:
        inner_sums, sums, for_weighing = inner_sums * scales, sums * scales, for_weighing * scales
        added = _added(weights, found, inner_sums, sums, scales)
        for_weighing = _gate_gradients(weighing, for_weighing, added)
    down, up = zip(*((block.down.unbind(), block.up.unbind()) for block in found), strict=True)
    biases = [[one.unbind() for one in both.unbind()] for both in (inner_sums, sums)]
    return (
        for_weighing,
        *(found[k].taps.get((g, m)) for g, k, m in product(towers, blocks, taps)),
        *(
            part
            for g, k in product(towers, blocks)
            for part in (down[k][g], biases[0][g][k], up[k][g], biases[1][g][k])
        ),
    )


def _added(
    weights: Sequence[Sequence[Tensor]],
    found: Sequence[_BlockGradients],
    inner_sums: Tensor,
    sums: Tensor,
    scales: Tensor,
) -> Tensor:
    """By how much the inner product of a block's output and its gradient exceeds that of what it read, ``[G, K, 1]``.

    With a block's two layers ``h = x + U a(V x + v) + u`` it is what the biases add, and how much the activation bends.
    """
    inner_biases, biases = (torch.stack([block[part] for block in weights], dim=1) for part in (1, 3))
    added = (inner_sums * inner_biases).sum(dim=2, keepdim=True) + (sums * biases).sum(dim=2, keepdim=True)
    bends = [block.bend for block in found if block.bend is not None]
    return added + torch.stack(bends, dim=1).unsqueeze(2) * scales if bends else added


def _gate_gradients(gates: Tensor, of_taps: Tensor, added: Tensor) -> Tensor:
    """Gradients of gates ``[G, K, 1]``, from inner products of gradients alone; the hidden states need not be read.

    A gate's gradient is the inner product of the gradient with its tap, less that with the hidden state before it. From
    the first block on, the latter follows from what each block adds. It comes with the factor ``1 − g``; where a gate
    is open altogether that is nothing, and the gate's own sigmoid has the factor that is divided out.

    Args:
        gates: ``[G, K, 1]``.
        of_taps: Inner products with the taps.
        added: Of :func:`_added`.
    """
    after = (gates * of_taps + added).cumsum(dim=1)
    rests = (1 - gates[:, 1:]).clamp_min(torch.finfo(torch.float32).tiny)
    return torch.cat([of_taps[:, :1], of_taps[:, 1:] - after[:, :-1] / rests], dim=1)
